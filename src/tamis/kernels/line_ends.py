"""FineWeb's line signals (Penedo et al. 2024, section 3.6) on a decoded document. The twin is `reference.line_ends`."""

import numpy as np

from tamis.kernels.jit import kernel
from tamis.kernels.repetition import number_spans
from tamis.kernels.unicode_tables import SPACE

NEWLINE = 10
SHORT_LINE_CHARACTERS = 30
SIGNALS = ("punctuated_line_fraction", "short_line_fraction", "repeated_line_character_fraction")
"""Shares of lines that end in one of `. ! ? " '`, of lines of at most SHORT_LINE_CHARACTERS, and of characters in
lines that repeat an earlier one (which itself does not count). Lines are stripped, blank ones left out."""


@kernel
def list_stripped_lines(
    code_points: np.ndarray, properties: np.ndarray, n: int, starts: np.ndarray, ends: np.ndarray
) -> int:
    """Places of the lines that are not blank, without their outer blanks; returns how many."""
    count = 0
    i = 0
    while i < n:
        start = i
        while i < n and code_points[i] != NEWLINE:
            i += 1
        end = i
        i += 1
        while start < end and properties[start] & SPACE:
            start += 1
        while end > start and properties[end - 1] & SPACE:
            end -= 1
        if start < end:
            starts[count] = start
            ends[count] = end
            count += 1
    return count


@kernel
def measure_line_ends(
    code_points: np.ndarray, properties: np.ndarray, n: int, starts: np.ndarray, ends: np.ndarray, out: np.ndarray
) -> None:
    """SIGNALS; an empty text has no line that ends a sentence and none that repeats."""
    count = list_stripped_lines(code_points, properties, n, starts, ends)
    numbers = np.empty(count, np.int32)
    totals = np.empty(count, np.int32)
    distinct = number_spans(code_points, starts, ends, count, numbers, totals)
    seen = np.zeros(distinct, np.bool_)
    punctuated = 0
    short = 0
    characters = 0
    repeated = 0
    for k in range(count):
        length = ends[k] - starts[k]
        c = code_points[ends[k] - 1]
        punctuated += c == 46 or c == 33 or c == 63 or c == 34 or c == 39
        short += length <= SHORT_LINE_CHARACTERS
        characters += length
        if seen[numbers[k]]:
            repeated += length
        seen[numbers[k]] = True
    out[0] = punctuated / count if count else 0.0
    out[1] = short / count if count else 0.0
    out[2] = repeated / characters if count else 0.0
