"""Worker processes of the local engine: they run jobs, say what they are at, and die with their parent."""

import io
import os
import pickle
import time
import traceback
from collections.abc import Mapping
from multiprocessing.connection import Connection
from typing import Any

from tamis.base.errors import TamisError
from tamis.runner.jobs import Job, run_job
from tamis.runner.lane import Heartbeat, Opened
from tamis.runner.lifeline import die_with_parent
from tamis.runner.plan import Plan
from tamis.store.system import peak_memory_bytes

ROW_ID_BYTES = 128


class _JobPickler(pickle.Pickler):
    def persistent_id(self, obj: Any) -> str | None:
        return obj.key if isinstance(obj, Plan) else None


class _JobUnpickler(pickle.Unpickler):
    def __init__(self, data: bytes, plans: Mapping[str, Plan]) -> None:
        super().__init__(io.BytesIO(data))
        self._plans = plans

    def persistent_load(self, pid: Any) -> Plan:
        return self._plans[pid]


def dump_job(job: Job) -> bytes:
    """A job without its plan, which every worker is sent once: plans list every shard of the pool."""
    buffer = io.BytesIO()
    _JobPickler(buffer).dump(job)
    return buffer.getvalue()


class Workbench:
    """What a worker keeps between jobs: the plan it was sent last, and the stages of it that are open."""

    def __init__(self) -> None:
        self._plans: dict[str, Plan] = {}
        self._opened: Opened = {}

    def add_plan(self, data: bytes) -> None:
        """Learn a plan; models that only earlier plans used are let go."""
        plan: Plan = pickle.loads(data)
        self._plans = {plan.key: plan}
        wanted = {step.fingerprint for step in plan.steps}
        for fingerprint in self._opened.keys() - wanted:
            del self._opened[fingerprint]

    def do(self, data: bytes, heartbeat: Heartbeat) -> dict[str, Any]:
        """Run the job that `dump_job` made."""
        job: Job = _JobUnpickler(data, self._plans).load()
        return run_job(job, self._opened, heartbeat) | {"peak_memory_bytes": peak_memory_bytes()}


class SharedState:
    """A few numbers and one row id that the parent reads while the worker works. Built on shared memory arrays."""

    def __init__(self, context: Any) -> None:
        self.numbers = context.RawArray("d", 3)
        self.row_id = context.RawArray("c", ROW_ID_BYTES)

    def set(self, batch: int, rows_done: int, row_id: str) -> None:
        self.row_id.value = row_id.encode("utf-8", "replace")[: ROW_ID_BYTES - 1]
        self.numbers[0], self.numbers[1], self.numbers[2] = batch, rows_done, time.monotonic()

    def clear(self) -> None:
        """A job was given, and nothing of it has begun."""
        self.row_id.value = b""
        self.numbers[0], self.numbers[1], self.numbers[2] = 0, 0, 0.0

    def get(self) -> tuple[int, int, float, str]:
        """(batch, rows done, monotonic seconds when set or 0 when nothing has begun, id of the row being tried alone or
        '')."""
        batch, rows_done, since = self.numbers[0], self.numbers[1], self.numbers[2]
        return int(batch), int(rows_done), since, self.row_id.value.decode("utf-8", "replace")


class SharedHeartbeat(Heartbeat):
    """Writes into the shared state."""

    def __init__(self, state: SharedState) -> None:
        self._state, self._batch, self._rows = state, 0, 0

    def batch(self, number: int, rows_done: int) -> None:
        self._batch, self._rows = number, rows_done
        self._state.set(number, rows_done, "")

    def row(self, row_id: str) -> None:
        self._state.set(self._batch, self._rows, row_id)


def main(pipe: Connection, lifeline: Connection, state: SharedState, environment: Mapping[str, str]) -> None:
    """Receive ('plan', bytes) and ('job', bytes); answer each job by ('done', result) or ('failed', error); end when
    the pipe closes.

    When the parent dies, `lifeline` closes and this process ends too. `environment` is the parent's as it is now: that
    which a fork server hands down is the parent's as it was when the first worker started.
    """
    die_with_parent(lifeline)
    os.environ.clear()
    os.environ.update(environment)
    workbench = Workbench()
    while True:
        try:
            kind, data = pipe.recv()
        except EOFError:
            return
        if kind == "plan":
            workbench.add_plan(data)
            continue
        try:
            answer: tuple[str, Any] = ("done", workbench.do(data, SharedHeartbeat(state)))
        except TamisError as error:
            answer = ("failed", error)
        except BaseException as error:  # noqa: BLE001 - carried to the parent, which raises it there
            answer = ("failed", RuntimeError(f"{type(error).__name__}: {error}\n{traceback.format_exc()}"))
        pipe.send(answer)
