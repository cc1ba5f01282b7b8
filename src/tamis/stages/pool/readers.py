"""One reader per format of input file. Each turns a file into rows, and removes none of them. What cannot be read is a
row with an error, down to the whole file."""

import codecs
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import BinaryIO, Literal

from tamis.base.errors import FormatError
from tamis.stages.pool import parquet
from tamis.stages.pool.rows import Row
from tamis.store import jsonl, warc
from tamis.store.containers import decoded_chunks
from tamis.store.fields import FieldNames
from tamis.store.identity import document_id
from tamis.store.parts import Part

FileFormat = Literal["warc", "jsonl", "parquet"]
Opener = Callable[[], BinaryIO]

EMPTY_FILES = "empty_files"
"""The note that counts files without any record."""
_PAGE_SUFFIXES = (".warc", ".arc")
_WARC_SUFFIXES = (*_PAGE_SUFFIXES, ".wet")
_COMPRESSIONS = (".gz", ".zst", ".zstd", ".lz4")


def kind_of(uri: str, open_raw: Opener) -> FileFormat:
    """The format of a file by its name, else by its first bytes. Raises FormatError when none can be read."""
    if (kind := kind_by_name(uri)) is not None:
        return kind
    head = (next(decoded_chunks(open_raw, Counter()), b"") or b"").lstrip()
    if head.startswith(b"PAR1"):
        return "parquet"
    if head.startswith((b"WARC/", b"filedesc:")):
        return "warc"
    if head.removeprefix(codecs.BOM_UTF8).lstrip().startswith(b"{"):
        return "jsonl"
    raise FormatError(
        f"{uri}: neither its name nor its first bytes ({head[:16]!r}) are those of a WARC, WET, ARC, JSONL or Parquet "
        "file. Leave it out of pool.inputs, or rename it to what it is."
    )


def kind_by_name(uri: str) -> FileFormat | None:
    """The format that the name of a file tells, if any."""
    name = _uncompressed(uri)
    if name.endswith(".parquet"):
        return "parquet"
    if name.endswith(".jsonl") or (name.endswith(".json") and name != uri.lower()):
        return "jsonl"
    return "warc" if name.endswith(_WARC_SUFFIXES) else None


def is_named_as_pages(uri: str) -> bool:
    """Whether a file's name says that it holds pages as a server sent them (WARC, ARC), not texts (WET, JSONL)."""
    return _uncompressed(uri).endswith(_PAGE_SUFFIXES)


def _uncompressed(uri: str) -> str:
    """The name in lower case, without the ending of a compression."""
    name = uri.lower()
    for ending in _COMPRESSIONS:
        name = name.removesuffix(ending)
    return name


def count_documents(uri: str, kind: FileFormat, open_raw: Opener, limit: int, part: Part | None = None) -> int:
    """How many documents a file has, or for Parquet a part of it, counted up to `limit`. Raises FormatError when it is
    not readable Parquet."""
    if kind == "parquet":
        return min(limit, parquet.count_documents(uri, open_raw, part))
    return (warc if kind == "warc" else jsonl).count_documents(open_raw, limit)


def unreadable_file(name: str, reason: str) -> Row:
    """The row that stands for a whole file."""
    return Row(id=document_id("", "", name.encode()), error=f"unreadable_file: {reason}")


def nothing_read(name: str, open_raw: Opener, notes: Counter[str]) -> Iterator[Row]:
    """What a file gives in which no reader found a row: nothing where it holds records that are no documents, or is
    empty, which is noted; else a row that says so."""
    found = {kind for kind, count in notes.items() if count}
    if not found:
        notes[EMPTY_FILES] += 1
    elif all("_" in kind for kind in found):  # repairs; the types of records are single words
        head = next(filter(None, decoded_chunks(open_raw, Counter())), b"")
        begins = f"it begins with {head[:40]!r}" if head else "nothing of it can be decoded"
        yield unreadable_file(name, f"{name} holds no record of its format; {begins}")


def read_warc(
    open_raw: Opener, notes: Counter[str], verify_digests: bool, unreadable: Mapping[int, str],
    part: Part | None = None,
) -> Iterator[tuple[Row, int]]:  # fmt: skip
    """Yield each row with its HTTP status, which is 0 where it has none. `unreadable` rows, numbered from 0, are not
    decoded and get the error given."""
    for document in warc.read_documents(open_raw, notes, verify_digests, unreadable, part):
        row = Row(
            id=_id(document), url=document.url, metadata=document.metadata, warcinfo=document.warcinfo,
            content=document.body, content_type=document.content_type, text=document.text, error=document.error,
        )  # fmt: skip
        yield row, document.status


def _id(document: warc.WarcDocument) -> str:
    if document.record_id:
        return document_id(document.record_id, document.url, b"")
    return document_id("", document.url, document.body or (document.text or "").encode())


def read_texts(
    name: str, kind: FileFormat, open_raw: Opener, notes: Counter[str], unreadable: Mapping[int, str],
    names: FieldNames, part: Part | None = None,
) -> Iterator[Row]:  # fmt: skip
    """Rows of a JSONL or Parquet file; `unreadable` ones, numbered from 0, get the error given. Raises FormatError
    where the whole file is of another format."""
    read = _json_documents if kind == "jsonl" else parquet.read_documents
    documents = read(name, open_raw, notes, unreadable, names, part)
    for document in documents:
        yield Row(
            id=document.id, url=document.url, metadata=document.metadata, warcinfo=document.warcinfo,
            extra=document.extra, source_id=document.source_id, text=document.text, error=document.error,
        )  # fmt: skip


def _json_documents(
    name: str, open_raw: Opener, notes: Counter[str], unreadable: Mapping[int, str], names: FieldNames,
    part: Part | None,
) -> Iterator[jsonl.JsonDocument]:  # fmt: skip
    try:
        yield from jsonl.read_documents(open_raw, notes, unreadable, names, part)
    except FormatError as error:
        raise FormatError(f"{name}: {error}") from None
