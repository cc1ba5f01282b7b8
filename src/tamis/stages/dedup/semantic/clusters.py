"""SemDeDup's rule inside one cluster, and the way in which clusters are split and grouped so that memory is bounded.

Abbas et al. 2023 (arXiv 2303.09540) and the released code (facebookresearch/SemDeDup, semdedup.py): the documents of a
cluster are put in order, and each is compared with all before it, removed or not; it is removed when the greatest of
these similarities exceeds 1 - eps.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from tamis.stages.dedup.semantic.vectors import cosines

BLOCK_ROWS = 1024
BLOCK_COLUMNS = 4096
"""Largest number of similarities in memory: 16 MB of float32."""


@dataclass(frozen=True, kw_only=True)
class Earlier:
    """For each document of a cluster, in order: `similarity` (float32[n]), the greatest to one before it, 0 where that
    is negative or there is none; `original` (int64[n]), the most similar kept one before it, -1 for a kept document."""

    similarity: np.ndarray
    original: np.ndarray


def compare_earlier(vectors: np.ndarray, threshold: float) -> Earlier:
    """Compare each of `vectors` (int16[n, d]) with those before it; a document with a similarity above `threshold` is
    removed.

    A removed document may be similar only to other removed ones; its original then is still the most similar kept
    document before it. Of equally similar documents the first counts.
    """
    count = len(vectors)
    similarity, original = np.zeros(count, np.float32), np.full(count, -1)
    kept = np.ones(count, bool)
    for start in range(0, count, BLOCK_ROWS):
        stop = min(start + BLOCK_ROWS, count)
        rows = np.arange(start, stop)
        best, nearest = np.full(len(rows), -2, np.float32), np.full(len(rows), -1)
        for left in range(0, start, BLOCK_COLUMNS):
            right = min(left + BLOCK_COLUMNS, start)
            found = cosines(vectors[start:stop], vectors[left:right])
            similarity[start:stop] = np.maximum(similarity[start:stop], found.max(axis=1))
            _nearest_kept(found, kept[left:right], left, best, nearest)
        found = cosines(vectors[start:stop], vectors[start:stop])
        found[np.triu_indices(len(rows))] = -2
        similarity[start:stop] = np.maximum(similarity[start:stop], found.max(axis=1))
        kept[start:stop] = ~(similarity[start:stop] > np.float32(threshold))
        _nearest_kept(found, kept[start:stop], start, best, nearest)
        original[start:stop] = np.where(kept[start:stop], -1, nearest)
    return Earlier(similarity=similarity, original=original)


def _nearest_kept(found: np.ndarray, kept: np.ndarray, left: int, best: np.ndarray, nearest: np.ndarray) -> None:
    """Update `best` and `nearest` by the kept columns of `found`, which start at document `left`. `found` is
    overwritten."""
    found[:, ~kept] = -2
    column = found.argmax(axis=1)
    value = found[np.arange(len(found)), column]
    better = value > best
    best[better] = value[better]
    nearest[better] = column[better] + left


def greatest_similarity(queries: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """float32[m]: the greatest similarity of each of `queries` (int16[m, d]) to `vectors` (int16[n, d]); 0 for none."""
    greatest = np.zeros(len(queries), np.float32)
    for start in range(0, len(queries), BLOCK_ROWS):
        for left in range(0, len(vectors), BLOCK_COLUMNS):
            found = cosines(queries[start : start + BLOCK_ROWS], vectors[left : left + BLOCK_COLUMNS])
            greatest[start : start + BLOCK_ROWS] = np.maximum(greatest[start : start + BLOCK_ROWS], found.max(axis=1))
    return greatest


def cut(sizes: np.ndarray, most: int) -> tuple[list[tuple[int, int]], int]:
    """Split consecutive clusters of the given sizes (int64[k]) into pieces of at most `most` documents; also returns
    how many clusters were split. A cluster is split evenly, as in the released code, so that documents that are close
    in the order of similarity to the centroid mostly stay together."""
    pieces, start, num_cut = [], 0, 0
    for size in sizes.tolist():
        parts = -(-size // most)
        num_cut += parts > 1
        bounds = np.linspace(start, start + size, parts + 1, dtype=np.int64).tolist()
        pieces += [(left, right) for left, right in pairwise(bounds) if right > left]
        start += size
    return pieces, num_cut


def group(pieces: list[tuple[int, int]], most: int) -> list[list[tuple[int, int]]]:
    """Groups of consecutive `pieces` with at most `most` documents; a single larger piece is a group of its own."""
    parts: list[list[tuple[int, int]]] = []
    for piece in pieces:
        if not parts or piece[1] - parts[-1][0][0] > most:
            parts.append([])
        parts[-1].append(piece)
    return parts
