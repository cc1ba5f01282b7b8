"""Calls stages in processes of their own, whose loss costs a row and not the work that the task has done so far.

A task that met trouble is done again this way: the process that reads the shard and writes the results calls no code
of a stage. A batch that hangs, grows or kills the process it is tried in is tried again row by row, and the row that
does it once more is quarantined. Each costs a process and its limit; nothing that was done before is done again. Rows
that are being read are treated likewise (`reading`), with a process for the source alone.
"""

import multiprocessing as mp
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pyarrow as pa

from tamis.base.errors import TamisError
from tamis.base.recipe import Limits
from tamis.base.stage import Source
from tamis.runner.calls import Heartbeat, StageCalls
from tamis.runner.lifeline import without_interrupts
from tamis.runner.plan import Step
from tamis.runner.reading import NumberedReading, ReadingError
from tamis.runner.sandboxed import READ_ENDED, TaskParcel, main, pack, unpack
from tamis.runner.split import OpeningError, RowError
from tamis.store.system import is_stopped, processor_wait_seconds, resident_bytes

_POLL_SECONDS = 0.25
_MAX_STEP_SECONDS = 1.0
"""What one look at a process can add to its time: if the machine or this process stood still, it did too."""
TRIES = {"time": 1, "memory": 2, "crash": 2, "kill": 4}
"""How often a row may do this to a process that tries nothing else, before it is to blame. Memory that other rows left
behind may be what was too much; signals that no code sends itself come from outside: from the system when memory is
short, or from a person."""
READING_TRIES = TRIES | {"time": 2}
"""A network may have stood still."""
OPENING_TRIES = 3
_FROM_OUTSIDE = {-signal.SIGKILL, -signal.SIGTERM, -signal.SIGINT, -signal.SIGHUP}


class ProcessLostError(Exception):
    """The process had to be stopped, or died: `kind` is a key of TRIES."""

    def __init__(self, kind: str, what: str) -> None:
        super().__init__(what)
        self.kind = kind
        self.text = f"PoisonRowError: {what}"


class Stopwatch:
    """How long a process has worked, without the time that it was suspended or waited for a processor: a row is not to
    blame for a machine that does other things."""

    def __init__(self, pid: int | None) -> None:
        self._pid, self._waited = pid, processor_wait_seconds(pid)
        self._last, self._seconds = time.monotonic(), 0.0

    def read(self) -> float:
        now, waited = time.monotonic(), processor_wait_seconds(self._pid)
        if not is_stopped(self._pid):
            passed = min(now - self._last, _MAX_STEP_SECONDS)
            self._seconds += max(0.0, passed - max(0.0, waited - self._waited))
        self._last, self._waited = now, waited
        return self._seconds


class Sandbox:
    """A process that does what it is asked, and is started anew when it was lost."""

    def __init__(self, parcel: TaskParcel, limits: Limits, heartbeat: Heartbeat) -> None:
        self._parcel, self._limits, self._heartbeat = parcel, limits, heartbeat
        self._context = mp.get_context("forkserver")
        self._context.set_forkserver_preload(["tamis.runner.sandboxed"])
        self._number = self._context.RawArray("q", 1)
        self._process: Any = None
        self._open: set[str] = set()

    @property
    def number(self) -> int:
        """The record that the process is reading, or was when it died."""
        return int(self._number[0])

    def ask(self, step: Step, *request: Any) -> Any:
        """The answer. Raises ProcessLostError, whatever a row raised as RowError or ReadingError, OpeningError."""
        try:
            self.open(step)
        except TamisError as error:
            raise OpeningError(str(error)) from error
        return self._exchange(request, self._limits.row_seconds)

    def ask_on(self, *request: Any) -> Any:
        """As `ask`, of the process that answered last and of no other: what it began is lost with it."""
        if not self._process.is_alive():
            raise self._death()
        return self._exchange(request, self._limits.row_seconds)

    def open(self, step: Step) -> None:
        """Start the process and open the stage in it, unless that is done. Raises what opening it raises, and
        OpeningError when the process dies of it."""
        if self._process is None or not self._process.is_alive():
            self.stop()
            self._start()
        for attempt in range(1, OPENING_TRIES + 1):
            if step.label in self._open:
                return
            try:
                self._exchange(("open", step.label), None)
                self._open.add(step.label)
            except ProcessLostError as lost:
                if attempt == OPENING_TRIES:
                    raise OpeningError(
                        f"{step.label}: cannot be opened: its process died each time ({lost})."
                    ) from None
                self._start()

    def _start(self) -> None:
        self._pipe, theirs = self._context.Pipe()
        end, self._lifeline = self._context.Pipe(duplex=False)
        arguments = (theirs, end, self._number, dict(os.environ), self._parcel)
        self._process = self._context.Process(target=main, args=arguments)
        with without_interrupts():
            self._process.start()
        theirs.close()
        end.close()

    def _exchange(self, request: tuple[Any, ...], seconds: float | None) -> Any:
        try:
            self._pipe.send(request)
            self._wait(seconds)
            kind, answer = self._pipe.recv()
        except (EOFError, OSError):
            raise self._death() from None
        if kind == "raised":
            raise RowError(answer)
        if kind == "unreadable":
            number, text = answer
            raise ReadingError(number=number, text=text, tries=1)
        if kind == "failed":
            raise answer
        return answer

    def _wait(self, seconds: float | None) -> None:
        """Until there is an answer. Raises ProcessLostError when it takes too long, or too much memory."""
        watch, number = Stopwatch(self._process.pid), self.number
        while not self._pipe.poll(_POLL_SECONDS):
            self._heartbeat.alive()
            if self.number != number:
                watch, number = Stopwatch(self._process.pid), self.number
            if seconds is None:
                continue
            memory = self._limits.worker_memory_gb
            if watch.read() > seconds:
                self.stop()
                raise ProcessLostError("time", f"took longer than {seconds:g} seconds")
            if resident_bytes(self._process.pid) > memory * 2**30:
                self.stop()
                raise ProcessLostError("memory", f"took more than {memory:g} GB of memory")

    def _death(self) -> ProcessLostError:
        self._process.join()
        from_outside = self._process.exitcode in _FROM_OUTSIDE
        self.stop()
        return ProcessLostError("kill" if from_outside else "crash", "killed its process")

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._pipe.close()
            self._lifeline.close()
        self._process = None
        self._open.clear()


class SandboxCalls(StageCalls):
    """In two processes: one for the source, one for all other stages. Use as a context manager."""

    def __init__(self, parcel: TaskParcel, limits: Limits, heartbeat: Heartbeat) -> None:
        self._reader = Sandbox(parcel, limits, heartbeat)
        self._worker = Sandbox(parcel, limits, heartbeat)
        self._notes: dict[str, int] = {}

    def __enter__(self) -> "SandboxCalls":
        return self

    def __exit__(self, *_: object) -> None:
        for sandbox in (self._reader, self._worker):
            with suppress(OSError):
                sandbox.stop()

    def open(self, step: Step) -> None:
        (self._reader if isinstance(step.stage, Source) else self._worker).open(step)

    def apply(self, step: Step, batch: pa.RecordBatch) -> pa.RecordBatch:
        answer = self._judged(batch, lambda: self._worker.ask(step, "apply", step.label, pack(batch)))
        return unpack(answer).combine_chunks().to_batches()[0]

    def sketch(self, step: Step, batch: pa.RecordBatch, rows: pa.Array) -> pa.Table:
        return unpack(self._judged(batch, lambda: self._worker.ask(step, "sketch", step.label, pack(batch), rows)))

    def _judged(self, batch: pa.RecordBatch, call: Callable[[], Any]) -> Any:
        """What `call` returns. A single row is tried again before it is blamed for the loss of a process; a batch is
        not, because its rows are tried one by one next."""
        losses = Counter[str]()
        while True:
            try:
                return call()
            except ProcessLostError as loss:
                losses[loss.kind] += 1
                if batch.num_rows > 1 or losses[loss.kind] >= TRIES[loss.kind]:
                    raise RowError(loss.text) from None

    def read_once(self, step: Step, reading: NumberedReading, delivered: int) -> Iterator[pa.RecordBatch]:
        first = ("read", step.label, reading.unreadable, reading.ends, delivered)
        answer = self._read(lambda: self._reader.ask(step, *first))
        while answer[0] != READ_ENDED:
            yield from unpack(answer[1]).to_batches()
            answer = self._read(lambda: self._reader.ask_on("next", step.label))
        self._notes, reading.ended = answer[1]

    def _read(self, call: Callable[[], Any]) -> Any:
        """What `call` returns. Raises ReadingError where the process is lost."""
        try:
            return call()
        except ProcessLostError as lost:
            tries = READING_TRIES[lost.kind]
            raise ReadingError(number=self._reader.number, text=lost.text, tries=tries) from None

    def notes(self, step: Step) -> dict[str, int]:
        return self._notes
