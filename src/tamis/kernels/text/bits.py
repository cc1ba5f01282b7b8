"""Sixty-four neighbouring characters at a time: a test on each, as the bits of one int64 (bit j is the character j on).

Numba compiles loops one element at a time where they branch; these few intrinsics give the kernels LLVM's vector
comparisons instead, so that a kernel branches once a word or line, not once a character. Loads run past the last
character, at most READ_AHEAD places: scratch arrays have that much room to spare, and `before` masks off what is read
there. The machine is little-endian, as all are that Numba supports.
"""

from typing import Any

import numpy as np

from tamis.kernels.jit import cgutils, intrinsic, ir, kernel, types
from tamis.kernels.text.unicode_tables import WORD_BREAK_MASK

# Characters that one integer describes, and how far loads may run past the last character.
LANES = 64
READ_AHEAD = 2 * LANES
PACKED = 8
"""Characters that `pack` and `fold` take."""


def _splat(builder: Any, value: Any, lanes: int) -> Any:
    """A vector of `lanes` times an LLVM value."""
    vector = ir.VectorType(value.type, lanes)
    # Put the value into the first lane, then copy that lane into all others.
    one = builder.insert_element(ir.Constant(vector, ir.Undefined), value, ir.IntType(32)(0))
    places = ir.Constant(ir.VectorType(ir.IntType(32), lanes), [0] * lanes)
    return builder.shuffle_vector(one, ir.Constant(vector, ir.Undefined), places)


def _load(context: Any, builder: Any, kind: Any, array: Any, at: Any, lanes: int) -> Any:
    """`array[at : at + lanes]` as a vector, without a bounds check."""
    # The address of the first value, taken as the address of a vector.
    lane = ir.IntType(kind.dtype.bitwidth)
    place = builder.gep(context.make_array(kind)(context, builder, array).data, [at])
    pointer = builder.bitcast(place, ir.VectorType(lane, lanes).as_pointer())
    # The address is a multiple of one value only, not of the whole vector.
    return builder.load(pointer, align=kind.dtype.bitwidth // 8)


@intrinsic
def _match(typing_context: Any, array: Any, at: Any, mask: Any, low: Any, span: Any) -> Any:
    """int64: bit j is whether `(array[at + j] & mask) - low`, unsigned, is at most `span`."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        # One load, and the three parameters spread over all lanes.
        words = _load(context, builder, array, arguments[0], arguments[1], LANES)
        lane = words.type.element
        limits = [_splat(builder, builder.trunc(value, lane), LANES) for value in arguments[2:]]
        # After the subtraction a value below `low` is huge, so that one comparison tests both limits.
        place = builder.sub(builder.and_(words, limits[0]), limits[1])
        return builder.bitcast(builder.icmp_unsigned("<=", place, limits[2]), ir.IntType(64))

    return types.int64(array, types.int64, types.int64, types.int64, types.int64), build


@intrinsic
def equal(typing_context: Any, code_points: Any, at: Any, other: Any) -> Any:
    """int64: bit j is whether `code_points[at + j] == code_points[other + j]`."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        # Compare two loads lane by lane; the comparison's result has a bit for each lane.
        values, *places = arguments
        left, right = (_load(context, builder, code_points, values, place, LANES) for place in places)
        return builder.bitcast(builder.icmp_unsigned("==", left, right), ir.IntType(64))

    return types.int64(code_points, types.int64, types.int64), build


@intrinsic
def fold(typing_context: Any, code_points: Any, at: Any) -> Any:
    """int64: `c ^ c >> 8` of eight code points, a byte each, the first lowest: ASCII as it is."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        # Mix the second byte of each code point into the first, then keep the first.
        words = _load(context, builder, code_points, arguments[0], arguments[1], PACKED)
        folded = builder.xor(words, builder.lshr(words, ir.Constant(words.type, [8] * PACKED)))
        return builder.bitcast(builder.trunc(folded, ir.VectorType(ir.IntType(8), PACKED)), ir.IntType(64))

    return types.int64(code_points, types.int64), build


@intrinsic
def pack(typing_context: Any, code_points: Any, at: Any) -> Any:
    """int64: eight code points, a byte each, the first lowest; those above 255 as 255."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        # Cap code points that do not fit into a byte, then keep the lowest byte of each.
        words = _load(context, builder, code_points, arguments[0], arguments[1], PACKED)
        most = ir.Constant(words.type, [255] * PACKED)
        capped = builder.select(builder.icmp_unsigned("<", words, most), words, most)
        return builder.bitcast(builder.trunc(capped, ir.VectorType(ir.IntType(8), PACKED)), ir.IntType(64))

    return types.int64(code_points, types.int64), build


@intrinsic
def first(typing_context: Any, bits: Any) -> Any:
    """Number of the lowest bit that is set; 64 when none is."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        # The second operand says that the result for 0 is defined.
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 0))

    return types.int64(types.int64), build


@intrinsic
def count(typing_context: Any, bits: Any) -> Any:
    """How many bits are set."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.ctpop(arguments[0])

    return types.int64(types.int64), build


@intrinsic
def copy(typing_context: Any, source: Any, start: Any, length: Any, target: Any, to: Any) -> Any:
    """`target[to : to + length] = source[start : start + length]`; the two may overlap."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        # Compute both addresses and leave the rest to memmove.
        values, start, length, out, to = arguments
        place = builder.gep(context.make_array(source)(context, builder, values).data, [start])
        goal = builder.gep(context.make_array(target)(context, builder, out).data, [to])
        cgutils.raw_memmove(builder, goal, place, length, source.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(source, types.int64, types.int64, target, types.int64), build


@intrinsic
def widen(typing_context: Any, data: Any, at: Any, code_points: Any, to: Any) -> Any:
    """`code_points[to : to + LANES] = data[at : at + LANES]`, bytes that become int32."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        # Load bytes, extend each to 32 bits, and store them as one vector.
        vector = ir.VectorType(ir.IntType(32), LANES)
        words = builder.zext(_load(context, builder, data, arguments[0], arguments[1], LANES), vector)
        goal = builder.gep(context.make_array(code_points)(context, builder, arguments[2]).data, [arguments[3]])
        builder.store(words, builder.bitcast(goal, vector.as_pointer()), align=4)
        return context.get_dummy_value()

    return types.void(data, types.int64, code_points, types.int64), build


@kernel
def before(n: int, at: int) -> np.int64:
    """Bits of the characters from `at` on that lie before `n`."""
    # All bits where the whole block lies before `n`.
    return np.int64(-1) if n - at >= LANES else (np.int64(1) << max(n - at, 0)) - 1


@kernel
def upwards(bits: int, carry: int) -> int:
    """Each bit one character on, `carry` (0 or 1) first."""
    return (bits << 1) | carry


@kernel
def downwards(bits: int, following: int, by: int) -> np.int64:
    """Each bit `by` (1 to 63) characters back; `following` are the bits of the next LANES characters."""
    # The bits of the next block move in from above.
    return np.int64((np.uint64(bits) >> np.uint64(by)) | (np.uint64(following) << np.uint64(LANES - by)))


@kernel
def last(bits: int) -> np.int64:
    """The highest bit, which `upwards` carries into the next characters."""
    # As unsigned numbers, so that the sign is not shifted in.
    return np.int64(np.uint64(bits) >> np.uint64(LANES - 1))


@kernel
def has(properties: np.ndarray, at: int, flag: int) -> int:
    """Characters with a property of `unicode_tables`."""
    # The masked value must be the flag itself.
    return _match(properties, at, flag, flag, 0)


@kernel
def classed(properties: np.ndarray, at: int, low: int, high: int) -> int:
    """Characters whose Word_Break is one of the classes `low` to `high`."""
    return _match(properties, at, WORD_BREAK_MASK, low, high - low)


@kernel
def within(values: np.ndarray, at: int, low: int, high: int) -> int:
    """Values from `low` to `high`."""
    return _match(values, at, -1, low, high - low)


@kernel
def find_class(properties: np.ndarray, at: int, n: int, kind: int) -> int:
    """First place from `at` on whose Word_Break is `kind`, or `n`."""
    while at < n:
        # Whole blocks; a hit behind the end counts as none.
        found = classed(properties, at, kind, kind)
        if found:
            return min(at + first(found), n)
        at += LANES
    return n
