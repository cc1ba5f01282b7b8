"""JSON in which no number changes: integers of any size stay exact, which orjson alone would turn into floats.

orjson reads and writes almost everything. What it refuses or rounds is done again here by Python's own parser, with the
same limits on every machine: how deep values may be nested, and how many digits an integer may have.
"""

import json
import math
import re
from collections import Counter
from typing import Any

import orjson

MAX_NESTING = 254
"""Lists and objects within each other; orjson writes no deeper ones."""
MAX_INTEGER_DIGITS = 4300
"""Python's own limit on turning digits into an integer, whose time grows with the square of their number."""
LARGE_BYTES = 16 << 20
MAX_LARGE_VALUES = 4 << 20
"""How many values may stand in JSON of more than LARGE_BYTES. A value of two bytes takes some sixty in memory."""

NOT_FINITE = "not_finite_numbers"
LONE_SURROGATES = "lone_surrogates"

_STRING = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)', re.DOTALL)
_STRING_BYTES = re.compile(_STRING.pattern.encode(), re.DOTALL)
_BRACKET = re.compile(r"[\[\]{}]")
_SURROGATE = re.compile("[\ud800-\udfff]")
_LARGE_FLOAT = re.compile(r"(?<=[:,\[])-?[0-9](?:\.[0-9]+)?e\+(?:1[89]|[2-9][0-9]|[0-9]{3})(?=[,\]}])")
"""A float from 10^18 on, as orjson writes it: the smallest integer that it reads as a float is -2^63 - 1."""
_LONG_INTEGER = re.compile(r"[0-9]{19}")


def may_be_rounded(written: str) -> bool:
    """Whether compact JSON that orjson wrote holds a float so large that it may have been an integer when orjson read
    it."""
    return "e+" in written and _LARGE_FLOAT.search(written) is not None


def loads(text: str) -> Any:
    """The value of JSON that `dumps` wrote."""
    return json.loads(text) if _LONG_INTEGER.search(text) else orjson.loads(text)


def dumps(value: Any) -> str:
    """Compact JSON. Raises ValueError for values nested deeper than MAX_NESTING, and for strings that are not UTF-8."""
    try:
        return orjson.dumps(value).decode()
    except TypeError:
        pass
    if _is_deep(value):
        raise _too_deep()
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    text.encode()  # raises UnicodeEncodeError, a ValueError, for lone surrogates
    return text


def loads_leniently(data: bytes, notes: Counter[str]) -> Any:
    """The value of JSON that another program wrote, with exact integers. Raises ValueError.

    What is common but no JSON is repaired, and `notes` counts the records with a repair: NaN, Infinity and numbers
    that no 64-bit float can hold become null (`not_finite_numbers`), lone surrogates, which are legal in JSON but not
    in UTF-8, become U+FFFD (`lone_surrogates`). A byte-order mark is skipped.
    """
    text = data.decode("utf-8-sig")
    _check_nesting(text)
    not_finite = 0

    def number(digits: str) -> float | None:
        nonlocal not_finite
        value = float(digits)
        if math.isfinite(value):
            return value
        not_finite += 1
        return None

    value = json.loads(text, parse_float=number, parse_constant=number, parse_int=_integer)
    if not_finite:
        notes[NOT_FINITE] += 1
    return _without_surrogates(value, notes) if "\\u" in text else value


def loads_exactly(data: bytes) -> Any:
    """The value of JSON that orjson can read and `dumps` can write, with exact integers. Raises ValueError."""
    return json.loads(data.decode(), parse_int=_integer)


def too_many_values(data: bytes) -> str | None:
    """What is wrong with JSON of more than LARGE_BYTES that would take many times its size in memory; else None."""
    if len(data) > LARGE_BYTES and _separators(data) > MAX_LARGE_VALUES:
        found = _separators(_STRING_BYTES.sub(b"", data))
        if found > MAX_LARGE_VALUES:
            return f"{found} values in {len(data)} bytes, of which {MAX_LARGE_VALUES} at most are read"
    return None


def holds_not_finite(value: Any) -> bool:
    """Whether a value that `dumps` can write holds NaN or an infinity, which it writes as null."""
    if isinstance(value, float):
        return not math.isfinite(value)
    if isinstance(value, dict):
        return any(map(holds_not_finite, value.values()))
    return isinstance(value, list) and any(map(holds_not_finite, value))


def _separators(data: bytes) -> int:
    return data.count(b",") + data.count(b"[") + data.count(b"{")


def _integer(digits: str) -> int:
    if len(digits) > MAX_INTEGER_DIGITS:
        raise ValueError(f"an integer of {len(digits)} characters; more than {MAX_INTEGER_DIGITS} are not read")
    return int(digits)


def _too_deep() -> ValueError:
    return ValueError(f"nested deeper than {MAX_NESTING} levels")


def _check_nesting(text: str) -> None:
    """Before parsing, because Python's parser gives up at a depth that depends on who calls it."""
    depth = 0
    for found in _BRACKET.finditer(_STRING.sub("", text)):
        depth += 1 if found.group() in "[{" else -1
        if depth > MAX_NESTING:
            raise _too_deep()


def _is_deep(value: Any) -> bool:
    """Whether a value is nested deeper than MAX_NESTING."""
    level = [value]
    for _ in range(MAX_NESTING):
        level = [
            item
            for outer in level
            if isinstance(outer, dict | list)
            for item in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(item, dict | list)
        ]
        if not level:
            return False
    return True


def without_lone_surrogates(text: str) -> str:
    """`text` with U+FFFD in place of what no UTF-8 can hold."""
    try:
        text.encode()  # much faster than a search
    except UnicodeEncodeError:
        return _SURROGATE.sub("�", text)
    return text


def _without_surrogates(value: Any, notes: Counter[str]) -> Any:
    """`value` with lone surrogates replaced; counted once per record."""
    encoded = json.dumps(value, ensure_ascii=False)
    if not _SURROGATE.search(encoded):
        return value
    notes[LONE_SURROGATES] += 1
    return json.loads(without_lone_surrogates(encoded))
