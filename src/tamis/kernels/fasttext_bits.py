"""Two machine instructions that Python has no word for: eight bytes read at once, and trailing zero bits counted."""

import sys
from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.extending import intrinsic

_IS_LITTLE = sys.byteorder == "little"


@intrinsic
def load_word(typing_context: Any, data: Any, at: Any) -> Any:
    """uint64 of the eight bytes `data[at : at + 8]` (uint8, contiguous), the first one lowest. Not checked: the caller
    sees to it that they are there."""

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
