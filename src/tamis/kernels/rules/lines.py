"""Edits by line of one decoded document.

The lines are listed once, with the counts that the tests need. The edits shorten the list, and one pass at the end
moves the remaining lines together. A list is `starts`, `ends` (places in the document) and `counts` (UPPERS, DIGITS,
WORDS of each); only the lines `[first, last)` of it are part of the text, and every edit returns a new `first, last`.
`way` says how a document is split into words, as in `script_words`; by blanks they are those of str.split. The twins
are in `reference.rules.edits`.
"""

import numpy as np

from tamis.kernels.jit import kernel
from tamis.kernels.rules import line_ends
from tamis.kernels.rules.edits import move
from tamis.kernels.text import bits, script_words
from tamis.kernels.text.unicode_tables import DECIMAL, DIGIT, SPACE, UPPER, WORD, property_word
from tamis.kernels.text.words import LF

NEWLINE = 10
NEWLINE_WORD = property_word("\n")

(
    UPPERCASE_LINES, NUMERIC_LINES, COUNTER_LINES, SHORT_LINES, UNPUNCTUATED_LINES, UNFINISHED_LINES, LONG_WORD_LINES,
    LONG_TOKEN_LINES,
) = range(8)  # fmt: skip
"""Kinds of lines that `drop_lines` drops. UNPUNCTUATED_LINES end in no punctuation mark; UNFINISHED_LINES are those and
the lines that end in an ellipsis. LONG_WORD_LINES hold a long word of str.split, LONG_TOKEN_LINES a long token of
fastText."""
ANYWHERE, PREFIX, SUFFIX = range(3)
"""Places of `remove_phrase`."""
ANY_CHARACTER = 0
"""Code of a phrase that matches every character (a NUL in the phrase itself is not supported)."""

COUNTED = (
    "likes", "shares", "comments", "retweets", "reposts", "quotes", "bookmarks", "upvotes", "downvotes", "downloads",
    "views", "followers",
)  # fmt: skip
UPPERS, DIGITS, WORDS = range(3)
"""Rows of `counts`."""
_COUNTED_TEXT = np.array([ord(c) for word in COUNTED for c in word], np.int32)
_COUNTED_OFFSETS = np.cumsum([0] + [len(word) for word in COUNTED]).astype(np.int64)


@kernel
def list_lines(
    code_points: np.ndarray,
    properties: np.ndarray,
    n: int,
    starts: np.ndarray,
    ends: np.ndarray,
    counts: np.ndarray,
    way: int,
) -> int:
    """List the lines of `[0, n)`, which newlines separate; `counts[:, k]` are upper-case characters, digits and words
    of line k. Returns how many lines there are, at most n + 1."""
    count = 0
    start = 0
    while start <= n:
        # A line runs to the next newline; the last one runs to the end of the document.
        starts[count] = start
        ends[count] = bits.find_class(properties, start, n, LF)
        _count(code_points, properties, starts[count], ends[count], counts, count, way)
        start = ends[count] + 1
        count += 1
    return count


@kernel
def _count(
    code_points: np.ndarray, properties: np.ndarray, start: int, end: int, counts: np.ndarray, k: int, way: int
) -> None:
    """`counts[:, k]` of the line `[start, end)`."""
    uppers = 0
    digits = 0
    words = 0
    carry = 1
    # Blocks of characters as bit masks; characters after the end of the line are masked off.
    for at in range(start, end, bits.LANES):
        live = bits.before(end, at)
        space = bits.has(properties, at, SPACE) & live
        uppers += bits.count(bits.has(properties, at, UPPER) & live)
        digits += bits.count(bits.has(properties, at, DIGIT) & live)
        # A word starts where a character that is not blank follows a blank.
        words += bits.count(bits.upwards(space, carry) & ~space & live)
        carry = bits.last(space)
    # In other scripts a line that is not blank has at least one word, too: its marks.
    if way != script_words.BY_BLANKS and words > 0:
        words = max(1, script_words.count_script_words(code_points, properties, start, end)[0])
    # Store the three counts for the tests on this line.
    counts[UPPERS, k] = uppers
    counts[DIGITS, k] = digits
    counts[WORDS, k] = words


@kernel
def join_lines(
    code_points: np.ndarray, properties: np.ndarray, starts: np.ndarray, ends: np.ndarray, first: int, last: int
) -> int:
    """Move lines `[first, last)` together at the start of the document, a newline between two; returns its length."""
    if first == last:
        return 0
    # `to` is the end of what has been moved, `start` the first line that has not.
    to = 0
    start = starts[first]
    for k in range(first, last):
        if k + 1 < last and starts[k + 1] == ends[k] + 1:
            continue  # the next line still stands after this one, and goes with it
        # Move the run of lines that ends here, then write the newline that separates it from the next.
        to = move(code_points, properties, start, ends[k], to)
        if k + 1 < last:
            code_points[to] = NEWLINE
            properties[to] = NEWLINE_WORD
            to += 1
            start = starts[k + 1]
    return to


@kernel
def strip_lines(
    properties: np.ndarray, starts: np.ndarray, ends: np.ndarray, counts: np.ndarray, first: int, last: int
) -> tuple[int, int]:
    """str.strip of the joined lines."""
    # Blank lines at both ends leave the list.
    while first < last and counts[WORDS, first] == 0:
        first += 1
    while last > first and counts[WORDS, last - 1] == 0:
        last -= 1
    # What is left starts and ends with lines that hold a word; their outer blanks go.
    if first < last:
        while properties[starts[first]] & SPACE:
            starts[first] += 1
        while properties[ends[last - 1] - 1] & SPACE:
            ends[last - 1] -= 1
    return first, last


@kernel
def fold(c: int) -> int:
    """The ASCII lower-case letter that `c` equals when case is ignored (as Python's `re.IGNORECASE`), or `c`."""
    # ASCII capitals.
    if 65 <= c <= 90:
        return c + 32
    # The dotted capital I and the dotless small one equal `i`.
    if c == 0x130 or c == 0x131:
        return 105
    # The long s equals `s`.
    if c == 0x17F:
        return 115
    # The Kelvin sign equals `k`.
    if c == 0x212A:
        return 107
    return c


@kernel
def lower_ascii(c: int) -> int:
    """str.lower where the result is ASCII; other characters as they are."""
    if 65 <= c <= 90:
        return c + 32
    return 107 if c == 0x212A else c


@kernel
def _counted_word(code_points: np.ndarray, at: int, end: int) -> int:
    """Length of the word of COUNTED at `at`, or 0."""
    # Try every word of the list; a dozen short words need no index.
    for k in range(len(_COUNTED_OFFSETS) - 1):
        length = _COUNTED_OFFSETS[k + 1] - _COUNTED_OFFSETS[k]
        if at + length > end:
            continue
        # Compare character by character, without regard to case.
        i = 0
        while i < length and lower_ascii(code_points[at + i]) == _COUNTED_TEXT[_COUNTED_OFFSETS[k] + i]:
            i += 1
        if i == length:
            return length
    return 0


@kernel
def is_counter(code_points: np.ndarray, properties: np.ndarray, start: int, end: int) -> bool:
    """Whether a line is a counter such as `3 likes` or `* 1.2k views`."""
    # Skip symbols and blanks before the number.
    at = start
    while at < end and not (properties[at] & WORD):
        at += 1
    # A number must follow: digits, commas and full stops.
    if at == end or not (properties[at] & DECIMAL):
        return False
    while at < end and (properties[at] & DECIMAL or code_points[at] == 44 or code_points[at] == 46):
        at += 1
    # One of the letters k, m and b may follow the number.
    if at < end:
        unit = lower_ascii(code_points[at])
        if unit == 107 or unit == 109 or unit == 98:
            at += 1
    # At least one blank separates the number from what is counted.
    if at == end or not (properties[at] & SPACE):
        return False
    while at < end and properties[at] & SPACE:
        at += 1
    # Then a word of the list must follow, and after it no further word.
    length = _counted_word(code_points, at, end)
    if length == 0:
        return False
    at += length
    while at < end and not (properties[at] & WORD):
        at += 1
    return at == end


@kernel
def _longest_token(code_points: np.ndarray, properties: np.ndarray, start: int, end: int, by_split: bool) -> int:
    """Characters of the longest token (fastText's, or with `by_split` str.split's) that is not blank."""
    longest = 0
    first = start
    blank = True
    # A separator starts a new token; which characters separate depends on `by_split`.
    for i in range(start, end):
        c = code_points[i]
        space = properties[i] & SPACE != 0
        if space if by_split else (c == 32 or c == 0 or 9 <= c <= 13):
            first = i + 1
            blank = True
            continue
        # A token of blanks alone is not measured.
        blank = blank and space
        if not blank:
            longest = max(longest, i + 1 - first)
    return longest


@kernel
def _phrase_at(code_points: np.ndarray, at: int, end: int, phrase: np.ndarray) -> bool:
    """Whether the phrase stands at `at`, before `end`, when case is ignored."""
    if at + len(phrase) > end:
        return False
    for i in range(len(phrase)):  # noqa: SIM110 - Numba compiles loops, not generators
        if phrase[i] != ANY_CHARACTER and fold(code_points[at + i]) != phrase[i]:
            return False
    return True


@kernel
def _keeps(
    code_points: np.ndarray,
    properties: np.ndarray,
    start: int,
    end: int,
    counts: np.ndarray,
    k: int,
    kind: int,
    low: float,
    high: float,
    way: int,
) -> bool:
    """Whether `drop_lines` of that kind keeps the line `[start, end)`, whose counts are `counts[:, k]`."""
    # Empty lines separate paragraphs and stay.
    if start == end:
        return True
    # Each kind compares one measure of the line with its limits.
    if kind == UPPERCASE_LINES:
        return counts[UPPERS, k] / (end - start) <= high
    if kind == NUMERIC_LINES:
        return counts[DIGITS, k] / (end - start) <= high
    # A line without any digit is no counter, and need not be read.
    if kind == COUNTER_LINES:
        return counts[DIGITS, k] == 0 or not is_counter(code_points, properties, start, end)
    if kind == SHORT_LINES:
        return low <= counts[WORDS, k] <= high
    if kind == UNPUNCTUATED_LINES:
        return line_ends.ends_in_punctuation(code_points, properties, start, end, True, way)
    if kind == UNFINISHED_LINES:
        return line_ends.ends_in_punctuation(code_points, properties, start, end, False, way)
    by_split = kind == LONG_WORD_LINES
    return _longest_token(code_points, properties, start, end, by_split) <= high


@kernel
def drop_lines(
    code_points: np.ndarray,
    properties: np.ndarray,
    starts: np.ndarray,
    ends: np.ndarray,
    counts: np.ndarray,
    first: int,
    last: int,
    kind: int,
    low: float,
    high: float,
    way: int,
) -> int:
    """Take the lines that `_keeps` refuses out of the list; returns the new `last`."""
    # Kept lines move up in the list, over those that are dropped.
    kept = first
    for k in range(first, last):
        if _keeps(code_points, properties, starts[k], ends[k], counts, k, kind, low, high, way):
            _copy_entry(starts, ends, counts, k, kept)
            kept += 1
    return kept


@kernel
def _copy_entry(starts: np.ndarray, ends: np.ndarray, counts: np.ndarray, k: int, to: int) -> None:
    """Copy the entry of line `k` to the place `to` of the list."""
    if k != to:
        starts[to] = starts[k]
        ends[to] = ends[k]
        for row in range(3):
            counts[row, to] = counts[row, k]


@kernel
def _cut_anywhere(code_points: np.ndarray, properties: np.ndarray, start: int, end: int, phrase: np.ndarray) -> int:
    """Delete the phrase, and a blank before it, from the line, moving the rest down; returns the line's new end."""
    to = start
    i = start
    while i < end:
        # The phrase is deleted by itself, or together with the one blank before it.
        if _phrase_at(code_points, i, end, phrase):
            i += len(phrase)
        elif properties[i] & SPACE and _phrase_at(code_points, i + 1, end, phrase):
            i += 1 + len(phrase)
        else:
            # Everything else moves down to the end of what stays.
            code_points[to] = code_points[i]
            properties[to] = properties[i]
            to += 1
            i += 1
    return to


@kernel
def _holds(code_points: np.ndarray, start: int, end: int, phrase: np.ndarray) -> bool:
    """Whether the phrase stands anywhere in the line."""
    for i in range(start, end - len(phrase) + 1):  # noqa: SIM110 - Numba compiles loops, not generators
        if _phrase_at(code_points, i, end, phrase):
            return True
    return False


@kernel
def remove_phrase(
    code_points: np.ndarray,
    properties: np.ndarray,
    starts: np.ndarray,
    ends: np.ndarray,
    counts: np.ndarray,
    first: int,
    last: int,
    phrase: np.ndarray,
    place: int,
    max_words: int,
    way: int,
) -> int:
    """Delete the phrase (folded code points), and a blank beside it (after a prefix, else before), from lines of at
    most `max_words` words; lines that become blank are dropped too. Returns the new `last`."""
    kept = first
    for k in range(first, last):
        # Only short lines are tested. A phrase at an end is deleted by shortening the entry in the list.
        start, end = starts[k], ends[k]
        if counts[WORDS, k] <= max_words and start < end:
            # At the start of the line: the phrase is deleted with one blank after it.
            if place == PREFIX:
                if _phrase_at(code_points, start, end, phrase):
                    starts[k] += len(phrase)
                    if starts[k] < end and properties[starts[k]] & SPACE:
                        starts[k] += 1
            # At the end of the line: the phrase is deleted with one blank before it.
            elif place == SUFFIX:
                at = end - len(phrase)
                if at >= start and _phrase_at(code_points, at, end, phrase):
                    ends[k] = at - 1 if at > start and properties[at - 1] & SPACE else at
            elif _holds(code_points, start, end, phrase):
                ends[k] = _cut_anywhere(code_points, properties, start, end, phrase)
            # A shortened line is counted again, and is dropped when no word is left.
            if starts[k] != start or ends[k] != end:
                _count(code_points, properties, starts[k], ends[k], counts, k, way)
            if counts[WORDS, k] == 0:
                continue
        _copy_entry(starts, ends, counts, k, kept)
        kept += 1
    return kept
