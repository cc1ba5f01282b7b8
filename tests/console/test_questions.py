"""The output of `tamis sample` and `tamis diff`: what it says, and that nothing in a page reaches the terminal."""

from typing import Any

import pytest
from test_terminal import CONTROL, EVIL, explanation

from tamis.console.questions import print_borderline, print_diff, print_samples
from tamis.console.terminal import safe_text

FORGED = f"{EVIL}\n03_filter: kept"


def a_page(url: str = "http://a.org/", outcome: str = "removed", text: str = "One\n two. " * 99) -> dict[str, Any]:
    tests = [
        {"reason": "short", "column": "num_words", "value": 8, "removes_if": "< 10", "fired": outcome == "removed"},
        {"reason": "long", "column": "num_words", "value": 8, "removes_if": "> 1000", "fired": False},
        {"reason": "odd", "column": "host", "value": "a.org", "removes_if": "in b.org", "fired": False},
    ]
    step = {"stage": "02_filter", "outcome": outcome, "reason": "short" * (outcome == "removed"), "tests": tests}
    return {"id": "3f0c", "url": url, "outcome": outcome, "text": text, "steps": [step]}


def taken(**changes: Any) -> dict[str, Any]:
    return {
        "step": "02_filter", "outcome": "removed", "reason": "short", "pages": 1234, "alone": 1000, "unsure": 4,
        "others": {"poor": 230}, "rule": "num_words < 10", "rule_there": "num_words < 5", "samples": [a_page()],
    } | changes  # fmt: skip


def a_diff(**changes: Any) -> dict[str, Any]:
    side = {"step": "02_filter", "in": 9000, "kept": 8000, "removed": {"short": 1000}, "quarantined": {}}
    other = side | {"kept": 6766, "removed": {"short": 2234}}
    alone = {"pages": 0, "kept": 0}
    return {
        "runs": ["x/a", "x/b"], "names": ["a", "b"], "same_pool": True,
        "settings": [{"setting": "filter.min_words", "values": [5, None]}], "versions": [],
        "steps": [{"name": "filter", "same": False, "sides": [side, other]},
                  {"name": "dedup", "same": False, "sides": [None, other]}],
        "pages": {"by_id": 9000, "by_url": 0, "kept_by_both": 6766, "only_in_first": 1234, "only_in_second": 0,
                  "kept_by_none": 1000, "not_in_other_pool": [alone, alone]},
        "lost": [taken()], "gained": [],
    } | changes  # fmt: skip


def shown(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return [" ".join(line.split()) for line in capsys.readouterr().out.splitlines() if line.strip()]


def test_a_sample_shows_what_decided(capsys: pytest.CaptureFixture[str]) -> None:
    group = {"step": "02_filter", "outcome": "removed", "reason": "short", "total": 1234, "pages": [a_page()]}
    print_samples([group, group | {"outcome": "kept", "reason": "", "pages": [a_page(outcome="kept")]}])
    lines = shown(capsys)
    assert lines[:2] == ["02_filter: short: 1 of 1,234 pages", "http://a.org/ id 3f0c"]
    assert lines[2] == ("One two. " * 99)[:240].strip()
    assert lines[3] == "num_words = 8, short where < 10 <- removes it"
    assert lines[4] == "kept by the run (02_filter): 1 of 1,234 pages"
    assert lines[7:] == ["num_words = 8, short where < 10", "num_words = 8, long where > 1000"]


def test_both_sides_of_a_threshold(capsys: pytest.CaptureFixture[str]) -> None:
    rule = {"step": "02_filter", "reason": "short", "column": "num_words", "op": "<", "threshold": 10}
    print_borderline(
        [rule | {"removed": [a_page() | {"value": 9.0}], "kept": [a_page("http://b.org/") | {"value": 10}]}]
    )
    lines = shown(capsys)
    assert lines[0] == "02_filter: short removes where num_words < 10"
    assert [line for line in lines if "num_words =" in line] == ["removed, num_words = 9", "kept, num_words = 10"]


def test_two_runs_side_by_side(capsys: pytest.CaptureFixture[str]) -> None:
    print_diff(a_diff())
    lines = shown(capsys)
    assert lines[:2] == ["setting a b", "filter.min_words 5 not set"]
    assert "filter 9,000 8,000 1,000 9,000 6,766 2,234 short 1,000 / 2,234" in lines
    assert "dedup - - - 9,000 6,766 2,234 short 0 / 2,234" in lines
    assert "kept by a, not by b: 1,234 pages" in lines and "kept by b, not by a: 0 pages" in lines
    assert "02_filter short 1,234 1,000 4 num_words < 10 num_words < 5 poor 230" in lines


def test_different_pools_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    alone = [{"pages": 12, "kept": 3}, {"pages": 0, "kept": 0}]
    print_diff(
        a_diff(same_pool=False, settings=[], pages=a_diff()["pages"] | {"by_url": 7, "not_in_other_pool": alone})
    )
    lines = shown(capsys)
    assert lines[0].startswith("The runs are of different pools")
    assert "of these, matched by URL 7" in lines and "only in the pool of a (kept) 12 (3)" in lines


def test_hostile_pages_do_not_reach_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    page = explanation() | {"text": FORGED, "url": FORGED}
    group = {"step": EVIL, "outcome": "removed", "reason": EVIL, "total": 2, "pages": [page]}
    print_samples([group, group | {"pages": [page | {"outcome": "quarantined"}]}])
    rule = {"step": EVIL, "reason": EVIL, "column": EVIL, "op": "<", "threshold": 1, "among": [EVIL, EVIL]}
    print_borderline([rule | {"removed": [page | {"value": EVIL}], "kept": []}])
    versions = [{"what": EVIL, "values": [EVIL, EVIL]}]
    loss = [taken(step=EVIL, reason=EVIL, rule=EVIL, others={EVIL: 1}, samples=[page])]
    print_diff(a_diff(names=[EVIL, EVIL], settings=[{"setting": EVIL, "values": [EVIL, [EVIL]]}], versions=versions,
                      lost=loss, gained=loss))  # fmt: skip
    printed = capsys.readouterr().out
    assert not CONTROL.search(printed.replace("\n", "")) and safe_text(EVIL)[:20] in printed
    assert "03_filter: kept" in printed and "03_filter: kept" not in printed.splitlines()
