"""Stages applied to batches in memory: maps batch by batch, groups over all batches, as a run does it shard by shard.

What a stage does to a row is the stage's own work, and what becomes of a row that raises is decided by the runner's
code (`apply_guarded`), so that the rows are those of a run.
"""

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tamis.base import columns
from tamis.base.hashing import fingerprint
from tamis.base.stage import Findings, Group, Map, Sketches, Stage, StageContext
from tamis.runner.calls import POSITION
from tamis.runner.plan import asset_mark
from tamis.runner.split import apply_guarded, sketch_guarded, with_errors
from tamis.store.location import Location
from tamis.store.scratch import scratch

MAX_OPEN = 16
"""Stages that stay open, so that a function that is called for every text loads its model once."""
_OPEN: "OrderedDict[str, Stage]" = OrderedDict()


def _nothing() -> None:
    """Called before each row that is tried alone; here nobody watches."""


class Chain:
    """Some stages in their order, opened."""

    def __init__(self, stages: Sequence[Stage], seed: int, present: Mapping[str, pa.DataType]) -> None:
        """`present`: the columns that reach the first stage. Raises ConfigError for a missing column or file."""
        known = dict(present)
        for stage in stages:
            stage.check_columns(known)
            known |= {field.name: field.type for field in stage.adds}
        self._contexts = [_context(stage, seed) for stage in stages]
        self._stages = [_opened(stage, context) for stage, context in zip(stages, self._contexts, strict=True)]
        self.text_changes = any(columns.TEXT in stage.reads for stage in stages)

    def run(self, batches: Sequence[pa.RecordBatch]) -> list[pa.Table]:
        """For each batch a table of the same rows after all stages, with `drop_reason` and `error`. Rows that left on
        the way have nulls in columns of later stages."""
        parts = [_Part(batch) for batch in batches]
        for stage, context in zip(self._stages, self._contexts, strict=True):
            if isinstance(stage, Group):
                _decide_and_mark(stage, context, parts)
                continue
            assert isinstance(stage, Map)
            for part in parts:
                if part.kept.num_rows:
                    part.split(apply_guarded(stage, stage.apply, part.kept, _nothing))
        return [part.outcome() for part in parts]


def _context(stage: Stage, seed: int) -> StageContext:
    """Raises ConfigError when a file that the stage needs does not exist."""
    assets = {name: Location(path) for name, path in stage.assets().items()}
    return StageContext(seed=seed, assets=assets, scratch=scratch)


def _opened(stage: Stage, context: StageContext) -> Stage:
    """The stage, opened, or one that was opened before with the same settings and files."""
    marks = {name: asset_mark(stage, name, path) for name, path in stage.assets().items()}
    key = fingerprint(type(stage).__module__, stage.full_identity(), marks, context.seed)
    if key not in _OPEN:
        stage.open(context)
        _OPEN[key] = stage
        while len(_OPEN) > MAX_OPEN:
            _OPEN.popitem(last=False)
    _OPEN.move_to_end(key)
    return _OPEN[key]


class _Part:
    """One batch on its way through the stages: the rows that are still kept, and those that have left."""

    def __init__(self, batch: pa.RecordBatch) -> None:
        self.kept, self._places = batch, np.arange(batch.num_rows)
        self._left: list[tuple[np.ndarray, pa.RecordBatch]] = []

    def split(self, batch: pa.RecordBatch) -> None:
        """Take the rows as a stage returned them."""
        stays = pc.and_(batch.column(columns.ERROR).is_null(), batch.column(columns.DROP_REASON).is_null())
        keep = stays.to_numpy(zero_copy_only=False)
        if not keep.all():
            self._left.append((self._places[~keep], batch.filter(pc.invert(stays))))
            batch, self._places = batch.filter(stays), self._places[keep]
        self.kept = batch

    def outcome(self) -> pa.Table:
        """All rows in the order in which they came."""
        parts = [*self._left, (self._places, self.kept)]
        order = np.argsort(np.concatenate([places for places, _ in parts]))
        tables = [pa.Table.from_batches([batch]) for _, batch in parts if batch.num_rows] or [
            pa.Table.from_batches([self.kept])
        ]
        return pa.concat_tables(tables, promote_options="default").take(pa.array(order))


class MemorySketches(Sketches):
    """The sketches of one group, in memory, as those of one shard."""

    num_shards = 1

    def __init__(self, tables: Sequence[pa.Table], batches: Sequence[pa.RecordBatch]) -> None:
        """`batches` hold the rows that were sketched: row k of the sketches is row k of them all."""
        self._documents = batches
        self._table = pa.concat_tables(tables).combine_chunks()
        self._table = self._table.append_column("shard", pa.array(np.zeros(self._table.num_rows, np.int32)))
        self.num_lines = self._table.num_rows

    def batches(self, columns: Sequence[str], shards: Sequence[int] | None = None) -> Iterator[pa.RecordBatch]:
        if shards is None or 0 in shards:
            yield from self._table.select(list(columns)).to_batches()

    def schema(self, columns: Sequence[str]) -> pa.Schema:
        return pa.schema([self._table.schema.field(name).remove_metadata() for name in columns])

    def documents(self, shard: int, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        yield from (batch.select(list(columns)) for batch in self._documents)


class MemoryFindings(Findings):
    """What the rounds of a decision found so far, in memory."""

    def __init__(self) -> None:
        self._tables: dict[int, pa.Table] = {}

    def add(self, round_number: int, tables: Sequence[pa.Table]) -> pa.Table:
        """Keep the findings of all jobs of a round; returns them as one table."""
        self._tables[round_number] = pa.concat_tables(tables)
        return self._tables[round_number]

    def table(
        self, round_number: int, columns: Sequence[str] | None = None, where: tuple[str, int] | None = None
    ) -> pa.Table:
        table = self._tables[round_number]
        if where is not None:
            table = table.filter(pc.equal(table[where[0]], where[1]))
        return table if columns is None else table.select(list(columns))


def _decide_and_mark(group: Group, context: StageContext, parts: Sequence[_Part]) -> None:
    """Let a group decide over the kept rows of all parts, and mark them."""
    tables, failed, first = list[pa.Table](), dict[int, str](), 0
    batches = [part.kept for part in parts if part.kept.num_rows]
    for part in parts:
        rows = pa.array(np.arange(first, first + part.kept.num_rows, dtype=np.int64))
        for made in sketch_guarded(group.sketch, part.kept, rows, failed, _nothing) if len(rows) else ():
            tables.append(made)
        first += len(rows)
    decisions = _decisions(group, MemorySketches(tables, batches), context) if tables else None
    first = 0
    for part in parts:
        count = part.kept.num_rows
        if count:
            part.split(_marked(group, decisions, part.kept, first, failed))
        first += count


def _decisions(group: Group, sketches: Sketches, context: StageContext) -> pa.Table:
    """What was decided, ordered by row."""
    decided, found = [group.decide(bucket, sketches, context) for bucket in range(group.num_buckets)], MemoryFindings()
    table = found.add(0, decided)
    if group.combines:
        table = found.add(1, [group.combine(decided, sketches, context)])
    for number, (_, jobs) in enumerate(group.later_rounds(sketches.num_shards), start=2):
        table = found.add(number, [group.decide_later(number, job, found, sketches, context) for job in range(jobs)])
    return table.sort_by("row") if "row" in table.column_names else table


def _marked(
    group: Group, decisions: pa.Table | None, batch: pa.RecordBatch, first: int, failed: Mapping[int, str]
) -> pa.RecordBatch:
    def mark(some: pa.RecordBatch) -> pa.RecordBatch:
        if decisions is None:
            raise ValueError("no row could be sketched")
        return group.mark(some.drop_columns([POSITION]), some.column(POSITION), decisions)

    positions = pa.array(np.arange(first, first + batch.num_rows, dtype=np.int64))
    out = apply_guarded(group, mark, batch.append_column(POSITION, positions), _nothing)
    if POSITION in out.schema.names:
        out = out.drop_columns([POSITION])
    errors = {row - first: text for row, text in failed.items() if 0 <= row - first < batch.num_rows}
    return with_errors(out, errors) if errors else out
