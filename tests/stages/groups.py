"""Drives a Group as the runner does, in memory: sketch per shard, decide per bucket, combine, mark per shard."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from tamis.base.stage import Findings, Group, Sketches, StageContext


class TableSketches(Sketches):
    """Sketches of each shard as a table, streamed in batches of `batch_lines`, and what was sketched."""

    def __init__(
        self, shards: list[pa.Table], batch_lines: int = 50, documents: Sequence[Sequence[pa.RecordBatch]] = ()
    ) -> None:
        self._shards, self._batch_lines, self._documents = shards, batch_lines, documents
        self.num_shards = len(shards)
        self.num_lines = sum(shard.num_rows for shard in shards)

    def batches(self, columns: Sequence[str], shards: Sequence[int] | None = None) -> Iterator[pa.RecordBatch]:
        for index in range(self.num_shards) if shards is None else shards:
            part = self._shards[index].select(list(columns)).combine_chunks()
            yield from (b for b in part.to_batches(self._batch_lines) if b.num_rows)

    def schema(self, columns: Sequence[str]) -> pa.Schema:
        return self._shards[0].select(list(columns)).schema

    def documents(self, shard: int, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        yield from (batch.select(list(columns)) for batch in self._documents[shard])


class TableFindings(Findings):
    """The findings of each round as one table."""

    def __init__(self, rounds: list[pa.Table]) -> None:
        self._rounds = rounds

    def table(
        self, round_number: int, columns: Sequence[str] | None = None, where: tuple[str, int] | None = None
    ) -> pa.Table:
        table = self._rounds[round_number]
        chosen = table if where is None else table.filter(pc.equal(table[where[0]], where[1]))
        return chosen if columns is None else chosen.select(list(columns))


def to_batch(documents: list[dict[str, Any]]) -> pa.RecordBatch:
    """Documents `{id, text, url?, other numeric columns}` as they reach a stage."""
    columns = {
        "id": pa.array([d["id"] for d in documents], pa.string()),
        "url": pa.array([d.get("url", "") for d in documents], pa.string()),
        "text": pa.array([d["text"] for d in documents], pa.string()),
        "drop_reason": pa.nulls(len(documents), pa.string()),
    }
    names = documents[0].keys() - columns.keys() if documents else []
    return pa.RecordBatch.from_pydict(columns | {n: pa.array([d.get(n) for d in documents]) for n in sorted(names)})


def sketch_all(
    stage: Group, shards: list[list[dict[str, Any]]], batch_rows: int = 7
) -> tuple[TableSketches, list[tuple[int, pa.Array, pa.RecordBatch]]]:
    """The sketches, and (shard, rows, batch) of every batch."""
    tables, batches, sketched = [], [], []
    for shard, documents in enumerate(shards):
        parts = []
        sketched.append(list[pa.RecordBatch]())
        for start in range(0, max(len(documents), 1), batch_rows):
            batch = to_batch(documents[start : start + batch_rows])
            rows = pa.array(range(start, start + batch.num_rows), pa.int64())
            batches.append((shard, rows, batch))
            sketched[shard].append(batch)
            lines = stage.sketch(batch, rows)
            parts.append(lines.append_column("shard", pa.array([shard] * lines.num_rows, pa.int32())))
        tables.append(pa.concat_tables(parts))
    return TableSketches(tables, documents=sketched), batches


def decide_all(stage: Group, sketches: Sketches, context: StageContext) -> tuple[pa.Table, dict[str, Any]]:
    """The decision that `mark` gets, and all details for the card."""
    found = [stage.decide(bucket, sketches, context) for bucket in range(stage.num_buckets)]
    if stage.combines:
        found.append(stage.combine(found, sketches, context))
    details: dict[str, Any] = {}
    for table in found:
        details |= json.loads((table.schema.metadata or {}).get(b"details", b"{}"))
    last, rounds = (found[-1:] if stage.combines else found), [pa.concat_tables(found[: stage.num_buckets]), found[-1]]
    for number, (_, jobs) in enumerate(stage.later_rounds(sketches.num_shards), start=2):
        findings = TableFindings(rounds)
        last = [stage.decide_later(number, job, findings, sketches, context) for job in range(jobs)]
        rounds.append(pa.concat_tables(last))
        details |= json.loads((last[-1].schema.metadata or {}).get(b"details", b"{}"))
    return pa.concat_tables(last), details


def drive(
    stage: Group,
    shards: list[list[dict[str, Any]]],
    batch_rows: int = 7,
    context: StageContext = StageContext(seed=0),  # noqa: B008
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Every document as `mark` leaves it, in order, and the details for the card."""
    stage.open(context)
    sketches, batches = sketch_all(stage, shards, batch_rows)
    decided, details = decide_all(stage, sketches, context)
    out: list[dict[str, Any]] = []
    for shard, rows, batch in batches:
        mine = decided
        if "shard" in decided.schema.names:
            mine = decided.filter(pc.equal(decided["shard"], shard)).sort_by("row")
        marked = stage.mark(batch, rows, mine)
        assert marked.num_rows == batch.num_rows
        for field in stage.adds:
            assert marked.schema.field(field.name).type == field.type
        out += marked.to_pylist()
    return out, details
