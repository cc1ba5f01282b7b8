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

from tamis.base.errors import DataError, StorageError
from tamis.store.location import Location, cache_folder, filesystem, is_temporary, temporary_name
from tamis.store.remote import remote_errors

Place = Location | Path | str

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_REFUSED = (errno.EACCES, errno.EPERM, errno.EROFS)


@contextmanager
def publish(place: Place) -> Iterator[Path]:
    """Yield a local temporary path; on success its content becomes the file at `place`, on failure it is deleted.

    No two writers share a temporary name, whether in one process or in many. Raises StorageError when the disk is full,
    or the place is not writable.
    """
    target = Location(place)
    if target.is_remote:
        with tempfile.TemporaryDirectory(prefix="tamis-upload-") as folder:
            temporary = Path(folder, target.name)
            with storage_errors(temporary):
                yield temporary
            _upload(temporary, target)
        return
    path = target.path
    temporary = temporary_name(path)
    with storage_errors(target):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            flush_to_disk(temporary)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def publish_folder(place: Place, marker: str) -> Iterator[Path]:
    """Yield a local temporary folder; on success its files become the files of the folder at `place`, which is replaced
    where it is there; on failure they are deleted. `marker` names the file that is published last: where it exists, the
    folder is whole. Raises StorageError as `publish`, and AssertionError when `marker` was not written.
    """
    target = Location(place)
    if target.is_remote:
        with tempfile.TemporaryDirectory(prefix="tamis-upload-") as name:
            folder = Path(name)
            with storage_errors(folder):
                yield folder
            assert (folder / marker).is_file(), f"{target}: {marker} was not written"
            (target / marker).delete_file()
            target.delete_folder()
            for file in sorted(Location(folder).files(), key=lambda file: file.path == folder / marker):
                _upload(file.path, target / file.relative_to(Location(folder)))
        return
    path = target.path
    temporary = temporary_name(path)
    with storage_errors(target):
        temporary.mkdir(parents=True)
        try:
            yield temporary
            assert (temporary / marker).is_file(), f"{target}: {marker} was not written"
            for inside in [*sorted(temporary.rglob("*")), temporary]:
                flush_to_disk(inside)
            # The old folder loses its marker first, so that it is never taken for whole while it is being deleted.
            (target / marker).delete_file()
            target.delete_folder()
            temporary.replace(path)
            flush_to_disk(path.parent)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def is_whole(folder: Location, marker: str) -> bool:
    """Whether `folder` is one that `publish_folder` finished."""
    return not is_temporary(folder.name) and (folder / marker).is_file()


def delete_leftovers(folder: Location) -> None:
    """Delete what killed processes left unpublished in `folder`. Only for a folder that nobody else writes in now."""
    if folder.is_remote:
        return
    for path in folder.path.iterdir() if folder.path.is_dir() else ():
        if is_temporary(path.name):
            Location(path).delete_folder() if path.is_dir() else path.unlink(missing_ok=True)


def _upload(file: Path, target: Location) -> None:
    if not file.is_file():
        raise FileNotFoundError(errno.ENOENT, "nothing was written", str(file))
    with remote_errors(str(target), writing=True):
        filesystem(str(target)).put_file(str(file), str(target))


def flush_to_disk(path: Path) -> None:
    """Ask the operating system to put a file, or a folder's list of names, on the disk before it returns."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def storage_errors(place: Place) -> Iterator[None]:
    """Turn the refusals to write at `place` into one StorageError each. An error that names a file elsewhere, as when
    the block reads one, is not about `place` and goes through."""
    target = Location(place)
    try:
        if target.is_remote:
            with remote_errors(str(target), writing=True):
                yield
        else:
            yield
    except OSError as error:
        if _is_elsewhere(error, target):
            raise
        remedy = _remedy(target)
        if error.errno in _FULL:
            raise StorageError(
                f"{place}: the disk is full. Free some space, or {remedy}, and run the same command again: finished "
                "shards are kept."
            ) from error
        if isinstance(error, PermissionError) or error.errno in _REFUSED:
            raise StorageError(
                f"{place}: not writable ({error.strerror or error}). {remedy[0].upper()}{remedy[1:]}."
            ) from error
        if isinstance(error, NotADirectoryError | FileExistsError | IsADirectoryError):
            raise StorageError(
                f"{place}: a file is in the way ({error.strerror or error}). {remedy[0].upper()}{remedy[1:]}."
            ) from error
        raise


def _is_elsewhere(error: OSError, target: Location) -> bool:
    """Whether the error names a file that is neither `target`, nor beside it, nor a folder around it."""
    if target.is_remote or not isinstance(error.filename, str):
        return False
    named, path = Path(error.filename).absolute(), target.path.absolute()
    return not (named.is_relative_to(path.parent) or path.is_relative_to(named))


def _remedy(target: Location) -> str:
    if target.is_remote:
        return "choose another place with --workspace"
    path = target.path.absolute()
    if path.is_relative_to(cache_folder().absolute()):
        return "name another folder for downloads in the environment variable TAMIS_CACHE"
    if path.is_relative_to(Path(tempfile.gettempdir()).absolute()) and "tamis-" in str(path):
        return "name another folder for temporary files in the environment variable TMPDIR"
    return "choose another place with --workspace"


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
    """Raises FileNotFoundError, and DataError naming the file when it holds no JSON."""
    try:
        return orjson.loads(Location(place).read_bytes())
    except orjson.JSONDecodeError as error:
        raise DataError(f"{place}: no valid JSON ({error}). Delete the file and run the same command again.") from None
