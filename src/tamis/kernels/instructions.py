"""Machine instructions that Python does not offer: a read of eight bytes, the count of trailing zero bits, and the
prefetch of memory."""

import sys
from typing import Any

from tamis.kernels.jit import cgutils, intrinsic, ir, types

_IS_LITTLE = sys.byteorder == "little"


@intrinsic
def load_word(typing_context: Any, data: Any, at: Any) -> Any:
    """uint64 of the eight bytes `data[at : at + 8]` (uint8, contiguous), the first one lowest. Bounds are not checked:
    the caller must ensure that all eight exist."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        place = builder.bitcast(builder.gep(array.data, [arguments[1]]), ir.IntType(64).as_pointer())
        word = builder.load(place)
        word.align = 1
        return word if _IS_LITTLE else builder.bswap(word)

    return types.uint64(data, types.intp), generate


@intrinsic
def trailing_zeros(typing_context: Any, word: Any) -> Any:
    """int64: how many zero bits stand below the lowest bit that is set in `word` (uint64, not 0)."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 1))

    return types.int64(types.uint64), generate


@intrinsic
def prefetch(typing_context: Any, data: Any, at: Any) -> Any:
    """Prefetch the memory of `data[at]` (one-dimensional), which will be read soon. An invalid address does no harm."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        byte = ir.IntType(8).as_pointer()
        place = builder.bitcast(builder.gep(array.data, [arguments[1]]), byte)
        number = ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [byte, number, number, number])
        instruction = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0i8")
        to_read, near, is_data = number(0), number(3), number(1)
        builder.call(instruction, [place, to_read, near, is_data])
        return context.get_dummy_value()

    return types.void(data, types.intp), generate
