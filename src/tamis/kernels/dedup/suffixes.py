"""Repeated windows of tokens from a suffix array: the sorted order of all suffixes puts equal windows side by side.

Longest common prefixes come from Kasai et al. 2001, capped at the window's width, which is all that matters here. The
twin, `reference.dedup.spans.repeated_windows`, is that of the hash table: both find the same.
"""

import numpy as np

from tamis.kernels.jit import kernel


@kernel
def keep_aligned(order: np.ndarray, item_bytes: int) -> int:
    """Turn the suffix array of bytes into that of the items they spell, in place; returns the number of items."""
    count = 0
    for k in range(len(order)):
        if order[k] % item_bytes == 0:
            order[count] = order[k] // item_bytes
            count += 1
    return count


@kernel
def common_prefixes(text: np.ndarray, order: np.ndarray, places: np.ndarray, width: int, lengths: np.ndarray) -> None:
    """`lengths[k]`: items that suffixes `order[k - 1]` and `order[k]` of `text` have in common at their beginning, at
    most `width`, and 0 for k = 0. `places` is scratch of the same length and type as `order`."""
    n = len(text)
    for k in range(n):
        places[order[k]] = k
    common = 0
    for at in range(n):
        k = places[at]
        if k == 0:
            lengths[k] = common = 0
            continue
        other = order[k - 1]
        while common < width and at + common < n and other + common < n and text[at + common] == text[other + common]:
            common += 1
        lengths[k] = common
        if common > 0:
            common -= 1


@kernel
def flag_windows(
    order: np.ndarray, lengths: np.ndarray, width: int, keeps_first: bool, planted: np.ndarray, flags: np.ndarray
) -> None:
    """Set `flags` (bool per position) where a window starts that repeats an earlier one, or any other one if not
    `keeps_first`. Windows at `planted` positions (bool) are flagged where they repeat a real one, but no other window
    is flagged for repeating them."""
    n = len(order)
    start = 0
    while start < n:
        end = start + 1
        while end < n and lengths[end] >= width:
            end += 1
        if end - start > 1:
            first, real = n, 0
            for k in range(start, end):
                if not planted[order[k]]:
                    first = min(first, order[k])
                    real += 1
            for k in range(start, end):
                at = order[k]
                if keeps_first:
                    flags[at] = at > first
                else:
                    flags[at] = real > (0 if planted[at] else 1)
        start = end


@kernel
def runs_of_flags(
    flags: np.ndarray, offsets: np.ndarray, width: int, documents: np.ndarray, starts: np.ndarray, ends: np.ndarray
) -> int:
    """Which tokens the flagged windows cover, as `spans.find_runs` writes them; document d's flags are
    `flags[offsets[d]:offsets[d + 1]]`."""
    count = 0
    for document in range(len(offsets) - 1):
        run_end = -1
        for window in range(offsets[document + 1] - offsets[document]):
            if flags[offsets[document] + window]:
                if window > run_end:
                    documents[count], starts[count] = document, window
                    count += 1
                run_end = window + width
                ends[count - 1] = run_end
    return count
