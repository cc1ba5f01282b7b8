"""Rows of the user's data become documents, as the pool makes them of the same record in a file.

A row without a text becomes no document: it gets an error of the same kind as in a run. Lone surrogates, which UTF-8
does not know, become U+FFFD, as they do when JSON lines are read.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from tamis.api.frames import Frame
from tamis.base import columns, exact_json
from tamis.base.errors import ConfigError, DataError
from tamis.stages.pool.parquet_values import json_values
from tamis.store.jsonl import from_record

NO_TEXT_FIELD = "no_text_field"
UTF8_PAGE = "text/html; charset=utf-8"
"""The content type of a page that is given as a string."""
_OURS = frozenset(columns.POOL_SCHEMA.names)
_NAMES_SHOWN = 20


@dataclass(frozen=True, kw_only=True)
class Names:
    """Which columns of the user's data hold what; None = the one of our name, where there is one."""

    text: str = columns.TEXT
    url: str | None = None
    id: str | None = None
    html: str | None = None
    """The column of pages, where texts are made of them."""

    @property
    def body(self) -> str:
        """The column that documents are made of, and that a bare string stands for."""
        return self.html or self.text

    def check(self, present: Collection[str]) -> None:
        """Raises ConfigError for a column that is named and not there."""
        body = "html_column" if self.html else "text_column"
        for setting, name in ((body, self.body), ("url_column", self.url), ("id_column", self.id)):
            if name is not None and name not in present:
                shown = ", ".join(map(repr, list(present)[:_NAMES_SHOWN])) or "none at all"
                more = ", …" if len(present) > _NAMES_SHOWN else ""
                raise ConfigError(
                    f"{setting}: the data have no column '{name}' (they have: {shown}{more}). Give {setting}="
                )


@dataclass(frozen=True, kw_only=True)
class Documents:
    """The documents of `num_rows` rows: `batch` as stages get it, and `places` (int64) of its documents among the rows.
    Of the other rows, by place, the errors, or the reasons for which they were removed before."""

    num_rows: int
    batch: pa.RecordBatch
    places: np.ndarray
    errors: Mapping[int, str]
    removed: Mapping[int, str]


class Reader:
    """Makes documents of a frame's rows."""

    def __init__(self, frame: Frame, names: Names, needed: Collection[str], skips_removed: bool) -> None:
        """`needed`: the columns that the stages read. `skips_removed`: rows for which an earlier step wrote a
        `drop_reason` or an `error` become no documents. Raises DataError for a column of mixed types that a stage
        needs, ConfigError for a status that is none of ours."""
        self._frame, self._names = frame, names
        known = {columns.URL: names.url or columns.URL, columns.ID: names.id or columns.ID}
        known |= {name: name for name in (columns.METADATA, columns.CONTENT_TYPE)}
        self._fields = {ours: name for ours, name in known.items() if name in frame.names}
        self._others: list[str] = []
        if columns.EXTRA in needed:
            used = {names.body, *self._fields.values(), columns.DROP_REASON, columns.ERROR}
            self._others = [name for name in frame.names if name not in used]
        own = [name for name in needed if name in frame.names and name not in _OURS]
        self._carried = {name: _array(name, frame.values(name, 0, frame.num_rows)) for name in own}
        status = [name for name in (columns.DROP_REASON, columns.ERROR) if name in frame.names]
        self._status = status if skips_removed else []

    def present(self) -> dict[str, pa.DataType]:
        """The columns that reach the stages, with their types."""
        ours = dict(zip(columns.POOL_SCHEMA.names, columns.POOL_SCHEMA.types, strict=True))
        return ours | {name: values.type for name, values in self._carried.items()}

    def read(self, start: int, stop: int, first: int) -> Documents:
        """The documents of the rows from `start` to `stop`; row 0 of the frame is row `first` for the user."""
        records: list[dict[str, Any]] = []
        places = list[int]()
        removed, errors = (self._before(name, start, stop) for name in (columns.DROP_REASON, columns.ERROR))
        bodies = self._frame.values(self._names.body, start, stop)
        fields = self._values(start, stop)
        for place, body in enumerate(bodies):
            if place in removed or place in errors:
                continue
            number = first + start + place
            try:
                records.append(self._record(body, {name: values[place] for name, values in fields.items()}, number))
                places.append(place)
            except ValueError as error:
                errors[place] = str(error)
        at = np.array(places, np.int64)
        batch = self._batch(records, at + start)
        return Documents(num_rows=stop - start, batch=batch, places=at, errors=errors, removed=removed)

    def _before(self, name: str, start: int, stop: int) -> dict[int, str]:
        """Place -> what an earlier step wrote into the column `drop_reason` or `error`."""
        if name not in self._status:
            return {}
        found = {place: value for place, value in enumerate(self._frame.values(name, start, stop)) if value is not None}
        for value in found.values():
            if not isinstance(value, str):
                raise ConfigError(
                    f"the column '{name}' of the data holds {value!r:.40}, but Tamis writes reasons there, by which "
                    "removed rows are known. Rename yours."
                )
        return found

    def _values(self, start: int, stop: int) -> dict[str, list[Any]]:
        named = {ours: self._frame.values(name, start, stop) for ours, name in self._fields.items()}
        return {name: self._json(name, start, stop) for name in self._others} | named

    def _json(self, name: str, start: int, stop: int) -> list[Any]:
        """The values of a further column as the pool has them in `extra`. Raises DataError for values that JSON cannot
        hold."""
        array = self._frame.array(name, start, stop)
        try:
            return (
                json_values(name, array, as_text=False) if array is not None else self._frame.values(name, start, stop)
            )
        except ValueError as error:
            raise DataError(f"the column '{name}' cannot be read: {error}. Leave it out of the data.") from None

    def _record(self, body: Any, fields: dict[str, Any], number: int) -> dict[str, Any]:
        """One document, column by column. Raises ValueError with the error of a row that is none."""
        given = {name: _repaired(value) for name, value in fields.items() if value is not None}
        content_type = given.pop(columns.CONTENT_TYPE, None)
        metadata = given.get(columns.METADATA)
        if isinstance(metadata, list):  # a map, as Arrow gives it
            given[columns.METADATA] = dict(metadata)
        for name, kind in ((columns.ID, str), (columns.URL, str), (columns.METADATA, dict)):
            if not isinstance(given.get(name), kind):
                given.pop(name, None)
        if self._names.html is None:
            text, content = _text(body, self._names.body, number), None
        else:
            text, content = "", _page(body, self._names.body, number)
            content_type = UTF8_PAGE if isinstance(body, str) else content_type
        try:
            document = from_record({**given, columns.TEXT: text}, f"row {number}")
        except (ValueError, TypeError) as error:
            raise ValueError(f"bad_value: row {number}: {error}") from None
        return {
            columns.ID: document.id, columns.URL: document.url, columns.EXTRA: document.extra,
            columns.TEXT: text if content is None else None, columns.CONTENT: content,
            columns.CONTENT_TYPE: content_type if isinstance(content_type, str) else None,
        }  # fmt: skip

    def _batch(self, records: list[dict[str, Any]], rows: np.ndarray) -> pa.RecordBatch:
        has_pages = self._names.html is not None
        fields = [field for field in columns.POOL_SCHEMA if has_pages or not field.name.startswith(columns.CONTENT)]
        arrays = {field.name: pa.array([record.get(field.name) for record in records], field.type) for field in fields}
        carried = {name: values.take(pa.array(rows)) for name, values in self._carried.items()}
        return pa.RecordBatch.from_pydict(arrays | carried)


def _repaired(value: Any) -> Any:
    return exact_json.without_lone_surrogates(value) if isinstance(value, str) else value


def _text(value: Any, column: str, number: int) -> str:
    if isinstance(value, str):
        return exact_json.without_lone_surrogates(value)
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError as error:
            raise ValueError(f"not_utf8: row {number}: {error.reason} at byte {error.start}") from None
    raise _no_text(value, column, number)


def _page(value: Any, column: str, number: int) -> bytes:
    if isinstance(value, str):
        return exact_json.without_lone_surrogates(value).encode()
    if isinstance(value, bytes):
        return value
    raise _no_text(value, column, number)


def _no_text(value: Any, column: str, number: int) -> ValueError:
    found = "is empty" if value is None else f"is of type {type(value).__name__}"
    return ValueError(f"{NO_TEXT_FIELD}: row {number}: '{column}' {found}, and holds no text")


def _array(name: str, values: list[Any]) -> pa.Array:
    """A column that a stage compares. Raises DataError where its values are of several types."""
    try:
        array = pa.array(values)
    except (pa.ArrowException, OverflowError) as error:
        reason = " ".join(str(error).split())
        raise DataError(
            f"the column '{name}' holds values of several types, which cannot be compared ({reason})"
        ) from None
    return array.cast(pa.float64()) if pa.types.is_null(array.type) else array
