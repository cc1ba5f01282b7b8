"""Document shards: what is written comes back, wherever it lies, and what is no shard is named."""

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from tamis.base.errors import DataError
from tamis.store import shards
from tamis.store.atomic import write_bytes
from tamis.store.location import Location
from tamis.store.shards import (
    ShardWriter,
    file_digest,
    num_rows_of,
    read_row_groups,
    read_rows,
    read_shard,
    read_table,
    schema_of,
    write_table,
)  # fmt: skip

TABLE = pa.table({"id": ["a", "b", "c"], "size": [1, 2, 3], "text": ["x" * 10, None, ""]})


def test_a_shard_comes_back_in_every_way_of_reading(place: str) -> None:
    file = Location(place) / "shards/00000.parquet"
    with ShardWriter(file, TABLE.schema) as writer:
        for batch in TABLE.to_batches(max_chunksize=2):
            writer.write(batch)
        assert not file.exists()
    assert writer.num_rows == num_rows_of(file) == 3 and schema_of(file) == TABLE.schema
    assert read_table(file) == TABLE
    assert pa.Table.from_batches(read_shard(file, batch_rows=2)) == TABLE
    assert pa.Table.from_batches(read_row_groups(file, ["size"])) == TABLE.select(["size"])
    assert read_table(file, ["id"], pc.field("size") > 1)["id"].to_pylist() == ["b", "c"]
    assert [batch.num_rows for batch in read_shard(file, ["id"], batch_rows=2)] == [2, 1]


def test_a_shard_is_the_same_bytes_everywhere(tmp_path: object, s3: str, memory: str) -> None:
    digests = set()
    for root in (Location(str(tmp_path)), Location(s3), Location(memory)):
        with ShardWriter(root / "x.parquet", TABLE.schema) as writer:
            writer.write(TABLE.to_batches()[0])
        digests.add(file_digest(root / "x.parquet"))
    assert len(digests) == 1


def test_row_groups_do_not_depend_on_batches(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "ROW_GROUP_BYTES", 100)
    table = pa.table({"text": ["x" * (size % 60) for size in range(40)]})
    for rows in (1, 7, 40):
        with ShardWriter(Location(place) / f"{rows}.parquet", table.schema) as writer:
            for batch in table.to_batches(max_chunksize=rows):
                writer.write(batch)
    assert len({file_digest(file) for file in Location(place).files()}) == 1
    assert len(list(read_row_groups(Location(place) / "7.parquet", ["text"]))) > 5


def test_batches_and_row_groups_are_bounded_by_the_bytes_of_all_columns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shards, "ROW_GROUP_BYTES", 1000)
    headers = pa.array(
        [[("k", "x" * 600), ("l", None)], None, [], [("k", "x" * 600)]] * 5, pa.map_(pa.string(), pa.string())
    )
    for name, values in (("extra", pa.array(["x" * 600, "", None, "x" * 600] * 5)), ("metadata", headers)):
        table = pa.table({name: values})
        with ShardWriter(tmp_path / "x.parquet", table.schema) as writer:
            for batch in table.slice(0, 3).to_batches() + table.slice(3).to_batches():
                writer.write(batch)
        assert [batch.num_rows for batch in read_shard(tmp_path / "x.parquet")] == [4] * 5
        assert pa.Table.from_batches(read_shard(tmp_path / "x.parquet")) == table


def test_hashes_are_stored_without_a_dictionary(tmp_path: Path) -> None:
    table = pa.table({"hash": pa.array([7, 7], pa.uint64()), "size": [1, 1], "text": ["a", "a"]})
    with ShardWriter(tmp_path / "x.parquet", table.schema) as writer:
        writer.write(table.to_batches()[0])
    group = pq.read_metadata(tmp_path / "x.parquet").row_group(0)
    columns = [group.column(number) for number in range(group.num_columns)]
    assert [column.path_in_schema for column in columns if column.has_dictionary_page] == ["size", "text"]


def test_a_row_is_as_large_as_its_strings_and_eight_bytes_for_every_number() -> None:
    columns = {
        "text": pa.array(["abc", None]), "large": pa.array(["é", ""], pa.large_string()), "raw": pa.array([b"1", b""]),
        "number": pa.array([1, None]), "list": pa.array([None, [1, 2]], pa.list_(pa.int32())),
        "fixed": pa.array([[1, 2, 3], None], pa.list_(pa.int64(), 3)),
    }  # fmt: skip
    assert shards._row_bytes(pa.RecordBatch.from_pydict(columns)).tolist() == [3 + 2 + 1 + 8 + 24, 8 + 16 + 24]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_shard_whose_writing_fails_is_not_there(place: str, error: type[BaseException]) -> None:
    with pytest.raises(error), ShardWriter(Location(place) / "x.parquet", TABLE.schema) as writer:
        writer.write(TABLE.to_batches()[0])
        raise error
    assert Location(place).files() == []


def test_a_small_table_keeps_its_metadata(place: str) -> None:
    table = TABLE.replace_schema_metadata({"details": "{}"})
    write_table(Location(place) / "x.parquet", table)
    assert schema_of(Location(place) / "x.parquet").metadata == {b"details": b"{}"}
    assert read_table(Location(place) / "x.parquet").equals(table, check_metadata=True)


def test_what_is_no_shard_is_named(place: str) -> None:
    whole, damaged = Location(place) / "whole.parquet", Location(place) / "damaged.parquet"
    write_table(whole, pa.table({"text": ["some text " * 100] * 100}))
    data = whole.read_bytes()
    cut, scrambled = data[: len(data) // 2], data[:4] + bytes(len(data) // 2) + data[4 + len(data) // 2 :]
    ways = (
        schema_of, num_rows_of, read_table, lambda file: list(read_shard(file)),
        lambda file: list(read_row_groups(file, ["text"])), lambda file: read_table(file, where=pc.field("text") != ""),
    )  # fmt: skip
    for content, those in ((cut, ways), (b"", ways), (b"PAR1", ways), (scrambled, ways[2:])):
        write_bytes(damaged, content)
        for read in those:
            with pytest.raises(DataError, match=r"damaged\.parquet: not a readable Parquet shard .*Delete it and run"):
                read(damaged)
    for read in ways:
        with pytest.raises(FileNotFoundError):
            read(Location(place) / "none.parquet")


def test_rows_are_skipped_in_and_between_row_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "ROW_GROUP_BYTES", 80)
    table = pa.table({"n": list(range(47))})
    with ShardWriter(tmp_path / "x.parquet", table.schema) as writer:
        writer.write(table.to_batches()[0])
    for skip in range(50):
        batches = list(read_shard(tmp_path / "x.parquet", batch_rows=3, skip=skip))
        assert all(batch.num_rows for batch in batches)
        assert [n for batch in batches for n in batch["n"].to_pylist()] == list(range(skip, 47))


def test_rows_by_position(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "ROW_GROUP_BYTES", 20)
    file = Location(place) / "00000.parquet"
    with ShardWriter(file, TABLE.schema) as writer:
        for batch in TABLE.to_batches():
            writer.write(batch)
    for rows in ([0], [2], [0, 2], [0, 1, 2]):
        assert read_rows(file, rows, ["id", "size"]).equals(TABLE.select(["id", "size"]).take(rows))
    assert read_rows(file, [], ["id"]).num_rows == 0
