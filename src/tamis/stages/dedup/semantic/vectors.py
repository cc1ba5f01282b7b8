"""Embeddings as small integers, so that arithmetic on them is exact: any library, number of threads and machine gives
the same bits.

A vector is scaled to a length of at most 4,096 and rounded. The dot product of two vectors, and every partial sum of
it, then is an integer of at most 2**24, which float32 represents exactly, so a matrix product gives the same bits in
any order of summation. The standard deviation of the error of a cosine is 0.0001, whatever the number of dimensions. A
vector takes 2 bytes per dimension on disk.
"""

import hashlib
import math
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tamis.base.stage import Sketches

EMBEDDING = "embedding"
"""binary sketch column, nullable: an embedding as little-endian int16 values; null = nothing to embed."""
DIGEST = "digest"
"""uint64 sketch column, nullable: a hash of `embedding`."""

STREAM_ROWS = 8192
"""Largest number of vectors that are yielded together."""

LONGEST = 4096
"""Largest length of a vector: 4,096 squared is 2**24, up to which float32 represents every integer."""


def quantize(embeddings: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`(int16[n, d], bool[n])` of `embeddings` (float[n, d]): each scaled to one length and rounded, and whether it
    could be: a vector of zeros, or with a value that is not finite, has no direction and is all 0."""
    values = np.asarray(embeddings, np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        lengths = np.sqrt((values * values).sum(axis=1))
    valid = np.isfinite(lengths) & (lengths > 0)
    scale = np.where(valid, _scale(values.shape[1]) / np.where(valid, lengths, 1), 0)
    return np.rint(np.where(valid[:, None], values, 0) * scale[:, None]).astype(np.int16), valid


def directions(sums: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """As `quantize`, of the means of quantised vectors, given as their sums (int64[n, d]) and numbers (int64[n]). Sums
    of squares are computed on integers, so that they do not depend on the order of summation."""
    means = np.rint(sums / np.maximum(counts, 1)[:, None] * 256).astype(np.int64)
    lengths = np.sqrt((means * means).sum(axis=1))
    valid = lengths > 0
    scale = np.where(valid, _scale(sums.shape[1]) / np.where(valid, lengths, 1), 0)
    return np.rint(means * scale[:, None]).astype(np.int16), valid


def _scale(num_dimensions: int) -> int:
    """The length to which vectors are scaled before rounding, which can add half a unit in every dimension."""
    return LONGEST - math.ceil(math.sqrt(num_dimensions) / 2)


def products(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """float32[m, k]: exact dot products of quantised vectors, int16[m, d] and int16[k, d]."""
    return left.astype(np.float32) @ right.astype(np.float32).T


def lengths_of(vectors: np.ndarray) -> np.ndarray:
    """float64[n]: lengths of quantised vectors, int16[n, d]."""
    wide = vectors.astype(np.int32)
    return np.sqrt((wide * wide).sum(axis=1, dtype=np.int64))


def cosines(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """float32[m, k]: cosine similarities of quantised vectors without zeros, int16[m, d] and int16[k, d]."""
    found = products(left, right)
    found *= (1 / lengths_of(left)).astype(np.float32)[:, None]
    found *= (1 / lengths_of(right)).astype(np.float32)[None, :]
    return np.minimum(found, np.float32(1), out=found)


def to_columns(vectors: np.ndarray, valid: np.ndarray) -> dict[str, pa.Array]:
    """The sketch columns `embedding` and `digest` of quantised vectors, int16[n, d]; null where not `valid`."""
    rows = [row.tobytes() for row in vectors.astype("<i2")]
    digests = b"".join(hashlib.blake2b(row, digest_size=8).digest() for row in rows)
    return {
        EMBEDDING: pa.array(rows, pa.binary(), mask=~valid),
        DIGEST: pa.array(np.frombuffer(digests, "<u8"), pa.uint64(), mask=~valid),
    }


def stream_vectors(sketches: Sketches, lines: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """The vectors of the sketch lines `lines` (int64, ascending, all with an embedding), read in one stream: pairs of
    a place in `lines` and the vectors from there on, int16[n, d]."""
    start = 0
    for batch in sketches.batches([EMBEDDING]):
        first, last = np.searchsorted(lines, [start, start + batch.num_rows])
        if last > first:
            column = batch.column(EMBEDDING)
            values = _values(column)
            # Null embeddings take no space among the values, so a line's place there is the number of embeddings before
            # it.
            places = np.cumsum(column.is_valid().to_numpy(zero_copy_only=False)) - 1
            wanted = places[lines[first:last] - start]
            for left in range(0, len(wanted), STREAM_ROWS):
                yield int(first) + left, values[wanted[left : left + STREAM_ROWS]]
        start += batch.num_rows


def _values(column: pa.Array) -> np.ndarray:
    """int16[n, d]: the values of a binary column that are not null, without a copy."""
    num_bytes = pc.binary_length(column).drop_null()
    size = num_bytes[0].as_py()
    assert pc.all(pc.equal(num_bytes, size)).as_py(), "embeddings of one corpus have one length"
    offsets = np.frombuffer(column.buffers()[1], np.int32)[column.offset :]
    data = np.frombuffer(column.buffers()[2], "<i2", offset=offsets[0], count=len(num_bytes) * size // 2)
    return data.reshape(-1, size // 2)


def read_vectors(sketches: Sketches, lines: np.ndarray) -> np.ndarray:
    """The vectors of `lines` as `stream_vectors` takes them: int16[n, d], (0, 0) for no lines."""
    vectors = np.zeros((0, 0), np.int16)
    for first, part in stream_vectors(sketches, lines):
        if not len(vectors):
            vectors = np.zeros((len(lines), part.shape[1]), np.int16)
        vectors[first : first + len(part)] = part
    return vectors
