"""How deep elements nest: an upper bound at memory speed (eight bytes per word), and an estimate tag by tag."""

import numpy as np

from tamis.kernels.jit import kernel

# Constants with the same value in each of the eight bytes of a word.
_ONES = np.uint64(0x0101010101010101)
_LOW_BITS = np.uint64(0x7F7F7F7F7F7F7F7F)
_LESS_THAN, _SLASH = np.uint64(0x3C3C3C3C3C3C3C3C), np.uint64(0x2F2F2F2F2F2F2F2F)
_TO_FLAG, _TO_TOTAL = np.uint64(7), np.uint64(56)
BLOCK_WORDS = 16
SLACK = 24 * BLOCK_WORDS
"""The bound exceeds the exact value by less than this: within a block of 128 bytes, closing tags count last."""

SHALLOW = (
    "area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr", "param", "li",
    "p", "option", "td", "tr", "th", "dt", "dd",
)  # fmt: skip
"""Elements without content, or that a parser closes by itself, so that they do not nest in one another."""
FOREIGN = ("svg", "math")
"""Elements inside which `/>` closes a tag; in HTML proper it means nothing (WHATWG HTML, section 13.1.2.1)."""
_PACKED_FOREIGN = tuple(int.from_bytes(name.encode(), "big") for name in FOREIGN)
_PACKED = tuple(int.from_bytes(name.encode(), "big") for name in SHALLOW)
_LONGEST = max(map(len, SHALLOW))


def nesting_bound(html: bytes | memoryview) -> int:
    """At least the largest excess of '<' without a slash over '</' in any stretch of `html`; less than SLACK more.

    Its twin, `reference.html.nesting.deepest_excess`, is the exact value.
    """
    num_words = max(0, len(html) - 1) // 8
    words = np.frombuffer(html, np.uint64, num_words)
    # The same bytes one place on, so that a word's lanes hold what follows each byte of the other's.
    following = np.frombuffer(html, np.uint64, num_words, 1) if num_words else words
    return int(_bound(words, following, np.frombuffer(html, np.uint8)))


def nesting_depth(html: bytes | memoryview, limit: int) -> int:
    """The largest nesting depth by opening and closing tags, without SHALLOW ones; counting stops at limit + 1.

    Its twin is `reference.html.nesting.nesting_depth`.
    """
    return int(_depth(np.frombuffer(html, np.uint8), limit))


@kernel
def _is_zero(word: np.uint64) -> np.uint64:
    """1 in every byte of the word that is 0, 0 in the others."""
    return ~(((word & _LOW_BITS) + _LOW_BITS) | word | _LOW_BITS) >> _TO_FLAG


@kernel
def _bound(words: np.ndarray, following: np.ndarray, data: np.ndarray) -> int:
    """See `nesting_bound`; `following` holds the same bytes as `words`, one place on."""
    # Blocks of 128 bytes: count all tags and all closing tags, a byte of a word for each lane.
    excess = deepest = 0
    num_blocks = words.size // BLOCK_WORDS
    for block in range(num_blocks):
        tags, ends = np.uint64(0), np.uint64(0)
        for i in range(block * BLOCK_WORDS, (block + 1) * BLOCK_WORDS):
            tag = _is_zero(words[i] ^ _LESS_THAN)
            tags += tag
            ends += tag & _is_zero(following[i] ^ _SLASH)
        # The product with _ONES sums the eight lanes in the highest byte.
        num_ends = int((ends * _ONES) >> _TO_TOTAL)
        num_starts = int((tags * _ONES) >> _TO_TOTAL) - num_ends
        # Within a block all opening tags are taken to stand before all closing ones.
        deepest = max(deepest, excess + num_starts)
        excess = max(excess + num_starts - num_ends, num_starts)
    # What is left after the last whole block is counted exactly.
    for i in range(num_blocks * 8 * BLOCK_WORDS, data.size):
        if data[i] == ord("<"):
            excess += -1 if i + 1 < data.size and data[i + 1] == ord("/") else 1
            excess = max(excess, 0)
            deepest = max(deepest, excess)
    return deepest


@kernel
def _depth(data: np.ndarray, limit: int) -> int:
    """See `nesting_depth`."""
    depth = deepest = at = 0
    foreign = 0  # depth at which an svg or math element was opened
    while at < data.size and deepest <= limit:
        if data[at] != ord("<"):
            # Find the next tag.
            at += 1
            continue
        at += 1
        closes = at < data.size and data[at] == ord("/")
        at += closes
        # Read its name into an integer, a byte for each letter.
        begin, name = at, 0
        while at < data.size:
            # Bit 5 makes ASCII letters lower case; digits have it set.
            byte = data[at] | 0x20
            if not (ord("a") <= byte <= ord("z") or (at > begin and ord("0") <= data[at] <= ord("9"))):
                break
            if at - begin < _LONGEST:
                name = (name << 8) | byte
            at += 1
        if at == begin:
            continue
        # Leave out elements that do not nest, and tags that close themselves inside foreign elements.
        known = at - begin <= _LONGEST
        if (known and name in _PACKED) or (foreign and _closes_itself(data, at)):
            continue
        # Count the tag; it may open or close a foreign element.
        depth = max(0, depth - 1) if closes else depth + 1
        if known and name in _PACKED_FOREIGN and not (foreign and depth >= foreign):
            foreign = 0 if closes else depth
        deepest = max(deepest, depth)
    return deepest


@kernel
def _closes_itself(data: np.ndarray, at: int) -> bool:
    """Whether the tag whose name ends before `at` ends in '/>'."""
    end = at
    while end < data.size and data[end] != ord("<") and data[end] != ord(">"):
        end += 1
    return end < data.size and data[end] == ord(">") and end > at and data[end - 1] == ord("/")
