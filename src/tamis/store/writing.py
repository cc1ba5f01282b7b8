"""Writing one file so that it appears whole, and what a refusal to write means.

Places are given by their text here, a path or a URI: `store.location` is built on this module.
"""

import errno
import os
import re
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from tamis.base.errors import StorageError
from tamis.store.remote import filesystem, is_remote, remote_errors

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_REFUSED = (errno.EACCES, errno.EPERM, errno.EROFS)
_TEMPORARY = re.compile(r"\..+\.\d+-[0-9a-f]{8}-\d+\.tamis-tmp", re.DOTALL)
"""Nothing but Tamis gives a file such a name: leftovers may be deleted."""
_MACHINE = secrets.token_hex(4)
"""Tells processes of several machines apart that have one number; those of one machine may share it."""
_NUMBERS = count()


def local_path(text: str) -> Path:
    """The path that the text of a local place means."""
    return Path(text.removeprefix("file://"))


@contextmanager
def publish(place: object) -> Iterator[Path]:
    """Yield a local temporary path; on success its content becomes the file at `place`, on failure it is deleted.

    No two writers share a temporary name, whether in one process or in many. Raises StorageError when the disk is full,
    or the place is not writable.
    """
    target = str(place)
    if is_remote(target):
        with tempfile.TemporaryDirectory(prefix="tamis-upload-") as folder:
            temporary = Path(folder, target.rpartition("/")[2])
            with storage_errors(temporary):
                yield temporary
            upload(temporary, target)
        return
    path = local_path(target)
    temporary = temporary_name(path)
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            flush_to_disk(temporary)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def upload(file: Path, target: str) -> None:
    """Copy a file of this machine to a URI. Raises StorageError."""
    if not file.is_file():
        raise FileNotFoundError(errno.ENOENT, "nothing was written", str(file))
    with remote_errors(target, writing=True):
        filesystem(target).put_file(str(file), target)


def flush_to_disk(path: Path) -> None:
    """Ask the operating system to put a file, or a folder's list of names, on the disk before it returns."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def storage_errors(place: object) -> Iterator[None]:
    """Turn the refusals to write at `place` into one StorageError each. An error that names a file elsewhere, as when
    the block reads one, is not about `place` and goes through."""
    target = str(place)
    try:
        if is_remote(target):
            with remote_errors(target, writing=True):
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
        if error.errno == errno.ENAMETOOLONG:
            raise StorageError(f"{place}: the name is too long. Choose a shorter one.") from error
        if isinstance(error, NotADirectoryError | FileExistsError | IsADirectoryError):
            raise StorageError(
                f"{place}: a file is in the way ({error.strerror or error}). {remedy[0].upper()}{remedy[1:]}."
            ) from error
        raise


def _is_elsewhere(error: OSError, target: str) -> bool:
    """Whether the error names a file that is neither `target`, nor beside it, nor a folder around it."""
    if is_remote(target) or not isinstance(error.filename, str):
        return False
    named, path = Path(error.filename).absolute(), local_path(target).absolute()
    return not (named.is_relative_to(path.parent) or path.is_relative_to(named))


def _remedy(target: str) -> str:
    if is_remote(target):
        return "choose another place with --workspace"
    path = local_path(target).absolute()
    if path.is_relative_to(cache_folder().absolute()):
        return "name another folder for downloads in the environment variable TAMIS_CACHE"
    if path.is_relative_to(Path(tempfile.gettempdir()).absolute()) and "tamis-" in str(path):
        return "name another folder for temporary files in the environment variable TMPDIR"
    return "choose another place with --workspace"


def temporary_name(path: Path) -> Path:
    """A name beside `path` that no other writer of any process uses, and that listings leave out."""
    return path.with_name(f".{path.name}.{os.getpid()}-{_MACHINE}-{next(_NUMBERS)}.tamis-tmp")


def is_temporary(name: str) -> bool:
    """Whether a file is one that a writer has not finished, or was killed in."""
    return _TEMPORARY.fullmatch(name) is not None


def cache_folder() -> Path:
    """Where Tamis keeps what it downloaded or may forget: `TAMIS_CACHE`, else `tamis` in the user's cache folder."""
    given = os.environ.get("TAMIS_CACHE")
    return Path(given) if given else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tamis"
