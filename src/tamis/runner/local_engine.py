"""Local engine: a pool of worker processes that survives hostile rows.

A batch that hangs or kills its worker is tried again row by row; a row that then hangs or kills the worker is
quarantined. A page costs a row, not a run.
"""

import multiprocessing as mp
import pickle
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from tamis.base.errors import DataError
from tamis.runner import worker
from tamis.runner.jobs import Job
from tamis.runner.plan import Plan
from tamis.runner.task import Task

POLL_SECONDS = 0.25
MAX_POISON_ROWS = 50
"""Per shard; more than this is no hostile page but a broken machine or stage."""

OnFinish = Callable[[Job, dict[str, Any], float], None]
OnRetry = Callable[[Job, str], None]
OnProgress = Callable[[int], None]


@dataclass
class _Worker:
    process: Any
    pipe: Connection
    lifeline: Connection
    state: worker.SharedState
    job: Job | None = None
    started: float = 0.0

    def give(self, job: Job) -> None:
        self.job, self.started = job, time.monotonic()
        self.state.set(0, 0, "")
        self.pipe.send_bytes(worker.dump_job(job))

    def stop(self) -> None:
        self.process.kill()
        self.process.join()
        self.pipe.close()
        self.lifeline.close()


class LocalEngine:
    """Runs a plan's jobs on `num_workers` processes. Use as a context manager; leaving it stops the workers."""

    def __init__(self, plan: Plan, num_workers: int) -> None:
        self.num_workers, self._limits = num_workers, plan.recipe.limits
        self._plan = pickle.dumps(plan)
        self._context = mp.get_context("forkserver")
        self._context.set_forkserver_preload(["tamis.runner.worker"])
        self._workers: list[_Worker] = []

    def __enter__(self) -> "LocalEngine":
        return self

    def __exit__(self, *_: object) -> None:
        for one in self._workers:
            one.stop()
        self._workers.clear()

    def run(self, jobs: Sequence[Job], on_finish: OnFinish, on_retry: OnRetry, on_progress: OnProgress) -> None:
        """Run all jobs; the first failure is raised once the jobs in flight have ended or been stopped.

        `on_progress` gets the rows done in the jobs now in flight.
        """
        queue = deque(jobs)
        while len(self._workers) < min(self.num_workers, len(jobs)):
            self._start()
        idle, busy = list(self._workers), list[_Worker]()
        while queue or busy:
            while queue and idle:
                one = idle.pop()
                one.give(queue.popleft())
                busy.append(one)
            ready = wait([one.pipe for one in busy], timeout=POLL_SECONDS)
            for one in list(busy):
                again = self._attend(one, one.pipe in ready, on_finish, on_retry)
                if one.job is None or again is not None:
                    busy.remove(one)
                    idle.append(one if one in self._workers else self._start())
                if again is not None:
                    queue.appendleft(again)
            on_progress(sum(one.state.get()[1] for one in busy))

    def _start(self) -> _Worker:
        ours, theirs = self._context.Pipe()
        end, lifeline = self._context.Pipe(duplex=False)
        state = worker.SharedState(self._context)
        process = self._context.Process(target=worker.main, args=(theirs, end, state), daemon=True)
        process.start()
        theirs.close()
        end.close()
        ours.send_bytes(self._plan)
        one = _Worker(process, ours, lifeline, state)
        self._workers.append(one)
        return one

    def _attend(self, one: _Worker, ready: bool, on_finish: OnFinish, on_retry: OnRetry) -> Job | None:
        """Take a finished worker's answer, or look after one that died or hangs. Returns a job to try again."""
        assert one.job is not None
        if ready:
            try:
                kind, answer = one.pipe.recv()
            except (EOFError, ConnectionResetError):
                one.process.join()
                return self._try_again(one, f"the worker died (exit code {one.process.exitcode})", on_retry)
            job, one.job = one.job, None
            if kind == "failed":
                raise answer
            on_finish(job, answer, time.monotonic() - one.started)
            return None
        trouble = self._trouble(one)
        return self._try_again(one, trouble, on_retry) if trouble else None

    def _trouble(self, one: _Worker) -> str:
        """Why this worker must be stopped, or ''."""
        if not isinstance(one.job, Task):
            return ""
        _, _, since, row_id = one.state.get()
        limit = self._limits.row_seconds if row_id else self._limits.batch_seconds
        if time.monotonic() - since > limit:
            return f"took longer than {limit:g} seconds"
        resident = _resident_bytes(one.process.pid)
        if resident > self._limits.worker_memory_gb * 2**30:
            return f"took more than {self._limits.worker_memory_gb:g} GB of memory"
        return ""

    def _try_again(self, one: _Worker, trouble: str, on_retry: OnRetry) -> Job:
        """The job to run instead: the same one, more carefully."""
        job = one.job
        batch, _, _, row_id = one.state.get()
        one.stop()
        self._workers.remove(one)
        if not isinstance(job, Task):
            raise DataError(f"a group decision failed: {trouble}. Give the run more memory, or more buckets.")
        if row_id:
            poison = {**job.poison, row_id: trouble}
            if row_id in job.poison or len(poison) > MAX_POISON_ROWS:
                raise DataError(f"{job.shard.uri}: gave up after {len(poison)} rows each {trouble}; last one {row_id}.")
            on_retry(job, f"row {row_id} {trouble}: it will be quarantined")
            return replace(job, poison=poison, careful=job.careful | {batch})
        if batch in job.careful:
            raise DataError(f"{job.shard.uri}: batch {batch} {trouble} even row by row. Re-run to try again.")
        on_retry(job, f"batch {batch} {trouble}: trying it row by row")
        return replace(job, careful=job.careful | {batch})


def _resident_bytes(pid: int | None) -> int:
    """Resident memory of a process where the system tells it (Linux), else 0."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096
    except (OSError, IndexError):
        return 0
