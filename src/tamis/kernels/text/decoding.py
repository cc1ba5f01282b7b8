"""From Arrow's UTF-8 to code points and back, one document at a time, into scratch arrays that the kernels share.

A decoded document is a pair `code_points int32[n]`, `properties uint16[n]` (see `unicode_tables`), so that every
kernel after it counts characters as Python's `str` does and never looks a property up twice. Bytes that are not UTF-8
decode to U+FFFD, one for each maximal broken part, as `bytes.decode("utf-8", "replace")` does.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tamis.kernels.jit import kernel
from tamis.kernels.text import bits

# What stands for bytes that are not UTF-8.
REPLACEMENT = 0xFFFD
SHORTEST_RUN = 16
"""Bytes of ASCII in a row that are worth taking LANES at a time."""


def views(column: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """`(data uint8[...], offsets int64[len + 1])` over the buffers of a string or large_string array.

    The data are not copied; a null has length 0. Raises TypeError for any other Arrow type.
    """
    # The width of the offsets depends on the type.
    if pa.types.is_large_string(column.type):
        width: np.dtype = np.dtype(np.int64)
    elif pa.types.is_string(column.type):
        width = np.dtype(np.int32)
    else:
        raise TypeError(f"expected a string column, got {column.type}")
    # A slice of an array shares the buffers of the whole: start at its own offset.
    _, offsets_buffer, data_buffer = column.buffers()
    if len(column) == 0 or data_buffer is None:
        return np.frombuffer(b"", np.uint8), np.zeros(len(column) + 1, np.int64)
    offsets = np.frombuffer(offsets_buffer, width, len(column) + 1, column.offset * width.itemsize)
    data = np.frombuffer(data_buffer, np.uint8)
    data.flags.writeable = False  # always, so that a kernel is compiled for one type of array
    return data, offsets.astype(np.int64)


def from_buffers(data: np.ndarray, offsets: np.ndarray, nulls: pa.Array | None = None) -> pa.Array:
    """String array (large_string where int32 offsets do not reach) over `data` and int64 `offsets`, without a copy.

    `nulls`, a boolean array, marks rows that are null.
    """
    # Arrow marks valid rows, `nulls` the others.
    validity = None if nulls is None else pc.invert(nulls).buffers()[1]
    wide = int(offsets[-1]) > np.iinfo(np.int32).max
    kind, width = (pa.large_string(), np.int64) if wide else (pa.string(), np.int32)
    buffers = [validity, pa.py_buffer(offsets.astype(width)), pa.py_buffer(data)]
    return pa.Array.from_buffers(kind, len(offsets) - 1, buffers)


def choose(wanted: np.ndarray, column: pa.Array, other: pa.Array) -> pa.Array:
    """String array of `column` where `wanted` (bool[len]), elsewhere of `other`; pyarrow's `if_else` takes ten times as
    long."""
    # Work out the nulls only where there are any.
    nulls = None
    if column.null_count or other.null_count:
        nulls = pc.if_else(pa.array(wanted), column.is_null(), other.is_null())
    data, offsets = _choose(wanted, *views(column), *views(other))
    return from_buffers(data, offsets, nulls)


@kernel
def _choose(
    wanted: np.ndarray, data: np.ndarray, offsets: np.ndarray, other_data: np.ndarray, other_offsets: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The bytes and offsets of the chosen texts."""
    # The lengths first, so that the output is made in one piece.
    out_offsets = np.zeros(len(wanted) + 1, np.int64)
    for row in range(len(wanted)):
        source = offsets if wanted[row] else other_offsets
        out_offsets[row + 1] = out_offsets[row] + source[row + 1] - source[row]
    # Then copy each text from the column that it is taken from.
    out = np.empty(out_offsets[-1], np.uint8)
    for row in range(len(wanted)):
        to = out_offsets[row]
        length = out_offsets[row + 1] - to
        if wanted[row]:
            bits.copy(data, offsets[row], length, out, to)
        else:
            bits.copy(other_data, other_offsets[row], length, out, to)
    return out, out_offsets


@kernel
def _multibyte(data: np.ndarray, at: int, end: int) -> tuple[int, int]:
    """`(code point, bytes used)` of the sequence that starts with a non-ASCII byte at `at`."""
    # The lead byte says how many bytes follow and what the first of them may be.
    lead = data[at]
    if 0xC2 <= lead <= 0xDF:
        need, low, high, code = 1, 0x80, 0xBF, lead & 0x1F
    elif 0xE0 <= lead <= 0xEF:
        need, code = 2, lead & 0x0F
        low = 0xA0 if lead == 0xE0 else 0x80
        high = 0x9F if lead == 0xED else 0xBF
    elif 0xF0 <= lead <= 0xF4:
        need, code = 3, lead & 0x07
        low = 0x90 if lead == 0xF0 else 0x80
        high = 0x8F if lead == 0xF4 else 0xBF
    else:
        return REPLACEMENT, 1
    # Every further byte adds six bits; a wrong one ends the broken part before it.
    code_point = int(code)
    for step in range(1, need + 1):
        if at + step >= end or data[at + step] < low or data[at + step] > high:
            return REPLACEMENT, step
        code_point = (code_point << 6) | int(data[at + step] & 0x3F)
        low, high = 0x80, 0xBF
    return code_point, need + 1


@kernel
def decode(
    data: np.ndarray,
    start: int,
    end: int,
    index: np.ndarray,
    table: np.ndarray,
    code_points: np.ndarray,
    properties: np.ndarray,
) -> int:
    """Decode `data[start:end]`; returns the number of characters written to both outputs (at most `end - start`)."""
    n = 0
    at = start
    few_until = start
    ascii_base = np.int64(index[0]) << 7
    while at < end:
        # Any character that is not ASCII is decoded by itself.
        byte = data[at]
        if byte >= 0x80:
            code_point, used = _multibyte(data, at, end)
            code_points[n] = code_point
            properties[n] = table[(np.int64(index[code_point >> 7]) << 7) | (code_point & 127)]
            at += used
            n += 1
            continue
        # See whether a long run of ASCII starts here, unless a look ahead has said no.
        if at >= few_until and at + bits.LANES <= end:
            run = bits.first(bits.within(data, at, 0x80, 0xFF))
            if run >= SHORTEST_RUN:
                # Widen a whole block; what lies behind the run is overwritten afterwards.
                bits.widen(data, at, code_points, n)
                source, target = np.uint64(at), np.uint64(n)  # no test for negative places
                for i in range(bits.LANES):
                    properties[target + np.uint64(i)] = table[ascii_base + data[source + np.uint64(i)]]
                at += run
                n += run
                continue
            # No long run starts before the next byte that is not ASCII.
            few_until = at + run
        # A single ASCII character.
        code_points[n] = byte
        properties[n] = table[ascii_base + byte]
        at += 1
        n += 1
    return n


@kernel
def encode(code_points: np.ndarray, n: int, out: np.ndarray, at: int) -> int:
    """Write `code_points[:n]` as UTF-8 at `out[at:]`, which must have room for 4 n bytes; returns the end position."""
    wide_from = 0
    i = 0
    while i < n:
        # Copy a whole block where it is ASCII; otherwise do not try again before its end.
        c = code_points[i]
        if i >= wide_from and i + bits.LANES <= n:
            if bits.within(code_points, i, 0x80, 0x10FFFF) == 0:
                for j in range(bits.LANES):
                    out[at + j] = code_points[i + j]
                at += bits.LANES
                i += bits.LANES
                continue
            wide_from = i + bits.LANES
        i += 1
        # One to four bytes, by the size of the code point.
        if c < 0x80:
            out[at] = c
            at += 1
        elif c < 0x800:
            out[at] = 0xC0 | (c >> 6)
            out[at + 1] = 0x80 | (c & 0x3F)
            at += 2
        elif c < 0x10000:
            out[at] = 0xE0 | (c >> 12)
            out[at + 1] = 0x80 | ((c >> 6) & 0x3F)
            out[at + 2] = 0x80 | (c & 0x3F)
            at += 3
        else:
            out[at] = 0xF0 | (c >> 18)
            out[at + 1] = 0x80 | ((c >> 12) & 0x3F)
            out[at + 2] = 0x80 | ((c >> 6) & 0x3F)
            out[at + 3] = 0x80 | (c & 0x3F)
            at += 4
    return at
