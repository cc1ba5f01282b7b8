"""Locks: one writer at a time in a folder, on one machine or on many.

On local disks the operating system holds the lock, and lets go when the process dies, however it dies. An object store
knows no locks: there a small object is created that only one writer can create, renewed while its holder lives, and
taken over when it has not been renewed for a while or its process is known to be dead.
"""

import fcntl
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tamis.base.errors import ConfigError
from tamis.store.atomic import storage_errors
from tamis.store.location import Location, filesystem

RENEW_SECONDS = 10.0
EXPIRES_SECONDS = 60.0
_POLL_SECONDS = 0.2


@contextmanager
def lock(folder: Location, on_wait: Callable[[], None] | None = None) -> Iterator[None]:
    """Hold `folder` until the block ends. Where another process holds it: with `on_wait`, which is called once, wait
    for it; else raise ConfigError."""
    with storage_errors(folder):
        folder.make_folder()
    hold = _lease if folder.is_remote else _file_lock
    waited = False
    while True:
        with hold(folder / ".lock") as got:
            if got:
                yield
                return
        if on_wait is None:
            raise ConfigError(f"{folder}: another run is working here. Wait for it, or choose another name.")
        if not waited:
            on_wait()
            waited = True
        time.sleep(_POLL_SECONDS)


@contextmanager
def _file_lock(place: Location) -> Iterator[bool]:
    with storage_errors(place):
        handle = place.path.open("w")
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True


@contextmanager
def _lease(place: Location) -> Iterator[bool]:
    fs, uri = filesystem(str(place)), str(place)
    if not _create(place) and not _take_over(place):
        yield False
        return
    ended = threading.Event()

    def renew() -> None:
        while not ended.wait(RENEW_SECONDS):
            fs.pipe_file(uri, _holder())

    renewal = threading.Thread(target=renew, daemon=True)
    renewal.start()
    try:
        yield True
    finally:
        ended.set()
        renewal.join()
        place.delete_file()


def _create(place: Location) -> bool:
    """Create the lock object; False when it exists already."""
    fs = filesystem(str(place))
    with storage_errors(place):
        try:
            fs.pipe_file(str(place), _holder(), mode="create")
        except FileExistsError:
            return False
    return True


def _take_over(place: Location) -> bool:
    """Remove a lock whose holder is gone, and create it anew; of several that try, one succeeds."""
    try:
        holder = json.loads(place.read_bytes())
    except FileNotFoundError:
        return _create(place)
    expired = time.time() - holder["renewed"] > EXPIRES_SECONDS
    here = holder["host"] == socket.gethostname()
    if not expired and not (here and not _alive(holder["pid"])):
        return False
    place.delete_file()
    return _create(place)


def _holder() -> bytes:
    return json.dumps({"host": socket.gethostname(), "pid": os.getpid(), "renewed": time.time()}).encode()


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
