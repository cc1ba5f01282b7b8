"""`tamis diff`: two real runs over pages whose fate is known, in memory and on disk, and what cannot be compared."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from real_runs import curate

from tamis.base.errors import ConfigError, DataError
from tamis.questions import diff as questions
from tamis.questions.diff import diff
from tamis.questions.pages import Ends, meet
from tamis.questions.stored import finished_cards
from tamis.store.atomic import read_json, write_json
from tamis.store.location import Location
from tamis.store.rundir import RunDir
from tamis.store.scratch import scratch


def page(name: str, size: float, stars: float | None, text: str = "") -> dict[str, Any]:
    fields = {"size": size} | ({"stars": stars} if stars is not None else {})
    return {"url": f"http://{name}.org/", "text": text or f"This is the page {name}."} | fields


PAGES = [
    page("kept", 9, 9), page("copied", 9, 9, "The same text."), page("copy", 9, 9, "The same text."),
    page("small", 4, 9), page("smaller", 3, 9), page("small-and-poor", 4, 0), page("tiny", 1, 9),
    page("poor", 9, 0), page("poorer", 9, 1), page("unknown", 4, None),
]  # fmt: skip
SIZE, STARS = "extra.size", "extra.stars"
NO_RULES: dict[str, Any] = {"rules": "none", "keep_languages": []}


def rule(reason: str, column: str, threshold: float) -> dict[str, Any]:
    return {"column": column, "op": "<", "threshold": threshold, "reason": reason}


LOOSE = [{"filter": NO_RULES | {"own_rules": [rule("small", SIZE, 2)]}}]
STRICT = [
    {"filter": NO_RULES | {"own_rules": [rule("small", SIZE, 5), rule("poor", STARS, 2)]}},
    {"dedup": {"method": "exact"}},
]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunDir, RunDir]:
    folder = tmp_path_factory.mktemp("diff")
    return curate(folder, LOOSE, PAGES, name="loose"), curate(folder, STRICT, PAGES, name="strict")


@pytest.fixture(scope="module")
def found(runs: tuple[RunDir, RunDir]) -> dict[str, Any]:
    return diff(*runs)


def test_settings_and_steps_side_by_side(found: dict[str, Any]) -> None:
    assert found["names"] == ["loose", "strict"] and found["same_pool"]
    settings = {each["setting"]: each["values"] for each in found["settings"]}
    assert settings["dedup"] == ["no such step", "a step"]
    assert set(settings) == {"dedup", "filter.own_rules"}
    assert [len(rules) for rules in settings["filter.own_rules"]] == [1, 2]
    steps = {step["name"]: step for step in found["steps"]}
    assert [step["same"] for step in found["steps"]] == [True, False, False]
    assert [side["kept"] for side in steps["filter"]["sides"]] == [9, 3]
    assert steps["filter"]["sides"][1]["removed"] == {"small": 5, "poor": 2}
    assert steps["dedup"]["sides"][0] is None and steps["dedup"]["sides"][1]["removed"] == {"duplicate_text": 1}
    assert found["versions"] == []


def test_pages_that_only_one_run_kept(found: dict[str, Any]) -> None:
    assert found["pages"] == {
        "by_id": 10, "by_url": 0, "kept_by_both": 2, "only_in_first": 7, "only_in_second": 0, "kept_by_none": 1,
        "not_in_other_pool": [{"pages": 0, "kept": 0}, {"pages": 0, "kept": 0}],
    }  # fmt: skip
    assert found["gained"] == []


def test_a_lost_page_is_attributed_to_its_step_and_reason(found: dict[str, Any]) -> None:
    lost = {each["reason"]: each for each in found["lost"]}
    assert {reason: each["pages"] for reason, each in lost.items()} == {"small": 4, "poor": 2, "duplicate_text": 1}
    small, poor, copy = lost["small"], lost["poor"], lost["duplicate_text"]
    # Of the four small pages one is poor as well, and one has no stars: for that one the other rule is not tested.
    assert (small["alone"], small["unsure"], small["others"]) == (3, 1, {"poor": 1})
    assert (small["rule"], small["rule_there"]) == ("extra.size < 5", "extra.size < 2")
    assert (poor["step"], poor["alone"], poor["others"], poor["rule_there"]) == ("02_filter", 2, {}, "")
    assert (copy["step"], copy["alone"], copy["rule"]) == ("03_dedup", 0, "")
    [sample] = copy["samples"]
    assert sample["url"] == "http://copy.org/" and sample["steps"][-1]["survivor"]["url"] == "http://copied.org/"
    assert {each["url"] for each in poor["samples"]} == {"http://poor.org/", "http://poorer.org/"}


def test_the_other_way_round_lost_is_gained(runs: tuple[RunDir, RunDir], found: dict[str, Any]) -> None:
    back = diff(runs[1], runs[0])
    assert back["gained"] == found["lost"] and back["lost"] == found["gained"]
    assert back["pages"]["only_in_second"] == 7


def test_samples_follow_the_seed(runs: tuple[RunDir, RunDir]) -> None:
    def shown(seed: int) -> list[str]:
        small = next(each for each in diff(*runs, samples=2, seed=seed)["lost"] if each["reason"] == "small")
        return [each["url"] for each in small["samples"]]

    assert shown(3) == shown(3) and len(shown(3)) == 2
    assert len({tuple(shown(seed)) for seed in range(6)}) > 1


@pytest.mark.parametrize("per_part", [1, 3])
def test_parts_on_the_disk_give_what_memory_gives(runs: tuple[RunDir, RunDir], per_part: int) -> None:
    def met(pages: int) -> Any:
        with scratch() as folder:
            return meet(*(Ends(run, finished_cards(run), 0) for run in runs), folder, 2, per_part=pages)

    assert met(per_part) == met(1 << 20)


def test_another_crawl_of_the_same_site_is_matched_by_url(tmp_path: Path, runs: tuple[RunDir, RunDir]) -> None:
    """Other texts, so other ids; two pages of it are new, and one has no URL."""
    again = [entry | {"text": f"{entry['text']} Changed."} for entry in PAGES[:4]]
    again += [page("new", 9, 9), {"text": "No address.", "size": 9}, {"text": "No address either.", "size": 1}]
    other = curate(tmp_path, LOOSE, again, runs[0].workspace.root, name="again")
    found = diff(runs[0], other)
    assert not found["same_pool"]
    assert (found["pages"]["by_id"], found["pages"]["by_url"], found["pages"]["kept_by_both"]) == (0, 4, 4)
    assert found["pages"]["not_in_other_pool"] == [{"pages": 6, "kept": 5}, {"pages": 3, "kept": 2}]


def test_a_record_given_twice_is_one_page(tmp_path: Path) -> None:
    pages = [page("a", 9, 9), page("b", 9, 9), page("a", 9, 9)]
    first = curate(tmp_path, LOOSE, pages, name="first")
    second = curate(tmp_path, [*LOOSE, {"dedup": {"method": "exact"}}], pages, name="second")
    assert diff(first, second)["pages"]["kept_by_both"] == 2


def test_what_cannot_be_compared(tmp_path: Path, runs: tuple[RunDir, RunDir]) -> None:
    with pytest.raises(ConfigError, match="named twice"):
        diff(runs[0], runs[0])
    waiting = RunDir(runs[0].workspace.root / "waiting")
    waiting.record_steps(runs[0].steps() | {"03_dedup": "dedup-0123456789ab-01234567"}, [])
    with pytest.raises(ConfigError, match=r"not finished \(03_dedup is missing\)"):
        diff(runs[0], waiting)


def test_a_damaged_file_is_told(tmp_path: Path) -> None:
    a = curate(tmp_path, LOOSE, PAGES, name="a")
    b = curate(tmp_path, STRICT, PAGES, name="b")
    file = next(iter((b.stage("02_filter").root / "removed").children("*.parquet")))
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.path.write_bytes(bytes(data))
    with pytest.raises(DataError, match="tamis verify"):
        diff(a, b)


def test_a_step_is_aligned_by_its_name_and_order(tmp_path: Path) -> None:
    cut = {"cut": {"column": "num_copies", "op": ">", "threshold": 5, "reason": "too_common"}}
    exact = {"dedup": {"method": "exact"}}
    a = curate(tmp_path, [exact, cut], PAGES, name="a")
    b = curate(tmp_path, [exact, cut, exact], PAGES, Location(tmp_path / "workspace"), name="b")
    steps = questions.diff(a, b)["steps"]
    assert [(step["name"], step["same"]) for step in steps] == [
        ("pool", True), ("dedup", True), ("cut", True), ("dedup", False)
    ]  # fmt: skip
    assert np.all([step["sides"][0] for step in steps[:3]]) and steps[3]["sides"][0] is None


def test_versions_are_of_one_method(tmp_path: Path) -> None:
    """Each method of a step has a version of its own, so another method is no other version."""
    exact, bloom = (curate(tmp_path, [{"dedup": {"method": name}}], PAGES, name=name) for name in ("exact", "bloom"))
    place = bloom.stage("02_dedup").card
    write_json(place, read_json(place) | {"version": 99})
    write_json(bloom.provenance, read_json(bloom.provenance) | {"python": "2.7", "cores": 999})
    assert [each["what"] for each in diff(exact, bloom)["versions"]] == ["python"]
    place = exact.stage("02_dedup").card
    other = curate(tmp_path, [{"dedup": {"method": "exact", "keep": "longest"}}], PAGES, name="other")
    version = read_json(place)["version"]
    write_json(place, read_json(place) | {"version": version + 1})
    expected = {"what": "step dedup exact", "values": [version + 1, version]}
    assert diff(exact, other)["versions"] == [expected]
