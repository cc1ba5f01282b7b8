"""The layouts in which documents are exported: Parquet, and the JSONL records of DCLM, Dolma and datatrove.

| layout | a record |
|---|---|
| `parquet` | all columns of the stage; `metadata` and `extra` are JSON strings |
| `dclm` | `text`, `url`, `metadata` (WARC headers), `warcinfo`, the input's other fields, the measured columns, the
language once more where DCLM has it, `id` |
| `dolma` | `id`, `text`, `source`, `added`, `created`, and all the rest in `metadata` |
| `datatrove` | `text`, `id`, and all the rest in `metadata` |

Null and NaN mean that a value was not measured; JSONL leaves them out.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from tamis.base import columns
from tamis.base.errors import ConfigError, did_you_mean
from tamis.store.jsonl import to_records

Record = dict[str, Any]

WARC_DATE = "WARC-Date"
GIVEN_ID = "source_id"
"""The field for the id that the input gave to a document, where it is not the document's `id`."""
_CASTS: tuple[tuple[Callable[[pa.DataType], bool], pa.DataType], ...] = (
    (pa.types.is_float16, pa.float32()),
    (pa.types.is_null, pa.string()),
    (pa.types.is_time, pa.string()),
    (pa.types.is_decimal256, pa.string()),
    (lambda kind: pa.types.is_timestamp(kind) and kind.unit == "ns", pa.timestamp("us")),
)
"""Types of Parquet that one of the readers refuses (Spark 4.3 all but the second), and what is written instead."""
DCLM_LANGUAGE = "language_id_whole_page_fasttext"
"""Where DCLM's filters look for the language of a page and its probability, whichever model has found it."""
_FIRST = (columns.ID, columns.TEXT, columns.URL)
_LAST = (columns.METADATA, columns.WARCINFO, columns.EXTRA)


@dataclass(frozen=True, kw_only=True)
class Layout:
    """A format: the folder of its files, the endings that it can have by compression (the first is the default), and
    how a record is made. `record` is None where batches are written as they are."""

    name: str
    folder: str
    endings: dict[str, str]
    record: Callable[[Record, str], Record] | None

    def ending(self, compression: str | None) -> str:
        """The ending of its files. Raises ConfigError for a compression that it does not have."""
        chosen = next(iter(self.endings)) if compression is None else compression
        if chosen not in self.endings:
            raise ConfigError(
                f"--compression {chosen}: {self.name} files have the compression {' or '.join(self.endings)}. Type: "
                f"--compression {next(iter(self.endings))}"
            )
        return self.endings[chosen]

    def file_name(self, number: int, total: int, ending: str) -> str:
        """Path of a file below the folder of the export, as Hugging Face names the files of a split."""
        return f"{self.folder}/train-{number:05d}-of-{total:05d}{ending}"


def _dclm(record: Record, source: str) -> Record:
    if record.get("language") and isinstance(record.get("language_score"), float):
        record.setdefault(DCLM_LANGUAGE, {record["language"]: record["language_score"]})
    return record


def _dolma(record: Record, source: str) -> Record:
    identity, text = record.pop(columns.ID), record.pop(columns.TEXT)
    metadata = _gathered(record)
    date = metadata.get(WARC_DATE)
    own = {name: metadata.pop(name) for name in ("source", "added", "created") if _is_text(metadata.get(name))}
    dates = {"added": date, "created": date} if _is_text(date) else {}
    return {columns.ID: identity, columns.TEXT: text, "source": source, **dates, **own, columns.METADATA: metadata}


def _datatrove(record: Record, source: str) -> Record:
    identity, text = record.pop(columns.ID), record.pop(columns.TEXT)
    metadata = _gathered(record)
    if _is_text(metadata.get(WARC_DATE)):
        metadata.setdefault("date", metadata[WARC_DATE])
    return {columns.TEXT: text, columns.ID: identity, columns.METADATA: metadata}


def _gathered(record: Record) -> Record:
    """All fields of a DCLM record but the text as one flat object; WARC headers give way to the others."""
    headers = record.pop(columns.METADATA, None)
    if not isinstance(headers, dict):
        return record if headers is None else {**record, columns.METADATA: headers}
    return {**{name: record[name] for name in (columns.URL,) if name in record}, **headers, **record}


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and value != ""


_JSONL = {"gz": ".jsonl.gz", "zst": ".jsonl.zst"}
_ZST_FIRST = {name: _JSONL[name] for name in ("zst", "gz")}
LAYOUTS: dict[str, Layout] = {
    layout.name: layout
    for layout in (
        Layout(name="parquet", folder="data", endings={"zst": ".parquet"}, record=None),
        Layout(name="dclm", folder="data", endings=_ZST_FIRST, record=_dclm),
        Layout(name="dolma", folder="documents", endings=_JSONL, record=_dolma),
        Layout(name="datatrove", folder="data", endings=_JSONL, record=_datatrove),
    )
}


def layout_of(name: str) -> Layout:
    """Raises ConfigError for a name that no layout has."""
    if name not in LAYOUTS:
        raise ConfigError(f"FORMAT {name}: no such format{did_you_mean(name, LAYOUTS)}")
    return LAYOUTS[name]


def records(batch: pa.RecordBatch, layout: Layout, source: str) -> Iterator[Record]:
    """The JSON records of a batch. `id` is the document's; an id that the input gave is kept as `source_id`."""
    assert layout.record is not None
    for identity, record in zip(batch.column(columns.ID).to_pylist(), to_records(batch), strict=True):
        given = record.pop(columns.ID, identity)
        if given != identity:
            record.setdefault(GIVEN_ID, given)
        yield layout.record({**record, columns.ID: identity}, source)


def portable(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The batch with types that `datasets`, polars, DuckDB and Spark read, and the columns that readers look at first
    in front. A stage of the user's own may have added other types."""
    names = batch.schema.names
    middle = [name for name in names if name not in (*_FIRST, *_LAST)]
    ordered = [name for name in (*_FIRST, *middle, *_LAST) if name in names]
    return pa.RecordBatch.from_arrays([_portable(batch.column(name)) for name in ordered], names=ordered)


def _portable(column: pa.Array) -> pa.Array:
    kind = column.type
    if pa.types.is_map(kind):
        pairs = pa.StructArray.from_arrays([_portable(column.keys), _portable(column.items)], ["key", "value"])
        return pa.ListArray.from_arrays(column.offsets, pairs, mask=pc.is_null(column))
    for is_kind, target in _CASTS:
        if is_kind(kind):
            return column.cast(target, safe=False)
    return column
