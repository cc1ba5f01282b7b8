"""The two kinds of job an engine runs: a shard through a pass, and a group's decision on one bucket."""

from dataclasses import dataclass
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from tamis.base.cards import Counts
from tamis.base.stage import Group
from tamis.runner.lane import Heartbeat, Opened, opened
from tamis.runner.ledger import Record, describe_outputs, is_complete, write_record
from tamis.runner.plan import Plan, Step
from tamis.runner.task import Task, run_task
from tamis.store.atomic import publish
from tamis.store.rundir import RunDir


@dataclass(frozen=True, kw_only=True)
class Decide:
    """One bucket of the group that pass `number` feeds."""

    plan: Plan
    run: RunDir
    number: int
    bucket: int

    @property
    def step(self) -> Step:
        step = self.plan.passes[self.number - 1].sketch
        assert step is not None
        return step

    def is_done(self) -> bool:
        path = self.run.stage(self.step.folder).decide_task(self.bucket)
        return is_complete(path, self.plan.decide_fingerprint(self.step, self.bucket))


Job = Task | Decide


def run_job(job: Job, cache: Opened, heartbeat: Heartbeat) -> dict[str, Any]:
    """Do one job and publish its result; safe to repeat."""
    return run_decide(job, cache) if isinstance(job, Decide) else run_task(job, cache, heartbeat)


def run_decide(job: Decide, cache: Opened) -> dict[str, Any]:
    """Read the bucket's sketches in shard order, decide, publish. Returns {rows} read."""
    folder = job.run.stage(job.step.folder)
    seed = job.plan.recipe.seed
    group = opened(job.step, seed, cache)
    assert isinstance(group, Group)
    record_path, path = folder.decide_task(job.bucket), folder.decisions(job.bucket)
    record_path.unlink(missing_ok=True)
    row_filter = ds.field("bucket") == job.bucket if group.num_buckets > 1 else None
    sketches = [folder.sketch(index) for index in range(len(job.plan.shards))]
    tables = [pq.read_table(sketch, filters=row_filter) for sketch in sketches if sketch.exists()]
    table = pa.concat_tables(tables)
    decisions = group.decide(job.bucket, table, job.step.context(seed))
    with publish(path) as temporary:
        pq.write_table(decisions, temporary, compression="zstd")
    record = Record(
        fingerprint=job.plan.decide_fingerprint(job.step, job.bucket),
        shard=f"bucket {job.bucket}",
        books=Counts(),
        outputs=describe_outputs(folder.root, [path]),
    )
    write_record(record_path, record)
    return {"rows": table.num_rows}


def decision_details(job: Decide) -> dict[str, Any]:
    """What the decision wants on the card (thresholds, model quality), or {}."""
    metadata = pq.read_schema(job.run.stage(job.step.folder).decisions(job.bucket)).metadata or {}
    return dict(orjson.loads(metadata.get(b"details", b"{}")))
