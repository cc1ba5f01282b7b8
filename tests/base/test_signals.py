"""Signals and rules: histograms that find their range merge without error; rules compare every kind of value."""

import json
import random
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis.base import columns
from tamis.base.errors import ConfigError
from tamis.base.lookup import check_kinds, check_test, numbers_in, value_in, values_in
from tamis.base.signals import MeasuredSignal, Rule, Signal, fires

MEASURED = MeasuredSignal(column="x", label="x")
numbers = st.lists(st.floats(allow_nan=True, allow_infinity=True, width=64) | st.integers(-50, 50).map(float))


@given(st.lists(numbers, max_size=6), st.booleans(), st.randoms())
def test_histograms_of_parts_make_the_histogram_of_the_whole(
    parts: list[list[float]], whole: bool, order: random.Random
) -> None:
    signal = MeasuredSignal(column="x", label="x", whole=whole)
    together = signal.histogram(np.array([value for part in parts for value in part], np.float64))
    merged: list[int] = []
    shuffled = [np.array(part, np.float64) for part in parts]
    order.shuffle(shuffled)
    for part in shuffled:
        merged = signal.merge(merged, signal.histogram(part))
    assert merged == together
    finite = [value for part in parts for value in part if abs(value) <= 1e100]
    entry = signal.entry(merged)
    assert sum(entry["counts"]) == len(finite) and len(entry["counts"]) <= MeasuredSignal.MOST_BINS + 2


def test_the_range_is_that_of_the_values() -> None:
    entry = MEASURED.entry(MEASURED.histogram(np.linspace(0.2, 0.5, 1000)))
    assert 0.19 < entry["low"] <= 0.2 and 0.5 < entry["high"] < 0.51 and len(entry["counts"]) > 32
    assert MEASURED.entry(MEASURED.histogram(np.array([5.0, 5.0])))["counts"] == [0, 2, 0]
    whole = MeasuredSignal(column="x", label="x", whole=True)
    assert whole.entry(whole.histogram(np.array([1.0, 3.0])))["counts"] == [0, 1, 0, 1, 0]
    empty = MEASURED.entry([])
    assert empty["low"] < empty["high"] and sum(empty["counts"]) == 0


def test_fixed_histograms_merge_by_place() -> None:
    signal = Signal(column="x", label="x", low=0, high=1, num_bins=2)
    parts = [signal.histogram(np.array(values)) for values in ([-1.0, 0.2], [0.7, 2.0, np.nan])]
    assert signal.merge([], signal.merge(*parts)) == [1, 1, 1, 1] == signal.entry([1, 1, 1, 1])["counts"]
    assert signal.entry([])["counts"] == [0, 0, 0, 0]


@pytest.mark.parametrize(
    ("op", "threshold", "values", "expected"),
    [
        ("<", 2.0, [1.0, 2.0, None], [True, False, False]),
        ("!=", 2.0, [1.0, 2.0, None], [True, False, False]),
        ("in", (1.0, 3.0), [1.0, 2.0, None], [True, False, False]),
        ("not_in", ("en", "de"), ["en", "fr", None], [False, True, False]),
        ("==", "en", ["en", "de", None], [True, False, False]),
        ("matches", "^a+$", ["aaa", "ab", None], [True, False, False]),
        ("==", True, [True, False, None], [True, False, False]),
    ],
)
def test_rules_on_every_kind_of_value(op: str, threshold: Any, values: list[Any], expected: list[bool]) -> None:
    """What was not measured fires no rule, whatever the operator."""
    rule = Rule(reason="r", column="x", op=op, threshold=threshold, source="test")
    batch = pa.RecordBatch.from_pydict({"x": pa.array(values)})
    assert rule.fires(values_in(batch, "x")).tolist() == expected
    card = json.loads(json.dumps(rule.to_dict()))
    assert [fires(card["op"], value, card["threshold"]) for value in values] == expected


def test_fields_of_the_input_are_found_in_extra() -> None:
    extra = ['{"score": 3, "a.b": 1, "deep": {"er": {"est": "x"}}}', '{"score": null}', None, '{"score": true}']
    batch = pa.RecordBatch.from_pydict({"extra": extra})
    assert values_in(batch, "extra.score").tolist() == [3, None, None, True]
    assert values_in(batch, "extra.a.b").tolist() == [1, None, None, None]
    assert values_in(batch, "extra.deep.er.est").tolist() == ["x", None, None, None]
    assert value_in({"extra": extra[0]}, "extra.score") == 3 and value_in({"extra": None}, "extra.score") is None
    assert np.array_equal(numbers_in(batch.slice(0, 3), "extra.score"), [3, np.nan, np.nan], equal_nan=True)
    with pytest.raises(ValueError, match=r"extra\.score is True, which is not a number"):
        numbers_in(batch, "extra.score")


PRESENT = {field.name: field.type for field in columns.POOL_SCHEMA} | {"score": pa.float32(), "ok": pa.bool_()}


@pytest.mark.parametrize(
    ("column", "op", "threshold", "message"),
    [
        ("score", "=<", 1.0, "op: '=<' is none of"),
        ("score", "<", "1", "'<' compares with a number"),
        ("score", "<", True, "'<' compares with a number"),
        ("score", "<", float("nan"), "nan is not a threshold"),
        ("score", "in", 1.0, "'in' compares with a list"),
        ("score", "==", [1.0], "'==' compares with one value"),
        ("url", "matches", "(", "not a regular expression"),
        ("url", "<", 1.0, "'url', a column of strings. Compare it with a string in quotes"),
        ("score", "==", "high", "'score', a column of numbers. Compare it with a number"),
        ("score", "matches", "h", "a column of numbers"),
        ("ok", "==", 1.0, "a column of truth values"),
        ("scroe", "<", 1.0, "no column 'scroe' (did you mean 'score'?"),
        ("votes", "<", 1.0, "written extra.votes"),
        ("metadata", "==", "x", "no column 'metadata'"),
        ("text", "matches", "x", "no column 'text'"),
    ],
)
def test_rules_that_cannot_be_are_refused_before_a_run(column: str, op: str, threshold: Any, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check_test(op, threshold, "here")
        check_kinds(column, op, threshold, PRESENT, "here")
    assert str(caught.value).startswith("here") and message in str(caught.value)


def test_rules_that_can_be_pass() -> None:
    for column, op, threshold in (
        ("score", ">=", 1), ("url", "in", ["a", "b"]), ("ok", "!=", False), ("extra.any", "<", 1.0),
        ("extra.any", "matches", "x"), ("charset", "==", "utf-8"),
    ):  # fmt: skip
        check_test(op, threshold, "here")
        check_kinds(column, op, threshold, PRESENT | {"charset": pa.string()}, "here")
