"""What every engine does: hand jobs to workers, and do a job again when its worker dies or hangs.

The second time, the job is guarded: it calls stages in a sandbox, which finds the rows that are to blame. A worker that
is lost then was lost for a reason outside of the job, and the job is given to another one. Where workers run is decided
by each engine (`local_engine`, `ray_engine`).
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
MAX_LOSSES = 20
"""So many workers may be lost with one job, for whatever reason: nodes that go, a system that is short of memory."""
MAX_DECIDE_DEATHS = 4
"""So often a worker may die of a group decision that no lost node explains."""

OnFinish = Callable[[Job, dict[str, Any], float], None]
OnRetry = Callable[[Job, str], None]
OnProgress = Callable[[int], None]


@dataclass(frozen=True, kw_only=True)
class Pulse:
    """Progress of a worker: whether its job has begun (models are loaded), the rows of it that are done, seconds since
    it said so, and its resident memory (0 where that is not known)."""

    begun: bool = False
    rows_done: int = 0
    age_seconds: float = 0.0
    resident_bytes: int = 0


@dataclass(frozen=True, kw_only=True)
class Lost:
    """A worker that is gone, or has to go. `with_its_node`: where the job is certainly not to blame."""

    how: str
    with_its_node: bool = False


class Worker(ABC):
    """One process that does one job at a time."""

    job: Job | None = None
    started: float = 0.0

    @abstractmethod
    def give(self, job: Job) -> bool:
        """False when it is known to be dead already: the job has not been given."""

    @abstractmethod
    def answer(self) -> tuple[str, Any] | Lost | None:
        """('done', result), ('failed', error), how it was lost, or None while it works."""

    @abstractmethod
    def pulse(self) -> Pulse: ...

    @abstractmethod
    def stop(self) -> None: ...


class Engine(ABC):
    """Runs jobs, of any plan, on `num_workers` workers. Use as a context manager; leaving it stops them."""

    def __init__(self, num_workers: int) -> None:
        self.num_workers = num_workers
        self._workers: list[Worker] = []
        self._losses = Counter[tuple[object, ...]]()
        self._deaths = Counter[tuple[object, ...]]()

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
                busy.append(self._give(idle.pop(), queue.popleft()))
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

    def _give(self, worker: Worker, job: Job) -> Worker:
        """The worker that has the job now: another one, where this one died while it was idle."""
        while not worker.give(job):
            self._drop(worker)
            worker = self._add()
        worker.job, worker.started = job, time.monotonic()
        return worker

    def _drop(self, worker: Worker) -> None:
        worker.stop()
        self._workers.remove(worker)

    def _attend(self, worker: Worker, on_finish: OnFinish, on_retry: OnRetry) -> Job | None:
        """Take a finished worker's answer, or look after one that died or hangs. Returns a job to try again."""
        assert worker.job is not None
        answered = worker.answer()
        if answered is None:
            answered = self._trouble(worker)
        if answered is None:
            return None
        if isinstance(answered, Lost):
            return self._try_again(worker, answered, on_retry)
        kind, answer = answered
        job, worker.job = worker.job, None
        if kind == "failed":
            raise answer
        on_finish(job, answer, time.monotonic() - worker.started)
        return None

    def _trouble(self, worker: Worker) -> Lost | None:
        """Why this worker must be stopped, if it must."""
        if not isinstance(worker.job, Task):
            return None
        pulse, limits = worker.pulse(), worker.job.plan.recipe.limits
        if pulse.age_seconds > limits.batch_seconds:
            return Lost(how=f"took longer than {limits.batch_seconds:g} seconds")
        if pulse.resident_bytes > limits.worker_memory_gb * 2**30:
            return Lost(how=f"took more than {limits.worker_memory_gb:g} GB of memory")
        return None

    def _try_again(self, worker: Worker, lost: Lost, on_retry: OnRetry) -> Job:
        """The job to run instead: the same one, guarded if it can be to blame."""
        job, begun = worker.job, worker.pulse().begun
        assert job is not None
        self._drop(worker)
        self._losses[job.key] += 1
        self._deaths[job.key] += not lost.with_its_node
        if self._losses[job.key] > MAX_LOSSES or (
            isinstance(job, Decide) and self._deaths[job.key] >= MAX_DECIDE_DEATHS
        ):
            raise _given_up(job, self._losses[job.key], lost.how)
        if isinstance(job, Task) and not job.guarded and not lost.with_its_node:
            again = begun or self._deaths[job.key] > 1
            on_retry(job, f"{lost.how}: trying again" + (", and looking for the row" if again else ""))
            return replace(job, guarded=again)
        on_retry(job, f"{lost.how}: trying again")
        return job


def _given_up(job: Job, losses: int, how: str) -> DataError:
    if isinstance(job, Decide):
        return DataError(
            f"{job.step.label}: a group decision failed {losses} times: {how}. Give the run more memory, or more "
            "buckets."
        )
    return DataError(
        f"{job.shard.uri}: gave up after {losses} workers were lost ({how}). Is the machine short "
        "of memory? Run again to go on: finished shards are kept."
    )
