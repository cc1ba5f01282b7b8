"""Gopher's repetition signals (Rae et al. 2021, table A1) on a decoded document, exactly as DCLM counts them.

Equal segments and words are found by hash and confirmed by comparison, then numbered; an n-gram is the pair (number of
its first n-1 words, number of its last word), so n-grams are counted without collisions. Only positions whose
(n-1)-gram repeats can start an n-gram that repeats, which leaves little to do beyond n = 3 on ordinary text.
"""

import numpy as np

from tamis.kernels.jit import kernel
from tamis.kernels.unicode_tables import ALNUM, SPACE, WORD_BREAK_MASK
from tamis.kernels.words import ALETTER, next_boundary
from tamis.kernels.words import SPACE as BLANK

NEWLINE = 10
SIGNALS = (
    "duplicate_line_fraction", "duplicate_paragraph_fraction", "duplicate_line_character_fraction",
    "duplicate_paragraph_character_fraction", "top_2gram_fraction", "top_3gram_fraction", "top_4gram_fraction",
    "duplicate_5gram_fraction", "duplicate_6gram_fraction", "duplicate_7gram_fraction", "duplicate_8gram_fraction",
    "duplicate_9gram_fraction", "duplicate_10gram_fraction",
)  # fmt: skip
"""Fractions; segments that occur k > 1 times count k times; n-gram fractions are of the characters of all words."""
MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
HASHED = np.uint64(1 << 63)


@kernel
def table_size(count: int) -> int:
    """Power of two at least twice `count`."""
    size = 4
    while size < 2 * count:
        size *= 2
    return size


@kernel
def _hash(code_points: np.ndarray, start: int, end: int) -> np.uint64:
    """Two lanes of two characters each, so that the multiplications overlap."""
    h = np.uint64(end - start)
    other = np.uint64(0)
    i = start
    while i + 4 <= end:
        h = (h ^ (np.uint64(code_points[i]) | (np.uint64(code_points[i + 1]) << np.uint64(32)))) * MULTIPLIER
        h ^= h >> np.uint64(29)
        other = (
            other ^ (np.uint64(code_points[i + 2]) | (np.uint64(code_points[i + 3]) << np.uint64(32)))
        ) * MULTIPLIER
        other ^= other >> np.uint64(31)
        i += 4
    while i < end:
        h = (h ^ np.uint64(code_points[i])) * MULTIPLIER
        h ^= h >> np.uint64(29)
        i += 1
    return h ^ other


@kernel
def _key(code_points: np.ndarray, start: int, end: int) -> np.uint64:
    """The span itself, length and eight bits a character, when it is at most seven ASCII characters; else its hash,
    HASHED set."""
    if end - start <= 7:
        packed = np.uint64(0)
        seen = 0
        for i in range(start, end):
            packed = (packed << np.uint64(8)) | np.uint64(code_points[i])
            seen |= code_points[i]
        if seen < 128:
            return packed | (np.uint64(end - start) << np.uint64(56))
    return _hash(code_points, start, end) | HASHED


@kernel
def number_spans(
    code_points: np.ndarray, starts: np.ndarray, ends: np.ndarray, count: int, numbers: np.ndarray, totals: np.ndarray
) -> int:
    """Give equal spans equal `numbers` (from 0, in order of first occurrence) and count them in `totals`; returns how
    many are distinct."""
    keys = np.empty(count, np.uint64)
    for k in range(count):
        keys[k] = _key(code_points, starts[k], ends[k])
    return number_keys(code_points, starts, ends, keys, count, numbers, totals)


@kernel
def number_keys(
    code_points: np.ndarray,
    starts: np.ndarray,
    ends: np.ndarray,
    keys: np.ndarray,
    count: int,
    numbers: np.ndarray,
    totals: np.ndarray,
) -> int:
    """`number_spans` where each span's `_key` is known."""
    size = table_size(count)
    mask = np.uint64(size - 1)
    slots = np.full(size, -1, np.int32)
    slot_keys = np.empty(size, np.uint64)
    first = np.empty(count, np.int32)
    distinct = 0
    for k in range(count):
        key = keys[k]
        slot = ((key * MULTIPLIER) >> np.uint64(32)) & mask
        while True:
            number = slots[slot]
            if number < 0:
                slots[slot] = distinct
                slot_keys[slot] = key
                first[distinct] = k
                totals[distinct] = 1
                numbers[k] = distinct
                distinct += 1
                break
            if slot_keys[slot] == key and (key < HASHED or _same(code_points, starts, ends, k, first[number])):
                totals[number] += 1
                numbers[k] = number
                break
            slot = (slot + np.uint64(1)) & mask
    return distinct


@kernel
def _same(code_points: np.ndarray, starts: np.ndarray, ends: np.ndarray, k: int, other: int) -> bool:
    """Whether two spans hold the same characters."""
    start, other_start = starts[k], starts[other]
    length = ends[k] - start
    if ends[other] - other_start != length:
        return False
    for i in range(length):  # noqa: SIM110 - Numba compiles loops, not generators
        if code_points[start + i] != code_points[other_start + i]:
            return False
    return True


@kernel
def word_keys(
    code_points: np.ndarray, properties: np.ndarray, n: int, starts: np.ndarray, ends: np.ndarray, keys: np.ndarray
) -> int:
    """Tokens of UAX #29 whose first character is a letter or digit, as `[starts[k], ends[k])` with their `keys[k]`,
    which for most words are taken while the letters are passed over; returns how many."""
    count = 0
    at = 0
    while at < n:
        word = properties[at]
        kind = word & WORD_BREAK_MASK
        start = at
        if kind == ALETTER and word & ALNUM:
            packed = np.uint64(0)
            seen = 0
            while at < n and properties[at] & WORD_BREAK_MASK == ALETTER:
                packed = (packed << np.uint64(8)) | np.uint64(code_points[at])
                seen |= code_points[at]
                at += 1
            end = at
            if at < n and properties[at] & WORD_BREAK_MASK != BLANK:
                end = next_boundary(properties, start, n)
            starts[count] = start
            ends[count] = end
            if end == at and end - start <= 7 and seen < 128:
                keys[count] = packed | (np.uint64(end - start) << np.uint64(56))
            else:
                keys[count] = _key(code_points, start, end)
            count += 1
            at = end
        elif kind == BLANK and at + 1 < n and properties[at + 1] & WORD_BREAK_MASK == ALETTER:
            at += 1
        else:
            at = next_boundary(properties, at, n)
            if word & ALNUM:
                starts[count] = start
                ends[count] = at
                keys[count] = _key(code_points, start, at)
                count += 1
    return count


@kernel
def segment_spans(
    code_points: np.ndarray, properties: np.ndarray, n: int, by_paragraph: bool, starts: np.ndarray, ends: np.ndarray
) -> int:
    """Stripped lines, or paragraphs (parted by two newlines in a row), that are not blank; returns how many."""
    count = 0
    start = 0
    i = 0
    while i <= n:
        if i < n and not (
            code_points[i] == NEWLINE and (not by_paragraph or (i + 1 < n and code_points[i + 1] == NEWLINE))
        ):
            i += 1
            continue
        first, last = start, i
        while first < last and properties[first] & SPACE:
            first += 1
        while last > first and properties[last - 1] & SPACE:
            last -= 1
        if first < last:
            starts[count] = first
            ends[count] = last
            count += 1
        i += 2 if by_paragraph else 1
        start = i
    return count


@kernel
def _segment_fractions(
    code_points: np.ndarray, starts: np.ndarray, ends: np.ndarray, count: int
) -> tuple[float, float]:
    """Share of segments, and of their characters, in segments that occur more than once; 1 when there is none."""
    if count == 0:
        return 1.0, 1.0
    numbers = np.empty(count, np.int32)
    totals = np.empty(count, np.int32)
    number_spans(code_points, starts, ends, count, numbers, totals)
    repeated = 0
    repeated_characters = 0
    characters = 0
    for k in range(count):
        length = ends[k] - starts[k]
        characters += length
        if totals[numbers[k]] > 1:
            repeated += 1
            repeated_characters += length
    return repeated / count, repeated_characters / characters


@kernel
def _extend_grams(
    grams: np.ndarray, numbers: np.ndarray, positions: np.ndarray, count: int, n: int, totals: np.ndarray
) -> int:
    """From (n-1)-grams to n-grams, in place. `positions[:count]` are the ascending starts of repeated (n-1)-grams and
    `grams[:count]` their numbers; on return the same of n-grams. `totals[g]` counts gram `g`. Returns the new count."""
    kept = 0
    for k in range(count - 1):
        if positions[k + 1] == positions[k] + 1:
            positions[kept] = positions[k]
            grams[kept] = grams[k]
            kept += 1
    if kept == 0:
        return 0
    size = table_size(kept)
    mask = np.uint64(size - 1)
    slots = np.full(size, -1, np.int32)
    keys = np.empty(kept, np.uint64)
    distinct = 0
    for k in range(kept):
        key = (np.uint64(grams[k]) << np.uint64(32)) | np.uint64(numbers[positions[k] + n - 1])
        slot = ((key * MULTIPLIER) >> np.uint64(20)) & mask
        while slots[slot] >= 0 and keys[slots[slot]] != key:
            slot = (slot + np.uint64(1)) & mask
        number = slots[slot]
        if number < 0:
            number = distinct
            slots[slot] = number
            keys[number] = key
            totals[number] = 0
            distinct += 1
        totals[number] += 1
        grams[k] = number
    repeated = 0
    for k in range(kept):
        if totals[grams[k]] > 1:
            positions[repeated] = positions[k]
            grams[repeated] = grams[k]
            repeated += 1
    return repeated


@kernel
def _top_characters(
    grams: np.ndarray, positions: np.ndarray, count: int, n: int, totals: np.ndarray, lengths: np.ndarray
) -> int:
    """Characters of the most frequent n-gram times its count; among equally frequent ones, of the longest."""
    best = 0
    longest = 0
    for k in range(count):
        total = totals[grams[k]]
        if total < best:
            continue
        length = 0
        for i in range(positions[k], positions[k] + n):
            length += lengths[i]
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
        for i in range(max(covered, positions[k]), positions[k] + n):
            total += lengths[i]
        covered = positions[k] + n
    return total


@kernel
def ngram_fractions(
    code_points: np.ndarray, starts: np.ndarray, ends: np.ndarray, keys: np.ndarray, count: int, out: np.ndarray
) -> None:
    """The nine n-gram fractions (n = 2..10) into `out[:9]`; 0 where nothing repeats."""
    out[:9] = 0.0
    if count < 2:
        return
    numbers = np.empty(count, np.int32)
    totals = np.empty(count, np.int32)
    number_keys(code_points, starts, ends, keys, count, numbers, totals)
    lengths = np.empty(count, np.int32)
    positions = np.empty(count, np.int32)
    grams = np.empty(count, np.int32)
    characters = 0
    repeated = 0
    for k in range(count):
        lengths[k] = ends[k] - starts[k]
        characters += lengths[k]
        if totals[numbers[k]] > 1:
            positions[repeated] = k
            grams[repeated] = numbers[k]
            repeated += 1
    for n in range(2, 11):
        repeated = _extend_grams(grams, numbers, positions, repeated, n, totals)
        if repeated == 0:
            return
        if n <= 4:
            out[n - 2] = _top_characters(grams, positions, repeated, n, totals, lengths) / characters
        else:
            out[n - 2] = _covered_characters(positions, repeated, n, lengths) / characters


@kernel
def measure_repetition(
    code_points: np.ndarray, properties: np.ndarray, n: int, starts: np.ndarray, ends: np.ndarray, out: np.ndarray
) -> None:
    """SIGNALS into `out[:13]` and the number of words into `out[13]`; `starts`, `ends` are scratch of n places."""
    count = segment_spans(code_points, properties, n, False, starts, ends)
    out[0], out[2] = _segment_fractions(code_points, starts, ends, count)
    count = segment_spans(code_points, properties, n, True, starts, ends)
    out[1], out[3] = _segment_fractions(code_points, starts, ends, count)
    keys = np.empty(n, np.uint64)
    count = word_keys(code_points, properties, n, starts, ends, keys)
    ngram_fractions(code_points, starts, ends, keys, count, out[4:13])
    if n == 0:
        out[4:13] = 1.0
    out[13] = count
