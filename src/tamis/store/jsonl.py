"""DCLM's JSONL: streamed in from plain, gzip or zstd files, written in DCLM's field layout from batches.

DCLM's record is {text, url, metadata, warcinfo, ...}: `metadata` holds the WARC record headers, every other field is
the business of whoever added it, and goes through here unharmed (column `extra`).
"""

import gzip
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, BinaryIO

import orjson
import pyarrow as pa
import zstandard

from tamis.base import columns
from tamis.base.lines import MAX_LINE_BYTES, split_lines
from tamis.store.atomic import Place, publish
from tamis.store.containers import decoded_chunks
from tamis.store.identity import document_id
from tamis.store.location import Location

_SURROGATE = re.compile("[\ud800-\udfff]")
_ID = re.compile(r"[0-9a-f]{32}")
_OWN = frozenset((columns.TEXT, columns.URL, columns.METADATA, columns.WARCINFO))
_NOT_WRITTEN = frozenset(
    (*_OWN, columns.ID, columns.EXTRA, columns.CONTENT, columns.CONTENT_TYPE, columns.DROP_REASON, columns.ERROR,
     columns.TOKEN_IDS)
)  # fmt: skip


@dataclass(slots=True, kw_only=True)
class JsonDocument:
    """One record. `extra` holds every field that has no column, or a value that does not fit its column."""

    id: str
    url: str = ""
    text: str | None = None
    metadata: dict[str, str] | None = None
    warcinfo: str | None = None
    extra: dict[str, Any] = field(default_factory=dict)
    error: str | None = None


def read_documents(
    open_raw: Callable[[], BinaryIO], notes: Counter[str], unreadable: Mapping[int, str] = MappingProxyType({})
) -> Iterator[JsonDocument]:
    """Stream the records of one file; blank lines are skipped.

    A line that is not a JSON object, or has no `text`, gives a document whose `error` (`bad_json`, `no_text_field`,
    `too_large`) names the line. Lone surrogates (legal in JSON, not in UTF-8) become U+FFFD; `notes` counts the records
    as `lone_surrogates`. NaN and Infinity, which Python writes though JSON has none, are read. `unreadable` records,
    numbered from 0, are not parsed and get the error given.
    """
    count = 0
    for number, line in split_lines(decoded_chunks(open_raw, notes)):
        if line.strip():
            why = unreadable.get(count)
            yield _document(number, line, notes) if why is None else _failed(line, f"{why} (line {number})")
            count += 1


def count_documents(open_raw: Callable[[], BinaryIO], limit: int) -> int:
    """How many records a file has, counted up to `limit`."""
    count = 0
    for _, line in split_lines(decoded_chunks(open_raw, Counter())):
        count += bool(line.strip())
        if count >= limit:
            break
    return count


def _document(number: int, line: bytes, notes: Counter[str]) -> JsonDocument:
    if len(line) > MAX_LINE_BYTES:
        return _failed(line, f"too_large: line {number} is longer than {MAX_LINE_BYTES} bytes")
    try:
        record = _parse(line, notes)
    except (ValueError, RecursionError) as error:
        return _failed(line, f"bad_json: line {number}: {error}")
    if not isinstance(record, dict):
        return _failed(line, f"bad_json: line {number}: a JSON object was expected, not {type(record).__name__}")
    return from_record(record, f"line {number}")


def _parse(line: bytes, notes: Counter[str]) -> Any:
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError:
        # Slower, but takes NaN and lone surrogates; raises the error that is reported.
        return _without_surrogates(json.loads(line), notes)


def _without_surrogates(value: Any, notes: Counter[str]) -> Any:
    """`value` with lone surrogates replaced; counted once per record."""
    encoded = json.dumps(value, ensure_ascii=False)
    if not _SURROGATE.search(encoded):
        return value
    notes["lone_surrogates"] += 1
    return json.loads(_SURROGATE.sub("�", encoded))


def _failed(line: bytes, error: str) -> JsonDocument:
    return JsonDocument(id=document_id("", "", line), error=error)


def from_record(record: dict[str, Any], where: str) -> JsonDocument:
    """Sort a record's fields into columns; what does not fit its column goes to `extra` as it is."""
    fields = dict(record)
    metadata = _take(fields, columns.METADATA, _is_string_map)
    document = JsonDocument(
        id="",
        text=_take(fields, columns.TEXT, _is_string),
        metadata=metadata,
        warcinfo=_take(fields, columns.WARCINFO, _is_string),
    )
    headers = metadata or {}
    document.url = _take(fields, columns.URL, _is_string) or headers.get("WARC-Target-URI", "")
    given = _take(fields, columns.ID, _is_our_id)
    content = (document.text or "").encode()
    document.id = given or document_id(headers.get("WARC-Record-ID", ""), document.url, content)
    document.extra = fields
    if document.text is None:
        document.error = f"no_text_field: {where} has no field 'text' that holds a string"
    return document


def _take(fields: dict[str, Any], name: str, fits: Callable[[Any], bool]) -> Any:
    return fields.pop(name) if name in fields and fits(fields[name]) else None


def _is_string(value: Any) -> bool:
    return isinstance(value, str)


def _is_our_id(value: Any) -> bool:
    return isinstance(value, str) and _ID.fullmatch(value) is not None


def _is_string_map(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(item, str) for item in value.values())


def to_records(batch: pa.RecordBatch) -> Iterator[dict[str, Any]]:
    """DCLM records of a batch: text, url, metadata, warcinfo, then the input's other fields, then the columns that
    stages added (null and NaN: not measured, not written). `id` is written where it cannot be derived again, because
    the record has no WARC-Record-ID and its text or url was changed."""
    added = [name for name in batch.schema.names if name not in _NOT_WRITTEN]
    read = [name for name in batch.schema.names if name in _OWN or name in (columns.ID, columns.EXTRA)]
    for row in batch.select(read + added).to_pylist():
        record: dict[str, Any] = {columns.TEXT: row[columns.TEXT]}
        if row.get(columns.URL):
            record[columns.URL] = row[columns.URL]
        metadata = row.get(columns.METADATA)
        if metadata is not None:
            record[columns.METADATA] = dict(metadata)
        if row.get(columns.WARCINFO) is not None:
            record[columns.WARCINFO] = row[columns.WARCINFO]
        if row.get(columns.EXTRA):
            record |= _parse(row[columns.EXTRA].encode(), Counter())
        for name in added:
            value = row[name]
            if value is not None and value == value:
                record[name] = value
        if columns.ID in row and row[columns.ID] != _derived_id(record):
            record[columns.ID] = row[columns.ID]
        yield record


def _derived_id(record: dict[str, Any]) -> str:
    metadata = record.get(columns.METADATA)
    headers: dict[str, str] = metadata if metadata is not None and _is_string_map(metadata) else {}
    url = record.get(columns.URL)
    return document_id(
        headers.get("WARC-Record-ID", ""), url if isinstance(url, str) else "", (record[columns.TEXT] or "").encode()
    )


def write_jsonl(path: Place, batches: Iterable[pa.RecordBatch]) -> int:
    """Write batches as DCLM JSONL (compressed by suffix: .gz, .zst, .zstd, else plain), published whole; returns the
    number of records. Every record ends in a newline, so that files can be joined (DCLM's writer omits the last)."""
    count = 0
    with publish(path) as temporary, _compressed(temporary, Location(path).suffix) as write:
        for batch in batches:
            write(b"".join(orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE) for record in to_records(batch)))
            count += batch.num_rows
    return count


@contextmanager
def _compressed(path: Path, suffix: str) -> Iterator[Callable[[bytes], int]]:
    """A write function into `path`; the compressed bytes depend on the data alone (no time, no name)."""
    with path.open("wb") as raw:
        if suffix == ".gz":
            with gzip.GzipFile(filename="", mode="wb", fileobj=raw, compresslevel=6, mtime=0) as zipped:
                yield zipped.write
        elif suffix in (".zst", ".zstd"):
            with zstandard.ZstdCompressor(level=3).stream_writer(raw, closefd=False) as packed:
                yield packed.write
        else:
            yield raw.write
