"""Every format is read back by its own readers, with the texts, ids and fields of the run."""

import gzip
import importlib.util
import json
import re
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from tamis.export.layouts import LAYOUTS, portable
from tamis.stages.pool.stage import Pool, PoolConfig
from tamis.store.location import Location
from tamis.store.rundir import RunDir
from tamis.store.shards import ShardWriter

FOLDERS = {name: layout.folder for name, layout in LAYOUTS.items()}
JSONL = [name for name, layout in LAYOUTS.items() if layout.record is not None]
Documents = list[dict[str, Any]]


def lines(folder: Path) -> Documents:
    """The records of an export in JSONL."""
    found = []
    for path in sorted(folder.glob("*/train-*")):
        data = path.read_bytes()
        text = (
            gzip.decompress(data) if path.suffix == ".gz" else zstandard.ZstdDecompressor().stream_reader(data).read()
        )
        found += [json.loads(line) for line in text.splitlines()]
    return found


def pairs(rows: Any) -> list[tuple[str, str]]:
    return [(row["id"], row["text"]) for row in rows]


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.usefixtures("offline")
def test_datasets(exports: dict[str, Path], documents: Documents, name: str, streaming: bool) -> None:
    datasets = pytest.importorskip("datasets")
    found = datasets.load_dataset(str(exports[name]), split="train", streaming=streaming)
    rows = list(found)
    assert pairs(rows) == pairs(documents)
    if name == "dclm":
        assert [row["url"] or "" for row in rows] == [row["url"] for row in documents]
        assert rows[3]["tags"] == ["a", "b"] and rows[3]["author"] == {"name": "Åsa", "age": 40, "mail": None}
        assert rows[5]["large"] == str(3**80), "datasets reads no integer of more than 64 bits"
        assert rows[7]["mixed"] == [1, "x", {"k": []}] and rows[8]["mixed"] == "plain"


@pytest.mark.parametrize("name", ["parquet", *JSONL])
def test_polars_and_duckdb(exports: dict[str, Path], documents: Documents, name: str) -> None:
    polars, duckdb = pytest.importorskip("polars"), pytest.importorskip("duckdb")
    files = f"{exports[name]}/{FOLDERS[name]}/train-*"
    if name == "parquet":
        frame, table = polars.read_parquet(files), duckdb.read_parquet(files)
    else:
        frame = polars.read_ndjson(files, infer_schema_length=None)
        table = duckdb.sql(f"FROM read_json('{files}', sample_size=-1, format='newline_delimited')")
    assert frame.select("id", "text").rows() == pairs(documents)
    assert table.select("id, text").fetchall() == pairs(documents)


def test_polars_and_duckdb_find_a_header_in_the_metadata(exports: dict[str, Path], documents: Documents) -> None:
    polars, duckdb = pytest.importorskip("polars"), pytest.importorskip("duckdb")
    files = f"{exports['parquet']}/data/train-*"
    dates = [json.loads(row["metadata"] or "{}").get("WARC-Date") for row in documents]
    assert Counter(dates) == Counter({None: 20, "2026-01-01T00:00:00Z": 6, "2019-05-06T07:08:09Z": 1})
    found = polars.read_parquet(files).select(polars.col("metadata").str.json_path_match("$['WARC-Date']"))
    assert found.to_series().to_list() == dates
    assert [
        row[0] for row in duckdb.sql(f"SELECT metadata->>'WARC-Date' FROM read_parquet('{files}')").fetchall()
    ] == dates


@pytest.mark.parametrize("name", JSONL)
def test_datatrove(exports: dict[str, Path], documents: Documents, name: str) -> None:
    readers = pytest.importorskip("datatrove.pipeline.readers")
    found = list(readers.JsonlReader(str(exports[name] / FOLDERS[name]))())
    assert [(one.id, one.text) for one in found] == pairs(documents)
    assert [one.metadata.get("url", "") for one in found] == [row["url"] for row in documents]
    assert [one.metadata["language"] for one in found] == [row["language"] for row in documents]


def test_spark(exports: dict[str, Path], documents: Documents) -> None:
    sql = pytest.importorskip("pyspark.sql")
    spark = sql.SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false").getOrCreate()
    try:
        frame = spark.read.parquet(str(exports["parquet"] / "data"))
        assert sorted(pairs(frame.collect())) == sorted(pairs(documents))
        assert dict(frame.dtypes)["metadata"] == "string"
    finally:
        spark.stop()


@pytest.mark.parametrize("name", LAYOUTS)
def test_tamis_reads_what_it_exports(exports: dict[str, Path], documents: Documents, name: str) -> None:
    pool = Pool(PoolConfig(inputs=[str(exports[name])]))
    rows = [row for shard in pool.shards() for batch in pool.read(shard) for row in batch.to_pylist()]
    assert [row["error"] for row in rows] == [None] * len(documents)
    assert pairs(rows) == pairs(documents)
    assert [row["url"] for row in rows] == [row["url"] for row in documents]
    if name in ("parquet", "dclm"):
        for column in ("warcinfo", "metadata"):
            assert [row[column] for row in rows] == [row[column] for row in documents], column


# What is where.


def test_the_fields_of_dclm(exports: dict[str, Path], documents: Documents) -> None:
    found = lines(exports["dclm"])
    for record, row in zip(found, documents, strict=True):
        assert (record["text"], record.get("url", "")) == (row["text"], row["url"])
        assert record["id"] == row["id"]
        assert record["language_id_whole_page_fasttext"] == {row["language"]: row["language_score"]}
        assert record.get("warcinfo") == row["warcinfo"]
    assert found[3]["source_id"] == "theirs-3" and found[3]["author"] == {"name": "Åsa", "age": 40}
    assert found[8]["metadata"] == {"WARC-Date": "2019-05-06T07:08:09Z", "X-Late": "yes"}
    assert found[9]["metadata"] == {"depth": 3, "nested": {"a": [1]}}
    assert found[-1]["metadata"]["WARC-Target-URI"] == "https://pages.example/5"


def test_the_fields_of_dolma(exports: dict[str, Path], documents: Documents) -> None:
    found = lines(exports["dolma"])
    for record, row in zip(found, documents, strict=True):
        assert list(record)[:3] == ["id", "text", "source"]
        assert record.keys() <= {"id", "text", "source", "added", "created", "metadata"}
        assert record["metadata"].get("url", "") == row["url"]
        assert record["metadata"]["language_score"] == row["language_score"]
    assert {record["source"] for record in found} == {"mine", "a-magazine"}
    assert found[7]["created"] == "2001-02-03T00:00:00Z" and "added" not in found[7]
    assert found[8]["added"] == found[8]["created"] == "2019-05-06T07:08:09Z"
    assert found[9]["metadata"]["depth"] == 3


def test_the_fields_of_datatrove(exports: dict[str, Path], documents: Documents) -> None:
    for record, row in zip(lines(exports["datatrove"]), documents, strict=True):
        assert list(record) == ["text", "id", "metadata"]
        assert (record["id"], record["metadata"].get("url", "")) == (row["id"], row["url"])
        if row["metadata"] and "WARC-Date" in row["metadata"]:
            assert record["metadata"]["date"] == json.loads(row["metadata"])["WARC-Date"]


# Types.

SPARK = re.compile(
    r"None|String|JSON|Date|Decimal\(precision=(?:[12]?[0-9]|3[0-8]), scale=[0-9]+\)|Int\(bitWidth=(?:8|16|32|64), "
    r"isSigned=(?:true|false)\)|Timestamp\(isAdjustedToUTC=(?:true|false), timeUnit=(?:milli|micro)seconds, "
    r"is_from_converted_type=(?:true|false), force_set_converted_type=(?:true|false)\)|List"
)
"""Logical types of Parquet that Spark 3.2 and later read: those of its table of types, and unsigned integers."""


def unreadable(path: Path) -> list[tuple[str, str]]:
    """Columns that Spark or `datasets` refuse."""
    schema = pq.ParquetFile(path).schema
    found = [schema.column(number) for number in range(len(schema.names))]
    wrong = [(one.path, str(one.logical_type)) for one in found if not SPARK.fullmatch(str(one.logical_type))]
    return wrong + [(one.path, "a map") for one in found if ".key_value." in one.path]


def test_all_parquet_files_of_a_run_have_types_that_others_read(run: RunDir, exports: dict[str, Path]) -> None:
    """`datasets` refused the documents of every run while their metadata were a map."""
    stored = [
        file.path
        for step in run.steps()
        for folder in ("shards", "removed", "quarantine")
        for file in (run.stage(step).root / folder).children()
    ]
    assert len(stored) > 6
    for path in [*stored, *exports["parquet"].glob("data/*")]:
        assert unreadable(path) == [], path


@pytest.mark.usefixtures("offline")
def test_datasets_reads_the_shards_of_a_run(run: RunDir, documents: Documents) -> None:
    datasets = pytest.importorskip("datasets")
    stage = run.dataset()
    assert stage is not None
    found = datasets.load_dataset("parquet", data_dir=str(stage.shards), split="train")
    assert pairs(found) == pairs(documents)


def test_columns_of_stages_of_the_users_own_are_given_types_that_others_read(tmp_path: Path) -> None:
    batch = pa.record_batch({
        "extra": pa.array(["{}", None]), "text": pa.array(["a", "b"]), "id": pa.array(["1", "2"]),
        "map": pa.array([[("k", 1.5)], None], pa.map_(pa.string(), pa.float64())),
        "half": pa.array([1.5, None], pa.float16()), "nothing": pa.nulls(2),
        "when": pa.array([1_000, None], pa.timestamp("ns")), "time": pa.array([1, None], pa.time64("us")),
        "wide": pa.array([1, None], pa.decimal256(60, 2)), "hash": pa.array([2**64 - 1, None], pa.uint64()),
    })  # fmt: skip
    out = portable(batch)
    with ShardWriter(tmp_path / "x.parquet", out.schema) as writer:
        writer.write(out)
    assert unreadable(tmp_path / "x.parquet") == []
    first, second = pq.read_table(tmp_path / "x.parquet").to_pylist()
    assert list(first)[:2] == ["id", "text"] and list(first)[-1] == "extra"
    assert first["map"] == [{"key": "k", "value": 1.5}] and first["hash"] == 2**64 - 1
    assert (first["half"], first["time"], first["wide"]) == (1.5, "00:00:00.000001", "1.00")
    assert set(second.values()) == {"b", "2", None}


def test_parquet_files_have_a_page_index(exports: dict[str, Path], run: RunDir) -> None:
    stage = run.dataset()
    assert stage is not None
    for path in (*exports["parquet"].glob("data/*"), stage.shard(0).path):
        column = pq.read_metadata(path).row_group(0).column(0)
        assert column.has_offset_index and column.has_column_index


# The examples of the card.


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.usefixtures("offline")
def test_the_examples_of_the_card_run(
    exports: dict[str, Path], documents: Documents, name: str, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    blocks = re.findall(r"```python\n(.*?)```", (exports[name] / "README.md").read_text(), re.DOTALL)
    total = sum(len(row["text"].encode()) for row in documents)
    expected = {"datasets": documents[0]["text"], "polars": total, "duckdb": total, "datatrove": documents[0]["id"]}
    monkeypatch.chdir(exports[name])
    assert len(blocks) == (3 if name == "parquet" else 4)
    for block, (module, shown) in zip(blocks, expected.items(), strict=False):
        assert module in block
        if importlib.util.find_spec(module) is None:
            assert module == "datatrove", f"{module} is one of the packages for development"
            continue
        exec(block, {})
        assert str(shown).strip() in capsys.readouterr().out


def test_checksums(exports: dict[str, Path]) -> None:
    for folder in exports.values():
        done = subprocess.run(["sha256sum", "--check", "SHA256SUMS"], cwd=folder, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout
        assert done.stdout.count(": OK") == 3


def test_the_places_are_local_folders_that_hold_nothing_else(exports: dict[str, Path]) -> None:
    for name, folder in exports.items():
        assert sorted(file.relative_to(Location(folder)) for file in Location(folder).files()) == sorted([
            "README.md", "SHA256SUMS", "tamis-export.json",
            *(LAYOUTS[name].file_name(n, 3, LAYOUTS[name].ending(None)) for n in range(3)),
        ])  # fmt: skip
