"""How a setting names a value of a document: a column, or `extra.NAME`, a field that came with the input.

Rules and cuts can use any of them. What is known before a run starts is checked here: that the column exists, and that
its values can be compared in the requested way. Fields of `extra` are known only when they are read: in a document
without the field, the value counts as not measured, and a document with a value of the wrong kind is quarantined.
"""

import json
import math
import re
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from tamis.base import columns
from tamis.base.errors import ConfigError, did_you_mean
from tamis.base.signals import OPERATORS, ORDERED

EXTRA_PREFIX = f"{columns.EXTRA}."
_HIDDEN = {
    columns.DROP_REASON, columns.ERROR, columns.TEXT, columns.WARCINFO, columns.METADATA, columns.EXTRA,
}  # fmt: skip
"""Columns that hold a status, a whole text or an object, which cannot be compared with anything."""

ValueKind = Literal["number", "string", "bool", "any"]


def stored_column(name: str) -> str:
    """The column that must exist so that `name` can be read."""
    return columns.EXTRA if name.startswith(EXTRA_PREFIX) else name


def kind_of(name: str, present: Mapping[str, pa.DataType], where: str) -> ValueKind:
    """The kind of value that `name` has; `present` are the existing columns. Raises ConfigError when there is no such
    column, or when it holds lists or bytes."""
    if name.startswith(EXTRA_PREFIX) and columns.EXTRA in present:
        return "any"
    usable = {column: _kind(kind) for column, kind in present.items() if column not in _HIDDEN and _kind(kind)}
    if name not in usable:
        raise ConfigError(
            f"{where}: no column '{name}'{did_you_mean(name, usable)}. A field that came with the data is written "
            f"{EXTRA_PREFIX}{name}"
        )
    kind = usable[name]
    assert kind is not None
    return kind


def _kind(kind: pa.DataType) -> ValueKind | None:
    if pa.types.is_boolean(kind):
        return "bool"
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return "number"
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return "string"
    return None


def check_test(op: str, threshold: Any, where: str) -> None:
    """Raises ConfigError unless `op` is an operator and `threshold` a value that it can compare with."""
    if op not in OPERATORS:
        raise ConfigError(f"{where}.op: '{op}' is none of {', '.join(OPERATORS)}")
    is_number = isinstance(threshold, int | float) and not isinstance(threshold, bool)
    if is_number and not math.isfinite(threshold):
        raise ConfigError(f"{where}.threshold: {threshold} is not a threshold; give a number, or remove the rule")
    if op in ORDERED and not is_number:
        raise ConfigError(f"{where}.threshold: '{op}' compares with a number (got {threshold!r})")
    if (op in ("in", "not_in")) != isinstance(threshold, list | tuple):
        wanted = "a list, as in [en, de]" if op in ("in", "not_in") else "one value"
        raise ConfigError(f"{where}.threshold: '{op}' compares with {wanted} (got {threshold!r})")
    if op == "matches":
        if not isinstance(threshold, str):
            raise ConfigError(f"{where}.threshold: 'matches' needs a regular expression in quotes (got {threshold!r})")
        try:
            re.compile(threshold)
        except re.error as error:
            raise ConfigError(f"{where}.threshold: {threshold!r} is not a regular expression: {error}") from None


def check_kinds(name: str, op: str, threshold: Any, present: Mapping[str, pa.DataType], where: str) -> None:
    """Raises ConfigError when there is no column `name`, or its values cannot be compared with `threshold` by `op`."""
    kind = kind_of(name, present, f"{where}.column")
    wanted = {_kind_of_value(item) for item in (threshold if isinstance(threshold, list | tuple) else [threshold])}
    if kind != "any" and wanted - {kind}:
        raise ConfigError(
            f"{where}: '{op} {threshold}' cannot be applied to '{name}', a column of {PLURAL[kind]}. "
            f"Compare it with {_EXAMPLES[kind]}"
        )


PLURAL = {"number": "numbers", "string": "strings", "bool": "truth values"}
_EXAMPLES = {
    "number": "a number",
    "string": "a string in quotes, by ==, !=, in, not_in or matches",
    "bool": "true or false, by == or !=",
}


def _kind_of_value(value: Any) -> str:
    return "bool" if isinstance(value, bool) else "string" if isinstance(value, str) else "number"


def value_in(row: Mapping[str, Any], name: str) -> Any:
    """The value of `name` in one document; None where it was not measured."""
    if not name.startswith(EXTRA_PREFIX):
        return row.get(name)
    return _field(row.get(columns.EXTRA), name.removeprefix(EXTRA_PREFIX))


def values_in(batch: pa.RecordBatch, name: str) -> np.ndarray:
    """The values of `name` in a batch: float64 for a column of numbers (NaN where null), else objects (None)."""
    if name.startswith(EXTRA_PREFIX):
        path = name.removeprefix(EXTRA_PREFIX)
        found: list[Any] = [_field(extra, path) for extra in batch.column(columns.EXTRA).to_pylist()]
        return _objects(found)
    column = batch.column(name)
    if pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
        return column.cast(pa.float64()).to_numpy(zero_copy_only=False)
    return _objects(column.to_pylist())


def numbers_in(batch: pa.RecordBatch, name: str) -> np.ndarray:
    """The values of `name` as float64, with NaN where there is none. Raises ValueError for a value that is not a
    number."""
    found = values_in(batch, name)
    if found.dtype != object:
        return found
    for value in found:
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise ValueError(f"{name} is {value!r:.60}, which is not a number")
    return np.array([np.nan if value is None else value for value in found], np.float64)


def as_text(value: Any) -> str | None:
    """A value as the name of a group of documents that share it; None where it was not measured."""
    return None if value is None or value != value else str(value)


def _objects(values: list[Any]) -> np.ndarray:
    out = np.empty(len(values), object)
    out[:] = values
    return out


def _field(extra: str | None, path: str) -> Any:
    """A field of the JSON object `extra`: by its whole name, else `a.b` as the field `b` of the object `a`."""
    found = json.loads(extra) if extra else {}
    if path in found:
        return found[path]
    for part in path.split("."):
        if not isinstance(found, dict) or part not in found:
            return None
        found = found[part]
    return found
