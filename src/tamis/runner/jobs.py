"""The two kinds of job an engine runs: a shard through a pass, and a group's decision on one bucket or on all."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
import pyarrow as pa

from tamis.base.errors import DataError
from tamis.base.stage import Group, Sketches
from tamis.runner.lane import Heartbeat, Opened, opened, stage_dir
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
from tamis.runner.task import Task, run_task
from tamis.store.location import Location
from tamis.store.rundir import StageDir
from tamis.store.shards import num_rows_of, read_row_groups, read_table, schema_of, write_table
from tamis.store.workspace import Workspace


@dataclass(frozen=True, kw_only=True)
class Decide:
    """One bucket of the group that pass `number` feeds, or, as bucket ALL, the decision from what all buckets found."""

    plan: Plan
    workspace: Workspace
    number: int
    bucket: int

    @property
    def step(self) -> Step:
        step = self.plan.passes[self.number - 1].sketch
        assert step is not None
        return step

    @property
    def combines(self) -> bool:
        return self.bucket == ALL

    @property
    def folder(self) -> StageDir:
        return stage_dir(self.workspace, self.step)

    @property
    def record_place(self) -> Location:
        return self.folder.combine_task if self.combines else self.folder.decide_task(self.bucket)

    @property
    def fingerprint(self) -> str:
        return self.plan.decide_fingerprint(self.step, self.bucket)

    def is_done(self) -> bool:
        return complete_record(self.folder.root, self.record_place, self.fingerprint) is not None


ALL = -1
DAMAGED = "damaged"
"""Field of a job's answer: what it found damaged of its inputs."""
Job = Task | Decide


class StoredSketches(Sketches):
    """The sketch files of one group."""

    def __init__(self, folder: StageDir, num_shards: int) -> None:
        self._places = [folder.sketch(index) for index in range(num_shards)]
        self.num_shards = num_shards
        self.num_lines = sum(num_rows_of(place) for place in self._places if place.exists())

    def batches(self, columns: Sequence[str], shards: Sequence[int] | None = None) -> Iterator[pa.RecordBatch]:
        for index in range(self.num_shards) if shards is None else shards:
            if self._places[index].exists():
                yield from read_row_groups(self._places[index], columns)

    def schema(self, columns: Sequence[str]) -> pa.Schema:
        place = next(place for place in self._places if place.exists())
        whole = schema_of(place)
        return pa.schema([whole.field(name).remove_metadata() for name in columns])


def run_job(job: Job, cache: Opened, heartbeat: Heartbeat) -> dict[str, Any]:
    """Do one job and publish its result; safe to repeat. Where stored files that it needs are damaged, nothing is
    published, and the answer names them."""
    try:
        return run_task(job, cache, heartbeat) if isinstance(job, Task) else run_decide(job, cache)
    except DamagedError as error:
        return {"rows": 0, DAMAGED: error.damages}


def run_decide(job: Decide, cache: Opened) -> dict[str, Any]:
    """Let the group decide, publish. Returns the lines it had to decide on as `rows`."""
    folder, seed = job.folder, job.plan.recipe.seed
    group = opened(job.step, seed, job.workspace, cache)
    assert isinstance(group, Group)
    _check_sketches(job, folder)
    sketches = StoredSketches(folder, len(job.plan.shards))
    context = job.step.context(seed, job.workspace)
    if job.combines:
        path, name = folder.combined, "all buckets"
        for bucket in range(group.num_buckets):
            verify(folder.root, folder.decide_task(bucket))
        found = [read_table(folder.decisions(bucket)) for bucket in range(group.num_buckets)]
        decisions = group.combine(found, sketches, context)
    else:
        path, name = folder.decisions(job.bucket), f"bucket {job.bucket}"
        decisions = group.decide(job.bucket, sketches, context)
    write_table(path, decisions)
    outputs = describe_outputs(folder.root, [path])
    write_record(job.record_place, Record(fingerprint=job.fingerprint, shard=name, outputs=outputs))
    return {"rows": sketches.num_lines}


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
