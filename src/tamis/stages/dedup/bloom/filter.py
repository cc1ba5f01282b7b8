"""The exact size that a blocked Bloom filter needs, from its false-positive rate averaged over unevenly filled
blocks."""

import math
import os
from dataclasses import dataclass

import numpy as np

BLOCK_BYTES = 64
WORDS, WORD_BITS = 8, 64
"""Bits in a block, as in kernels.dedup.bloom."""
MARGIN = 0.99
"""Filters are sized for this share of the requested rate, so that random differences in how blocks fill do not lift it
above the requested rate."""


@dataclass(frozen=True, kw_only=True)
class FilterShape:
    """`num_blocks` cache lines; an n-gram sets `per_word` bits in each of the eight words of its block."""

    num_blocks: int
    per_word: int

    @property
    def num_bytes(self) -> int:
        return BLOCK_BYTES * self.num_blocks

    def empty(self) -> np.ndarray:
        """The filter's words, uint64[8 * num_blocks]. Raises MemoryError when the machine has less memory than that:
        the system hands out more than there is, and ends the process when it is used."""
        if self.num_bytes > os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"):
            raise MemoryError(f"a filter of {self.num_bytes} bytes")
        return np.zeros(WORDS * self.num_blocks, np.uint64)

    def false_positive_rate(self, num_ngrams: int) -> float:
        """The false-positive rate: the share of new n-grams that are taken for seen after `num_ngrams` different ones
        were added.

        The n-grams of a block follow Poisson's distribution. With j of them, a bit of a word is still 0 with
        probability q = (1 - 1/64)^j for one bit per word; the words of a block fill independently, so the look-up
        succeeds with (1 - q)^8. Two bits per word: the same with the second moment of the bits set by 2j draws.
        """
        if num_ngrams == 0:
            return 0.0
        mean = num_ngrams / self.num_blocks
        spread = 12 * math.sqrt(mean) + 40
        counts = np.arange(max(int(mean - spread), 0), int(mean + spread) + 1)
        log_factorials = np.array([math.lgamma(count + 1) for count in counts])
        weights = np.exp(counts * math.log(mean) - mean - log_factorials)
        draws = counts * self.per_word
        one_clear = (1 - 1 / WORD_BITS) ** draws
        if self.per_word == 1:
            word = 1 - one_clear
        else:  # E[(X/64)^2], X of the 64 bits being set
            both_clear = (1 - 2 / WORD_BITS) ** draws
            clear_squared = one_clear / WORD_BITS + (1 - 1 / WORD_BITS) * both_clear
            word = 1 - 2 * one_clear + clear_squared
        return float(np.sum(weights * np.maximum(word, 0) ** WORDS))


def size_filter(num_ngrams: int, fp_rate: float) -> FilterShape:
    """The smallest filter whose false-positive rate is at most `fp_rate` (up to 0.5) once it holds `num_ngrams`."""
    shapes = []
    fp_rate *= MARGIN
    for per_word in (1, 2):
        low, high = 0, max(num_ngrams // 256, 1)
        while FilterShape(num_blocks=high, per_word=per_word).false_positive_rate(num_ngrams) > fp_rate:
            low, high = high, 2 * high
        while high - low > 1:
            middle = (low + high) // 2
            if FilterShape(num_blocks=middle, per_word=per_word).false_positive_rate(num_ngrams) > fp_rate:
                low = middle
            else:
                high = middle
        shapes.append(FilterShape(num_blocks=high, per_word=per_word))
    return min(shapes, key=lambda shape: shape.num_blocks)


def largest_filter(num_bytes: int, num_ngrams: int) -> FilterShape:
    """The filter of at most `num_bytes` (at least one block) that has the lowest false-positive rate once it holds
    `num_ngrams`."""
    num_blocks = max(num_bytes // BLOCK_BYTES, 1)
    shapes = [FilterShape(num_blocks=num_blocks, per_word=per_word) for per_word in (1, 2)]
    return min(shapes, key=lambda shape: shape.false_positive_rate(num_ngrams))
