"""The fields of JSON records, found while they are written, as the features that a dataset card states.

`datasets` takes the fields of a JSONL file from its beginning, and fails where a later record has another one. With the
features of all records on the card, it reads every record.

A kind of value is a string (`null`, `bool`, `int64`, `float64`, `string`, or `json` for values of several kinds), or
`{"list": kind}`, or `{"struct": {name: kind}}`.
"""

from typing import Any

Kind = Any

_INTEGERS = 2**63
_LEAST_DEPTH = 4
"""Values that are nested deeper than this are `json`."""


def kind_of(value: Any, depth: int = 0) -> Kind:
    """The kind of a JSON value."""
    if isinstance(value, str):
        return "string"
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int):
        return "int64" if -_INTEGERS <= value < _INTEGERS else "json"
    if isinstance(value, float):
        return "float64"
    if depth >= _LEAST_DEPTH:
        return "json"
    if isinstance(value, dict):
        # Without a field, no file format can hold a struct.
        return {"struct": {name: kind_of(item, depth + 1) for name, item in value.items()}} if value else "null"
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
    if {one, other} == {"int64", "float64"} if isinstance(one, str) and isinstance(other, str) else False:
        return "float64"
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        if "list" in one:
            return {"list": merged(one["list"], other["list"])}
        return {"struct": merged_fields(one["struct"], other["struct"])}
    return "json"


def merged_fields(one: dict[str, Kind], other: dict[str, Kind]) -> dict[str, Kind]:
    """The fields of both, in the order of the first, and then of the second."""
    found = dict(one)
    for name, kind in other.items():
        found[name] = merged(found[name], kind) if name in found else kind
    return found


def feature_list(fields: dict[str, Kind]) -> list[dict[str, Any]]:
    """The fields as the list `features` of a dataset card."""
    return [{"name": name, **_feature(kind)} for name, kind in fields.items()]


def _feature(kind: Kind) -> dict[str, Any]:
    if isinstance(kind, str):
        return {"dtype": "string" if kind == "null" else kind}
    if "struct" in kind:
        return {"struct": feature_list(kind["struct"])}
    inner = _feature(kind["list"])
    (only,) = inner.values()
    return {"list": only if set(inner) <= {"dtype", "struct"} else inner}
