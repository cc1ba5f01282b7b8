"""Counts over one decoded document: characters, lines, words, symbols, stop words.

Each kernel writes its signals to consecutive places of a float64 row; the names are beside it. What each number means
is stated by its twin in `reference.rules`.
"""

import numpy as np

from tamis.kernels.jit import kernel
from tamis.kernels.rules.edits import stripped
from tamis.kernels.rules.phrases import count_words
from tamis.kernels.text import bits
from tamis.kernels.text.script_words import list_script_words
from tamis.kernels.text.unicode_tables import ALNUM, ALPHA, LINE_BREAK, SPACE
from tamis.kernels.text.words import LF

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
# A stop word has at most eight letters, so its bytes fit into one integer, which is its key.
_STOP_KEYS = np.array([int.from_bytes(word.encode(), "little") for word in STOP_WORDS], np.int64)
# The smallest table size for which no two keys fall into the same slot: a look-up is one comparison.
_STOP_SLOTS = next(size for size in range(len(STOP_WORDS), 64) if len({*(_STOP_KEYS % size)}) == len(STOP_WORDS))
_STOP_TABLE = np.zeros(_STOP_SLOTS, np.int64)
_STOP_TABLE[_STOP_KEYS % _STOP_SLOTS] = _STOP_KEYS
"""The stop words packed a byte a character, in as many places as make them all differ by remainder."""


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
    # One pass counts letters and digits, and measures each line where it ends.
    while i < n:
        word = properties[i]
        if word & ALNUM:
            alphanumeric += 1
            letters += word & ALPHA != 0
        elif word & LINE_BREAK:
            longest = max(longest, i - start)
            in_lines += i - start
            num_lines += 1
            # A carriage return with a newline after it is one line break.
            if code_points[i] == 13 and i + 1 < n and code_points[i + 1] == NEWLINE:
                i += 1
            start = i + 1
        i += 1
    # The last line need not end in a line break.
    if start < n:
        longest = max(longest, n - start)
        in_lines += n - start
        num_lines += 1
    # Write the signals in the order of CHARACTER_SIGNALS.
    out[0] = n
    out[1] = alphanumeric / n if n else 0.0
    out[2] = longest
    out[3] = in_lines / num_lines if num_lines else 0.0
    out[4] = letters


@kernel
def count_symbols(code_points: np.ndarray, n: int) -> int:
    """Sum of the non-overlapping counts of `#`, `...`, `. . .` and U+2026."""
    total = 0
    dots_from = 0
    spaced_from = 0
    for at in range(0, n, bits.LANES):
        # Number signs and the ellipsis character count one by one.
        symbols = bits.within(code_points, at, 35, 35) | bits.within(code_points, at, ELLIPSIS, ELLIPSIS)
        total += bits.count(symbols & bits.before(n, at))
        # Most blocks have no full stop, and are done here.
        dots = bits.within(code_points, at, FULL_STOP, FULL_STOP) & bits.before(n - 2, at)
        if dots == 0:
            continue
        # Both kinds of written ellipsis have a full stop two characters after their first.
        dots &= bits.within(code_points, at + 2, FULL_STOP, FULL_STOP)
        while dots:
            i = at + bits.first(dots)
            # Each kind is counted by itself, and never inside an ellipsis of that kind already counted.
            if i >= dots_from and code_points[i + 1] == FULL_STOP:
                total += 1
                dots_from = i + 3
            if i >= spaced_from and _spaced_dots(code_points, i, n):
                total += 1
                spaced_from = i + 5
            dots &= dots - 1
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
def _separates_tokens(c: int) -> bool:
    """Where fastText separates tokens: space, tab to carriage return, NUL."""
    return c <= 32 and (c == 32 or 9 <= c <= 13 or c == 0)


@kernel
def _summarise(code_points: np.ndarray, properties: np.ndarray, n: int) -> tuple[int, int, int, int, int]:
    """Words of str.split, those that start with a letter or digit, blanks, newlines, and characters at which str.split
    and fastText separate words differently (controls, wide blanks)."""
    words = 0
    alphanumeric = 0
    blanks = 0
    newlines = 0
    odd = 0
    carry = 1
    # Every step handles a block of characters as bit masks, one bit for each character.
    for at in range(0, n, bits.LANES):
        live = bits.before(n, at)
        # A word starts where a character that is not blank follows a blank or the start of the text.
        space = bits.has(properties, at, SPACE) & live
        starts = bits.upwards(space, carry) & ~space & live
        carry = bits.last(space)
        # Count what the masks mark.
        words += bits.count(starts)
        alphanumeric += bits.count(starts & bits.has(properties, at, ALNUM))
        blanks += bits.count(space)
        newlines += bits.count(bits.classed(properties, at, LF, LF) & live)
        # Characters up to 32 that are not blank, blanks above 32, and U+001C to U+001F split words differently.
        low = bits.within(code_points, at, 0, 32)
        odd |= ((low ^ space) | bits.within(code_points, at, 28, 31)) & live
    return words, alphanumeric, blanks, newlines, odd


@kernel
def measure_tokens(code_points: np.ndarray, properties: np.ndarray, n: int, out: np.ndarray) -> None:
    """TOKEN_SIGNALS: fastText's tokens, and those of them that start with a letter or digit."""
    words, alphanumeric, _, newlines, odd = _summarise(code_points, properties, n)
    # fastText counts a newline as a token of its own.
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
        # Separators are skipped, but every newline is the token that fastText calls the end of a line.
        if _separates_tokens(code_points[i]):
            if code_points[i] == NEWLINE:
                tokens += 1
            i += 1
            continue
        # Read one token to its end, and note whether any of its characters is not blank.
        first = properties[i]
        blank = first & SPACE != 0
        while i < n and not _separates_tokens(code_points[i]):
            if blank and not (properties[i] & SPACE):
                blank = False
            i += 1
        # A token of wide blanks alone is none.
        if not blank:
            tokens += 1
        if first & ALNUM:
            words += 1
    out[0] = tokens
    out[1] = words


@kernel
def _walk_words(code_points: np.ndarray, properties: np.ndarray, n: int) -> tuple[int, int, int]:
    """Words of str.split without a letter, stop words, and which stop words there are (a bit for each)."""
    without_letter = 0
    stop_words = 0
    seen = 0
    carry = 1
    # Outside the text everything counts as blank, so that the last word ends there.
    following = bits.has(properties, 0, SPACE) | ~bits.before(n, 0)
    for at in range(0, n, bits.LANES):
        space = following
        following = bits.has(properties, at + bits.LANES, SPACE) | ~bits.before(n, at + bits.LANES)
        # Masks of the places where words start and where letters stand.
        starts = bits.upwards(space, carry) & ~space
        carry = bits.last(space)
        letters = bits.has(properties, at, ALPHA)
        # A stop word has two to four letters: a blank follows after so many characters, and none earlier.
        two, three = bits.downwards(space, following, 2), bits.downwards(space, following, 3)
        short = starts & letters & ~bits.downwards(space, following, 1)
        short &= two | three | bits.downwards(space, following, 4)
        while short:
            place = bits.first(short)
            # The length of the word follows from where its blank stands; its letters, lower-cased, form its key.
            length = 4 - ((two >> place) & 1) - (((two | three) >> place) & 1)
            key = (bits.pack(code_points, at + place) | 0x20202020) & ((np.int64(1) << (8 * length)) - 1)
            # Look the key up and remember which stop word was met.
            slot = key % _STOP_SLOTS
            found = _STOP_TABLE[slot] == key
            stop_words += found
            seen |= np.int64(found) << slot
            short &= short - 1
        # Words that start with a letter have one; the others must be read.
        others = starts & ~letters
        while others:
            without_letter += not _holds_letter(properties, at + bits.first(others), n)
            others &= others - 1
    return without_letter, stop_words, seen


@kernel
def _holds_letter(properties: np.ndarray, at: int, n: int) -> bool:
    """Whether the word of str.split that starts at `at` has a letter."""
    while at < n and not properties[at] & (SPACE | ALPHA):
        at += 1
    return at < n and properties[at] & ALPHA != 0


@kernel
def measure_words(code_points: np.ndarray, properties: np.ndarray, n: int, out: np.ndarray) -> None:
    """WORD_SIGNALS on the words of str.split, then TOKEN_SIGNALS: fastText's tokens are the same words unless the text
    has one of the blanks that only `str` knows, or NUL."""
    # Two passes over the text give all the counts that the signals need.
    num_words, alphanumeric_first, blanks, newlines, odd = _summarise(code_points, properties, n)
    without_letter, stop_words, seen = _walk_words(code_points, properties, n)
    # Write the signals in the order of WORD_SIGNALS and TOKEN_SIGNALS.
    out[0] = num_words
    out[1] = (n - blanks) / num_words if num_words else 0.0
    out[2] = without_letter / num_words if num_words else 1.0
    out[3] = stop_words
    out[4] = bits.count(seen)
    out[5] = count_symbols(code_points, n) / num_words if num_words else np.inf
    if odd == 0:
        out[6] = num_words + newlines
        out[7] = alphanumeric_first
    else:
        _walk_tokens(code_points, properties, n, out[6:])


@kernel
def measure_script_words(
    code_points: np.ndarray,
    properties: np.ndarray,
    n: int,
    starts: np.ndarray,
    ends: np.ndarray,
    stop_words: tuple[int, int],
    out: np.ndarray,
) -> None:
    """WORD_SIGNALS and TOKEN_SIGNALS of a page in another language than English: on `script_words`, with its own
    `stop_words` (how many, and how many different). Shares are of words and marks together, as FineWeb2's."""
    num_words, marks = list_script_words(code_points, properties, n, starts, ends)
    tokens = num_words + marks
    characters = 0
    without_letter = marks
    for k in range(num_words):
        characters += ends[k] - starts[k]
        without_letter += not _holds_letter(properties, starts[k], ends[k])
    # Tokens of str.split and of fastText are what they are in any language.
    _walk_tokens(code_points, properties, n, out[6:])
    out[0] = count_words(properties, n)
    out[1] = characters / num_words if num_words else 0.0
    out[2] = without_letter / tokens if tokens else 1.0
    out[3] = stop_words[0]
    out[4] = stop_words[1]
    out[5] = count_symbols(code_points, n) / tokens if tokens else np.inf
    out[7] = num_words


@kernel
def _ends_in_ellipsis(code_points: np.ndarray, start: int, end: int) -> bool:
    """Whether the line ends in U+2026, in `...` or in `. . .`."""
    # The line ends in the ellipsis character, in three full stops, or in three that blanks separate.
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
        # Take the next line; two newlines in a row end a paragraph.
        start = i
        end = bits.find_class(properties, i, n, LF)
        i = end + 1
        newlines = 1 if end > start else newlines + 1
        if newlines >= 2:
            in_paragraph = False
        # Blank lines are neither lines nor part of a paragraph.
        start, end = stripped(properties, start, end)
        if start == end:
            continue
        lines += 1
        if not in_paragraph:
            paragraphs += 1
            in_paragraph = True
        # Bullets are U+25CF, U+2022, an asterisk or a hyphen.
        first = code_points[start]
        if first == 0x25CF or first == 0x2022 or first == 42 or first == 45:
            bullets += 1
        if _ends_in_ellipsis(code_points, start, end):
            ellipses += 1
    out[0] = lines
    out[1] = paragraphs
    out[2] = bullets / lines if lines else 0.0
    out[3] = ellipses / lines if lines else 0.0
