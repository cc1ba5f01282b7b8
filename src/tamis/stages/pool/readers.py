"""One reader per format of input file. Each turns a file into rows, and removes none of them."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any, BinaryIO, Literal

import orjson

from tamis.base.errors import DataError
from tamis.stages.pool.rows import Row
from tamis.store import jsonl, warc
from tamis.store.containers import decoded_chunks
from tamis.store.identity import document_id
from tamis.store.shards import open_parquet

FileFormat = Literal["warc", "jsonl", "parquet"]
Opener = Callable[[], BinaryIO]

_PAGE_SUFFIXES = (".warc", ".arc")
_WARC_SUFFIXES = (*_PAGE_SUFFIXES, ".wet")
_COMPRESSIONS = (".gz", ".zst", ".zstd", ".lz4")


def kind_of(uri: str, open_raw: Opener) -> FileFormat:
    """The format of a file by its name, else by its first bytes. Raises DataError when it is none that can be read."""
    name = _uncompressed(uri)
    if name.endswith(".parquet"):
        return "parquet"
    if name.endswith(".jsonl") or (name.endswith(".json") and name != uri.lower()):
        return "jsonl"
    if name.endswith(_WARC_SUFFIXES):
        return "warc"
    head = (next(decoded_chunks(open_raw, Counter()), b"") or b"").lstrip()
    if head.startswith(b"PAR1"):
        return "parquet"
    if head.startswith((b"WARC/", b"filedesc:")):
        return "warc"
    if head.startswith(b"{"):
        return "jsonl"
    raise DataError(
        f"{uri}: neither its name nor its first bytes ({head[:16]!r}) are those of a WARC, WET, ARC, JSONL or Parquet "
        "file. Leave it out of pool.inputs, or rename it to what it is."
    )


def is_named_as_pages(uri: str) -> bool:
    """Whether a file's name says that it holds pages as a server sent them (WARC, ARC), not texts (WET, JSONL)."""
    return _uncompressed(uri).endswith(_PAGE_SUFFIXES)


def _uncompressed(uri: str) -> str:
    """The name in lower case, without the ending of a compression."""
    name = uri.lower()
    for ending in _COMPRESSIONS:
        name = name.removesuffix(ending)
    return name


def count_documents(uri: str, kind: FileFormat, open_raw: Opener, limit: int) -> int:
    """How many documents a file has, counted up to `limit`. Raises DataError when it is not readable Parquet."""
    if kind == "parquet":
        with open_raw() as raw, open_parquet(raw, uri) as file:
            return min(limit, int(file.metadata.num_rows))
    return (warc if kind == "warc" else jsonl).count_documents(open_raw, limit)


def read_warc(
    open_raw: Opener, notes: Counter[str], verify_digests: bool, unreadable: Mapping[int, str]
) -> Iterator[tuple[Row, int]]:
    """Yield each row with its HTTP status, which is 0 where it has none. `unreadable` rows, numbered from 0, are not
    decoded and get the error given."""
    for document in warc.read_documents(open_raw, notes, verify_digests, unreadable):
        row = Row(
            id=_id(document), url=document.url, metadata=document.metadata, warcinfo=document.warcinfo,
            content=document.body, content_type=document.content_type, text=document.text, error=document.error,
        )  # fmt: skip
        yield row, document.status


def _id(document: warc.WarcDocument) -> str:
    if document.record_id:
        return document_id(document.record_id, document.url, b"")
    return document_id("", document.url, document.body or (document.text or "").encode())


def _row(document: jsonl.JsonDocument) -> Row:
    extra = orjson.dumps(document.extra).decode() if document.extra else None
    return Row(
        id=document.id, url=document.url, metadata=document.metadata, warcinfo=document.warcinfo, extra=extra,
        text=document.text, error=document.error,
    )  # fmt: skip


def read_jsonl(open_raw: Opener, notes: Counter[str], unreadable: Mapping[int, str]) -> Iterator[Row]:
    for document in jsonl.read_documents(open_raw, notes, unreadable):
        yield _row(document)


def read_parquet(uri: str, open_raw: Opener, unreadable: Mapping[int, str]) -> Iterator[Row]:
    """Rows of a Parquet file with a string column `text`; other columns go to `extra`. Raises DataError without it."""
    with open_raw() as raw, open_parquet(raw, uri) as file:
        names = file.schema_arrow.names
        if "text" not in names:
            raise DataError(f"{uri}: has no column 'text' (it has: {', '.join(names)}).")
        number = 0
        for batch in file.iter_batches(batch_size=256):
            for record in batch.to_pylist(maps_as_pydicts="lossy"):
                number += 1
                if number - 1 in unreadable:
                    error = f"{unreadable[number - 1]} (row {number})"
                    yield Row(id=document_id("", uri.rpartition("/")[2], str(number).encode()), error=error)
                else:
                    yield _row(jsonl.from_record(_plain(record), f"row {number}"))


def _plain(record: dict[str, Any]) -> dict[str, Any]:
    """A Parquet row as a JSON record: null columns are absent fields, null entries of `metadata` absent headers."""
    fields = {name: value for name, value in record.items() if value is not None}
    if isinstance(fields.get("metadata"), dict):
        fields["metadata"] = {key: value for key, value in fields["metadata"].items() if value is not None}
    # Tamis shards keep the input's other fields in `extra`, as JSON.
    if isinstance(fields.get("extra"), str) and fields["extra"].startswith("{"):
        fields |= orjson.loads(fields.pop("extra"))
    return orjson.loads(orjson.dumps(fields, default=str))
