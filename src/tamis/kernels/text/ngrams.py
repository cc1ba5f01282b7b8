"""Hashes of words and of runs of words (n-grams) over Arrow text buffers, and what documents share with a reference.

A word is a maximal run of letters and digits (str.isalnum), lower-cased character by character; everything else
separates words. So `The CAT's` and `the cat s` are the same three words. Hashes are 64-bit, the same on every machine
and in every process. Text that is not UTF-8 is the caller's mistake; Arrow strings always are.
"""

from functools import cache
from typing import NamedTuple

import numpy as np

from tamis.kernels.jit import kernel
from tamis.kernels.text.rolling import append, drop, power
from tamis.kernels.text.unicode_tables import ALNUM, load

# Constants of the hashes of words and of runs. They are part of what is stored, and must not change.
_WORD_START = np.uint64(0x9E3779B97F4A7C15)
_WORD_STEP = np.uint64(0xD6E8FEB86659FD93)
_RUN_STEP = np.uint64(0xA0761D6478BD642F)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)


@cache
def fold_table() -> np.ndarray:
    """`uint32[0x110000]`: the lower-case form of a letter or digit, 0 for every other code point."""
    # Look up all code points at once in the two-level tables.
    index, properties, lower_index, lower_shift = load()
    code_points = np.arange(0x110000, dtype=np.int64)
    block, place = code_points >> 7, code_points & 127
    words = properties[(index[block].astype(np.int64) << 7) | place]
    # The lower-case form is stored as a distance.
    lowered = code_points + lower_shift[(lower_index[block].astype(np.int64) << 7) | place]
    return np.where(words & ALNUM, lowered, 0).astype(np.uint32)


@kernel
def _mix(h: np.uint64) -> np.uint64:
    """The finaliser of splitmix64: spreads every bit of `h` over all bits."""
    h = (h ^ (h >> np.uint64(30))) * _MIX_1
    h = (h ^ (h >> np.uint64(27))) * _MIX_2
    return h ^ (h >> np.uint64(31))


@kernel
def start_word() -> np.uint64:
    """The hash of a word that has no character yet."""
    return _WORD_START


@kernel
def join_word(h: np.uint64, code_point: np.uint32) -> np.uint64:
    """The hash of a word with one more character."""
    h = (h ^ np.uint64(code_point)) * _WORD_STEP
    return h ^ (h >> np.uint64(32))


@kernel
def finish_word(h: np.uint64) -> np.uint64:
    """The hash of a whole word."""
    return _mix(h)


@kernel
def decode_character(data: np.ndarray, at: int) -> tuple[int, int]:
    """`(code point, bytes used)` of the well-formed UTF-8 sequence at `at`."""
    # The lead byte says how many bytes follow; each of them has six bits.
    lead = int(data[at])
    if lead < 0x80:
        return lead, 1
    if lead < 0xE0:
        return ((lead & 0x1F) << 6) | (data[at + 1] & 0x3F), 2
    if lead < 0xF0:
        return ((lead & 0x0F) << 12) | ((data[at + 1] & 0x3F) << 6) | (data[at + 2] & 0x3F), 3
    tail = ((data[at + 1] & 0x3F) << 12) | ((data[at + 2] & 0x3F) << 6) | (data[at + 3] & 0x3F)
    return ((lead & 0x07) << 18) | tail, 4


@kernel
def word_hashes(data: np.ndarray, offsets: np.ndarray, fold: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`(hashes uint64[num_words], word_offsets int64[n + 1])` of n documents in `data` (uint8) at `offsets` (int64).

    `fold` is `fold_table()`.
    """
    # There is at most one word for every two bytes, and one more for each document.
    num_documents = len(offsets) - 1
    hashes = np.empty((offsets[num_documents] - offsets[0] + num_documents) // 2 + 1, np.uint64)
    word_offsets = np.zeros(num_documents + 1, np.int64)
    count = 0
    for document in range(num_documents):
        at, end = offsets[document], offsets[document + 1]
        # The hash of the word so far; its start value means that no word has begun.
        h = _WORD_START
        while at < end:
            code_point, used = decode_character(data, at)
            at += used
            folded = fold[code_point]
            # A letter or digit joins the word.
            if folded:
                h = (h ^ np.uint64(folded)) * _WORD_STEP
                h ^= h >> np.uint64(32)
            # Anything else ends the word, if there is one.
            elif h != _WORD_START:
                hashes[count] = _mix(h)
                count += 1
                h = _WORD_START
        # The last word ends with the document.
        if h != _WORD_START:
            hashes[count] = _mix(h)
            count += 1
        word_offsets[document + 1] = count
    return hashes[:count], word_offsets


@kernel
def _finish(h: np.uint64, length: int) -> np.uint64:
    """Hash of a run from its rolling sum; never 0, which marks free places of a hash table."""
    mixed = _mix(h + np.uint64(length))
    return mixed if mixed != np.uint64(0) else np.uint64(1)


@kernel
def run_hashes(words: np.ndarray, length: int) -> np.ndarray:
    """`uint64[max(0, len(words) - length + 1)]`: hash of every run of `length` words."""
    # Move a window of `length` words over the text; it is full from the last word of the first run on.
    out = np.empty(max(0, len(words) - length + 1), np.uint64)
    oldest = power(_RUN_STEP, length)
    h = np.uint64(0)
    for i in range(len(words)):
        h = append(h, _RUN_STEP, words[i])
        if i >= length:
            h = drop(h, oldest, words[i - length])
        if i >= length - 1:
            out[i - length + 1] = _finish(h, length)
    return out


@kernel
def hash_index(hashes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`(keys uint64[size], places int32[size])`: an open-addressing table from a hash to its place in `hashes`, which
    are distinct and not 0; size is a power of two of at least twice as many; key 0 = free."""
    # A power of two, so that a mask takes the place of a division.
    size = 16
    while size < 2 * len(hashes):
        size *= 2
    keys = np.zeros(size, np.uint64)
    places = np.zeros(size, np.int32)
    mask = np.uint64(size - 1)
    for place in range(len(hashes)):
        # Put the hash into the first free slot behind its own.
        at = hashes[place] & mask
        while keys[at] != np.uint64(0):
            at = (at + np.uint64(1)) & mask
        keys[at] = hashes[place]
        places[at] = place
    return keys, places


@kernel
def _find(keys: np.ndarray, places: np.ndarray, h: np.uint64) -> int:
    """Place of `h`, or -1."""
    # Step from the hash's slot until the hash or a free slot is found.
    mask = np.uint64(len(keys) - 1)
    at = h & mask
    while keys[at] != np.uint64(0):
        if keys[at] == h:
            return int(places[at])
        at = (at + np.uint64(1)) & mask
    return -1


@kernel
def hash_bits(hashes: np.ndarray) -> np.ndarray:
    """`uint64[size]`: one bit for each of `hashes`, in a table of at least eight bits for each; size is a power of two.
    It fits a cache that the `hash_index` does not, and tells of most other hashes that they are not there."""
    size = 16
    while 8 * size < len(hashes):
        size *= 2
    bits = np.zeros(size, np.uint64)
    for place in range(len(hashes)):
        # The upper half picks the bit, since the lower half picks the slot of the index.
        h = hashes[place] >> np.uint64(20)
        bits[(h >> np.uint64(6)) & np.uint64(size - 1)] |= np.uint64(1) << (h & np.uint64(63))
    return bits


class Reference(NamedTuple):
    """The runs of reference items, and the short parts of items that must stand near one of their runs."""

    keys: np.ndarray
    places: np.ndarray
    """The `hash_index` of the distinct runs."""
    bits: np.ndarray
    """Their `hash_bits`."""
    item_offsets: np.ndarray
    """int64[runs + 1]: run k belongs to `items[item_offsets[k] : item_offsets[k + 1]]`."""
    items: np.ndarray
    """int32"""
    follower: np.ndarray
    """int32, beside `items`: the short part to look for where this item's run stands, -1 for none."""
    item_sizes: np.ndarray
    """int32[items]: distinct runs of an item, and the weight of its short part."""
    part_words: np.ndarray
    """uint64: the words of all short parts."""
    part_offsets: np.ndarray
    """int64[parts + 1]"""
    part_is_after: np.ndarray
    """bool[parts]: whether a part stands after its run, or before it."""
    part_weights: np.ndarray
    """int32[parts]: how many runs it counts as."""


NEAR = 24
"""Words between a run of an item and the item's short part, at most: a page that quotes a question and its answer can
have a label, or other answers, between them."""


@kernel
def _may_be_in(bits: np.ndarray, hashed: np.uint64) -> bool:
    """False where the hash is certainly none of those of `hash_bits`."""
    h = hashed >> np.uint64(20)
    return (bits[(h >> np.uint64(6)) & np.uint64(len(bits) - 1)] >> (h & np.uint64(63))) & np.uint64(1) != np.uint64(0)


@kernel
def _stands_near(words: np.ndarray, first: int, last: int, start: int, end: int, part: int, r: Reference) -> bool:
    """Whether the words of a short part stand near the run `words[first:last]`, inside `words[start:end]`."""
    a, b = r.part_offsets[part], r.part_offsets[part + 1]
    size = b - a
    low, high = (last, last + NEAR + size) if r.part_is_after[part] else (first - NEAR - size, first)
    for at in range(max(low, start), min(high, end) - size + 1):
        # Compare word by word; the first one differs nearly always.
        k = 0
        while k < size and words[at + k] == r.part_words[a + k]:
            k += 1
        if k == size:
            return True
    return False


@kernel
def overlaps(
    words: np.ndarray, word_offsets: np.ndarray, lengths: np.ndarray, r: Reference
) -> tuple[np.ndarray, np.ndarray]:
    """`(counts int32[n], fractions float32[n])`: the distinct runs of a document, of any of `lengths` (int64), that
    reference items hold too, and the largest share of any one item that the document holds."""
    # For every run, item and short part, the document that last met it: nothing needs to be cleared in between.
    num_documents = len(word_offsets) - 1
    counts = np.zeros(num_documents, np.int32)
    fractions = np.zeros(num_documents, np.float32)
    last_seen = np.full(len(r.item_offsets) - 1, -1, np.int32)
    hits = np.zeros(len(r.item_sizes), np.int32)
    counted_for = np.full(len(r.item_sizes), -1, np.int32)
    part_found_for = np.full(len(r.part_weights), -1, np.int32)
    for document in range(num_documents):
        start, end = word_offsets[document], word_offsets[document + 1]
        for length in lengths:
            # Hash every run of this length as it slides over the words.
            oldest = power(_RUN_STEP, length)
            h = np.uint64(0)
            for i in range(start, end):
                h = append(h, _RUN_STEP, words[i])
                if i - start >= length:
                    h = drop(h, oldest, words[i - length])
                if i - start < length - 1:
                    continue
                hashed = _finish(h, length)
                if not _may_be_in(r.bits, hashed):
                    continue
                run = _find(r.keys, r.places, hashed)
                if run < 0:
                    continue
                # Each distinct run of the document counts once, but a short part can stand at any of its places.
                is_new = last_seen[run] != document
                last_seen[run] = document
                counts[document] += is_new
                for k in range(r.item_offsets[run], r.item_offsets[run + 1]):
                    item, part = r.items[k], r.follower[k]
                    if counted_for[item] != document:
                        counted_for[item] = document
                        hits[item] = 0
                    # Count the run for every item that has it, and its short part; keep the largest share.
                    hits[item] += is_new
                    is_open = part >= 0 and part_found_for[part] != document
                    if is_open and _stands_near(words, i + 1 - length, i + 1, start, end, part, r):
                        part_found_for[part] = document
                        hits[item] += r.part_weights[part]
                    fractions[document] = max(fractions[document], np.float32(hits[item] / r.item_sizes[item]))
    return counts, fractions


def warm() -> None:
    """Compile or load all of this module."""
    words, word_offsets = word_hashes(np.frombuffer(b"a", np.uint8), np.array([0, 1]), fold_table())
    keys, places = hash_index(run_hashes(words, 1))
    one, none, no_parts = np.ones(1, np.int32), np.zeros(1, np.int32), np.zeros(0, np.int32)
    no_words, starts, sides = np.zeros(0, np.uint64), np.array([0]), np.zeros(0, np.bool_)
    bits, ends = hash_bits(keys), np.array([0, 1])
    reference = Reference(keys, places, bits, ends, none, -one, one, no_words, starts, sides, no_parts)
    overlaps(words, word_offsets, np.array([1]), reference)
