"""Locks: one writer at a time in a folder, on one machine or on many.

On local disks the operating system holds the lock, and lets go when the process dies, however it dies. An object store
knows no locks: there every process that wants the folder puts a small object of its own into `.lock/`, and the one that
finds no other there holds the folder. The object is renewed while its process lives, and no longer counts once it has
not been renewed for a while (the clocks of the machines must agree to within that time), or its process is known to be
dead. This needs no more of a store than that a finished upload is seen by every later listing.
"""

import fcntl
import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tamis.base.errors import ConfigError, TamisError
from tamis.store.atomic import storage_errors
from tamis.store.location import Location, filesystem
from tamis.store.remote import remote_errors

LOCK = ".lock"
"""Name of the lock in a folder: a file, and on an object store a folder of leases."""
RENEW_SECONDS = 10.0
EXPIRES_SECONDS = 60.0
_POLL_SECONDS = 0.2
_ASKING, _HOLDING = "asking", "holding"


@contextmanager
def lock(folder: Location, on_wait: Callable[[], None] | None = None) -> Iterator[None]:
    """Hold `folder` until the block ends. Where another process holds it: with `on_wait`, which is called once, wait
    for it; else raise ConfigError."""
    with storage_errors(folder):
        folder.make_folder()
    hold = _lease if folder.is_remote else _file_lock
    waited = False
    while True:
        with hold(folder / LOCK) as got:
            if got:
                yield
                return
        if on_wait is None:
            raise ConfigError(f"{folder}: another run is working here. Wait for it, or choose another name.")
        if not waited:
            on_wait()
            waited = True
        pause(_POLL_SECONDS)


def pause(seconds: float) -> None:
    """Wait before asking for a lock again."""
    time.sleep(seconds)


def now() -> float:
    """Seconds since 1970: the clock by which leases expire."""
    return time.time()


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
    lease = Lease(place)
    if not lease.ask():
        yield False
        return
    ended = threading.Event()

    def renew() -> None:
        while not ended.wait(RENEW_SECONDS):
            lease.renew()

    renewal = threading.Thread(target=renew, daemon=True)
    renewal.start()
    try:
        yield True
    finally:
        ended.set()
        renewal.join()
        lease.end()


class Lease:
    """One process's object in the folder of a lock, named by a random number."""

    def __init__(self, folder: Location) -> None:
        self._folder = folder
        self._own = folder / f"{secrets.token_hex(8)}.json"

    def ask(self) -> bool:
        """Try to get the lock; False when another process holds it. Of several that ask at once, one gets it: all have
        put their objects there before they look, so that no two can miss each other, and the first by name goes on.
        """
        if _HOLDING in self._others().values():
            return False
        self._write(_ASKING)
        while others := self._others():
            if _HOLDING in others.values() or min(others) < self._own.name:
                self.end()
                return False
            pause(_POLL_SECONDS)
        self._write(_HOLDING)
        # Where this process was suspended since it looked, others may have taken it for dead and gone on.
        if _HOLDING in self._others().values():
            self.end()
            return False
        return True

    def renew(self) -> None:
        """Say that the process is alive. Where another took the lock over, as this process was suspended for too long,
        the object stays deleted; a store that cannot be reached now is asked again the next time."""
        try:
            if self._own.exists():
                self._write(_HOLDING)
        except (TamisError, OSError):
            return

    def end(self) -> None:
        self._own.delete_file()

    def _others(self) -> dict[str, str]:
        """Name and state of the objects of other living processes; those of dead ones are deleted."""
        found = {}
        for place in self._folder.children("*.json"):
            if place == self._own:
                continue
            try:
                holder = json.loads(place.read_bytes())
            except FileNotFoundError:
                continue
            if _is_dead(holder):
                place.delete_file()
            else:
                found[place.name] = str(holder["state"])
        return found

    def _write(self, state: str) -> None:
        data = {"machine": machine(), "pid": os.getpid(), "renewed": now(), "state": state}
        with remote_errors(str(self._own), writing=True):
            filesystem(str(self._own)).pipe_file(str(self._own), json.dumps(data).encode())


def _is_dead(holder: dict[str, Any]) -> bool:
    if now() - holder["renewed"] > EXPIRES_SECONDS:
        return True
    return bool(holder["machine"] == machine() and not _is_alive(holder["pid"]))


def machine() -> str:
    """What process numbers belong to: the host, and the container on it."""
    try:
        container = str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        container = ""
    return f"{socket.gethostname()} {container}"


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
