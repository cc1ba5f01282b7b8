"""Documents of WARC, WET and ARC files: response and conversion records, with HTTP's encodings undone.

Nothing is lost silently: what was never a document is counted by type, what cannot be read becomes a document that
carries an error.
"""

import base64
import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import BinaryIO

from tamis.base.lines import not_utf8
from tamis.store.containers import decoded_chunks
from tamis.store.framing import MAX_HEADER_BYTES, RawRecord, decode_header, parse_fields, records
from tamis.store.http_body import BodyError, decode_body
from tamis.store.parts import Part, PartChunks, opener_of, warcinfo_in_force

_STATUS = re.compile(rb"\s*HTTP/\d(?:\.\d+)?[ \t]+(\d{3})")
_END_OF_HEADER = re.compile(rb"\r?\n\r?\n")
_WANTED = frozenset(("response", "conversion", "warcinfo"))
_MAX_TYPES = 32
_MAX_TYPE_CHARS = 40
"""Types of records that are counted by name, and the length of such a name; all others count as `other_types`."""
_MAX_WARCINFO_BYTES = 1 << 16
"""Every row carries the text of its file's `warcinfo` record. A longer one is left out."""


@dataclass(slots=True, kw_only=True)
class WarcDocument:
    """`body` for a response, `text` for a WET conversion; neither when `error` is set. `status` is 0 where no HTTP
    status was recorded. `record_id` is '' in ARC files, which have none."""

    url: str
    record_id: str
    metadata: dict[str, str]
    warcinfo: str | None
    body: bytes | memoryview | None = None
    """With HTTP's encodings undone; a view of what was read, where there were none, so that nothing is copied."""
    content_type: str | None = None
    text: str | None = None
    status: int = 0
    error: str | None = None

    @property
    def content(self) -> bytes | None:
        """A copy of `body`."""
        return None if self.body is None else bytes(self.body)


def read_documents(
    open_raw: Callable[[], BinaryIO], notes: Counter[str], verify_digests: bool = False,
    unreadable: Mapping[int, str] = MappingProxyType({}), part: Part | None = None,
) -> Iterator[WarcDocument]:  # fmt: skip
    """Stream the documents of one file, or of a part of it (plain, gzip, LZ4, zstd; WARC, WET or ARC, told apart by
    their bytes).

    `open_raw` must give the same bytes each time it is called: damage makes the reader begin again. `notes` counts
    records that are not documents by WARC-Type (`request`, `revisit`, ...; `other_types` beyond 32 of them), and what
    was repaired: `damaged_members`, `unreadable_bytes`, `skipped_bytes`, `wrong_record_length`, `lost_parts`,
    `content_encoding_not_applied`, `chunking_not_applied`, `content_cut_short`, `warcinfo_too_long`. With
    `verify_digests`, `bad_digest` counts documents whose bytes do not match WARC-Block-Digest; they are kept, since
    archives are full of digests taken before the body was decoded. `unreadable` documents, numbered from 0, are not
    decoded and get the error given.
    """
    types: set[str] = set()
    number = 0
    found, warcinfo = _records_of(open_raw, part, notes)
    for record in found:
        if verify_digests and record.body and not _digest_matches(record):
            notes["bad_digest"] += 1
        if record.kind in ("response", "conversion"):
            if number in unreadable:
                record.problem = unreadable[number]
            yield _response(record, warcinfo, notes) if record.kind == "response" else _conversion(record, warcinfo)
            number += 1
        else:
            if record.kind == "warcinfo":
                warcinfo = _warcinfo(record, notes)
            if record.problem:
                notes[record.problem.split(":")[0]] += 1
            notes[_type_name(record.kind, types)] += 1


def _records_of(
    open_raw: Callable[[], BinaryIO], part: Part | None, notes: Counter[str]
) -> tuple[Iterator[RawRecord], str | None]:
    """The records of a file or a part of it, and the text of the `warcinfo` record in force at its beginning."""
    if part is None:
        return records(decoded_chunks(open_raw, notes), notes, _WANTED.__contains__), None
    with open_raw() as raw:
        found = warcinfo_in_force(raw, part)
    warcinfo = None
    if found is not None:
        # A member can hold several records, of which the last `warcinfo` counts.
        for record in records(decoded_chunks(opener_of(open_raw, *found), Counter()), Counter()):
            warcinfo = _warcinfo(record, Counter()) if record.kind == "warcinfo" else warcinfo
    chunks = PartChunks(open_raw, part, notes)
    return records(iter(chunks), notes, _WANTED.__contains__, lambda: chunks.limit), warcinfo


def _type_name(kind: str, types: set[str]) -> str:
    """What records of that type are counted as; `types` are those named so far. A file can name any number of types."""
    if kind not in types:
        if len(types) >= _MAX_TYPES or len(kind) > _MAX_TYPE_CHARS:
            return "other_types"
        types.add(kind)
    return kind


def _warcinfo(record: RawRecord, notes: Counter[str]) -> str | None:
    if len(record.body) > _MAX_WARCINFO_BYTES:
        notes["warcinfo_too_long"] += 1
        return None
    return decode_header(bytes(record.body)).strip("\r\n")


def _digest_matches(record: RawRecord) -> bool:
    """Whether the block has the digest it is recorded with; True when none is recorded, or of a kind not known here."""
    kind, colon, value = record.header("WARC-Block-Digest").partition(":")
    kind = kind.lower().replace("-", "")
    if not colon or kind not in ("sha1", "sha256", "md5"):
        return True
    digest = hashlib.new(kind, record.body, usedforsecurity=False).digest()
    return value.strip().upper().rstrip("=") in (base64.b32encode(digest).decode().rstrip("="), digest.hex().upper())


def count_documents(open_raw: Callable[[], BinaryIO], limit: int) -> int:
    """How many documents a file has, counted up to `limit`."""
    count = 0
    for record in records(decoded_chunks(open_raw, Counter()), Counter(), lambda kind: False):
        count += record.kind in ("response", "conversion")
        if count >= limit:
            break
    return count


def _document(record: RawRecord, warcinfo: str | None) -> WarcDocument:
    url = record.header("WARC-Target-URI").strip()
    if url.startswith("<") and url.endswith(">"):
        url = url[1:-1]
    return WarcDocument(
        url=url, record_id=record.header("WARC-Record-ID"), metadata=record.headers, warcinfo=warcinfo,
        error=f"{record.problem} (record {record.number})" if record.problem else None,
    )  # fmt: skip


def _conversion(record: RawRecord, warcinfo: str | None) -> WarcDocument:
    document = _document(record, warcinfo)
    if document.error is None:
        try:
            document.text = str(record.body, "utf-8")
        except UnicodeDecodeError as error:
            document.error = f"not_utf8: record {record.number} is {not_utf8(error)}"
    return document


def _response(record: RawRecord, warcinfo: str | None, notes: Counter[str]) -> WarcDocument:
    document = _document(record, warcinfo)
    if document.error is not None:
        return document
    status = _STATUS.match(record.body[:64])
    if status is None:
        if _claims_http(record):
            document.error = f"bad_http: record {record.number} begins with {bytes(record.body[:40])!r}"
        else:
            document.body, document.content_type = record.body, record.header("Content-Type")
        return document
    end = _END_OF_HEADER.search(record.body)
    if (end.start() if end else len(record.body)) > MAX_HEADER_BYTES:
        document.error = f"bad_http: record {record.number} has an HTTP header of more than {MAX_HEADER_BYTES} bytes"
        return document
    head, body = (record.body[: end.start()], record.body[end.end() :]) if end else (record.body, b"")
    fields = {name.lower(): value for name, value in parse_fields(bytes(head).partition(b"\n")[2]).items()}
    document.status = int(status.group(1))
    document.content_type = fields.get("content-type", "")
    transfer, content = fields.get("transfer-encoding", ""), fields.get("content-encoding", "")
    try:
        document.body = decode_body(bytes(body), transfer, content, notes) if transfer or content else body
    except BodyError as error:
        document.error = f"{error} (record {record.number})"
    return document


def _claims_http(record: RawRecord) -> bool:
    """A response to something other than HTTP (a DNS look-up, say) is content of its own type, not broken HTTP."""
    url = record.header("WARC-Target-URI").strip("< >").lower()
    return url.startswith("http") or "application/http" in record.header("Content-Type").lower()
