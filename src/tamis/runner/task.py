"""The body of one task: one shard through one pass. Every engine runs this and nothing else."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from tamis.base import columns
from tamis.base.errors import ShardAgainError
from tamis.base.hosts import Hosts
from tamis.base.stage import InputShard
from tamis.runner.calls import Heartbeat, ShardPlace, StageCalls, stage_dir
from tamis.runner.lane import Lane, Sink
from tamis.runner.ledger import complete_record, verify
from tamis.runner.plan import Pass, Plan, Step
from tamis.runner.split import with_status
from tamis.store.rundir import StageDir
from tamis.store.shards import read_shard
from tamis.store.workspace import Workspace


@dataclass(frozen=True, kw_only=True)
class Task:
    """Shard `index` of the pool through pass `number`. A `guarded` one met trouble before: it calls stages in a
    `sandbox`, where a row that hangs or kills costs itself."""

    plan: Plan
    workspace: Workspace
    number: int
    index: int
    guarded: bool = False
    verified: bool = False
    """Whether the stored shard that it reads was compared with its digest already in this execution."""

    @property
    def key(self) -> tuple[object, ...]:
        """Tells it from every other job."""
        return (self.plan.key, "pass", self.number, self.index)

    @property
    def place(self) -> ShardPlace:
        return ShardPlace(plan=self.plan, workspace=self.workspace, number=self.number, index=self.index)

    @property
    def this_pass(self) -> Pass:
        return self.plan.passes[self.number - 1]

    @property
    def shard(self) -> InputShard:
        return self.plan.shards[self.index]

    def folder(self, step: Step) -> StageDir:
        return stage_dir(self.workspace, step)

    def is_done(self) -> bool:
        """Whether every step has its record, with the documents stored where this pass stores them."""
        steps = all(self.step_is_done(step, stored=self.this_pass.stores(step)) for step in self.this_pass.steps)
        return steps and (self.this_pass.sketch is None or self.sketch_is_done())

    def step_is_done(self, step: Step, stored: bool) -> bool:
        """Whether a step is recorded for this shard, and, where that is asked for, its documents are stored."""
        folder = self.folder(step)
        record = complete_record(folder.root, folder.task(self.index), self.plan.task_fingerprint(step, self.shard))
        return record is not None and (record.stored or not stored)

    def sketch_is_done(self) -> bool:
        assert self.this_pass.sketch is not None
        folder = self.folder(self.this_pass.sketch)
        wanted = self.plan.sketch_fingerprint(self.this_pass, self.shard)
        return complete_record(folder.root, folder.sketch_task(self.index), wanted) is not None


FALLBACK = "fallback"
"""Key in a task's answer: why a stage used its reference engine where the fast one was asked for."""


def run_task(task: Task, calls: StageCalls, heartbeat: Heartbeat) -> dict[str, Any]:
    """Do the work, publish the files, write the records. Returns the `rows` that entered the first step done, and
    FALLBACK where there was one.

    What an earlier, interrupted or differently configured run stored is taken up where it is still valid.
    """
    try:
        return _run_task(task, calls, heartbeat, reference="")
    except ShardAgainError as doubt:
        return _run_task(task, calls, heartbeat, reference=str(doubt))


def _run_task(task: Task, calls: StageCalls, heartbeat: Heartbeat, reference: str) -> dict[str, Any]:
    """`reference`: why stages are to use their reference engines, '' where they are not."""
    this_pass = task.this_pass
    start = first_step_to_do(task)
    with ExitStack() as files:
        lanes = [
            Lane(
                place=task.place, step=step, files=files, calls=calls, stores=this_pass.stores(step),
                finished=task.step_is_done(step, stored=this_pass.stores(step)), reference=reference,
            )
            for step in this_pass.steps[start:]
        ]  # fmt: skip
        sink = Sink(task.place, this_pass, files, calls, writes_output=bool(lanes))
        rows_done = 0
        heartbeat.batch(0)  # models are loaded; from here on the time counts that a batch takes
        hosts = Hosts()
        for batch in _read(task, start, calls):
            heartbeat.batch(rows_done)
            rows_done += batch.num_rows
            _push(lanes, batch, _hosts_of(batch, hosts), sink, heartbeat)
        for lane in lanes:
            lane.finish()
    for lane in lanes:
        is_output = lane.step is this_pass.output
        lane.publish_record(task.shard, sink.finish_output() if is_output else [], sink.notes if is_output else {})
    sink.publish_record(task.shard)
    return {"rows": rows_done} | ({FALLBACK: sink.fallback} if sink.fallback else {})


def _hosts_of(batch: pa.RecordBatch, hosts: Hosts) -> np.ndarray:
    """The hosts of a batch's documents: object[rows]."""
    return np.array(hosts.of(batch.column(columns.URL).to_pylist()), object)


def _push(lanes: list[Lane], batch: pa.RecordBatch, hosts: np.ndarray, sink: Sink, heartbeat: Heartbeat) -> None:
    """One batch through all steps; rows that leave on the way are written where they left."""
    for lane in lanes:
        batch, hosts = lane.run(batch, hosts, heartbeat)
        if batch.num_rows == 0:
            return
    sink.write(batch, heartbeat)


def first_step_to_do(task: Task) -> int:
    """Position in the pass of the step after the last one whose documents are stored and before which all is done."""
    steps = task.this_pass.steps
    for position in reversed(range(len(steps))):
        before = all(task.step_is_done(step, stored=False) for step in steps[:position])
        if before and task.step_is_done(steps[position], stored=True):
            return position + 1
    return 0


def stored_input(task: Task, start: int) -> Step | None:
    """The step whose stored documents a task reads that begins at position `start` of its pass; None for the source."""
    return task.this_pass.steps[start - 1] if start > 0 else task.this_pass.reads


def _read(task: Task, start: int, calls: StageCalls) -> Iterator[pa.RecordBatch]:
    """Batches that enter the first step to do: from the source, from a stored step, or from the pass before."""
    stored = stored_input(task, start)
    if stored is None:
        yield from calls.read(task.this_pass.steps[0], task.shard)
        return
    folder = task.folder(stored)
    place = folder.shard(task.index)
    name = place.relative_to(folder.root)
    record = verify(folder.root, folder.task(task.index), () if task.verified else (name,))
    if name in record.outputs:
        for batch in read_shard(place):
            yield with_status(batch)
