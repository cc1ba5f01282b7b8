"""Rows of the pool, gathered into batches of bounded size."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from tamis.base import columns

MAX_BATCH_ROWS = 512
MAX_BATCH_BYTES = 4 << 20
"""Content and text of a batch: small enough to stay in the processor's cache on its way through the stages. A single
larger document makes a batch of its own."""


@dataclass(slots=True, kw_only=True)
class Row:
    """One row of columns.POOL_SCHEMA."""

    id: str
    url: str = ""
    metadata: dict[str, str] | None = None
    warcinfo: str | None = None
    extra: str | None = None
    content: bytes | None = None
    content_type: str | None = None
    text: str | None = None
    drop_reason: str | None = None
    error: str | None = None

    def size_bytes(self) -> int:
        return len(self.content or b"") + len(self.text or "")


@dataclass
class Batcher:
    """Collects rows; `add` yields a batch whenever the next row would overfill it, `flush` what is left."""

    _rows: list[Row] = field(default_factory=list)
    _bytes: int = 0

    def add(self, row: Row) -> Iterator[pa.RecordBatch]:
        size = row.size_bytes()
        if self._rows and (len(self._rows) >= MAX_BATCH_ROWS or self._bytes + size > MAX_BATCH_BYTES):
            yield from self.flush()
        self._rows.append(row)
        self._bytes += size

    def flush(self) -> Iterator[pa.RecordBatch]:
        rows, self._rows, self._bytes = self._rows, [], 0
        if rows:
            yield pa.record_batch([_column(rows, item) for item in columns.POOL_SCHEMA], schema=columns.POOL_SCHEMA)


def _column(rows: list[Row], item: pa.Field) -> pa.Array:
    values: list[Any] = [getattr(row, item.name) for row in rows]
    if item.name == columns.METADATA:
        values = [None if value is None else list(value.items()) for value in values]
    if item.name == columns.CONTENT:
        return _binary(values)
    return pa.array(values, item.type)


def _binary(values: list[bytes | None]) -> pa.Array:
    """pa.array(values, pa.large_binary()) with the bytes copied once, where a builder copies as it grows."""
    offsets = np.zeros(len(values) + 1, np.int64)
    np.cumsum([len(value or b"") for value in values], out=offsets[1:])
    valid = np.packbits([value is not None for value in values], bitorder="little")
    data = b"".join(value for value in values if value)
    buffers = [pa.py_buffer(valid), pa.py_buffer(offsets), pa.py_buffer(data)]
    return pa.Array.from_buffers(pa.large_binary(), len(values), buffers)
