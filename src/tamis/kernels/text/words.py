"""Word boundaries of Unicode Standard Annex 29 (rules WB1-WB999, Unicode 16.0.0) on a decoded document."""

import numpy as np

from tamis.kernels.jit import kernel
from tamis.kernels.text import bits
from tamis.kernels.text.unicode_tables import ALNUM, PICTOGRAPHIC, WORD_BREAK_MASK, WORD_BREAK_NAMES

OTHER, CR, LF, NEWLINE, EXTEND, ZWJ, FORMAT, REGIONAL, KATAKANA, HEBREW = range(10)
ALETTER, SINGLE_QUOTE, DOUBLE_QUOTE, MID_NUM_LET, MID_LETTER, MID_NUM, NUMERIC, EXTEND_NUM_LET, SPACE = range(10, 19)
assert WORD_BREAK_NAMES[NUMERIC] == "Numeric" and WORD_BREAK_NAMES[SPACE] == "WSegSpace"


@kernel
def _skipped(kind: int) -> bool:
    """Extend, Format and ZWJ: WB4 looks through them."""
    return EXTEND <= kind <= FORMAT


@kernel
def _following(properties: np.ndarray, at: int, n: int) -> int:
    """Word_Break of the first character after `at` that WB4 does not skip; Other at the end."""
    # Skip characters that WB4 looks through.
    at += 1
    while at < n and _skipped(properties[at] & WORD_BREAK_MASK):
        at += 1
    return properties[at] & WORD_BREAK_MASK if at < n else OTHER


BREAK, JOIN, LETTER_AHEAD, LETTER_BEHIND, NUMBER_AHEAD, NUMBER_BEHIND, HEBREW_AHEAD, HEBREW_BEHIND, PAIR = range(9)
"""What to do between two classes: always separate, always join, or join if a letter (a number, a Hebrew letter) follows
the second or precedes the first; PAIR joins every second regional indicator."""


def _join_table() -> np.ndarray:
    """`uint8[19, 19]`: rules WB5-WB16 by (class of the last character, class of this one)."""
    table = np.full((19, 19), BREAK, np.uint8)
    letters = (ALETTER, HEBREW)
    letter_middles = (MID_LETTER, MID_NUM_LET, SINGLE_QUOTE)
    number_middles = (MID_NUM, MID_NUM_LET, SINGLE_QUOTE)
    for letter in letters:
        table[letter, letters] = JOIN  # WB5
        table[letter, letter_middles] = LETTER_AHEAD  # WB6
        table[letter_middles, letter] = LETTER_BEHIND  # WB7
        table[letter, NUMERIC] = table[NUMERIC, letter] = JOIN  # WB9, WB10
    table[HEBREW, SINGLE_QUOTE] = JOIN  # WB7a
    table[HEBREW, DOUBLE_QUOTE] = HEBREW_AHEAD  # WB7b
    table[DOUBLE_QUOTE, HEBREW] = HEBREW_BEHIND  # WB7c
    table[NUMERIC, NUMERIC] = JOIN  # WB8
    table[number_middles, NUMERIC] = NUMBER_BEHIND  # WB11
    table[NUMERIC, number_middles] = NUMBER_AHEAD  # WB12
    table[KATAKANA, KATAKANA] = JOIN  # WB13
    for kind in (*letters, NUMERIC, KATAKANA, EXTEND_NUM_LET):
        table[kind, EXTEND_NUM_LET] = table[EXTEND_NUM_LET, kind] = JOIN  # WB13a, WB13b
    table[REGIONAL, REGIONAL] = PAIR  # WB15, WB16
    return table


_JOINS = _join_table()


@kernel
def _letter(kind: int) -> bool:
    """Whether a class is one of letters."""
    return kind in (ALETTER, HEBREW)


@kernel
def _joined(action: int, before: int, following: int, odd_regional: bool) -> bool:
    """Decide an action other than BREAK and JOIN. `before` is the class ahead of the last character, `following` that
    after this one (both as WB4 sees them)."""
    if action == LETTER_AHEAD:
        return _letter(following)
    if action == LETTER_BEHIND:
        return _letter(before)
    if action == NUMBER_AHEAD:
        return following == NUMERIC
    if action == NUMBER_BEHIND:
        return before == NUMERIC
    if action == HEBREW_AHEAD:
        return following == HEBREW
    if action == HEBREW_BEHIND:
        return before == HEBREW
    return odd_regional


@kernel
def next_boundary(properties: np.ndarray, start: int, n: int) -> int:
    """End of the token that starts at `start` (a boundary, `start < n`). What lies before `start` cannot matter: every
    rule that looks back further than one character joins all it looks at."""
    raw = properties[start] & WORD_BREAK_MASK
    at = start + 1
    if raw == ALETTER:  # most tokens are letters up to a blank
        while at < n and properties[at] & WORD_BREAK_MASK == ALETTER:
            at += 1
        if at == n or properties[at] & WORD_BREAK_MASK == SPACE:
            return at
    # The classes of the last two characters, as WB4 sees them.
    before = OTHER
    last = OTHER if _skipped(raw) else raw
    odd_regional = raw == REGIONAL
    if at > start + 1:
        before = ALETTER
    while at < n:
        # Letters after letters need no rule.
        word = properties[at]
        kind = word & WORD_BREAK_MASK
        if kind == ALETTER and raw == ALETTER:
            before = ALETTER
            at += 1
            continue
        if CR <= raw <= NEWLINE:
            return at + 1 if raw == CR and kind == LF else at
        if CR <= kind <= NEWLINE:
            return at
        joins = (raw == ZWJ and word & PICTOGRAPHIC != 0) or (raw == SPACE and kind == SPACE)
        if _skipped(kind):
            raw = kind
            at += 1
            continue
        if not joins:
            action = _JOINS[last, kind]
            if action == BREAK:
                return at
            if action != JOIN and not _joined(action, before, _following(properties, at, n), odd_regional):
                return at
        odd_regional = kind == REGIONAL and not (last == REGIONAL and odd_regional)
        before = last
        last = kind
        raw = kind
        at += 1
    return n


@kernel
def boundaries(properties: np.ndarray, n: int, out: np.ndarray) -> int:
    """All boundaries but 0, ascending, into `out`; returns how many."""
    count = 0
    at = 0
    while at < n:
        at = next_boundary(properties, at, n)
        out[count] = at
        count += 1
    return count


@kernel
def _joins_ahead(properties: np.ndarray, at: int, n: int, carry: int) -> tuple[int, int]:
    """Which of the characters from `at` on the rules WB5 to WB13b join to the next one, where no class from Extend to
    Hebrew_Letter occurs; and the `carry` for the characters after these."""
    letters = bits.classed(properties, at, ALETTER, ALETTER)
    next_letters = bits.classed(properties, at + 1, ALETTER, ALETTER)
    numbers = bits.classed(properties, at, NUMERIC, NUMERIC)
    joins = letters | bits.classed(properties, at, NUMERIC, EXTEND_NUM_LET)
    joins &= next_letters | bits.classed(properties, at + 1, NUMERIC, EXTEND_NUM_LET)
    either = bits.classed(properties, at + 1, MID_NUM_LET, MID_NUM_LET)
    either |= bits.classed(properties, at + 1, SINGLE_QUOTE, SINGLE_QUOTE)
    in_words = letters & bits.classed(properties, at + 2, ALETTER, ALETTER)
    in_numbers = numbers & bits.classed(properties, at + 2, NUMERIC, NUMERIC)
    middles = in_words & (either | bits.classed(properties, at + 1, MID_LETTER, MID_LETTER))
    middles |= in_numbers & (either | bits.classed(properties, at + 1, MID_NUM, MID_NUM))
    middles &= bits.before(n - 2, at)
    joins |= middles | bits.upwards(middles, carry)
    return joins & bits.before(n - 1, at), bits.last(middles)


@kernel
def list_words(properties: np.ndarray, n: int, starts: np.ndarray, ends: np.ndarray) -> int:
    """Tokens whose first character is a letter or digit, as `[starts[k], ends[k])`; returns how many.

    LANES characters at a time, unless a class is met that needs more rules: then all is done token by token.
    """
    count = 0
    joined = 0
    carry = 0
    unended = False
    for at in range(0, n, bits.LANES):
        # A block of characters at a time; a class that needs more rules hands over to the slow way.
        live = bits.before(n, at)
        if bits.classed(properties, at, EXTEND, HEBREW) & live:
            return _list_words_by_token(properties, n, starts, ends)
        joins, carry = _joins_ahead(properties, at, n, carry)
        # A token starts where the character before does not join the next one.
        tokens = ~bits.upwards(joins, joined) & live
        joined = bits.last(joins)
        if unended and tokens:
            ends[count - 1] = at + bits.first(tokens)
            unended = False
        # Every token that starts with a letter or digit is a word, and ends where the next token starts.
        words = tokens & bits.has(properties, at, ALNUM)
        while words:
            place = bits.first(words)
            later = tokens & (np.int64(-2) << place)
            starts[count] = at + place
            ends[count] = at + bits.first(later)
            unended = later == 0
            count += 1
            words &= words - 1
    if unended:
        ends[count - 1] = n
    return count


@kernel
def _list_words_by_token(properties: np.ndarray, n: int, starts: np.ndarray, ends: np.ndarray) -> int:
    """`list_words` by the full rules, token by token."""
    count = 0
    at = 0
    while at < n:
        start = at
        at = next_boundary(properties, start, n)
        if properties[start] & ALNUM:
            starts[count] = start
            ends[count] = at
            count += 1
    return count
