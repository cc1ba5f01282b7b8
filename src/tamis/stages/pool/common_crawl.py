"""The first pages of a crawl of Common Crawl: its first WARC file, read over HTTP only as far as needed.

Layout from Common Crawl's documentation: `crawl-data/<crawl>/warc.paths.gz` lists the WARC files of a crawl (about
1 GB each), relative to the base address. Ranges are asked for one after the other, until the reader has its pages.
"""

import io
import time
import urllib.error
import urllib.request
import zlib
from dataclasses import dataclass

from tamis.base.errors import ConfigError, DataError

BASE_URL = "https://data.commoncrawl.org/"
RANGE_BYTES = 1 << 20
"""Bytes that are requested at a time: about forty pages of a crawl."""
_LIST_BYTES = 1 << 14
_ATTEMPTS = 5
_TIMEOUT_SECONDS = 60
_BUSY = (429, 500, 502, 503, 504)


@dataclass(frozen=True, kw_only=True)
class RemoteFile:
    name: str
    url: str
    size_bytes: int
    etag: str


def first_file(base_url: str, crawl: str) -> RemoteFile:
    """The first WARC file of `crawl`. Raises ConfigError when there is no such crawl, DataError when offline."""
    base = base_url.rstrip("/") + "/"
    listing = f"{base}crawl-data/{crawl}/warc.paths.gz"
    packed, _ = _fetch(listing, 0, _LIST_BYTES)
    # A part of the list is enough, and does not end where its gzip stream does.
    path = zlib.decompressobj(31).decompress(packed).partition(b"\n")[0].decode().strip()
    if not path:
        raise DataError(f"{listing}: the list of files is empty.")
    _, answer = _fetch(base + path, 0, 1)
    return RemoteFile(name=path, url=base + path, size_bytes=answer.size_bytes, etag=answer.etag)


def open_file(url: str, size_bytes: int) -> io.RawIOBase:
    """A binary stream over `url` that requests ranges of bytes as it is read."""
    return _RangeFile(url, size_bytes)


class _RangeFile(io.RawIOBase):
    """Keeps only the range that was fetched last. A seek sends no request."""

    def __init__(self, url: str, size_bytes: int) -> None:
        self._url, self._size, self._pos = url, size_bytes, 0
        self._start, self._block = 0, b""

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._pos

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._pos = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._pos, io.SEEK_END: self._size}[whence]
        return self._pos

    def read(self, size: int = -1) -> bytes:
        wanted = self._size - self._pos if size < 0 else min(size, self._size - self._pos)
        if wanted <= 0:
            return b""
        offset = self._pos - self._start
        if not 0 <= offset < len(self._block):
            self._start, offset = self._pos, 0
            self._block, _ = _fetch(self._url, self._pos, min(RANGE_BYTES, self._size - self._pos))
        data = self._block[offset : offset + wanted]
        self._pos += len(data)
        return data

    def readinto(self, buffer: "bytearray | memoryview") -> int:  # type: ignore[override]
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


@dataclass(frozen=True, kw_only=True)
class _Answer:
    size_bytes: int
    etag: str


def _fetch(url: str, start: int, num_bytes: int) -> tuple[bytes, _Answer]:
    """`num_bytes` of `url` from `start` (fewer at its end), and the size and ETag of the whole file as the server
    reports them."""
    request = urllib.request.Request(
        url, headers={"Range": f"bytes={start}-{start + num_bytes - 1}", "User-Agent": "tamis"}
    )
    for attempt in range(_ATTEMPTS):
        try:
            with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS) as response:
                if response.status != 206 and start > 0:
                    raise DataError(f"{url}: the server does not answer range requests; choose another pool.base_url.")
                total = response.headers.get("Content-Range", "").rpartition("/")[2]
                size = int(total) if total.isdigit() else int(response.headers.get("Content-Length", 0))
                return response.read(num_bytes), _Answer(size_bytes=size, etag=response.headers.get("ETag", ""))
        except urllib.error.HTTPError as error:
            if error.code == 404:
                raise ConfigError(
                    f"{url}: not found. Known crawls are listed at https://index.commoncrawl.org/ ; "
                    "or name local files with --pool FILES."
                ) from None
            if error.code not in _BUSY or attempt == _ATTEMPTS - 1:
                raise DataError(f"{url}: the server answered {error.code} {error.reason}. {_WAYS_ON}") from None
        except (OSError, urllib.error.URLError) as error:
            if attempt == _ATTEMPTS - 1 or _is_offline(error):
                raise DataError(f"{url}: cannot be reached ({getattr(error, 'reason', error)}). {_WAYS_ON}") from None
        time.sleep(2.0**attempt)
    raise AssertionError("the last attempt returns or raises")


_WAYS_ON = (
    "Either connect this machine to the internet (or set pool.base_url to a mirror it can reach) and run the same "
    "command again, or read files that are already here: --pool FILES."
)


def _is_offline(error: OSError) -> bool:
    """Whether the host is unknown or unreachable, or refuses connections, so that an immediate retry would not help."""
    reason = getattr(error, "reason", error)
    return isinstance(reason, OSError) and not isinstance(reason, TimeoutError) and not isinstance(
        reason, ConnectionResetError
    )  # fmt: skip
