"""All code of stages that a task runs is called here: in this process (`DirectCalls`), or elsewhere (`sandbox`).

A task does not know which of the two it uses, and both give the same rows.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from tamis.base.errors import DataError, TamisError, failure_text
from tamis.base.stage import Group, InputShard, Map, Source, Stage
from tamis.runner.ledger import verify
from tamis.runner.plan import Plan, Step
from tamis.runner.reading import NumberedReading, ReadingError, read_guarded, without_first
from tamis.runner.rounds import Round, rounds_of
from tamis.runner.split import error_of
from tamis.runner.verification import verified_assets
from tamis.store.rundir import StageDir
from tamis.store.shards import read_table, schema_of
from tamis.store.workspace import Workspace

Opened = dict[str, Stage]
"""Stages that are open in this worker, by step fingerprint: a model is loaded once per worker, not per shard."""

POSITION = "__row"
"""Travels with the batch of a group's mark, so that a row tried alone still knows where its sketch stood."""


class Heartbeat:
    """What a task tells its engine while it works; this one keeps it to itself."""

    def batch(self, rows_done: int) -> None:
        """A batch is about to start; `rows_done` rows of the shard are finished."""

    def alive(self) -> None:
        """The batch goes on: its rows are being tried one by one, or time and memory of its rows are being watched."""


def stage_dir(workspace: Workspace, step: Step) -> StageDir:
    """Where the artefact of a step lies."""
    return StageDir(workspace.artefact(step.artefact))


def opened(step: Step, seed: int, workspace: Workspace, cache: Opened) -> Stage:
    """The step's stage, opened in this worker. Raises DamagedError when a file that the graph made for it is damaged,
    DataError when a file of the user's changed since the run was planned."""
    if step.fingerprint not in cache:
        with verified_assets(step, workspace):
            step.stage.open(step.context(seed, workspace))
        cache[step.fingerprint] = step.stage
    return cache[step.fingerprint]


class StageCalls(ABC):
    """The calls of one task. Whatever a row makes a stage do, it ends as an exception here."""

    @abstractmethod
    def open(self, step: Step) -> None:
        """Load what a stage needs, before the time of its first batch counts."""

    @abstractmethod
    def apply(self, step: Step, batch: pa.RecordBatch) -> pa.RecordBatch:
        """`Map.apply`, or `Group.mark` for a batch that has the column POSITION."""

    @abstractmethod
    def sketch(self, step: Step, batch: pa.RecordBatch, rows: pa.Array) -> pa.Table:
        """`Group.sketch`."""

    @abstractmethod
    def read_once(self, step: Step, reading: NumberedReading, delivered: int) -> Iterator[pa.RecordBatch]:
        """`Source.read` of the task's shard without its first `delivered` rows. Raises ReadingError."""

    @abstractmethod
    def notes(self, step: Step) -> dict[str, int]:
        """`Source.notes` of the last reading."""

    def read(self, step: Step, shard: InputShard) -> Iterator[pa.RecordBatch]:
        """The whole shard; what cannot be read costs itself."""

        def attempt(reading: NumberedReading, delivered: int) -> Iterator[pa.RecordBatch]:
            return self.read_once(step, reading, delivered)

        return read_guarded(attempt, shard)


@dataclass(frozen=True, kw_only=True)
class ShardPlace:
    """Which shard of which pool, in which pass and workspace."""

    plan: Plan
    workspace: Workspace
    number: int
    index: int

    def marks(self, step: Step) -> bool:
        """Whether the rows go through `step` in this pass; a group for which they are only sketched, they do not."""
        return any(step.label == other.label for other in self.plan.passes[self.number - 1].steps)

    @property
    def shard(self) -> InputShard:
        return self.plan.shards[self.index]


class DirectCalls(StageCalls):
    """In this process."""

    def __init__(self, place: ShardPlace, cache: Opened) -> None:
        self._place, self._cache = place, cache
        self._decisions: dict[str, pa.Table] = {}

    def _stage(self, step: Step) -> Stage:
        return opened(step, self._place.plan.recipe.seed, self._place.workspace, self._cache)

    def open(self, step: Step) -> None:
        stage = self._stage(step)
        if isinstance(stage, Group) and self._place.marks(step):
            folder = stage_dir(self._place.workspace, step)
            final = rounds_of(stage, len(self._place.plan.shards))[-1]
            self._decisions[step.fingerprint] = _read_decisions(final, folder, self._place.index)

    def apply(self, step: Step, batch: pa.RecordBatch) -> pa.RecordBatch:
        stage = self._stage(step)
        if isinstance(stage, Group):
            decisions = self._decisions[step.fingerprint]
            return stage.mark(batch.drop_columns([POSITION]), batch.column(POSITION), decisions)
        assert isinstance(stage, Map)
        return stage.apply(batch)

    def sketch(self, step: Step, batch: pa.RecordBatch, rows: pa.Array) -> pa.Table:
        stage = self._stage(step)
        assert isinstance(stage, Group)
        return stage.sketch(batch, rows)

    def read_once(self, step: Step, reading: NumberedReading, delivered: int) -> Iterator[pa.RecordBatch]:
        source = self._stage(step)
        assert isinstance(source, Source)
        try:
            yield from without_first(delivered, source.read(self._place.shard, reading))
        except TamisError:
            raise
        except BaseException as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise DataError(
                    f"{self._place.shard.uri}: cannot be read ({failure_text(error)}). Check the disk or the network, "
                    "and run again: finished shards are kept."
                ) from error
            raise ReadingError(number=reading.number, text=error_of(error), tries=1) from error

    def notes(self, step: Step) -> dict[str, int]:
        source = self._stage(step)
        assert isinstance(source, Source)
        return dict(source.notes())


def _read_decisions(final: Round, folder: StageDir, index: int) -> pa.Table:
    """What the group decided that concerns this shard, ordered by row; or all of it, where it concerns every shard."""
    tables = []
    for bucket in final.buckets:
        path = final.findings(folder, bucket)
        verify(folder.root, final.record(folder, bucket))
        by_shard = "shard" in schema_of(path).names
        tables.append(read_table(path, where=pc.field("shard") == index if by_shard else None))
    table = pa.concat_tables(tables)
    return table.sort_by("row") if "row" in table.schema.names else table
