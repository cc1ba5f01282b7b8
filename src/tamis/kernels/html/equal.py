"""Counts equal keys: how often something stands on a page, and how often before it."""

import numpy as np

from tamis.kernels.jit import kernel


@kernel
def count_equal(keys: np.ndarray, counts: np.ndarray, before: np.ndarray) -> None:
    """`counts[k]`: how many keys equal `keys[k]`; `before[k]`: how many of those stand before it. Key 0 is none."""
    # An open-addressing table from a key to the first place where it stands.
    slots = 16
    while slots < 2 * len(keys):
        slots *= 2
    table = np.full(slots, -1, np.int64)
    first = np.empty(len(keys), np.int64)
    mask = np.uint64(slots - 1)
    for k in range(len(keys)):
        counts[k] = before[k] = 0
        first[k] = k
        if keys[k] == 0:
            continue
        # Search from the key's slot until the key or a free slot is found.
        at = (keys[k] ^ (keys[k] >> np.uint64(29))) & mask
        while table[at] >= 0 and keys[table[at]] != keys[k]:
            at = (at + np.uint64(1)) & mask
        if table[at] < 0:
            table[at] = k
        # The first place keeps the count for all its equals.
        first[k] = table[at]
        before[k] = counts[first[k]]
        counts[first[k]] += 1
    # Hand the counts to the other places.
    for k in range(len(keys)):
        counts[k] = counts[first[k]]
