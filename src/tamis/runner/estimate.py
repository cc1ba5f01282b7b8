"""What a run will take, before it starts: a sample of the pool goes through the first pass, groups tell their cost."""

from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from tamis.base import columns
from tamis.base.cards import Counts
from tamis.base.stage import Corpus, Cost, Group, Map, Source, Stage
from tamis.runner.calls import opened
from tamis.runner.plan import Plan, Step
from tamis.runner.split import apply_guarded, text_bytes, with_status
from tamis.store.system import available_memory_bytes
from tamis.store.workspace import Workspace

SAMPLE_SHARDS = 3
SAMPLE_ROWS = 1000


@dataclass(frozen=True, kw_only=True)
class GroupCost:
    """Prediction for one group; `at_once` decisions run side by side."""

    folder: str
    corpus: Corpus
    cost: Cost
    at_once: int

    @property
    def memory_bytes(self) -> int:
        """Of all decisions that run at once, or of combining after them, beyond the processes themselves."""
        return max(self.cost.memory_bytes * self.at_once, self.cost.combine_memory_bytes)

    def to_dict(self) -> dict[str, Any]:
        return {
            "stage": self.folder,
            "documents": self.corpus.num_documents,
            "text_bytes": self.corpus.text_bytes,
            "memory_bytes": self.memory_bytes,
            "decision_memory_bytes": self.cost.memory_bytes,
            "combine_memory_bytes": self.cost.combine_memory_bytes,
            "decisions_at_once": self.at_once,
            "sketch_bytes": self.cost.sketch_bytes,
        }


def group_cost(step: Step, corpus: Corpus, num_workers: int) -> GroupCost | None:
    """The group's own prediction for a corpus, or None where it has none."""
    assert isinstance(step.stage, Group)
    cost = step.stage.cost(corpus)
    if cost is None:
        return None
    at_once = min(num_workers, step.stage.num_buckets)
    return GroupCost(folder=step.label, corpus=corpus, cost=cost, at_once=at_once)


def measured_corpus(accounting: Counts) -> Corpus:
    """What entered a group, from the accounting of the step before it."""
    return Corpus(num_documents=accounting.kept, text_bytes=accounting.kept_bytes)


def sampled_corpus(plan: Plan, workspace: Workspace) -> Corpus | None:
    """How much will reach the first group: what survives the first pass, of rows drawn from the beginnings of a few
    shards. None where no group of the plan has a cost. No later group gets more than this."""
    one = Corpus(num_documents=1, text_bytes=1)
    if not any(isinstance(step.stage, Group) and step.stage.cost(one) for step in plan.steps):
        return None
    first, *maps = plan.passes[0].steps
    assert isinstance(first.stage, Source)
    documents = size = 0
    share, cache = 0.0, dict[str, Stage]()
    total = sum(shard.size_bytes for shard in plan.shards)
    for shard in plan.shards[:: max(1, len(plan.shards) // SAMPLE_SHARDS)][:SAMPLE_SHARDS]:
        batches, part = first.stage.sample(shard, SAMPLE_ROWS)
        share += part * shard.size_bytes / max(total, 1)
        for batch in batches:
            batch = _live(with_status(batch))
            for step in maps:
                stage = opened(step, plan.recipe.seed, workspace, cache)
                assert isinstance(stage, Map)
                batch = _live(apply_guarded(stage, stage.apply, batch, lambda: None)) if batch.num_rows else batch
            documents += batch.num_rows
            size += int(text_bytes(batch).sum()) if batch.num_rows else 0
    return Corpus(num_documents=round(documents / share), text_bytes=round(size / share)) if share else None


def _live(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Rows that were neither dropped nor given up."""
    return batch.filter(pc.and_(pc.is_null(batch.column(columns.DROP_REASON)), pc.is_null(batch.column(columns.ERROR))))


def memory_warning(predicted: GroupCost) -> str | None:
    """What to tell a user whose machine is too small for a group's decisions, before they start."""
    free = available_memory_bytes()
    if free is None or predicted.memory_bytes <= free:
        return None
    return (
        f"{predicted.folder}: its decisions will take about {predicted.memory_bytes / 1e9:.1f} GB of memory, and "
        f"{free / 1e9:.1f} GB are free. Use fewer --workers, or split the work (see `tamis run --dry-run`)."
    )
