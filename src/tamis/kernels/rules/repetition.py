"""Gopher's repetition signals (Rae et al. 2021, table A1) on a decoded document, exactly as DCLM counts them.

Equal segments and words are found by hash and confirmed by comparison, then numbered; an n-gram is the pair (number of
its first n-1 words, number of its last word), so n-grams are counted without collisions. Only positions whose
(n-1)-gram repeats can start an n-gram that repeats, which leaves little to do beyond n = 3 on ordinary text.
"""

import numpy as np

from tamis.kernels.jit import kernel
from tamis.kernels.rules.edits import piece_end, stripped
from tamis.kernels.text import bits
from tamis.kernels.text.script_words import BY_BLANKS, list_script_words
from tamis.kernels.text.words import list_words

SIGNALS = (
    "duplicate_line_fraction", "duplicate_paragraph_fraction", "duplicate_line_character_fraction",
    "duplicate_paragraph_character_fraction", "top_2gram_fraction", "top_3gram_fraction", "top_4gram_fraction",
    "duplicate_5gram_fraction", "duplicate_6gram_fraction", "duplicate_7gram_fraction", "duplicate_8gram_fraction",
    "duplicate_9gram_fraction", "duplicate_10gram_fraction",
)  # fmt: skip
"""Fractions; segments that occur k > 1 times count k times; n-gram fractions are of the characters of all words."""
MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
FLAG = np.uint64(1 << 63)
"""Set in the keys of n-grams and of words that are not their own key, in no other."""
ALL_BITS = np.uint64(0xFFFFFFFFFFFFFFFF)
NOT_ASCII = np.uint64(0x8080808080808080)


@kernel
def table_size(count: int) -> int:
    """Power of two at least one and a half times `count`."""
    # A power of two, so that a mask takes the place of a division.
    size = 4
    while 2 * size < 3 * count:
        size *= 2
    return size


@kernel
def _hash(code_points: np.ndarray, start: int, end: int) -> np.uint64:
    """A hash of the characters of a span; equal spans have equal hashes."""
    # Eight characters a step; the last step masks off what does not belong to the span.
    h = np.uint64(end - start)
    at = start
    while at < end:
        folded = np.uint64(bits.fold(code_points, at))
        if end - at < bits.PACKED:
            folded &= _low_bytes(end - at)
        h = (h ^ folded) * MULTIPLIER
        h ^= h >> np.uint64(32)
        at += bits.PACKED
    return h


@kernel
def _low_bytes(length: int) -> np.uint64:
    """The lowest 1 to 8 bytes."""
    return ALL_BITS >> np.uint64(8 * (bits.PACKED - length))


@kernel
def _ends_key(code_points: np.ndarray, start: int, end: int) -> np.uint64:
    """A hash of the length and of the first and last eight characters."""
    # Short spans count their characters twice, which does no harm.
    mask = _low_bytes(min(end - start, bits.PACKED))
    head = np.uint64(bits.fold(code_points, start)) & mask
    tail = np.uint64(bits.fold(code_points, max(start, end - bits.PACKED))) & mask
    return (((head * MULTIPLIER) ^ tail) * MULTIPLIER) ^ np.uint64(end - start)


@kernel
def number_spans(
    code_points: np.ndarray, starts: np.ndarray, ends: np.ndarray, count: int, numbers: np.ndarray, totals: np.ndarray
) -> int:
    """Give equal spans equal `numbers` (from 0, in order of first occurrence) and count them in `totals`; returns how
    many are distinct."""
    # An open-addressing table of numbers; the hash of each number decides before characters are compared.
    size = table_size(count)
    mask = np.uint64(size - 1)
    slots = np.full(size, -1, np.int32)
    hashes = np.empty(count, np.uint64)
    first = np.empty(count, np.int32)
    distinct = 0
    for k in range(count):
        # Search from the slot of the hash until the span or a free slot is found.
        h = _hash(code_points, starts[k], ends[k])
        slot = (h >> np.uint64(20)) & mask
        number = slots[slot]
        while number >= 0 and not (hashes[number] == h and _same(code_points, starts, ends, k, first[number])):
            slot = (slot + np.uint64(1)) & mask
            number = slots[slot]
        # A new span gets the next number.
        if number < 0:
            number = distinct
            slots[slot] = number
            hashes[number] = h
            first[number] = k
            totals[number] = 0
            distinct += 1
        # Count it, and tell the caller its number.
        totals[number] += 1
        numbers[k] = number
    return distinct


@kernel
def number_keys(keys: np.ndarray, count: int, numbers: np.ndarray, totals: np.ndarray) -> None:
    """Give equal `keys[:count]` (none of them 0) equal `numbers`, and count them in `totals`. One branch a key, which
    is foreseeable: whether a place of the table was the right one at once."""
    # The keys themselves stand in the table; their numbers stand beside them.
    size = table_size(count)
    mask = np.uint64(size - 1)
    table = np.zeros(size, np.uint64)
    number_of = np.empty(size, np.int32)
    distinct = 0
    for k in range(count):
        # Search from the key's slot until the key or a free slot is found.
        key = keys[k]
        slot = ((key * MULTIPLIER) >> np.uint64(32)) & mask
        found = table[slot]
        while (found != key) & (found != 0):
            slot = (slot + np.uint64(1)) & mask
            found = table[slot]
        # Write the entry whether it is new or not: that costs less than a branch.
        new = found == 0
        number = distinct if new else number_of[slot]
        table[slot] = key
        number_of[slot] = number
        totals[number] = 1 if new else totals[number] + 1
        numbers[k] = number
        distinct += new


@kernel
def _same(code_points: np.ndarray, starts: np.ndarray, ends: np.ndarray, k: int, other: int) -> bool:
    """Whether two spans hold the same characters."""
    # Spans of different lengths differ.
    start, other_start = starts[k], starts[other]
    length = ends[k] - start
    if ends[other] - other_start != length:
        return False
    # Compare a block of characters at a time, without those behind the end.
    for at in range(0, length, bits.LANES):
        if ~bits.equal(code_points, start + at, other_start + at) & bits.before(length, at):
            return False
    return True


@kernel
def list_segments(properties: np.ndarray, n: int, newlines: int, starts: np.ndarray, ends: np.ndarray) -> int:
    """Stripped lines (`newlines` 1), or paragraphs (2: separated by two newlines in a row), that are not blank; returns
    how many."""
    count = 0
    start = 0
    while start < n:
        # A segment that is blank once stripped is overwritten by the next one.
        end = piece_end(properties, start, n, newlines)
        starts[count], ends[count] = stripped(properties, start, end)
        count += starts[count] < ends[count]
        start = end + newlines
    return count


@kernel
def _segment_fractions(
    code_points: np.ndarray, starts: np.ndarray, ends: np.ndarray, count: int
) -> tuple[float, float]:
    """Share of segments, and of their characters, in segments that occur more than once; 1 when there is none. Only
    segments that are like another at both ends are read whole; `starts` and `ends` of those are moved together."""
    if count == 0:
        return 1.0, 1.0
    # Give every segment a cheap key over its length and both ends.
    keys = np.empty(count, np.uint64)
    places = np.empty(count, np.int32)
    characters = 0
    for k in range(count):
        keys[k] = _ends_key(code_points, starts[k], ends[k])
        places[k] = k
        characters += ends[k] - starts[k]
    # Segments whose key is unique repeat nothing; move the others together.
    alike = _drop_lone_keys(keys, places, count)
    for k in range(alike):
        starts[k] = starts[places[k]]
        ends[k] = ends[places[k]]
    # Number the rest by their whole text.
    numbers = np.empty(alike, np.int32)
    totals = np.empty(alike, np.int32)
    number_spans(code_points, starts, ends, alike, numbers, totals)
    # Count those that occur more than once, and their characters.
    repeated = 0
    repeated_characters = 0
    for k in range(alike):
        if totals[numbers[k]] > 1:
            repeated += 1
            repeated_characters += ends[k] - starts[k]
    return repeated / count, repeated_characters / characters


@kernel
def _extend_grams(
    grams: np.ndarray,
    numbers: np.ndarray,
    positions: np.ndarray,
    count: int,
    n: int,
    totals: np.ndarray,
    keys: np.ndarray,
) -> int:
    """From (n-1)-grams to n-grams, in place. `positions[:count]` are the ascending starts of repeated (n-1)-grams and
    `grams[:count]` their numbers; on return the same of n-grams. `totals[g]` counts gram `g`; `keys` is scratch.
    Returns the new count."""
    # An n-gram repeats only where the (n-1)-grams at its start and one word later both repeat.
    kept = 0
    for k in range(count - 1):
        position = positions[k]
        following = positions[k + 1] == position + 1
        # Its key joins the number of the first n-1 words with that of the last word.
        keys[kept] = (
            FLAG | (np.uint64(grams[k]) << np.uint64(32)) | np.uint64(numbers[position + n - 1 if following else 0])
        )
        positions[kept] = position
        kept += following
    # Sort out keys that are unique before the others are numbered.
    kept = _drop_lone_keys(keys, positions, kept)
    if kept == 0:
        return 0
    number_keys(keys, kept, grams, totals)
    # Keep the positions of n-grams that occur more than once.
    repeated = 0
    for k in range(kept):
        gram = grams[k]
        positions[repeated] = positions[k]
        grams[repeated] = gram
        repeated += totals[gram] > 1
    return repeated


@kernel
def _drop_lone_keys(keys: np.ndarray, positions: np.ndarray, count: int) -> int:
    """Take out most keys that occur once, and their positions: those that share no place of a table with another key.
    Without a branch, unlike the numbering of what is left; returns how much that is."""
    # The first pass notes how many keys fall into each place of a table, up to several.
    mask = np.uint64(2 * table_size(count) - 1)
    met = np.zeros(np.int64(mask) + 1, np.uint8)
    for k in range(count):
        place = ((keys[k] * MULTIPLIER) >> np.uint64(32)) & mask
        met[place] = (met[place] << 1) | 1
    # The second pass keeps the keys whose place was met more than once.
    kept = 0
    for k in range(count):
        key = keys[k]
        keys[kept] = key
        positions[kept] = positions[k]
        kept += met[((key * MULTIPLIER) >> np.uint64(32)) & mask] > 1
    return kept


@kernel
def _top_characters(
    grams: np.ndarray, positions: np.ndarray, count: int, n: int, totals: np.ndarray, lengths: np.ndarray
) -> int:
    """Characters of the most frequent n-gram times its count; among equally frequent ones, of the longest."""
    best = 0
    longest = 0
    for k in range(count):
        # Only n-grams at least as frequent as the best so far need their length.
        total = totals[grams[k]]
        if total < best:
            continue
        length = 0
        for i in range(positions[k], positions[k] + n):
            length += lengths[i]
        # More frequent wins; among equals the longer one does.
        if total > best or length > longest:
            best = total
            longest = length
    return longest * best


@kernel
def _covered_characters(positions: np.ndarray, count: int, n: int, lengths: np.ndarray) -> int:
    """Characters of the words inside any repeated n-gram, each word counted once."""
    total = 0
    covered = 0
    for k in range(count):
        # Start behind the words that the n-gram before has covered.
        for i in range(max(covered, positions[k]), positions[k] + n):
            total += lengths[i]
        covered = positions[k] + n
    return total


@kernel
def _key_words(
    code_points: np.ndarray,
    starts: np.ndarray,
    ends: np.ndarray,
    count: int,
    keys: np.ndarray,
    numbers: np.ndarray,
    totals: np.ndarray,
) -> None:
    """Equal `keys` for equal words: a word of at most eight ASCII characters is its own key, a byte a character (no
    word holds NUL); the others are numbered. `starts` and `ends` of those are moved together; `numbers` and `totals`
    are scratch."""
    # Try to make every word its own key; words for which that fails are collected.
    others = 0
    places = np.empty(count, np.int32)
    for k in range(count):
        start, length = starts[k], ends[k] - starts[k]
        packed = np.uint64(bits.pack(code_points, start)) & _low_bytes(min(length, bits.PACKED))
        keys[k] = packed
        places[others] = k
        starts[others] = start
        ends[others] = start + length
        # Too long for eight bytes, or not ASCII.
        others += (length > bits.PACKED) | (packed & NOT_ASCII != 0)
    # Number the collected words; the flag keeps their keys apart from packed words.
    number_spans(code_points, starts, ends, others, numbers, totals)
    for k in range(others):
        keys[places[k]] = FLAG | np.uint64(numbers[k])


@kernel
def ngram_fractions(code_points: np.ndarray, starts: np.ndarray, ends: np.ndarray, count: int, out: np.ndarray) -> None:
    """The nine n-gram fractions (n = 2..10) of the words `[starts[k], ends[k])` into `out[:9]`; 0 where nothing
    repeats."""
    out[:9] = 0.0
    if count < 2:
        return
    # The length of each word, and of all words together.
    lengths = np.empty(count, np.int32)
    characters = 0
    for k in range(count):
        lengths[k] = ends[k] - starts[k]
        characters += lengths[k]
    # Scratch for words and n-grams; both are identified by numbers.
    keys = np.empty(count, np.uint64)
    numbers = np.empty(count, np.int32)
    totals = np.empty(count, np.int32)
    positions = np.empty(count, np.int32)
    grams = np.empty(count, np.int32)
    _key_words(code_points, starts, ends, count, keys, numbers, totals)
    number_keys(keys, count, numbers, totals)
    # Start from the words that occur more than once: they are the repeated 1-grams.
    repeated = 0
    for k in range(count):
        number = numbers[k]
        positions[repeated] = k
        grams[repeated] = number
        repeated += totals[number] > 1
    for n in range(2, 11):
        repeated = _extend_grams(grams, numbers, positions, repeated, n, totals, keys)
        if repeated == 0:
            return
        # Up to four words the most frequent n-gram counts, from five words on all repeated ones.
        if n <= 4:
            out[n - 2] = _top_characters(grams, positions, repeated, n, totals, lengths) / characters
        else:
            out[n - 2] = _covered_characters(positions, repeated, n, lengths) / characters


@kernel
def measure_repetition(
    code_points: np.ndarray,
    properties: np.ndarray,
    n: int,
    starts: np.ndarray,
    ends: np.ndarray,
    way: int,
    out: np.ndarray,
) -> None:
    """SIGNALS into `out[:13]` and the number of words into `out[13]`; `starts`, `ends` are scratch of n places."""
    # Lines first, then paragraphs.
    for newlines in range(1, 3):
        count = list_segments(properties, n, newlines, starts, ends)
        out[newlines - 1], out[newlines + 1] = _segment_fractions(code_points, starts, ends, count)
    # The n-grams run over words of UAX #29 or of `script_words`; an empty document counts as fully repeated.
    if way == BY_BLANKS:
        count = list_words(properties, n, starts, ends)
    else:
        count, _ = list_script_words(code_points, properties, n, starts, ends)
    ngram_fractions(code_points, starts, ends, count, out[4:13])
    if n == 0:
        out[4:13] = 1.0
    out[13] = count
