"""Values of Parquet columns as JSON values, of which none changes on the way.

Arrow's own conversion to Python fails for a whole batch where one value is no Python object (a timestamp in
nanoseconds, a string that is not UTF-8), depends on which packages are installed, and drops equal keys of a map.

| Parquet | JSON |
|---|---|
| bytes | a string, where they are UTF-8; else an object `{"base64": "..."}` |
| decimal | a string of its digits |
| timestamp, date, time | a string in ISO 8601, in UTC where the column has a time zone, with up to nine decimals |
| duration | a string in ISO 8601, in seconds |
| map | an object, its keys as strings; a list of pairs where two of them are equal |
| struct | an object; a list of pairs where two fields have the same name |
"""

import base64
import json
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pyarrow as pa

_TICKS = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
_TROUBLE = (ValueError, OverflowError, TypeError, KeyError, NotImplementedError, RecursionError, pa.ArrowException)
"""What Arrow raises for values that it cannot convert."""


def json_values(name: str, array: pa.Array, as_text: bool) -> list[Any]:
    """The values of a column. With `as_text`, bytes are taken for a string. Raises ValueError, which begins with a kind
    of error and names the column, where one of them has no JSON value."""
    try:
        if as_text and _is_bytes(array.type):
            return _each(array.cast(pa.large_binary()), bytes.decode)
        return _values(array)
    except UnicodeDecodeError as error:
        raise ValueError(f"not_utf8: the column '{name}' is not UTF-8 ({error.reason} at byte {error.start})") from None
    except _TROUBLE as error:
        raise ValueError(f"bad_value: the column '{name}': {' '.join(str(error).split())}") from None


def _values(array: pa.Array) -> list[Any]:
    kind = array.type
    if isinstance(kind, pa.BaseExtensionType):
        return _values(array.storage)
    found = next((convert for is_kind, convert in _CONVERSIONS if is_kind(kind)), None)
    if found is None:
        raise ValueError(f"values of type {kind} are not read")
    return found(array)


def _each(array: pa.Array, convert: Callable[[Any], Any]) -> list[Any]:
    return [None if value is None else convert(value) for value in array.to_pylist()]


def _is_bytes(kind: pa.DataType) -> bool:
    return any(
        is_kind(kind)
        for is_kind in (
            pa.types.is_binary,
            pa.types.is_large_binary,
            pa.types.is_binary_view,
            pa.types.is_fixed_size_binary,
        )
    )


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _is_plain(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_integer(kind) or pa.types.is_boolean(kind) or pa.types.is_null(kind) or pa.types.is_floating(kind)
    )


def _plain(array: pa.Array) -> list[Any]:
    if pa.types.is_float16(array.type):
        array = array.cast(pa.float32())
    return array.to_pylist()


def _bytes(value: bytes) -> str | dict[str, str]:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(value).decode()}


def _dictionary(array: pa.DictionaryArray) -> list[Any]:
    distinct = _values(array.dictionary)
    return _each(array.indices, distinct.__getitem__)


def _list(array: pa.Array) -> list[Any]:
    return [_values(item.values) if item.is_valid else None for item in array]


def _struct(array: pa.StructArray) -> list[Any]:
    names = [array.type.field(i).name for i in range(array.type.num_fields)]
    columns = [_values(array.field(i)) for i in range(array.type.num_fields)]
    rows = zip(*columns, strict=True) if columns else ((),) * len(array)
    return [
        _object(zip(names, row, strict=True)) if valid else None
        for valid, row in zip(array.is_valid().to_pylist(), rows, strict=True)
    ]


def _map(array: pa.MapArray) -> list[Any]:
    found: list[Any] = []
    for item in array:
        if not item.is_valid:
            found.append(None)
            continue
        pairs = item.values
        found.append(_object(zip(map(_key, _values(pairs.field(0))), _values(pairs.field(1)), strict=True)))
    return found


def _key(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _object(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any] | list[Any]:
    items = list(pairs)
    found = dict(items)
    return found if len(found) == len(items) else [list(pair) for pair in items]


def _fraction(ticks: int, unit: str) -> str:
    """The decimals of `ticks` of a second: none, six or nine."""
    nanoseconds = ticks * (1_000_000_000 // _TICKS[unit])
    if nanoseconds == 0:
        return ""
    return f".{nanoseconds // 1000:06}" if nanoseconds % 1000 == 0 else f".{nanoseconds:09}"


def _date(days: int) -> str:
    return str(np.datetime64(days, "D"))


def _clock(seconds: int) -> str:
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"


def _timestamps(array: pa.Array) -> list[Any]:
    unit, zone = array.type.unit, "+00:00" if array.type.tz is not None else ""

    def text(value: int) -> str:
        seconds, ticks = divmod(value, _TICKS[unit])
        days, seconds = divmod(seconds, 86_400)
        return f"{_date(days)}T{_clock(seconds)}{_fraction(ticks, unit)}{zone}"

    return _each(array.cast(pa.int64()), text)


def _dates(array: pa.Array) -> list[Any]:
    if pa.types.is_date32(array.type):
        return _each(array.cast(pa.int32()), _date)
    return _each(array.cast(pa.int64()), lambda value: _date(value // 86_400_000))


def _times(array: pa.Array) -> list[Any]:
    unit = array.type.unit

    def text(value: int) -> str:
        seconds, ticks = divmod(value, _TICKS[unit])
        return f"{_clock(seconds)}{_fraction(ticks, unit)}"

    return _each(array.cast(pa.int32() if pa.types.is_time32(array.type) else pa.int64()), text)


def _durations(array: pa.Array) -> list[Any]:
    unit = array.type.unit

    def text(value: int) -> str:
        seconds, ticks = divmod(abs(value), _TICKS[unit])
        return f"{'-' if value < 0 else ''}PT{seconds}{_fraction(ticks, unit)}S"

    return _each(array.cast(pa.int64()), text)


_CONVERSIONS: tuple[tuple[Callable[[pa.DataType], bool], Callable[[Any], list[Any]]], ...] = (
    (_is_text, lambda array: array.to_pylist()),
    (_is_plain, _plain),
    (_is_bytes, lambda array: _each(array, _bytes)),
    (pa.types.is_dictionary, _dictionary),
    (pa.types.is_map, _map),
    (pa.types.is_struct, _struct),
    (
        lambda kind: (
            pa.types.is_list(kind)
            or pa.types.is_large_list(kind)
            or pa.types.is_fixed_size_list(kind)
            or pa.types.is_list_view(kind)
            or pa.types.is_large_list_view(kind)
        ),
        _list,
    ),
    (pa.types.is_decimal, lambda array: _each(array, "{:f}".format)),
    (pa.types.is_timestamp, _timestamps),
    (pa.types.is_date, _dates),
    (pa.types.is_time, _times),
    (pa.types.is_duration, _durations),
)
