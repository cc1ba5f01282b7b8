"""MinHash signatures: from the words of documents to one 64-bit key per band.

A document is the set of its shingles, runs of words hashed to 64 bits. Hash function f takes a shingle x to
`multipliers[f] * x + increments[f]` modulo 2**64; the least value over the set is equal in two documents with a
probability near their Jaccard similarity. That family is min-wise only because shingles are well mixed before. The
minima of one band's functions are hashed into its key: two documents share it when all of them are equal.

Functions go in blocks whose parameters and minima stay in the first-level cache, with a branch-free loop over them
inside the loop over shingles, which LLVM turns into vector instructions (vpmullq and vpminuq where there is AVX-512).
"""

import numpy as np

from tamis.kernels.dedup import components, verify
from tamis.kernels.jit import kernel
from tamis.kernels.text.ngrams import decode_character, fold_table, run_hashes, word_hashes

FUNCTIONS_PER_BLOCK = 128
SHINGLES_PER_BLOCK = 1024
LARGEST = np.uint64(0xFFFFFFFFFFFFFFFF)
# Constants of the hashes. They are part of what is stored, and must not change.
_BLANK = np.uint64(0x20)
_KEY_START = np.uint64(0x9E3779B97F4A7C15)
_KEY_STEP = np.uint64(0xD6E8FEB86659FD93)
_CHARACTER_STEP_1 = np.uint64(0xBF58476D1CE4E5B9)
_CHARACTER_STEP_2 = np.uint64(0x94D049BB133111EB)


@kernel
def _character_hash(code_point: np.uint64) -> np.uint64:
    """A hash of one character, in which every bit depends on all of its bits."""
    h = (code_point + _KEY_START) * _CHARACTER_STEP_1
    h = (h ^ (h >> np.uint64(30))) * _CHARACTER_STEP_2
    return h ^ (h >> np.uint64(31))


@kernel
def character_hashes(data: np.ndarray, offsets: np.ndarray, fold: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`(hashes uint64[num_units], unit_offsets int64[n + 1])` of n documents in `data` (uint8, UTF-8) at `offsets`
    (int64): one hash per letter or digit, lower-cased, and one for whatever stands between two of them. None at the
    ends. `fold` is `ngrams.fold_table()`."""
    num_documents = len(offsets) - 1
    hashes = np.empty(offsets[num_documents] - offsets[0], np.uint64)
    unit_offsets = np.zeros(num_documents + 1, np.int64)
    count = 0
    for document in range(num_documents):
        # `gap` remembers that something other than a letter or digit stands before this character.
        at, end = offsets[document], offsets[document + 1]
        first, gap = count, False
        while at < end:
            code_point, used = decode_character(data, at)
            at += used
            folded = fold[code_point]
            if folded:
                # A gap between two letters or digits is one unit.
                if gap and count > first:
                    hashes[count] = _character_hash(_BLANK)
                    count += 1
                hashes[count] = _character_hash(np.uint64(folded))
                count += 1
            gap = not folded
        unit_offsets[document + 1] = count
    return hashes[:count], unit_offsets


@kernel
def lower_minima(
    shingles: np.ndarray, multipliers: np.ndarray, increments: np.ndarray, minima: np.ndarray, scratch: np.ndarray
) -> None:
    """Lower `minima` (uint64[num_functions]) to the least value of each function over `shingles` (uint64).

    `scratch` is `uint64[3 * FUNCTIONS_PER_BLOCK]`: one piece of memory for a block's parameters and minima, so that
    no two of them lie a multiple of 4,096 bytes apart, which would stall loads behind stores.
    """
    # The parameters and minima of one block of functions lie side by side.
    a = scratch[:FUNCTIONS_PER_BLOCK]
    b = scratch[FUNCTIONS_PER_BLOCK : 2 * FUNCTIONS_PER_BLOCK]
    least = scratch[2 * FUNCTIONS_PER_BLOCK :]
    in_fours = len(shingles) - len(shingles) % 4
    for start in range(0, len(minima), FUNCTIONS_PER_BLOCK):
        # Load the block.
        size = min(FUNCTIONS_PER_BLOCK, len(minima) - start)
        for f in range(size):
            a[f], b[f], least[f] = multipliers[start + f], increments[start + f], minima[start + f]
        for i in range(0, in_fours, 4):
            # Four shingles a step, which share the loads of the parameters.
            x0, x1, x2, x3 = shingles[i], shingles[i + 1], shingles[i + 2], shingles[i + 3]
            for f in range(size):
                low = min(min(a[f] * x0 + b[f], a[f] * x1 + b[f]), min(a[f] * x2 + b[f], a[f] * x3 + b[f]))
                least[f] = min(least[f], low)
        # The last one to three shingles.
        for i in range(in_fours, len(shingles)):
            x0 = shingles[i]
            for f in range(size):
                least[f] = min(least[f], a[f] * x0 + b[f])
        for f in range(size):
            # Store the minima.
            minima[start + f] = least[f]


@kernel
def band_keys(
    units: np.ndarray,
    unit_offsets: np.ndarray,
    ngram: int,
    multipliers: np.ndarray,
    increments: np.ndarray,
    num_bands: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """`(keys uint64[num_bands, n], empty bool[n], digests uint64[n])` of n documents, whose words' (or characters')
    hashes are `units` (uint64) at `unit_offsets` (int64).

    A shingle is a run of `ngram` units; fewer than that are one shingle. A document without units is `empty` and its
    keys and digest are 0. The digest is the sum of the hashes of all shingles: documents of as many units that have the
    same one have the same shingles. `multipliers` (odd) and `increments`, uint64[num_bands * rows], are the hash
    functions, those of a band side by side.
    """
    # The minima of one document at a time, and a key for each band.
    num_documents = len(unit_offsets) - 1
    rows = len(multipliers) // num_bands
    keys = np.zeros((num_bands, num_documents), np.uint64)
    empty, digests = np.zeros(num_documents, np.bool_), np.zeros(num_documents, np.uint64)
    minima = np.empty(len(multipliers), np.uint64)
    scratch = np.empty(3 * FUNCTIONS_PER_BLOCK, np.uint64)
    for document in range(num_documents):
        first, end = unit_offsets[document], unit_offsets[document + 1]
        # A document without units has no shingles, and its keys stay 0.
        if end == first:
            empty[document] = True
            continue
        # A document shorter than one shingle is a single shingle.
        length = min(ngram, end - first)
        minima[:] = LARGEST
        for start in range(first, end - length + 1, SHINGLES_PER_BLOCK):
            # Hash a limited number of shingles at a time, so that they stay in the cache.
            stop = min(start + SHINGLES_PER_BLOCK + length - 1, end)
            shingles = run_hashes(units[start:stop], length)
            digests[document] += shingles.sum()
            lower_minima(shingles, multipliers, increments, minima, scratch)
        for band in range(num_bands):
            # The key of a band is a hash of its minima.
            key = _KEY_START
            for f in range(band * rows, (band + 1) * rows):
                key = (key ^ minima[f]) * _KEY_STEP
                key ^= key >> np.uint64(32)
            keys[band, document] = key
    return keys, empty, digests


def warm() -> None:
    """Compile or load this module, and the connected components and the verification that follow it."""
    components.warm()
    verify.warm()
    ones, offsets = np.ones(1, np.uint64), np.zeros(1, np.int64)
    for hashes in (word_hashes, character_hashes):
        units, unit_offsets = hashes(np.zeros(0, np.uint8), offsets, fold_table())
        band_keys(units, unit_offsets, 1, ones, ones, 1)
