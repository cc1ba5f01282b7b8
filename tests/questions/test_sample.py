"""`tamis sample`: the same pages for a seed, groups and filters, thresholds from both sides, and wrong requests."""

from pathlib import Path
from typing import Any

import pytest
from real_runs import curate
from test_why import row, synthetic

from tamis.base.errors import ConfigError, DataError
from tamis.questions.sample import Borderline, Sampled, Wanted, borderline, sample
from tamis.store.rundir import RunDir

RULES = [
    {"column": "extra.size", "op": "<", "threshold": 10, "reason": "small"},
    {"column": "extra.kind", "op": "==", "threshold": "menu", "reason": "menu"},
]
FILTER: dict[str, Any] = {"rules": "none", "keep_languages": [], "own_rules": RULES}
PAGES = [
    {"url": f"https://www.host{number % 3}.org/{number}", "text": f"Page {number}. " * 50, "size": number,
     "kind": "menu" if number % 10 == 9 else "page"}
    for number in range(40)
]  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    """Sizes 0 to 9 are too small; of the others, 19, 29 and 39 are menus."""
    return curate(tmp_path_factory.mktemp("sample"), [{"filter": FILTER}, {"dedup": {"method": "exact"}}], PAGES)


def urls(group: Sampled) -> list[str]:
    return [page.url for page in group.pages]


def test_what_was_kept(run: RunDir) -> None:
    [kept] = sample(run, Wanted(number=4))
    assert (kept.step, kept.outcome, kept.reason, kept.total) == ("03_dedup", "kept", "", 27)
    assert len(set(urls(kept))) == 4
    assert all(page.outcome == "kept" and page.steps[-1].outcome == "kept" for page in kept.pages)
    entry = kept.to_dict()["pages"][0]
    assert len(entry["text"]) == 400 and entry["steps"][1]["tests"][0]["removes_if"] == "< 10.0"


def test_the_seed_decides(run: RunDir) -> None:
    def drawn(seed: int) -> list[str]:
        return urls(sample(run, Wanted(number=4, seed=seed))[0])

    assert drawn(1) == drawn(1)
    assert len({tuple(drawn(seed)) for seed in range(5)}) == 5
    everything = urls(sample(run, Wanted(number=100))[0])
    assert len(everything) == len(set(everything)) == 27
    assert drawn(0) == everything[:4], "a larger sample begins with the smaller one"


def test_what_was_removed_by_reason(run: RunDir) -> None:
    groups = sample(run, Wanted(outcome="removed", number=2))
    assert [(group.step, group.reason, group.total, len(group.pages)) for group in groups] == [
        ("02_filter", "small", 10, 2), ("02_filter", "menu", 3, 2),
    ]  # fmt: skip
    [menus] = sample(run, Wanted(reason="menu"))
    assert sorted(int(url.rpartition("/")[2]) for url in urls(menus)) == [19, 29, 39]
    tests = [(test["reason"], test["fired"]) for test in menus.pages[0].steps[-1].tests]
    assert tests == [("small", False), ("menu", True)]
    assert [group.reason for group in sample(run, Wanted(step="filter"))] == ["small", "menu"]


def test_pages_of_one_host(run: RunDir) -> None:
    for name in ("host1.org", "www.host1.org", "https://host1.org/any"):
        [kept] = sample(run, Wanted(host=name, number=50))
        assert kept.total == 9 and all("host1.org" in url for url in urls(kept))


def test_pages_in_one_language(tmp_path: Path) -> None:
    made = synthetic(tmp_path, rules=[], kept=[row("a", language="de"), row("b", language="en")], removed=[
        row("c", language="fr", drop_reason="gone"), row("d", drop_reason="gone")
    ])  # fmt: skip
    [kept] = sample(made, Wanted(language="de"))
    assert [page.id for page in kept.pages] == ["a"]
    [gone] = sample(made, Wanted(language="fr", outcome="removed"))
    assert (gone.total, gone.pages[0].id) == (1, "c")
    with pytest.raises(ConfigError, match=r"--language nl: no page of this run fits\. Languages: de, en\."):
        sample(made, Wanted(language="nl"))


def nearest(found: Borderline) -> tuple[list[float], list[float]]:
    return [value for value, _ in found.removed], [value for value, _ in found.kept]


def test_the_pages_nearest_to_a_threshold(run: RunDir) -> None:
    [found] = borderline(run, Wanted(number=3))
    assert (found.step, found.rule.reason) == ("02_filter", "small")
    assert nearest(found) == ([9, 8, 7], [10, 11, 12])
    assert found.removed[0][1].url == "https://www.host0.org/9" and found.kept[0][1].text.startswith("Page 10.")
    [one] = borderline(run, Wanted(number=2, reason="small", host="host2.org"))
    assert nearest(one) == ([8, 5], [11, 14])


def test_a_rule_for_one_language_has_borders_among_its_pages_alone(tmp_path: Path) -> None:
    rule = {"reason": "short", "column": "num_words", "op": "<=", "threshold": 5, "among": ["language", "en"]}
    made = synthetic(
        tmp_path, rules=[rule],
        kept=[row("a", language="en", num_words=9), row("b", language="de", num_words=6), row("e", language="en")],
        removed=[row("c", language="en", num_words=5, drop_reason="short")],
    )  # fmt: skip
    [found] = borderline(made, Wanted())
    assert nearest(found) == ([5], [9])


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (Wanted(step="fliter"), r"--stage fliter: the run has no such step \(did you mean '02_filter'"),
        (Wanted(reason="smal"), r"--reason smal: no step has removed a page as 'smal' \(did you mean 'small'"),
        (Wanted(outcome="lost"), "--outcome lost: give kept, removed or quarantined"),
        (Wanted(outcome="kept", reason="small"), "--outcome kept: what the run kept has no reason"),
        (Wanted(outcome="quarantined"), "no page of this run fits"),
        (Wanted(number=0), "-n 0: give 1 to 1,000"),
        (Wanted(number=1001), "-n 1001: give 1 to 1,000"),
        (Wanted(host="nowhere.org"), "--host nowhere.org: no page of this run fits"),
        (Wanted(host="[::"), r"--host \[::: no host can be called this"),
        (Wanted(language="en"), "--language en: the pages asked for have no column 'language'"),
    ],
)
def test_a_wrong_request_is_one_error(run: RunDir, wanted: Wanted, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        sample(run, wanted)


def test_borders_of_what_is_no_number(run: RunDir) -> None:
    with pytest.raises(ConfigError, match="--reason menu: no step compares numbers and removes a page as 'menu'"):
        borderline(run, Wanted(reason="menu"))
    with pytest.raises(ConfigError, match="--outcome removed out"):
        borderline(run, Wanted(outcome="removed"))


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    made = curate(tmp_path, [{"filter": FILTER}], PAGES[:20])
    next(iter((made.stage("02_filter").root / "removed").children("*.parquet"))).delete_file()
    with pytest.raises(DataError, match=r"is missing\. Type: tamis verify"):
        sample(made, Wanted(outcome="removed"))


def test_an_unfinished_run_is_one_error(run: RunDir) -> None:
    waiting = RunDir(run.workspace.root / "waiting")
    waiting.record_steps(run.steps() | {"04_cut": "cut-0123456789ab-01234567"}, [])
    with pytest.raises(ConfigError, match="not finished"):
        sample(waiting, Wanted())
