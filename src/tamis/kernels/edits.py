"""Edits of one decoded document. Every edit only deletes, so each works in place and returns the new length.

`properties` move with their characters. The twins in `reference` state each edit in plain Python.
"""

import numpy as np
from numba import njit

from tamis.kernels.unicode_tables import DECIMAL, DIGIT, SPACE, UPPER, WORD

NEWLINE = 10

UPPERCASE_LINES, NUMERIC_LINES, COUNTER_LINES, SHORT_LINES, PUNCTUATED_LINES, LONG_WORD_LINES = range(6)
"""Kinds of `drop_lines`."""
ANYWHERE, PREFIX, SUFFIX = range(3)
"""Places of `remove_phrase`."""
ANY_CHARACTER = 0
"""Code of a phrase that matches every character (a NUL in the phrase itself is not supported)."""

CITATION_WORDS = ("edit]", "citation needed]")
COUNTED = (
    "likes", "shares", "comments", "retweets", "reposts", "quotes", "bookmarks", "upvotes", "downvotes", "downloads",
    "views", "followers",
)  # fmt: skip
_CITATIONS = tuple(np.array([ord(c) for c in word], np.int32) for word in CITATION_WORDS)
_COUNTED_TEXT = np.array([ord(c) for word in COUNTED for c in word], np.int32)
_COUNTED_OFFSETS = np.cumsum([0] + [len(word) for word in COUNTED]).astype(np.int64)


@njit(cache=True, nogil=True)
def _move(code_points: np.ndarray, properties: np.ndarray, start: int, end: int, to: int) -> int:
    """Copy `[start, end)` to `to <= start`; returns the end of the copy."""
    if to == start:
        return end
    for i in range(start, end):
        code_points[to] = code_points[i]
        properties[to] = properties[i]
        to += 1
    return to


@njit(cache=True, nogil=True)
def strip(code_points: np.ndarray, properties: np.ndarray, n: int) -> int:
    """str.strip"""
    start = 0
    while start < n and properties[start] & SPACE:
        start += 1
    while n > start and properties[n - 1] & SPACE:
        n -= 1
    return _move(code_points, properties, start, n, 0)


@njit(cache=True, nogil=True)
def collapse_newlines(code_points: np.ndarray, properties: np.ndarray, n: int, most: int) -> int:
    """Keep at most `most` newlines of every run of them."""
    to = 0
    run = 0
    for i in range(n):
        run = run + 1 if code_points[i] == NEWLINE else 0
        if run <= most:
            if to != i:
                code_points[to] = code_points[i]
                properties[to] = properties[i]
            to += 1
    return to


@njit(cache=True, nogil=True)
def fold(c: int) -> int:
    """The ASCII lower-case letter that `c` equals when case is ignored (as Python's `re.IGNORECASE`), or `c`."""
    if 65 <= c <= 90:
        return c + 32
    if c == 0x130 or c == 0x131:
        return 105
    if c == 0x17F:
        return 115
    if c == 0x212A:
        return 107
    return c


@njit(cache=True, nogil=True)
def lower_ascii(c: int) -> int:
    """str.lower where the result is ASCII; other characters as they are."""
    if 65 <= c <= 90:
        return c + 32
    return 107 if c == 0x212A else c


@njit(cache=True, nogil=True)
def _counted_word(code_points: np.ndarray, at: int, end: int) -> int:
    """Length of the word of COUNTED at `at`, or 0."""
    for k in range(len(_COUNTED_OFFSETS) - 1):
        length = _COUNTED_OFFSETS[k + 1] - _COUNTED_OFFSETS[k]
        if at + length > end:
            continue
        i = 0
        while i < length and lower_ascii(code_points[at + i]) == _COUNTED_TEXT[_COUNTED_OFFSETS[k] + i]:
            i += 1
        if i == length:
            return length
    return 0


@njit(cache=True, nogil=True)
def is_counter(code_points: np.ndarray, properties: np.ndarray, start: int, end: int) -> bool:
    """Whether a line is a counter such as `3 likes` or `* 1.2k views`."""
    at = start
    while at < end and not (properties[at] & WORD):
        at += 1
    if at == end or not (properties[at] & DECIMAL):
        return False
    while at < end and (properties[at] & DECIMAL or code_points[at] == 44 or code_points[at] == 46):
        at += 1
    if at < end:
        unit = lower_ascii(code_points[at])
        if unit == 107 or unit == 109 or unit == 98:
            at += 1
    if at == end or not (properties[at] & SPACE):
        return False
    while at < end and properties[at] & SPACE:
        at += 1
    length = _counted_word(code_points, at, end)
    if length == 0:
        return False
    at += length
    while at < end and not (properties[at] & WORD):
        at += 1
    return at == end


@njit(cache=True, nogil=True)
def _share(properties: np.ndarray, start: int, end: int, bit: int) -> float:
    having = 0
    for i in range(start, end):
        if properties[i] & bit:
            having += 1
    return having / (end - start)


@njit(cache=True, nogil=True)
def num_words(properties: np.ndarray, start: int, end: int) -> int:
    """Words of str.split in `[start, end)`."""
    count = 0
    inside = False
    for i in range(start, end):
        space = properties[i] & SPACE != 0
        if inside and space:
            inside = False
        elif not inside and not space:
            inside = True
            count += 1
    return count


@njit(cache=True, nogil=True)
def _ends_in_punctuation(code_points: np.ndarray, properties: np.ndarray, start: int, end: int, dots: bool) -> bool:
    """Whether the line ends, blanks aside, in one of `. ! ? "` or U+2026; with `dots` false, not in an ellipsis."""
    while end > start and properties[end - 1] & SPACE:
        end -= 1
    if end == start:
        return False
    last = code_points[end - 1]
    if last == 0x2026:
        return dots
    if last == 46 and not dots:
        return not (end - start >= 3 and code_points[end - 2] == 46 and code_points[end - 3] == 46)
    return last == 46 or last == 33 or last == 63 or last == 34


@njit(cache=True, nogil=True)
def _longest_token(code_points: np.ndarray, properties: np.ndarray, start: int, end: int, by_split: bool) -> int:
    """Characters of the longest token (fastText's, or with `by_split` str.split's) that is not blank."""
    longest = 0
    first = start
    blank = True
    for i in range(start, end):
        c = code_points[i]
        space = properties[i] & SPACE != 0
        if space if by_split else (c == 32 or c == 0 or 9 <= c <= 13):
            first = i + 1
            blank = True
            continue
        blank = blank and space
        if not blank:
            longest = max(longest, i + 1 - first)
    return longest


@njit(cache=True, nogil=True)
def keeps_line(
    code_points: np.ndarray, properties: np.ndarray, start: int, end: int, kind: int, low: float, high: float
) -> bool:
    """Whether `drop_lines` of that kind keeps the line `[start, end)`."""
    if start == end and kind != LONG_WORD_LINES:
        return True
    if kind == UPPERCASE_LINES:
        return _share(properties, start, end, UPPER) <= high
    if kind == NUMERIC_LINES:
        return _share(properties, start, end, DIGIT) <= high
    if kind == COUNTER_LINES:
        return not is_counter(code_points, properties, start, end)
    if kind == SHORT_LINES:
        return low <= num_words(properties, start, end) <= high
    if kind == PUNCTUATED_LINES:
        return _ends_in_punctuation(code_points, properties, start, end, low == 0.0)
    return _longest_token(code_points, properties, start, end, low != 0.0) <= high


@njit(cache=True, nogil=True)
def drop_lines(code_points: np.ndarray, properties: np.ndarray, n: int, kind: int, low: float, high: float) -> int:
    """Delete the lines (parted by newlines) that `keeps_line` refuses."""
    to = 0
    start = 0
    any_kept = False
    while start <= n:
        end = start
        while end < n and code_points[end] != NEWLINE:
            end += 1
        if keeps_line(code_points, properties, start, end, kind, low, high):
            if any_kept:
                to = _move(code_points, properties, start - 1, end, to)
            else:
                to = _move(code_points, properties, start, end, to)
            any_kept = True
        start = end + 1
    return to


@njit(cache=True, nogil=True)
def _phrase_at(code_points: np.ndarray, at: int, end: int, phrase: np.ndarray) -> bool:
    if at + len(phrase) > end:
        return False
    for i in range(len(phrase)):  # noqa: SIM110 - Numba compiles loops, not generators
        if phrase[i] != ANY_CHARACTER and fold(code_points[at + i]) != phrase[i]:
            return False
    return True


@njit(cache=True, nogil=True)
def _cut_phrase(
    code_points: np.ndarray, properties: np.ndarray, start: int, end: int, phrase: np.ndarray, place: int, to: int
) -> int:
    """Copy the line to `to` without the phrase and one blank beside it (after a prefix, else before)."""
    size = len(phrase)
    i = start
    while i < end:
        lead = 1 if place != PREFIX and properties[i] & SPACE and _phrase_at(code_points, i + 1, end, phrase) else 0
        here = i + lead
        found = _phrase_at(code_points, here, end, phrase)
        if found and place == PREFIX:
            found = here == start
        elif found and place == SUFFIX:
            found = here + size == end
            if not found and lead:
                here = i
                found = here + size == end and _phrase_at(code_points, here, end, phrase)
        if found:
            i = here + size
            if place == PREFIX and i < end and properties[i] & SPACE:
                i += 1
        else:
            code_points[to] = code_points[i]
            properties[to] = properties[i]
            to += 1
            i += 1
    return to


@njit(cache=True, nogil=True)
def remove_phrase(
    code_points: np.ndarray, properties: np.ndarray, n: int, phrase: np.ndarray, place: int, max_words: int
) -> int:
    """Delete the phrase (folded code points) from lines of at most `max_words` words; lines left blank go too."""
    to = 0
    start = 0
    any_kept = False
    while start <= n:
        end = start
        while end < n and code_points[end] != NEWLINE:
            end += 1
        line_to = to + 1 if any_kept else to
        newline_word = properties[start - 1] if any_kept else np.uint16(0)
        short = num_words(properties, start, end) <= max_words
        if not short:
            line_end = _move(code_points, properties, start, end, line_to)
        else:
            line_end = _cut_phrase(code_points, properties, start, end, phrase, place, line_to)
        if not (short and end > start and num_words(properties, line_to, line_end) == 0):
            if any_kept:
                code_points[line_to - 1] = NEWLINE
                properties[line_to - 1] = newline_word
            any_kept = True
            to = line_end
        start = end + 1
    return to


@njit(cache=True, nogil=True)
def _citation_end(code_points: np.ndarray, properties: np.ndarray, at: int, n: int) -> int:
    """End of the citation mark whose `[` is at `at`, or -1."""
    end = at + 1
    while end < n and properties[end] & DECIMAL:
        end += 1
    if end < n and code_points[end] == 93:
        return end + 1
    for word in _CITATIONS:
        if at + 1 + len(word) <= n and np.array_equal(code_points[at + 1 : at + 1 + len(word)], word):
            return at + 1 + len(word)
    return -1


@njit(cache=True, nogil=True)
def remove_citations(code_points: np.ndarray, properties: np.ndarray, n: int) -> int:
    """Delete `[digits]`, `[]`, `[edit]` and `[citation needed]`."""
    to = 0
    i = 0
    while i < n:
        end = _citation_end(code_points, properties, i, n) if code_points[i] == 91 else -1
        if end >= 0:
            i = end
            continue
        code_points[to] = code_points[i]
        properties[to] = properties[i]
        to += 1
        i += 1
    return to
