"""One call of a function of the library: from the user's data to documents, through the stages, and back.

Frames come back whole. Streams stay streams: so many rows are taken at a time as a batch of the pool holds, and each
batch is given back before the next one is read. A stage that needs the whole corpus refuses a stream.
"""

import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tamis.api.chain import Chain
from tamis.api.documents import Documents, Names, Reader
from tamis.api.frames import ArrowFrame, Change, Frame, ListFrame, frame_of, is_a
from tamis.base import columns
from tamis.base.errors import ConfigError, DataError, did_you_mean
from tamis.base.lookup import stored_column
from tamis.base.stage import Group, Stage

Result = Literal["kept", "all", "removed"]
RESULTS: tuple[Result, ...] = ("kept", "all", "removed")
STATUS = (columns.DROP_REASON, columns.ERROR)

BATCH_ROWS, BATCH_BYTES = 512, 8 << 20
"""Rows of a stream that are worked on at once: as many, or as many bytes, as in a batch of the pool."""
GROUP_ROWS = 4096
"""Rows of a batch where all rows are in memory anyway."""


class QuarantineWarning(UserWarning):
    """Some rows could not be processed; the message counts them by kind of error."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of all rows of a frame; everything is aligned with them."""

    ids: pa.ChunkedArray
    """Ids of the documents; null where a row was none."""
    texts: pa.ChunkedArray
    reasons: pa.ChunkedArray
    errors: pa.ChunkedArray
    added: pa.Table

    @property
    def kept(self) -> np.ndarray:
        """bool per row."""
        return pc.and_(self.reasons.is_null(), self.errors.is_null()).to_numpy()


@dataclass(kw_only=True)
class Call:
    """What a function was asked for. `stages` are those of a recipe's step."""

    what: str
    """The function's name, for messages."""
    stages: Sequence[Stage]
    names: Names
    edits: bool = False
    """Whether texts change."""
    removes: bool = False
    """Whether rows leave; else all rows come back, with what was measured."""
    result: Result = "kept"
    prefix: str = ""
    seed: int = 0
    adds: Sequence[str] | None = None
    """The columns that the user gets; None = all that the stages add."""
    resolve: Callable[[Frame, Outcome], pa.Table] | None = None
    """Makes the new columns, where they are not those of the stages."""
    _chain: Chain | None = None

    def __post_init__(self) -> None:
        if self.result not in RESULTS:
            raise ConfigError(f"result: {self.result!r} is none of {', '.join(RESULTS)}")

    def __getstate__(self) -> dict[str, Any]:
        """A call travels to the worker processes of a data loader; what is open stays."""
        return vars(self) | {"_chain": None}

    # Kinds of data.

    def on(self, data: Any) -> Any:
        """The answer, in the kind in which the data were given. Raises ConfigError for data of an unknown kind, or
        without the columns that are needed."""
        if isinstance(data, str | bytes):
            return self._one(data)
        if not hasattr(data, "__len__") and hasattr(data, "__arrow_c_stream__"):
            data = pa.RecordBatchReader.from_stream(data)
        frame = frame_of(data, self.names.body)
        if frame is not None:
            found, trouble = self._frame(frame, 0)
            self._warn(trouble)
            return found
        if any(isinstance(stage, Group) for stage in self.stages):
            raise ConfigError(
                f"{self.what}: it compares all documents with each other, and a stream shows one part at a time. Give "
                "a list, a table or a data frame; for data that do not fit into memory run a recipe: tamis run"
            )
        if isinstance(data, pa.RecordBatchReader):
            return self._reader(data)
        if is_a(data, "datasets", "IterableDataset"):
            return type(data).from_generator(_Again(self, data))
        return self.stream(data)

    def _one(self, text: str | bytes) -> Any:
        if any(isinstance(stage, Group) for stage in self.stages):
            raise ConfigError(f"{self.what}: one text has nothing to be compared with; give a list, a table or a frame")
        frame = ListFrame([text], self.names.body)
        found, trouble = self._frame(frame, 0)
        if trouble and (self.result == "kept" or not self.removes):
            raise DataError(f"{self.what}: {next(iter(trouble))}")
        if not found:
            return None
        row = found[0]
        if isinstance(row, dict) and not self.removes:
            del row[self.names.body]
        return row

    def stream(self, items: Iterable[Any]) -> Iterator[Any]:
        """The answers of a stream, batch by batch. When the stream raises, what it gave before is answered first."""
        trouble, first = Counter[str](), 0
        for chunk in _chunks(items, self.names.body):
            found, new = self._frame(ListFrame(chunk, self.names.body), first)
            trouble += new
            first += len(chunk)
            yield from found
        self._warn(trouble)

    def _reader(self, reader: pa.RecordBatchReader) -> pa.RecordBatchReader:
        empty, _ = self._frame(ArrowFrame(reader.schema.empty_table()), 0)

        def batches() -> Iterator[pa.RecordBatch]:
            trouble, first = Counter[str](), 0
            for batch in reader:
                table, new = self._frame(ArrowFrame(pa.Table.from_batches([batch])), first)
                trouble += new
                first += batch.num_rows
                yield from table.to_batches()
            self._warn(trouble)

        return pa.RecordBatchReader.from_batches(empty.schema, batches())

    def _warn(self, trouble: Mapping[str, int]) -> None:
        """Say which rows could not be processed, where the answer does not."""
        if not trouble or (self.removes and self.result != "kept"):
            return
        kinds = Counter[str]()
        for error, count in trouble.items():
            kinds[error.partition(":")[0]] += count
        shown = ", ".join(f"{kind}: {count}" for kind, count in sorted(kinds.items()))
        become = "are left out; result='all' gives them with their error" if self.removes else "have no new values"
        example = next(iter(trouble))
        warnings.warn(
            f"{self.what}: {sum(kinds.values())} rows could not be processed and {become} ({shown}). First: {example}",
            QuarantineWarning,
            stacklevel=4,
        )

    # Rows.

    def _frame(self, frame: Frame, first: int) -> tuple[Any, Counter[str]]:
        """The changed frame, and how often each error occurred. Row 0 is row `first` for the user."""
        needed = _columns_read(self.stages)
        if self._chain is None:
            self.names.check(frame.names if frame.num_rows or frame.names else [self.names.body])
        reader = Reader(frame, self.names, needed, skips_removed=self.removes)
        if self._chain is None:
            self._check_needed(frame, reader)
            self._chain = Chain(self.stages, self.seed, reader.present())
        outcome = self._outcome(frame, reader, first)
        added = self.resolve(frame, outcome) if self.resolve is not None else outcome.added
        if self.prefix:
            added = added.rename_columns([self.prefix + name for name in added.column_names])
        dropped = [name for name in STATUS if name in frame.names] if self.removes else []
        self._check_clash(frame, [*added.column_names, *(STATUS if self._shows_status else ())], dropped)
        if self._shows_status:
            for name, column in zip(STATUS, (outcome.reasons, outcome.errors), strict=True):
                added = added.append_column(name, column)
        rows = None
        if self.removes and self.result != "all":
            rows = np.flatnonzero(outcome.kept if self.result == "kept" else ~outcome.kept)
        change = Change(
            rows=rows, text_column=self.names.text, texts=outcome.texts if self.edits else None, added=added,
            dropped=dropped, plain=not self._shows_status and (self.edits or self.removes),
        )  # fmt: skip
        trouble = Counter(error for error in outcome.errors.to_pylist() if error is not None)
        return frame.changed(change), trouble

    def _check_needed(self, frame: Frame, reader: Reader) -> None:
        """Raises ConfigError where a stage needs a column of the data that is not there."""
        present = {*reader.present(), *(name for stage in self.stages for name in stage.adds.names)}
        for name in (name for stage in self.stages for name in stage.reads):
            if name not in present:
                near = did_you_mean(name, frame.names)
                raise ConfigError(f"{self.what}: the data have no column '{name}'{near}, which a setting names")

    @property
    def _shows_status(self) -> bool:
        return self.removes and self.result != "kept"

    def _check_clash(self, frame: Frame, new: Sequence[str], dropped: Sequence[str]) -> None:
        clash = [name for name in new if name in frame.names and name not in dropped]
        if clash:
            raise ConfigError(
                f"{self.what}: it writes the column '{clash[0]}', which the data have already. Rename yours, or give "
                "prefix='…', with which all new columns begin"
            )

    def _outcome(self, frame: Frame, reader: Reader, first: int) -> Outcome:
        assert self._chain is not None
        groups = any(isinstance(stage, Group) for stage in self.stages)
        size = GROUP_ROWS if groups else BATCH_ROWS
        starts = range(0, frame.num_rows, size)
        fields = self._fields()
        parts: list[pa.Table] = []
        if groups:
            documents = [reader.read(start, min(start + size, frame.num_rows), first) for start in starts]
            tables = self._chain.run([each.batch for each in documents])
            parts = [self._aligned(*pair, fields) for pair in zip(documents, tables, strict=True)]
        else:
            for start in starts:
                found = reader.read(start, min(start + size, frame.num_rows), first)
                parts.append(self._aligned(found, self._chain.run([found.batch])[0], fields))
        whole = pa.concat_tables(parts) if parts else fields.empty_table()
        named = {name: whole.column(name) for name in _HIDDEN.names}
        return Outcome(
            ids=named[_ID], texts=named[_TEXT], reasons=named[columns.DROP_REASON], errors=named[columns.ERROR],
            added=whole.drop_columns(_HIDDEN.names),
        )  # fmt: skip

    def _fields(self) -> pa.Schema:
        """What is taken of the rows that come out of the stages: hidden columns, then those that the user gets."""
        made = {field.name: field for stage in self.stages for field in stage.adds}
        if self.names.html is not None:
            made = {columns.TEXT: columns.POOL_SCHEMA.field(columns.TEXT)} | made
        wanted = made if self.adds is None else {name: made[name] for name in self.adds}
        shown = {self.names.text if name == columns.TEXT else name: field for name, field in wanted.items()}
        return pa.schema([*_HIDDEN, *(field.with_name(name) for name, field in shown.items())])

    def _aligned(self, documents: Documents, table: pa.Table, fields: pa.Schema) -> pa.Table:
        """The rows of a table at the places of their documents among the rows as given, with nulls between them."""
        count = documents.num_rows
        index = np.full(count, -1)
        index[documents.places] = np.arange(len(documents.places))
        taken = pa.array(index, mask=index < 0) if len(documents.places) < count else None
        source = {_ID: columns.ID, _TEXT: columns.TEXT, self.names.text: columns.TEXT}
        arrays = []
        for field in fields:
            name = source.get(field.name, field.name)
            if name in table.column_names:
                column = table.column(name)
                arrays.append((column if taken is None else column.take(taken)).cast(field.type))
            else:
                arrays.append(pa.chunked_array([pa.nulls(count, field.type)]))
        aligned = pa.Table.from_arrays(arrays, schema=fields)
        for name, before in ((columns.DROP_REASON, documents.removed), (columns.ERROR, documents.errors)):
            if before:
                given = pa.array([before.get(place) for place in range(count)], pa.string())
                place = fields.get_field_index(name)
                aligned = aligned.set_column(place, fields.field(place), pc.coalesce(aligned.column(name), given))
        return aligned


_ID, _TEXT = "\0id", "\0text"
_HIDDEN = pa.schema([(name, pa.string()) for name in (_ID, _TEXT, *STATUS)])


def _columns_read(stages: Sequence[Stage]) -> list[str]:
    """Columns of the data that stages read, beside those of a document."""
    named = [name for stage in stages for name in (*stage.reads, *(stored_column(rule.column) for rule in stage.rules))]
    return list(dict.fromkeys(named))


@dataclass(frozen=True)
class _Again:
    """Makes the answers of a stream that can be read several times."""

    call: Call
    data: Any

    def __call__(self) -> Iterator[dict[str, Any]]:
        return self.call.stream(self.data)


def _chunks(items: Iterable[Any], body: str) -> Iterator[list[Any]]:
    """The items in lists of bounded size. When `items` raises, the exception follows the last list."""
    iterator, chunk, size = iter(items), list[Any](), 0
    failure: Exception | None = None
    while True:
        try:
            item = next(iterator)
        except StopIteration:
            break
        except Exception as error:  # noqa: BLE001 - the user's own, which reaches the user below
            failure = error
            break
        chunk.append(item)
        value = item.get(body) if isinstance(item, Mapping) else item
        size += len(value) if isinstance(value, str | bytes) else 0
        if len(chunk) == BATCH_ROWS or size >= BATCH_BYTES:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk
    if failure is not None:
        raise failure
