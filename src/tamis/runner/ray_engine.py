"""Ray engine: workers are actors of a Ray cluster. The jobs, and the bytes they leave, are those of the local engine.

The workspace must be a path that all nodes share, or on an object store, and Tamis installed on them. What each actor
is at is told to one more actor beside the driver. An actor that is lost, with its node or without, condemns no row: its
job is done again, and only a sandbox beside the actor that does it finds out whether a row was to blame.
"""

import os
import pickle
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

from tamis.base.errors import ConfigError, UnexpectedError, failure_text
from tamis.runner import worker
from tamis.runner.calls import Heartbeat
from tamis.runner.engine import POLL_SECONDS, Engine, Lost, Pulse, Worker
from tamis.runner.jobs import Job, dump_job

TELL_SECONDS = 1.0
"""Between two signs of life from a job that goes on with the same batch."""
PATIENCE = {
    "RAY_health_check_timeout_ms": "120000",
    "RAY_worker_register_timeout_seconds": "600",
    "RAY_gcs_server_port_wait_time_s": "300",
    "RAY_gcs_server_request_timeout_seconds": "300",
}
"""Settings, as environment variables, of a Ray that is started here: where many processes share few processors, it
would take a node or worker that has to wait for one to be dead. Those of a Ray that runs already are its own."""
START_TRIES = 3
"""Ray gives a node half a minute to start, however busy the machine is."""
BOARD_SECONDS = 10.0
"""How long the driver waits for the board at most."""


class Board:
    """What every worker is at: worker number -> (rows done, how often it was told)."""

    def __init__(self) -> None:
        self._entries: dict[int, tuple[int, int]] = {}

    def tell(self, number: int, rows_done: int) -> None:
        count = self._entries[number][1] + 1 if number in self._entries else 1
        self._entries[number] = (rows_done, count)

    def read(self, number: int) -> tuple[int, int] | None:
        return self._entries.get(number)

    def forget(self, number: int) -> None:
        self._entries.pop(number, None)


class BoardHeartbeat(Heartbeat):
    """Tells the board, and does not wait until it knows."""

    def __init__(self, board: Any, number: int) -> None:
        self._board, self._number, self._rows, self._told = board, number, 0, 0.0

    def batch(self, rows_done: int) -> None:
        self._rows = rows_done
        self._tell()

    def alive(self) -> None:
        if time.monotonic() - self._told > TELL_SECONDS:
            self._tell()

    def _tell(self) -> None:
        self._told = time.monotonic()
        self._board.tell.remote(self._number, self._rows)


class Actor:
    """Lives in a worker process of the cluster and does one job at a time."""

    def __init__(self, board: Any, number: int) -> None:
        self._workbench, self._board, self._number = worker.Workbench(), board, number

    def node(self) -> str:
        """The id of the node that it lives on."""
        import ray

        return str(ray.get_runtime_context().get_node_id())

    def add_plan(self, plan: bytes) -> None:
        self._workbench.add_plan(plan)

    def do(self, job: bytes) -> tuple[str, Any]:
        """('done', result) or ('failed', error)."""
        return self._workbench.answer(job, BoardHeartbeat(self._board, self._number))


class RayWorker(Worker):
    """An actor as the driver sees it."""

    def __init__(self, ray: Any, actor: Any, board: Any, number: int, plans: dict[str, Any]) -> None:
        self._ray, self._actor, self._board, self._number, self._plans = ray, actor, board, number, plans
        self.reference: Any = None
        self._node = actor.node.remote()
        self._plan_key = ""
        self._told, self._heard = 0, time.monotonic()

    def give(self, job: Job) -> bool:
        self._board.forget.remote(self._number)
        self._told, self._heard = 0, time.monotonic()
        if self._plan_key != job.plan.key:
            self._plan_key = job.plan.key
            if job.plan.key not in self._plans:
                self._plans[job.plan.key] = self._ray.put(pickle.dumps(job.plan))
            self._actor.add_plan.remote(self._plans[job.plan.key])
        self.reference = self._actor.do.remote(dump_job(job))
        return True

    def answer(self) -> tuple[str, Any] | Lost | None:
        ready, _ = self._ray.wait([self.reference], timeout=0)
        if not ready:
            return None
        try:
            kind, answer = self._ray.get(self.reference)
        except self._ray.exceptions.RayTaskError as error:
            return "failed", UnexpectedError(failure_text(error.cause or error), str(error))
        except self._ray.exceptions.RayError as error:  # of the actor, of its node, or of the way to them
            return Lost(how="the worker died", with_its_node=self._is_node_lost() or "node has died" in str(error))
        return kind, answer

    def _is_node_lost(self) -> bool:
        """Whether the node is gone on which the actor was, or was to be, as far as Ray knows by now."""
        try:
            ready, _ = self._ray.wait([self._node], timeout=0)
            here = self._ray.get(self._node) if ready else None
        except self._ray.exceptions.RayError:
            return True  # the actor never came to life
        return here is not None and any(node["NodeID"] == here and not node["Alive"] for node in self._ray.nodes())

    def pulse(self) -> Pulse:
        try:
            entry = self._ray.get(self._board.read.remote(self._number), timeout=BOARD_SECONDS)
        except (self._ray.exceptions.RayActorError, self._ray.exceptions.GetTimeoutError):
            entry = None  # the board is being started again, or has no time: nothing follows from that
        if entry is None:  # not begun: the actor is being started, or loads a model
            self._heard = time.monotonic()
            return Pulse()
        rows_done, told = entry
        if told != self._told:
            self._told, self._heard = told, time.monotonic()
        return Pulse(begun=True, rows_done=rows_done, age_seconds=time.monotonic() - self._heard)

    def stop(self) -> None:
        self._ray.kill(self._actor)


def _start(ray: Any) -> None:
    """Connect to the cluster at RAY_ADDRESS, or start one. Raises ConfigError."""
    for name, value in PATIENCE.items():
        os.environ.setdefault(name, value)
    for attempt in range(1, START_TRIES + 1):
        try:
            # Without an address, Ray would join whatever cluster was started on this machine last.
            address = os.environ.get("RAY_ADDRESS") or "local"
            ray.init(address, log_to_driver=False, logging_level="ERROR", include_dashboard=False)
            return
        except Exception as error:  # a node that is slow to start is a bare Exception there
            if isinstance(error, ConnectionError) or attempt == START_TRIES:
                raise ConfigError(
                    f"--engine ray: no cluster could be reached or started ({failure_text(error)}). Check RAY_ADDRESS, "
                    "or leave it unset to start one here."
                ) from error
            ray.shutdown()


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
            _start(ray)
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        self._board = ray.remote(num_cpus=0, scheduling_strategy=here, max_restarts=-1)(Board).remote()
        # They claim no processor: as many as were asked for run, however few nodes are left.
        self._actor = ray.remote(num_cpus=0)(Actor)
        self._placed = Counter[str]()
        self._plans: dict[str, Any] = {}
        self._started = 0

    def __exit__(self, *details: object) -> None:
        super().__exit__(*details)
        if self._started_ray:
            self._ray.shutdown()

    def start(self) -> RayWorker:
        self._started += 1
        actor = self._actor.options(scheduling_strategy=self._place()).remote(self._board, self._started)
        return RayWorker(self._ray, actor, self._board, self._started, self._plans)

    def _place(self) -> Any:
        """The node with the fewest workers for its processors. Ray's own strategy SPREAD puts actors that claim no
        processor on one node as soon as the others are slow to report; it decides only when that node is lost."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        processors = {node["NodeID"]: node["Resources"].get("CPU", 0.0) for node in self._ray.nodes() if node["Alive"]}
        chosen = min(sorted(processors), key=lambda name: (self._placed[name] + 1) / (processors[name] or 1e-9))
        self._placed[chosen] += 1
        return NodeAffinitySchedulingStrategy(chosen, soft=True)

    def wait(self, busy: Sequence[RayWorker]) -> None:
        self._ray.wait([one.reference for one in busy], timeout=POLL_SECONDS)
