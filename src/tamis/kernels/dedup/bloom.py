"""N-grams of tokens as 64-bit hashes, a blocked Bloom filter over them, and DCLM's deduplication on both.

A block is one cache line: eight words of 64 bits. An n-gram has `per_word` bits (1 or 2) in each word of one block, so
a look-up costs one miss, and the words of a block fill independently, which makes its false-positive rate easy to
state.
"""

from typing import Any

import numpy as np

from tamis.kernels.instructions import prefetch
from tamis.kernels.jit import intrinsic, kernel, types
from tamis.kernels.text.rolling import append, drop, power
from tamis.kernels.text.uax_tokens import mix

# Eight words of 64 bits are one cache line.
WORDS_PER_BLOCK = 8
_BASE, _LENGTH, _SECOND_BITS = (
    np.uint64(value) for value in (0xD1342543DE82EF95, 0x9E3779B97F4A7C15, 0xA0761D6478BD642F)
)
_ZERO, _ONE, _SIX, _LAST_BIT = (np.uint64(value) for value in (0, 1, 6, 63))
_AHEAD = 32
"""Number of n-grams between the prefetch of a block and its use: more than a cache miss takes, and fewer than the
first-level cache holds."""
NEWLINE = 0x0A


@intrinsic
def high_product(_context: Any, left: Any, right: Any) -> Any:
    """Upper 64 bits of the product of two uint64: `left` scaled to `0..right - 1`."""

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        # Widen both factors to 128 bits and keep the upper half of the product.
        narrow = arguments[0].type
        wide = type(narrow)(128)
        product = builder.mul(*(builder.zext(argument, wide) for argument in arguments))
        return builder.trunc(builder.lshr(product, wide(64)), narrow)

    return types.uint64(types.uint64, types.uint64), generate


@kernel
def _close_unit(
    ngrams: np.ndarray, first: int, count: int, window: tuple[np.uint64, int, int], unit: int,
    numbers: np.ndarray, sizes: np.ndarray, units: int,
) -> tuple[int, int]:  # fmt: skip
    """End of a unit whose n-grams are `ngrams[first:count]`; `window` is its hash so far, its tokens, the least n-gram.
    Returns the numbers of n-grams and of units that have any."""
    # A unit too short for a whole n-gram is one shorter n-gram.
    state, length, least = window
    if count == first and length >= least:
        ngrams[count] = mix(state ^ (np.uint64(length) * _LENGTH))
        count += 1
    # Record the unit if it has any n-gram.
    if count > first:
        numbers[units], sizes[units] = unit, count - first
        units += 1
    return count, units


@kernel
def hash_ngrams(
    data: np.ndarray, offsets: np.ndarray, hashes: np.ndarray, starts: np.ndarray, ends: np.ndarray,
    token_offsets: np.ndarray, size: int, least: int, by_line: bool, ngrams: np.ndarray, ngram_offsets: np.ndarray,
    numbers: np.ndarray, sizes: np.ndarray, unit_offsets: np.ndarray,
) -> None:  # fmt: skip
    """N-grams of `size` tokens within each unit: a line (with the newline before it), or the document if not `by_line`.

    A unit with fewer tokens but at least `least` is one n-gram; with fewer than `least`, none. Outputs: uint64
    `ngrams`, room for one per token; of units that have n-grams their `numbers` in the document and how many (int32,
    room likewise); int64 `*_offsets`: where each document's begin.
    """
    # The length enters the hash, so that short units never equal whole n-grams.
    weight = power(_BASE, size)
    whole = np.uint64(size) * _LENGTH
    count, units = 0, 0
    ngram_offsets[0] = unit_offsets[0] = 0
    for document in range(len(offsets) - 1):
        # Every document starts a new unit.
        base, previous = offsets[document], 0
        unit, length, first, state = 0, 0, count, _ZERO
        for token in range(token_offsets[document], token_offsets[document + 1]):
            if by_line:
                # Newlines between two tokens end the unit before them.
                lines = 0
                for at in range(base + previous, base + starts[token]):
                    lines += data[at] == NEWLINE
                previous = ends[token]
                if lines:
                    window = (state, length, least)
                    count, units = _close_unit(ngrams, first, count, window, unit, numbers, sizes, units)
                    unit += lines
                    length, first, state = 0, count, _ZERO
            # Slide the window by one token; once it is full, each token completes an n-gram.
            state = append(state, _BASE, hashes[token])
            if length >= size:
                state = drop(state, weight, hashes[token - size])
            length += 1
            if length >= size:
                ngrams[count] = mix(state ^ whole)
                count += 1
        # The last unit ends with the document.
        count, units = _close_unit(ngrams, first, count, (state, length, least), unit, numbers, sizes, units)
        ngram_offsets[document + 1], unit_offsets[document + 1] = count, units


@kernel
def fetch_ahead(table: np.ndarray, num_blocks: np.uint64, ngrams: np.ndarray, at: int) -> None:
    """Prefetch the block of the n-gram that will be looked up `_AHEAD` places after that at `at`."""
    # Near the end the block of the last n-gram is prefetched again, which does no harm.
    prefetch(table, WORDS_PER_BLOCK * np.int64(high_product(ngrams[min(at + _AHEAD, len(ngrams) - 1)], num_blocks)))


@kernel
def contains(table: np.ndarray, num_blocks: np.uint64, ngram: np.uint64, per_word: int) -> bool:
    """Whether the filter contains the n-gram; it can be a false positive."""
    # The upper part of the hash picks the block, other bits of it the bits within.
    block = WORDS_PER_BLOCK * np.int64(high_product(ngram, num_blocks))
    bits, missing = mix(ngram), _ZERO
    for _ in range(per_word):
        # Collect missing bits over all words without a branch.
        rest = bits
        for word in range(WORDS_PER_BLOCK):
            missing |= ~table[block + word] & (_ONE << (rest & _LAST_BIT))
            rest >>= _SIX
        bits = mix(bits ^ _SECOND_BITS)
    return missing == _ZERO


@kernel
def insert(table: np.ndarray, num_blocks: np.uint64, ngram: np.uint64, per_word: int) -> None:
    """Put the n-gram into the filter."""
    # The same block and the same bits as in `contains`.
    block = WORDS_PER_BLOCK * np.int64(high_product(ngram, num_blocks))
    bits = mix(ngram)
    for _ in range(per_word):
        rest = bits
        for word in range(WORDS_PER_BLOCK):
            table[block + word] |= _ONE << (rest & _LAST_BIT)
            rest >>= _SIX
        bits = mix(bits ^ _SECOND_BITS)


@kernel
def insert_all(table: np.ndarray, ngrams: np.ndarray, per_word: int) -> None:
    """Put `ngrams` into the filter `table` (uint64[8 * blocks])."""
    # The length of the table decides which block an n-gram belongs to.
    num_blocks = np.uint64(len(table) // WORDS_PER_BLOCK)
    for at in range(len(ngrams)):
        fetch_ahead(table, num_blocks, ngrams, at)
        insert(table, num_blocks, ngrams[at], per_word)


@kernel
def find_all(table: np.ndarray, ngrams: np.ndarray, per_word: int, found: np.ndarray) -> None:
    """Write into `found` (bool) whether the filter contains each n-gram; it can be a false positive."""
    num_blocks = np.uint64(len(table) // WORDS_PER_BLOCK)
    for at in range(len(ngrams)):
        fetch_ahead(table, num_blocks, ngrams, at)
        found[at] = contains(table, num_blocks, ngrams[at], per_word)


@kernel
def judge_units(
    table: np.ndarray, ngrams: np.ndarray, sizes: np.ndarray, unit_offsets: np.ndarray, threshold: float, per_word: int,
    inserts: np.ndarray, contained: np.ndarray, removed: np.ndarray,
) -> None:  # fmt: skip
    """Decide the units of each document in turn: a unit is removed when more than `threshold` of its n-grams are in the
    filter, and the n-grams of a kept unit are added to the filter. `ngrams` (uint64) are those of all units, one unit
    after the other; `sizes` are their numbers per unit.

    Writes `removed` (bool) per unit and `contained` (int32) per document. Nothing is added to the filter for a document
    whose `inserts` (bool) is False.
    """
    num_blocks = np.uint64(len(table) // WORDS_PER_BLOCK)
    first = 0
    for document in range(len(contained)):
        total = 0
        for unit in range(unit_offsets[document], unit_offsets[document + 1]):
            # Look up every n-gram of the unit.
            last = first + sizes[unit]
            found = 0
            for at in range(first, last):
                fetch_ahead(table, num_blocks, ngrams, at)
                found += contains(table, num_blocks, ngrams[at], per_word)
            removed[unit] = found / (last - first) > threshold
            # The n-grams of a kept unit are added to the filter.
            if inserts[document] and not removed[unit]:
                for at in range(first, last):
                    insert(table, num_blocks, ngrams[at], per_word)
            # The next unit's n-grams follow.
            total += found
            first = last
        contained[document] = total
