"""The fields of JSON records, found while they are written, as the features that a dataset card states.

`datasets` takes the fields of a JSONL file from its beginning, and fails where a later record has another one. With the
features of all records on the card, it reads every record.

A kind of value is a string (`null`, `bool`, `int64`, `float64`, `string`, or `json` for values of several kinds), or
`{"list": kind}`, or `{"struct": {name: kind}}`.
"""

import re
from typing import Any

from tamis.base import columns
from tamis.store.jsonl import line

Kind = Any

_FIRST = (columns.ID, columns.TEXT, columns.URL)
_INTEGERS = 2**63
_LONG_INTEGER = re.compile(rb"[0-9]{19}")
_MOST_DEPTH = 4
"""Values that are nested deeper than this are `json`."""
MOST_FIELDS = 1000
"""An object with more fields is a dictionary rather than a record: it is `json`."""


def readable(record: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
    """A record as it can be exported, and its line of JSON: integers that have more than 64 bits, which only Python's
    own parser reads, become strings of their digits."""
    data = line(record)
    if _LONG_INTEGER.search(data):
        record = _with_short_integers(record)
        data = line(record)
    return record, data


def _with_short_integers(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _with_short_integers(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_with_short_integers(item) for item in value]
    if isinstance(value, int) and not -_INTEGERS <= value < _INTEGERS:
        return str(value)
    return value


def kind_of(value: Any, depth: int = 0) -> Kind:
    """The kind of a JSON value."""
    if isinstance(value, str):
        return "string"
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int):
        return "int64"
    if isinstance(value, float):
        return "float64"
    if depth >= _MOST_DEPTH:
        return "json"
    if isinstance(value, dict):
        # An object without fields tells nothing of those that others have.
        return _struct({name: kind_of(item, depth + 1) for name, item in value.items()}) if value else "null"
    item: Kind = "null"
    for part in value:
        item = merged(item, kind_of(part, depth + 1))
    return {"list": item}


def merged(one: Kind, other: Kind) -> Kind:
    """The kind that holds the values of both."""
    if one == other or other == "null":
        return one
    if one == "null":
        return other
    if (one, other) in (("int64", "float64"), ("float64", "int64")):
        return "float64"
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        if "list" in one:
            return {"list": merged(one["list"], other["list"])}
        return _struct(merged_fields(one["struct"], other["struct"]))
    return "json"


def _struct(fields: dict[str, Kind]) -> Kind:
    return {"struct": fields} if len(fields) <= MOST_FIELDS else "json"


def merged_fields(one: dict[str, Kind], other: dict[str, Kind]) -> dict[str, Kind]:
    """The fields of both."""
    found = dict(one)
    for name, kind in other.items():
        found[name] = merged(found[name], kind) if name in found else kind
    return found


def feature_list(fields: dict[str, Kind]) -> list[dict[str, Any]]:
    """The fields as the list `features` of a dataset card, in an order that depends on their names alone."""
    ordered = sorted(fields, key=lambda name: (_FIRST.index(name) if name in _FIRST else len(_FIRST), name))
    return [{"name": name, **_feature(fields[name])} for name in ordered]


def _feature(kind: Kind) -> dict[str, Any]:
    if isinstance(kind, str):
        return {"dtype": "string" if kind == "null" else kind}
    if "struct" in kind:
        return {"struct": feature_list(kind["struct"])}
    inner = _feature(kind["list"])
    (only,) = inner.values()
    return {"list": only if set(inner) <= {"dtype", "struct"} else inner}
