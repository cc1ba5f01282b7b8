"""`tamis status` and the tables: every number that a user needs is there, nothing is cut off without a word."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tamis.base.cards import Card, Counts
from tamis.base.events import Event
from tamis.base.hashing import fingerprint
from tamis.console.formats import count_text, duration_text, size_text, work_label
from tamis.console.status import print_status, status_data
from tamis.console.tables import accounting_table, clean_table, print_explanation, print_table
from tamis.store.atomic import write_json, write_text
from tamis.store.location import Location
from tamis.store.rundir import Product, RunDir
from tamis.store.workspace import open_workspace

REASONS = {f"why_{number}": number for number in range(1, 9)}

DATA_NOW = fingerprint({"num_tokens": 4321})


def card(name: str, counts: Counts) -> Card:
    return Card(
        kind="stage", name=name, version=1, fingerprint="f", parents=[], config={}, tamis_version="0", accounting=counts
    )  # fmt: skip


def filtered() -> Counts:
    return Counts(rows_in=100, kept=64, removed=Counter(REASONS), bytes_in=2_500_000, kept_bytes=1_200_000)


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    """A run of pool, filter and tokenize, of which tokenize has made 4,321 tokens."""
    workspace = open_workspace(Location(tmp_path / "w"))
    run = RunDir(workspace.root / "mine")
    write_text(run.recipe, "name: mine\n")
    run.record_steps({"01_pool": "pool-1", "02_filter": "filter-1", "03_tokenize": "tokenize-1"}, [])
    pool = Counts(rows_in=102, kept=100, quarantined=Counter({"truncated_record": 2}), kept_bytes=2_500_000)
    tokenized = Counts(rows_in=64, kept=64, bytes_in=1_200_000, kept_bytes=1_200_000)
    for step, counts in (("01_pool", pool), ("02_filter", filtered()), ("03_tokenize", tokenized)):
        write_json(run.stage(step).card, card(step[3:], counts).to_dict())
    write_json(run.stage("03_tokenize").tokens / "manifest.json", {"num_tokens": 4321, "fingerprint": DATA_NOW})
    run.log.write(Event(kind="run_started", fields={"recipe": "mine"}))
    run.log.write(Event(kind="run_finished", fields={}))
    return run


def printed(run: RunDir, capsys: pytest.CaptureFixture[str], all_reasons: bool = False) -> str:
    print_status(run, all_reasons)
    return capsys.readouterr().out


def test_status_has_documents_bytes_tokens_and_places(run: RunDir, capsys: pytest.CaptureFixture[str]) -> None:
    status = status_data(run)
    json.dumps(status)
    assert (status["recipe"], status["state"], status["error"]) == ("mine", "finished", None)
    stage = status["stages"]["02_filter"]
    assert stage["counts"] == {"in": 100, "kept": 64, "removed": REASONS, "quarantined": {}}
    assert (stage["text_bytes"]["in"], stage["text_bytes"]["kept"]) == (2_500_000, 1_200_000)
    assert stage["artefact"] == str(run.workspace.artefact("filter-1"))
    assert [stage["tokens"] for stage in status["stages"].values()] == [None, None, 4321]
    text = printed(run, capsys)
    for told in ("2.5 MB", "1.2 MB", "4,321", "mine: finished", f"02_filter: {run.workspace.artefact('filter-1')}"):
        assert told in text


def test_reasons_left_out_are_told_and_all_of_them_shown_when_asked(
    run: RunDir, capsys: pytest.CaptureFixture[str]
) -> None:
    text = printed(run, capsys)
    assert "why_4 4 and 3 more (--all shows them)" in text
    assert "why_3" not in text
    text = printed(run, capsys, all_reasons=True)
    assert all(f"{name} {count}" in text for name, count in REASONS.items())
    assert "more" not in text


def test_state_and_error_of_a_run(run: RunDir, capsys: pytest.CaptureFixture[str]) -> None:
    run.log.write(Event(kind="run_failed", fields={"error": "DataError: no document is left"}))
    run.log.write(Event(kind="note", fields={"text": "later"}))
    assert status_data(run)["state"] == "failed"
    assert status_data(run)["error"] == "DataError: no document is left"
    assert "failed (DataError: no document is left)" in printed(run, capsys)
    run.log.write(Event(kind="run_started", fields={}))
    assert (status_data(run)["state"], status_data(run)["error"]) == ("finished", None)
    run.stage("03_tokenize").card.delete_file()
    assert status_data(run)["state"] == "unfinished"
    assert "mine: unfinished" in printed(run, capsys)


def test_a_run_that_nothing_is_listed_of_is_not_finished(run: RunDir) -> None:
    (run.root / "run.json").delete_file()
    assert status_data(run)["state"] == "unfinished"


def test_products_of_other_data_are_stale(run: RunDir, capsys: pytest.CaptureFixture[str]) -> None:
    run.add_product(Product("model", "model-old", {"data": "data-before", "scale": "nano", "seed": 0}))
    run.add_product(Product("model", "model-new", {"data": DATA_NOW, "scale": "nano", "seed": 0}))
    run.add_product(Product("evaluation", "scores-old", {"data": "data-before", "seed": 0}))
    status = status_data(run)
    assert [model["stale"] for model in status["models"]] == [True, False]
    assert [one["stale"] for one in status["evaluations"]] == [True]
    text = printed(run, capsys)
    stale = {line.split("artefacts/")[1].split()[0].rstrip(":") for line in text.splitlines() if "STALE" in line}
    assert stale == {"model-old", "scores-old"}
    assert "model-new (scale nano, seed 0)\n" in text


def test_an_unfinished_step_is_listed_and_products_cannot_be_checked(
    run: RunDir, capsys: pytest.CaptureFixture[str]
) -> None:
    run.add_product(Product("model", "model-old", {"data": "data-before", "seed": 0}))
    run.stage("02_filter").card.delete_file()
    status = status_data(run)
    assert [stage["finished"] for stage in status["stages"].values()] == [True, False, True]
    assert "counts" not in status["stages"]["02_filter"]
    assert status["models"][0]["stale"] is None
    text = printed(run, capsys)
    assert "(not finished)" in text and "not checked" in text


def test_accounting_table(capsys: pytest.CaptureFixture[str]) -> None:
    lost = Counts(rows_in=3, kept=1, removed=Counter({"[odd]": 1}), quarantined=Counter({"broken": 1}))
    print_table(accounting_table([("01_pool", card("pool", lost)), ("02_filter", card("filter", filtered()))]))
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert lines[1].split(maxsplit=5) == ["01_pool", "3", "1", "1", "1", "[odd] 1, broken 1"]
    assert lines[2].split()[:5] == ["02_filter", "100", "64", "36", "0"]
    assert lines[2].endswith("why_4 4 and 3 more (tamis status --all shows them)")


def test_clean_table_has_sizes_and_their_total(capsys: pytest.CaptureFixture[str]) -> None:
    items: list[dict[str, Any]] = [
        {"artefact": "filter-1", "bytes": 1_500_000_000, "kind": "stage", "why": "no run refers to it", "kept": ""},
        {
            "artefact": "model-2",
            "bytes": 12,
            "kind": "model",
            "why": "made from data that no run has",
            "kept": "a run is working on it",
        },
    ]
    print_table(clean_table(items))
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert lines[1].split(maxsplit=4) == ["filter-1", "stage", "1.5", "GB", "no run refers to it"]
    assert lines[-1].split() == ["total:", "2", "artefacts", "1.5", "GB"]


def explanation(**changes: Any) -> dict[str, Any]:
    low = {"reason": "too_short", "column": "num_words", "value": 12, "removes_if": "< 50", "fired": True}
    other = {"reason": "odd", "column": "mean", "value": 0.123456, "removes_if": "> 0.1", "fired": True}
    steps = [
        {"stage": "02_filter", "outcome": "removed", "reason": "too_short", "tests": [low, other]},
    ]
    return {"id": "7f", "url": "http://a.org/[x]", "outcome": "removed", "text": "some [b]text[/b]", "steps": steps} | (
        changes
    )


def test_explanation_marks_the_rule_that_removed_the_page(capsys: pytest.CaptureFixture[str]) -> None:
    print_explanation(explanation())
    text = capsys.readouterr().out
    assert "http://a.org/[x]  id 7f: removed" in text
    marked = {line.split()[0]: line.partition("<-")[2].strip() for line in text.splitlines() if "<-" in line}
    assert marked == {"num_words": "removes it", "mean": "holds as well"}
    assert "0.1235" in text and "beginning of the text:\nsome [b]text[/b]" in text


def test_explanation_of_a_kept_page_says_of_no_rule_that_it_removes(capsys: pytest.CaptureFixture[str]) -> None:
    steps = [dict(explanation()["steps"][0], outcome="kept", reason="")]
    print_explanation(explanation(outcome="kept", steps=steps))
    assert "<-" not in capsys.readouterr().out


@pytest.mark.parametrize("similarity", [None, 0.9312])
def test_explanation_of_a_duplicate_names_the_page_that_was_kept(
    capsys: pytest.CaptureFixture[str], similarity: float | None
) -> None:
    survivor: dict[str, Any] = {"id": "9a", "url": "http://b.org", "text": "word " * 100}
    if similarity is not None:
        survivor |= {"similarity": similarity, "left": "05_quality: low_quality"}
    steps = [{"stage": "03_dedup", "outcome": "removed", "reason": "duplicate", "tests": [], "survivor": survivor}]
    print_explanation(explanation(steps=steps))
    text = capsys.readouterr().out
    assert "kept in its place: http://b.org  id 9a" in text
    assert ("similarity 0.9312" in text) == (similarity is not None)
    assert f"its text begins: {'word ' * 79}"[:100] in text
    assert ("not in the data set either: 05_quality: low_quality" in text) == (similarity is not None)


def test_formats() -> None:
    sizes = {0: "0 B", 999: "999 B", 1000: "1.0 kB", 9_960: "10 kB", 999_600: "1.0 MB", 52_400_000: "52 MB",
             1_500_000_000: "1.5 GB", 4e12: "4.0 TB", 4e15: "4,000 TB"}  # fmt: skip
    assert {number: size_text(number) for number in sizes} == sizes
    times = {0: "0 s", 0.2: "1 s", 119: "119 s", 120: "2 min", 7100: "118 min", 9000: "2.5 h"}
    assert {number: duration_text(number) for number in times} == times
    assert [count_text(number, "task") for number in (0, 1, 2000)] == ["0 tasks", "1 task", "2,000 tasks"]
    assert work_label(["01_pool", "near_copies", "04_dedup (decide)"], None) == "pool + near_copies + dedup (decide)"
