"""What the library answers is what a run of the same step stores: texts, columns, reasons, duplicates."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import library_data
import numpy as np
import pyarrow as pa
import pytest

import tamis
from tamis.store.rundir import open_run
from tamis.store.tokens import read_manifest
from tamis.store.warc_write import response_record, write_warc

SCORER = "def length(text):\n    return len(text) ** 0.5\n"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("library")
    library_data.write_pool(folder)
    library_data.write_tokenizer(folder)
    (folder / "own.py").write_text(SCORER)
    (folder / "good.txt").write_text("".join(f"a fine garden of {n} flowers and hedges\n" for n in range(60)))
    return folder


Library = Callable[[Any, Path], Any]
ALL: dict[str, Any] = {"result": "all"}
CASES: dict[str, tuple[dict[str, Any], Library]] = {
    "refinedweb": ({"filter": {}}, lambda data, at: tamis.filter(data, **ALL)),
    "gopher": (
        {"filter": {"rules": "gopher", "min_words": 20, "keep_languages": ["en", "de"]}},
        lambda data, at: tamis.filter(data, "gopher", min_words=20, keep_languages=["en", "de"], **ALL),
    ),
    "c4": ({"filter": {"rules": "c4"}}, lambda data, at: tamis.filter(data, "c4", **ALL)),
    "fineweb, masked": (
        {"filter": {"rules": "fineweb", "mask_pii": ["email", "phone"]}},
        lambda data, at: tamis.filter(data, "fineweb", mask_pii=["email", "phone"], **ALL),
    ),
    "sampled": (
        {"filter": {"rules": "none", "keep_probability": 0.5}},
        lambda data, at: tamis.filter(data, "none", keep_probability=0.5, **ALL),
    ),
    "exact": ({"dedup": {"method": "exact"}}, lambda data, at: tamis.exact_duplicates(data)),
    "exact, by URL": (
        {"dedup": {"method": "exact", "key": "url", "keep": "longest"}},
        lambda data, at: tamis.exact_duplicates(data, key="url", keep="longest"),
    ),
    "minhash": (
        {"dedup": {"method": "minhash", "bands": 20, "rows": 5}},
        lambda data, at: tamis.near_duplicates(data, bands=20, rows=5),
    ),
    "minhash, merged": (
        {"dedup": {"method": "minhash", "merge": True, "keep": "longest"}},
        lambda data, at: tamis.near_duplicates(data, merge=True, keep="longest"),
    ),
    "bloom": ({"dedup": {"method": "bloom"}}, lambda data, at: tamis.near_duplicates(data, method="bloom")),
    "bloom, places": (
        {"dedup": {"method": "bloom", "name_first": True}},
        lambda data, at: tamis.near_duplicates(data, method="bloom", name_first=True),
    ),
    "substring, places": (
        {"dedup": {"method": "substring", "name_first": True, "min_tokens": 5}},
        lambda data, at: tamis.substring_duplicates(data, name_first=True, min_tokens=5, **ALL),
    ),
    "substring": (
        {"dedup": {"method": "substring"}},
        lambda data, at: tamis.substring_duplicates(data, **ALL),
    ),
    "score": (
        {"quality": {"scorer": "{place}/own.py:length", "annotate": True}},
        lambda data, at: tamis.score(data, scorer=f"{at}/own.py:length"),
    ),
    "trained score": (
        {"quality": {"positives": "{place}/good.txt", "annotate": True, "epoch": 25, "lr": 1.0}},
        lambda data, at: tamis.score(data, positives=f"{at}/good.txt", epoch=25, lr=1.0),
    ),
    "tokenize": (
        {"tokenize": {"tokenizer": "{place}/tokenizer.json"}},
        lambda data, at: tamis.tokenize(data, f"{at}/tokenizer.json"),
    ),
}  # fmt: skip
STREAMED = sorted(name for name, (step, _) in CASES.items() if "dedup" not in step and name != "trained score")


def settings_of(name: str, place: Path) -> list[Any]:
    ((step, settings),) = CASES[name][0].items()
    filled = {key: value.format(place=place) if isinstance(value, str) else value for key, value in settings.items()}
    return [{step: filled}]


def of_run(name: str, place: Path) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    """Id -> row of the documents that a run kept, and of those that it removed the reasons."""
    run = tamis.open_run(library_data.run_step(settings_of(name, place), place / "pool.jsonl"))
    removed = {row["id"]: row["drop_reason"] for step in run.steps for row in run.removed(step)}
    return {row["id"]: row for row in run.documents()}, removed


def check_same(rows: list[dict[str, Any]], kept: dict[str, dict[str, Any]], removed: dict[str, str]) -> None:
    assert len(rows) == len(kept) + len(removed)
    assert {row["id"]: row["drop_reason"] for row in rows if row.get("drop_reason")} == removed
    found = [row for row in rows if row["id"] in kept]
    names = set(kept[found[0]["id"]]) - {"metadata", "warcinfo", "extra", "source_id", "content", "content_type"}
    assert names <= set(found[0])
    for row in found:
        stored = kept[row["id"]]
        assert {name: repr(row[name]) for name in names} == {name: repr(stored[name]) for name in names}


@pytest.mark.parametrize("name", sorted(CASES))
def test_a_table_gets_the_bytes_of_a_run(name: str, place: Path) -> None:
    found = CASES[name][1](library_data.table(), place)
    assert isinstance(found, pa.Table)
    kept, removed = of_run(name, place)
    assert len(found.column_names) > 3
    check_same(found.to_pylist(), kept, removed)


@pytest.mark.parametrize("name", STREAMED)
def test_a_stream_gets_the_bytes_of_a_run(name: str, place: Path) -> None:
    check_same(list(CASES[name][1](iter(library_data.records()), place)), *of_run(name, place))


def test_the_cases_find_what_they_look_for(place: Path) -> None:
    """A step that removes and changes nothing would be no test."""
    for name, least in (("refinedweb", 6), ("c4", 4), ("exact", 4), ("minhash", 8), ("substring", 5), ("sampled", 9)):
        assert len(of_run(name, place)[1]) >= least, name


def test_tokens_are_those_of_a_run(place: Path) -> None:
    """Token ids are stored apart from documents."""
    run = open_run(library_data.run_step(settings_of("tokenize", place), place / "pool.jsonl"))
    folder = run.tokens()
    assert folder is not None
    (shard,) = read_manifest(folder)["shards"]
    stored = np.frombuffer((folder / f"{shard['name']}.bin").read_bytes(), shard["dtype"]).tolist()
    rows = tamis.tokenize(library_data.texts(), f"{place}/tokenizer.json")
    assert stored == [token for row in rows for token in row["token_ids"]]


def test_pages_get_the_text_of_a_run(tmp_path: Path) -> None:
    prose = [text.encode("ascii", "ignore").decode() for text in library_data.texts()[:4]]
    body = "".join(f"<p>{text} Grüße aus Köln.</p>" for text in prose)
    pages = {f"https://pages.example/{n}": f"<html><body><main>{body}{n}</main></body></html>" for n in range(5)}
    pages["https://pages.example/empty"] = "<html><body></body></html>"
    pages["https://pages.example/deep"] = "<div>" * 3000
    data = {url: html.encode("latin-1" if url.endswith("3") else "utf-8") for url, html in pages.items()}
    date = "2026-01-01T00:00:00Z"
    write_warc(tmp_path / "p.warc.gz", [response_record(url, html, "text/html", date) for url, html in data.items()])
    run = tamis.open_run(library_data.run_step(["extract"], tmp_path / "p.warc.gz"))
    rows = pa.table({"url": list(data), "html": list(data.values())})
    found = {row["url"]: row for row in tamis.extract(rows, result="all").to_pylist()}
    for row in run.documents():
        assert {name: found[row["url"]][name] for name in ("text", "charset", "charset_source")} == {
            name: row[name] for name in ("text", "charset", "charset_source")
        }
    assert run.documents().num_rows == 5 and "Grüße aus Köln" in found["https://pages.example/3"]["text"]
    assert [row["drop_reason"] for row in run.removed("extract")] == [
        found["https://pages.example/empty"]["drop_reason"]
    ]
    assert [row["error"] for row in run.quarantined("extract")] == [found["https://pages.example/deep"]["error"]]
    assert tamis.extract(pages["https://pages.example/0"]) == found["https://pages.example/0"]["text"]


def test_signals_and_languages_are_those_that_a_run_measures(place: Path) -> None:
    """Of the documents that its rules keep: a run measures no more of a page that it has removed."""
    kept, _ = of_run("refinedweb", place)
    measured = {row["id"]: row for row in tamis.signals(library_data.records())}
    spoken = {row["id"]: row for row in tamis.detect_language(library_data.records())}
    names = [name for name in next(iter(kept.values())) if name in next(iter(measured.values())) and name != "text"]
    assert len(names) > 20
    for row in kept.values():
        assert {name: repr(row[name]) for name in names} == {name: repr(measured[row["id"]][name]) for name in names}
        assert row["language"] == spoken[row["id"]]["language"]


def test_masked_texts_are_those_of_a_run(place: Path) -> None:
    step = {"filter": {"rules": "none", "keep_languages": [], "mask_pii": ["email", "phone"]}}
    run = tamis.open_run(library_data.run_step([step], place / "pool.jsonl"))
    found = {row["id"]: row for row in tamis.mask(library_data.records(), ["email", "phone"])}
    for row in run.documents():
        mine = found[row["id"]]
        assert (mine["text"], mine["num_email_masked"]) == (row["text"], row["num_email_masked"])
    assert sum(row["num_email_masked"] for row in found.values()) == 12


def test_steps_in_a_row_are_those_of_a_recipe(place: Path) -> None:
    """Marked rows are passed by, as a run gives them to no later step."""
    stages = [{"filter": {"rules": "gopher"}}, {"dedup": {"method": "minhash"}}, {"dedup": {"method": "substring"}}]
    run = tamis.open_run(library_data.run_step(stages, place / "pool.jsonl"))
    marked = tamis.substring_duplicates(
        tamis.near_duplicates(tamis.filter(library_data.table(), "gopher", result="all")), result="all"
    )
    removed = {row["id"]: row["drop_reason"] for step in run.steps for row in run.removed(step)}
    assert {row["id"]: row["drop_reason"] for row in marked.to_pylist() if row["drop_reason"]} == removed
    kept = tamis.substring_duplicates(
        tamis.near_duplicates(tamis.filter(library_data.table(), "gopher"), result="kept")
    )
    names = ["id", "text", "num_copies", "duplicate_token_fraction"]
    assert kept.select(names).to_pylist() == run.documents().to_table(names).to_pylist()
    assert len(set(removed.values())) > 3
