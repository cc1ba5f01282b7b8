"""The runner on toy stages: accounting, resume, sharing, hostile rows, the same bytes for any number of workers."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from harness import Docs, build, counts, execute, plan_of, run_at, step_folder, tree
from toy import Measure, Shout, ToyPool, Unique, toy_docs

from tamis.base.errors import BudgetError, ConfigError, DataError
from tamis.store.atomic import read_json, write_json
from tamis.store.location import Location
from tamis.store.locks import lock


def test_accounting_balances_and_rows_are_where_it_says(tmp_path: Path) -> None:
    execute(build(toy_docs(3, 20)), tmp_path)
    assert counts(tmp_path, "01_pool") == {"in": 63, "kept": 60, "removed": {}, "quarantined": {"truncated_record": 3}}
    assert counts(tmp_path, "03_measure") == {"in": 60, "kept": 48, "removed": {"too_short": 12}, "quarantined": {}}
    assert counts(tmp_path, "04_unique") == {"in": 48, "kept": 7, "removed": {"duplicate": 41}, "quarantined": {}}
    shards = sorted((step_folder(tmp_path, "04_unique") / "shards").glob("*.parquet"))
    kept = [text for path in shards for text in pq.read_table(path)["text"].to_pylist()]
    assert sorted(kept) == [f"TEXT {n}" for n in range(7)]
    removed = [pq.read_table(p) for p in sorted((step_folder(tmp_path, "03_measure") / "removed").glob("*.parquet"))]
    assert sum(t.num_rows for t in removed) == 12
    assert {"id", "url", "num_chars", "drop_reason", "excerpt"} <= set(removed[0].column_names)
    assert "text" not in removed[0].column_names


def test_card_carries_rules_histograms_examples_and_notes(tmp_path: Path) -> None:
    execute(build(toy_docs(2, 20)), tmp_path)
    cards = {step: card.details for step, card in run_at(tmp_path).cards()}
    assert cards["03_measure"]["rules"][0]["reason"] == "too_short"
    assert sum(cards["03_measure"]["histograms"]["num_chars"]["counts"]) == 40
    assert len(cards["03_measure"]["examples"]) == 3
    assert cards["03_measure"]["examples"][0]["signals"] == {"num_chars": 2}
    assert cards["01_pool"]["notes"] == {"requests": 4}
    assert cards["04_unique"]["decisions"] == {"buckets": 2}


def test_cards_name_their_parents_and_their_pool(tmp_path: Path) -> None:
    execute(build(toy_docs(2, 20)), tmp_path, name="a")
    execute(build(toy_docs(2, 25)), tmp_path, name="b")
    cards = [card for _, card in run_at(tmp_path, "a").cards()]
    assert [card.parents for card in cards[1:]] == [[card.fingerprint] for card in cards[:-1]]
    others = {card.fingerprint for _, card in run_at(tmp_path, "b").cards()}
    assert others.isdisjoint(card.fingerprint for card in cards)


def test_worker_count_changes_no_byte(tmp_path: Path) -> None:
    execute(build(toy_docs(5, 20)), tmp_path / "one", workers=1)
    execute(build(toy_docs(5, 20)), tmp_path / "three", workers=3)
    assert tree(tmp_path / "one") == tree(tmp_path / "three")


def test_finished_run_is_not_redone(tmp_path: Path) -> None:
    log = tmp_path / "log"
    plan = build(toy_docs(2, 10), log=str(log))
    execute(plan, tmp_path / "w")
    before, calls = tree(tmp_path / "w"), log.read_text()
    events = execute(plan, tmp_path / "w")
    assert log.read_text() == calls
    assert tree(tmp_path / "w") == before
    assert events == []


def test_changed_threshold_extracts_nothing_again_and_deletes_nothing(tmp_path: Path) -> None:
    log = tmp_path / "log"
    docs = toy_docs(2, 10)
    execute(build(docs, log=str(log)), tmp_path / "w")
    calls, before = log.read_text(), tree(tmp_path / "w")
    execute(build(docs, min_chars=1, log=str(log)), tmp_path / "w")
    assert log.read_text() == calls, "extraction must not be repeated for a filter threshold"
    assert counts(tmp_path / "w", "03_measure")["kept"] == 20
    after = tree(tmp_path / "w")
    assert {name: after.get(name) for name in before if name != "run/run.json"} == {
        name: digest for name, digest in before.items() if name != "run/run.json"
    }
    assert execute(build(docs, log=str(log)), tmp_path / "w") == [], "going back is instant"
    assert counts(tmp_path / "w", "03_measure")["kept"] == 16


def test_two_recipes_over_one_pool_extract_it_once(tmp_path: Path) -> None:
    log = tmp_path / "log"
    docs = toy_docs(3, 10)
    execute(build(docs, log=str(log)), tmp_path / "w", name="a")
    calls = log.read_text()
    execute(build(docs, min_chars=5, log=str(log)), tmp_path / "w", name="b")
    assert log.read_text() == calls


def test_pool_that_grows_redoes_no_old_shard(tmp_path: Path) -> None:
    log = tmp_path / "log"
    docs = toy_docs(3, 10)
    execute(build(docs[:2], log=str(log)), tmp_path / "w")
    rows_before = sum(map(int, log.read_text().split()))
    execute(build(docs, log=str(log)), tmp_path / "w")
    rows_after = sum(map(int, log.read_text().split()))
    assert rows_after - rows_before == 10, "only the new shard is extracted"
    execute(build(docs, log=str(log)), tmp_path / "fresh")
    ours, fresh = tree(tmp_path / "w"), tree(tmp_path / "fresh")
    assert {name: ours.get(name) for name in fresh} == fresh


def test_a_step_whose_output_was_not_stored_is_stored_when_it_is_needed(tmp_path: Path) -> None:
    """`measure` stands in the middle of one recipe's only pass, and at the end of another's first pass."""
    docs = toy_docs(2, 10)
    source = ToyPool(ToyPool.Settings(shards=docs))
    stages = [Shout(Shout.Settings()), Measure(Measure.Settings()), Tagged(Measure.Settings())]
    execute(plan_of(source, stages), tmp_path, name="a")
    assert not (step_folder(tmp_path, "03_measure", "a") / "shards").exists()
    execute(plan_of(source, [*stages[:2], Unique(Unique.Settings())]), tmp_path, name="b")
    assert counts(tmp_path, "04_unique", "b") == {"in": 16, "kept": 6, "removed": {"duplicate": 10}, "quarantined": {}}
    assert step_folder(tmp_path, "03_measure", "a") == step_folder(tmp_path, "03_measure", "b")


class Tagged(Measure):
    """The same signal under another stage's name: its column clashes with the one before."""

    name = "tagged"


def test_a_column_made_twice_keeps_both_values(tmp_path: Path) -> None:
    source = ToyPool(ToyPool.Settings(shards=toy_docs(1, 10)))
    execute(plan_of(source, [Measure(Measure.Settings()), Tagged(Measure.Settings())]), tmp_path)
    table = pq.read_table(step_folder(tmp_path, "03_tagged") / "shards" / "00000.parquet")
    assert {"num_chars", "num_chars_02"} <= set(table.column_names)
    assert table["num_chars"].to_pylist() == table["num_chars_02"].to_pylist()


def test_text_that_is_extracted_later_cannot_be_read(tmp_path: Path) -> None:
    source = ToyPool(ToyPool.Settings(shards=toy_docs(1, 10)))
    with pytest.raises(ConfigError, match="Put 'shout' before 'measure'"):
        plan_of(source, [Measure(Measure.Settings()), Shout(Shout.Settings())])


def test_another_extraction_reads_the_pool_again_and_rewrites_nothing(tmp_path: Path) -> None:
    source = ToyPool(ToyPool.Settings(shards=toy_docs(2, 10)))
    execute(plan_of(source, [Shout(Shout.Settings())]), tmp_path, name="a")
    pool = step_folder(tmp_path, "01_pool", "a")
    before = {path: path.stat().st_mtime_ns for path in pool.rglob("*") if path.name != ".lock"}
    execute(plan_of(source, [Shout(Shout.Settings(log=str(tmp_path.parent / "another.log")))]), tmp_path, name="b")
    assert step_folder(tmp_path, "01_pool", "b") == pool
    assert {path: path.stat().st_mtime_ns for path in pool.rglob("*") if path.name != ".lock"} == before


def test_row_that_raises_costs_itself(tmp_path: Path) -> None:
    docs: Docs = [[["a", "good one"], ["b", "raise"], ["c", "good two"]]]
    execute(build(docs), tmp_path)
    assert counts(tmp_path, "02_shout") == {"in": 3, "kept": 2, "removed": {}, "quarantined": {"ValueError": 1}}
    row = pq.read_table(step_folder(tmp_path, "02_shout") / "quarantine" / "00000.parquet").to_pylist()[0]
    assert (row["id"], row["error"]) == ("b", "ValueError: no shouting here")


def test_quarantine_budget_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(BudgetError, match="mem://0"):
        execute(build(toy_docs(1, 10), quarantine_budget=0.01), tmp_path)


def test_the_quarantine_budget_holds_for_what_was_made_before(tmp_path: Path) -> None:
    """By the same run, the second time, and by another one that allowed more."""
    for _ in range(2):
        with pytest.raises(BudgetError, match="mem://0"):
            execute(build(toy_docs(1, 10), quarantine_budget=0.01), tmp_path / "again")
    execute(build(toy_docs(1, 10)), tmp_path / "shared")
    with pytest.raises(BudgetError, match="mem://0"):
        execute(build(toy_docs(1, 10), quarantine_budget=0.01), tmp_path / "shared")


def test_the_quarantine_budget_itself_may_be_used_up(tmp_path: Path) -> None:
    execute(build(toy_docs(1, 9), quarantine_budget=0.1), tmp_path)
    assert counts(tmp_path, "01_pool")["quarantined"] == {"truncated_record": 1}
    assert counts(tmp_path, "01_pool")["in"] == 10


def test_a_pool_without_documents_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"01_pool: the pool holds no documents \(skipped: requests 4\)\. Check what"):
        execute(build([[], []]), tmp_path)
    with pytest.raises(DataError, match="03_measure: no document is left of 1: too_short 1"):
        execute(build([[["a", "b"]]]), tmp_path)


def test_no_survivors_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no document is left of 8: too_short 8"):
        execute(build([[[f"{n}", "text"] for n in range(8)]], min_chars=100), tmp_path)


def test_a_shorter_run_after_a_longer_one_keeps_the_longer(tmp_path: Path) -> None:
    docs = toy_docs(2, 10)
    execute(build(docs), tmp_path)
    before = tree(tmp_path)
    source = ToyPool(ToyPool.Settings(shards=docs))
    execute(plan_of(source, [Shout(Shout.Settings()), Measure(Measure.Settings())]), tmp_path)
    after = tree(tmp_path)
    assert {name: after.get(name) for name in before} == before
    assert list(run_at(tmp_path).steps()) == ["01_pool", "02_shout", "03_measure", "04_unique"]


def test_a_damaged_record_is_redone(tmp_path: Path) -> None:
    docs = toy_docs(2, 10)
    execute(build(docs), tmp_path)
    before = tree(tmp_path)
    (step_folder(tmp_path, "04_unique") / "shards" / "00000.parquet").write_bytes(b"cut")
    execute(build(docs), tmp_path)
    assert tree(tmp_path) == before


def test_records_of_other_settings_do_not_count(tmp_path: Path) -> None:
    docs = toy_docs(1, 10)
    execute(build(docs), tmp_path)
    place = Location(step_folder(tmp_path, "02_shout") / "tasks" / "00000.json")
    write_json(place, read_json(place) | {"fingerprint": "of something else"})
    events = execute(build(docs), tmp_path)
    assert [event.fields["tasks"] for event in events if event.kind == "pass_started"] == [1]


def test_two_runs_in_one_directory_are_refused(tmp_path: Path) -> None:
    place = Location(tmp_path / "run")
    with lock(place), pytest.raises(ConfigError, match="another run is working here"), lock(place):
        pass


def test_a_foreign_folder_is_no_workspace(tmp_path: Path) -> None:
    (tmp_path / "01_photos").mkdir()
    (tmp_path / "01_photos" / "cat.jpg").write_bytes(b"a cat")
    with pytest.raises(ConfigError, match="01_photos"):
        execute(build(toy_docs(1, 10)), tmp_path)
    assert json.dumps(sorted(p.name for p in tmp_path.rglob("*"))) == '["01_photos", "cat.jpg"]'


def test_a_plan_leaves_the_same_bytes_in_every_place(place: str, tmp_path: Path) -> None:
    plan = build(toy_docs(4, 10))
    execute(plan, tmp_path / "here", workers=2)
    execute(plan, place, workers=2)
    assert tree(place) == tree(tmp_path / "here")
    again = execute(plan, place, workers=2)
    assert not [event for event in again if event.kind == "task_finished"], "all is known to be done there"
