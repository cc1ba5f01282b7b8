"""Document shards at rest: Parquet with zstd, written in a stream and published whole."""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

import pyarrow as pa
import pyarrow.parquet as pq

from tamis.base.errors import DataError
from tamis.store.atomic import publish

ROW_GROUP_BYTES = 32 << 20
"""Row groups are cut at about this much Arrow data, which bounds the memory of writer and reader."""


class ShardWriter:
    """Streams record batches of one schema into a Parquet file that appears only when the block ends without error."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self.path = path
        self.schema = schema
        self.num_rows = 0

    def __enter__(self) -> Self:
        self._stack = ExitStack()
        temporary = self._stack.enter_context(publish(self.path))
        self._writer = self._stack.enter_context(
            pq.ParquetWriter(temporary, self.schema, compression="zstd", compression_level=3)
        )
        self._pending: list[pa.RecordBatch] = []
        self._pending_bytes = 0
        return self

    def write(self, batch: pa.RecordBatch) -> None:
        self.num_rows += batch.num_rows
        self._pending.append(batch)
        self._pending_bytes += batch.nbytes
        if self._pending_bytes >= ROW_GROUP_BYTES:
            self._flush()

    def _flush(self) -> None:
        if self._pending:
            table = pa.Table.from_batches(self._pending, schema=self.schema)
            self._writer.write_table(table, row_group_size=max(1, table.num_rows))
        self._pending, self._pending_bytes = [], 0

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._stack:  # closes the file, then publishes it, or deletes it when an error passes through
            if error is not None:
                raise error
            self._flush()


def read_shard(path: Path, columns: Sequence[str] | None = None, batch_rows: int = 1024) -> Iterator[pa.RecordBatch]:
    """Stream a shard in batches of at most `batch_rows`. Raises DataError when the file is not readable Parquet."""
    try:
        with pq.ParquetFile(path) as file:
            yield from file.iter_batches(batch_size=batch_rows, columns=list(columns) if columns is not None else None)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise DataError(f"{path}: not a readable Parquet shard ({error}). Delete it and run again.") from error


def file_digest(path: Path) -> str:
    """32 hex digits over the bytes of a file."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
