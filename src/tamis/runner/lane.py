"""What one step does to one shard (`Lane`), and where the rows go that survive the whole pass (`Sink`)."""

from contextlib import ExitStack
from functools import partial

import numpy as np
import pyarrow as pa

from tamis.base import columns
from tamis.base.cards import Counts
from tamis.base.stage import REFERENCE_KEY, Group, InputShard, Source
from tamis.runner.calls import POSITION, Heartbeat, ShardPlace, StageCalls, stage_dir
from tamis.runner.ledger import Record, describe_outputs, write_record
from tamis.runner.plan import Pass, Step
from tamis.runner.sources import SourceTally, is_gone
from tamis.runner.split import Split, apply_guarded, sketch_guarded, text_bytes, with_errors
from tamis.store.jsonl import write_jsonl
from tamis.store.location import Location
from tamis.store.shards import ShardWriter, read_shard, read_table, write_table
from tamis.store.tokens import TokenShardWriter


class Lane:
    """One step of a pass on one shard.

    A step that is `finished` already works only because a later one needs its rows: it writes nothing again.
    """

    def __init__(
        self,
        *,
        place: ShardPlace,
        step: Step,
        files: ExitStack,
        calls: StageCalls,
        stores: bool,
        finished: bool,
        reference: str = "",
    ) -> None:
        """`reference`: why the stage is to use its reference engine, where it has one and that is so."""
        self.step, self._finished = step, finished
        calls.open(step)
        self._plan, self._index, self._files, self._stores = place.plan, place.index, files, stores
        self._calls, self._reference = calls, reference if step.stage.has_reference else ""
        self._folder = stage_dir(place.workspace, step)
        self._split = Split(step.stage, place.plan.recipe.output.removed_text)
        self._sources = SourceTally()
        self._writers: dict[Location, ShardWriter] = {}
        self._rows_marked = 0
        self._unsketched = _read_errors(self._folder.sketch_errors(self._index)) if self._is_group else {}

    @property
    def _is_group(self) -> bool:
        return isinstance(self.step.stage, Group)

    def run(self, batch: pa.RecordBatch, hosts: np.ndarray, heartbeat: Heartbeat) -> tuple[pa.RecordBatch, np.ndarray]:
        """The rows that survive this step, and their hosts (object[rows])."""
        entered = text_bytes(batch)
        if not isinstance(self.step.stage, Source):
            if self.step.renames:
                batch = batch.rename_columns([self.step.renames.get(name, name) for name in batch.schema.names])
            batch = self._apply(batch, heartbeat)
        gone = is_gone(batch)
        for lines in self._sources.add(hosts, batch, gone):
            self._write(self._folder.sources(self._index), lines)
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
        return kept, hosts[~gone]

    def finish(self) -> None:
        """Called after the last batch."""
        for lines in self._sources.flush():
            self._write(self._folder.sources(self._index), lines)

    def _apply(self, batch: pa.RecordBatch, heartbeat: Heartbeat) -> pa.RecordBatch:
        first = self._rows_marked
        if self._is_group:
            positions = np.arange(first, first + batch.num_rows, dtype=np.int64)
            self._rows_marked += batch.num_rows
            batch = batch.append_column(POSITION, pa.array(positions))
        apply = partial(self._calls.apply, self.step)
        metadata = batch.schema.metadata
        if self._reference:
            batch = batch.replace_schema_metadata((metadata or {}) | {REFERENCE_KEY: self._reference.encode()})
        out = apply_guarded(self.step.stage, apply, batch, heartbeat.alive)
        if self._reference:
            out = out.replace_schema_metadata(metadata)
        if POSITION in out.schema.names:
            out = out.drop_columns([POSITION])
        failed = {row - first: text for row, text in self._unsketched.items() if 0 <= row - first < out.num_rows}
        return with_errors(out, failed) if failed else out

    def _write(self, path: Location, batch: pa.RecordBatch) -> None:
        if self._finished:
            return
        if path not in self._writers:
            self._writers[path] = self._files.enter_context(ShardWriter(path, batch.schema))
        self._writers[path].write(batch)

    def publish_record(self, shard: InputShard, extra: list[Location], notes: dict[str, int]) -> None:
        """Write what this step did to the shard; `extra` files and `notes` come from the sink. Files that an earlier
        attempt left and this one had no rows for are deleted: the record lists all that belong to the shard."""
        if self._finished:
            return
        folder, index = self._folder, self._index
        for place in (
            folder.removed(index),
            folder.quarantine(index),
            folder.sources(index),
            *([folder.shard(index)] if self._stores else []),
        ):
            if place not in self._writers:
                place.delete_file()
        accounting = self._split.accounting
        accounting.check(f"{self.step.label}, shard {shard.name}")
        record = Record(
            fingerprint=self._plan.task_fingerprint(self.step, shard),
            shard=shard.name,
            files=list(shard.files) if isinstance(self.step.stage, Source) else [],
            accounting=accounting,
            stored=self._stores,
            histograms=self._split.histograms,
            examples=self._split.examples(),
            notes=self._calls.notes(self.step) if isinstance(self.step.stage, Source) else notes,
            outputs=describe_outputs(
                folder.root,
                [
                    folder.shard(index),
                    folder.removed(index),
                    folder.quarantine(index),
                    folder.sources(index),
                    *extra,
                ],
            ),
        )
        write_record(folder.task(index), record)


def _read_errors(place: Location) -> dict[int, str]:
    """Rows that could not be sketched, by position among those that reached the group."""
    if not place.exists():
        return {}
    table = read_table(place)
    return dict(zip(table["row"].to_pylist(), table["error"].to_pylist(), strict=True))


class Sink:
    """Where the rows of a pass end up beside their Parquet shard: token shard, JSONL, the next group's sketch."""

    def __init__(
        self, place: ShardPlace, this_pass: Pass, files: ExitStack, calls: StageCalls, writes_output: bool
    ) -> None:
        self._plan, self._pass, self._index, self._files = place.plan, this_pass, place.index, files
        self._calls, self._writes_output = calls, writes_output
        self._folder = stage_dir(place.workspace, this_pass.output)
        self._tokens: TokenShardWriter | None = None
        self._sketches: ShardWriter | None = None
        self._sketch_folder = stage_dir(place.workspace, this_pass.sketch) if this_pass.sketch else None
        self._unsketched: dict[int, str] = {}
        self.engine, self.fallback = "", ""
        """What made the token ids, and why it was not the fast engine, where it was to be."""
        if this_pass.sketch:
            calls.open(this_pass.sketch)
        self._row = 0

    def write(self, batch: pa.RecordBatch, heartbeat: Heartbeat) -> None:
        if self._writes_output and columns.TOKEN_IDS in batch.schema.names:
            if self._tokens is None:
                told = batch.schema.field(columns.TOKEN_IDS).metadata or {}
                self.engine = told.get(columns.ENGINE_KEY, b"").decode()
                self.fallback = told.get(columns.FALLBACK_KEY, b"").decode()
                self._tokens = self._files.enter_context(TokenShardWriter(self._folder.token_shard(self._index)))
            self._tokens.write(batch)
        if self._pass.sketch is not None:
            self._sketch(self._pass.sketch, batch, heartbeat)
        self._row += batch.num_rows

    def _sketch(self, step: Step, batch: pa.RecordBatch, heartbeat: Heartbeat) -> None:
        rows = pa.array(np.arange(self._row, self._row + batch.num_rows, dtype=np.int64))
        sketch = partial(self._calls.sketch, step)
        for table in sketch_guarded(sketch, batch, rows, self._unsketched, heartbeat.alive):
            self._store(table)

    def _store(self, table: pa.Table) -> None:
        assert self._sketch_folder is not None
        table = table.append_column("shard", pa.array(np.full(table.num_rows, self._index, np.int32)))
        if self._sketches is None:
            path = self._sketch_folder.sketch(self._index)
            self._sketches = self._files.enter_context(ShardWriter(path, table.schema))
        for part in table.to_batches():
            self._sketches.write(part)

    @property
    def notes(self) -> dict[str, int]:
        """What the record of the output step says of this shard, for the card to add up."""
        return {f"shards_by_{self.engine}": 1} if self.engine else {}

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
        path, errors = self._sketch_folder.sketch(self._index), self._sketch_folder.sketch_errors(self._index)
        if self._sketches is None:
            path.delete_file()
        if self._unsketched:
            rows, texts = list(self._unsketched), list(self._unsketched.values())
            write_table(errors, pa.table({"row": pa.array(rows, pa.int64()), "error": pa.array(texts, pa.string())}))
        else:
            errors.delete_file()
        record = Record(
            fingerprint=self._plan.sketch_fingerprint(self._pass, shard),
            shard=shard.name,
            accounting=Counts(),
            outputs=describe_outputs(self._sketch_folder.root, [path, errors]),
        )
        write_record(self._sketch_folder.sketch_task(self._index), record)
