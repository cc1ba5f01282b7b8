"""Lower case as Python's `str.lower` has it, and the removal of repeated lines and paragraphs, defined on it."""

import numpy as np

from tamis.kernels.jit import kernel
from tamis.kernels.rules.edits import move, piece_end, stripped
from tamis.kernels.rules.repetition import number_spans
from tamis.kernels.text.bits import READ_AHEAD
from tamis.kernels.text.unicode_tables import CASE_IGNORABLE, CASED

CAPITAL_SIGMA, FINAL_SIGMA, SIGMA = 0x3A3, 0x3C2, 0x3C3
DOTTED_CAPITAL_I, COMBINING_DOT = 0x130, 0x307


@kernel
def _ends_word(properties: np.ndarray, start: int, at: int, end: int) -> bool:
    """Whether the sigma at `at` of the line `[start, end)` has a cased character before it and none after it."""
    i = at - 1
    while i >= start and properties[i] & CASE_IGNORABLE:
        i -= 1
    if i < start or not (properties[i] & CASED):
        return False
    i = at + 1
    while i < end and properties[i] & CASE_IGNORABLE:
        i += 1
    return i == end or not (properties[i] & CASED)


@kernel
def lower(
    code_points: np.ndarray,
    properties: np.ndarray,
    start: int,
    end: int,
    index: np.ndarray,
    shifts: np.ndarray,
    out: np.ndarray,
    at: int,
) -> int:
    """str.lower of `[start, end)` into `out[at:]`, which needs room for twice as much; returns the end."""
    for i in range(start, end):
        c = code_points[i]
        if c == CAPITAL_SIGMA:
            out[at] = FINAL_SIGMA if _ends_word(properties, start, i, end) else SIGMA
        elif c == DOTTED_CAPITAL_I:
            out[at] = 105
            at += 1
            out[at] = COMBINING_DOT
        else:
            out[at] = c + shifts[(np.int64(index[c >> 7]) << 7) | (c & 127)]
        at += 1
    return at


@kernel
def drop_repeated_pieces(
    code_points: np.ndarray, properties: np.ndarray, n: int, newlines: int, index: np.ndarray, shifts: np.ndarray
) -> int:
    """Keep the first of the lines (`newlines` 1) or paragraphs (2) that are equal once stripped and lowercased; blank
    ones all stay."""
    count = 1
    at = piece_end(properties, 0, n, newlines)
    while at < n:
        count += 1
        at = piece_end(properties, at + newlines, n, newlines)
    lowered = np.empty(2 * n + READ_AHEAD, np.int32)
    starts = np.empty(count, np.int64)
    ends = np.empty(count, np.int64)
    at = 0
    start = 0
    for k in range(count):
        end = piece_end(properties, start, n, newlines)
        first, last = stripped(properties, start, end)
        starts[k] = at
        at = lower(code_points, properties, first, last, index, shifts, lowered, at)
        ends[k] = at
        start = end + newlines
    numbers = np.empty(count, np.int32)
    totals = np.empty(count, np.int32)
    distinct = number_spans(lowered, starts, ends, count, numbers, totals)
    seen = np.zeros(distinct, np.bool_)
    to = 0
    start = 0
    for k in range(count):
        end = piece_end(properties, start, n, newlines)
        if starts[k] == ends[k] or not seen[numbers[k]]:
            to = move(code_points, properties, start - newlines if k else start, end, to)
            seen[numbers[k]] = True
        start = end + newlines
    return to
