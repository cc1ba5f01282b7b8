"""An upper bound on how deep a page's elements nest, at memory speed: 128 bytes of HTML per step, eight per word."""

import numpy as np

from tamis.kernels.jit import kernel

_ONES = np.uint64(0x0101010101010101)
_LOW_BITS = np.uint64(0x7F7F7F7F7F7F7F7F)
_LESS_THAN, _SLASH = np.uint64(0x3C3C3C3C3C3C3C3C), np.uint64(0x2F2F2F2F2F2F2F2F)
_TO_FLAG, _TO_TOTAL = np.uint64(7), np.uint64(56)
BLOCK_WORDS = 16
SLACK = 24 * BLOCK_WORDS
"""The bound exceeds the exact value by less than this: within a block of 128 bytes, closing tags count last."""


def nesting_bound(html: bytes | memoryview) -> int:
    """At least the largest excess of '<' without a slash over '</' in any stretch of `html`; less than SLACK more.

    Its twin, `reference.nesting.deepest_excess`, is the exact value.
    """
    num_words = max(0, len(html) - 1) // 8
    words = np.frombuffer(html, np.uint64, num_words)
    # The same bytes one place on, so that a word's lanes hold what follows each byte of the other's.
    following = np.frombuffer(html, np.uint64, num_words, 1) if num_words else words
    return int(_bound(words, following, np.frombuffer(html, np.uint8)))


@kernel
def _is_zero(word: np.uint64) -> np.uint64:
    """1 in every byte of the word that is 0, 0 in the others."""
    return ~(((word & _LOW_BITS) + _LOW_BITS) | word | _LOW_BITS) >> _TO_FLAG


@kernel
def _bound(words: np.ndarray, following: np.ndarray, data: np.ndarray) -> int:
    excess = deepest = 0
    num_blocks = words.size // BLOCK_WORDS
    for block in range(num_blocks):
        tags, ends = np.uint64(0), np.uint64(0)
        for i in range(block * BLOCK_WORDS, (block + 1) * BLOCK_WORDS):
            tag = _is_zero(words[i] ^ _LESS_THAN)
            tags += tag
            ends += tag & _is_zero(following[i] ^ _SLASH)
        num_ends = int((ends * _ONES) >> _TO_TOTAL)
        num_starts = int((tags * _ONES) >> _TO_TOTAL) - num_ends
        deepest = max(deepest, excess + num_starts)
        excess = max(excess + num_starts - num_ends, num_starts)
    for i in range(num_blocks * 8 * BLOCK_WORDS, data.size):
        if data[i] == ord("<"):
            excess += -1 if i + 1 < data.size and data[i + 1] == ord("/") else 1
            excess = max(excess, 0)
            deepest = max(deepest, excess)
    return deepest
