"""FineWeb's line signals (Penedo et al. 2024, section 3.6) on a decoded document. Twin: `reference.rules.line_ends`."""

import numpy as np

from tamis.kernels.jit import kernel
from tamis.kernels.rules.repetition import list_segments, number_spans

SHORT_LINE_CHARACTERS = 30
SIGNALS = ("punctuated_line_fraction", "short_line_fraction", "repeated_line_character_fraction")
"""Shares of lines that end in one of `. ! ? " '`, of lines of at most SHORT_LINE_CHARACTERS, and of characters in
lines that repeat an earlier one (which itself does not count). Lines are stripped, blank ones left out."""


@kernel
def measure_line_ends(
    code_points: np.ndarray, properties: np.ndarray, n: int, starts: np.ndarray, ends: np.ndarray, out: np.ndarray
) -> None:
    """SIGNALS; an empty text has no line that ends a sentence and none that repeats."""
    count = list_segments(properties, n, 1, starts, ends)
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
