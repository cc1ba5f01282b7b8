"""Spherical k-means over quantised embeddings: the clusters inside which documents are compared.

All sums and products are exact integers (see `vectors`), so the same documents give the same clusters on any machine,
with any number of threads and any library below numpy.
"""

from dataclasses import dataclass

import numpy as np

from tamis.stages.dedup.semantic.vectors import directions, products

BLOCK_ROWS = 8192
BLOCK_VALUES = 1 << 24
"""Largest number of products in memory: 64 MB of float32."""


@dataclass(frozen=True, kw_only=True)
class Clustering:
    """`centroids` (int16[k, d]), the number of rounds of k-means, and whether it converged."""

    centroids: np.ndarray
    iterations: int
    converged: bool


def spherical_kmeans(points: np.ndarray, num_clusters: int, iterations: int, rng: np.random.Generator) -> Clustering:
    """At most `num_clusters` clusters of `points` (int16[n, d], distinct), by cosine.

    It starts from points drawn at random, as faiss does, and ends after `iterations` rounds, or when no point changes
    its cluster. A centroid without points keeps its place.
    """
    drawn = rng.choice(len(points), min(num_clusters, len(points)), replace=False, shuffle=False)
    centroids, clusters = points[np.sort(drawn)], None
    for done in range(1, iterations + 1):
        before, (clusters, _) = clusters, assign(points, centroids)
        if before is not None and np.array_equal(before, clusters):
            return Clustering(centroids=centroids, iterations=done, converged=True)
        sums, counts = _sums(points, clusters, len(centroids))
        means, valid = directions(sums, counts)
        centroids = np.where(valid[:, None], means, centroids)
    return Clustering(centroids=centroids, iterations=iterations, converged=False)


def assign(points: np.ndarray, centroids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`(int32[n], float32[n])`: for each of `points` (int16[n, d]) the place of the nearest of `centroids`
    (int16[k, d]), the first of equally near ones, and the dot product with it."""
    rows = max(1, min(BLOCK_ROWS, BLOCK_VALUES // max(len(centroids), 1)))
    clusters, nearest = np.zeros(len(points), np.int32), np.zeros(len(points), np.float32)
    for start in range(0, len(points), rows):
        found = products(points[start : start + rows], centroids)
        best = found.argmax(axis=1)
        clusters[start : start + rows] = best
        nearest[start : start + rows] = found[np.arange(len(found)), best]
    return clusters, nearest


def _sums(points: np.ndarray, clusters: np.ndarray, num_clusters: int) -> tuple[np.ndarray, np.ndarray]:
    """Sums (int64[k, d]) and numbers (int64[k]) of the points of each cluster."""
    sums = np.zeros((num_clusters, points.shape[1]), np.int64)
    for start in range(0, len(points), BLOCK_ROWS):
        mine = clusters[start : start + BLOCK_ROWS]
        order = np.argsort(mine, kind="stable")
        starts = np.flatnonzero(np.diff(mine[order], prepend=-1))
        block = points[start : start + BLOCK_ROWS][order].astype(np.int64)
        sums[mine[order[starts]]] += np.add.reduceat(block, starts, axis=0)
    return sums, np.bincount(clusters, minlength=num_clusters)
