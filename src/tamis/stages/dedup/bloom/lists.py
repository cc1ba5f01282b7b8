"""Converts between Arrow's list columns and flat arrays: n-grams of texts as lists, and lists as values with
offsets."""

import numpy as np
import pyarrow as pa

from tamis.kernels.dedup.bloom import hash_ngrams
from tamis.kernels.text.decoding import views
from tamis.kernels.text.uax_tokens import uax_tokens


def ngram_lists(texts: pa.Array, size: int, least: int, by_line: bool) -> tuple[pa.Array, pa.Array, pa.Array]:
    """Per document: the hashes of its n-grams (list<uint64>), and of each unit that has n-grams its number in the
    document and how many it has (two list<int32>). A unit is a line if `by_line`, otherwise the document; see
    `kernels.dedup.bloom`."""
    data, offsets = views(texts)
    tokens = uax_tokens(texts)
    room = len(tokens.hashes)
    ngrams, numbers, sizes = np.empty(room, np.uint64), np.empty(room, np.int32), np.empty(room, np.int32)
    ngram_offsets, unit_offsets = np.zeros(len(offsets), np.int64), np.zeros(len(offsets), np.int64)
    if room:
        hash_ngrams(
            data, offsets, tokens.hashes, tokens.starts, tokens.ends, tokens.offsets, size, least, by_line,
            ngrams, ngram_offsets, numbers, sizes, unit_offsets,
        )  # fmt: skip
    num_units = unit_offsets[-1]
    return (
        to_lists(ngrams[: ngram_offsets[-1]], ngram_offsets),
        to_lists(numbers[:num_units].copy(), unit_offsets),
        to_lists(sizes[:num_units].copy(), unit_offsets),
    )


def to_lists(values: np.ndarray, offsets: np.ndarray) -> pa.Array:
    """List array with the items `values[offsets[i]:offsets[i + 1]]`."""
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), pa.array(values))


def from_lists(column: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """`(values, offsets int64[n + 1])` of a list column; a null has no items."""
    offsets = column.offsets.to_numpy().astype(np.int64)
    if column.null_count:
        lengths = column.value_lengths().fill_null(0).to_numpy()
        offsets = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
    return column.flatten().to_numpy(zero_copy_only=False), offsets - offsets[0]
