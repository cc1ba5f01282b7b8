"""How the time of a process is counted, and what travels between a sandbox and its process."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pytest

from tamis.runner import sandbox
from tamis.runner.sandbox import Stopwatch
from tamis.runner.sandboxed import pack, unpack
from tamis.store.system import is_stopped, processor_wait_seconds


@pytest.fixture
def sleeper() -> Iterator["subprocess.Popen[bytes]"]:
    process = subprocess.Popen(["sleep", "1000"])
    yield process
    process.kill()
    process.wait()


def test_time_that_a_process_is_suspended_does_not_count(
    sleeper: "subprocess.Popen[bytes]", monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr(sandbox, "time", SimpleNamespace(monotonic=lambda: clock.now))
    monkeypatch.setattr(sandbox, "processor_wait_seconds", lambda pid: 0.0)
    watch = Stopwatch(sleeper.pid)
    clock.now += 0.5
    assert watch.read() == pytest.approx(0.5)
    os.kill(sleeper.pid, signal.SIGSTOP)
    while not is_stopped(sleeper.pid):
        pass
    clock.now += 0.5
    assert watch.read() == pytest.approx(0.5)
    os.kill(sleeper.pid, signal.SIGCONT)
    while is_stopped(sleeper.pid):
        pass
    clock.now += 0.25
    assert watch.read() == pytest.approx(0.75)
    clock.now += 3600
    assert watch.read() == pytest.approx(1.75), "the machine stood still"


def test_time_that_a_process_waits_for_a_processor_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    now, waited = iter([0.0, 1.0, 2.0, 3.0]), iter([10.0, 10.75, 12.0, 11.0])
    monkeypatch.setattr(sandbox, "time", SimpleNamespace(monotonic=lambda: next(now)))
    monkeypatch.setattr(sandbox, "processor_wait_seconds", lambda pid: next(waited))
    watch = Stopwatch(os.getpid())
    assert [watch.read(), watch.read(), watch.read()] == pytest.approx([0.25, 0.25, 1.25]), "never less than nothing"


@pytest.mark.skipif(not Path("/proc/self/schedstat").exists(), reason="this system does not tell")
def test_a_process_that_shares_a_processor_has_waited() -> None:
    core = min(os.sched_getaffinity(0))
    script = f"import os\nos.sched_setaffinity(0, [{core}])\nwhile True: pass"
    busy = [subprocess.Popen([sys.executable, "-c", script]) for _ in range(2)]
    try:
        while min(processor_wait_seconds(process.pid) for process in busy) < 0.05:
            pass
    finally:
        for process in busy:
            process.kill()
            process.wait()
    assert processor_wait_seconds(busy[0].pid) == 0.0, "a process that has ended waits no more"
    assert not is_stopped(busy[0].pid)


def test_a_slice_travels_alone() -> None:
    batch = pa.record_batch({"text": pa.array(["x" * 1_000_000, "é", None])})
    data = pack(batch.slice(1, 2))
    assert data.size < 2000
    assert unpack(data).to_pylist() == [{"text": "é"}, {"text": None}]
