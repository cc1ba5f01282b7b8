"""Writes WARC/1.1 files, one gzip member per record: what `tamis demo` makes its crawl with.

The bytes depend on the arguments alone: record ids are derived from names, and neither clock nor host name is asked.
Source of the format: the WARC 1.1 specification (ISO 28500:2017), sections 4 to 6, and its annex on record-at-a-time
gzip.
"""

import base64
import gzip
import hashlib
import uuid
from collections.abc import Iterable, Mapping

from tamis.store.atomic import Place, publish

GZIP_LEVEL = 6


def record_id(name: str) -> str:
    """The value of WARC-Record-ID for `name` (a URL or a file name): a name-based UUID, the same on every machine."""
    return f"<urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, name)}>"


def digest(data: bytes) -> str:
    """`sha1:` and the SHA-1 of `data` in base 32, as Common Crawl labels block and payload digests."""
    return "sha1:" + base64.b32encode(hashlib.sha1(data, usedforsecurity=False).digest()).decode()


def warcinfo_record(file_name: str, fields: Mapping[str, str], date: str) -> bytes:
    """One compressed warcinfo record. `fields` are its lines; `date` is an ISO 8601 UTC time such as
    `2024-01-01T00:00:00Z`. The record's id is `record_id(file_name)`."""
    block = _header_lines(fields)
    headers = {
        "WARC-Type": "warcinfo",
        "WARC-Record-ID": record_id(file_name),
        "WARC-Date": date,
        "WARC-Filename": file_name,
        "WARC-Block-Digest": digest(block),
        "Content-Type": "application/warc-fields",
        "Content-Length": str(len(block)),
    }
    return _member(headers, block)


def response_record(url: str, body: bytes, content_type: str, date: str) -> bytes:
    """One compressed response record: HTTP 200 with `body` (bytes as sent) and its Content-Type header.

    The record's id is `record_id(url)`.
    """
    http = {"Content-Type": content_type, "Content-Length": str(len(body))}
    block = b"HTTP/1.1 200 OK\r\n" + _header_lines(http) + b"\r\n" + body
    headers = {
        "WARC-Type": "response",
        "WARC-Record-ID": record_id(url),
        "WARC-Date": date,
        "WARC-Target-URI": url,
        "WARC-Block-Digest": digest(block),
        "WARC-Payload-Digest": digest(body),
        "Content-Type": "application/http; msgtype=response",
        "Content-Length": str(len(block)),
    }
    return _member(headers, block)


def write_warc(path: Place, records: Iterable[bytes]) -> None:
    """Publish the compressed `records` as one file, whole or not at all. Raises StorageError on a refusal."""
    with publish(path) as temporary, temporary.open("wb") as handle:
        handle.writelines(records)


def _header_lines(fields: Mapping[str, str]) -> bytes:
    assert not any("\n" in value or "\r" in value for value in fields.values()), "a header value holds a line break"
    return "".join(f"{name}: {value}\r\n" for name, value in fields.items()).encode()


def _member(headers: Mapping[str, str], block: bytes) -> bytes:
    record = b"WARC/1.1\r\n" + _header_lines(headers) + b"\r\n" + block + b"\r\n\r\n"
    return gzip.compress(record, GZIP_LEVEL, mtime=0)
