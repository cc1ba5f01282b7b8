"""A run opened as data: what the files hold, read where they lie, and one clear error for what is not there."""

import json
from pathlib import Path
from typing import Any

import library_data
import pandas
import polars
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

import tamis
from tamis.store.rundir import open_run

STAGES = [
    {"filter": {"rules": "gopher", "mask_pii": ["email"]}},
    {"dedup": {"method": "exact"}},
    {"dedup": {"method": "minhash"}},
]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A run on the disk, of two files, the second with a record without a text."""
    folder = tmp_path_factory.mktemp("run")
    pool = folder / "pool"
    pool.mkdir()
    lines = library_data.write_pool(folder).read_text().splitlines(keepends=True)
    (pool / "a.jsonl").write_text("".join(lines[::2]))
    (pool / "b.jsonl").write_text("".join([*lines[1::2], json.dumps({"url": "x", "body": "y"}) + "\n"]))
    return library_data.run_step(STAGES, pool, workspace=str(folder / "runs"))


def parquet(place: str, step: str, kind: str) -> list[dict[str, Any]]:
    files = sorted((open_run(place).stage(step).root.path / kind).glob("*.parquet"))
    return [row for file in files for row in pq.read_table(file).to_pylist()]


def test_the_rows_are_those_of_the_files(place: str) -> None:
    run = tamis.open_run(place)
    assert run.steps == ["01_pool", "02_filter", "03_mask_pii", "04_dedup", "05_dedup"]
    assert run.path == place and run.recipe["name"] == "run"
    removed = parquet(place, "02_filter", "removed")
    assert repr(list(run.removed("filter"))) == repr(list(run.removed("02_filter"))) == repr(removed)
    assert len(removed) > 3
    assert run.documents("03_mask_pii").to_table().to_pylist() == parquet(place, "03_mask_pii", "shards")
    assert list(run.documents()) == parquet(place, "05_dedup", "shards")
    assert list(run.quarantined("pool")) == parquet(place, "01_pool", "quarantine")
    assert run.quarantined("pool").num_rows == 1
    counts = run.card("filter")["counts"]
    assert sum(counts["removed"].values()) == len(removed) and counts["in"] == counts["kept"] + len(removed)


def test_nothing_is_copied_and_little_is_read(place: str) -> None:
    rows = tamis.open_run(place).documents("mask_pii")
    assert len(rows.files) == 2 and all(Path(file).is_file() for file in rows.files)
    assert isinstance(rows.dataset(), ds.Dataset) and rows.dataset().files == rows.files
    long = rows.dataset().to_table(columns=["url"], filter=ds.field("num_stop_words") > 20)
    assert 0 < long.num_rows < rows.num_rows
    first = next(rows.batches(["url", "num_stop_words"], batch_rows=2))
    assert first.schema.names == ["url", "num_stop_words"] and first.num_rows == 2
    assert f"{rows.num_rows} rows in 2 files" in repr(rows) and "05_dedup" in repr(tamis.open_run(place))


def test_other_packages_take_the_rows(place: str) -> None:
    rows = tamis.open_run(place).documents()
    table = rows.to_table()
    frame = rows.to_pandas(["id", "text"])
    assert isinstance(frame, pandas.DataFrame) and frame["text"].tolist() == table["text"].to_pylist()
    assert polars.from_arrow(rows.reader(["id"]))["id"].to_list() == table["id"].to_pylist()
    assert pa.table(rows).equals(table)
    again = tamis.exact_duplicates(rows.to_table(["id", "text"]))
    assert again["drop_reason"].null_count == table.num_rows


def test_a_step_that_removed_nothing_has_empty_tables(tmp_path: Path) -> None:
    pool = library_data.write_pool(tmp_path)
    run = tamis.open_run(library_data.run_step([{"filter": {"rules": "none", "keep_languages": []}}], pool))
    for rows in (run.removed("pool"), run.quarantined("filter")):
        assert rows.num_rows == 0 and rows.to_table().num_rows == 0 and list(rows) == [] and rows.files == []
        assert rows.dataset().count_rows() == 0
    assert run.removed("pool").schema.names == ["id", "url", "drop_reason", "excerpt"]


def test_a_run_on_an_object_store_is_read_there(tmp_path: Path) -> None:
    pool = library_data.write_pool(tmp_path)
    place = library_data.run_step([{"dedup": {"method": "exact"}}], pool)
    rows = tamis.open_run(place).documents("dedup")
    assert rows.files[0].startswith("memory://")
    assert rows.dataset().to_table(columns=["id"]).num_rows == rows.num_rows == len(list(rows)) > 20


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (lambda run: run.documents("fliter"), "has no step 'fliter' (did you mean 'filter'? "),
        (lambda run: run.card("dedup"), "several steps are called 'dedup'; name one of 04_dedup, 05_dedup"),
        (
            lambda run: run.documents("filter"),
            "the documents after 02_filter are not stored: they went on to the next step. Stored are those after "
            "03_mask_pii, 04_dedup, 05_dedup; to store them, run the recipe with --until",
        ),
        (lambda run: run.documents().to_table(["txet"]), "no column 'txet' (did you mean 'text'? "),
    ],
)
def test_what_is_not_there_is_named(place: str, ask: Any, words: str) -> None:
    with pytest.raises(tamis.ConfigError) as failure:
        ask(tamis.open_run(place))
    assert words in str(failure.value)


def test_a_run_that_is_not_finished(tmp_path: Path) -> None:
    with pytest.raises(tamis.ConfigError, match="no run here"):
        tamis.open_run(str(tmp_path))
    pool = library_data.write_pool(tmp_path)
    other = library_data.run_step([{"dedup": {"method": "exact"}}], pool)
    card = open_run(other).stage("02_dedup").card
    card.delete_file()
    with pytest.raises(tamis.ConfigError, match=r"the step 02_dedup is not finished. Run the recipe again"):
        tamis.open_run(other).documents("dedup")
