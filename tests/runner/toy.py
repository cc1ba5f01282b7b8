"""Small stages that show every way a stage can behave: for testing the runner without any real stage."""

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from tamis.base import columns
from tamis.base.config import Config
from tamis.base.recipe import Recipe
from tamis.base.signals import Rule, Signal
from tamis.base.stage import Group, InputShard, Map, Reading, Sketches, Source, StageContext

Docs = list[dict[str, Any]]


class ToyPool(Source):
    """Shards of (id, text) held in the settings; a text of None is a record that could not be read, and one of `next
    file` is none, but begins a file of that name."""

    name: ClassVar[str] = "pool"
    version: ClassVar[int] = 1

    class Settings(Config):
        shards: list[list[list[str | None]]]
        batch_rows: int = 3

    config: Settings

    def identity(self) -> list[Any]:
        """Without the documents: they are in the fingerprints of the shards."""
        return [self.name, self.version]

    def shards(self) -> list[InputShard]:
        return [
            InputShard(name=f"s{i}", uri=f"mem://{i}", size_bytes=len(str(rows)), fingerprint=str(rows))
            for i, rows in enumerate(self.config.shards)
        ]

    def read(self, shard: InputShard, reading: Reading = Reading()) -> Iterator[pa.RecordBatch]:  # noqa: B008
        part: list[list[str | None]] = []
        number, ended = -1, False
        for name, text in self.config.shards[int(shard.name[1:])]:
            if text == "next file":
                ended = False
                reading.begins(str(name))
                continue
            if ended:
                continue
            number += 1
            if not reading.goes_on(number):
                ended = True
                continue
            error = reading.unreadable.get(number)
            if error is None or (text or "").startswith("lost "):
                _misread(text or "")
                error = None if text is not None else "truncated_record: short"
            part.append([name, text if error is None else None, error])
            if len(part) == self.config.batch_rows:
                yield _pool_batch(part)
                part = []
        if part:
            yield _pool_batch(part)

    def notes(self) -> dict[str, int]:
        return {"requests": 2}


def _pool_batch(rows: list[list[str | None]]) -> pa.RecordBatch:
    data: dict[str, list[Any]] = {name: [None] * len(rows) for name in columns.POOL_SCHEMA.names}
    data[columns.ID] = [row[0] for row in rows]
    data[columns.URL] = [f"https://toy.example/{row[0]}" for row in rows]
    data[columns.TEXT] = [row[1] for row in rows]
    data[columns.ERROR] = [row[2] for row in rows]
    return pa.RecordBatch.from_pydict(data, schema=columns.POOL_SCHEMA)


def _misread(text: str) -> None:
    """What happens to the process that reads a record with such a text; where it is `lost`, even if it does not decode
    the record."""
    kind = text.removeprefix("lost ")
    if kind == "read raise":
        raise ValueError("no reading here")
    if kind == "read panic":
        raise PanicError("as libraries in Rust do")
    if kind == "read hang":
        threading.Event().wait()
    if kind == "read die":
        os.kill(os.getpid(), signal.SIGSEGV)


class SitePool(ToyPool):
    """As ToyPool, but an id such as `a.example/1` is a page of a host, and shard names are files of folders."""

    def shards(self) -> list[InputShard]:
        return [
            InputShard(name=shard.name, uri=f"mem://pool/part{i % 2}/{i}", size_bytes=1, fingerprint=shard.fingerprint)
            for i, shard in enumerate(super().shards())
        ]

    def read(self, shard: InputShard, reading: Reading = Reading()) -> Iterator[pa.RecordBatch]:  # noqa: B008
        for batch in super().read(shard, reading):
            urls = pa.array([f"https://{identity}" for identity in batch.column(columns.ID).to_pylist()])
            yield batch.set_column(batch.schema.get_field_index(columns.URL), columns.URL, urls)


class Speak(Map):
    """The language of a text is its first word; those that a setting names are removed."""

    name: ClassVar[str] = "speak"
    version: ClassVar[int] = 1
    adds = pa.schema([("language", pa.string())])

    class Settings(Config):
        unwanted: list[str] = Field(default=[])

    config: Settings

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        unwanted = tuple(self.config.unwanted)
        self.rules = (Rule(reason="unwanted", column="language", op="in", threshold=unwanted, source="toy"),)

    def apply(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        found = [text.split()[0].lower() if " " in text else None for text in batch.column(columns.TEXT).to_pylist()]
        reasons = pa.array(["unwanted" if name in self.config.unwanted else None for name in found], pa.string())
        batch = batch.append_column("language", pa.array(found, pa.string()))
        return batch.set_column(batch.schema.get_field_index(columns.DROP_REASON), columns.DROP_REASON, reasons)


class PanicError(BaseException):
    """No Exception: what libraries in Rust raise is none either."""


class Shout(Map):
    """Upper-cases; misbehaves on texts that say so, and logs each batch so that tests see what was redone."""

    name: ClassVar[str] = "shout"
    version: ClassVar[int] = 1
    reads = (columns.TEXT,)
    drops = (columns.CONTENT, columns.CONTENT_TYPE)
    keeps_output = True

    class Settings(Config):
        log: str = ""

    config: Settings

    def apply(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        texts = batch.column(columns.TEXT).to_pylist()
        if self.config.log:
            with Path(self.config.log).open("a") as handle:
                handle.write(f"{len(texts)}\n")
        for text in texts:
            if text == "raise":
                raise ValueError("no shouting here")
            if text == "hang":
                threading.Event().wait()
            if text == "die":
                os.kill(os.getpid(), signal.SIGKILL)
            if text == "crash":
                os.kill(os.getpid(), signal.SIGSEGV)
            if text == "panic":
                raise PanicError("as libraries in Rust do")
            if text.startswith("killed "):
                _be_killed(text)
            if text.startswith("wait "):
                _wait_to_go(Path(text.removeprefix("wait ")))
            if text == "slow":
                time.sleep(0.05)
        out = batch.drop_columns([columns.CONTENT, columns.CONTENT_TYPE])
        position = out.schema.get_field_index(columns.TEXT)
        return out.set_column(position, columns.TEXT, pa.array([t.upper() for t in texts], pa.string()))


def _be_killed(text: str) -> None:
    """`killed N FOLDER`: as if somebody killed the first N processes that come here."""
    _, most, folder = text.split()
    number = len(list(Path(folder).iterdir()))
    if number < int(most):
        (Path(folder) / str(number)).touch()
        os.kill(os.getpid(), signal.SIGKILL)


def _wait_to_go(folder: Path) -> None:
    """Say in `folder` that this process has come here, by its Ray node where it has one; go on when `go` is there."""
    node = ""
    if "ray" in sys.modules:
        import ray

        node = ray.get_runtime_context().get_node_id() if ray.is_initialized() else ""
    (folder / f"{node}-{os.getpid()}").touch()
    while not (folder / "go").exists():
        time.sleep(0.01)


class Measure(Map):
    """Length as a signal, with one rule."""

    name: ClassVar[str] = "measure"
    version: ClassVar[int] = 1
    reads = (columns.TEXT,)
    adds = pa.schema([("num_chars", pa.int32())])
    signals = (Signal(column="num_chars", label="characters", low=0, high=10, num_bins=5),)

    class Settings(Config):
        min_chars: int = 3

    config: Settings

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        threshold = self.config.min_chars
        self.rules = (Rule(reason="too_short", column="num_chars", op="<", threshold=threshold, source="toy"),)

    def apply(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        length = pc.utf8_length(batch.column(columns.TEXT))
        batch = batch.append_column("num_chars", length)
        fired = self.rules[0].fires(length.to_numpy(zero_copy_only=False))
        reasons = pa.array(np.where(fired, "too_short", None).tolist(), pa.string())
        return batch.set_column(batch.schema.get_field_index(columns.DROP_REASON), columns.DROP_REASON, reasons)


class Unique(Group):
    """Keeps the first of equal texts, decided in `num_buckets` buckets and then combined."""

    combines = True

    name: ClassVar[str] = "unique"
    version: ClassVar[int] = 1
    reads = (columns.TEXT,)

    class Settings(Config):
        num_buckets: int = 2

    config: Settings

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.num_buckets = self.config.num_buckets

    def sketch(self, batch: pa.RecordBatch, rows: pa.Array) -> pa.Table:
        texts = batch.column(columns.TEXT)
        for text in texts.to_pylist():
            if text == "SKETCH RAISE":
                raise ValueError("no sketch of this")
            if text == "SKETCH CRASH":
                os.kill(os.getpid(), signal.SIGSEGV)
        buckets = [sum(t.encode()) % self.num_buckets for t in texts.to_pylist()]
        return pa.table({"key": texts, "bucket": pa.array(buckets, pa.int32()), "row": rows})

    def decide(self, bucket: int, sketches: Sketches, context: StageContext) -> pa.Table:
        seen: set[str] = set()
        drop = []
        table = sketches.table(["key", "bucket", "shard", "row"])
        table = table.filter(pc.equal(table["bucket"], bucket))
        for key in table["key"].to_pylist():
            if key == "DECIDE DIE":
                os.kill(os.getpid(), signal.SIGKILL)
            drop.append(key in seen)
            seen.add(key)
        out = table.select(["shard", "row"]).filter(pa.array(drop, pa.bool_()))
        return out.replace_schema_metadata({b"details": b'{"buckets": 2}'})

    def combine(self, decided: Sequence[pa.Table], sketches: Sketches, context: StageContext) -> pa.Table:
        return pa.concat_tables([part.replace_schema_metadata() for part in decided])

    def mark(self, batch: pa.RecordBatch, rows: pa.Array, decisions: pa.Table) -> pa.RecordBatch:
        gone = pc.is_in(rows, decisions["row"].combine_chunks() if decisions.num_rows else pa.array([], pa.int64()))
        reasons = pc.if_else(gone, "duplicate", pa.scalar(None, pa.string()))
        return batch.set_column(batch.schema.get_field_index(columns.DROP_REASON), columns.DROP_REASON, reasons)


def toy_recipe(**changes: Any) -> Recipe:
    return Recipe(name="toy", stages=[], quarantine_budget=1.0).model_copy(update=changes)


def toy_docs(num_shards: int, num_docs: int) -> list[list[list[str | None]]]:
    """Documents with short texts, copies across shards, and one unreadable record per shard."""
    out: list[list[list[str | None]]] = []
    for shard in range(num_shards):
        rows: list[list[str | None]] = [[f"{shard}-{n}", f"text {n % 7}" if n % 5 else "ab"] for n in range(num_docs)]
        out.append([*rows, [f"{shard}-broken", None]])
    return out


def embed(texts: list[str]) -> np.ndarray:
    """Counts of hashed words, as an embedder for `dedup`."""
    out = np.zeros((len(texts), 64))
    for row, text in zip(out, texts, strict=True):
        for word in text.split():
            row[sum(word.encode()) % 64] += 1
    return out
