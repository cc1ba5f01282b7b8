"""The two kinds of job an engine runs: a shard through a pass, and a group's decision on one bucket or on all."""

import io
import pickle
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import orjson
import pyarrow as pa

from tamis.base.errors import DataError
from tamis.base.stage import Group, Sketches
from tamis.runner.calls import DirectCalls, Heartbeat, Opened, StageCalls, opened, stage_dir
from tamis.runner.ledger import (
    DamagedError,
    Record,
    complete_record,
    describe_outputs,
    read_record,
    verify,
    write_record,
)
from tamis.runner.plan import Plan, Step
from tamis.runner.rounds import Round, StoredFindings, rounds_of
from tamis.runner.task import Task, run_task
from tamis.store.location import Location
from tamis.store.rundir import StageDir
from tamis.store.shards import num_rows_of, read_row_groups, read_table, schema_of, write_partitioned, write_table
from tamis.store.workspace import Workspace


@dataclass(frozen=True, kw_only=True)
class Decide:
    """One bucket of a round of decisions of the group that pass `number` feeds; `combine` is bucket ALL of round 1."""

    plan: Plan
    workspace: Workspace
    number: int
    bucket: int
    round_number: int = 0

    @property
    def key(self) -> tuple[object, ...]:
        """Tells it from every other job."""
        return (self.plan.key, "decide", self.number, self.round_number, self.bucket)

    @property
    def step(self) -> Step:
        step = self.plan.passes[self.number - 1].sketch
        assert step is not None
        return step

    @property
    def rounds(self) -> list[Round]:
        assert isinstance(self.step.stage, Group)
        return rounds_of(self.step.stage, len(self.plan.shards))

    @property
    def round(self) -> Round:
        return next(one for one in self.rounds if one.number == self.round_number)

    @property
    def folder(self) -> StageDir:
        return stage_dir(self.workspace, self.step)

    @property
    def record_place(self) -> Location:
        return self.round.record(self.folder, self.bucket)

    @property
    def fingerprint(self) -> str:
        return self.plan.decide_fingerprint(self.step, self.round_number, self.bucket)

    def is_done(self) -> bool:
        return complete_record(self.folder.root, self.record_place, self.fingerprint) is not None


DAMAGED = "damaged"
"""Field of a job's answer: what it found damaged of its inputs."""
Job = Task | Decide


class StoredSketches(Sketches):
    """The sketch files of one group, and in `documents` what was sketched. `check` is called before the first sketch is
    read."""

    def __init__(
        self, folder: StageDir, num_shards: int, documents: StageDir, check: Callable[[], None] = lambda: None
    ) -> None:
        self._folder, self._documents, self._check = folder, documents, check
        self.num_shards = num_shards

    @cached_property
    def _places(self) -> list[Location]:
        self._check()
        return [self._folder.sketch(index) for index in range(self.num_shards)]

    @cached_property
    def num_lines(self) -> int:  # type: ignore[override]
        return sum(num_rows_of(place) for place in self._places if place.exists())

    def documents(self, shard: int, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        verify(self._documents.root, self._documents.task(shard), ("shards/",))
        if self._documents.shard(shard).exists():
            yield from read_row_groups(self._documents.shard(shard), columns)

    def batches(self, columns: Sequence[str], shards: Sequence[int] | None = None) -> Iterator[pa.RecordBatch]:
        for index in range(self.num_shards) if shards is None else shards:
            if self._places[index].exists():
                yield from read_row_groups(self._places[index], columns)

    def schema(self, columns: Sequence[str]) -> pa.Schema:
        place = next(place for place in self._places if place.exists())
        whole = schema_of(place)
        return pa.schema([whole.field(name).remove_metadata() for name in columns])


def run_job(job: Job, cache: Opened, heartbeat: Heartbeat, calls: StageCalls | None = None) -> dict[str, Any]:
    """Do one job and publish its result; safe to repeat. `calls`: how a task calls stages, if not in this process.

    Where stored files that it needs are damaged, nothing is published, and the answer names them.
    """
    try:
        if isinstance(job, Task):
            return run_task(job, calls or DirectCalls(job.place, cache), heartbeat)
        return run_decide(job, cache)
    except DamagedError as error:
        return {"rows": 0, DAMAGED: error.damages}


class _JobPickler(pickle.Pickler):
    def persistent_id(self, obj: Any) -> str | None:
        return obj.key if isinstance(obj, Plan) else None


class _JobUnpickler(pickle.Unpickler):
    def __init__(self, data: bytes, plan: Plan) -> None:
        super().__init__(io.BytesIO(data))
        self._plan = plan

    def persistent_load(self, pid: Any) -> Plan:
        assert pid == self._plan.key, "the job is not of this plan"
        return self._plan


def dump_job(job: Job) -> bytes:
    """A job without its plan, which every worker is sent once: plans list every shard of the pool."""
    buffer = io.BytesIO()
    _JobPickler(buffer).dump(job)
    return buffer.getvalue()


def load_job(data: bytes, plan: Plan | bytes) -> Job:
    """The job that `dump_job` made, with its plan, which may be pickled."""
    job: Job = _JobUnpickler(data, pickle.loads(plan) if isinstance(plan, bytes) else plan).load()
    return job


def run_decide(job: Decide, cache: Opened) -> dict[str, Any]:
    """Let the group decide, publish. Returns the lines it had to decide on (in a later round, found) as `rows`."""
    folder, seed, name = job.folder, job.plan.recipe.seed, f"bucket {job.bucket}"
    group = opened(job.step, seed, job.workspace, cache)
    assert isinstance(group, Group)
    documents = stage_dir(job.workspace, job.plan.passes[job.number - 1].output)
    sketches = StoredSketches(folder, len(job.plan.shards), documents, lambda: _check_sketches(job, folder))
    context = job.step.context(seed, job.workspace)
    if job.round_number == 0:
        decisions = group.decide(job.bucket, sketches, context)
    elif job.round_number == 1:
        name, first = "all buckets", job.rounds[0]
        for bucket in first.buckets:
            verify(folder.root, first.record(folder, bucket))
        found = [read_table(first.findings(folder, bucket)) for bucket in first.buckets]
        decisions = group.combine(found, sketches, context)
    else:
        findings = StoredFindings(folder, job.rounds)
        decisions = group.decide_later(job.round_number, job.bucket, findings, sketches, context)
    path, partition = job.round.findings(folder, job.bucket), (decisions.schema.metadata or {}).get(b"partition")
    if partition is None:
        write_table(path, decisions)
    else:
        write_partitioned(path, decisions, partition.decode())
    outputs = describe_outputs(folder.root, [path])
    write_record(job.record_place, Record(fingerprint=job.fingerprint, shard=name, outputs=outputs))
    return {"rows": sketches.num_lines if job.round_number < 2 else decisions.num_rows}


def _check_sketches(job: Decide, folder: StageDir) -> None:
    """Raises DataError for a sketch that was made with other settings, or from other documents, than this plan's: put
    there by hand, or left by another version; DamagedError for one that is damaged."""
    this_pass = job.plan.passes[job.number - 1]
    for index, shard in enumerate(job.plan.shards):
        place = folder.sketch_task(index)
        record = read_record(place)
        if record is not None and record.fingerprint not in ("", job.plan.sketch_fingerprint(this_pass, shard)):
            raise DataError(
                f"{folder.sketch(index)}: this sketch of {shard.name} was made with other settings than the recipe's. "
                f"Delete {place} and run again to make it anew."
            )
        verify(folder.root, place)


def decision_details(path: Location) -> dict[str, Any]:
    """What the decision stored at `path` wants on the card (thresholds, model quality), or {}."""
    metadata = schema_of(path).metadata or {}
    return dict(orjson.loads(metadata.get(b"details", b"{}")))
