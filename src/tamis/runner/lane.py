"""What one step does to one shard (`Lane`), and where the rows go that survive the whole pass (`Sink`)."""

from contextlib import ExitStack
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tamis.base import columns
from tamis.base.cards import Counts
from tamis.base.stage import Group, InputShard, Map, Source, Stage
from tamis.runner.ledger import Record, describe_outputs, verify, write_record
from tamis.runner.plan import Pass, Plan, Step
from tamis.runner.split import Apply, Split, apply_guarded, text_bytes
from tamis.runner.verification import check_given_assets, check_made_assets
from tamis.store.jsonl import write_jsonl
from tamis.store.location import Location
from tamis.store.rundir import StageDir
from tamis.store.shards import ShardWriter, read_shard, read_table, schema_of
from tamis.store.tokens import TokenShardWriter
from tamis.store.workspace import Workspace

Opened = dict[str, Stage]
"""Stages that are open in this worker, by step fingerprint: a model is loaded once per worker, not per shard."""

POSITION = "__row"
"""Travels with the batch of a group's mark, so that a row tried alone still knows where its sketch stood."""


class Heartbeat:
    """What a task tells its engine while it works; this one keeps it to itself."""

    def batch(self, number: int, rows_done: int) -> None:
        """Batch `number` is about to start; `rows_done` rows of the shard are finished."""

    def row(self, row_id: str) -> None:
        """One row is about to be tried alone."""


def stage_dir(workspace: Workspace, step: Step) -> StageDir:
    """Where the artefact of a step lies."""
    return StageDir(workspace.artefact(step.artefact))


def opened(step: Step, seed: int, workspace: Workspace, cache: Opened) -> Stage:
    """The step's stage, opened in this worker. Raises DamagedError when a file that the graph made for it is damaged,
    DataError when a file of the user's changed since the run was planned."""
    if step.fingerprint not in cache:
        check_made_assets(step, workspace)
        step.stage.open(step.context(seed, workspace))
        check_given_assets(step)
        cache[step.fingerprint] = step.stage
    return cache[step.fingerprint]


class Lane:
    """One step of a pass on one shard.

    A step that is `finished` already works only because a later one needs its rows: it writes nothing again.
    """

    def __init__(
        self, *, plan: Plan, step: Step, index: int, workspace: Workspace, files: ExitStack, cache: Opened,
        stores: bool, finished: bool,
    ) -> None:  # fmt: skip
        self.step, self._finished = step, finished
        self.stage = opened(step, plan.recipe.seed, workspace, cache)
        self._plan, self._index, self._files, self._stores = plan, index, files, stores
        self._folder = folder = stage_dir(workspace, step)
        self._split = Split(self.stage, plan.recipe.output.removed_text)
        self._writers: dict[Location, ShardWriter] = {}
        self._decisions = _read_decisions(self.stage, folder, index) if isinstance(self.stage, Group) else None
        self._rows_marked = 0

    def run(self, batch: pa.RecordBatch, heartbeat: Heartbeat, careful: bool, poison: dict[str, str]) -> pa.RecordBatch:
        """The rows that survive this step. With `careful`, or a row in `poison`, rows are tried one by one."""
        entered = text_bytes(batch)
        if not isinstance(self.stage, Source):
            if self.step.renames:
                batch = batch.rename_columns([self.step.renames.get(name, name) for name in batch.schema.names])
            batch = self._apply(batch, heartbeat, careful, poison)
        kept, removed, quarantined = self._split(entered, batch)
        if removed is not None:
            self._write(self._folder.removed(self._index), removed)
        if quarantined is not None:
            self._write(self._folder.quarantine(self._index), quarantined)
        if self._stores and kept.num_rows:
            hidden = (columns.DROP_REASON, columns.ERROR, columns.TOKEN_IDS)
            self._write(
                self._folder.shard(self._index), kept.drop_columns([c for c in hidden if c in kept.schema.names])
            )
        return kept

    def _apply(
        self, batch: pa.RecordBatch, heartbeat: Heartbeat, careful: bool, poison: dict[str, str]
    ) -> pa.RecordBatch:
        if isinstance(self.stage, Group):
            positions = np.arange(self._rows_marked, self._rows_marked + batch.num_rows, dtype=np.int64)
            self._rows_marked += batch.num_rows
            batch = batch.append_column(POSITION, pa.array(positions))
            apply: Apply = partial(_mark, self.stage, self._decisions)
        else:
            assert isinstance(self.stage, Map)
            apply = self.stage.apply
        if careful or (poison and not poison.keys().isdisjoint(batch.column(columns.ID).to_pylist())):
            apply = partial(_one_by_one, apply, poison)
        out = apply_guarded(self.stage, apply, batch, heartbeat.row)
        return out.drop_columns([POSITION]) if POSITION in out.schema.names else out

    def _write(self, path: Location, batch: pa.RecordBatch) -> None:
        if self._finished:
            return
        if path not in self._writers:
            self._writers[path] = self._files.enter_context(ShardWriter(path, batch.schema))
        self._writers[path].write(batch)

    def publish_record(self, shard: InputShard, extra: list[Location]) -> None:
        """Write what this step did to the shard. Files that an earlier attempt left and this one had no rows for are
        deleted: the record lists all that belong to the shard."""
        if self._finished:
            return
        folder, index = self._folder, self._index
        for place in (
            folder.removed(index),
            folder.quarantine(index),
            *([folder.shard(index)] if self._stores else []),
        ):
            if place not in self._writers:
                place.delete_file()
        accounting = self._split.accounting
        accounting.check(f"{self.step.label}, shard {shard.name}")
        record = Record(
            fingerprint=self._plan.task_fingerprint(self.step, shard),
            shard=shard.name,
            files=list(shard.files) if isinstance(self.stage, Source) else [],
            accounting=accounting,
            stored=self._stores,
            histograms=self._split.histograms,
            examples=self._split.examples(),
            notes=dict(self.stage.notes()) if isinstance(self.stage, Source) else {},
            outputs=describe_outputs(
                folder.root, [folder.shard(index), folder.removed(index), folder.quarantine(index), *extra]
            ),
        )
        write_record(folder.task(index), record)


def _mark(group: Group, decisions: pa.Table, batch: pa.RecordBatch) -> pa.RecordBatch:
    return group.mark(batch.drop_columns([POSITION]), batch.column(POSITION), decisions)


def _one_by_one(apply: Apply, poison: dict[str, str], batch: pa.RecordBatch) -> pa.RecordBatch:
    """Refuses whole batches, which makes the guard go row by row, and refuses rows that cost a worker before."""
    if batch.num_rows > 1:
        raise ValueError("row by row")
    verdict = poison.get(batch.column(columns.ID)[0].as_py())
    if verdict is not None:
        raise PoisonRowError(verdict)
    return apply(batch)


class PoisonRowError(Exception):
    """The row hung or killed the worker that tried it."""


def _read_decisions(group: Group, folder: StageDir, index: int) -> pa.Table:
    """What the group decided that concerns this shard, ordered by row; or all of it, where it concerns every shard."""
    paths = [folder.combined] if group.combines else [folder.decisions(b) for b in range(group.num_buckets)]
    records = [folder.combine_task] if group.combines else [folder.decide_task(b) for b in range(group.num_buckets)]
    tables = []
    for path, record in zip(paths, records, strict=True):
        verify(folder.root, record)
        by_shard = "shard" in schema_of(path).names
        tables.append(read_table(path, where=pc.field("shard") == index if by_shard else None))
    table = pa.concat_tables(tables)
    return table.sort_by("row") if "row" in table.schema.names else table


class Sink:
    """Where the rows of a pass end up beside their Parquet shard: token shard, JSONL, the next group's sketch."""

    def __init__(
        self, plan: Plan, this_pass: Pass, index: int, workspace: Workspace, files: ExitStack, cache: Opened,
        writes_output: bool,
    ) -> None:  # fmt: skip
        self._plan, self._pass, self._index, self._files = plan, this_pass, index, files
        self._writes_output = writes_output
        self._folder = stage_dir(workspace, this_pass.output)
        self._tokens: TokenShardWriter | None = None
        self._sketches: ShardWriter | None = None
        self._sketch_folder = stage_dir(workspace, this_pass.sketch) if this_pass.sketch else None
        self._group = opened(this_pass.sketch, plan.recipe.seed, workspace, cache) if this_pass.sketch else None
        self._row = 0

    def write(self, batch: pa.RecordBatch) -> None:
        if self._writes_output and columns.TOKEN_IDS in batch.schema.names:
            if self._tokens is None:
                self._tokens = self._files.enter_context(TokenShardWriter(self._folder.token_shard(self._index)))
            self._tokens.write(batch)
        if self._group is not None:
            self._sketch(batch)
        self._row += batch.num_rows

    def _sketch(self, batch: pa.RecordBatch) -> None:
        assert isinstance(self._group, Group) and self._sketch_folder is not None
        rows = np.arange(self._row, self._row + batch.num_rows, dtype=np.int64)
        table = self._group.sketch(batch, pa.array(rows))
        table = table.append_column("shard", pa.array(np.full(table.num_rows, self._index, np.int32)))
        if self._sketches is None:
            path = self._sketch_folder.sketch(self._index)
            self._sketches = self._files.enter_context(ShardWriter(path, table.schema))
        for part in table.to_batches():
            self._sketches.write(part)

    def finish_output(self) -> list[Location]:
        """Files beside the Parquet shard, which is published by now, that belong to the output step's record."""
        tokens = self._folder.token_shard(self._index)
        files = [tokens, tokens.with_suffix(".offsets")] if self._tokens is not None else []
        compression, shard = self._plan.recipe.output.jsonl, self._folder.shard(self._index)
        if compression and self._pass is self._plan.passes[-1] and shard.exists():
            files.append(self._folder.jsonl(self._index, compression))
            write_jsonl(files[-1], read_shard(shard))
        return files

    def publish_record(self, shard: InputShard) -> None:
        if self._pass.sketch is None or self._sketch_folder is None:
            return
        path = self._sketch_folder.sketch(self._index)
        if self._sketches is None:
            path.delete_file()
        record = Record(
            fingerprint=self._plan.sketch_fingerprint(self._pass, shard),
            shard=shard.name,
            accounting=Counts(),
            outputs=describe_outputs(self._sketch_folder.root, [path]),
        )
        write_record(self._sketch_folder.sketch_task(self._index), record)
