"""The body of one task: one shard through one pass. Every engine runs this and nothing else."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from tamis.base.stage import InputShard, Source
from tamis.runner.lane import Heartbeat, Lane, Opened, Sink
from tamis.runner.ledger import is_complete
from tamis.runner.plan import Pass, Plan, Step
from tamis.runner.split import with_status
from tamis.store.rundir import RunDir, StageDir
from tamis.store.shards import read_shard


@dataclass(frozen=True, kw_only=True)
class Task:
    """Shard `index` of the pool through one pass. `careful` batches are tried row by row, with each row reported to
    the engine; `poison` rows (id -> what happened) killed or hung a worker and are quarantined untried."""

    plan: Plan
    run: RunDir
    number: int
    index: int
    careful: frozenset[int] = frozenset()
    poison: dict[str, str] = field(default_factory=dict)

    @property
    def one(self) -> Pass:
        return self.plan.passes[self.number - 1]

    @property
    def shard(self) -> InputShard:
        return self.plan.shards[self.index]

    def folder(self, step: Step) -> StageDir:
        return self.run.stage(step.folder)

    def is_done(self) -> bool:
        """True when every record of this task is there, with equal fingerprints and whole files."""
        steps = all(self.step_is_done(step) for step in self.one.steps)
        return steps and (self.one.sketch is None or self.sketch_is_done())

    def step_is_done(self, step: Step) -> bool:
        return is_complete(self.folder(step).task(self.index), self.plan.task_fingerprint(step, self.shard))

    def sketch_is_done(self) -> bool:
        assert self.one.sketch is not None
        path = self.folder(self.one.sketch).sketch_task(self.index)
        return is_complete(path, self.plan.sketch_fingerprint(self.one, self.shard))


def run_task(task: Task, cache: Opened, heartbeat: Heartbeat) -> dict[str, Any]:
    """Do the work, publish the files, write the records. Returns the rows that entered the first step done.

    Work already stored by an earlier, interrupted or differently configured run is taken up where it is still valid.
    """
    steps = task.one.steps
    start = _restart_point(task)
    _invalidate(task, steps[start:])
    with ExitStack() as files:
        lanes = [
            Lane(
                plan=task.plan, step=step, index=task.index, folder=task.folder(step), files=files, cache=cache,
                stores=step.stage.keeps_output or step is task.one.output,
            )
            for step in steps[start:]
        ]  # fmt: skip
        sink = Sink(task.plan, task.one, task.index, task.run, files, cache, writes_output=bool(lanes))
        rows_done = 0
        for number, batch in enumerate(_read(task, start, lanes)):
            heartbeat.batch(number, rows_done)
            rows_done += batch.num_rows
            _push(task, lanes, number, batch, sink, heartbeat)
    for lane in lanes:
        extra = sink.finish_output() if lane.step is task.one.output else []
        lane.publish_record(task.shard, extra)
    sink.publish_record(task.shard)
    return {"rows": rows_done}


def _push(task: Task, lanes: list[Lane], number: int, batch: pa.RecordBatch, sink: Sink, heartbeat: Heartbeat) -> None:
    """One batch through all steps; rows that leave on the way are written where they left."""
    for lane in lanes:
        batch = lane.run(batch, heartbeat, careful=number in task.careful, poison=task.poison)
        if batch.num_rows == 0:
            return
    sink.write(batch)


def _restart_point(task: Task) -> int:
    """Index of the first step to do: the one after the last step whose stored output is complete."""
    steps = task.one.steps
    for index in reversed(range(len(steps))):
        stored = steps[index].stage.keeps_output or index == len(steps) - 1
        if stored and all(task.step_is_done(step) for step in steps[: index + 1]):
            return index + 1
    return 0


def _invalidate(task: Task, steps: list[Step]) -> None:
    """Take back the records, then the files, of what is about to be redone."""
    if task.one.sketch is not None:
        task.folder(task.one.sketch).sketch_task(task.index).unlink(missing_ok=True)
    for step in reversed(steps):
        folder, index = task.folder(step), task.index
        for path in (folder.task(index), folder.shard(index), folder.removed(index), folder.quarantine(index)):
            path.unlink(missing_ok=True)
        if step is task.one.output:
            for path in (*folder.tokens.glob(f"{index:05d}.*"), *(folder.root / "jsonl").glob(f"{index:05d}.*")):
                path.unlink()


def _read(task: Task, start: int, lanes: list[Lane]) -> Iterator[pa.RecordBatch]:
    """Batches that enter the first step to do: from the source, from a stored step, or from the pass before."""
    if start > 0:
        path = task.folder(task.one.steps[start - 1]).shard(task.index)
    elif task.one.reads_folder is not None:
        path = task.run.stage(task.one.reads_folder).shard(task.index)
    else:
        source = lanes[0].stage
        assert isinstance(source, Source)
        yield from source.read(task.shard)
        return
    if path.exists():
        for batch in read_shard(path):
            yield with_status(batch)
