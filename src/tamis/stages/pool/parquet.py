"""Rows of Parquet files of anyone's making.

What is wrong with a value costs its row. Damaged data cost the rest of their row group, because Arrow cannot read on
behind them: each row that the file promises and that cannot be read is quarantined, so that all rows of a file are
accounted for.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from tamis.base import columns, exact_json
from tamis.base.errors import FormatError
from tamis.stages.pool.parquet_values import json_values
from tamis.store.fields import USUAL, FieldNames, told_names
from tamis.store.jsonl import JsonDocument, failed, fits_column, from_record
from tamis.store.parts import Part
from tamis.store.shards import open_parquet

MAX_BATCH_ROWS = 256
MIN_BATCH_ROWS = 64
"""Rows that Arrow reads at a time, unless they are large; fewer where one value may be large, because a dictionary
makes many large values of one."""
MAX_BATCH_BYTES = 64 << 20
MAX_LOST_ROWS = 1 << 20
"""Rows of a row group that are quarantined one by one where they cannot be read: as many as writers put into one. A
group that promises more of them is not believed, and one quarantined row stands for the rest."""

_STRINGS = (columns.TEXT, columns.URL, columns.WARCINFO, columns.ID)
"""Columns of which bytes are taken for strings."""
_TAMIS_COLUMNS = (columns.ID, columns.URL, columns.METADATA, columns.WARCINFO, columns.EXTRA, columns.TEXT)
_DAMAGE = (pa.ArrowException, OSError, UnicodeDecodeError)


class ColumnError(FormatError):
    """A readable Parquet file that does not have the columns that are needed."""


def read_documents(
    name: str, open_raw: Callable[[], BinaryIO], notes: Counter[str], unreadable: Mapping[int, str],
    names: FieldNames = USUAL, part: Part | None = None,
) -> Iterator[JsonDocument]:  # fmt: skip
    """Stream the rows of a Parquet file, or of the row groups of a part of it, with a column for the text; columns that
    have no place of their own go to `extra`.

    A row without a text, or with a value that JSON cannot hold, has `error` set: `no_text_field`, `not_utf8`,
    `bad_value`, or `damaged_row` where it cannot be read. `unreadable` rows, numbered from 0, are not converted and get
    the error given. `notes` counts `not_finite_numbers`, which become null. Raises FormatError where the file is not
    readable Parquet, or has no column for the text.
    """
    with open_raw() as raw, open_parquet(raw, name) as file:
        check_columns(file.schema_arrow, name, names)
        strings = frozenset((*_STRINGS, names.text, names.url, names.id))
        is_ours = _is_ours(file.schema_arrow)
        groups = range(file.num_row_groups) if part is None else range(part.start, part.stop)
        before = sum(max(0, int(file.metadata.row_group(group).num_rows)) for group in range(groups.start))
        first = before + 1
        for group in groups:
            for values in _rows_of_group(file, name, group, first, strings):
                why = unreadable.get(first - 1 - before)
                if why is None:
                    yield _document(values, first, is_ours, notes, names)
                else:
                    yield failed(f"{name} {first}".encode(), f"{why} (row {first})")
                first += 1


def count_documents(name: str, open_raw: Callable[[], BinaryIO], part: Part | None = None) -> int:
    """How many rows a file, or a part of it, promises. Raises FormatError when it is not readable Parquet."""
    with open_raw() as raw, open_parquet(raw, name) as file:
        if part is None:
            return max(0, int(file.metadata.num_rows))
        return sum(max(0, int(file.metadata.row_group(group).num_rows)) for group in range(part.start, part.stop))


def group_sizes(name: str, open_raw: Callable[[], BinaryIO]) -> list[int]:
    """Compressed bytes of each row group. Raises FormatError when the file is not readable Parquet."""
    with open_raw() as raw, open_parquet(raw, name) as file:
        groups = (file.metadata.row_group(group) for group in range(file.num_row_groups))
        return [
            sum(max(0, group.column(c).total_compressed_size) for c in range(group.num_columns)) for group in groups
        ]


def check_file(name: str, open_raw: Callable[[], BinaryIO], names: FieldNames = USUAL) -> None:
    """Raises FormatError where a file is not readable Parquet, or does not have the columns that are needed."""
    with open_raw() as raw, open_parquet(raw, name) as file:
        check_columns(file.schema_arrow, name, names)


def check_columns(schema: pa.Schema, name: str, names: FieldNames = USUAL) -> None:
    """Raises ColumnError where a file has no column for the text, or two columns of one name."""
    twice = [column for column, count in Counter(schema.names).items() if count > 1]
    if twice:
        raise ColumnError(f"{name}: has two columns {twice[0]!r}. Write it again with one column of each name.")
    wanted = names.text_field
    if wanted in schema.names:
        return
    outer, _, inner = wanted.partition(".")
    known = _known_fields(schema)
    is_nested = bool(inner) and outer in schema.names
    if not is_nested or (pa.types.is_struct(schema.field(outer).type) and wanted not in known):
        raise ColumnError(
            f"{name}: has no column '{wanted}' (it has: {told_names(known, 'column')}). Name the column that holds "
            "the texts: --set pool.text_column=NAME"
        )


def _known_fields(schema: pa.Schema) -> list[str]:
    """The names of all columns, those of the fields of structs with dots."""
    found: list[str] = []

    def add(item: pa.Field, before: str) -> None:
        if pa.types.is_struct(item.type) and item.type.num_fields:
            for number in range(item.type.num_fields):
                add(item.type.field(number), f"{before}{item.name}.")
        else:
            found.append(f"{before}{item.name}")

    for item in schema:
        add(item, "")
    return found


def _is_ours(schema: pa.Schema) -> bool:
    """Whether the columns are those of a shard that Tamis stores, in which `metadata` and `extra` are JSON objects."""
    return all(
        column in schema.names and schema.field(column).type == columns.POOL_SCHEMA.field(column).type
        for column in _TAMIS_COLUMNS
    )


def _rows_of_group(
    file: pq.ParquetFile, name: str, group: int, first: int, strings: Collection[str]
) -> Iterator[dict[str, Any] | str]:
    """The rows of a row group, each as a JSON record, or as the error for which it is quarantined."""
    promised = max(0, int(file.metadata.row_group(group).num_rows))
    reason = ""
    done = 0
    try:
        batch_rows = _batch_rows(file.metadata.row_group(group))
        # Without threads, so that of two damaged columns the same one is told each time.
        for batch in file.iter_batches(batch_size=batch_rows, row_groups=[group], use_threads=False):
            for row in _records(batch, strings):
                yield row
                done += 1
    except _DAMAGE as error:
        if getattr(error, "errno", None) is not None:
            raise  # the disk or the server failed, not the file
        reason = " ".join(str(error).split())
    reason = reason or f"row group {group} ends after {done} of {promised} rows"
    one_by_one = min(promised - done, MAX_LOST_ROWS)
    for row_number in range(first + done, first + done + one_by_one):
        yield f"damaged_row: row {row_number} of {name} cannot be read ({reason})"
    if (rest := promised - done - one_by_one) > 0:
        yield f"damaged_row: {rest} further rows of row group {group} of {name} cannot be read ({reason})"


def _batch_rows(group: pq.RowGroupMetaData) -> int:
    size = max(1, int(group.total_byte_size))
    fitting = MAX_BATCH_BYTES * max(1, int(group.num_rows)) // size
    one_may_be_large = size > MAX_BATCH_BYTES // MAX_BATCH_ROWS
    return max(1, min(fitting, MIN_BATCH_ROWS if one_may_be_large else MAX_BATCH_ROWS))


def _records(batch: pa.RecordBatch, strings: Collection[str]) -> Iterator[dict[str, Any] | str]:
    """The rows of a batch; where a value of one cannot be converted, the rows are converted one by one."""
    names = batch.schema.names
    try:
        values = [
            json_values(name, column, as_text=name in strings)
            for name, column in zip(names, batch.columns, strict=True)
        ]
    except ValueError as error:
        if batch.num_rows == 1:
            yield str(error)
            return
        for row in range(batch.num_rows):
            yield from _records(batch.slice(row, 1), strings)
        return
    for record in zip(*values, strict=True):
        yield {name: value for name, value in zip(names, record, strict=True) if value is not None}


def _document(
    values: dict[str, Any] | str, number: int, is_ours: bool, notes: Counter[str], names: FieldNames
) -> JsonDocument:
    """The document of one row: null columns are absent fields, null entries of `metadata` absent headers."""
    if isinstance(values, str):
        return failed(values.encode(), values)
    further: Mapping[str, Any] = {}
    if is_ours:
        if columns.METADATA in values:
            values[columns.METADATA] = _unfolded(values[columns.METADATA])
        further = _take_extra(values)
    metadata = values.get(columns.METADATA)
    if isinstance(metadata, dict):
        values[columns.METADATA] = {key: value for key, value in metadata.items() if value is not None}
    given = values.pop(columns.SOURCE_ID, None) if is_ours else None
    try:
        document = from_record(values, f"row {number}", further, names)
        document.source_id = document.source_id or given
        if document.extra is not None and "null" in document.extra and exact_json.holds_not_finite(values):
            notes[exact_json.NOT_FINITE] += 1
    except ValueError as error:
        return failed(f"row {number}".encode(), f"bad_value: row {number}: {error}")
    return document


def _take_extra(values: dict[str, Any]) -> dict[str, Any]:
    """The fields in `extra` of a row of a Tamis shard, taken out of `values`. Nothing, where Tamis cannot have written
    them: then `extra` is a field as any other."""
    fields = _unfolded(values.get(columns.EXTRA))
    if not isinstance(fields, dict) or columns.TEXT in fields or fits_column(fields):
        return {}
    del values[columns.EXTRA]
    return fields


def _unfolded(value: Any) -> Any:
    """The JSON object that a column of a Tamis shard holds as a string; the value itself where it holds none."""
    if not isinstance(value, str):
        return value
    try:
        found = exact_json.loads_leniently(value.encode(), Counter())
    except ValueError:
        return value
    return found if isinstance(found, dict) else value
