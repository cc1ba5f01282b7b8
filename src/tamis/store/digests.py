"""Digests of files: of inputs, remembered between runs, so that planning a run again does not read the whole pool
again, and of what was stored, compared before it is read.

What is remembered is the digest of the bytes, never a stand-in for it: fingerprints stay the same on every machine. An
entry counts only while size, device, inode, and the times of the last change of bytes and of inode are all what they
were; the last cannot be set by any program, so that restored or copied-over files are read again.
"""

import os
import time
from functools import cache
from pathlib import Path

from tamis.store.location import Location, cache_folder
from tamis.store.remote import remote_mark
from tamis.store.shards import file_digest

REMEMBERED_BYTES = 1 << 20
"""Smaller files are read each time."""
_SETTLED_NS = 2_000_000_000
"""A file that changed less than this before it was read may change again without its times telling."""
_FILE_NAME = "input-digests.txt"


def input_digest(path: Path) -> str:
    """32 hex digits over the bytes, as `file_digest`, from memory where the file is unchanged. Raises OSError."""
    status = path.stat()
    if status.st_size < REMEMBERED_BYTES:
        return file_digest(path)
    key = _key(path, status)
    digest = _remembered(_memory()).get(key)
    if digest is None:
        began = time.time_ns()
        digest = file_digest(path)
        settled = began - max(status.st_mtime_ns, status.st_ctime_ns) > _SETTLED_NS
        if settled and _key(path, path.stat()) == key:
            _remember(_memory(), key, digest)
    return digest


def input_mark(uri: str) -> str:
    """What changes when an input does: the digest of a local file, what the server tells of a remote one. Raises
    OSError, or DataError when the server refuses."""
    place = Location(uri)
    return remote_mark(uri) if place.is_remote else input_digest(place.path)


def is_intact(file: Location, digest: str) -> bool:
    """Whether a stored file is there and has this digest. It is read once per process as long as it does not change."""
    try:
        now = remote_mark(str(file)) if file.is_remote else _key(file.path, file.path.stat())
        if _INTACT.get(str(file)) == (digest, now):
            return True
        if file_digest(file) != digest:
            return False
    except FileNotFoundError:
        return False
    _INTACT[str(file)] = (digest, now)
    return True


_INTACT: dict[str, tuple[str, str]] = {}
"""Files that this process has found to be intact -> their digest, and by what a change of them would be seen."""


def _key(path: Path, status: os.stat_result) -> str:
    numbers = (status.st_size, status.st_dev, status.st_ino, status.st_mtime_ns, status.st_ctime_ns)
    return f"{'-'.join(map(str, numbers))} {str(path.absolute())!r}"


def _memory() -> Path:
    """Beside the assets that `tamis fetch` downloads."""
    return cache_folder() / _FILE_NAME


@cache
def _remembered(memory: Path) -> dict[str, str]:
    """Key -> digest; the last line of a key counts. Lines that are not whole are skipped."""
    entries: dict[str, str] = {}
    try:
        lines = memory.read_text(encoding="utf-8", errors="replace").split("\n")[:-1]
    except OSError:
        return entries
    for line in lines:
        digest, _, key = line.partition(" ")
        if len(digest) == 32 and key:
            entries[key] = digest
    return entries


def _remember(memory: Path, key: str, digest: str) -> None:
    """Append one line, in one write: runs at the same time do not disturb each other."""
    _remembered(memory)[key] = digest
    try:
        memory.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(memory, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(handle, f"{digest} {key}\n".encode(errors="backslashreplace"))
        finally:
            os.close(handle)
    except OSError:
        # A place that cannot be written costs the next run a read of the file, nothing else.
        return
