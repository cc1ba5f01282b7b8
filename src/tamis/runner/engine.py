"""What every engine does: hand jobs to workers, look after those that die or hang, survive hostile rows.

A batch that hangs or kills its worker is tried again row by row; a row that then hangs or kills the worker is
quarantined. A page costs a row, not a run. Where workers run is decided by each engine (`local_engine`,
`ray_engine`).
"""

import time
from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

from tamis.base.errors import DataError
from tamis.runner.jobs import Decide, Job
from tamis.runner.task import Task

POLL_SECONDS = 0.25
MAX_POISON_ROWS = 50
"""Per shard; more than this is no hostile page but a broken machine or stage."""
MAX_DECIDE_TRIES = 2
"""A decision whose worker died is tried once more: a node may have been lost."""

OnFinish = Callable[[Job, dict[str, Any], float], None]
OnRetry = Callable[[Job, str], None]
OnProgress = Callable[[int], None]


@dataclass(frozen=True, kw_only=True)
class Pulse:
    """Progress of a worker: number of the batch, rows of its job done, seconds since it said so, the row that it tries
    alone or '', and its resident memory (0 where that is not known)."""

    batch: int = 0
    rows_done: int = 0
    age_seconds: float = 0.0
    row_id: str = ""
    resident_bytes: int = 0


class Worker(ABC):
    """One process that does one job at a time."""

    job: Job | None = None
    started: float = 0.0

    @abstractmethod
    def give(self, job: Job) -> None: ...

    @abstractmethod
    def answer(self) -> tuple[str, Any] | None:
        """('done', result), ('failed', error) or ('died', how), or None while it works."""

    @abstractmethod
    def pulse(self) -> Pulse: ...

    @abstractmethod
    def stop(self) -> None: ...


class Engine(ABC):
    """Runs jobs, of any plan, on `num_workers` workers. Use as a context manager; leaving it stops them."""

    def __init__(self, num_workers: int) -> None:
        self.num_workers = num_workers
        self._workers: list[Worker] = []
        self._tries = Counter[str]()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers:
            worker.stop()
        self._workers.clear()

    @abstractmethod
    def start(self) -> Worker:
        """A new worker."""

    @abstractmethod
    def wait(self, busy: Sequence[Any]) -> None:
        """Return when a worker has an answer, or after `POLL_SECONDS`."""

    def run(self, jobs: Sequence[Job], on_finish: OnFinish, on_retry: OnRetry, on_progress: OnProgress) -> None:
        """Run all jobs; the first failure is raised once the jobs in flight have ended or been stopped.

        `on_progress` gets the rows done in the jobs now in flight.
        """
        queue = deque(jobs)
        while len(self._workers) < min(self.num_workers, len(jobs)):
            self._add()
        idle, busy = list(self._workers), list[Worker]()
        while queue or busy:
            while queue and idle:
                worker = idle.pop()
                job = queue.popleft()
                worker.job, worker.started = job, time.monotonic()
                worker.give(job)
                busy.append(worker)
            self.wait(busy)
            for worker in list(busy):
                again = self._attend(worker, on_finish, on_retry)
                if worker.job is None or again is not None:
                    busy.remove(worker)
                    idle.append(worker if worker in self._workers else self._add())
                if again is not None:
                    queue.appendleft(again)
            on_progress(sum(worker.pulse().rows_done for worker in busy))

    def _add(self) -> Worker:
        worker = self.start()
        self._workers.append(worker)
        return worker

    def _attend(self, worker: Worker, on_finish: OnFinish, on_retry: OnRetry) -> Job | None:
        """Take a finished worker's answer, or look after one that died or hangs. Returns a job to try again."""
        assert worker.job is not None
        answered = worker.answer()
        if answered is None:
            trouble = self._trouble(worker)
            return self._try_again(worker, trouble, on_retry) if trouble else None
        kind, answer = answered
        if kind == "died":
            return self._try_again(worker, answer, on_retry)
        job, worker.job = worker.job, None
        if kind == "failed":
            raise answer
        on_finish(job, answer, time.monotonic() - worker.started)
        return None

    def _trouble(self, worker: Worker) -> str:
        """Why this worker must be stopped, or ''."""
        if not isinstance(worker.job, Task):
            return ""
        pulse, limits = worker.pulse(), worker.job.plan.recipe.limits
        limit = limits.row_seconds if pulse.row_id else limits.batch_seconds
        if pulse.age_seconds > limit:
            return f"took longer than {limit:g} seconds"
        if pulse.resident_bytes > limits.worker_memory_gb * 2**30:
            return f"took more than {limits.worker_memory_gb:g} GB of memory"
        return ""

    def _try_again(self, worker: Worker, trouble: str, on_retry: OnRetry) -> Job:
        """The job to run instead: the same one, more carefully."""
        job, pulse = worker.job, worker.pulse()
        worker.stop()
        self._workers.remove(worker)
        if isinstance(job, Decide):
            self._tries[job.fingerprint] += 1
            if self._tries[job.fingerprint] == MAX_DECIDE_TRIES:
                raise DataError(f"a group decision failed: {trouble}. Give the run more memory, or more buckets.")
            on_retry(job, f"{trouble}: deciding once more")
            return job
        assert job is not None
        if pulse.row_id:
            poison = {**job.poison, pulse.row_id: trouble}
            if pulse.row_id in job.poison or len(poison) > MAX_POISON_ROWS:
                raise DataError(
                    f"{job.shard.uri}: gave up after {len(poison)} rows each {trouble}; last one {pulse.row_id}."
                )
            on_retry(job, f"row {pulse.row_id} {trouble}: it will be quarantined")
            return replace(job, poison=poison, careful=job.careful | {pulse.batch})
        if pulse.batch in job.careful:
            raise DataError(f"{job.shard.uri}: batch {pulse.batch} {trouble} even row by row. Re-run to try again.")
        on_retry(job, f"batch {pulse.batch} {trouble}: trying it row by row")
        return replace(job, careful=job.careful | {pulse.batch})
