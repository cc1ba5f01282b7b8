"""FineWeb's line signals (Penedo et al. 2024, section 3.6) on a decoded document. Twin: `reference.rules.line_ends`."""

import numpy as np

from tamis.kernels.jit import kernel
from tamis.kernels.rules.repetition import list_segments, number_spans
from tamis.kernels.text import script_words
from tamis.kernels.text.unicode_tables import SPACE

SHORT_LINE_CHARACTERS = 30
SIGNALS = ("punctuated_line_fraction", "short_line_fraction", "repeated_line_character_fraction")
"""Shares of lines that end in one of `. ! ? " '`, of lines of at most SHORT_LINE_CHARACTERS, and of characters in
lines that repeat an earlier one (which itself does not count). Lines are stripped, blank ones left out. Of pages in
another language than English the marks of all scripts count, also where quotation marks or brackets follow."""


@kernel
def _ends_in_script(code_points: np.ndarray, start: int, end: int) -> bool:
    """Whether the stripped line ends in a mark of any script, or in one and what closes after it."""
    while end > start and script_words.closes_sentence(code_points[end - 1]):
        end -= 1
    return end > start and script_words.ends_sentence(code_points[end - 1])


@kernel
def ends_in_punctuation(
    code_points: np.ndarray, properties: np.ndarray, start: int, end: int, allows_ellipsis: bool, way: int
) -> bool:
    """Whether the line ends, apart from blanks, in one of `. ! ? "` or U+2026. Where `allows_ellipsis` is false,
    neither U+2026 nor three full stops count. `way` (`script_words`) adds the marks of all scripts; where sentences end
    without a mark every line does."""
    if way == script_words.BY_SCRIPT_WITHOUT_MARKS:
        return True
    # Leave out blanks at the end of the line.
    while end > start and properties[end - 1] & SPACE:
        end -= 1
    if end == start:
        return False
    # An ellipsis counts only where `allows_ellipsis` says so; a single full stop always counts.
    last = code_points[end - 1]
    if last == 0x2026:
        return allows_ellipsis
    if last == 46 and not allows_ellipsis:
        return not (end - start >= 3 and code_points[end - 2] == 46 and code_points[end - 3] == 46)
    if way == script_words.BY_SCRIPT:
        return last == 34 or _ends_in_script(code_points, start, end)
    return last == 46 or last == 33 or last == 63 or last == 34


@kernel
def measure_line_ends(
    code_points: np.ndarray,
    properties: np.ndarray,
    n: int,
    starts: np.ndarray,
    ends: np.ndarray,
    way: int,
    out: np.ndarray,
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
        if way == script_words.BY_BLANKS:
            punctuated += c == 46 or c == 33 or c == 63 or c == 34 or c == 39
        else:
            punctuated += _ends_in_script(code_points, starts[k], ends[k])
        short += length <= SHORT_LINE_CHARACTERS
        characters += length
        if seen[numbers[k]]:
            repeated += length
        seen[numbers[k]] = True
    out[0] = punctuated / count if count else 0.0
    out[1] = short / count if count else 0.0
    out[2] = repeated / characters if count else 0.0
