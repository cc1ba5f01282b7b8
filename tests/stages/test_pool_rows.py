"""What is wrong with a row or a file of texts costs that row or file, with a reason; no value changes on the way."""

import decimal
import json
import random
from collections import Counter
from datetime import date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from test_pool import make, rows

from tamis.base.errors import DataError, FormatError
from tamis.base.recipe import Recipe
from tamis.stages.pool import parquet
from tamis.stages.pool import rows as pool_rows
from tamis.stages.pool.rows import Batcher, Row
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
    assert [dict(row["metadata"]) if row["metadata"] is not None else None for row in found] == [
        {"k": "v"},
        {},
        None,
        None,
    ]
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


# Parquet: files.


def damaged(path: Path, seed: int) -> int:
    """Change some bytes in the middle of the second of three row groups; returns the number of rows of the file."""
    noise = random.Random(seed)
    table = pa.table({"text": [noise.randbytes(300).hex() for _ in range(900)], "n": range(900)})
    pq.write_table(table, path, row_group_size=300, compression="zstd", write_page_checksum=True)
    column = pq.ParquetFile(path).metadata.row_group(1).column(0)
    start = column.dictionary_page_offset or column.data_page_offset
    data = bytearray(path.read_bytes())
    middle = start + column.total_compressed_size // 2
    for offset in range(middle, middle + 20):
        data[offset] ^= 0x55
    path.write_bytes(data)
    return table.num_rows


def test_a_damaged_page_costs_its_row_group_and_every_row_of_it_is_told(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    total = damaged(path, 1)
    found = read(path)
    assert len(found) == total == len({row["id"] for row in found})
    errors = {number: row["error"] for number, row in enumerate(found, start=1) if row["error"]}
    assert set(range(1, 301)).isdisjoint(errors) and set(range(601, 901)).isdisjoint(errors)
    assert errors and list(errors) == list(range(min(errors), 601))
    assert all(
        error.startswith(f"damaged_row: row {number} of x.parquet cannot be read (") for number, error in errors.items()
    )
    assert [json.loads(row["extra"])["n"] for row in found[600:]] == list(range(600, 900))


def test_a_failing_disk_is_no_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path / "x.parquet", {"text": ["a"]})

    def fails(self: pq.ParquetFile, **options: Any) -> Any:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", fails)
    with pytest.raises(DataError, match=r"x\.parquet: cannot be read .*Input/output error") as found:
        read(tmp_path / "x.parquet")
    assert not isinstance(found.value, FormatError)


def test_a_row_group_that_promises_too_many_rows_is_not_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet, "MAX_LOST_ROWS", 10)
    total = damaged(tmp_path / "x.parquet", 2)
    found = read(tmp_path / "x.parquet")
    lost = [row["error"] for row in found if row["error"]]
    assert len(lost) == 11 and f"damaged_row: {total - len(found) + 1} further rows of row group 1" in lost[-1]


GOOD = '{"text": "good"}\n'


def unreadable_files(folder: Path) -> dict[str, str]:
    """Files of which nothing can be read -> what their row says."""
    table = pa.table({"text": ["a"] * 100})
    pq.write_table(table, folder / "cut.parquet")
    whole = (folder / "cut.parquet").read_bytes()
    contents = {
        "cut.parquet": whole[: len(whole) // 2],
        "footer.parquet": whole[:-8] + b"\xff\xff\xff\x7fPAR1",
        "begun.parquet": b"PAR1 broken",
        "encrypted.parquet": whole[:-4] + b"PARE",
        "lines.parquet": GOOD.encode(),
        "page.warc.gz": b"<?xml version='1.0'?><Error><Code>SlowDown</Code></Error>",
        "lines.warc": GOOD.encode(),
        "parquet.jsonl": whole,
    }  # fmt: skip
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    pq.write_table(pa.table({"content": ["a"]}), folder / "untexted.parquet")
    pq.write_table(pa.Table.from_arrays([pa.array(["a"])] * 2, ["text", "text"]), folder / "twice.parquet")
    pq.write_table(pa.table({}), folder / "without.parquet")
    return {
        "without.parquet": "has no column 'text' (it has: no column at all)",
        "encrypted.parquet": "not a readable Parquet file",
        "cut.parquet": "not a readable Parquet file", "footer.parquet": "not a readable Parquet file",
        "begun.parquet": "not a readable Parquet file", "lines.parquet": "not a readable Parquet file",
        "page.warc.gz": "holds no record of its format; it begins with b\"<?xml version='1.0'?>",
        "lines.warc": "holds no record of its format; it begins with b'{\"text\"",
        "parquet.jsonl": "a Parquet file, not JSON lines", "untexted.parquet": "has no column 'text' (it has: content)",
        "twice.parquet": "has two columns 'text'",
    }  # fmt: skip


def test_a_file_that_cannot_be_read_is_one_quarantined_row(tmp_path: Path) -> None:
    expected = unreadable_files(tmp_path)
    (tmp_path / "a.jsonl").write_text(GOOD)
    written(tmp_path / "a.parquet", {"text": ["good"]})
    pool = make(inputs=[str(tmp_path)])
    texts = 0
    for shard in pool.shards():
        found = [row for batch in pool.read(shard) for row in batch.to_pylist()]
        if shard.name in expected:
            (row,) = found
            assert row["error"].startswith(f"unreadable_file: {shard.name}") and expected[shard.name] in row["error"]
        else:
            texts += [row["text"] for row in found] == ["good"]
        assert pool.sample(shard, 1)[0][0].num_rows == 1
    assert texts == 2 and len(pool.shards()) == len(expected) + 2
    assert len({row["id"] for row in rows(pool)}) == len(expected) + 1
    for pages in (1, 5, 100):
        assert rows(make(inputs=[str(tmp_path)], pages=pages)) == rows(pool)[:pages]


def test_what_makes_a_whole_pool_unreadable_is_told_when_it_is_planned(tmp_path: Path) -> None:
    pq.write_table(pa.table({"content": ["x"], **{f"c{i}\n": [1] for i in range(30)}}), tmp_path / "c.parquet")
    with pytest.raises(DataError, match=r"c\.parquet: has no column 'text' \(it has: content, c0\\n, .*…\)\. Rename"):
        make(inputs=[str(tmp_path)]).shards()
    (tmp_path / "c.parquet").write_bytes(b"PAR1 broken")
    with pytest.raises(DataError, match=r"c\.parquet: not a readable Parquet file \("):
        make(inputs=[str(tmp_path)]).shards()
    (tmp_path / "odd").write_bytes(b"hello")
    with pytest.raises(DataError, match="odd: neither its name nor its first bytes"):
        make(inputs=[str(tmp_path / "odd")]).shards()


@pytest.mark.parametrize("name", ["x.jsonl", "x.jsonl.gz", "x.warc.gz", "x.parquet"])
def test_an_empty_file_is_counted(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name == "x.parquet":
        written(path, {"text": pa.array([], pa.string())})
    else:
        path.write_bytes(b"")
    pool = make(inputs=[str(path)])
    assert rows(pool) == [] and list(pool.read(pool.shards()[0])) == []
    assert pool.notes() == {"empty_files": 1}


# Sizes.


def test_batches_are_bounded_by_the_bytes_of_all_columns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_rows, "MAX_BATCH_BYTES", 100_000)
    large = {
        "extra": {"text": "a", "blob": "x" * 40_000},
        "url": {"text": "a", "url": "http://e.org/" + "ü" * 20_000},
        "metadata": {"text": "a", "metadata": {"WARC-X": "x" * 40_000}},
        "warcinfo": {"text": "a", "warcinfo": "x" * 40_000},
        "text": {"text": "字" * 14_000},
    }
    for name, record in large.items():
        (tmp_path / f"{name}.jsonl").write_text((json.dumps(record, ensure_ascii=False) + "\n") * 20)
        pool = make(inputs=[str(tmp_path / f"{name}.jsonl")])
        assert [batch.num_rows for batch in pool.read(pool.shards()[0])] == [2] * 10, name


def test_a_row_over_the_limit_is_quarantined(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_rows, "MAX_ROW_BYTES", 10_000)
    batcher = Batcher()
    small = {"id": "0" * 32, "url": "http://e.org/" + "x" * 5_000}
    over = [Row(**small, extra="x" * 6_000), Row(**small, text="ü" * 3_000), Row(**small, metadata={"k": "x" * 6_000})]
    given = [*over, Row(**small, content=b"x" * 6_000, content_type="text/html"), Row(**small, text="fits")]
    found = [row for row in given for batch in batcher.add(row)] or list(batcher.flush())
    (batch,) = found
    for row in batch.to_pylist()[:4]:
        assert row["error"].startswith("too_large: the row has 1") and "10000 at most" in row["error"]
        assert (row["text"], row["content"], row["extra"], row["metadata"]) == (None, None, None, None)
        assert small["url"].startswith(row["url"])
    assert batch.to_pylist()[4]["text"] == "fits"


def test_large_parquet_rows_are_read_a_few_at_a_time() -> None:
    def group(num_rows: int, total_byte_size: int) -> Any:
        return type("Group", (), {"num_rows": num_rows, "total_byte_size": total_byte_size})

    asked = {size: parquet._batch_rows(group(1000, size * 1000)) for size in (10, 1000, 1 << 20, 20 << 20, 100 << 20)}
    assert asked == {10: 256, 1000: 64, 1 << 20: 64, 20 << 20: 3, 100 << 20: 1}
    assert parquet._batch_rows(group(0, 0)) >= 1 and parquet._batch_rows(group(-5, -7)) >= 1


def test_a_repository_whose_parts_repeat_too_much_is_quarantined(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tamis.stages.pool import repositories

    monkeypatch.setattr(repositories, "MAX_ROW_BYTES", 100_000)
    files = [{"filename": str(i), "text": "x", "n": 10**30 + i} for i in range(50)]
    records = [{"text": "", "files": files, "readme": "x" * size} for size in (10, 5_000)]
    (tmp_path / "x.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    found = rows(make(inputs=[str(tmp_path / "x.jsonl")], repository_files=1))
    assert Counter((row["error"] or "read").split(":")[0] for row in found) == {"read": 50, "too_large": 1}
    assert [json.loads(row["extra"])["files"] for row in found[:50]] == [[file] for file in files]
