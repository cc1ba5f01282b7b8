"""Where runs of tokens occur first in the corpus: their hashes are looked up while all documents are streamed.

The hashes that are wanted are put into a table once. Then the hashes of every document follow, in the order of the
corpus, and the first time that a wanted one comes, its place is noted. Twins are in `reference.dedup.first_places`.
"""

import numpy as np

from tamis.kernels.dedup.bloom import high_product
from tamis.kernels.jit import kernel
from tamis.kernels.text.rolling import append, drop, power
from tamis.kernels.text.uax_tokens import mix

_BASE = np.uint64(0x5851F42D4C957F2D)


@kernel
def window_keys(
    tokens: np.ndarray, offsets: np.ndarray, width: int, keys: np.ndarray, key_offsets: np.ndarray
) -> None:  # fmt: skip
    """The hash of every window of `width` tokens of each document `tokens[offsets[d]:offsets[d + 1]]` (uint64) into
    `keys` (uint64, room for one per token); int64 `key_offsets`: where each document's begin."""
    weight = power(_BASE, width)
    count = 0
    key_offsets[0] = 0
    for document in range(len(offsets) - 1):
        # Slide the window by one token; once it is full, each token completes one.
        start, state = offsets[document], np.uint64(0)
        for at in range(start, offsets[document + 1]):
            state = append(state, _BASE, tokens[at])
            if at - start >= width:
                state = drop(state, weight, tokens[at - width])
            if at - start >= width - 1:
                keys[count] = mix(state)
                count += 1
        key_offsets[document + 1] = count


@kernel
def _slot(slots: np.ndarray, wanted: np.ndarray, key: np.uint64) -> int:
    """Where `key` stands in the table, or the empty place where it would."""
    at = int(np.int64(high_product(mix(key), np.uint64(len(slots)))))
    while slots[at] >= 0 and wanted[slots[at]] != key:
        at += 1
        if at == len(slots):
            at = 0
    return at


@kernel
def fill(slots: np.ndarray, wanted: np.ndarray) -> None:
    """Put the `wanted` hashes (uint64, distinct) into the table `slots` (int64, all -1, longer than `wanted`)."""
    for which in range(len(wanted)):
        slots[_slot(slots, wanted, wanted[which])] = which


@kernel
def note_first(
    slots: np.ndarray, wanted: np.ndarray, keys: np.ndarray, offsets: np.ndarray, positions: np.ndarray,
    shards: np.ndarray, rows: np.ndarray, first_shards: np.ndarray, first_rows: np.ndarray, first_positions: np.ndarray,
) -> int:  # fmt: skip
    """Note the place of every wanted hash that comes for the first time. The hashes of line k are
    `keys[offsets[k]:offsets[k + 1]]`, at `positions` (int64) of the document `rows[k]` of `shards[k]`; `first_shards`
    is -1 where no place is known yet. Returns the number of places that were noted."""
    noted = 0
    for line in range(len(offsets) - 1):
        for at in range(offsets[line], offsets[line + 1]):
            which = slots[_slot(slots, wanted, keys[at])]
            if which >= 0 and first_shards[which] < 0:
                first_shards[which], first_rows[which] = shards[line], rows[line]
                first_positions[which] = positions[at]
                noted += 1
    return noted


def warm() -> None:
    """Compile these kernels for the arrays they get: views of Arrow buffers, which are read-only, and plain ones."""
    tokens, offsets = np.frombuffer(bytes(16), np.uint64), np.array([0, 2])
    keys, places = np.zeros(2, np.uint64), np.zeros(2, np.int64)
    window_keys(tokens, offsets, 1, keys, places)
    slots = np.full(4, -1)
    fill(slots, keys[:1])
    lines = (places, np.frombuffer(bytes(4), np.int32), np.frombuffer(bytes(8), np.int64))
    first = (np.full(1, -1), np.full(1, -1), np.full(1, -1))
    for some in (keys, tokens):  # hashes that were just made, and hashes from a sketch
        note_first(slots, keys[:1], some, offsets, *lines, *first)
