"""Worker processes of the local engine: they run jobs, say what they are at, and die with their parent."""

import os
import pickle
import time
from collections.abc import Mapping
from multiprocessing.connection import Connection
from typing import Any

from tamis.base.errors import TamisError, UnexpectedError
from tamis.runner.calls import Heartbeat, Opened
from tamis.runner.jobs import load_job, run_job
from tamis.runner.lifeline import die_with_parent
from tamis.runner.plan import Plan
from tamis.runner.sandbox import SandboxCalls
from tamis.runner.sandboxed import TaskParcel
from tamis.runner.task import Task
from tamis.store.system import peak_memory_bytes


class Workbench:
    """What a worker keeps between jobs: the plan it was sent last, and the stages of it that are open."""

    def __init__(self) -> None:
        self._plan: Plan | None = None
        self._pickled_plan = b""
        self._opened: Opened = {}

    def add_plan(self, data: bytes) -> None:
        """Learn a plan; models that only earlier plans used are let go."""
        plan: Plan = pickle.loads(data)
        self._plan, self._pickled_plan = plan, data
        wanted = {step.fingerprint for step in plan.steps}
        for fingerprint in self._opened.keys() - wanted:
            del self._opened[fingerprint]

    def do(self, data: bytes, heartbeat: Heartbeat) -> dict[str, Any]:
        """Run the job that `dump_job` made."""
        assert self._plan is not None, "a worker is sent the plan before the first job"
        job = load_job(data, self._plan)
        if isinstance(job, Task) and job.guarded:
            parcel = TaskParcel(plan=self._pickled_plan, job=data)
            with SandboxCalls(parcel, job.plan.recipe.limits, heartbeat) as calls:
                result = run_job(job, self._opened, heartbeat, calls)
        else:
            result = run_job(job, self._opened, heartbeat)
        return result | {"peak_memory_bytes": peak_memory_bytes()}

    def answer(self, data: bytes, heartbeat: Heartbeat) -> tuple[str, Any]:
        """('done', result) or ('failed', TamisError)."""
        try:
            return "done", self.do(data, heartbeat)
        except TamisError as error:
            return "failed", error
        except BaseException as error:  # noqa: BLE001 - carried to the parent, which raises it there
            return "failed", UnexpectedError.of(error)


class SharedState:
    """Two numbers that the parent reads while the worker works, in shared memory."""

    def __init__(self, context: Any) -> None:
        self.numbers = context.RawArray("d", 2)

    def set(self, rows_done: int) -> None:
        self.numbers[0], self.numbers[1] = rows_done, time.monotonic()

    def clear(self) -> None:
        """A job was given, and nothing of it has begun."""
        self.numbers[0], self.numbers[1] = 0, 0.0

    def get(self) -> tuple[int, float]:
        """(rows done, monotonic seconds when set or 0 when nothing has begun)."""
        return int(self.numbers[0]), self.numbers[1]


class SharedHeartbeat(Heartbeat):
    """Writes into the shared state."""

    def __init__(self, state: SharedState) -> None:
        self._state, self._rows = state, 0

    def batch(self, rows_done: int) -> None:
        self._rows = rows_done
        self._state.set(rows_done)

    def alive(self) -> None:
        self._state.set(self._rows)


def main(pipe: Connection, lifeline: Connection, state: SharedState, environment: Mapping[str, str]) -> None:
    """Receive ('plan', bytes) and ('job', bytes); answer each job as `Workbench.answer`; end when the pipe closes.

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
        else:
            pipe.send(workbench.answer(data, SharedHeartbeat(state)))
