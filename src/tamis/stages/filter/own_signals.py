"""Signals of the user's own: a Python function of a text, named in the recipe.

The function is called once per document that the table kept, which is slow compared with a kernel, but nothing else has
to be written. Its return annotation decides the type of the column: `-> int`, `-> str` or `-> bool`; without an
annotation the column is float64. A result of `None` means that the signal could not be measured on that text.
"""

import inspect
import numbers
import typing
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import NoneType
from typing import Any

import numpy as np
import pyarrow as pa

from tamis.base import columns
from tamis.base.errors import ConfigError
from tamis.base.plugins import Plugin, find
from tamis.base.signals import MeasuredSignal

_TYPES: dict[Any, pa.DataType] = {float: pa.float64(), int: pa.int64(), str: pa.string(), bool: pa.bool_()}


@dataclass(frozen=True)
class OwnSignal:
    """One function, and the type of the column that it fills."""

    plugin: Plugin
    type: pa.DataType

    @property
    def column(self) -> str:
        return self.plugin.name

    @cached_property
    def _function(self) -> Callable[[str], Any]:
        found: Callable[[str], Any] = self.plugin.load()
        return found

    def __getstate__(self) -> dict[str, Any]:
        """The state without the function, which each worker loads again."""
        return {"plugin": self.plugin, "type": self.type}

    def drawing(self) -> MeasuredSignal | None:
        """The histogram of the column; None where its values are not numbers."""
        if self.type not in (pa.float64(), pa.int64()):
            return None
        return MeasuredSignal(
            column=self.column, label=self.column.replace("_", " "), whole=bool(pa.types.is_integer(self.type))
        )

    def measure(self, texts: Sequence[str | None], rows: np.ndarray, errors: np.ndarray) -> pa.Array:
        """The column, which is null where `rows` (bool[len(texts)]) is False. Where the function raises an exception,
        or returns a value of another type than annotated, the error is written into `errors` (object[len(texts)])."""
        values: list[Any] = [None] * len(texts)
        for row in np.flatnonzero(rows).tolist():
            try:
                values[row] = self._checked(self._function(texts[row] or ""))
            except Exception as error:  # noqa: BLE001 - the user's code can fail in any way; it costs this row alone
                errors[row] = f"{type(error).__name__}: {self.column}: {error}"
        return pa.array(values, self.type)

    def _checked(self, value: Any) -> Any:
        """`value` in the type of the column. Raises TypeError where it has another type."""
        if value is None:
            return None
        if self.type == pa.string() and isinstance(value, str):
            return value
        if self.type == pa.bool_() and isinstance(value, bool | np.bool_):
            return bool(value)
        if self.type == pa.int64() and isinstance(value, numbers.Integral):
            return pa.scalar(int(value), pa.int64()).as_py()
        if self.type == pa.float64() and isinstance(value, numbers.Real):
            return float(value)
        raise TypeError(
            f"returned {value!r:.60}, but its column holds {self.type}; say what it returns, as in "
            f"`def {self.column}(text: str) -> {type(value).__name__}`"
        )


def own_signals(specs: Sequence[str], taken: Sequence[str]) -> list[OwnSignal]:
    """The signals that `filter.signals` names; `taken` are the columns that the filter itself writes.

    Raises ConfigError for an object that is not a function, has a return annotation that no column can hold, or has the
    name of another column.
    """
    found: list[OwnSignal] = []
    for number, spec in enumerate(specs):
        where = f"filter.signals.{number}"
        plugin = find(spec, where)
        if plugin.name in {*taken, *columns.POOL_SCHEMA.names, *(own.column for own in found)}:
            raise ConfigError(f"{where}: there is a column '{plugin.name}' already; give the function another name")
        found.append(OwnSignal(plugin, _type_of(plugin, where)))
    return found


def _type_of(plugin: Plugin, where: str) -> pa.DataType:
    function = plugin.load()
    if isinstance(function, type):
        raise ConfigError(f"{where}: {plugin.name} is a class; a signal is a function of a text")
    try:
        hints = typing.get_type_hints(function) if inspect.isroutine(function) else {}
    except (NameError, TypeError) as error:
        raise ConfigError(f"{where}: the annotations of {plugin.name} cannot be read: {error}") from None
    said = hints.get("return", float)
    options = [part for part in typing.get_args(said) or (said,) if part is not NoneType]
    if len(options) == 2 and set(options) == {int, float}:
        options = [float]
    if len(options) != 1 or options[0] not in _TYPES:
        raise ConfigError(
            f"{where}: {plugin.name} says that it returns {said}; a signal is float, int, str or bool, or None"
        )
    return _TYPES[options[0]]
