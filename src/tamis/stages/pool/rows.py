"""Rows of the pool, gathered into batches of bounded size."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from tamis.base import columns, exact_json

MAX_BATCH_ROWS = 512
MAX_BATCH_BYTES = 8 << 20
"""Bytes of all columns in a batch. They are many enough that the fixed cost of a batch (half a millisecond from file to
text) is spread over dozens of large pages. A single larger document makes a batch of its own."""
MAX_ROW_BYTES = 256 << 20
"""Bytes of all columns of one row; a larger row is quarantined, without what it holds."""
_SHORT = 4096
_URL_CHARACTERS = 4096
"""What is kept of the URL of a row that is too large."""
_COPIED = b""
"""Stands in a row in place of the body, which was copied into the batch."""


@dataclass(slots=True, kw_only=True)
class Row:
    """One row of columns.POOL_SCHEMA."""

    id: str
    url: str = ""
    metadata: dict[str, str] | None = None
    warcinfo: str | None = None
    extra: str | None = None
    source_id: str | None = None
    content: bytes | memoryview | None = None
    content_type: str | None = None
    text: str | None = None
    drop_reason: str | None = None
    error: str | None = None

    def size_bytes(self) -> int:
        """Bytes of content, and of all strings in UTF-8; of short ones among them (URL, headers), characters."""
        size = len(self.content or b"") + _about(self.url)
        for value in (self.text, self.extra, self.warcinfo, self.source_id):
            if value:
                size += len(value) if value.isascii() else utf8_bytes(value)
        if self.metadata:
            size += _about("".join(self.metadata)) + _about("".join(self.metadata.values()))
        return size

    def too_large(self, size: int) -> "Row":
        """What stands for this row where it is larger than MAX_ROW_BYTES."""
        return Row(
            id=self.id,
            url=self.url[:_URL_CHARACTERS],
            error=f"too_large: the row has {size} bytes, of which {MAX_ROW_BYTES} at most are read",
        )


def utf8_bytes(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))


def _about(text: str) -> int:
    return len(text) if len(text) < _SHORT else utf8_bytes(text)


class Batcher:
    """Collects rows. `add` yields a batch whenever the next row would make it too large, and `flush` yields the rest.

    Each body is copied into the batch's buffer at once, while it is still in the processor's cache, so that the memory
    it was read into can be used again.
    """

    def __init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self._rows: list[Row] = []
        self._bytes = 0
        self._content: pa.Buffer | None = None
        self._ends = [0]

    def add(self, row: Row) -> Iterator[pa.RecordBatch]:
        size = row.size_bytes()
        if size > MAX_ROW_BYTES:
            row = row.too_large(size)
            size = row.size_bytes()
        if self._rows and (len(self._rows) >= MAX_BATCH_ROWS or self._bytes + size > MAX_BATCH_BYTES):
            yield from self.flush()
        self._rows.append(row)
        self._bytes += size
        self._ends.append(self._ends[-1] + len(row.content or b""))
        if row.content:
            if self._content is None:
                self._content = pa.allocate_buffer(max(MAX_BATCH_BYTES, len(row.content)))
                self._target = memoryview(self._content).cast("B")
            self._target[self._ends[-2] : self._ends[-1]] = row.content
            row.content = _COPIED

    def flush(self) -> Iterator[pa.RecordBatch]:
        if self._rows:
            columns_of = {columns.CONTENT: self._content_column()}
            arrays = [columns_of.get(item.name) or _column(self._rows, item) for item in columns.POOL_SCHEMA]
            self._begin()
            yield pa.record_batch(arrays, schema=columns.POOL_SCHEMA)

    def _content_column(self) -> pa.Array:
        valid = np.packbits([row.content is not None for row in self._rows], bitorder="little")
        data = self._content.slice(0, self._ends[-1]) if self._content is not None else pa.py_buffer(b"")
        buffers = [pa.py_buffer(valid), pa.py_buffer(np.array(self._ends, np.int64)), data]
        return pa.Array.from_buffers(pa.large_binary(), len(self._rows), buffers)


def _column(rows: list[Row], item: pa.Field) -> pa.Array:
    values: list[Any] = [getattr(row, item.name) for row in rows]
    if item.name == columns.METADATA:
        values = [None if value is None else exact_json.dumps(value) for value in values]
    return pa.array(values, item.type)
