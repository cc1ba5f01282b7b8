"""Files and rows that cannot be read, or are too large, are quarantined with a reason; the rest is read."""

import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from test_pool import make, rows

from tamis.base.errors import DataError, FormatError
from tamis.stages.pool import parquet
from tamis.stages.pool import rows as pool_rows
from tamis.stages.pool.rows import Batcher, Row

UTF8_ERROR = b"\xff\xfe!"


def read(path: Path) -> list[dict[str, Any]]:
    return rows(make(inputs=[str(path)]))


def written(path: Path, columns: dict[str, Any]) -> Path:
    pq.write_table(pa.table(columns), path)
    return path


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
    assert read(path) == found


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
    with pytest.raises(DataError, match=r"c\.parquet: has no column 'text' \(it has: content, c0\\n, .*…\)\. Name"):
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
