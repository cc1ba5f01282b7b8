"""The three shapes of stage: Source, Map, Group. The runner knows these and no stage by name.

A stage object holds only its settings until the worker that runs it calls `open`, and it must be possible to pickle it
before that. Stages open no files (apart from pool, the only Source, which reads through `store`) and know nothing of
workers. They name the files that they need in `assets`, and get them as `Asset` objects, whether the files are on this
machine or elsewhere.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, BinaryIO, ClassVar, Protocol

import pyarrow as pa

from tamis.base.config import Config
from tamis.base.errors import ConfigError, did_you_mean
from tamis.base.plugins import Plugin, object_in_file
from tamis.base.signals import Rule, Signal

REFERENCE_KEY = b"reference_engine"
"""Key in the schema metadata of a batch that a stage with `has_reference` gets: it is to use its reference engine, for
the reason that the value gives."""


class Asset(Protocol):
    """A file that a stage needs, on this machine or elsewhere. `str(asset)` is its path or URI, for messages."""

    @property
    def name(self) -> str:
        """The file name: the last part of its path or URI."""

    def open_read(self) -> BinaryIO:
        """A readable, seekable stream of its bytes."""

    def open_local(self) -> BinaryIO:
        """As `open_read`, but of a file on this machine, which can be mapped into memory."""

    def read_bytes(self) -> bytes: ...

    def read_text(self) -> str:
        """Its text, without a byte-order mark. Raises DataError naming the file when it is not UTF-8."""

    def local_path(self) -> Path:
        """The path of a file on this machine with the same bytes, for libraries that do not read streams."""


class ScratchFolder(Protocol):
    """A temporary folder, for libraries that read and write files only. Names are file names in it."""

    def write_text(self, name: str, text: str) -> None:
        """UTF-8, with newlines as they are."""

    def path(self, name: str) -> Path:
        """The path of a file in the folder, which may exist or be written by a library."""

    def read_bytes(self, name: str) -> bytes: ...


def _no_scratch() -> AbstractContextManager[ScratchFolder]:
    raise AssertionError("this stage needs a scratch folder: StageContext(scratch=tamis.store.scratch.scratch)")


@dataclass(frozen=True, kw_only=True)
class StageContext:
    """What a stage gets when it opens: assets with verified checksums by name, the run's seed, and `scratch`, which
    gives a temporary folder for the length of a `with` block."""

    seed: int
    assets: Mapping[str, Asset] = field(default_factory=dict)
    resident_bytes: Callable[[], int] = lambda: 0
    """Memory that this process uses; 0 where that is unknown."""
    scratch: Callable[[], AbstractContextManager[ScratchFolder]] = _no_scratch


@dataclass(frozen=True, kw_only=True)
class InputShard:
    """One unit of work: `name` is unique and stable within the pool, `fingerprint` identifies the bytes."""

    name: str
    uri: str
    size_bytes: int
    fingerprint: str
    files: tuple[str, ...] = ()
    """Names of the files that it consists of, where they are several."""


class Reading:
    """One reading of a shard, as a source sees it. This one asks for the whole shard; the runner has another one, with
    which it finds its way around records that raise, hang or kill the process."""

    unreadable: Mapping[int, str] = MappingProxyType({})
    """Records, numbered from 0, that are not to be decoded: the row of each gets this `error`."""

    def begins(self, name: str) -> None:
        """A source of several files tells the name of the one whose records follow."""

    def goes_on(self, number: int) -> bool:
        """A source asks this before it looks for record `number` of the shard. If False, it ends as if the file ended
        there; in a shard of several files, the next one begins with the next number."""
        return True


def _without_paths(value: Any, assets: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _without_paths(item, assets) for key, item in value.items()}
    if isinstance(value, list):
        return [next((f"asset {name}" for name in sorted(assets) if assets[name] == item), item) for item in value]
    if isinstance(value, str):
        for name in sorted(assets):
            if assets[name] == value or assets[name].startswith(f"{value.rstrip('/')}/"):
                return f"asset {name}"  # of a folder, its first file
    return value


def _without_files(value: Any) -> Any:
    """A setting that names an object in a file of the user's, as `./mine.py:text`, by the object alone."""
    if isinstance(value, dict):
        return {key: _without_files(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_files(item) for item in value]
    return (object_in_file(value) or value) if isinstance(value, str) else value


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
    drops: tuple[str, ...] = ()
    """Columns that this stage removes: no later stage sees them."""
    keeps_output: bool = False
    """True where repeating the work costs more than storing its result: after a later change, the run then restarts
    from here."""
    kernels: tuple[str, ...] = ()
    """Groups of kernels (`tamis.kernels.GROUPS`) that it runs, which are compiled once per machine."""
    signals: tuple[Signal, ...] = ()
    """Columns to draw histograms of; their rows are counted before removal."""
    rules: tuple[Rule, ...] = ()
    """The rules that this stage applies, for the card, the report and `tamis why`."""
    has_reference: ClassVar[bool] = False
    """Whether it works with a fast engine or with a reference engine that gives the same rows. It may raise
    ShardAgainError where it finds that they are not the same."""
    compares_documents: bool = False
    """True where it removes documents because of other documents: no setting says how many it is meant to take."""
    plugin: Plugin | None = None
    """The origin of the stage, when it does not come with Tamis."""

    def __init__(self, config: Config) -> None:
        self.config = config

    def assets(self) -> dict[str, str]:
        """Name -> path or URI of every file the stage needs; hashed into the fingerprint, handed to `open`."""
        return {}

    def chosen_reasons(self) -> set[str]:
        """Reasons for which whole sources are removed because the user's settings name them (languages, hosts, kinds of
        URL), not because of what is in their documents."""
        return {rule.reason for rule in self.rules if rule.compares_labels}

    def open(self, context: StageContext) -> None:  # noqa: B027 - most stages need nothing
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

    def plan_notes(self) -> list[str]:
        """What the user is told of the settings before the run: what they ask for and this stage does not do."""
        return []

    def resolved_settings(self) -> dict[str, Any]:
        """The settings in use, as JSON. They parse to the same stage, with every default replaced by the value that it
        stands for."""
        return self.config.model_dump(mode="json")

    def settings_without_paths(self) -> dict[str, Any]:
        """`resolved_settings` with the name of an asset in place of its path. What an asset contains is in the
        fingerprint, so equal work has an equal fingerprint wherever its files lie and whatever they are called."""
        return {name: _without_paths(value, self.assets()) for name, value in self.resolved_settings().items()}

    def card_settings(self) -> dict[str, Any]:
        """The settings as the card has them: nothing in them depends on where the user keeps files."""
        return {name: _without_files(value) for name, value in self.settings_without_paths().items()}

    def identity(self) -> list[Any]:
        """What the fingerprint covers, apart from assets and input."""
        return [self.name, self.version, self.settings_without_paths()]

    def full_identity(self) -> list[Any]:
        """`identity`, and the source of a stage that does not come with Tamis."""
        return [*self.identity(), *([self.plugin.identity()] if self.plugin is not None else [])]


class Source(Stage):
    """Shards -> batches of `columns.POOL_SCHEMA`."""

    @abstractmethod
    def shards(self) -> Sequence[InputShard]:
        """The pool in a stable order. Raises DataError when it is empty, ConfigError when an input does not exist."""

    @abstractmethod
    def read(self, shard: InputShard, reading: Reading = Reading()) -> Iterator[pa.RecordBatch]:  # noqa: B008
        """Stream one shard. Rows that cannot be read carry `error`; a shard that cannot be opened raises DataError.

        The source calls `reading.goes_on` with the number of every record before it looks for it, and decodes none of
        the records in `reading.unreadable`. The same shard gives the same rows each time it is read. Where a record
        cannot be told from the next one without reading it, it may be decoded all the same: if it fails again, the
        runner gives up the rest of the shard.
        """

    def sample(self, shard: InputShard, most: int) -> tuple[list[pa.RecordBatch], float]:
        """The first rows of a shard (`most` rows, or up to a batch more), and approximately which share of the shard
        they are. This implementation reads the whole shard."""
        return list(self.read(shard)), 1.0

    def uris(self, shard: InputShard) -> list[str]:
        """Paths or URIs of the files of a shard."""
        return [shard.uri]

    def holds_pages(self, shard: InputShard) -> bool:
        """Whether the name of a shard says that its documents are pages, whose text is yet to be extracted."""
        return False

    def skipped_files(self) -> dict[str, list[str]]:
        """Files among the inputs that are not read, which are reported to the user: reason, as what follows `3 files`
        -> paths."""
        return {}

    def remarks(self) -> list[str]:
        """Sentences about the inputs that the user should read before the run starts, once `shards` was called."""
        return []

    def notes(self) -> dict[str, int]:
        """Numbers, by name, of records that the last `read` skipped because they are not documents (request records,
        for example)."""
        return {}


class Map(Stage):
    """Turns a batch into a batch with the same rows in the same order. It may add columns or change `text`. It removes
    a row only by writing `drop_reason`, and quarantines a row only by writing `error`."""

    @abstractmethod
    def apply(self, batch: pa.RecordBatch) -> pa.RecordBatch: ...


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """The amount of data that reaches a group. It is known exactly once the sketches exist, and is estimated from a
    sample of the pool before that."""

    num_documents: int
    text_bytes: int


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What a group needs: the memory of one decision and of combining, beyond that of the process itself, and the disk
    space of the sketches."""

    memory_bytes: int
    sketch_bytes: int
    combine_memory_bytes: int = 0


class Sketches(ABC):
    """The sketches of the whole corpus, read from disk. They are ordered by shard and, within a shard, in the order in
    which they were made."""

    num_shards: int
    num_lines: int

    @abstractmethod
    def batches(self, columns: Sequence[str], shards: Sequence[int] | None = None) -> Iterator[pa.RecordBatch]:
        """Stream some columns of all shards, or of the given ones, with some tens of megabytes in memory at a time. The
        column `shard` (int32) is added by the runner; all others are what `sketch` returned."""

    def table(self, columns: Sequence[str]) -> pa.Table:
        """Some columns of the whole corpus as a table in memory."""
        return pa.Table.from_batches(self.batches(columns), schema=self.schema(columns))

    @abstractmethod
    def schema(self, columns: Sequence[str]) -> pa.Schema:
        """The types of `columns`, which are also known when there are no lines."""

    @abstractmethod
    def documents(self, shard: int, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Stream some columns of the documents of a shard that were sketched; document k is row k of the sketch."""


class Findings(ABC):
    """What the earlier rounds of a group's decision found, read from disk."""

    @abstractmethod
    def table(
        self, round_number: int, columns: Sequence[str] | None = None, where: tuple[str, int] | None = None
    ) -> pa.Table:
        """The findings of all jobs of a round (0 is `decide`, 1 `combine`) in their order, with all columns or some of
        them; `where` is a column and the value that it has in the rows that are wanted."""


class Group(Stage):
    """Needs the whole corpus: `sketch` per shard -> `decide` per bucket -> (`combine` once) -> `mark` per shard.

    Buckets are decided independently and in parallel. Each of them can read all sketches, and uses the columns, shards
    or lines that belong to it. What a bucket cannot decide alone is decided by `combine` from the findings of all
    buckets. A group whose decision takes more steps than these two names the jobs of its `later_rounds`.
    """

    compares_documents = True
    num_buckets: int = 1
    combines: bool = False
    """Whether `combine` follows `decide`. If so, `mark` gets the result of `combine`."""

    @abstractmethod
    def sketch(self, batch: pa.RecordBatch, rows: pa.Array) -> pa.Table:
        """What `decide` needs to know of this batch, as a table with any number of lines. `rows` (int64): position of
        each document among those that reached this stage in this shard. The runner adds int32 `shard`."""

    @abstractmethod
    def decide(self, bucket: int, sketches: Sketches, context: StageContext) -> pa.Table:
        """The findings of one bucket. Of a table with the columns `shard` and `row`, `mark` gets the rows of its own
        shard; a table without them is given to every shard as a whole. `schema.metadata[b"details"]`, if set, is JSON
        for the card."""

    def combine(self, decided: Sequence[pa.Table], sketches: Sketches, context: StageContext) -> pa.Table:
        """The decision, from the findings of every bucket in order; shaped as `decide` says."""
        raise NotImplementedError(f"{self.name} does not combine")

    def later_rounds(self, num_shards: int) -> Sequence[tuple[str, int]]:
        """Name and number of jobs of each round of decisions that follows `combine`. If there is one, `mark` gets the
        findings of the last."""
        return ()

    def decide_later(
        self, round_number: int, job: int, findings: Findings, sketches: Sketches, context: StageContext
    ) -> pa.Table:
        """The findings of one job of a later round; the first of these rounds is number 2. If
        `schema.metadata[b"partition"]` names a column, rows with different values of it can be read apart: each value
        must have its rows in one piece."""
        raise NotImplementedError(f"{self.name} has no later rounds")

    @abstractmethod
    def mark(self, batch: pa.RecordBatch, rows: pa.Array, decisions: pa.Table) -> pa.RecordBatch:
        """As `Map.apply`; `rows` (int64) are the positions that `sketch` saw, `decisions` those for this shard, ordered
        by row."""

    def cost(self, corpus: Corpus) -> Cost | None:
        """What a decision on such a corpus needs; None where that is negligible."""
        return None

    def expectation(self) -> str:
        """What to tell a user of the settings before a run: what they can be expected to find. '' for nothing."""
        return ""
