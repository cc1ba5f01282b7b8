"""Locks: one holder at a time, on a disk and on an object store, and none that outlives its process."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tamis.base.errors import ConfigError, StorageError
from tamis.store import locks
from tamis.store.atomic import write_bytes
from tamis.store.location import Location
from tamis.store.locks import EXPIRES_SECONDS, Lease, lock, machine
from tamis.store.remote import filesystem

HOLDER = """
import sys
from tamis.store.location import Location
from tamis.store.locks import lock
with lock(Location(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.readline()
print("released", flush=True)
"""


class Holder:
    """Another process that holds a lock until it is told to let go."""

    def __init__(self, folder: str) -> None:
        command = [sys.executable, "-c", HOLDER, folder]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "held\n"

    def release(self) -> None:
        assert self._process.communicate("\n")[0] == "released\n"

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate()


@pytest.fixture(params=["local", "s3"])
def shared_place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A place that other processes see too."""
    return str(tmp_path) if request.param == "local" else str(request.getfixturevalue("s3"))


def test_a_second_process_is_refused_until_the_first_lets_go(shared_place: str) -> None:
    folder = Location(shared_place) / "run"
    holder = Holder(str(folder))
    with pytest.raises(ConfigError, match=r"/run: another run is working here. Wait for it"), lock(folder):
        pytest.fail("held by two")
    holder.release()
    with lock(folder):
        pass


def test_a_lock_ends_with_its_process_however_it_dies(shared_place: str) -> None:
    folder = Location(shared_place) / "run"
    Holder(str(folder)).kill()
    with lock(folder):
        pass


def test_who_waits_gets_the_lock_when_it_is_free(shared_place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Location(shared_place) / "run"
    holder = Holder(str(folder))
    waits: list[str] = []
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 2:
            holder.release()

    monkeypatch.setattr(locks, "pause", pause)
    with lock(folder, on_wait=lambda: waits.append("told")):
        assert len(pauses) == 2
    assert waits == ["told"], "told once, however often it asks"


def test_an_error_in_the_block_releases_the_lock(place: str) -> None:
    folder = Location(place) / "run"
    with pytest.raises(RuntimeError), lock(folder):
        raise RuntimeError
    with lock(folder), pytest.raises(ConfigError), lock(folder):
        pytest.fail("held by two")
    if folder.is_remote:
        assert folder.files() == []


def test_a_lock_of_one_folder_is_none_of_another(place: str) -> None:
    with lock(Location(place) / "a"), lock(Location(place) / "b"):
        pass


def test_a_folder_that_cannot_be_locked_is_named(s3: str, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="aws s3 mb"), lock(Location("s3://tamis-no-such-bucket/run")):
        pass
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="a file is in the way"), lock(Location(tmp_path / "file")):
        pass


# Leases.


class Clock:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.time = 1_000_000.0
        monkeypatch.setattr(locks, "now", lambda: self.time)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def object_of_other(folder: Location, renewed: float, state: str = "holding", **changes: object) -> Location:
    """What a process of another machine has put into the folder of a lock."""
    data = {"machine": "another", "pid": 1, "renewed": renewed, "state": state} | changes
    place = folder / "0000.json"
    write_bytes(place, json.dumps(data).encode())
    return place


@pytest.fixture
def folder(memory: str) -> Location:
    return Location(memory) / ".lock"


def test_a_lease_counts_until_it_expires(folder: Location, clock: Clock) -> None:
    other = object_of_other(folder, renewed=clock.time)
    clock.time += EXPIRES_SECONDS
    assert not Lease(folder).ask() and folder.children() == [other]
    clock.time += 1
    lease = Lease(folder)
    assert lease.ask() and not other.exists()
    assert not Lease(folder).ask()
    lease.end()
    assert folder.children() == []


def test_renewing_keeps_a_lease(folder: Location, clock: Clock) -> None:
    lease = Lease(folder)
    assert lease.ask()
    for _ in range(3):
        clock.time += EXPIRES_SECONDS - 1
        lease.renew()
        assert not Lease(folder).ask()
    clock.time += EXPIRES_SECONDS + 1
    successor = Lease(folder)
    assert successor.ask()
    lease.renew()
    assert len(folder.children()) == 1, "a lease that was taken over is not renewed"


def test_the_holder_renews_while_it_works(memory: str, monkeypatch: pytest.MonkeyPatch) -> None:
    renewed = threading.Event()
    monkeypatch.setattr(locks, "RENEW_SECONDS", 0.0)
    monkeypatch.setattr(Lease, "renew", lambda self: renewed.set())
    with lock(Location(memory)):
        assert renewed.wait(60)


def test_a_process_known_to_be_dead_holds_nothing(folder: Location, clock: Clock) -> None:
    ended = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    object_of_other(folder, clock.time, machine=machine(), pid=int(ended.stdout))
    lease = Lease(folder)
    assert lease.ask()
    lease.end()
    object_of_other(folder, clock.time, machine=machine(), pid=os.getppid())
    assert not Lease(folder).ask(), "a living process of this machine"
    object_of_other(folder, clock.time, machine="another", pid=int(ended.stdout))
    assert not Lease(folder).ask(), "a process of another machine cannot be seen, so it counts"


class Stepped:
    """A lease that asks in a thread of its own and takes a step (a listing, a write, a deletion) when it is told to."""

    def __init__(self, lease: Lease) -> None:
        self.lease = lease
        self.got: bool | None = None
        self._ended = False
        self._go, self._stopped = threading.Semaphore(0), threading.Semaphore(0)
        for name in ("_write", "_others", "end"):
            setattr(lease, name, self._stepping(getattr(lease, name)))
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        self._stopped.acquire()

    def _stepping(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def stepped(*args: object) -> Any:
            self._stopped.release()
            self._go.acquire()
            return function(*args)

        return stepped

    def _run(self) -> None:
        try:
            self.got = self.lease.ask()
        finally:
            self._ended = True
            self._stopped.release()

    def step(self) -> None:
        if not self._ended:
            self._go.release()
            self._stopped.acquire()
        if self._ended:
            self._thread.join()


@pytest.mark.parametrize("first_by_name", [0, 1])
@pytest.mark.parametrize("first_steps", range(8))
def test_of_two_that_ask_at_once_one_gets_it(
    folder: Location, clock: Clock, monkeypatch: pytest.MonkeyPatch, first_steps: int, first_by_name: int
) -> None:
    """One process takes some steps, then both take turns: never two holders, never none."""
    monkeypatch.setattr(locks, "pause", lambda seconds: None)
    tokens = iter(["1", "2"] if first_by_name == 0 else ["2", "1"])
    monkeypatch.setattr("secrets.token_hex", lambda size: next(tokens))
    both = [Stepped(Lease(folder)), Stepped(Lease(folder))]
    for number in [0] * first_steps + [1, 0] * 20:
        both[number].step()
    assert sorted(one.got is True for one in both) == [False, True]
    assert len(folder.children()) == 1


def test_two_that_asked_wait_for_each_other_by_name(folder: Location, clock: Clock) -> None:
    object_of_other(folder, clock.time, state="asking")
    assert not Lease(folder).ask(), "the other comes first by name"
    assert len(folder.children()) == 1


def test_a_suspended_process_that_wakes_finds_that_it_was_overtaken(
    folder: Location, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    lease, write = Lease(folder), Lease._write

    def suspended(self: Lease, state: str) -> None:
        if state == "holding" and self is lease:
            clock.time += EXPIRES_SECONDS + 1
            assert Lease(folder).ask()
        write(self, state)

    monkeypatch.setattr(Lease, "_write", suspended)
    assert not lease.ask() and len(folder.children()) == 1


def test_a_store_that_fails_once_does_not_end_renewing(s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    lease = Lease(Location(s3) / ".lock")
    assert lease.ask()

    def refuse(*args: object) -> None:
        raise ConnectionResetError

    with monkeypatch.context() as patch:
        patch.setattr(filesystem(s3), "pipe_file", refuse)
        lease.renew()
    lease.renew()
    lease.end()
