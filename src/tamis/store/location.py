"""Locations: where a file or folder lies, on a disk of this machine or behind any fsspec URI, with the same operations.

Everything that Tamis reads and writes has a location. Local ones are plain paths; all others (`s3://`, `gs://`,
`memory://`, …) go through fsspec, which is imported only when such a URI is met. Files become visible whole: see
`publish` in `store.atomic`.
"""

import fnmatch
import hashlib
import os
import shutil
import tempfile
from functools import cache, total_ordering
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, cast

from tamis.base.errors import ConfigError, DataError

_PACKAGES = {"s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "hf": "huggingface_hub", "http": "aiohttp"}


@total_ordering
class Location:
    """A local path or a URI. Immutable, hashable, sortable by its text, and small when pickled."""

    __slots__ = ("_text",)

    def __init__(self, place: "str | Path | Location") -> None:
        text = str(place)
        self._text = text.removeprefix("file://").rstrip("/") or "/"

    def __str__(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return f"Location({self._text!r})"

    def __fspath__(self) -> str:
        """Lets libraries that take a path take a local location. Raises TypeError for a remote one."""
        if self.is_remote:
            raise TypeError(f"{self._text} is no local path")
        return self._text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Location) and self._text == other._text

    def __lt__(self, other: "Location") -> bool:
        return self._text < other._text

    def __hash__(self) -> int:
        return hash(self._text)

    def __truediv__(self, name: str) -> "Location":
        return Location(f"{self._text.rstrip('/')}/{name}")

    @property
    def is_remote(self) -> bool:
        return "://" in self._text

    @property
    def is_in_memory(self) -> bool:
        """Whether only this process can see it."""
        return self._text.startswith("memory://")

    @property
    def path(self) -> Path:
        """The local path. Raises TypeError for a remote location; `local_path` downloads."""
        return Path(self)

    @property
    def name(self) -> str:
        return PurePosixPath(self._text).name

    @property
    def stem(self) -> str:
        return PurePosixPath(self._text).stem

    @property
    def suffix(self) -> str:
        return PurePosixPath(self._text).suffix

    @property
    def parent(self) -> "Location":
        if not self.is_remote:
            return Location(self.path.parent)
        protocol, _, rest = self._text.partition("://")
        return Location(f"{protocol}://{rest.rpartition('/')[0]}")

    def with_name(self, name: str) -> "Location":
        return self.parent / name

    def with_suffix(self, suffix: str) -> "Location":
        return self.with_name(self.stem + suffix)

    def absolute(self) -> "Location":
        """The same place, named so that a process with another working directory finds it."""
        return self if self.is_remote else Location(self.path.expanduser().absolute())

    def relative_to(self, folder: "Location") -> str:
        """The part of the text below `folder`, with forward slashes."""
        assert self._text.startswith(f"{folder._text.rstrip('/')}/"), f"{self} is not in {folder}"
        return self._text[len(folder._text.rstrip("/")) + 1 :]

    # What is there.

    def exists(self) -> bool:
        return bool(self.path.exists() if not self.is_remote else filesystem(self._text).exists(self._text))

    def is_file(self) -> bool:
        return bool(self.path.is_file() if not self.is_remote else filesystem(self._text).isfile(self._text))

    def is_folder(self) -> bool:
        """Whether it is a folder; on an object store: whether any object lies below it."""
        return bool(self.path.is_dir() if not self.is_remote else filesystem(self._text).isdir(self._text))

    def size(self) -> int:
        """Bytes of a file. Raises FileNotFoundError."""
        return int(self.path.stat().st_size if not self.is_remote else filesystem(self._text).size(self._text))

    def children(self, pattern: str = "*") -> list["Location"]:
        """Files and folders directly in this folder whose names match, sorted; empty when there is no such folder."""
        if not self.is_remote:
            if not self.path.is_dir():
                return []
            return [self / name for name in sorted(os.listdir(self.path)) if fnmatch.fnmatchcase(name, pattern)]
        fs = filesystem(self._text)
        try:
            found = fs.ls(self._text, detail=False)
        except FileNotFoundError:
            return []
        names = sorted({str(path).rstrip("/").rpartition("/")[2] for path in found} - {""})
        return [self / name for name in names if fnmatch.fnmatchcase(name, pattern) and name != self.name]

    def files(self) -> list["Location"]:
        """All files below this folder, sorted; empty when there is none."""
        if not self.is_remote:
            found = (Path(folder, name) for folder, _, names in os.walk(self.path) for name in names)
            return sorted(Location(path) for path in found)
        fs = filesystem(self._text)
        return sorted(Location(fs.unstrip_protocol(path)) for path in fs.find(self._text))

    # Reading.

    def open_read(self) -> BinaryIO:
        """A readable, seekable binary stream. Raises OSError."""
        if not self.is_remote:
            return self.path.open("rb")
        return cast(BinaryIO, filesystem(self._text).open(self._text, "rb"))

    def read_bytes(self) -> bytes:
        with self.open_read() as stream:
            return stream.read()

    def read_text(self) -> str:
        """UTF-8; raises DataError naming the file when it is not."""
        try:
            return self.read_bytes().decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise DataError(f"{self}: not UTF-8 text ({error.reason} at byte {error.start}).") from None

    def local_path(self) -> Path:
        """A file of this machine with these bytes, for libraries that need one: the file itself, or a copy that is
        downloaded once per change of a remote file."""
        if not self.is_remote:
            return self.path
        fs = filesystem(self._text)
        mark = hashlib.blake2b(f"{self._text} {fs.ukey(self._text)}".encode(), digest_size=12).hexdigest()
        copy = cache_folder() / "remote" / mark / self.name
        if not copy.is_file():
            copy.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=copy.parent, delete=False) as handle:
                partial = Path(handle.name)
            try:
                fs.get_file(self._text, str(partial))
                partial.replace(copy)
            finally:
                partial.unlink(missing_ok=True)
        return copy

    # Changing. What appears under a name is made by `store.atomic.publish`.

    def make_folder(self) -> None:
        """Create a local folder and its parents; an object store has no folders to make."""
        if not self.is_remote:
            self.path.mkdir(parents=True, exist_ok=True)

    def delete_file(self) -> None:
        """Delete a file if it is there."""
        if not self.is_remote:
            self.path.unlink(missing_ok=True)
        elif self.exists():
            filesystem(self._text).rm_file(self._text)

    def delete_folder(self) -> None:
        """Delete a folder with all that is in it, if it is there."""
        if not self.is_remote:
            shutil.rmtree(self.path, ignore_errors=True)
        elif self.exists():
            filesystem(self._text).rm(self._text, recursive=True)

    def copy_to(self, target: "Location") -> None:
        """Make `target` the same file: by a hard link where both are on one disk, else by a copy on the server or
        through this machine. An existing target is replaced."""
        target.parent.make_folder()
        if not self.is_remote and not target.is_remote:
            partial = target.path.with_name(f".{target.name}.{os.getpid()}.tmp")
            partial.unlink(missing_ok=True)
            try:
                partial.hardlink_to(self.path)
            except OSError:
                shutil.copyfile(self.path, partial)
            partial.replace(target.path)
        elif self.is_remote and target.is_remote and filesystem(self._text) is filesystem(target._text):
            filesystem(self._text).cp_file(self._text, target._text)
        else:
            from tamis.store.atomic import write_bytes

            write_bytes(target, self.read_bytes())


def is_remote(uri: str) -> bool:
    """Whether a text names something that is not on this machine's disks."""
    return "://" in uri and not uri.startswith("file://")


def cache_folder() -> Path:
    """Where Tamis keeps what it downloaded or may forget: `TAMIS_CACHE`, else `tamis` in the user's cache folder."""
    given = os.environ.get("TAMIS_CACHE")
    return Path(given) if given else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tamis"


@cache
def _opened(protocol: str, example: str, process: int) -> Any:
    import fsspec

    # Listings are asked for anew each time: another process may have written in the meantime.
    return fsspec.core.url_to_fs(example, use_listings_cache=False)[0]


def filesystem(uri: str) -> Any:
    """The fsspec file system of a URI. Raises ConfigError when its protocol is unknown or needs a package."""
    protocol = uri.split("://", 1)[0]
    # The address of a web server is part of what its file system is opened with; buckets are not.
    example = uri if protocol not in ("s3", "s3a", "gs", "gcs", "memory") else f"{protocol}://bucket"
    try:
        return _opened(protocol, example, os.getpid())
    except ImportError:
        package = _PACKAGES.get(protocol.removesuffix("s") if protocol == "https" else protocol, f"fsspec[{protocol}]")
        raise ConfigError(f"'{uri}' needs the package {package}. Type: pip install {package}") from None
    except ValueError as error:
        raise ConfigError(f"'{uri}': {error}. Known are file paths, s3://, gs://, https:// and hf://.") from None
