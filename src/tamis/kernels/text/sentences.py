"""Sentences of a decoded document by a simple rule, without a model: where a mark ends one, and where it does not.

A sentence ends after a run of `. ! ?` or U+2026 and what closes (quotes, brackets), before a blank or the end of the
text; after the full-width marks of Chinese and Japanese also before anything else. A single full stop does not end one
before a lower-case letter, after a single letter (`J. Smith`) or after one of ABBREVIATIONS. Newlines are blanks like
others, as in Punkt, which DCLM uses. C4 and FineWeb split line by line, which the second signal counts. `by_script` is
for languages other than English: marks of all scripts end a sentence (those beyond Latin also before anything but a
blank), and no English abbreviation counts. The twin is `reference.text.sentences`.
"""

import numpy as np

from tamis.kernels.jit import kernel
from tamis.kernels.text import script_words, unicode_tables
from tamis.kernels.text.unicode_tables import ALNUM, ALPHA, CASED, SPACE, UPPER

SIGNALS = ("num_sentences", "num_line_sentences")
FULL_STOP = 46
NEWLINE = 10
ABBREVIATIONS = (
    "al", "approx", "apr", "aug", "ave", "cf", "co", "corp", "dec", "dept", "dr", "ed", "eds", "eq", "est", "feb",
    "fig", "figs", "gen", "gov", "inc", "jan", "jr", "lt", "ltd", "mr", "mrs", "ms", "mt", "no", "nov", "oct", "pp",
    "prof", "rep", "rev", "sec", "sen", "sep", "sept", "sgt", "sr", "st", "vol", "vs",
)  # fmt: skip
"""English words, lower case, after which a full stop ends no sentence."""
CLOSERS = "\"')]}»’”"
WIDE_MARKS = "。！？"


def _packed(word: str) -> int:
    """The bytes of an ASCII word as one integer."""
    key = 0
    for c in word:
        key = (key << 8) | ord(c)
    return key


# Words as integers, a byte for each letter, sorted for binary search.
_ABBREVIATIONS = np.array(sorted(map(_packed, ABBREVIATIONS)), np.int64)
_LONGEST = max(map(len, ABBREVIATIONS))


@kernel
def _wide(c: int, by_script: bool) -> bool:
    """Whether `c` is one of WIDE_MARKS, or with `by_script` a mark of any script beyond Latin."""
    # The full-width full stop, exclamation mark and question mark.
    if by_script:
        return c > 0x7F and c != 0x2026 and script_words.ends_sentence(c)
    return c == 0x3002 or c == 0xFF01 or c == 0xFF1F


@kernel
def _mark(c: int, by_script: bool) -> bool:
    """Whether `c` can end a sentence."""
    # The full stop, exclamation mark, question mark, ellipsis, and the full-width marks.
    return c == FULL_STOP or c == 33 or c == 63 or c == 0x2026 or _wide(c, by_script)


@kernel
def _closes(c: int, by_script: bool) -> bool:
    """Whether `c` is one of CLOSERS, or with `by_script` of those of any script."""
    if by_script:
        return script_words.closes_sentence(c)
    # Quotation marks, apostrophes and closing brackets.
    return c == 34 or c == 39 or c == 41 or c == 93 or c == 125 or c == 0xBB or c == 0x2019 or c == 0x201D


@kernel
def _abbreviates(code_points: np.ndarray, properties: np.ndarray, at: int, by_script: bool) -> bool:
    """Whether the word before the full stop at `at` is a single letter or, unless `by_script`, one of ABBREVIATIONS."""
    # Walk back over the word, but no further than the longest abbreviation.
    start = at
    while start > 0 and at - start <= _LONGEST and properties[start - 1] & ALNUM:
        start -= 1
    length = at - start
    if length == 0 or length > _LONGEST:
        return False
    # A single letter is an initial; a single digit is not.
    if length == 1:
        return properties[start] & ALPHA != 0
    if by_script:
        return False
    # Pack the word into an integer in lower case, and look it up.
    key = np.int64(0)
    for i in range(start, at):
        c = code_points[i]
        if not (65 <= c <= 90 or 97 <= c <= 122):
            return False
        key = (key << 8) | (c | 32)
    place = np.searchsorted(_ABBREVIATIONS, key)
    return bool(place < len(_ABBREVIATIONS) and _ABBREVIATIONS[place] == key)


@kernel
def next_sentence(code_points: np.ndarray, properties: np.ndarray, start: int, n: int, by_script: bool) -> int:
    """End of the sentence that `start` lies in: a place after its last mark and what closes it, or `n`."""
    at = start
    while at < n:
        # Find the next run of marks, and what closes after it.
        if not _mark(code_points[at], by_script):
            at += 1
            continue
        first = at
        wide = False
        while at < n and _mark(code_points[at], by_script):
            wide = wide or _wide(code_points[at], by_script)
            at += 1
        last = at
        while at < n and _closes(code_points[at], by_script):
            at += 1
        # At the end of the text the sentence ends in any case.
        if at == n:
            return n
        # Without a blank only a full-width mark ends a sentence.
        if not (properties[at] & SPACE):
            if wide:
                return at
            continue
        # A single full stop may belong to an abbreviation, or stand before a small letter.
        if last - first == 1 and code_points[first] == FULL_STOP:
            if _abbreviates(code_points, properties, first, by_script):
                continue
            following = at
            while following < n and properties[following] & SPACE:
                following += 1
            if following < n and properties[following] & CASED and not (properties[following] & UPPER):
                continue
        return at
    return n


@kernel
def _count(code_points: np.ndarray, properties: np.ndarray, n: int, by_script: bool) -> int:
    """Sentences that are not blank."""
    count = 0
    start = 0
    while start < n:
        # Skip blanks; whatever follows is a sentence.
        while start < n and properties[start] & SPACE:
            start += 1
        if start == n:
            break
        count += 1
        start = next_sentence(code_points, properties, start, n, by_script)
    return count


@kernel
def measure_sentences(
    code_points: np.ndarray, properties: np.ndarray, n: int, by_script: bool, out: np.ndarray
) -> None:
    """SIGNALS: sentences that are not blank, and those of each line by itself, added up."""
    out[0] = _count(code_points, properties, n, by_script)
    by_line = 0
    start = 0
    while start < n:
        # Line by line, as C4 and FineWeb count.
        end = start
        while end < n and code_points[end] != NEWLINE:
            end += 1
        by_line += _count(code_points[start:end], properties[start:end], end - start, by_script)
        start = end + 1
    out[1] = by_line


def split_sentences(page: str) -> list[str]:
    """The sentences of `page`, stripped, without blank ones."""
    # The same decoding as for whole columns, for a single text.
    code_points = np.frombuffer(page.encode("utf-32-le", "surrogatepass"), np.int32)
    index, table = unicode_tables.load()[:2]
    properties = table[(index[code_points >> 7].astype(np.int64) << 7) | (code_points & 127)]
    found = []
    start = 0
    while start < len(page):
        end = next_sentence(code_points, properties, start, len(page), False)
        if sentence := page[start:end].strip():
            found.append(sentence)
        start = end
    return found
