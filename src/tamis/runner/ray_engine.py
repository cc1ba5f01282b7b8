"""Ray engine: workers are actors of a Ray cluster. The jobs, and the bytes they leave, are those of the local engine.

The workspace must be a path that all nodes share, or on an object store, and Tamis installed on them. What each actor
is at is told to one more actor beside the driver, so that it can be asked when the worker is lost: with its node, and
the job is done again, or by a hostile row, and the row is found. Memory is Ray's to watch.
"""

import pickle
import time
from collections.abc import Sequence
from typing import Any

from tamis.base.errors import ConfigError, TamisError
from tamis.runner import worker
from tamis.runner.engine import POLL_SECONDS, Engine, Pulse, Worker
from tamis.runner.jobs import Job
from tamis.runner.lane import Heartbeat


class Board:
    """What every worker is at: worker number -> (batch, rows done, row id, how often it was told)."""

    def __init__(self) -> None:
        self._entries: dict[int, tuple[int, int, str, int]] = {}

    def tell(self, number: int, batch: int, rows_done: int, row_id: str) -> None:
        count = self._entries[number][3] + 1 if number in self._entries else 1
        self._entries[number] = (batch, rows_done, row_id, count)

    def read(self, number: int) -> tuple[int, int, str, int] | None:
        return self._entries.get(number)

    def forget(self, number: int) -> None:
        self._entries.pop(number, None)


class BoardHeartbeat(Heartbeat):
    """Tells the board, and waits until it knows: what comes next may kill this process."""

    def __init__(self, board: Any, number: int) -> None:
        self._board, self._number, self._batch, self._rows = board, number, 0, 0

    def batch(self, number: int, rows_done: int) -> None:
        self._batch, self._rows = number, rows_done
        self._tell("")

    def row(self, row_id: str) -> None:
        self._tell(row_id)

    def _tell(self, row_id: str) -> None:
        import ray

        ray.get(self._board.tell.remote(self._number, self._batch, self._rows, row_id))


class Actor:
    """Lives in a worker process of the cluster and does one job at a time."""

    def __init__(self, board: Any, number: int) -> None:
        self._workbench, self._board, self._number = worker.Workbench(), board, number

    def add_plan(self, plan: bytes) -> None:
        self._workbench.add_plan(plan)

    def do(self, job: bytes) -> tuple[str, Any]:
        """('done', result) or ('failed', error)."""
        try:
            return "done", self._workbench.do(job, BoardHeartbeat(self._board, self._number))
        except TamisError as error:
            return "failed", error


class RayWorker(Worker):
    """An actor as the driver sees it."""

    def __init__(self, ray: Any, actor: Any, board: Any, number: int, plans: dict[str, Any]) -> None:
        self._ray, self._actor, self._board, self._number, self._plans = ray, actor, board, number, plans
        self.reference: Any = None
        self._plan_key = ""
        self._told, self._heard = 0, time.monotonic()

    def give(self, job: Job) -> None:
        self._board.forget.remote(self._number)
        self._told, self._heard = 0, time.monotonic()
        if self._plan_key != job.plan.key:
            self._plan_key = job.plan.key
            if job.plan.key not in self._plans:
                self._plans[job.plan.key] = self._ray.put(pickle.dumps(job.plan))
            self._actor.add_plan.remote(self._plans[job.plan.key])
        self.reference = self._actor.do.remote(worker.dump_job(job))

    def answer(self) -> tuple[str, Any] | None:
        ready, _ = self._ray.wait([self.reference], timeout=0)
        if not ready:
            return None
        try:
            kind, answer = self._ray.get(self.reference)
        except self._ray.exceptions.RayActorError:
            return "died", "the worker died"
        except self._ray.exceptions.RayTaskError as error:
            return "failed", RuntimeError(str(error))
        return kind, answer

    def pulse(self) -> Pulse:
        entry = self._ray.get(self._board.read.remote(self._number))
        if entry is None:  # not begun: the actor is being started, or loads a model
            self._heard = time.monotonic()
            return Pulse()
        batch, rows_done, row_id, told = entry
        if told != self._told:
            self._told, self._heard = told, time.monotonic()
        return Pulse(batch=batch, rows_done=rows_done, age_seconds=time.monotonic() - self._heard, row_id=row_id)

    def stop(self) -> None:
        self._ray.kill(self._actor)


class RayEngine(Engine):
    """`num_workers` actors on the cluster at RAY_ADDRESS, or on a Ray started here for this run.

    Raises ConfigError when Ray is not installed.
    """

    def __init__(self, num_workers: int) -> None:
        super().__init__(num_workers)
        try:
            import ray
            from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
        except ImportError:
            raise ConfigError("--engine ray: Ray is not installed: pip install 'tamis[ray]'") from None
        self._ray = ray
        self._started_ray = not ray.is_initialized()
        if self._started_ray:
            ray.init(log_to_driver=False, logging_level="ERROR", include_dashboard=False)
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        self._board = ray.remote(num_cpus=0, scheduling_strategy=here)(Board).remote()
        # They claim no processor: as many as were asked for run, spread over the nodes, however many of those are left.
        self._actor = ray.remote(num_cpus=0, scheduling_strategy="SPREAD")(Actor)
        self._plans: dict[str, Any] = {}
        self._started = 0

    def __exit__(self, *details: object) -> None:
        super().__exit__(*details)
        if self._started_ray:
            self._ray.shutdown()

    def start(self) -> RayWorker:
        self._started += 1
        actor = self._actor.remote(self._board, self._started)
        return RayWorker(self._ray, actor, self._board, self._started, self._plans)

    def wait(self, busy: Sequence[RayWorker]) -> None:
        self._ray.wait([one.reference for one in busy], timeout=POLL_SECONDS)
