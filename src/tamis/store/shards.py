"""Document shards at rest: Parquet with zstd, written in a stream and published whole."""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from types import TracebackType
from typing import Any, BinaryIO, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tamis.base.errors import DataError, FormatError
from tamis.store.atomic import Place, publish
from tamis.store.location import Location
from tamis.store.remote import filesystem

ROW_GROUP_BYTES = 32 << 20
"""Row groups end after the row that reaches this size, which bounds the memory of writer and reader. Rows are measured
one by one, so that the same rows give the same file however they were batched."""


class ShardWriter:
    """Streams record batches of one schema into a Parquet file that appears only when the block ends without error."""

    def __init__(self, path: Place, schema: pa.Schema) -> None:
        self.path = path
        self.schema = schema
        self.num_rows = 0

    def __enter__(self) -> Self:
        # Without Arrow's own copy of the schema, whose bytes depend on where the columns came from.
        repeating = [field.name for field in self.schema if not _is_hash(field.type)]
        options = {
            "compression": "zstd", "compression_level": 3, "use_dictionary": repeating, "store_schema": False,
            "write_page_index": True,  # with it, readers find single rows and skip pages
        }  # fmt: skip
        with ExitStack() as stack:
            temporary = stack.enter_context(publish(self.path))
            self._writer = stack.enter_context(pq.ParquetWriter(temporary, self.schema, **options))
            self._stack = stack.pop_all()
        self._pending: list[pa.RecordBatch] = []
        self._pending_bytes = 0
        return self

    def write(self, batch: pa.RecordBatch) -> None:
        self.num_rows += batch.num_rows
        start, ends = 0, self._pending_bytes + np.cumsum(_row_bytes(batch))
        while (cut := int(np.searchsorted(ends, ROW_GROUP_BYTES))) < batch.num_rows:
            self._pending.append(batch.slice(start, cut + 1 - start))
            self._flush()
            start, ends = cut + 1, ends - ends[cut]
        if start < batch.num_rows:
            self._pending.append(batch.slice(start))
            self._pending_bytes = int(ends[-1])

    def _flush(self) -> None:
        if self._pending:
            table = pa.Table.from_batches(self._pending, schema=self.schema).combine_chunks()
            self._writer.write_table(table, row_group_size=table.num_rows)
        self._pending, self._pending_bytes = [], 0

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._stack:  # closes the file, then publishes it, or deletes it when an error passes through
            if error is not None:
                raise error
            self._flush()


def _row_bytes(batch: pa.RecordBatch) -> np.ndarray:
    """Size of each row, int64: its strings and binaries, those of maps too, and 8 bytes for every other value and list
    item."""
    sizes = np.zeros(batch.num_rows, np.int64)
    for column in batch.columns:
        kind = column.type
        if _is_measured(kind):
            sizes += _lengths(column)
        elif pa.types.is_map(kind) and _is_measured(kind.key_type) and _is_measured(kind.item_type):
            ends = np.concatenate([[0], np.cumsum(_lengths(column.keys) + _lengths(column.items))])
            offsets = column.offsets.to_numpy()
            sizes += ends[offsets[1:]] - ends[offsets[:-1]]
        elif pa.types.is_list(kind) or pa.types.is_large_list(kind):
            sizes += 8 * pc.fill_null(pc.list_value_length(column), 0).to_numpy(zero_copy_only=False)
        elif pa.types.is_fixed_size_list(kind):
            sizes += 8 * kind.list_size
        else:
            sizes += 8
    return sizes


def _is_measured(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or _is_any_binary(kind))


def _lengths(column: pa.Array) -> np.ndarray:
    return pc.fill_null(pc.binary_length(column), 0).to_numpy(zero_copy_only=False).astype(np.int64)


def _is_hash(kind: pa.DataType) -> bool:
    """uint64, alone or in lists: hashes, which no dictionary makes smaller."""
    return bool(kind == pa.uint64() or (pa.types.is_list(kind) and kind.value_type == pa.uint64()))


def _is_any_binary(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


@contextmanager
def _readable(path: Place) -> Iterator[BinaryIO | str]:
    """What Arrow reads a shard from. Raises FileNotFoundError, and DataError where the block finds no Parquet."""
    place = Location(path)
    try:
        if place.is_remote:
            with place.open_read() as stream:
                yield stream
        else:
            yield str(place)
    except FileNotFoundError:
        raise
    except (pa.ArrowInvalid, pa.ArrowTypeError, OSError) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{path}: not a readable Parquet shard ({reason}). Delete it and run again.") from error


@contextmanager
def _opened(path: Place) -> Iterator[pq.ParquetFile]:
    with _readable(path) as source, pq.ParquetFile(source) as file:
        yield file


@contextmanager
def open_parquet(stream: BinaryIO, name: str) -> Iterator[pq.ParquetFile]:
    """A Parquet file of anyone's making, from an open stream; checksums of pages are compared, where there are some.
    Raises FormatError, naming it `name`, where it is none, or where what the block reads is damaged, and DataError
    where the disk fails."""
    try:
        with pq.ParquetFile(stream, page_checksum_verification=True) as file:
            yield file
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        if getattr(error, "errno", None) is not None:
            raise DataError(f"{name}: cannot be read ({reason}).") from error
        raise FormatError(f"{name}: not a readable Parquet file ({reason}).") from error


def schema_of(path: Place) -> pa.Schema:
    """Names, types and metadata of a shard's columns."""
    with _opened(path) as file:
        return file.schema_arrow


def num_rows_of(path: Place) -> int:
    """Number of rows of a shard, from its footer."""
    with _opened(path) as file:
        return int(file.metadata.num_rows)


def read_table(path: Place, columns: Sequence[str] | None = None, where: pc.Expression | None = None) -> pa.Table:
    """A whole shard in memory, or those rows of it that match `where`; row groups that cannot match are not read.

    Raises FileNotFoundError, and DataError when the file is not readable Parquet.
    """
    wanted = None if columns is None else list(columns)
    with _readable(path) as source:
        return pq.read_table(source, columns=wanted, filters=where, partitioning=None)


def dataset_of(places: Sequence[Place], schema: pa.Schema) -> Any:
    """Shards of one schema as a `pyarrow.dataset.Dataset`, which reads them when it is asked for rows."""
    from pyarrow import dataset

    found = [Location(place) for place in places]
    if not found:
        return dataset.dataset(schema.empty_table())
    texts = [str(place) for place in found]
    if not found[0].is_remote:
        return dataset.dataset(texts, schema, "parquet")
    fs = filesystem(texts[0])
    return dataset.dataset([str(fs._strip_protocol(text)) for text in texts], schema, "parquet", fs)


def write_table(path: Place, table: pa.Table) -> None:
    """Publish a small table, its schema's metadata included."""
    with publish(path) as temporary:
        pq.write_table(table, temporary, compression="zstd")


def write_partitioned(path: Place, table: pa.Table, column: str) -> None:
    """Publish a table of hashes, which no compression makes smaller. Each run of rows with one value of `column` is a
    row group, so that `read_table` reads the rows of one value without the others."""
    values = table[column].to_numpy()
    starts = np.flatnonzero(np.diff(values, prepend=values[:1] - 1))
    with (
        publish(path) as temporary,
        pq.ParquetWriter(temporary, table.schema, compression="none", use_dictionary=False) as writer,
    ):
        for start, size in zip(starts, np.diff(starts, append=len(values)), strict=True):
            writer.write_table(table.slice(start, size), row_group_size=size)


def read_shard(
    path: Place, columns: Sequence[str] | None = None, batch_rows: int = 1024, skip: int = 0
) -> Iterator[pa.RecordBatch]:
    """Stream a shard in batches of at most `batch_rows`, and of at most a row group, whose bytes are bounded, without
    the first `skip` rows; row groups of which all rows are skipped are not read. Raises DataError when the file is not
    readable Parquet."""
    wanted = None if columns is None else list(columns)
    with _opened(path) as file:
        for group in range(file.num_row_groups):
            num_rows = file.metadata.row_group(group).num_rows
            if skip >= num_rows:
                skip -= num_rows
                continue
            for batch in file.iter_batches(batch_size=batch_rows, row_groups=[group], columns=wanted):
                if skip < batch.num_rows:
                    yield batch.slice(skip)
                skip = max(0, skip - batch.num_rows)


def read_rows(path: Place, rows: Sequence[int], columns: Sequence[str]) -> pa.Table:
    """The rows at these positions (ascending, distinct) of a shard; row groups without one of them are not read.

    Raises DataError when the file is not readable Parquet.
    """
    with _opened(path) as file:
        parts, start = [], 0
        for group in range(file.num_row_groups):
            end = start + file.metadata.row_group(group).num_rows
            mine = [row - start for row in rows if start <= row < end]
            if mine:
                parts.append(file.read_row_group(group, columns=list(columns)).take(pa.array(mine)))
            start = end
        return pa.concat_tables(parts) if parts else file.schema_arrow.empty_table().select(list(columns))


def read_row_groups(path: Place, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """Some columns of a shard, one batch per row group, so as large as `ROW_GROUP_BYTES` lets it be.

    Raises DataError when the file is not readable Parquet.
    """
    with _opened(path) as file:
        for group in range(file.num_row_groups):
            yield from file.read_row_group(group, columns=list(columns)).combine_chunks().to_batches()


def file_digest(path: Place) -> str:
    """32 hex digits over the bytes of a file."""
    with Location(path).open_read() as handle:
        return hashlib.file_digest(handle, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
