"""The three shapes of stage: Source, Map, Group. The runner knows these and no stage by name.

A stage object is its settings until `open` is called in the worker that runs it: it must pickle before `open`. Stages
open no files (pool, the one Source, reads through `store`) and know nothing of workers; what they need from outside
they name in `assets` and are handed as `Asset`s, wherever those lie.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, ClassVar, Protocol

import pyarrow as pa

from tamis.base.config import Config
from tamis.base.errors import ConfigError, did_you_mean
from tamis.base.plugins import Plugin
from tamis.base.signals import Rule, Signal


class Asset(Protocol):
    """A file that a stage needs, on this machine or not. Its text (`str`) is where it lies, for messages."""

    @property
    def name(self) -> str:
        """The last part of where it lies."""

    def open_read(self) -> BinaryIO:
        """A readable, seekable stream of its bytes."""

    def open_local(self) -> BinaryIO:
        """The same, of a file of this machine, which can be mapped into memory."""

    def read_bytes(self) -> bytes: ...

    def read_text(self) -> str:
        """Its UTF-8 text, without a byte-order mark. Raises DataError naming the file when it is none."""

    def local_path(self) -> Path:
        """A file of this machine with these bytes, for libraries that take no stream."""


class ScratchFolder(Protocol):
    """A temporary folder, for libraries that read and write files only. Names are file names in it."""

    def write_text(self, name: str, text: str) -> None:
        """UTF-8, with newlines as they are."""

    def path(self, name: str) -> Path:
        """Where a file lies, or is to be written by a library."""

    def read_bytes(self, name: str) -> bytes: ...


def _no_scratch() -> AbstractContextManager[ScratchFolder]:
    raise AssertionError("this stage needs a scratch folder: Context(scratch=tamis.store.scratch.scratch)")


@dataclass(frozen=True, kw_only=True)
class Context:
    """What a stage is handed when it opens: checksummed assets by name, the run's seed, and `scratch`, which gives a
    temporary folder for the length of a `with` block."""

    seed: int
    assets: Mapping[str, Asset] = field(default_factory=dict)
    scratch: Callable[[], AbstractContextManager[ScratchFolder]] = _no_scratch


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
    kernels: tuple[str, ...] = ()
    """Groups of kernels (`tamis.kernels.GROUPS`) that it runs, which are compiled once per machine."""
    signals: tuple[Signal, ...] = ()
    """Columns to draw histograms of; their rows are counted before removal."""
    rules: tuple[Rule, ...] = ()
    """The tests this stage applies, for the card, the report and `tamis why`."""
    plugin: Plugin | None = None
    """Where the stage itself is from, when the recipe names one that Tamis does not bring along."""

    def __init__(self, config: Config) -> None:
        self.config = config

    def assets(self) -> dict[str, str]:
        """Name -> path or URI of every file the stage needs; hashed into the fingerprint, handed to `open`."""
        return {}

    def open(self, context: Context) -> None:  # noqa: B027 - most stages need nothing
        """Called once per worker before the first batch: load models, warm kernels."""

    def check_columns(self, present: Mapping[str, pa.DataType]) -> None:
        """Called when the plan is made: `present` are the columns that reach this stage, with their types.

        Raises ConfigError for a column that a setting names and no earlier step provides.
        """
        for column in self.reads:
            if column not in present:
                raise ConfigError(
                    f"{self.name}: needs the column '{column}', which no earlier stage provides"
                    f"{did_you_mean(column, present)}. Add the stage that makes it before '{self.name}'."
                )

    def resolved_settings(self) -> dict[str, Any]:
        """The settings in use, as JSON: what parses to the same stage and says every value that a default stands
        for."""
        return self.config.model_dump(mode="json")

    def identity(self) -> list[Any]:
        """What the fingerprint covers, apart from assets and input."""
        return [self.name, self.version, self.config.model_dump(mode="json")]

    def full_identity(self) -> list[Any]:
        """`identity`, and the source of a stage that Tamis does not bring along."""
        return [*self.identity(), *([self.plugin.identity()] if self.plugin is not None else [])]


class Source(Stage):
    """Shards -> batches of `columns.POOL_SCHEMA`."""

    @abstractmethod
    def shards(self) -> Sequence[InputShard]:
        """The pool in a stable order. Raises DataError when it is empty, ConfigError when an input does not exist."""

    @abstractmethod
    def read(self, shard: InputShard) -> Iterator[pa.RecordBatch]:
        """Stream one shard. Rows that cannot be read carry `error`; a shard that cannot be opened raises DataError."""

    def sample(self, shard: InputShard, most: int) -> tuple[list[pa.RecordBatch], float]:
        """The first rows of a shard, `most` or a batch more, and about what share of the shard they are. This one reads
        it all."""
        return list(self.read(shard)), 1.0

    def holds_pages(self, shard: InputShard) -> bool:
        """Whether the name of a shard says that its documents are pages, whose text is yet to be extracted."""
        return False

    def skipped_files(self) -> list[str]:
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


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """How much reaches a group: known exactly once sketched, estimated from a sample of the pool before."""

    num_documents: int
    text_bytes: int


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What a group will take: memory of one decision and of combining, beyond the process itself; disk of sketches."""

    memory_bytes: int
    sketch_bytes: int
    combine_memory_bytes: int = 0


class Sketches(ABC):
    """The sketches of the whole corpus as they lie on disk, ordered by shard and, within one, as they were made."""

    num_shards: int
    num_lines: int

    @abstractmethod
    def batches(self, columns: Sequence[str], shards: Sequence[int] | None = None) -> Iterator[pa.RecordBatch]:
        """Stream some columns, of all shards or some: a few ten megabytes at a time, never all in memory. The column
        `shard` (int32) is the runner's, all others are what `sketch` returned."""

    def table(self, columns: Sequence[str]) -> pa.Table:
        """Some columns, whole, in memory."""
        return pa.Table.from_batches(self.batches(columns), schema=self.schema(columns))

    @abstractmethod
    def schema(self, columns: Sequence[str]) -> pa.Schema:
        """Types of `columns`; also known when there is no line."""


class Group(Stage):
    """Needs the whole corpus: `sketch` per shard -> `decide` per bucket -> (`combine` once) -> `mark` per shard.

    Buckets are decided independently, in parallel, and each sees all sketches: it takes the columns, shards or lines
    that are its own. What one bucket cannot decide alone, `combine` decides from all buckets' findings.
    """

    num_buckets: int = 1
    combines: bool = False
    """Whether `combine` follows `decide`; its answer then is what `mark` gets."""

    @abstractmethod
    def sketch(self, batch: pa.RecordBatch, rows: pa.Array) -> pa.Table:
        """What `decide` needs to know of this batch, in any number of lines. `rows` (int64): position of each document
        among those that reached this stage in this shard. The runner adds int32 `shard`."""

    @abstractmethod
    def decide(self, bucket: int, sketches: Sketches, context: Context) -> pa.Table:
        """Findings of one bucket. A table with columns `shard` and `row` is handed to `mark` shard by shard; one
        without is handed whole to every shard. `schema.metadata[b"details"]`, if set, is JSON for the card."""

    def combine(self, decided: Sequence[pa.Table], sketches: Sketches, context: Context) -> pa.Table:
        """The decision, from the findings of every bucket in order; shaped as `decide` says."""
        raise NotImplementedError(f"{self.name} does not combine")

    @abstractmethod
    def mark(self, batch: pa.RecordBatch, rows: pa.Array, decisions: pa.Table) -> pa.RecordBatch:
        """As `Map.apply`; `rows` (int64) are the positions that `sketch` saw, `decisions` those for this shard, ordered
        by row."""

    def cost(self, corpus: Corpus) -> Cost | None:
        """What deciding on such a corpus takes; None where it is next to nothing."""
        return None
