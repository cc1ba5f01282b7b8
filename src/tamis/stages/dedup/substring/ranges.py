"""What the two algorithms of substring deduplication share: token sketches as arrays, and token ranges as tables."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

TOKENS = "tokens"
"""binary sketch column: the hash of every token, eight little-endian bytes each."""
NUM_TOKENS = "num_tokens"
"""int32 sketch column: tokens of the document."""

_REACH = 1 << 32
"""A number larger than the number of tokens of any document."""


@dataclass(frozen=True, kw_only=True)
class TokenLines:
    """Some sketch lines: `shards` (int32), `rows` (int64, negative = planted) and `planted` (bool) per line; the hashes
    of line k are `tokens[offsets[k]:offsets[k + 1]]` (uint64, int64)."""

    shards: np.ndarray
    rows: np.ndarray
    planted: np.ndarray
    tokens: np.ndarray
    offsets: np.ndarray


Stream = Callable[[], Iterator[TokenLines]]
"""Returns an iterator over the sketch lines of a bucket's shards, in order and from the beginning."""


def read_lines(batches: Iterable[pa.RecordBatch]) -> Iterator[TokenLines]:
    """Sketch batches (`shard, row, tokens`) as arrays; the tokens are not copied."""
    for batch in batches:
        rows = batch.column("row").to_numpy()
        tokens, offsets = _hashes(batch.column(TOKENS))
        yield TokenLines(
            shards=batch.column("shard").to_numpy(), rows=rows, planted=rows < 0, tokens=tokens, offsets=offsets
        )


def _hashes(column: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    width = np.dtype(np.int64 if pa.types.is_large_binary(column.type) else np.int32)
    _, offsets_buffer, data = column.buffers()
    if len(column) == 0 or data is None or data.size < 8:
        return np.frombuffer(b"", np.uint64), np.zeros(len(column) + 1, np.int64)
    offsets = np.frombuffer(offsets_buffer, width, len(column) + 1, column.offset * width.itemsize)
    return np.frombuffer(data, "<u8", data.size // 8), offsets.astype(np.int64) // 8


def token_column(hashes: np.ndarray, offsets: np.ndarray) -> pa.Array:
    """The `tokens` column of documents whose hashes (uint64) are `hashes[offsets[d]:offsets[d + 1]]`."""
    buffers = [None, pa.py_buffer(8 * offsets), pa.py_buffer(hashes.astype("<u8", copy=False))]
    return pa.Array.from_buffers(pa.large_binary(), len(offsets) - 1, buffers)


class Ranges:
    """Collects token ranges as they are found, for the `lines` of one batch at a time, with `starts` and `ends` in
    tokens."""

    def __init__(self) -> None:
        self._parts: list[tuple[np.ndarray, ...]] = []

    def add(self, lines: TokenLines, documents: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> None:
        """Ranges of `lines[documents]`; the arrays are copied."""
        if len(documents):
            self._parts.append((lines.shards[documents], lines.rows[documents], starts.copy(), ends.copy()))

    def table(self) -> pa.Table:
        """All of them as `ranges_table`."""
        empty = (np.zeros(0, np.int32), *(np.zeros(0, np.int64) for _ in range(3)))
        return ranges_table(*map(np.concatenate, zip(empty, *self._parts, strict=True)))


def ranges_table(shards: np.ndarray, rows: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> pa.Table:
    """`shard` int32, `row` int64 (negative = planted), `start`, `end` int32: tokens `start:end` of that document."""
    return pa.table(
        {
            "shard": pa.array(shards, pa.int32()),
            "row": pa.array(rows, pa.int64()),
            "start": pa.array(starts.astype(np.int32)),
            "end": pa.array(ends.astype(np.int32)),
        }
    )


def join_ranges(tables: Sequence[pa.Table]) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """`shards, rows, starts, ends` of the union of the tables' ranges, in order; no two of them overlap or touch."""
    names = ("shard", "row", "start", "end")
    shards, rows, starts, ends = (
        np.concatenate([np.zeros(0, np.int64), *(table[name].to_numpy() for table in tables)]) for name in names
    )
    order = np.lexsort((starts, rows, shards))
    shards, rows, starts, ends = (column[order] for column in (shards, rows, starts, ends))
    new_document = (np.diff(shards, prepend=shards[:1]) != 0) | (np.diff(rows, prepend=rows[:1]) != 0)
    base = np.cumsum(new_document) * _REACH
    reached = np.maximum.accumulate(base + ends)
    opens = np.flatnonzero(np.append(True, base[1:] + starts[1:] > reached[:-1])[: len(order)])
    last = np.append(opens[1:], len(order))[: len(opens)] - 1
    return shards[opens], rows[opens], starts[opens], reached[last] - base[last]
