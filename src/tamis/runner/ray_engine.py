"""Ray engine: workers are actors of a Ray cluster. The jobs, and the bytes they leave, are those of the local engine.

The run directory must be a path that all nodes share, and Tamis installed on them. There each actor also writes what it
is at, so that it can be read when the actor is lost: with its node, and the job is done again, or by a hostile row, and
the row is found. Memory is Ray's to watch.
"""

import os
import pickle
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tamis.base.errors import ConfigError, TamisError
from tamis.runner import worker
from tamis.runner.engine import POLL_SECONDS, Engine, Pulse, Worker
from tamis.runner.jobs import Job, run_job
from tamis.runner.lane import Heartbeat, Opened
from tamis.runner.plan import Plan

RECORD_BYTES = 256


class PulseFile(Heartbeat):
    """A record of fixed size, overwritten with every batch and every row that is tried alone."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT, 0o666)
        self._batch = self._rows = self._count = 0
        self._write("")

    def batch(self, number: int, rows_done: int) -> None:
        self._batch, self._rows = number, rows_done
        self._write("")

    def row(self, row_id: str) -> None:
        self._write(row_id)

    def _write(self, row_id: str) -> None:
        self._count += 1
        said = f"{self._count} {self._batch} {self._rows} {row_id}".encode()[:RECORD_BYTES]
        os.pwrite(self._file, said.ljust(RECORD_BYTES), 0)


class Actor:
    """Lives in a worker process of the cluster and does one job at a time."""

    def __init__(self, plan: bytes) -> None:
        self._plan: Plan = pickle.loads(plan)
        self._cache: Opened = {}

    def do(self, job: bytes, pulse: Path) -> tuple[str, Any]:
        """('done', result) or ('failed', error)."""
        try:
            result = run_job(worker.load_job(job, self._plan), self._cache, PulseFile(pulse))
        except TamisError as error:
            return "failed", error
        return "done", result | {"peak_memory_bytes": worker.peak_memory_bytes()}


class RayWorker(Worker):
    """An actor as the driver sees it."""

    def __init__(self, ray: Any, actor: Any) -> None:
        self._ray, self._actor = ray, actor
        self.reference: Any = None
        self._path: Path | None = None
        self._said, self._heard = b"", time.monotonic()

    def give(self, job: Job) -> None:
        self._forget()
        self._said, self._heard = b"", time.monotonic()
        self._path = job.run.root / f".pulse-{uuid.uuid4().hex}.tmp"
        self.reference = self._actor.do.remote(worker.dump_job(job), self._path)

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
        self._forget()
        return kind, answer

    def pulse(self) -> Pulse:
        try:
            said = self._path.read_bytes() if self._path else b""
        except FileNotFoundError:  # not begun: the actor is still being started
            said, self._heard = b"", time.monotonic()
        if said != self._said:
            self._said, self._heard = said, time.monotonic()
        if not said:
            return Pulse()
        _, batch, rows_done, row_id = said.decode("utf-8", "replace").split(" ", 3)
        age = time.monotonic() - self._heard
        return Pulse(batch=int(batch), rows_done=int(rows_done), age_seconds=age, row_id=row_id.rstrip())

    def stop(self) -> None:
        self._ray.kill(self._actor)
        self._forget()

    def _forget(self) -> None:
        if self._path is not None:
            self._path.unlink(missing_ok=True)
        self._path = None


class RayEngine(Engine):
    """`num_workers` actors on the cluster at RAY_ADDRESS, or on a Ray started here for this run.

    Raises ConfigError when Ray is not installed.
    """

    def __init__(self, plan: Plan, num_workers: int) -> None:
        super().__init__(plan, num_workers)
        try:
            import ray
        except ImportError:
            raise ConfigError("--engine ray: Ray is not installed: pip install 'tamis[ray]'") from None
        self._ray = ray
        self._started_ray = not ray.is_initialized()
        if self._started_ray:
            ray.init(log_to_driver=False, logging_level="ERROR", include_dashboard=False)
        self._plan = ray.put(pickle.dumps(plan))
        # They claim no processor: as many as were asked for run, spread over the nodes, however many of those are left.
        self._actor = ray.remote(num_cpus=0, scheduling_strategy="SPREAD")(Actor)

    def __exit__(self, *details: object) -> None:
        super().__exit__(*details)
        if self._started_ray:
            self._ray.shutdown()

    def start(self) -> RayWorker:
        return RayWorker(self._ray, self._actor.remote(self._plan))

    def wait(self, busy: Sequence[RayWorker]) -> None:
        self._ray.wait([one.reference for one in busy], timeout=POLL_SECONDS)
