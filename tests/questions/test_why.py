"""`tamis why`: the right value of every rule, what was kept instead of a duplicate, documents given twice."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from real_runs import curate
from synthetic_run import card

from tamis.base.errors import ConfigError, DataError
from tamis.console.tables import print_explanation
from tamis.questions.stored import KEPT, REMOVED
from tamis.questions.why import explain
from tamis.runner.ledger import Record, describe_outputs, write_record
from tamis.store.atomic import write_json
from tamis.store.location import Location
from tamis.store.rundir import RunDir
from tamis.store.shards import write_table
from tamis.store.workspace import open_workspace


def page(url: str, text: str, **fields: Any) -> dict[str, Any]:
    return {"url": f"http://{url}", "text": text, **fields}


PAGES = [
    page("a.org/1", "A page that stands here three times."), page("a.org/2", "A page that stands here twice."),
    page("b.org/1", "A page that stands here three times."), page("b.org/2", "A page that stands here three times."),
    page("c.org/1", "A page that stands here twice."), page("c.org/2", "A page of its own."),
]  # fmt: skip
STAGES: list[dict[str, Any]] = [
    {"dedup": {"method": "exact"}},
    {"cut": {"column": "num_copies", "op": ">", "threshold": 2, "reason": "too_common"}},
    {"dedup": {"method": "exact"}},
]


@pytest.fixture(scope="module", params=["local", "memory"])
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    remote = Location("memory://why") if request.param == "memory" else None
    return curate(tmp_path_factory.mktemp("why"), STAGES, PAGES, remote)


def test_a_duplicate_names_the_page_that_was_kept(run: RunDir) -> None:
    (found,) = explain(run, "http://c.org/1")
    assert [(step.stage, step.outcome) for step in found.steps] == [("01_pool", KEPT), ("02_dedup", REMOVED)]
    survivor = found.steps[-1].survivor
    assert survivor is not None
    (kept,) = explain(run, "http://a.org/2")
    assert kept.outcome == KEPT and kept.steps[-1].survivor is None
    assert (survivor.id, survivor.url) == (kept.id, "http://a.org/2")
    assert (survivor.text, survivor.similarity, survivor.left) == ("A page that stands here twice.", None, "")
    assert found.to_dict()["steps"][-1]["survivor"]["url"] == "http://a.org/2"


def test_a_page_is_found_by_the_id_that_the_input_gave_it(tmp_path: Path) -> None:
    pages = [page("a.org/1", "A page."), page("a.org/2", "Another.", id="doc-2"), page("b.org/1", "A page.", id=17)]
    run = curate(tmp_path, [{"dedup": {"method": "exact"}}], pages)
    (kept,), (removed,) = explain(run, "doc-2"), explain(run, "17")
    assert (kept.url, kept.outcome) == ("http://a.org/2", KEPT)
    assert (removed.url, removed.outcome) == ("http://b.org/1", REMOVED)


def test_an_id_that_two_files_give_names_both_pages(tmp_path: Path) -> None:
    pages = [page("a.org/1", "A page.", id="1"), page("a.org/2", "B page."), page("b.org/1", "C page.", id="1")]
    run = curate(tmp_path, [{"dedup": {"method": "exact"}}], pages)
    found = explain(run, "1")
    assert sorted(each.url for each in found) == ["http://a.org/1", "http://b.org/1"]
    assert len({each.id for each in found}) == 2 and len({each.shard for each in found}) == 2


def test_a_survivor_that_left_later_says_where(run: RunDir) -> None:
    (found,) = explain(run, "http://b.org/1")
    survivor = found.steps[-1].survivor
    assert survivor is not None
    assert (survivor.url, survivor.left) == ("http://a.org/1", "03_cut: too_common")
    assert survivor.text.startswith("A page that stands here three")


def test_a_rule_is_tested_on_the_column_as_its_step_saw_it(run: RunDir) -> None:
    """The last step counts copies anew: the count that the cut tested goes on under another name."""
    (kept,) = explain(run, "http://a.org/2")
    tests = [(step.stage, test["column"], test["value"], test["fired"]) for step in kept.steps for test in step.tests]
    assert tests == [("03_cut", "num_copies", 2, False)]
    (cut,) = explain(run, "http://a.org/1")
    assert [(test["value"], test["fired"]) for test in cut.steps[-1].tests] == [(3, True)]
    assert cut.steps[-1].reason == "too_common"


def test_no_such_document(run: RunDir) -> None:
    with pytest.raises(DataError, match="no document with the id or URL 'http://nowhere'"):
        explain(run, "http://nowhere")


def test_a_page_is_found_by_a_part_of_its_id_or_url(run: RunDir) -> None:
    (whole,) = explain(run, "http://c.org/2")
    for part in (whole.id[:12], "c.org/2", "//c.org/2"):
        assert [found.to_dict() for found in explain(run, part)] == [whole.to_dict()]
    with pytest.raises(DataError, match="none whose id begins with it"):
        explain(run, whole.id[4:])


def test_a_part_that_fits_several_pages_lists_them(run: RunDir) -> None:
    with pytest.raises(ConfigError) as caught:
        explain(run, "a.org")
    (first,), (second,) = (explain(run, f"http://a.org/{number}") for number in (1, 2))
    heading, *listed = str(caught.value).splitlines()
    assert "'a.org' is part of the id or URL of 2 documents. Give the whole id of one of them" in heading
    assert sorted(listed) == sorted(f"  {page.id}  {page.url}" for page in (first, second))
    with pytest.raises(ConfigError, match="give a document's id or URL"):
        explain(run, " ")


def test_a_list_of_many_pages_is_cut(tmp_path: Path) -> None:
    pages = [row(f"{number:02d}", url=f"http://many.org/{number}?{'x' * 500}") for number in range(30)]
    run = synthetic(tmp_path, rules=[], kept=pages, removed=[row("gone", drop_reason="gone")])
    with pytest.raises(ConfigError) as caught:
        explain(run, "many")
    lines = str(caught.value).splitlines()
    assert "of 30 documents" in lines[0] and len(lines) == 22 and lines[-1] == "  and 10 more"
    assert max(map(len, lines[1:])) < 180


def test_a_damaged_file_answers_nothing(tmp_path: Path) -> None:
    run = synthetic(tmp_path, rules=[], kept=[row("a")], removed=[row("b", drop_reason="gone")])
    file = run.stage("01_step").removed(0)
    changed = [row("b", drop_reason="another")]
    write_table(file, pa.Table.from_pylist(changed))
    assert explain(run, "a")[0].outcome == KEPT
    with pytest.raises(DataError, match=r"removed/00000\.parquet: the file is not as it was written"):
        explain(run, "b")
    file.delete_file()
    with pytest.raises(DataError, match=r"or is missing\. Type: tamis verify"):
        explain(run, "a")


def test_one_record_given_twice(tmp_path: Path) -> None:
    """The copy has the same id as the document that is kept: both are told, and by their shards told apart."""
    twice = [page("a.org/1", "The same record."), page("b.org/1", "Another."), page("a.org/1", "The same record.")]
    run = curate(tmp_path, [{"dedup": {"method": "exact"}}], twice)
    kept, gone = explain(run, "http://a.org/1")
    assert (kept.outcome, gone.outcome) == (KEPT, REMOVED)
    assert kept.id == gone.id and kept.shard != gone.shard
    survivor = gone.steps[-1].survivor
    assert survivor is not None and (survivor.id, survivor.left) == (kept.id, "")


def test_similarity_is_told_where_the_step_measured_it(tmp_path: Path) -> None:
    run = synthetic(tmp_path, rules=[], kept=[row("a", text="Kept.")], removed=[
        row("b", drop_reason="near_duplicate", duplicate_of="a", similarity=0.91)
    ])  # fmt: skip
    survivor = explain(run, "b")[0].steps[-1].survivor
    assert survivor is not None and survivor.similarity == pytest.approx(0.91)


def test_the_first_places_of_cut_text_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    notice = "ein Hinweis, der auf jeder Seite der Site steht – und überall gleich ist"
    pages = [page("a.org/1", f"Größe. {notice}"), page("b.org/1", f"{notice} Eigenes."), page("c.org/1", notice)]
    steps = [{"dedup": {"method": "substring", "min_tokens": 8, "name_first": True}}, {"dedup": {"method": "exact"}}]
    run = curate(tmp_path, steps, pages)
    (first,), (edited,), (removed,) = (explain(run, f"http://{host}.org/1") for host in "abc")
    assert [step.first_places for step in first.steps] == [[], [], []]
    place = {"start": 0, "end": len(notice.encode()), "document": first.id, "offset": len("Größe. ".encode())}
    assert edited.outcome == KEPT and [step.first_places for step in edited.steps] == [[], [place], []]
    assert removed.outcome == REMOVED and removed.steps[-1].first_places == [place]
    print_explanation(removed.to_dict())
    told = f"cut: bytes 0 to {place['end']}, first in {first.id} at byte {place['offset']}"
    assert told in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(("op", "threshold"), [("not_in", ["en", "de"]), ("in", ["fr", "la"])])
def test_a_rule_on_several_languages_fires_on_none_of_them(tmp_path: Path, op: str, threshold: list[str]) -> None:
    rule = {"reason": "wrong_language", "column": "language", "op": op, "threshold": threshold, "source": ""}
    run = synthetic(
        tmp_path, rules=[rule], kept=[row("a", language="de"), row("b", language="en")],
        removed=[row("c", language="fr", drop_reason="wrong_language"), row("d", drop_reason="wrong_language")],
    )  # fmt: skip
    fired = {key: [test["fired"] for test in explain(run, key)[0].steps[-1].tests] for key in "abcd"}
    assert fired == {"a": [False], "b": [False], "c": [True], "d": []}
    assert explain(run, "a")[0].steps[-1].tests[0]["removes_if"] == f"{op} {', '.join(threshold)}"


def test_a_rule_for_some_documents_is_told_for_those_alone(tmp_path: Path) -> None:
    rule = {"reason": "short", "column": "num_words", "op": "<", "threshold": 5, "among": ["language", "en"]}
    run = synthetic(tmp_path, rules=[rule], kept=[row("a", language="de", num_words=3)], removed=[
        row("b", language="en", num_words=3, drop_reason="short")
    ])  # fmt: skip
    assert explain(run, "a")[0].steps[-1].tests == []
    assert explain(run, "b")[0].steps[-1].tests[0]["fired"]


def row(key: str, **values: Any) -> dict[str, Any]:
    stored = {"id": key, "url": f"http://{key}", "source_id": None, "drop_reason": None}
    return stored | {"language": None, "num_words": None} | values


def synthetic(
    place: Path, rules: list[dict[str, Any]], kept: list[dict[str, Any]], removed: list[dict[str, Any]]
) -> RunDir:
    """A run of one step over rows that are given as it left them."""
    workspace = open_workspace(Location(place / "workspace"))
    run = RunDir(workspace.root / "mine")
    run.record_steps({"01_step": "step-0"}, [])
    folder = run.stage("01_step")
    taken, gone = (len(kept) + len(removed), 0), {"gone": (len(removed), 0)}
    write_json(folder.card, card("step", taken, gone, {}, {"rules": rules}))
    write_table(folder.shard(0), pa.Table.from_pylist(kept).drop_columns(["drop_reason"]))
    write_table(folder.removed(0), pa.Table.from_pylist(removed))
    outputs = describe_outputs(folder.root, [folder.shard(0), folder.removed(0)])
    write_record(folder.task(0), Record(fingerprint="work", outputs=outputs))
    return run
