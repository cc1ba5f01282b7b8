"""Every kind of data comes back in its kind, with its other columns, types and order as they were."""

import datetime
import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import datasets
import library_data
import pandas
import polars
import pyarrow as pa
import pytest

import tamis
from tamis.api.call import BATCH_ROWS

GOOD = "The cat and the dog went to the park with a ball, and then they came back to the house. "
ROWS = [
    {"name": "one", "text": GOOD, "weight": 1.5},
    {"name": "two", "text": GOOD, "weight": 2.5},
    {"name": "three", "text": "Write a letter to a@b.com", "weight": 3.5},
]
NONE: dict[str, Any] = {"rules": "none", "keep_languages": []}


def arrow() -> pa.Table:
    return pa.Table.from_pylist(ROWS)


def rows_of(data: Any) -> list[dict[str, Any]]:
    """The rows of any kind, as dicts with None for what is missing."""
    if isinstance(data, pandas.DataFrame):
        data = pa.Table.from_pandas(data, preserve_index=False)
    if isinstance(data, polars.DataFrame):
        return list(data.to_dicts())
    if isinstance(data, pa.RecordBatchReader):
        data = data.read_all()
    return list(data.to_pylist()) if isinstance(data, pa.Table | pa.RecordBatch) else [dict(row) for row in data]


KINDS: dict[str, Any] = {
    "list": lambda: list(ROWS),
    "table": arrow,
    "batch": lambda: pa.RecordBatch.from_pylist(ROWS),
    "pandas": lambda: pandas.DataFrame(ROWS, index=[7, 3, 5]),
    "polars": lambda: polars.DataFrame(ROWS),
    "dataset": lambda: datasets.Dataset.from_list(ROWS),
    "reader": lambda: pa.RecordBatchReader.from_batches(arrow().schema, arrow().to_batches(max_chunksize=2)),
    "iterable dataset": lambda: datasets.Dataset.from_list(ROWS).to_iterable_dataset(),
    "generator": lambda: (row for row in ROWS),
}
STREAMS = ("reader", "iterable dataset", "generator")


@pytest.mark.parametrize("kind", KINDS)
def test_a_filter_answers_in_kind(kind: str) -> None:
    data = KINDS[kind]()
    found = tamis.filter(data, min_words=15, rules="gopher")
    assert isinstance(found, Iterator) if kind == "generator" else type(found) is type(data)
    rows = rows_of(found)
    assert [row["name"] for row in rows] == ["one", "two"]
    assert rows[0]["weight"] == 1.5 and rows[0]["language"] == "en" and "drop_reason" not in rows[0]


@pytest.mark.parametrize("kind", KINDS)
def test_all_rows_or_only_the_removed_ones(kind: str) -> None:
    every = rows_of(tamis.filter(KINDS[kind](), "gopher", min_words=15, keep_languages=[], result="all"))
    assert [row["drop_reason"] for row in every] == [None, None, "too_few_words"]
    assert every[2]["text"] == "Write a letter to a@b.com" and every[2]["error"] is None
    removed = rows_of(tamis.filter(KINDS[kind](), "gopher", min_words=15, keep_languages=[], result="removed"))
    assert removed == every[2:]


@pytest.mark.parametrize("kind", KINDS)
def test_texts_are_edited_and_the_rest_stays(kind: str) -> None:
    rows = rows_of(tamis.mask(KINDS[kind](), ["email"]))
    assert [row["text"] for row in rows] == [GOOD, GOOD, "Write a letter to email@example.com"]
    assert [(row["name"], row["weight"], row["num_email_masked"]) for row in rows] == [
        ("one", 1.5, 0), ("two", 2.5, 0), ("three", 3.5, 1),
    ]  # fmt: skip


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in STREAMS])
def test_duplicates_are_named_by_row_or_by_the_id_of_the_data(kind: str) -> None:
    found = tamis.exact_duplicates(KINDS[kind]())
    assert type(found) is type(KINDS[kind]())
    rows = rows_of(found)
    assert [row["duplicate_of"] for row in rows] == [None, 0, None]
    assert [row["num_copies"] for row in rows] == [2, 1, 1]
    named = rows_of(tamis.exact_duplicates(KINDS[kind](), id_column="name"))
    assert [row["duplicate_of"] for row in named] == [None, "one", None]
    left = rows_of(tamis.exact_duplicates(KINDS[kind](), result="kept"))
    assert [row["name"] for row in left] == ["one", "three"]


@pytest.mark.parametrize("kind", STREAMS)
def test_what_needs_all_documents_says_so_of_a_stream(kind: str) -> None:
    with pytest.raises(tamis.ConfigError, match="compares all documents with each other, and a stream"):
        tamis.near_duplicates(KINDS[kind]())


def test_an_index_and_types_of_pandas_stay() -> None:
    frame = pandas.DataFrame(ROWS, index=[7, 3, 5]).astype({"name": "category"})
    found = tamis.exact_duplicates(frame, result="kept")
    assert found.index.tolist() == [7, 5] and found["name"].dtype == frame["name"].dtype
    with pytest.warns(tamis.QuarantineWarning, match="1 rows could not be processed"):
        marked = tamis.detect_language(pandas.DataFrame({"text": [GOOD, None]}, index=["x", "y"]))
    assert marked.index.tolist() == ["x", "y"] and frame.columns.tolist() == ["name", "text", "weight"]


def test_the_type_of_the_texts_stays() -> None:
    for kind in (pa.large_string(), pa.string()):
        table = pa.table({"text": pa.array(["a@b.com"], kind)})
        assert tamis.mask(table).schema.field("text").type == kind
    coded = pa.table({"text": pa.array([GOOD, GOOD]).dictionary_encode()})
    assert tamis.mask(coded)["text"].to_pylist() == [GOOD, GOOD]
    chunks = pa.concat_tables([arrow(), arrow()])
    assert tamis.filter(chunks, **NONE).num_rows == 6


def test_a_selection_of_a_dataset() -> None:
    chosen = datasets.Dataset.from_list(ROWS).select([2, 0])
    assert tamis.mask(chosen)["text"][:] == ["Write a letter to email@example.com", GOOD]
    assert tamis.exact_duplicates(chosen)["num_copies"][:] == [1, 1]


def test_one_string_and_lists_of_strings() -> None:
    assert tamis.filter(GOOD, **NONE) == GOOD and tamis.filter("…", "gopher") is None
    assert tamis.filter(["…", GOOD, "x"], "gopher", min_words=10) == [GOOD]
    assert tamis.extract("<p>Two words</p>", main_content=False) == "Two words"
    assert tamis.extract("<html></html>") is None
    assert tamis.detect_language("Der Hund und die Katze gehen in den Wald.")["language"] == "de"
    assert list(tamis.detect_language([GOOD])[0]) == ["text", "language", "language_score"]
    assert tamis.exact_duplicates(["a", "A ", "b"], result="kept") == ["a", "b"]
    assert tamis.exact_duplicates(["a", "A ", "b"], result="removed")[0]["duplicate_of"] == 0
    assert list(tamis.mask(iter(["a@b.com"]))) == ["email@example.com"]
    assert tamis.extract([b"<p>Gr\xfc\xdfe</p>"], main_content=False) == ["Grüße"]


def test_columns_of_other_names() -> None:
    table = pa.table({"body": [GOOD, GOOD], "link": ["https://a.example/", "https://b.example/"]})
    kept = tamis.filter(
        table, text_column="body", url_column="link", url_rules=[{"reason": "bad", "hosts": ["a.example"]}], **NONE
    )
    assert kept["link"].to_pylist() == ["https://b.example/"] and kept["body"].to_pylist() == [GOOD]
    found = tamis.extract(
        pa.table({"page": ["<p>Some words</p>"]}), html_column="page", text_column="words", main_content=False
    )
    assert found["words"].to_pylist() == ["Some words"]


def test_rules_and_ranks_may_use_columns_of_the_data() -> None:
    light = tamis.filter(
        arrow(), own_rules=[{"column": "weight", "op": ">", "threshold": 2.0, "reason": "heavy"}], **NONE
    )
    assert light["name"].to_pylist() == ["one"]
    same = tamis.filter(list(ROWS), own_rules=[
        {"column": "extra.weight", "op": ">", "threshold": 2.0, "reason": "heavy"}
    ], **NONE)  # fmt: skip
    assert [row["name"] for row in same] == ["one"]
    old = {"column": "extra.day", "op": "matches", "threshold": "^2020", "reason": "old"}
    days = [{"text": "a", "day": datetime.date(2020, 1, 2)}, {"text": "b", "day": datetime.date(2021, 1, 2)}]
    for data in (days, pa.Table.from_pylist(days), pandas.DataFrame(days), polars.DataFrame(days)):
        assert len(tamis.filter(data, own_rules=[old], **NONE)) == 1
    heavy = tamis.exact_duplicates(polars.DataFrame(ROWS), keep="highest:weight", result="kept")
    assert heavy["name"].to_list() == ["two", "three"]


def test_a_stream_is_worked_on_in_bounded_parts() -> None:
    taken = 0

    def endless() -> Iterator[str]:
        nonlocal taken
        while True:
            taken += 1
            yield f"{GOOD} {taken}"

    answers = tamis.detect_language(endless())
    for _ in range(BATCH_ROWS + 1):
        next(answers)
    assert taken == 2 * BATCH_ROWS


def test_a_stream_of_large_texts_is_cut_by_their_size() -> None:
    taken = []

    def large() -> Iterator[str]:
        for number in range(20):
            taken.append(number)
            yield "word " * 600_000

    next(tamis.mask(large()))
    assert len(taken) == 3


def test_an_iterable_dataset_can_be_read_twice() -> None:
    found = tamis.detect_language(datasets.Dataset.from_list(ROWS).to_iterable_dataset())
    assert [row["language"] for row in found] == [row["language"] for row in found] == ["en", "en", "en"]


def test_an_answer_travels_to_the_workers_of_a_data_loader() -> None:
    found = tamis.detect_language(datasets.Dataset.from_list(ROWS).to_iterable_dataset())
    first = list(found)
    assert list(pickle.loads(pickle.dumps(found))) == first


def test_a_column_alone_is_a_list() -> None:
    for column in (arrow()["text"], arrow()["text"].chunk(0), pandas.Series([GOOD] * 2), polars.Series([GOOD] * 2)):
        assert tamis.filter(column, **NONE)[:2] == [GOOD, GOOD]


def test_any_source_of_arrow_data_is_a_stream(tmp_path: Path) -> None:
    pool = library_data.write_pool(tmp_path)
    run = tamis.open_run(library_data.run_step([{"dedup": {"method": "exact"}}], pool))
    found = tamis.detect_language(run.documents("dedup"), prefix="my_")
    assert isinstance(found, pa.RecordBatchReader)
    assert found.read_all().column("my_language").to_pylist().count("de") == 1


def test_nothing_is_imported_that_the_user_has_not_imported() -> None:
    script = (
        "import sys, tamis\n"
        "assert not {'numba', 'pyarrow', 'torch', 'ray', 'numpy'} & set(sys.modules)\n"
        "assert {'filter', 'open_run', '__version__'} <= set(dir(tamis))\n"
        "for name in tamis.__all__: getattr(tamis, name)\n"
        "tamis.filter('a text', 'none', keep_languages=[])\n"
        "assert not {'torch', 'ray', 'polars', 'datasets', 'transformers'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
    with pytest.raises(AttributeError, match="no attribute 'fliter'"):
        tamis.fliter  # noqa: B018


def test_first_places_name_documents_by_row_or_by_the_id_of_the_data() -> None:
    notice = "a notice of five words"
    texts = [f"É {notice}", f"{notice} here", notice]
    place = {"start": 0, "end": len(notice), "document": 0, "offset": 3}
    for rows in (
        tamis.substring_duplicates(texts, name_first=True, min_tokens=5, result="all"),
        tamis.near_duplicates(texts, "bloom", mode="substring", ngram=5, substring_tokens=5, name_first=True),
    ):
        assert [row["first_places"] for row in rows] == [None, [place], [place]]
    table = pa.table({"id": ["ä", "b", "c"], "text": texts})
    found = tamis.substring_duplicates(table, name_first=True, min_tokens=5, result="removed").to_pylist()
    assert [row["first_places"] for row in found] == [[place | {"document": "ä"}]]
