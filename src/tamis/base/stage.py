"""The three shapes of stage: Source, Map, Group. The runner knows these and no stage by name.

A stage object is its settings until `open` is called in the worker that runs it: it must pickle before `open`. Stages
open no files (pool, the one Source, reads through `store`) and know nothing of workers; what they need from outside
they name in `assets` and get as local paths.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa

from tamis.base.config import Config
from tamis.base.signals import Rule, Signal


@dataclass(frozen=True, kw_only=True)
class Context:
    """What a stage is handed when it opens: local, checksummed asset paths by name, and the run's seed."""

    seed: int
    assets: dict[str, Path] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class InputShard:
    """One unit of work: `name` is unique and stable within the pool, `fingerprint` identifies the bytes."""

    name: str
    uri: str
    size_bytes: int
    fingerprint: str


class Stage(ABC):
    """What every step of a plan declares; a step of a recipe becomes one or more of these."""

    name: ClassVar[str]
    """Lower case, as in run folders: `filter`."""
    version: ClassVar[int]
    """Bumped whenever output can change for the same input and settings; part of the fingerprint."""
    reads: tuple[str, ...] = ()
    """Columns that must exist."""
    adds: pa.Schema = pa.schema([])
    """Columns this stage creates."""
    ends: tuple[str, ...] = ()
    """Columns that no later stage sees."""
    keeps_output: bool = False
    """True where redoing the work costs more than storing its result: later changes then restart from here."""
    compiles: bool = False
    """True where `open` loads kernels, which are compiled once per machine."""
    signals: tuple[Signal, ...] = ()
    """Columns to draw histograms of; their rows are counted before removal."""
    rules: tuple[Rule, ...] = ()
    """The tests this stage applies, for the card, the report and `tamis why`."""

    def __init__(self, config: Config) -> None:
        self.config = config

    def assets(self) -> dict[str, str]:
        """Name -> path or URI of every file the stage needs; hashed into the fingerprint, handed to `open`."""
        return {}

    def open(self, context: Context) -> None:  # noqa: B027 - most stages need nothing
        """Called once per worker before the first batch: load models, warm kernels."""

    def identity(self) -> list[Any]:
        """What the fingerprint covers, apart from assets and input."""
        return [self.name, self.version, self.config.model_dump(mode="json")]


class Source(Stage):
    """Shards -> batches of `columns.POOL_SCHEMA`."""

    @abstractmethod
    def shards(self) -> Sequence[InputShard]:
        """The pool in a stable order. Raises DataError when it is empty, ConfigError when an input does not exist."""

    @abstractmethod
    def read(self, shard: InputShard) -> Iterator[pa.RecordBatch]:
        """Stream one shard. Rows that cannot be read carry `error`; a shard that cannot be opened raises DataError."""

    def passed_over(self) -> list[str]:
        """Files that lie among the inputs and are not read, so that the user can be told."""
        return []

    def notes(self) -> dict[str, int]:
        """Counts, by name, of what the last `read` passed over that was never a document (request records, say)."""
        return {}


class Map(Stage):
    """Batch in, batch out: same rows, same order; may add columns or change `text`; removes a row only by writing
    `drop_reason`, and gives one up only by writing `error`."""

    @abstractmethod
    def apply(self, batch: pa.RecordBatch) -> pa.RecordBatch: ...


class Group(Stage):
    """Needs the whole corpus: `sketch` per shard -> `decide` per bucket -> `mark` per shard."""

    num_buckets: int = 1
    one_line_per_row: bool = True
    """Whether `sketch` returns one line per row; a group that samples sets it to False."""

    @abstractmethod
    def sketch(self, batch: pa.RecordBatch) -> pa.Table:
        """What `decide` needs to know of these rows. The runner adds int32 `shard` and, with `one_line_per_row`, int64
        `row` (position of the document among those that reached this stage in that shard). A column `bucket` (int32)
        is required when num_buckets > 1."""

    @abstractmethod
    def decide(self, bucket: int, sketches: pa.Table, context: Context) -> pa.Table:
        """Decisions from all sketches of one bucket, which arrive ordered by (shard, row). A table with columns
        `shard` and `row` is handed to `mark` shard by shard; one without is handed whole to every shard.
        `decisions.schema.metadata[b"details"]`, if set, is JSON for the card."""

    @abstractmethod
    def mark(self, batch: pa.RecordBatch, rows: pa.Array, decisions: pa.Table) -> pa.RecordBatch:
        """As `Map.apply`; `rows` (int64) are the positions that `sketch` saw, `decisions` those for this shard."""
