"""Publishing files: written under a temporary name, flushed to disk, then renamed; on an object store, one upload.

A file that exists is whole, whichever process was killed when.
"""

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson

from tamis.base.errors import StorageError
from tamis.store.location import Location, filesystem

Place = Location | Path | str


@contextmanager
def publish(place: Place) -> Iterator[Path]:
    """Yield a local temporary path; on success its content becomes the file at `place`, on failure it is deleted.

    The temporary name carries the process id, so that two writers never share one. Raises StorageError when the disk
    is full, or the place is not writable.
    """
    target = Location(place)
    with storage_errors(target):
        if target.is_remote:
            with tempfile.TemporaryDirectory(prefix="tamis-upload-") as folder:
                temporary = Path(folder, target.name)
                yield temporary
                filesystem(str(target)).put_file(str(temporary), str(target))
            return
        path = target.path
        temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            flush_to_disk(temporary)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def flush_to_disk(path: Path) -> None:
    """Ask the operating system to put a file, or a folder's list of names, on the disk before it returns."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def storage_errors(place: Place) -> Iterator[None]:
    """Turn the refusals to write at `place` into one StorageError each."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise StorageError(
                f"{place}: the disk is full. Free some space, or choose another place with --workspace, and run the "
                "same command again: finished shards are kept."
            ) from error
        if isinstance(error, PermissionError) or error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise StorageError(
                f"{place}: not writable ({error.strerror or error}). Choose another place with --workspace."
            ) from error
        if isinstance(error, NotADirectoryError | FileExistsError | IsADirectoryError):
            raise StorageError(f"{place}: a file is in the way ({error.strerror}). Choose another place.") from error
        if is_location_missing(error, place):
            raise StorageError(f"{place}: cannot be written ({error}). Does the bucket exist?") from error
        raise


def is_location_missing(error: OSError, place: Place) -> bool:
    """Whether an object store refused because the bucket is not there."""
    return isinstance(error, FileNotFoundError) and Location(place).is_remote


def write_bytes(place: Place, data: bytes) -> None:
    with publish(place) as temporary:
        temporary.write_bytes(data)


def write_text(place: Place, text: str) -> None:
    write_bytes(place, text.encode())


def write_json(place: Place, data: Any) -> None:
    """Indented, with sorted keys: the same data gives the same bytes."""
    options = orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE
    write_bytes(place, orjson.dumps(data, option=options))


def read_json(place: Place) -> Any:
    return orjson.loads(Location(place).read_bytes())
