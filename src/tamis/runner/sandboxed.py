"""The process behind a `sandbox`: it calls the stages of one task and answers, until it is ended or ends.

Requests are (name, label of the step, what the call takes); answers are ('done', result), ('raised', the text of a
row's error), ('unreadable', (record, text)) or ('failed', error). Tables travel as Arrow streams, which carry the rows
of a slice alone.
"""

import os
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import pyarrow as pa

from tamis.base.errors import NoRowError, TamisError, UnexpectedError
from tamis.runner.calls import DirectCalls
from tamis.runner.jobs import load_job
from tamis.runner.lifeline import die_with_parent
from tamis.runner.plan import Step
from tamis.runner.reading import NumberedReading, ReadingError
from tamis.runner.split import error_of
from tamis.runner.task import Task

READ_ENDED, READ_ROWS = "ended", "rows"


@dataclass(frozen=True)
class TaskParcel:
    """A task and its plan, pickled before any stage was opened."""

    plan: bytes
    job: bytes


def pack(data: pa.RecordBatch | pa.Table) -> pa.Buffer:
    """A table as bytes."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, data.schema) as stream:
        stream.write(data)
    return sink.getvalue()


def unpack(data: pa.Buffer) -> pa.Table:
    with pa.ipc.open_stream(data) as stream:
        return stream.read_all()


class SharedNumber(NumberedReading):
    """Tells the number of the record that is being read in shared memory, where it outlives this process."""

    def __init__(self, unreadable: Mapping[int, str], ends: Collection[int], shared: Any) -> None:
        super().__init__(unreadable, ends)
        self._shared = shared
        shared[0] = 0

    def goes_on(self, number: int) -> bool:
        self._shared[0] = number
        return super().goes_on(number)


class _Server:
    """Answers one request after the other."""

    def __init__(self, parcel: TaskParcel, shared: Any) -> None:
        task = load_job(parcel.job, parcel.plan)
        assert isinstance(task, Task)
        self._steps: dict[str, Step] = {step.label: step for step in task.plan.steps}
        self._calls, self._shared = DirectCalls(task.place, {}), shared
        self._reading = SharedNumber({}, (), shared)
        self._batches: Iterator[pa.RecordBatch] = iter(())

    def answer(self, name: str, label: str, *arguments: Any) -> tuple[str, Any]:
        step = self._steps[label]
        requests: dict[str, Callable[..., Any]] = {
            "open": self._calls.open, "apply": self._apply, "sketch": self._sketch, "read": self._read,
            "next": self._next,
        }  # fmt: skip
        try:
            return "done", requests[name](step, *arguments)
        except ReadingError as failure:
            return "unreadable", (failure.number, failure.text)
        except NoRowError as error:
            return "failed", error
        except TamisError as error:
            if name in ("apply", "sketch"):
                return "raised", error_of(error)
            return "failed", error
        except BaseException as error:  # noqa: BLE001 - carried to the process that asked
            if name in ("apply", "sketch"):
                return "raised", error_of(error)
            return "failed", UnexpectedError.of(error)

    def _apply(self, step: Step, batch: pa.Buffer) -> pa.Buffer:
        return pack(self._calls.apply(step, unpack(batch).combine_chunks().to_batches()[0]))

    def _sketch(self, step: Step, batch: pa.Buffer, rows: pa.Array) -> pa.Buffer:
        return pack(self._calls.sketch(step, unpack(batch).combine_chunks().to_batches()[0], rows))

    def _read(
        self, step: Step, unreadable: Mapping[int, str], ends: Collection[int], delivered: int
    ) -> tuple[str, Any]:
        self._reading = SharedNumber(unreadable, ends, self._shared)
        self._batches = self._calls.read_once(step, self._reading, delivered)
        return self._next(step)

    def _next(self, step: Step) -> tuple[str, Any]:
        batch = next(self._batches, None)
        if batch is not None:
            return READ_ROWS, pack(batch)
        return READ_ENDED, (self._calls.notes(step), self._reading.ended)


def main(
    pipe: Connection, lifeline: Connection, shared: Any, environment: Mapping[str, str], parcel: TaskParcel
) -> None:
    """Body of the process; `shared` gets the number of the record that is being read."""
    die_with_parent(lifeline)
    os.environ.clear()
    os.environ.update(environment)
    server = _Server(parcel, shared)
    while True:
        try:
            request = pipe.recv()
        except EOFError:
            return
        pipe.send(server.answer(*request))
