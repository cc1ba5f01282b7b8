"""The kinds of data that users hand over, behind one interface: values of a column out, and changed rows back in.

A frame holds all of its rows. Streams (`streams`) are cut into lists, which are frames too. The packages pandas, polars
and datasets are recognised only where the user has imported them, and never imported from here.
"""

import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tamis.base.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Change:
    """What becomes of the rows of a frame. All of it is aligned with the rows as they were given."""

    rows: np.ndarray | None
    """int64, ascending: the rows that are returned; None = all of them."""
    text_column: str
    texts: pa.ChunkedArray | None
    """New values of the column `text_column` (string; null = the value stays); None where no text is changed."""
    added: pa.Table
    """New columns."""
    dropped: Sequence[str]
    """Columns of the data that are left out."""
    plain: bool
    """Whether a bare string comes back as a string; else as a dict with the new columns."""


class Frame(ABC):
    """Some rows with named columns."""

    num_rows: int
    names: list[str]

    @abstractmethod
    def values(self, name: str, start: int, stop: int) -> list[Any]:
        """The values of a column in the rows from `start` to `stop`, as Python objects; None where there is none."""

    def array(self, name: str, start: int, stop: int) -> pa.Array | None:
        """The same values as Arrow has them; None where they are Python objects."""
        return None

    @abstractmethod
    def changed(self, change: Change) -> Any:
        """The rows after a change, in the kind in which they were given."""


class ArrowFrame(Frame):
    """A pyarrow Table; `wrap` makes of a table what the user gave."""

    def __init__(self, table: pa.Table, wrap: Callable[[pa.Table], Any] = lambda table: table) -> None:
        self._table, self._wrap = table, wrap
        self.num_rows, self.names = table.num_rows, list(table.column_names)
        twice = [name for name in self.names if self.names.count(name) > 1]
        if twice:
            raise ConfigError(f"the data have two columns {twice[0]!r}: give every column a name of its own")

    def values(self, name: str, start: int, stop: int) -> list[Any]:
        return list(self._table.column(name).slice(start, stop - start).to_pylist())

    def array(self, name: str, start: int, stop: int) -> pa.Array:
        return _one_piece(self._table.column(name).slice(start, stop - start))

    def changed(self, change: Change) -> Any:
        table = self._table
        if change.texts is not None:
            place = table.column_names.index(change.text_column)
            table = table.set_column(place, *_replaced(table.field(place), table.column(place), change.texts))
        table = table.drop_columns(change.dropped)
        for field, column in zip(change.added.schema, change.added.columns, strict=True):
            table = table.append_column(field, column)
        return self._wrap(table if change.rows is None else table.take(pa.array(change.rows)))


def _replaced(field: pa.Field, old: pa.ChunkedArray, new: pa.ChunkedArray) -> tuple[pa.Field, pa.ChunkedArray]:
    """A column of texts with new values in it; of a type that holds no text (all null, dictionaries), a string."""
    is_text = pa.types.is_string(field.type) or pa.types.is_large_string(field.type)
    kind = field.type if is_text else pa.string()
    if not is_text and not pa.types.is_dictionary(field.type):
        return pa.field(field.name, kind), new
    return pa.field(field.name, kind), pc.coalesce(new.cast(kind), old.cast(kind))


def _one_piece(column: pa.ChunkedArray) -> pa.Array:
    return column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays([pa.nulls(0, column.type), *column.chunks])


def as_batch(table: pa.Table) -> pa.RecordBatch:
    """A table as one record batch."""
    batches = table.combine_chunks().to_batches()
    return batches[0] if batches else pa.RecordBatch.from_pylist([], schema=table.schema)


class PandasFrame(Frame):
    """A pandas DataFrame; its index and the types of its columns stay."""

    def __init__(self, frame: Any) -> None:
        self._frame = frame
        self.num_rows, self.names = len(frame), [name for name in frame.columns if isinstance(name, str)]
        twice = [name for name in self.names if self.names.count(name) > 1]
        if twice:
            raise ConfigError(f"the data have two columns {twice[0]!r}: give every column a name of its own")

    def values(self, name: str, start: int, stop: int) -> list[Any]:
        part = self._frame[name].iloc[start:stop]
        return [None if lost else value for value, lost in zip(part.tolist(), part.isna().tolist(), strict=True)]

    def array(self, name: str, start: int, stop: int) -> pa.Array | None:
        try:
            return _one_piece(pa.chunked_array([pa.array(self._frame[name].iloc[start:stop], from_pandas=True)]))
        except (pa.ArrowException, OverflowError):  # Python objects of several types
            return None

    def changed(self, change: Change) -> Any:
        pandas = sys.modules["pandas"]
        frame = self._frame.drop(columns=list(change.dropped))
        if change.texts is not None:
            old = frame[change.text_column]
            texts = _merged(change.texts, old.tolist())
            frame[change.text_column] = pandas.Series(texts, index=frame.index, dtype=old.dtype)
        nullable = {pa.int32(): pandas.Int32Dtype(), pa.int64(): pandas.Int64Dtype()}
        for name, column in zip(change.added.column_names, change.added.columns, strict=True):
            values = column.to_pandas(types_mapper=nullable.get if column.null_count else None)
            frame[name] = values.set_axis(frame.index)
        return frame if change.rows is None else frame.iloc[change.rows]


class PolarsFrame(Frame):
    """A polars DataFrame."""

    def __init__(self, frame: Any) -> None:
        self._frame = frame
        self.num_rows, self.names = frame.height, list(frame.columns)

    def values(self, name: str, start: int, stop: int) -> list[Any]:
        return list(self._frame[name].slice(start, stop - start).to_list())

    def array(self, name: str, start: int, stop: int) -> pa.Array:
        return self._frame[name].slice(start, stop - start).to_arrow()

    def changed(self, change: Change) -> Any:
        polars = sys.modules["polars"]
        frame = self._frame
        if change.texts is not None:
            old = frame[change.text_column]
            kind = polars.String if old.dtype == polars.Null else old.dtype
            texts = polars.Series(change.text_column, _merged(change.texts, old.to_list()), dtype=kind, strict=False)
            frame = frame.with_columns(texts)
        frame = frame.drop(change.dropped)
        if change.added.num_columns:
            frame = frame.hstack(polars.from_arrow(change.added).get_columns())
        return frame if change.rows is None else frame[change.rows]


class DatasetFrame(Frame):
    """A `datasets.Dataset`: what is not changed stays in the files that it is mapped from."""

    def __init__(self, dataset: Any) -> None:
        self._dataset = dataset
        self.num_rows, self.names = dataset.num_rows, list(dataset.column_names)

    def values(self, name: str, start: int, stop: int) -> list[Any]:
        return list(self.array(name, start, stop).to_pylist())

    def array(self, name: str, start: int, stop: int) -> pa.Array:
        part = self._dataset.select_columns([name]).with_format("arrow")[start:stop]
        return _one_piece(part.column(name))

    def changed(self, change: Change) -> Any:
        datasets = sys.modules["datasets"]
        dataset, added = self._dataset.remove_columns(list(change.dropped)), change.added
        if dataset._indices is not None and (change.texts is not None or added.num_columns):
            dataset = dataset.flatten_indices()  # columns are put beside the rows as they are stored
        names = [*dataset.column_names, *added.column_names]
        if change.texts is not None:
            name = change.text_column
            old = dataset.select_columns([name]).with_format("arrow")[:].column(name)
            dataset = dataset.remove_columns([name])
            added = added.append_column(*_replaced(pa.field(name, old.type), old, change.texts))
        if added.num_columns:
            new = datasets.Dataset(datasets.table.InMemoryTable(added.combine_chunks()))
            parts = [dataset, new] if dataset.column_names else [new]
            dataset = datasets.concatenate_datasets(parts, axis=1).select_columns(names)
        return dataset if change.rows is None else dataset.select(change.rows)


class ListFrame(Frame):
    """A list of strings (or bytes), of dicts, or of both."""

    def __init__(self, items: Sequence[Any], column: str) -> None:
        """`column`: the column that an item that is no dict stands for."""
        self._items, self._column = items, column
        self.num_rows = len(items)
        self.names = list(dict.fromkeys(name for item in items for name in _names(item, column)))

    def values(self, name: str, start: int, stop: int) -> list[Any]:
        part = self._items[start:stop]
        if name == self._column:
            return [item.get(name) if isinstance(item, Mapping) else item for item in part]
        return [item.get(name) if isinstance(item, Mapping) else None for item in part]

    def changed(self, change: Change) -> list[Any]:
        rows = range(self.num_rows) if change.rows is None else change.rows.tolist()
        texts = change.texts.to_pylist() if change.texts is not None else None
        added = change.added.to_pylist() if change.added.num_columns else [{}] * self.num_rows
        name, found, dropped = change.text_column, list[Any](), set(change.dropped)
        for row in rows:
            item = self._items[row]
            edited = {name: texts[row]} if texts is not None and texts[row] is not None else {}
            if isinstance(item, Mapping):
                found.append({key: value for key, value in item.items() if key not in dropped} | edited | added[row])
            elif change.plain:
                found.append(edited.get(name, added[row].get(name, item)))
            else:
                found.append({self._column: item, **edited, **added[row]})
        return found


def _names(item: Any, column: str) -> list[str]:
    return [name for name in item if isinstance(name, str)] if isinstance(item, Mapping) else [column]


def _merged(new: pa.ChunkedArray, old: list[Any]) -> list[Any]:
    return [before if text is None else text for text, before in zip(new.to_pylist(), old, strict=True)]


def is_a(data: Any, package: str, name: str) -> bool:
    """Whether `data` is an object of a class of a package, which must have been imported for that."""
    kind = getattr(sys.modules.get(package), name, None)
    return isinstance(kind, type) and isinstance(data, kind)


def frame_of(data: Any, column: str) -> Frame | None:
    """The frame that `data` is, or None for a stream. Raises ConfigError for what is neither.

    `column`: the column that a bare string stands for.
    """
    if isinstance(data, pa.Table):
        return ArrowFrame(data)
    if isinstance(data, pa.RecordBatch):
        return ArrowFrame(pa.Table.from_batches([data]), as_batch)
    if is_a(data, "pandas", "DataFrame"):
        return PandasFrame(data)
    if is_a(data, "polars", "DataFrame"):
        return PolarsFrame(data)
    if is_a(data, "datasets", "Dataset"):
        return DatasetFrame(data)
    _refuse(data)
    if isinstance(data, pa.Array | pa.ChunkedArray):
        return ListFrame(data.to_pylist(), column)
    if isinstance(data, pa.RecordBatchReader) or is_a(data, "datasets", "IterableDataset"):
        return None
    if hasattr(data, "__len__"):
        return ListFrame(list(data), column)
    return None


def _refuse(data: Any) -> None:
    """Raises ConfigError for what is neither rows nor a stream of them."""
    if is_a(data, "polars", "LazyFrame"):
        raise ConfigError("data: a polars LazyFrame has no rows yet; give frame.collect()")
    if is_a(data, "datasets", "DatasetDict") or is_a(data, "datasets", "IterableDatasetDict"):
        splits = ", ".join(map(str, data))
        raise ConfigError(f"data: a {type(data).__name__} holds several data sets ({splits}); give one of them")
    if isinstance(data, Mapping):
        raise ConfigError("data: a dict is one row; give a list of dicts, or pyarrow.table(...) of a dict of columns")
    if not hasattr(data, "__iter__"):
        raise ConfigError(
            f"data: {type(data).__name__} is none of a string, a list of strings or dicts, a pyarrow Table, "
            "RecordBatch or RecordBatchReader, a pandas or polars DataFrame, a datasets.Dataset or IterableDataset, "
            "and an iterable of strings or dicts"
        )
