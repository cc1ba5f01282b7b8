"""The decision of semantic deduplication, from the sketches to the pairs of similar documents: distinct embeddings,
clusters, comparisons.

In memory are a few numbers per document, the embeddings that k-means is fitted to, and those of one part of the
clusters at a time. Equal embeddings are compared only once.
"""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tamis.base.stage import Sketches
from tamis.stages.dedup.semantic.clusters import compare_earlier, cut, greatest_similarity, group
from tamis.stages.dedup.semantic.kmeans import Clustering, assign, spherical_kmeans
from tamis.stages.dedup.semantic.vectors import DIGEST, lengths_of, read_vectors, stream_vectors
from tamis.stages.dedup.survivors import survivor_order


@dataclass(frozen=True, kw_only=True)
class SketchLines:
    """What is known of every sketch line: `digest` (uint64[n]), `embedded` and `planted` (bool[n]), and `rank`
    (float64[n]; the document with the highest is kept), which is None where the order decides."""

    digest: np.ndarray
    embedded: np.ndarray
    planted: np.ndarray
    rank: np.ndarray | None

    @classmethod
    def read(cls, sketches: Sketches, ranks: Sequence[str]) -> "SketchLines":
        """`ranks` are the sketch columns that say which document is kept, the one that decides first at first."""
        digest, embedded = np.zeros(sketches.num_lines, np.uint64), np.zeros(sketches.num_lines, bool)
        planted = np.zeros(sketches.num_lines, bool)
        found = np.zeros((len(ranks), sketches.num_lines))
        start = 0
        for batch in sketches.batches([DIGEST, "row", *ranks]):
            here = slice(start, start + batch.num_rows)
            digest[here] = batch.column(DIGEST).fill_null(0).to_numpy()
            embedded[here] = batch.column(DIGEST).is_valid().to_numpy(zero_copy_only=False)
            planted[here] = batch.column("row").to_numpy() < 0
            for place, name in enumerate(ranks):
                found[place, here] = batch.column(name).fill_null(-np.inf).to_numpy(zero_copy_only=False)
            start += batch.num_rows
        rank = found[0] if len(ranks) == 1 else None
        if len(ranks) > 1:
            rank, lines = np.empty(sketches.num_lines), np.arange(sketches.num_lines)
            rank[survivor_order(lines, np.zeros(len(lines), np.int64), list(found))] = -lines
        return cls(digest=digest, embedded=embedded, planted=planted, rank=rank)

    def first_rank(self, lines: np.ndarray) -> np.ndarray:
        """The sorting key of `lines` (float64), where they are not sorted by their similarity to a centroid. Ties are
        sorted by the line number."""
        return np.zeros(len(lines)) if self.rank is None else -np.nan_to_num(self.rank[lines], nan=-np.inf)


@dataclass(frozen=True, kw_only=True)
class Method:
    """Settings of the decision; see `SemanticConfig`."""

    threshold: float
    by_centroid: bool
    num_clusters: Callable[[int], int]
    kmeans_iterations: int
    kmeans_points: int
    part_documents: int


@dataclass(frozen=True, kw_only=True)
class SimilarDocuments:
    """For every embedded document: its line (`lines`, int64[n], ascending), `similarity` (float32[n]), `keeper`
    (int64[n], the line of the document that is kept in its place, or its own for a kept document), `cluster`
    (int32[n]). For planted copies: their lines `plants` (int64[m]) and `caught` (float32[m]), the greatest similarity
    to a real document."""

    lines: np.ndarray
    similarity: np.ndarray
    keeper: np.ndarray
    cluster: np.ndarray
    plants: np.ndarray
    caught: np.ndarray
    details: dict[str, Any]


def find_similar(sketches: Sketches, lines: SketchLines, method: Method, rng: np.random.Generator) -> SimilarDocuments:
    """SemDeDup over all documents. Planted copies are compared with the documents of their cluster, and change no
    decision."""
    real = np.flatnonzero(lines.embedded & ~lines.planted)
    first, copy_of = _distinct(lines, real)
    plants = np.flatnonzero(lines.embedded & lines.planted)
    clustering = _cluster(sketches, first, method, rng)
    active = np.union1d(first, plants)
    cluster, nearness = _assign(sketches, active, clustering.centroids)
    similarity, original, details = _compare(sketches, active, cluster, nearness, lines, method)

    # The keeper of the copies of an embedding is the first of them, or the keeper of that one.
    places = np.searchsorted(active, first)[copy_of]
    keeper = np.where(original[places] < 0, active[places], original[places])
    all_plants = np.flatnonzero(lines.planted)
    caught = np.zeros(len(all_plants), np.float32)
    caught[np.searchsorted(all_plants, plants)] = similarity[np.searchsorted(active, plants)]
    return SimilarDocuments(
        lines=real,
        similarity=np.where(active[places] == real, similarity[places], np.float32(1)),
        keeper=keeper,
        cluster=cluster[places],
        plants=all_plants,
        caught=caught,
        details={
            "distinct_embeddings": len(first),
            "clusters": len(clustering.centroids),
            "kmeans_iterations": clustering.iterations,
            "kmeans_converged": clustering.converged,
            **details,
        },
    )


def _distinct(lines: SketchLines, real: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The first line of each embedding (int64[k], ascending), and for each of `real` the place of its own there."""
    order = np.lexsort((real, lines.first_rank(real), lines.digest[real]))
    digests = lines.digest[real[order]]
    new = np.diff(digests, prepend=digests[:1]) != 0
    new[:1] = True
    number = np.empty(len(real), np.int64)
    number[order] = np.cumsum(new) - 1
    first = real[order[new]]
    place = np.empty(len(first), np.int64)
    place[np.argsort(first)] = np.arange(len(first))
    return np.sort(first), place[number]


def _cluster(sketches: Sketches, first: np.ndarray, method: Method, rng: np.random.Generator) -> Clustering:
    """k-means on distinct embeddings drawn at random."""
    num_clusters = method.num_clusters(len(first))
    num_points = min(len(first), num_clusters * method.kmeans_points)
    drawn = np.sort(rng.choice(len(first), num_points, replace=False, shuffle=False)) if len(first) else first
    points = read_vectors(sketches, first[drawn])
    if not len(points):
        return Clustering(centroids=points, iterations=0, converged=True)
    return spherical_kmeans(points, num_clusters, method.kmeans_iterations, rng)


def _assign(sketches: Sketches, active: np.ndarray, centroids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`(int32[n], float64[n])`: cluster of each of the lines `active`, and cosine similarity to its centroid."""
    cluster, nearness = np.zeros(len(active), np.int32), np.zeros(len(active))
    if not len(centroids):
        return cluster, nearness
    lengths = lengths_of(centroids)
    for start, vectors in stream_vectors(sketches, active):
        here = slice(start, start + len(vectors))
        cluster[here], product = assign(vectors, centroids)
        nearness[here] = product / lengths_of(vectors) / lengths[cluster[here]]
    return cluster, nearness


def _compare(
    sketches: Sketches,
    active: np.ndarray,
    cluster: np.ndarray,
    nearness: np.ndarray,
    lines: SketchLines,
    method: Method,
) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
    """`(float32[n], int64[n], details)`: for each of the lines `active` the greatest similarity to an earlier one of
    its cluster, and the line of its original, -1 for a kept document."""
    similarity, original = np.zeros(len(active), np.float32), np.full(len(active), -1)
    is_plant = lines.planted[active]
    order = np.lexsort((active, nearness, cluster, is_plant))[: np.count_nonzero(~is_plant)]
    sizes = np.bincount(cluster[order], minlength=1)
    pieces, num_cut = cut(sizes, method.part_documents)
    plants_of = _plants_of(pieces, order, np.flatnonzero(is_plant), cluster, nearness)
    for part in group(pieces, method.part_documents):
        inside = [order[part[0][0] : part[-1][1]], *(plants_of[piece] for piece in part)]
        places = np.sort(np.concatenate(inside))
        vectors = read_vectors(sketches, active[places])
        for piece in part:
            real, plants = order[slice(*piece)], plants_of[piece]
            if not method.by_centroid:
                real = real[np.lexsort((active[real], lines.first_rank(active[real])))]
            compared = vectors[np.searchsorted(places, real)]
            found = compare_earlier(compared, method.threshold)
            similarity[real] = found.similarity
            original[real] = np.where(found.original < 0, -1, active[real[found.original]])
            similarity[plants] = greatest_similarity(vectors[np.searchsorted(places, plants)], compared)
    details = {"largest_cluster": int(sizes.max()), "clusters_cut": num_cut}
    return similarity, original, details


def _plants_of(
    pieces: list[tuple[int, int]], order: np.ndarray, plants: np.ndarray, cluster: np.ndarray, nearness: np.ndarray
) -> dict[tuple[int, int], np.ndarray]:
    """The planted copies to compare with each of `pieces`: those that would have stood there in `order`."""
    found: dict[tuple[int, int], list[int]] = {piece: [] for piece in pieces}
    firsts = [(int(cluster[order[left]]), float(nearness[order[left]])) for left, _ in pieces]
    for plant in plants.tolist():
        place = bisect_right(firsts, (int(cluster[plant]), float(nearness[plant]))) - 1
        # A copy that is less similar to the centroid than all others of its cluster belongs to the cluster's first
        # piece.
        if place < 0 or firsts[place][0] != cluster[plant]:
            place += 1
        if place < len(firsts) and firsts[place][0] == cluster[plant]:
            found[pieces[place]].append(plant)
    return {piece: np.array(those, np.int64) for piece, those in found.items()}
