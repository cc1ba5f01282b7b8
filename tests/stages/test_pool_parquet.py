"""Rows of Parquet files: no value changes on the way, and what is wrong with a row costs that row."""

import decimal
import json
from datetime import date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from test_pool import make, rows

from tamis.base.recipe import Recipe
from tamis.stages.pool.stage import Pool, build
from tamis.store.jsonl import write_jsonl

UTF8_ERROR = b"\xff\xfe!"


def read(path: Path) -> list[dict[str, Any]]:
    return rows(make(inputs=[str(path)]))


def written(path: Path, columns: dict[str, Any], **options: Any) -> Path:
    pq.write_table(pa.table(columns), path, **options)
    return path


def extras(path: Path) -> list[Any]:
    found = read(path)
    assert [row["error"] for row in found] == [None] * len(found)
    return [json.loads(row["extra"]) if row["extra"] else {} for row in found]


def strings(*values: bytes | None, kind: pa.DataType | None = None) -> pa.Array:
    """A column of strings that were not checked to be UTF-8."""
    given = pa.array(values, pa.binary())
    return pa.Array.from_buffers(kind or pa.string(), len(values), given.buffers(), given.null_count)


# Parquet: the text.


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary(), pa.binary_view(), pa.binary(4)])
def test_bytes_in_the_text_column_are_texts(tmp_path: Path, kind: pa.DataType) -> None:
    columns = {"text": pa.array([b"good", b"b'x'", None, UTF8_ERROR + b"x"], kind), "url": pa.array([b"u"] * 4)}
    good, odd, null, broken = read(written(tmp_path / "x.parquet", columns))
    assert (good["text"], good["url"], odd["text"]) == ("good", "u", "b'x'")
    assert null["error"].startswith("no_text_field: row 3 ")
    assert broken["error"].startswith("not_utf8: the column 'text' is not UTF-8")


@pytest.mark.parametrize(
    "kind", [pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int8(), pa.string())]
)
def test_every_kind_of_string_is_a_text(tmp_path: Path, kind: pa.DataType) -> None:
    path = written(tmp_path / "x.parquet", {"text": pa.array(["a", None, "Grüße", "a"]).cast(kind)})
    assert [row["text"] for row in read(path)] == ["a", None, "Grüße", "a"]


@pytest.mark.parametrize("values", [[1, 2], [["a"], ["b"]], [{"a": "x"}, None], [True, False], [1.5, None]])
def test_a_text_that_is_no_string_is_quarantined(tmp_path: Path, values: list[Any]) -> None:
    found = read(written(tmp_path / "x.parquet", {"text": pa.array(values)}))
    assert [row["error"].split(":")[0] for row in found] == ["no_text_field"] * 2
    assert [row["text"] for row in found] == [None, None]


def test_invalid_utf8_costs_its_row_in_every_column(tmp_path: Path) -> None:
    for name in ("text", "url", "title", "metadata"):
        good: dict[str, Any] = {"text": pa.array(["a"] * 600), "url": pa.array(["u"] * 600)}
        broken = strings(*(UTF8_ERROR if row in (3, 599) else b"ok" for row in range(600)))
        if name == "metadata":
            broken = pa.MapArray.from_arrays(pa.array(range(601), pa.int32()), pa.array(["k"] * 600), broken)
        found = read(written(tmp_path / "x.parquet", good | {name: broken}))
        assert len(found) == 600
        bad = {row: item["error"] for row, item in enumerate(found) if item["error"]}
        assert list(bad) == [3, 599] and all(f"not_utf8: the column '{name}'" in error for error in bad.values())


# Parquet: `extra`.


def test_a_users_column_extra_replaces_nothing(tmp_path: Path) -> None:
    texts = [
        '{"text": "BAD", "url": "BAD", "id": "' + "0" * 32 + '"}',
        "no JSON",
        "{broken",
        '{"a": 1}',
        None,
        "[" * 5000,
    ]
    found = read(written(tmp_path / "x.parquet", {"text": ["good"] * len(texts), "extra": texts}))
    assert [(row["text"], row["url"], row["error"]) for row in found] == [("good", "", None)] * len(texts)
    assert [json.loads(row["extra"])["extra"] if row["extra"] else None for row in found] == texts


def tamis_shard(folder: Path, records: list[dict[str, Any]]) -> tuple[Pool, pa.Table]:
    source = folder / "in.jsonl"
    source.write_text("".join(json.dumps(record) + "\n" for record in records))
    pool = build({"inputs": [str(source)]}, Recipe(name="x", stages=[]))
    return pool, pa.Table.from_batches(pool.read(pool.shards()[0]))


def test_a_shard_of_tamis_is_read_back_as_it_was(tmp_path: Path) -> None:
    records = [
        {"text": "t", "url": 5, "metadata": {"WARC-Target-URI": "h"}, "n": 10**30},
        {
            "text": "t",
            "url": "u",
            "metadata": {"depth": 3},
            "warcinfo": None,
            "id": "not ours",
            "extra": '{"text":"x"}',
        },
        {"text": "t", "url": "u", "extra": {"text": "x"}},
        {"text": "t", "id": 7, "k": {"text": "deep"}},
        {"text": "t"},
    ]
    pool, table = tamis_shard(tmp_path, records)
    stored = table.drop_columns(["content", "content_type", "drop_reason", "error"])
    pq.write_table(stored.append_column("words", pa.array([1, 2, 3, 4, None])), tmp_path / "b.parquet")
    found = read(tmp_path / "b.parquet")
    for row, before, words in zip(found, rows(pool), (1, 2, 3, 4, None), strict=True):
        extra = json.loads(row.pop("extra") or "{}")
        before_extra = json.loads(before.pop("extra") or "{}")
        assert extra == (before_extra if words is None else before_extra | {"words": words})
        assert row == before
    write_jsonl(tmp_path / "out.jsonl", stored.to_batches())
    assert [json.loads(line) for line in (tmp_path / "out.jsonl").read_bytes().splitlines()] == records


@pytest.mark.parametrize(
    "extra",
    [
        '{"text": "BAD"}',
        '{"text": 5}',
        '{"url": "BAD"}',
        '{"metadata": {"k": "BAD"}}',
        "no JSON",
        "[1]",
        '{"a": ' * 400,
    ],
)
def test_an_extra_that_tamis_cannot_have_written_is_a_field_as_any_other(tmp_path: Path, extra: str) -> None:
    _, table = tamis_shard(tmp_path, [{"text": "good", "url": "u"}])
    place = table.schema.get_field_index("extra")
    pq.write_table(table.set_column(place, "extra", pa.array([extra])), tmp_path / "x.parquet")
    (row,) = read(tmp_path / "x.parquet")
    assert (row["text"], row["url"], row["error"], row["metadata"]) == ("good", "u", None, None)
    assert json.loads(row["extra"])["extra"] == extra


# Parquet: values.


def test_timestamps_of_every_unit_and_year_are_written_exactly(tmp_path: Path) -> None:
    path = written(tmp_path / "x.parquet", {
        "text": ["a"] * 3,
        "ns": pa.array([1, 1_700_000_000_123_456_789, None], pa.timestamp("ns")),
        "us": pa.array([0, 2**62, -(2**62)], pa.timestamp("us")),
        "zone": pa.array([1_500, 0, None], pa.timestamp("ms", "Europe/Nowhere")),
        "day": pa.array([0, 2**31 - 1, None], pa.date32()),
        "time": pa.array([1, 86_399_999_999_999, None], pa.time64("ns")),
        "span": pa.array([-1_500_000_001, 60_000_000_000, None], pa.duration("ns")),
    })  # fmt: skip
    first, second, third = extras(path)
    assert first == {
        "ns": "1970-01-01T00:00:00.000000001", "us": "1970-01-01T00:00:00", "zone": "1970-01-01T00:00:01.500000+00:00",
        "day": "1970-01-01", "time": "00:00:00.000000001", "span": "-PT1.500000001S",
    }  # fmt: skip
    assert second["ns"] == "2023-11-14T22:13:20.123456789" and second["us"].startswith("148108-")
    assert second["day"].startswith("5881580-") and second["time"] == "23:59:59.999999999" and second["span"] == "PT60S"
    assert third["us"].startswith("-144169-") and set(third) == {"us"}


def test_usual_dates_are_written_as_python_writes_them(tmp_path: Path) -> None:
    moments = [
        datetime(2024, 2, 29, 23, 59, 59, 5),
        datetime(1, 1, 1),
        datetime(1969, 12, 31, 1),
        datetime(9999, 12, 31),
    ]
    path = written(tmp_path / "x.parquet", {
        "text": ["a"] * 4, "us": pa.array(moments, pa.timestamp("us")), "day": pa.array([m.date() for m in moments]),
        "time": pa.array([m.time() for m in moments]),
    })  # fmt: skip
    for moment, found in zip(moments, extras(path), strict=True):
        assert found == {"us": moment.isoformat(), "day": date.isoformat(moment), "time": moment.time().isoformat()}


def test_maps_keep_all_their_entries(tmp_path: Path) -> None:
    path = written(tmp_path / "x.parquet", {
        "text": ["a"] * 4,
        "numbers": pa.array([[(1, "x"), (2, None)], [], None, [(1, "x"), (1, "y")]], pa.map_(pa.int64(), pa.string())),
        "nested": pa.array([{"m": [(True, [1.5, None])]}, None, {"m": None}, {"m": []}],
                           pa.struct([("m", pa.map_(pa.bool_(), pa.list_(pa.float64())))])),
        "metadata": pa.array([[("k", "v"), ("n", None)], [], None, [("k", "1"), ("k", "2")]],
                             pa.map_(pa.string(), pa.string())),
    })  # fmt: skip
    found = read(path)
    assert [row["metadata"] for row in found] == ['{"k":"v"}', "{}", None, None]
    assert [json.loads(row["extra"] or "{}") for row in found] == [
        {"numbers": {"1": "x", "2": None}, "nested": {"m": {"true": [1.5, None]}}},
        {"numbers": {}},
        {"nested": {"m": None}},
        {"numbers": [["1", "x"], ["1", "y"]], "nested": {"m": {}}, "metadata": [["k", "1"], ["k", "2"]]},
    ]


def test_other_values_are_exact_or_named_as_what_they_are(tmp_path: Path) -> None:
    path = written(tmp_path / "x.parquet", {
        "text": ["a", "b"],
        "money": pa.array([decimal.Decimal("1234567890123456789012345678.90"), None], pa.decimal128(38, 2)),
        "large": pa.array([2**64 - 1, 0], pa.uint64()),
        "raw": pa.array([b"plain", UTF8_ERROR]),
        "half": pa.array(np.array([1.5, 2.5], np.float16)),
        "list": pa.array([[[1], None, []], None], pa.list_(pa.list_(pa.int8()))),
        "fixed": pa.array([[1, 2], None], pa.list_(pa.int8(), 2)),
        "empty": pa.array([{}, None], pa.struct([("z", pa.null())])),
    })  # fmt: skip
    assert extras(path) == [
        {"money": "1234567890123456789012345678.90", "large": 2**64 - 1, "raw": "plain", "half": 1.5,
         "list": [[1], None, []], "fixed": [1, 2], "empty": {"z": None}},
        {"large": 0, "raw": {"base64": "//4h"}, "half": 2.5},
    ]  # fmt: skip


def test_numbers_that_are_not_finite_become_null_and_are_counted(tmp_path: Path) -> None:
    path = written(tmp_path / "x.parquet", {
        "text": ["a"] * 4, "score": [1.0, float("nan"), float("inf"), None],
        "list": pa.array([[float("-inf")], [1.0], None, [None]], pa.list_(pa.float64())),
    })  # fmt: skip
    pool = make(inputs=[str(path)])
    found = [row for batch in pool.read(pool.shards()[0]) for row in batch.to_pylist()]
    assert [json.loads(row["extra"]) for row in found] == [
        {"score": 1.0, "list": [None]}, {"score": None, "list": [1.0]}, {"score": None}, {"list": [None]}
    ]  # fmt: skip
    assert pool.notes() == {"not_finite_numbers": 3}
