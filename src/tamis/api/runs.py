"""A finished run opened as data: the documents after any stored step, those that a step removed, and its card.

Nothing is copied: shards are read where they lie, locally or on an object store, when rows are asked for.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa

from tamis.base import columns
from tamis.base.errors import ConfigError, did_you_mean
from tamis.store.location import Location
from tamis.store.rundir import RunDir, StageDir, read_card
from tamis.store.rundir import open_run as open_folder
from tamis.store.shards import dataset_of, num_rows_of, read_shard, schema_of

_NO_ROWS = pa.schema([(name, pa.string()) for name in (columns.ID, columns.URL)])


class Rows:
    """Rows of some shards, which are read when they are asked for. pandas, polars and duckdb read it as Arrow data."""

    def __init__(self, places: Sequence[Location], empty: pa.Schema) -> None:
        """`empty`: the columns where there are no files."""
        self._places, self._empty = list(places), empty

    def __repr__(self) -> str:
        return f"<{self.num_rows} rows in {len(self._places)} files: {', '.join(self.schema.names)}>"

    @property
    def files(self) -> list[str]:
        """Paths or URIs of the Parquet files, in order."""
        return [str(place) for place in self._places]

    @property
    def schema(self) -> pa.Schema:
        """Names and types of the columns."""
        return schema_of(self._places[0]) if self._places else self._empty

    @property
    def num_rows(self) -> int:
        """The number of rows, from the footers of the files."""
        return sum(num_rows_of(place) for place in self._places)

    def dataset(self) -> Any:
        """A `pyarrow.dataset.Dataset`, which filters and projects while it reads."""
        return dataset_of(self._places, self.schema)

    def batches(self, columns: Sequence[str] | None = None, batch_rows: int = 1024) -> Iterator[pa.RecordBatch]:
        """The rows in batches of at most `batch_rows`; one batch at a time is in memory. Raises ConfigError for an
        unknown column, DataError for a damaged file."""
        self._check(columns)
        for place in self._places:
            yield from read_shard(place, columns, batch_rows)

    def reader(self, columns: Sequence[str] | None = None) -> pa.RecordBatchReader:
        """The rows as a stream, which the functions of this library take too."""
        self._check(columns)
        schema = self.schema if columns is None else pa.schema([self.schema.field(name) for name in columns])
        return pa.RecordBatchReader.from_batches(schema, self.batches(columns))

    def to_table(self, columns: Sequence[str] | None = None) -> pa.Table:
        """All rows in memory."""
        return self.reader(columns).read_all()

    def to_pandas(self, columns: Sequence[str] | None = None) -> Any:
        """All rows as a pandas DataFrame."""
        return self.to_table(columns).to_pandas()

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """The rows one by one, as dicts."""
        for batch in self.batches():
            yield from batch.to_pylist()

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        return self.reader().__arrow_c_stream__(requested_schema)

    def _check(self, names: Sequence[str] | None) -> None:
        for name in names or ():
            if name not in self.schema.names:
                raise ConfigError(f"no column '{name}'{did_you_mean(name, self.schema.names)}")


class Run:
    """A run in a workspace. Steps are named as `tamis status` does, `03_filter`, or shorter where only one is meant,
    `filter`."""

    def __init__(self, folder: RunDir) -> None:
        self._folder = folder

    def __repr__(self) -> str:
        return f"<run {self.path}: {', '.join(self.steps)}>"

    @property
    def path(self) -> str:
        """The folder or URI of the run."""
        return str(self._folder.root)

    @property
    def recipe(self) -> dict[str, Any]:
        """The recipe with every setting that was in use."""
        return self._folder.read_recipe()

    @property
    def steps(self) -> list[str]:
        """The steps in their order."""
        return list(self._folder.steps())

    def card(self, step: str) -> dict[str, Any]:
        """The card of a step: settings, number of documents in, kept, removed by reason and quarantined, and details.
        Raises ConfigError where there is no such step, or it is not finished."""
        return read_card(self._finished(step)[1].card).to_dict()

    def documents(self, step: str | None = None) -> Rows:
        """The documents that a step kept; without a step, those of the last one that stored them. Raises ConfigError
        where it stored none."""
        if step is None:
            stored = [name for name in self.steps if self._stores(name)]
            if not stored:
                raise ConfigError(f"{self.path}: no step of this run has stored documents yet. Run it again to go on")
            step = stored[-1]
        label, folder = self._finished(step)
        if not self._stores(label):
            stored = [name for name in self.steps if self._stores(name)]
            raise ConfigError(
                f"{self.path}: the documents after {label} are not stored: they went on to the next step. Stored are "
                f"those after {', '.join(stored) or 'no step'}; to store them, run the recipe with --until"
            )
        return Rows(folder.shards.children("*.parquet"), _NO_ROWS)

    def removed(self, step: str) -> Rows:
        """The documents that a step removed, with their `drop_reason`, what decided, and the beginning of the text
        (`excerpt`). Raises ConfigError as `card`."""
        return self._left(step, "removed", columns.DROP_REASON)

    def quarantined(self, step: str) -> Rows:
        """The documents that a step could not process, with their `error`. Raises ConfigError as `card`."""
        return self._left(step, "quarantine", columns.ERROR)

    def _left(self, step: str, kind: str, status: str) -> Rows:
        _, folder = self._finished(step)
        empty = _NO_ROWS.append(pa.field(status, pa.string())).append(pa.field("excerpt", pa.string()))
        return Rows((folder.root / kind).children("*.parquet"), empty)

    def _stores(self, label: str) -> bool:
        return self._folder.stage(label).shards.is_folder()

    def _finished(self, step: str) -> tuple[str, StageDir]:
        """The label and the artefact of a finished step."""
        found = [label for label in self.steps if step in (label, label.partition("_")[2])]
        if not found:
            names = [*self.steps, *(label.partition("_")[2] for label in self.steps)]
            raise ConfigError(f"{self.path}: this run has no step '{step}'{did_you_mean(step, dict.fromkeys(names))}")
        if len(found) > 1:
            raise ConfigError(f"{self.path}: several steps are called '{step}'; name one of {', '.join(found)}")
        folder = self._folder.stage(found[0])
        if not folder.card.exists():
            raise ConfigError(f"{self.path}: the step {found[0]} is not finished. Run the recipe again to go on")
        return found[0], folder


def open_run(path: str) -> Run:
    """The run in the folder `path`, on this machine or an object store. Raises ConfigError where there is none."""
    return Run(open_folder(path))
