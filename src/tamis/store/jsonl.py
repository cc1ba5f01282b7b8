"""DCLM's JSONL: streamed in from plain, gzip or zstd files, written in DCLM's field layout from batches.

DCLM's record is {text, url, metadata, warcinfo, ...}: `metadata` holds the WARC record headers, every other field is
the business of whoever added it, and goes through here unharmed (column `extra`).
"""

import gzip
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, BinaryIO

import orjson
import pyarrow as pa
import zstandard

from tamis.base import columns, exact_json
from tamis.base.errors import FormatError
from tamis.base.lines import MAX_LINE_BYTES, split_lines
from tamis.store import fields as named
from tamis.store.atomic import Place, publish
from tamis.store.containers import decoded_chunks
from tamis.store.fields import USUAL, FieldNames
from tamis.store.identity import document_id
from tamis.store.location import Location
from tamis.store.parts import Part, text_chunks

_FORMATS = {
    "bzip2": "compressed with bzip2, which is not read",
    "xz": "compressed with xz, which is not read",
    "zip": "a ZIP archive",
    "parquet": "a Parquet file",
    "arrow": "an Arrow file",
    "warc": "a WARC file",
    "pdf": "a PDF file",
    "utf16": "text in UTF-16 or UTF-32",
}
_FOREIGN = re.compile(
    rb"(?P<bzip2>BZh[1-9](?:1AY&SY|\x17rE8P\x90))|(?P<xz>\xfd7zXZ\0)|(?P<zip>PK\x03\x04)|(?P<parquet>PAR1)|"
    rb"(?P<arrow>ARROW1)|(?P<warc>WARC/)|(?P<pdf>%PDF-)|(?P<utf16>\xff\xfe|\xfe\xff)"
)
_ID = re.compile(r"[0-9a-f]{32}")
_OWN = frozenset((columns.TEXT, columns.URL, columns.METADATA, columns.WARCINFO))
_NOT_WRITTEN = frozenset(
    (*_OWN, columns.ID, columns.EXTRA, columns.SOURCE_ID, columns.CONTENT, columns.CONTENT_TYPE, columns.DROP_REASON,
     columns.ERROR, columns.TOKEN_IDS)
)  # fmt: skip


@dataclass(slots=True, kw_only=True)
class JsonDocument:
    """One record. `extra` is a JSON object of every field that has no column, or a value that does not fit its
    column."""

    id: str
    url: str = ""
    text: str | None = None
    metadata: dict[str, str] | None = None
    warcinfo: str | None = None
    extra: str | None = None
    source_id: str | None = None
    """The id that the input gave to the record, where it is not `id`."""
    error: str | None = None


def read_documents(
    open_raw: Callable[[], BinaryIO], notes: Counter[str], unreadable: Mapping[int, str] = MappingProxyType({}),
    names: FieldNames = USUAL, part: Part | None = None,
) -> Iterator[JsonDocument]:  # fmt: skip
    """Stream the records of one file, or of a part of it; blank lines are skipped.

    A line that is not a JSON object, or has no `text`, gives a document whose `error` (`bad_json`, `no_text_field`,
    `too_large`) names the line. What is no JSON but common is repaired, and `notes` counts the records with a repair:
    see `base.exact_json`. Of a field that a record has twice, the last counts. `unreadable` records, numbered from 0,
    are not parsed and get the error given. `names` are the fields that the recipe names. Raises FormatError where the
    file begins like one of another format.
    """
    count = 0
    chunks = decoded_chunks(open_raw, notes) if part is None else text_chunks(open_raw, part, notes)
    for number, line in split_lines(chunks):
        if number == 1 and (part is None or part.start == 0) and (found := _FOREIGN.match(line)):
            raise FormatError(f"{_FORMATS[str(found.lastgroup)]}, not JSON lines")
        if line.strip():
            why = unreadable.get(count)
            yield _document(number, line, notes, names) if why is None else failed(line, f"{why} (line {number})")
            count += 1


def first_records(open_raw: Callable[[], BinaryIO]) -> Iterator[dict[str, Any]]:
    """The records of one file as they stand there, without the lines that hold no JSON object."""
    for _, line in split_lines(decoded_chunks(open_raw, Counter())):
        try:
            record = exact_json.loads_leniently(line, Counter()) if line.strip() else None
        except ValueError:
            continue
        if isinstance(record, dict):
            yield record


def count_documents(open_raw: Callable[[], BinaryIO], limit: int) -> int:
    """How many records a file has, counted up to `limit`."""
    count = 0
    for _, line in split_lines(decoded_chunks(open_raw, Counter())):
        count += bool(line.strip())
        if count >= limit:
            break
    return count


def _document(number: int, line: bytes, notes: Counter[str], names: FieldNames) -> JsonDocument:
    if len(line) > MAX_LINE_BYTES:
        return failed(line, f"too_large: line {number} is longer than {MAX_LINE_BYTES} bytes")
    if len(line) > exact_json.LARGE_BYTES and (trouble := exact_json.too_many_values(line)):
        return failed(line, f"too_large: line {number}: {trouble}")
    try:
        return _parsed(number, line, notes, names)
    except ValueError as error:
        return failed(line, f"bad_json: line {number}: {error}")


def _parsed(number: int, line: bytes, notes: Counter[str], names: FieldNames) -> JsonDocument:
    where = f"line {number}"
    try:
        record = orjson.loads(line)
    except orjson.JSONDecodeError:
        # Slower, but reads more; raises the error that is reported.
        return _of_object(exact_json.loads_leniently(line, notes), where, names)
    document = _of_object(record, where, names)
    if document.extra is not None and exact_json.may_be_rounded(document.extra):
        return _of_object(exact_json.loads_exactly(line), where, names)
    return document


def _of_object(record: Any, where: str, names: FieldNames) -> JsonDocument:
    if not isinstance(record, dict):
        raise ValueError(f"a JSON object was expected, not {type(record).__name__}")
    return from_record(record, where, names=names)


def failed(content: bytes, error: str) -> JsonDocument:
    """What stands for a record that cannot be read, whose bytes or place are `content`."""
    return JsonDocument(id=document_id("", "", content), error=error)


def from_record(
    fields: dict[str, Any], where: str, further: Mapping[str, Any] = MappingProxyType({}), names: FieldNames = USUAL
) -> JsonDocument:
    """Sort a record's fields, which are taken out of `fields`, into columns; what does not fit its column goes to
    `extra` as it is, and so does `further`. `names` are the fields that the recipe names: another one that is called
    `text` or `url` then gives way to them. Raises ValueError for values that JSON cannot hold."""
    present = list(fields)
    source = named.source_id({**fields, **further} if further else fields, names)
    url = named.chosen_url(fields, names)
    text = named.take_text(fields, names.text_field)
    for name, chosen in ((columns.TEXT, names.text), (columns.URL, names.url)):
        if chosen not in ("", name):
            named.give_way(fields, name)
    metadata = _take(fields, columns.METADATA)
    headers = metadata if metadata is not None else fields.get(columns.METADATA)
    document = JsonDocument(id="", text=text, metadata=metadata, warcinfo=_take(fields, columns.WARCINFO))
    given_url = _take(fields, columns.URL)
    document.url = named.usual_url(given_url, headers) if url is None else url
    given = _take(fields, columns.ID)
    document.id = given or document_id(named.header(headers, named.RECORD_ID), document.url, (text or "").encode())
    document.source_id = None if source == given else source
    extra = {**further, **fields} if further else fields
    document.extra = exact_json.dumps(extra) if extra else None
    if text is None:
        document.error = (
            f"no_text_field: {where} has no field '{names.text_field}' that holds a string "
            f"(it has: {named.told_names(present)})"
        )
    return document


def fits_column(fields: Mapping[str, Any]) -> bool:
    """Whether `from_record` would take any of the fields for the value of a column."""
    return any(name in fields and fits(fields[name]) for name, fits in _FITS.items())


def _take(fields: dict[str, Any], name: str) -> Any:
    return fields.pop(name) if name in fields and _FITS[name](fields[name]) else None


def _is_string(value: Any) -> bool:
    return isinstance(value, str)


def _is_our_id(value: Any) -> bool:
    return isinstance(value, str) and _ID.fullmatch(value) is not None


def _is_string_map(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(item, str) for item in value.values())


_FITS: dict[str, Callable[[Any], bool]] = {
    columns.ID: _is_our_id,
    columns.TEXT: _is_string,
    columns.URL: _is_string,
    columns.METADATA: _is_string_map,
    columns.WARCINFO: _is_string,
}


def to_records(batch: pa.RecordBatch) -> Iterator[dict[str, Any]]:
    """DCLM records of a batch: text, url, metadata, warcinfo, then the input's other fields, then the columns that
    stages added (null and NaN: not measured, not written). A field of the input that has the name of such a column goes
    on as `source_NAME`. `id` is written where it cannot be derived again, because the record has no WARC-Record-ID and
    its text or url was changed; not where the input had an `id` of its own."""
    added = [name for name in batch.schema.names if name not in _NOT_WRITTEN]
    read = [name for name in batch.schema.names if name in _OWN or name in (columns.ID, columns.EXTRA)]
    for row in batch.select(read + added).to_pylist():
        record: dict[str, Any] = {columns.TEXT: row[columns.TEXT]}
        if row.get(columns.URL):
            record[columns.URL] = row[columns.URL]
        metadata = row.get(columns.METADATA)
        if metadata is not None:
            record[columns.METADATA] = exact_json.loads(metadata)
        if row.get(columns.WARCINFO) is not None:
            record[columns.WARCINFO] = row[columns.WARCINFO]
        if row.get(columns.EXTRA):
            further = exact_json.loads(row[columns.EXTRA])
            clashing = set(added) & further.keys()
            record |= {named.free_name(k, further) if k in clashing else k: v for k, v in further.items()}
        for name in added:
            value = row[name]
            if value is not None and value == value:
                record[name] = value
        if columns.ID in row and columns.ID not in record and row[columns.ID] != _derived_id(record):
            record[columns.ID] = row[columns.ID]
        yield record


def _derived_id(record: dict[str, Any]) -> str:
    metadata, given = record.get(columns.METADATA), record.get(columns.URL)
    url = named.usual_url(given if isinstance(given, str) else None, metadata)
    return document_id(named.header(metadata, named.RECORD_ID), url, (record[columns.TEXT] or "").encode())


def write_jsonl(path: Place, batches: Iterable[pa.RecordBatch]) -> int:
    """Write batches as DCLM JSONL (compressed by suffix: .gz, .zst, .zstd, else plain), published whole; returns the
    number of records. Every record ends in a newline, so that files can be joined (DCLM's writer omits the last)."""
    count = 0
    with publish(path) as temporary, compressed(temporary, Location(path).suffix) as write:
        for batch in batches:
            write(b"".join(line(record) for record in to_records(batch)))
            count += batch.num_rows
    return count


def line(record: dict[str, Any]) -> bytes:
    """A record as a line of JSON, with its newline. Raises ValueError for values that JSON cannot hold."""
    try:
        return orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE)
    except TypeError:
        return exact_json.dumps(record).encode() + b"\n"


@contextmanager
def compressed(path: Path, suffix: str) -> Iterator[Callable[[bytes], int]]:
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
