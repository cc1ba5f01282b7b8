"""Counts over one decoded document: characters, lines, words, symbols, stop words.

Each kernel writes its signals to consecutive places of a float64 row; the names are beside it. What each number means
is stated by its twin in `reference`.
"""

import numpy as np

from tamis.kernels.jit import kernel
from tamis.kernels.unicode_tables import ALNUM, ALPHA, LINE_BREAK, SPACE

NEWLINE = 10
FULL_STOP = 46
ELLIPSIS = 0x2026

CHARACTER_SIGNALS = (
    "num_characters", "alphanumeric_fraction", "max_line_characters", "mean_line_characters", "num_letters",
)  # fmt: skip
WORD_SIGNALS = (
    "num_whitespace_words", "mean_word_length", "words_without_letter_fraction", "num_stop_words",
    "num_distinct_stop_words", "symbols_per_word",
)  # fmt: skip
TOKEN_SIGNALS = ("num_fasttext_tokens", "num_words")
LINE_SIGNALS = ("num_lines", "num_paragraphs", "bullet_line_fraction", "ellipsis_line_fraction")

STOP_WORDS = ("the", "be", "to", "of", "and", "that", "have", "with")
"""Gopher (Rae et al. 2021, appendix A1.1)."""
_STOP_INITIALS = sum(1 << (ord(initial) & 31) for initial in {word[0] for word in STOP_WORDS})
"""Bit (character & 31) of every letter that a stop word starts with."""


@kernel
def measure_characters(code_points: np.ndarray, properties: np.ndarray, n: int, out: np.ndarray) -> None:
    """CHARACTER_SIGNALS; line lengths as of str.splitlines."""
    alphanumeric = 0
    letters = 0
    longest = 0
    num_lines = 0
    in_lines = 0
    start = 0
    i = 0
    while i < n:
        word = properties[i]
        if word & ALNUM:
            alphanumeric += 1
            letters += word & ALPHA != 0
        elif word & LINE_BREAK:
            longest = max(longest, i - start)
            in_lines += i - start
            num_lines += 1
            if code_points[i] == 13 and i + 1 < n and code_points[i + 1] == NEWLINE:
                i += 1
            start = i + 1
        i += 1
    if start < n:
        longest = max(longest, n - start)
        in_lines += n - start
        num_lines += 1
    out[0] = n
    out[1] = alphanumeric / n if n else 0.0
    out[2] = longest
    out[3] = in_lines / num_lines if num_lines else 0.0
    out[4] = letters


@kernel
def _stop_word(code_points: np.ndarray, start: int, end: int) -> int:
    """Number (1-8) of the stop word that the word `[start, end)` of 2 to 4 characters is when lowercased, or 0."""
    key = np.int64(0)
    for i in range(start, end):
        c = code_points[i]
        if c > 127:
            return 0
        key = (key << 8) | (c | 32)
        if not (65 <= c <= 90 or 97 <= c <= 122):
            return 0
    if key == 0x746865:
        return 1
    if key == 0x6265:
        return 2
    if key == 0x746F:
        return 3
    if key == 0x6F66:
        return 4
    if key == 0x616E64:
        return 5
    if key == 0x74686174:
        return 6
    if key == 0x68617665:
        return 7
    if key == 0x77697468:
        return 8
    return 0


@kernel
def count_symbols(code_points: np.ndarray, n: int) -> int:
    """Sum of the non-overlapping counts of `#`, `...`, `. . .` and U+2026. The first loop has no branches, so that it
    is compiled to vector instructions; most texts need no more."""
    total = 0
    near_dots = 0
    for i in range(n - 2):
        dot = code_points[i] == FULL_STOP
        next_dot = code_points[i + 1] == FULL_STOP
        third_dot = code_points[i + 2] == FULL_STOP
        total += (code_points[i] == 35) | (code_points[i] == ELLIPSIS)
        near_dots += dot & third_dot & (next_dot | (code_points[i + 1] == 32))
    for i in range(max(n - 2, 0), n):
        total += (code_points[i] == 35) | (code_points[i] == ELLIPSIS)
    if near_dots == 0:
        return total
    dots_from = 0
    spaced_from = 0
    for i in range(n - 2):
        if code_points[i] == FULL_STOP:
            if i >= dots_from and code_points[i + 1] == FULL_STOP and code_points[i + 2] == FULL_STOP:
                total += 1
                dots_from = i + 3
            if i >= spaced_from and _spaced_dots(code_points, i, n):
                total += 1
                spaced_from = i + 5
    return total


@kernel
def _spaced_dots(code_points: np.ndarray, at: int, end: int) -> bool:
    """Whether `. . .` stands at `at`."""
    return (
        at + 5 <= end
        and code_points[at] == FULL_STOP
        and code_points[at + 1] == 32
        and code_points[at + 2] == FULL_STOP
        and code_points[at + 3] == 32
        and code_points[at + 4] == FULL_STOP
    )


@kernel
def _parts_tokens(c: int) -> bool:
    """Where fastText parts tokens: space, tab to carriage return, NUL."""
    return c <= 32 and (c == 32 or 9 <= c <= 13 or c == 0)


@kernel
def _summarise(code_points: np.ndarray, properties: np.ndarray, n: int) -> tuple[int, int, int, int, int]:
    """Words of str.split, those that start with a letter or digit, blanks, newlines, and characters at which str.split
    and fastText part words differently (controls, wide blanks). Without branches, to be compiled to vector
    instructions."""
    words = 0
    alphanumeric = 0
    blanks = 0
    newlines = 0
    odd = 0
    for i in range(n):
        blank = (properties[i] // SPACE) & 1
        c = code_points[i]
        blanks += blank
        newlines += c == NEWLINE
        odd += (blank & (c > 32)) | (c < 9) | ((c > 13) & (c < 32))
    for i in range(1, n):
        starts = (properties[i - 1] // SPACE) & ~(properties[i] // SPACE) & 1
        words += starts
        alphanumeric += starts & (properties[i] // ALNUM)
    if n and not properties[0] & SPACE:
        words += 1
        alphanumeric += properties[0] & ALNUM != 0
    return words, alphanumeric, blanks, newlines, odd


@kernel
def measure_tokens(code_points: np.ndarray, properties: np.ndarray, n: int, out: np.ndarray) -> None:
    """TOKEN_SIGNALS: fastText's tokens, and those of them that start with a letter or digit."""
    words, alphanumeric, _, newlines, odd = _summarise(code_points, properties, n)
    if odd == 0:
        out[0] = words + newlines
        out[1] = alphanumeric
    else:
        _walk_tokens(code_points, properties, n, out)


@kernel
def _walk_tokens(code_points: np.ndarray, properties: np.ndarray, n: int, out: np.ndarray) -> None:
    """`measure_tokens` for texts in which fastText's tokens are not the words of str.split."""
    tokens = 0
    words = 0
    i = 0
    while i < n:
        if _parts_tokens(code_points[i]):
            if code_points[i] == NEWLINE:
                tokens += 1
            i += 1
            continue
        first = properties[i]
        blank = first & SPACE != 0
        while i < n and not _parts_tokens(code_points[i]):
            if blank and not (properties[i] & SPACE):
                blank = False
            i += 1
        if not blank:
            tokens += 1
        if first & ALNUM:
            words += 1
    out[0] = tokens
    out[1] = words


@kernel
def _walk_words(code_points: np.ndarray, properties: np.ndarray, n: int) -> tuple[int, int, int]:
    """Words of str.split without a letter, stop words, and which stop words there are (bits 1-8)."""
    without_letter = 0
    stop_words = 0
    seen = 0
    i = 0
    while i < n:
        if properties[i] & SPACE:
            i += 1
            continue
        start = i
        if properties[i] & ALPHA:
            i += 1
            while i < n and not (properties[i] & SPACE):
                i += 1
            if 2 <= i - start <= 4 and (_STOP_INITIALS >> (code_points[start] & 31)) & 1:
                which = _stop_word(code_points, start, i)
                if which:
                    stop_words += 1
                    seen |= 1 << which
            continue
        union = np.uint16(0)
        while i < n and not (properties[i] & SPACE):
            union |= properties[i]
            i += 1
        without_letter += union & ALPHA == 0
    return without_letter, stop_words, seen


@kernel
def measure_words(code_points: np.ndarray, properties: np.ndarray, n: int, out: np.ndarray) -> None:
    """WORD_SIGNALS on the words of str.split, then TOKEN_SIGNALS: fastText's tokens are the same words unless the text
    has one of the blanks that only `str` knows, or NUL."""
    num_words, alphanumeric_first, blanks, newlines, odd = _summarise(code_points, properties, n)
    without_letter, stop_words, seen = _walk_words(code_points, properties, n)
    distinct = 0
    for bit in range(1, 9):
        distinct += (seen >> bit) & 1
    out[0] = num_words
    out[1] = (n - blanks) / num_words if num_words else 0.0
    out[2] = without_letter / num_words if num_words else 1.0
    out[3] = stop_words
    out[4] = distinct
    out[5] = count_symbols(code_points, n) / num_words if num_words else np.inf
    if odd == 0:
        out[6] = num_words + newlines
        out[7] = alphanumeric_first
    else:
        _walk_tokens(code_points, properties, n, out[6:])


@kernel
def _ends_in_ellipsis(code_points: np.ndarray, start: int, end: int) -> bool:
    last = code_points[end - 1]
    if last == ELLIPSIS:
        return True
    if last != FULL_STOP:
        return False
    if end - start >= 3 and code_points[end - 2] == FULL_STOP and code_points[end - 3] == FULL_STOP:
        return True
    return end - start >= 5 and _spaced_dots(code_points, end - 5, end)


@kernel
def measure_lines(code_points: np.ndarray, properties: np.ndarray, n: int, out: np.ndarray) -> None:
    """LINE_SIGNALS, on lines and paragraphs that are not blank, stripped."""
    lines = 0
    paragraphs = 0
    bullets = 0
    ellipses = 0
    in_paragraph = False
    newlines = 0
    i = 0
    while i < n:
        start = i
        while i < n and code_points[i] != NEWLINE:
            i += 1
        end = i
        i += 1
        newlines = 1 if end > start else newlines + 1
        if newlines >= 2:
            in_paragraph = False
        while start < end and properties[start] & SPACE:
            start += 1
        while end > start and properties[end - 1] & SPACE:
            end -= 1
        if start == end:
            continue
        lines += 1
        if not in_paragraph:
            paragraphs += 1
            in_paragraph = True
        first = code_points[start]
        if first == 0x25CF or first == 0x2022 or first == 42 or first == 45:
            bullets += 1
        if _ends_in_ellipsis(code_points, start, end):
            ellipses += 1
    out[0] = lines
    out[1] = paragraphs
    out[2] = bullets / lines if lines else 0.0
    out[3] = ellipses / lines if lines else 0.0
