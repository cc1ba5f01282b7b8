"""What the report shows of stored rows and of its checks: numbers counted by hand, bounds, and hostile pages."""

from pathlib import Path
from typing import Any

import pytest
from parsed_report import ParsedReport
from real_runs import curate
from synthetic_run import HOSTILE, write_run

from tamis.report import build_report, documents
from tamis.report.documents import read_documents
from tamis.store.atomic import read_json, write_json
from tamis.store.location import Location
from tamis.store.rundir import RunDir

SHARES = {"held_out_precision_at_1": 0.9, "num_held_out": 20, "num_train_positives": 90, "num_train_negatives": 90}
CURVE = [[0.9, 0.0, 0.5, 1.0], [0.5, 0.1, 0.9, 0.9], [0.2, 0.5, 1.0, 0.667], [0.1, 1.0, 1.0, 0.5]]


def page(number: int, size: int, text: str = "") -> dict[str, Any]:
    return {"url": f"https://host{number % 2}.org/{number}", "text": text or f"{number} " + "x" * 98, "size": size}


def rules(limit: int) -> list[dict[str, Any]]:
    own = [{"column": "extra.size", "op": "<", "threshold": limit, "reason": "small"}]
    return [{"filter": {"rules": "none", "keep_languages": [], "own_rules": own}}, {"dedup": {"method": "exact"}}]


PAGES = [page(number, number) for number in range(12)]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[RunDir]:
    """Pages of odd numbers are on host1. Five are small in the first run, eight in the second."""
    folder = tmp_path_factory.mktemp("documents")
    return [curate(folder, rules(limit), PAGES, name=f"run{limit}") for limit in (5, 8)]


def test_before_and_after_are_about_the_same_pages(runs: list[RunDir]) -> None:
    problems: list[str] = []
    view = read_documents(runs[0], problems)
    assert view is not None and problems == []
    assert (view.shards, view.of_shards, view.before.documents, view.after.documents) == (6, 6, 12, 7)
    assert view.before.hosts == {"host0.org": 6, "host1.org": 6}
    assert view.after.hosts == {"host0.org": 3, "host1.org": 4}
    assert view.text_from == "02_filter" and sorted(view.after.lengths) == [100] * 5 + [101] * 2
    assert len(view.kept) == 4 and {entry["outcome"] for entry in view.kept} == {"kept"}
    [border] = view.borders
    assert [entry["value"] for entry in border["removed"]] == [4, 3]
    assert [entry["value"] for entry in border["kept"]] == [5, 6]


def test_a_part_of_the_shards_is_read_whole(runs: list[RunDir], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "MOST_DOCUMENTS", 4)
    view = read_documents(runs[0], [])
    assert view is not None
    assert (view.shards, view.of_shards, view.before.documents, view.after.documents) == (2, 6, 4, 2)
    monkeypatch.setattr(documents, "MOST_DOCUMENTS", 1)
    least = read_documents(runs[0], [])
    assert least is not None and least.shards == 1, "at least one shard"


def test_the_sections_of_two_runs(runs: list[RunDir], tmp_path: Path) -> None:
    report = build_report(runs, Location(tmp_path / "report.html"))
    found = ParsedReport(report)
    for heading in ("What differs between the recipes", "Languages, hosts and lengths", "Examples of kept pages",
                    "Pages next to a threshold"):  # fmt: skip
        assert heading in found.text, heading
    assert "filter.own_rules" in found.text and "all other settings are equal" in found.text
    assert "Every document of 6 of 6 shards, evenly spread: 12 that entered the run, 7 that it kept" in found.text
    assert "removed: extra.size = 4" in found.text and "kept: extra.size = 5" in found.text
    assert report.read_bytes() == build_report(runs, Location(tmp_path / "again.html")).read_bytes()


def test_recipes_with_the_same_settings_have_no_table(runs: list[RunDir], tmp_path: Path) -> None:
    found = ParsedReport(build_report([runs[0], runs[0]], Location(tmp_path / "report.html")))
    assert "What differs between the recipes" not in found.text


def test_hostile_pages_are_only_text(tmp_path: Path) -> None:
    evil = page(1, 9, HOSTILE) | {"url": "javascript:alert(1)//<script>"}
    run = curate(tmp_path, rules(5), [evil, page(2, 1, HOSTILE + " again"), page(3, 7)])
    found = ParsedReport(build_report([run], Location(tmp_path / "report.html")))
    assert found.count("script") == 0 and found.count("img") == 0
    assert not any(attributes.get("href", "").startswith("javascript") for _, attributes in found.tags)
    assert all(not name.startswith("on") for _, attributes in found.tags for name in attributes)
    assert "</script><script>alert(1)</script>" in found.text


def test_a_damaged_file_is_a_line_of_the_report(tmp_path: Path) -> None:
    run = curate(tmp_path, rules(5), PAGES)
    next(iter((run.stage("02_filter").root / "removed").children("*.parquet"))).delete_file()
    text = ParsedReport(build_report([run], Location(tmp_path / "report.html"))).text
    assert "documents: " in text and "tamis verify" in text and "What each step removed" in text


def checked(place: Path, decided: dict[str, Any], overlap: dict[str, Any]) -> str:
    """The text of a report whose cards say this of their classifier, and of what they share with held-out pages."""
    run = write_run(place / "workspace", "mine", strict=True)
    for step, details in (("05_quality", {"decisions": decided}), ("04_dedup", {"histograms": overlap})):
        card = read_json(run.stage(step).card)
        card["details"] |= details
        write_json(run.stage(step).card, card)
    return ParsedReport(build_report([run], Location(place / "report.html"))).text


def test_what_the_classifier_is_worth(tmp_path: Path) -> None:
    text = checked(tmp_path, SHARES | {"held_out_auc": [0.93, 0.86, 0.99], "held_out_curve": CURVE}, {})
    section = text.partition("Is the quality classifier any good?")[2].rpartition("Is the quality classifier any")[2]
    assert "0.930 [0.860, 0.990]" in text and "guessing (0.5) is within" not in text
    assert "90 good documents and 90 of the pool" in section and "90.0 %" in section
    assert "at most 10.0 %0.510.0 %90.0 %90.0 %" in section


def test_a_classifier_that_may_be_guessing_is_told(tmp_path: Path) -> None:
    assert "guessing (0.5) is within its interval" in checked(tmp_path, SHARES | {"held_out_auc": [0.6, 0.4, 0.8]}, {})


@pytest.mark.parametrize("curve", [None, 3, [[1, 2]], [["x"] * 4], [[float("inf")] * 4]])
def test_a_card_may_hold_anything_as_a_curve(tmp_path: Path, curve: Any) -> None:
    text = checked(tmp_path, SHARES | {"held_out_auc": curve, "held_out_curve": curve}, {})
    assert "Is the quality classifier any good?" in text


def test_held_out_text_in_the_training_data(tmp_path: Path) -> None:
    counts = [0, 90, 6, 0, 0, 0, 0, 0, 0, 0, *[0] * 10, 3, *[0] * 19, 1, 0]
    assert len(counts) == 42
    overlap = {"contaminated_fraction": {"label": "", "low": 0.0, "high": 1.0001, "log": False, "counts": counts}}
    text = checked(tmp_path, {}, overlap)
    assert "none of the held-out pages is in the training data" in text
    for line in ("more than 2.5 %1010.0 %", "more than 10.0 %44.0 %", "more than 50.0 %11.0 %"):
        assert line in text, line
    assert "902 documents of 5 636 removed as contaminated" in text


def test_what_was_not_measured_is_said(tmp_path: Path) -> None:
    text = ParsedReport(
        build_report([write_run(tmp_path / "w", "mine", strict=False)], Location(tmp_path / "report.html"))
    ).text
    assert "not measured: the recipe has no decontaminate step with a reference" in text
