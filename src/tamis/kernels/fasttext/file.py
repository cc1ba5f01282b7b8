"""Reader of fastText's own classifier files: dense `.bin` and product-quantised `.ftz`, format versions 11 and 12.

Nothing but the dictionary is held in memory: the input matrix, gigabytes in DCLM's classifier, is handed out in runs of
rows. Layout (little-endian): magic, version, settings, dictionary, is-quantised, input matrix, is-quantised, output
matrix; as written by fastText's `saveModel`.
"""

import io
import mmap
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np

from tamis.kernels.jit import kernel

MAGIC = 793712314
NEWEST_VERSION = 12
SUPERVISED = 3
# Losses, as numbered in the files.
HIERARCHICAL_SOFTMAX, NEGATIVE_SAMPLING, SOFTMAX, ONE_VS_ALL = 1, 2, 3, 4
CENTROIDS = 256
"""Centroids of every sub-quantiser."""

MOST_PRUNED_BUCKETS = 1 << 27
"""Largest number of buckets of a pruned model: there is a number in memory for each, whether or not the file has a row
for it. Of other models every bucket has a row in the file. The published ones have 2 to 10 million."""
MOST_IN_NGRAM = 100
"""Largest number of words, or of characters, in an n-gram; the time for a text grows with it. Published models have up
to 6."""

_CHUNK_BYTES = 1 << 24
_FLOAT = np.dtype("<f4")


class _Reader:
    """Reads values from a file's bytes in order. Raises ValueError where the file ends too early."""

    def __init__(self, buffer: mmap.mmap | bytes) -> None:
        self.buffer = buffer
        self.at = 0

    def skip(self, num_bytes: int) -> int:
        """The place where the next `num_bytes` start; moves past them."""
        # Check before moving, so that a damaged size never reads beyond the file.
        if num_bytes < 0 or num_bytes > len(self.buffer) - self.at:
            raise ValueError(f"the file ends inside a part of {num_bytes} bytes at byte {self.at}: it is cut short")
        self.at += num_bytes
        return self.at - num_bytes

    def numbers(self, layout: str) -> tuple[Any, ...]:
        """Values in the layout of `struct`, little-endian."""
        # Values are little-endian and packed without gaps.
        return struct.unpack_from(f"<{layout}", self.buffer, self.skip(struct.calcsize(f"<{layout}")))

    def array(self, dtype: np.dtype, count: int) -> np.ndarray:
        """A copy, so that it is aligned and outlives the file."""
        return array_at(self.buffer, self.skip(dtype.itemsize * count), dtype, count)


def array_at(buffer: mmap.mmap | bytes, place: int, dtype: np.dtype, count: int) -> np.ndarray:
    """`count` values that start at the byte `place`, as a copy."""
    return np.frombuffer(buffer[place : place + dtype.itemsize * count], dtype)


@dataclass(frozen=True)
class DenseMatrix:
    """float32 rows in the file."""

    shape: tuple[int, int]
    buffer: mmap.mmap | bytes
    place: int

    def rows(self, start: int, stop: int) -> np.ndarray:
        """float32[stop - start, dim], a copy; the file's pages are given back."""
        # Only the wanted rows are read from the file.
        width = self.shape[1]
        place = self.place + start * width * _FLOAT.itemsize
        rows = array_at(self.buffer, place, _FLOAT, (stop - start) * width).reshape(-1, width)
        # Give the pages back to the system: the matrix can be larger than memory.
        if isinstance(self.buffer, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
            self.buffer.madvise(mmap.MADV_DONTNEED)
        return rows


@dataclass(frozen=True)
class QuantisedMatrix:
    """Rows of which every piece is one of 256 centroids, and the length, if `norms`, one of 256 as well."""

    shape: tuple[int, int]
    codes: np.ndarray
    """uint8[rows, pieces]"""
    centroids: list[np.ndarray]
    """Of every piece, float32[256, width of the piece]."""
    norms: np.ndarray | None
    """float32[rows]"""

    def rows(self, start: int, stop: int) -> np.ndarray:
        """float32[stop - start, dim]."""
        pieces = [table[self.codes[start:stop, i]] for i, table in enumerate(self.centroids)]
        rows = np.concatenate(pieces, axis=1)
        return rows if self.norms is None else rows * self.norms[start:stop, None]


Matrix = DenseMatrix | QuantisedMatrix


def chunks(matrix: Matrix) -> Iterator[tuple[int, np.ndarray]]:
    """`(first row, float32[rows, dim])` over a whole matrix, some 16 MB at a time."""
    num_rows, width = matrix.shape
    # As many rows as make up one chunk, but at least one.
    step = max(1, _CHUNK_BYTES // (_FLOAT.itemsize * max(1, width)))
    for start in range(0, num_rows, step):
        yield start, matrix.rows(start, min(num_rows, start + step))


@dataclass(frozen=True)
class ModelFile:
    """The contents of a classifier file, checked for consistency."""

    dim: int
    word_ngrams: int
    loss: int
    buckets: int
    minn: int
    maxn: int
    num_words: int
    num_labels: int
    word_bytes: np.ndarray
    """uint8: all words, then all labels, one after another."""
    word_offsets: np.ndarray
    """int64[words + labels + 1]"""
    label_counts: list[int]
    """How often each label was seen in training: the shape of the hierarchical softmax."""
    bucket_rows: np.ndarray | None
    """int32[buckets]: place of a bucket's row behind the words' rows, -1 where it was pruned; None: all are there."""
    input: Matrix
    output: Matrix

    def text(self, entry: int) -> bytes:
        """The bytes of an entry of the dictionary: a word, or a label after all words."""
        return self.word_bytes[self.word_offsets[entry] : self.word_offsets[entry + 1]].tobytes()


def read_model(source: BinaryIO | bytes) -> ModelFile:
    """A fastText classifier, from an open file, which may be closed afterwards, or its bytes. A file of this machine is
    mapped into memory, any other stream read whole.

    Raises ValueError, saying why, when it is no such file, is cut short, contradicts itself or is no classifier.
    """
    # Bytes are read as they are, a file is mapped.
    if isinstance(source, bytes):
        return _read(_Reader(source))
    try:
        return _read(_Reader(mmap.mmap(source.fileno(), 0, access=mmap.ACCESS_READ)))
    except io.UnsupportedOperation:
        return _read(_Reader(source.read()))


def _read(reader: _Reader) -> ModelFile:
    """The parts of a model in the order in which they stand in the file."""
    # The head says what the file is and which version of the format it has.
    if len(reader.buffer) < 8 or (head := reader.numbers("ii"))[0] != MAGIC:
        raise ValueError("it does not start as fastText's files do")
    if not 11 <= head[1] <= NEWEST_VERSION:
        raise ValueError(f"format version {head[1]} is not known, only 11 and {NEWEST_VERSION}")
    # The settings of the training; only those that bear on prediction are used.
    dim, _, _, _, _, word_ngrams, loss, kind, buckets, minn, maxn, _, _ = reader.numbers("12id")
    if kind != SUPERVISED:
        raise ValueError("it holds word vectors and is no classifier")
    if head[1] == 11:
        maxn = 0  # Such classifiers have no character n-grams, whatever this number says.
    # Refuse settings that contradict themselves before memory is taken for them.
    if dim < 1 or loss not in (HIERARCHICAL_SOFTMAX, NEGATIVE_SAMPLING, SOFTMAX, ONE_VS_ALL):
        raise ValueError(f"dim {dim} and loss {loss} make no sense")
    if max(word_ngrams, maxn) > MOST_IN_NGRAM:
        raise ValueError(f"n-grams of {word_ngrams} words and {maxn} characters: more than {MOST_IN_NGRAM} is too long")
    if buckets < 1 and (word_ngrams > 1 or maxn > 0):
        raise ValueError(f"it uses n-grams but has {buckets} buckets for them")
    # The dictionary, and the buckets that pruning has left.
    num_words, num_labels, word_bytes, word_offsets, counts, pruned = _read_dictionary(reader)
    bucket_rows = _read_bucket_rows(reader, pruned, buckets) if pruned >= 0 else None
    # Both matrices; the output is quantised only where the input is.
    is_quantised = reader.numbers("?")[0]
    inputs = _read_quantised(reader) if is_quantised else _read_dense(reader)
    output = _read_quantised(reader) if reader.numbers("?")[0] and is_quantised else _read_dense(reader)
    # The sizes of the matrices must agree with the dictionary.
    num_rows = num_words + (max(buckets, 0) if bucket_rows is None else pruned)
    if inputs.shape != (num_rows, dim) or output.shape != (num_labels, dim):
        raise ValueError(
            f"matrices of {inputs.shape} and {output.shape} do not belong to {num_rows} rows, {num_labels} labels"
        )
    return ModelFile(
        dim=dim, word_ngrams=word_ngrams, loss=loss, buckets=max(buckets, 0), minn=minn, maxn=maxn,
        num_words=num_words, num_labels=num_labels, word_bytes=word_bytes, word_offsets=word_offsets,
        label_counts=[int(count) for count in counts[num_words:]], bucket_rows=bucket_rows, input=inputs, output=output,
    )  # fmt: skip


def _read_dictionary(reader: _Reader) -> tuple[int, int, np.ndarray, np.ndarray, np.ndarray, int]:
    """`(num words, num labels, word bytes, word offsets, counts, num pruned buckets or -1)`."""
    # The counts must agree with each other and with the size of the file.
    size, num_words, num_labels, _, pruned = reader.numbers("iiiqq")
    if min(num_words, num_labels) < 0 or num_words + num_labels != size or num_labels == 0:
        raise ValueError(f"a dictionary of {num_words} words and {num_labels} labels that should be {size}")
    if size * 10 > len(reader.buffer) - reader.at:
        raise ValueError(f"the file ends inside its dictionary of {size} entries: it is cut short")
    # Find where the entries lie, then copy the words together.
    data = np.frombuffer(reader.buffer, np.uint8)
    offsets, counts, is_label = np.zeros(size + 1, np.int64), np.zeros(size, np.int64), np.zeros(size, np.bool_)
    end = _scan_entries(data, reader.at, offsets, counts, is_label)
    if end < 0:
        raise ValueError(f"the file ends inside its dictionary of {size} entries: it is cut short")
    # All words stand before all labels.
    if is_label[:num_words].any() or not is_label[num_words:].all():
        raise ValueError("words and labels of the dictionary are not in order")
    word_bytes = np.empty(offsets[-1], np.uint8)
    _copy_words(data, reader.at, offsets, word_bytes)
    del data  # Otherwise the file could not be closed.
    reader.skip(end - reader.at)
    return num_words, num_labels, word_bytes, offsets, counts, pruned


@kernel
def _scan_entries(data: np.ndarray, at: int, offsets: np.ndarray, counts: np.ndarray, is_label: np.ndarray) -> int:
    """Offsets, counts and kinds of the entries from `at`: word, 0, count (int64), kind (int8). Returns where they end,
    -1 if the data end before."""
    for entry in range(len(counts)):
        # The word ends with a zero byte.
        start = at
        while at < len(data) and data[at] != 0:
            at += 1
        if at + 10 > len(data):
            return -1
        # Its count and its kind follow.
        offsets[entry + 1] = offsets[entry] + (at - start)
        for byte in range(8):
            counts[entry] |= np.int64(data[at + 1 + byte]) << (8 * byte)
        is_label[entry] = data[at + 9] == 1
        at += 10
    return at


@kernel
def _copy_words(data: np.ndarray, at: int, offsets: np.ndarray, word_bytes: np.ndarray) -> None:
    """Copy the words of the entries that start at `at` together, without what stands between them."""
    for entry in range(len(offsets) - 1):
        for place in range(offsets[entry], offsets[entry + 1]):
            word_bytes[place] = data[at]
            at += 1
        # Skip the zero byte, the count and the kind.
        at += 10


def _read_bucket_rows(reader: _Reader, pruned: int, buckets: int) -> np.ndarray:
    """Where the rows of the buckets are that pruning has left; -1 for the others."""
    # The table has a place for every bucket, so the number in the header must not be believed without a limit.
    if buckets > MOST_PRUNED_BUCKETS:
        raise ValueError(f"{buckets} buckets, and a pruned model can have {MOST_PRUNED_BUCKETS} at most")
    # Pairs of a bucket and its row; all other buckets were pruned.
    pairs = reader.array(np.dtype("<i4"), 2 * pruned).reshape(-1, 2)
    rows = np.full(max(buckets, 0), -1, np.int32)
    if len(pairs) and not (pairs.min() >= 0 and pairs[:, 0].max() < buckets and pairs[:, 1].max() < pruned):
        raise ValueError("its list of kept n-grams names rows that are not there")
    rows[pairs[:, 0]] = pairs[:, 1]
    return rows


def _read_dense(reader: _Reader) -> DenseMatrix:
    """A matrix of which only the place in the file is read."""
    # The rows stay in the file; only their place is kept.
    num_rows, width = reader.numbers("qq")
    if min(num_rows, width) < 0:
        raise ValueError(f"a matrix of {num_rows} x {width}")
    return DenseMatrix((num_rows, width), reader.buffer, reader.skip(num_rows * width * _FLOAT.itemsize))


def _read_quantised(reader: _Reader) -> QuantisedMatrix:
    """A matrix of codes, read whole."""
    # Codes of the pieces of every row, and the centroids that they stand for.
    has_norms, num_rows, width, num_codes = reader.numbers("?qqi")
    codes = reader.array(np.dtype(np.uint8), num_codes)
    centroids = _read_centroids(reader, width)
    if min(num_rows, width) < 0 or num_codes != num_rows * len(centroids):
        raise ValueError(f"{num_codes} codes for {num_rows} rows of {len(centroids)} pieces")
    # The lengths of the rows are quantised in the same way, as pieces of one number.
    norms = None
    if has_norms:
        norm_codes = reader.array(np.dtype(np.uint8), num_rows)
        norms = _read_centroids(reader, 1)[0][norm_codes, 0]
    return QuantisedMatrix((num_rows, width), codes.reshape(num_rows, -1), centroids, norms)


def _read_centroids(reader: _Reader, width: int) -> list[np.ndarray]:
    """Of every piece float32[256, width of the piece]; the last piece can be narrower."""
    dim, num_pieces, piece, last = reader.numbers("4i")
    if dim != width or min(num_pieces, piece, last) < 1 or (num_pieces - 1) * piece + last != width:
        raise ValueError(f"{num_pieces} pieces of {piece}, the last of {last}, do not make up rows of {width}")
    # The tables of all pieces stand one after the other.
    values = reader.array(_FLOAT, dim * CENTROIDS)
    split = CENTROIDS * piece * (num_pieces - 1)
    tables = values[:split].reshape(num_pieces - 1, CENTROIDS, piece)
    return [*tables, values[split:].reshape(CENTROIDS, last)]
