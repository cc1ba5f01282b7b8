"""Lists of phrases looked for in a decoded document: substrings or whole words, any length, any script.

Case is ignored character by character: both sides are compared with each character lowercased by itself. A list is
packed once: phrases sorted into BUCKETS by their first character, longest first in each, so that a place in the text
is compared with few of them. Twins are in `reference.rules.phrases`.
"""

from functools import cache, lru_cache

import numpy as np

from tamis.kernels.jit import kernel
from tamis.kernels.text import unicode_tables
from tamis.kernels.text.unicode_tables import SPACE, WORD, WORD_BREAK_MASK
from tamis.kernels.text.words import EXTEND

BUCKETS = 256
SUBSTRINGS, WHOLE_WORDS, BOUNDED, SPELLED_WORDS = range(4)
"""What counts as a match: any occurrence; one that no letter, digit or underscore runs on from where the phrase itself
starts or ends with one; one between two boundaries of regular-expression `\\b`, which asks a phrase that starts with a
symbol to follow a word; as whole words, but with combining marks (the vowels of Indian scripts) among the letters."""
ANYWHERE, PREFIX, SUFFIX = range(3)

PhraseData = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]
"""Code points of all phrases int32[], their offsets int64[], per list and bucket the first phrase int64[lists, 257],
per list which buckets hold a character that starts a phrase in any case bool[lists, 256], and the two-level table of
lower-case shifts."""


def lower_each(text: str) -> str:
    """Each character lowercased by itself; U+0130, whose lower case is two characters, stays."""
    return "".join(low if len(low := c.lower()) == 1 else c for c in text)


@cache
def _unfolded() -> dict[int, list[int]]:
    """Code point -> it and all others whose lower-case form it is, where there are others."""
    index, shifts = unicode_tables.load()[2:]
    folded = np.arange(0x110000, dtype=np.int32) + shifts.reshape(-1, 128)[index].reshape(-1)
    found: dict[int, list[int]] = {}
    for c in np.flatnonzero(folded != np.arange(0x110000)).tolist():
        found.setdefault(int(folded[c]), [int(folded[c])]).append(c)
    return found


@lru_cache(maxsize=64)
def pack(lists: tuple[tuple[str, ...], ...]) -> PhraseData:
    """Phrase lists for the kernels; empty phrases are left out."""
    phrases: list[np.ndarray] = []
    firsts = np.zeros((len(lists), BUCKETS + 1), np.int64)
    starting = np.zeros((len(lists), BUCKETS), np.bool_)
    # Sort the phrases of each list into buckets by their first character, the longest first.
    for row, entries in enumerate(lists):
        buckets: list[list[str]] = [[] for _ in range(BUCKETS)]
        for phrase in sorted({lower_each(entry) for entry in entries if entry}, key=lambda p: (-len(p), p)):
            buckets[ord(phrase[0]) % BUCKETS].append(phrase)
        # Write the phrases of the buckets one after the other, and note where each bucket starts.
        for number, bucket in enumerate(buckets):
            firsts[row, number] = len(phrases)
            phrases += [np.array([ord(c) for c in phrase], np.int32) for phrase in bucket]
        firsts[row, BUCKETS] = len(phrases)
        # A character starts a phrase when its lower-case form is the first character of one.
        for first_character in {ord(phrase[0]) for bucket in buckets for phrase in bucket}:
            starting[row, [c % BUCKETS for c in _unfolded().get(first_character, (first_character,))]] = True
    # All phrases as one array of code points.
    offsets = np.cumsum([0] + [len(phrase) for phrase in phrases]).astype(np.int64)
    flat = np.concatenate([*phrases, np.zeros(0, np.int32)])
    return flat, offsets, firsts, starting, *unicode_tables.load()[2:]


@kernel
def _word_at(properties: np.ndarray, at: int, start: int, end: int, kind: int) -> bool:
    """Whether a word character stands at `at`, inside the span."""
    if not start <= at < end:
        return False
    return properties[at] & WORD != 0 or (kind == SPELLED_WORDS and properties[at] & WORD_BREAK_MASK == EXTEND)


@kernel
def _bounded(properties: np.ndarray, first: int, last: int, start: int, end: int, kind: int) -> bool:
    """Whether the match `[first, last)` in the span `[start, end)` has the boundaries that `kind` asks for."""
    # A substring has no boundaries to respect.
    if kind == SUBSTRINGS:
        return True
    # Which characters around both ends of the match are word characters.
    before = _word_at(properties, first - 1, start, end, kind)
    opening = _word_at(properties, first, start, end, kind)
    closing = _word_at(properties, last - 1, start, end, kind)
    after = _word_at(properties, last, start, end, kind)
    # A boundary lies where exactly one of two neighbours is a word character.
    if kind == BOUNDED:
        return before != opening and closing != after
    return not (before and opening) and not (closing and after)


@kernel
def _match(
    code_points: np.ndarray,
    properties: np.ndarray,
    at: int,
    start: int,
    end: int,
    kind: int,
    place: int,
    flat: np.ndarray,
    offsets: np.ndarray,
    firsts: np.ndarray,
    index: np.ndarray,
    shifts: np.ndarray,
) -> int:
    """Number of the longest phrase (of the list whose buckets are `firsts`) at `at`, or -1. The text is
    `[start, end)`."""
    # Lower-case the first character and go to its bucket.
    c = code_points[at]
    folded = c + shifts[(np.int64(index[c >> 7]) << 7) | (c & 127)]
    bucket = folded % BUCKETS
    for number in range(firsts[bucket], firsts[bucket + 1]):
        # Phrases that share the bucket only, or do not fit in the span, are left out at once.
        first = offsets[number]
        length = offsets[number + 1] - first
        if folded != flat[first] or at + length > end or (place == SUFFIX and at + length != end):
            continue
        # Compare the other characters, each lower-cased by itself.
        i = 1
        while i < length:
            c = code_points[at + i]
            if c + shifts[(np.int64(index[c >> 7]) << 7) | (c & 127)] != flat[first + i]:
                break
            i += 1
        # The phrases are sorted by length, so that the first match is the longest.
        if i == length and _bounded(properties, at, at + length, start, end, kind):
            return number
    return -1


@kernel
def count_phrases(
    code_points: np.ndarray,
    properties: np.ndarray,
    start: int,
    end: int,
    which: int,
    kind: int,
    place: int,
    most: int,
    data: PhraseData,
) -> int:
    """Matches of list `which` in `[start, end)` that do not overlap, from the left, the longest at each place; counting
    stops at `most`."""
    flat, offsets, all_firsts, all_starting, index, shifts = data
    firsts = all_firsts[which]
    starting = all_starting[which]
    found = 0
    at = start
    while at < end and found < most:
        # Look closer only where a phrase can start; a whole word cannot start inside a word.
        if starting[code_points[at] & (BUCKETS - 1)] and not (
            kind != SUBSTRINGS and at > start and properties[at] & properties[at - 1] & WORD
        ):
            number = _match(code_points, properties, at, start, end, kind, place, flat, offsets, firsts, index, shifts)
            # Matches do not overlap: go on behind the match.
            found += number >= 0
            at += offsets[number + 1] - offsets[number] if number >= 0 else 1
        else:
            at += 1
        # A prefix can only stand at the start of the span.
        if place == PREFIX:
            break
    return found


@kernel
def count_stop_words(
    code_points: np.ndarray, properties: np.ndarray, n: int, which: int, kind: int, data: PhraseData
) -> tuple[int, int]:
    """Matches of list `which`, as `count_phrases` finds them anywhere, and how many different phrases are among them;
    0 where `which` is -1, no list."""
    if which < 0:
        return 0, 0
    flat, offsets, all_firsts, all_starting, index, shifts = data
    firsts, starting = all_firsts[which], all_starting[which]
    met = np.zeros(firsts[BUCKETS] - firsts[0], np.bool_)
    found = 0
    different = 0
    at = 0
    while at < n:
        number = -1
        # Look closer only where a phrase can start.
        if starting[code_points[at] & (BUCKETS - 1)]:
            number = _match(code_points, properties, at, 0, n, kind, ANYWHERE, flat, offsets, firsts, index, shifts)
        if number < 0:
            at += 1
            continue
        found += 1
        different += not met[number - firsts[0]]
        met[number - firsts[0]] = True
        at += offsets[number + 1] - offsets[number]
    return found, different


@kernel
def count_words(properties: np.ndarray, n: int) -> int:
    """Words of str.split: the places where a blank is followed by another character."""
    words = 0
    before = np.uint16(SPACE)
    for i in range(n):
        words += ((before & ~properties[i]) // SPACE) & 1
        before = properties[i]
    return words


@kernel
def measure_phrases(
    code_points: np.ndarray,
    properties: np.ndarray,
    n: int,
    which: int,
    kind: int,
    place: int,
    words: int,
    data: PhraseData,
    out: np.ndarray,
) -> None:
    """The number of matches, and that number per word, of which there are `words` (infinite where there is none)."""
    found = count_phrases(code_points, properties, 0, n, which, kind, place, n + 1, data)
    # The number of matches, then matches per word.
    out[0] = found
    out[1] = found / words if words else (np.inf if found else 0.0)


@kernel
def drop_phrase_lines(
    code_points: np.ndarray,
    properties: np.ndarray,
    starts: np.ndarray,
    ends: np.ndarray,
    counts: np.ndarray,
    first: int,
    last: int,
    which: int,
    kind: int,
    place: int,
    max_words: float,
    data: PhraseData,
) -> int:
    """Take the lines of at most `max_words` words that hold a phrase out of the list of lines (see `lines`; row 2 of
    `counts` has the words); returns the new `last`."""
    kept = first
    for k in range(first, last):
        # One match is enough to drop a line.
        if counts[2, k] <= max_words and count_phrases(
            code_points, properties, starts[k], ends[k], which, kind, place, 1, data
        ):
            continue
        # Lines that stay move up in the list.
        if k != kept:
            starts[kept] = starts[k]
            ends[kept] = ends[k]
            for row in range(3):
                counts[row, kept] = counts[row, k]
        kept += 1
    return kept
