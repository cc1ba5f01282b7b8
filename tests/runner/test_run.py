"""The runner on toy stages: books, resume, hostile rows, and the same bytes for any number of workers."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from toy import Measure, Shout, ToyPool, Unique, toy_docs, toy_recipe

from tamis.base.errors import BudgetError, ConfigError, DataError
from tamis.base.events import Event
from tamis.base.stage import Stage
from tamis.runner.plan import make_plan
from tamis.runner.run import run_plan
from tamis.store.rundir import RunDir

Docs = list[list[list[str | None]]]


def build(docs: Docs, min_chars: int = 3, log: str = "", **changes: Any) -> Any:
    stages: list[Stage] = [
        Shout(Shout.Settings(log=log)),
        Measure(Measure.Settings(min_chars=min_chars)),
        Unique(Unique.Settings()),
    ]
    return make_plan(toy_recipe(**changes), ToyPool(ToyPool.Settings(shards=docs)), stages)


def execute(plan: Any, root: Path, workers: int = 1, engine: Any = "local") -> list[Event]:
    events: list[Event] = []
    run = RunDir(root)
    run.prepare(plan.folders)
    run_plan(plan, run, workers, events.append, engine)
    return events


def tree(root: Path) -> dict[str, str]:
    """Digest of every file below `root` by relative path."""
    files = sorted(p for p in root.rglob("*") if p.is_file() and p.name not in (".lock", "events.jsonl"))
    return {str(p.relative_to(root)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def counts(root: Path, folder: str) -> dict[str, Any]:
    return dict(json.loads((root / folder / "card.json").read_text())["counts"])


def test_books_balance_and_rows_are_where_the_books_say(tmp_path: Path) -> None:
    execute(build(toy_docs(3, 20)), tmp_path)
    assert counts(tmp_path, "01_pool") == {"in": 63, "kept": 60, "removed": {}, "quarantined": {"truncated_record": 3}}
    assert counts(tmp_path, "03_measure") == {"in": 60, "kept": 48, "removed": {"too_short": 12}, "quarantined": {}}
    assert counts(tmp_path, "04_unique") == {"in": 48, "kept": 7, "removed": {"duplicate": 41}, "quarantined": {}}
    shards = sorted((tmp_path / "04_unique" / "shards").glob("*.parquet"))
    kept = [text for path in shards for text in pq.read_table(path)["text"].to_pylist()]
    assert sorted(kept) == [f"TEXT {n}" for n in range(7)]
    removed = [pq.read_table(p) for p in sorted((tmp_path / "03_measure" / "removed").glob("*.parquet"))]
    assert sum(t.num_rows for t in removed) == 12
    assert {"id", "url", "num_chars", "drop_reason", "excerpt"} <= set(removed[0].column_names)
    assert "text" not in removed[0].column_names


def test_card_carries_rules_histograms_examples_and_notes(tmp_path: Path) -> None:
    execute(build(toy_docs(2, 20)), tmp_path)
    card = json.loads((tmp_path / "03_measure" / "card.json").read_text())
    assert card["details"]["rules"][0]["reason"] == "too_short"
    assert sum(card["details"]["histograms"]["num_chars"]["counts"]) == 40
    assert len(card["details"]["examples"]) == 3
    assert card["details"]["examples"][0]["signals"] == {"num_chars": 2}
    assert json.loads((tmp_path / "01_pool" / "card.json").read_text())["details"]["notes"] == {"requests": 4}
    assert json.loads((tmp_path / "04_unique" / "card.json").read_text())["details"]["decisions"] == {"buckets": 2}


def test_cards_name_their_parents_and_their_pool(tmp_path: Path) -> None:
    execute(build(toy_docs(2, 20)), tmp_path / "a")
    execute(build(toy_docs(2, 25)), tmp_path / "b")
    cards = [card for _, card in RunDir(tmp_path / "a").cards()]
    assert [card.parents for card in cards[1:]] == [[card.fingerprint] for card in cards[:-1]]
    others = {card.fingerprint for _, card in RunDir(tmp_path / "b").cards()}
    assert others.isdisjoint(card.fingerprint for card in cards)


def test_worker_count_changes_no_byte(tmp_path: Path) -> None:
    execute(build(toy_docs(5, 20)), tmp_path / "one", workers=1)
    execute(build(toy_docs(5, 20)), tmp_path / "three", workers=3)
    assert tree(tmp_path / "one") == tree(tmp_path / "three")


def test_finished_run_is_not_redone(tmp_path: Path) -> None:
    log = tmp_path / "log"
    plan = build(toy_docs(2, 10), log=str(log))
    execute(plan, tmp_path / "run")
    before, calls = tree(tmp_path / "run"), log.read_text()
    events = execute(plan, tmp_path / "run")
    assert log.read_text() == calls
    assert tree(tmp_path / "run") == before
    assert [e.fields["tasks"] for e in events if e.kind == "pass_started"] == [0, 0, 0, 0]


def test_changed_threshold_redoes_what_depends_on_it_and_nothing_before(tmp_path: Path) -> None:
    log = tmp_path / "log"
    docs = toy_docs(2, 10)
    execute(build(docs, log=str(log)), tmp_path / "run")
    calls = log.read_text()
    execute(build(docs, min_chars=1, log=str(log)), tmp_path / "run")
    assert log.read_text() == calls, "extraction must not be repeated for a filter threshold"
    assert counts(tmp_path / "run", "03_measure")["kept"] == 20
    execute(build(docs, min_chars=1, log=str(log)), tmp_path / "fresh")
    assert tree(tmp_path / "run") == tree(tmp_path / "fresh")


def test_row_that_raises_costs_itself(tmp_path: Path) -> None:
    docs: Docs = [[["a", "good one"], ["b", "raise"], ["c", "good two"]]]
    execute(build(docs), tmp_path)
    assert counts(tmp_path, "02_shout") == {"in": 3, "kept": 2, "removed": {}, "quarantined": {"ValueError": 1}}
    row = pq.read_table(tmp_path / "02_shout" / "quarantine" / "00000.parquet").to_pylist()[0]
    assert (row["id"], row["error"]) == ("b", "ValueError: no shouting here")


@pytest.mark.parametrize("poison", ["hang", "die"])
def test_row_that_hangs_or_kills_its_worker_costs_itself(tmp_path: Path, poison: str) -> None:
    docs: Docs = [[["a", "good one"], ["b", poison], ["c", "good two"]], [["d", "good three"]]]
    events = execute(build(docs), tmp_path, workers=2)
    assert counts(tmp_path, "02_shout")["quarantined"] == {"PoisonRowError": 1}
    assert counts(tmp_path, "04_unique")["kept"] == 3
    assert len([e for e in events if e.kind == "task_retried"]) == 2


def test_quarantine_budget_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(BudgetError, match="mem://0"):
        execute(build(toy_docs(1, 10), quarantine_budget=0.01), tmp_path)


def test_no_survivors_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no document is left of 8: too_short 8"):
        execute(build([[[f"{n}", "text"] for n in range(8)]], min_chars=100), tmp_path)


def test_two_runs_in_one_directory_are_refused(tmp_path: Path) -> None:
    with (
        RunDir(tmp_path).lock(),
        pytest.raises(ConfigError, match="another run is working here"),
        RunDir(tmp_path).lock(),
    ):
        pass
