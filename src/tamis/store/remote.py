"""The fsspec file systems behind URIs, and what their many kinds of errors mean to a user.

fsspec and the package of a protocol are imported only when such a URI is met. Each of those packages raises errors of
its own, most of them no OSError; here they become one DataError or StorageError that says what to type.
"""

import io
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any
from urllib.parse import urlsplit

from tamis.base.errors import ConfigError, DataError, StorageError, TamisError
from tamis.base.hashing import fingerprint

_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*(?:::[A-Za-z][A-Za-z0-9+.\-]*)*://")
_PACKAGES = {
    "s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "abfs": "adlfs", "abfss": "adlfs", "az": "adlfs",
    "hf": "huggingface_hub", "http": "aiohttp", "https": "aiohttp",
}  # fmt: skip
_BUCKETS = ("s3", "s3a", "gs", "gcs")
_ONE_FOR_ALL = (*_BUCKETS, "memory", "hf", "http", "https")
"""Protocols of which one file system serves every URI; others (abfs, sftp, ...) belong to one server each."""
_MISSPELT = re.compile(rf"(?:{'|'.join((*_PACKAGES, 'memory'))}):(?!//)", re.IGNORECASE)

_FOREIGN = frozenset(
    ("botocore", "aiobotocore", "boto3", "httpx", "httpx2", "httpcore", "aiohttp", "requests", "urllib3", "gcsfs",
     "google", "azure", "adlfs", "huggingface_hub", "asyncio", "fsspec")
)  # fmt: skip
"""Packages whose errors are about a server, whatever class they derive from."""
_REFUSED = re.compile(
    r"Credential|AccessDenied|InvalidAccessKeyId|SignatureDoesNotMatch|ExpiredToken|Unauthori[sz]ed|Forbidden|"
    r"PermissionError|\b40[13]\b"
)
_CREDENTIALS = {
    "s3": "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or type: aws configure",
    "gs": "Type: gcloud auth application-default login",
    "hf": "Type: hf auth login",
}
_MARKS = ("ETag", "etag", "mtime", "LastModified", "last_modified", "updated", "blob_id", "generation", "created")
_STREAM_BYTES = 1 << 20


def is_remote(uri: str) -> bool:
    """Whether a text names something that is not on this machine's disks."""
    return _URI.match(uri) is not None and not uri.startswith("file://")


def check_spelling(text: str, setting: str) -> None:
    """Raises ConfigError, naming `setting`, for text that means a URI and is none, as `s3:bucket` or `s3://`."""
    if _MISSPELT.match(text):
        protocol, _, rest = text.partition(":")
        fixed = f"{protocol}://{rest.lstrip('/') or 'BUCKET/FOLDER'}"
        raise ConfigError(f"{setting}: '{text}' is no URI: after '{protocol}:' two slashes must follow. Write: {fixed}")
    if is_remote(text) and not text.partition("://")[2].strip("/") and not text.startswith("memory"):
        raise ConfigError(f"{setting}: '{text}' names no bucket. Write: {text.partition('://')[0]}://BUCKET/FOLDER")


@cache
def _opened(protocol: str, example: str, process: int) -> Any:
    import fsspec

    # Listings are asked for anew each time: another process may have written in the meantime.
    return fsspec.core.url_to_fs(example, use_listings_cache=False)[0]


def forget_connections() -> None:
    """Open file systems anew when they are next asked for, with the environment variables as they are then."""
    import fsspec

    _opened.cache_clear()
    for protocol in _PACKAGES:
        if protocol in fsspec.registry:
            fsspec.registry[protocol].clear_instance_cache()


def filesystem(uri: str) -> Any:
    """The fsspec file system of a URI. Raises ConfigError when its protocol is unknown or needs a package."""
    protocol, _, rest = uri.partition("://")
    example = f"{protocol}://bucket" if protocol in _ONE_FOR_ALL else f"{protocol}://{rest.partition('/')[0]}"
    try:
        urlsplit(uri)  # Raises ValueError for an address that no server can have, as `http://[`.
        return _opened(protocol, example, os.getpid())
    except ImportError:
        package = _PACKAGES.get(protocol, f"fsspec[{protocol}]")
        raise ConfigError(f"'{uri}' needs the package {package}. Type: pip install {package}") from None
    except ValueError as error:
        raise ConfigError(
            f"'{uri}': {str(error).rstrip('.')}. Known are file paths, s3://, gs://, https:// and hf://."
        ) from None


@contextmanager
def remote_errors(uri: str, *, writing: bool = False) -> Iterator[None]:
    """Turn what a server or its package raises into one DataError, or with `writing` one StorageError. That a file is
    not there, or is there already, stays FileNotFoundError and FileExistsError; except that what cannot be written for
    want of a bucket is a StorageError."""
    try:
        yield
    except FileNotFoundError as error:
        if writing:
            raise StorageError(f"{uri}: cannot be written ({error}). {_missing_bucket(uri)}") from error
        raise
    except (FileExistsError, IsADirectoryError, NotADirectoryError, TamisError):
        raise
    except Exception as error:
        if not isinstance(error, OSError) and type(error).__module__.partition(".")[0] not in _FOREIGN:
            raise
        raise (StorageError if writing else DataError)(f"{uri}: {_explain(uri, error)}") from error


def _missing_bucket(uri: str) -> str:
    protocol, _, rest = uri.partition("://")
    bucket = rest.partition("/")[0]
    make = {"s3": f"aws s3 mb s3://{bucket}", "gs": f"gcloud storage buckets create gs://{bucket}"}
    hint = make.get(_family(protocol))
    return f"Check the name of the bucket, or make it: {hint}" if hint else "Check the address."


def _family(protocol: str) -> str:
    return {"s3a": "s3", "gcs": "gs"}.get(protocol, protocol)


def _explain(uri: str, error: Exception) -> str:
    name, text = type(error).__name__, " ".join(str(error).split()) or type(error).__name__
    family = _family(uri.partition("://")[0])
    if _REFUSED.search(f"{name} {text}"):
        return f"access was refused ({text}). {_CREDENTIALS.get(family, 'Check your access rights.')}"
    server = " and AWS_ENDPOINT_URL, if it is set" if family == "s3" else ""
    return f"the server gave no usable answer ({text}). Check the network{server}, then run the same command again."


class RemoteStream(io.RawIOBase):
    """An open fsspec file whose errors are those of `remote_errors`."""

    def __init__(self, file: Any, uri: str) -> None:
        self._file, self._uri = file, uri

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return bool(self._file.seekable())

    def readinto(self, buffer: Any) -> int:
        with remote_errors(self._uri):
            data = self._file.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return int(self._file.seek(offset, whence))

    def tell(self) -> int:
        return int(self._file.tell())

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()


def open_remote(uri: str) -> io.BufferedReader:
    """A readable binary stream over a URI. Raises FileNotFoundError, or DataError when the server refuses."""
    with remote_errors(uri):
        file = filesystem(uri).open(uri, "rb")
    return io.BufferedReader(RemoteStream(file, uri), _STREAM_BYTES)


def remote_mark(uri: str, info: dict[str, Any] | None = None) -> str:
    """A fingerprint of what the server tells of a file (ETag, size, time of change), which changes when the file does.

    Raises FileNotFoundError, or DataError when the server refuses.
    """
    if info is None:
        with remote_errors(uri):
            info = dict(filesystem(uri).info(uri))
    return fingerprint(uri, info.get("size"), {key: str(info[key]) for key in _MARKS if info.get(key) is not None})
