"""Rows of the pool, gathered into batches of bounded size."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from tamis.base import columns

MAX_BATCH_ROWS = 512
MAX_BATCH_BYTES = 16 << 20
"""Content and text of a batch; a single larger document makes a batch of its own."""


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
    return pa.array(values, item.type)
