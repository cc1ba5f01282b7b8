"""Publishing files and folders: written under a temporary name, flushed to disk, then renamed; on an object store, one
upload per file.

A file that exists is whole, whichever process was killed when; so is a folder that holds its marker file.
"""

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson

from tamis.base.errors import StorageError
from tamis.store.location import Location, filesystem

Place = Location | Path | str

_TEMPORARY_SUFFIX = ".tmp"


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
        temporary = path.with_name(f".{path.name}.{os.getpid()}{_TEMPORARY_SUFFIX}")
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            flush_to_disk(temporary)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def publish_folder(place: Place, marker: str) -> Iterator[Path]:
    """Yield an empty local folder; on success it becomes the folder at `place`, on failure it is deleted.

    An object store has no folders to rename: there the files are uploaded one by one, and the file called `marker`
    last. A folder is whole when its marker is there, see `is_whole`. A folder that stood at `place` is replaced.
    Raises StorageError as `publish`.
    """
    target = Location(place)
    with storage_errors(target):
        if target.is_remote:
            with tempfile.TemporaryDirectory(prefix="tamis-upload-") as folder:
                yield Path(folder)
                _upload_folder(Path(folder), target, marker)
            return
        temporary = target.path.with_name(f".{target.name}.{os.getpid()}{_TEMPORARY_SUFFIX}")
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        try:
            yield temporary
            assert (temporary / marker).is_file(), f"{target} was written without its {marker}"
            for path in [*sorted(temporary.rglob("*")), temporary]:
                flush_to_disk(path)
            target.delete_folder()
            temporary.rename(target.path)
            flush_to_disk(target.path.parent)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def _upload_folder(folder: Path, target: Location, marker: str) -> None:
    assert (folder / marker).is_file(), f"{target} was written without its {marker}"
    (target / marker).delete_file()
    target.delete_folder()
    names = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
    for name in sorted(names, key=lambda name: (name == marker, name)):
        filesystem(str(target)).put_file(str(folder / name), str(target / name))


def is_whole(folder: Location, marker: str) -> bool:
    """Whether `folder` is one that `publish_folder` finished."""
    return not folder.name.endswith(_TEMPORARY_SUFFIX) and (folder / marker).is_file()


def delete_leftovers(folder: Location) -> None:
    """Delete what killed processes left unpublished in `folder`. Only for a folder that nobody else writes in now."""
    for leftover in folder.children(f".*{_TEMPORARY_SUFFIX}"):
        if leftover.is_folder():
            leftover.delete_folder()
        else:
            leftover.delete_file()


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
