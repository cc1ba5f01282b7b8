"""The report as HTML: whole, self-contained, safe against what pages contain, and the same every time."""

import json
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from synthetic_run import COMPARISON, HOSTILE, write_demo, write_json, write_run

from tamis.base.errors import ConfigError
from tamis.report import build_report

VOID = {"meta", "link", "img", "br", "hr", "input"}


class Page(HTMLParser):
    """Collects what tests ask about, and insists that every element is closed where it was opened."""

    def __init__(self, path: Path) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.open: list[str] = []
        self.text_parts: list[str] = []
        self.numbers: list[int] = []
        self.levels: list[int] = []
        self.source = path.read_text()
        self.feed(self.source)
        assert not self.open, f"left open: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.tags.append((tag, values))
        if tag == "data":
            self.numbers.append(int(values["value"]))
        if tag in ("h1", "h2", "h3", "h4"):
            self.levels.append(int(tag[1]))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open.pop() == tag, f"</{tag}> closes nothing"

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.text_parts.append(data)

    @property
    def text(self) -> str:
        return "".join(self.text_parts).replace("\u202f", " ")

    def count(self, tag: str) -> int:
        return sum(name == tag for name, _ in self.tags)


@pytest.fixture
def demo(tmp_path: Path) -> tuple[list[Path], Page]:
    runs = write_demo(tmp_path)
    return runs, Page(build_report(runs, tmp_path / "report.html", COMPARISON))


def all_counts(run: Path) -> list[int]:
    found = []
    for path in sorted(run.glob("*/card.json")):
        card = json.loads(path.read_text())
        for books in (card.get("counts", {}), card.get("text_bytes", {})):
            for value in books.values():
                found += list(value.values()) if isinstance(value, dict) else [value]
    return found


def test_loads_nothing_from_elsewhere(demo: tuple[list[Path], Page]) -> None:
    for tag, attributes in demo[1].tags:
        for name in ("src", "href", "xlink:href", "data", "action", "poster", "srcset", "style"):
            value = attributes.get(name, "")
            if tag == "a" and name == "href":
                assert value.startswith(("#", "http://", "https://"))
            elif not (tag == "link" and value == "data:,"):
                assert "//" not in value, (tag, name, value)
    style = demo[1].source.partition("<style>")[2].partition("</style>")[0]
    assert "url(" not in style and "@import" not in style and len(style) > 1000
    assert demo[1].count("script") == 0


def test_every_count_of_every_card_is_there(demo: tuple[list[Path], Page]) -> None:
    runs, page = demo
    expected = [number for run in runs for number in all_counts(run)]
    assert len(expected) > 60
    for number in set(expected):
        assert page.numbers.count(number) >= expected.count(number), number
    assert page.text.count("every document is accounted for") == 3


def test_headline_says_which_is_better(demo: tuple[list[Path], Page]) -> None:
    text = demo[1].text
    assert "dclm-baseline is better than raw by 0.121 [0.101, 0.142] bits per byte." in text
    assert "+0.015 [−0.011, 0.041]" in text
    assert "One training seed per side" in text


def test_headline_when_the_baseline_wins_or_nothing_is_clear(tmp_path: Path) -> None:
    runs = write_demo(tmp_path)
    entry: dict[str, Any] = COMPARISON["tasks"]["documents"]
    worse = COMPARISON | {"tasks": {"documents": entry | {"difference": 0.05, "low": 0.02, "high": 0.08}}}
    page = Page(build_report(runs, tmp_path / "worse.html", worse))
    assert "raw is better than dclm-baseline by 0.050 [0.020, 0.080] bits per byte." in page.text
    unclear = COMPARISON | {"tasks": {"documents": entry | {"difference": -0.01, "low": -0.03, "high": 0.01}}}
    page = Page(build_report(runs, tmp_path / "unclear.html", unclear))
    assert "No clear difference between dclm-baseline and raw: +0.010 [−0.010, 0.030] bits per byte." in page.text


def test_headline_is_bits_per_byte_of_documents_whatever_looks_best(tmp_path: Path) -> None:
    runs = write_demo(tmp_path)
    entry: dict[str, Any] = COMPARISON["tasks"]["documents"]
    barely = entry | {"difference": -0.08, "low": -0.187, "high": -0.004}
    tasks = {"a_gold": entry, "continuation": COMPARISON["tasks"]["continuation"], "documents": barely}
    text = Page(build_report(runs, tmp_path / "report.html", COMPARISON | {"tasks": tasks})).text
    assert "dclm-baseline is better than raw by 0.080 [0.004, 0.187] bits per byte." in text
    assert text.index("Gain in bits per byte") < text.index("Gain in accuracy")


def test_sections_and_headings_are_in_order(demo: tuple[list[Path], Page]) -> None:
    page = demo[1]
    ids = [attributes["id"] for tag, attributes in page.tags if tag == "section"]
    assert ids == ["answer", "funnel", "signals", "loss", "scores", "examples", "time", "provenance"]
    anchors = {attributes["href"] for tag, attributes in page.tags if tag == "a" and attributes["href"].startswith("#")}
    assert anchors == {f"#{name}" for name in ids[1:]}
    assert page.levels[0] == 1 and page.levels.count(1) == 1
    assert all(after <= before + 1 for before, after in zip(page.levels, page.levels[1:], strict=False))


def test_single_run_keeps_the_heading_order_too(tmp_path: Path) -> None:
    page = Page(build_report([write_run(tmp_path, "mine", strict=True)], tmp_path / "report.html"))
    assert all(after <= before + 1 for before, after in zip(page.levels, page.levels[1:], strict=False))
    assert "mine kept 1 399 of 9 412 pages (14.9 %)" in page.text


def test_figures_speak(demo: tuple[list[Path], Page]) -> None:
    figures = [attributes for tag, attributes in demo[1].tags if tag == "svg" and "role" in attributes]
    assert len(figures) > 25
    assert all(attributes["role"] == "img" and attributes["aria-label"] for attributes in figures)
    labels = " ".join(attributes["aria-label"] for attributes in figures)
    assert "Histogram of Words" in labels and "removed where < 50; removed where > 100" in labels
    assert "Training loss. raw ends at" in labels


def test_models_are_described(demo: tuple[list[Path], Page]) -> None:
    text = demo[1].text
    assert text.count("1.31 M") == 2 and "Epochs" in text and "1.11" in text


def test_tokens_are_counted_at_tokenize_and_estimated_elsewhere(tmp_path: Path) -> None:
    run = write_run(tmp_path, "mine", strict=True)
    text = Page(build_report([run], tmp_path / "report.html")).text
    assert "4.113 bytes per token" in text
    assert "≈ 10.0 M tokens" in text
    assert "≈ 2.21 M tokens" not in text.partition("tokenize")[2].partition("The books")[0]


def test_hostile_text_is_only_text(tmp_path: Path) -> None:
    run = write_run(tmp_path, "mine", strict=True)
    card = json.loads((run / "03_filter" / "card.json").read_text())
    card["counts"]["removed"][HOSTILE] = 0
    card["name"] = "filter<b>"
    card["details"]["histograms"]["num_words"]["label"] = HOSTILE
    card["details"]["examples"][0] |= {"url": 'https://a.example/"onmouseover=alert(1) x="', "reason": HOSTILE}
    write_json(run / "03_filter" / "card.json", card)
    provenance = json.loads((run / "provenance.json").read_text()) | {"command": HOSTILE, HOSTILE: {HOSTILE: HOSTILE}}
    write_json(run / "provenance.json", provenance)
    with (run / "recipe.yaml").open("a") as handle:
        handle.write("# </code></pre><script>alert(1)</script>\n")
    page = Page(build_report([run], tmp_path / "report.html", title=HOSTILE))
    assert page.count("script") == 0 and page.count("img") == 0 and page.count("b>") == 0
    assert all(not name.startswith("on") for _, attributes in page.tags for name in attributes)
    assert not any(attributes.get("href", "").startswith("javascript") for _, attributes in page.tags)
    assert "</script><script>alert(1)</script>" in page.text
    assert "\x00" not in page.source and "\x0b" not in page.source


def test_same_inputs_same_bytes(tmp_path: Path) -> None:
    runs = write_demo(tmp_path)
    first = build_report(runs, tmp_path / "a.html", COMPARISON).read_bytes()
    assert build_report(runs, tmp_path / "b.html", COMPARISON).read_bytes() == first


def test_damaged_and_missing_files_are_named_and_survived(tmp_path: Path) -> None:
    run = write_run(tmp_path, "mine", strict=True)
    (run / "04_dedup" / "card.json").write_text('{"counts": ')
    shutil.rmtree(run / "06_tokenize")
    (run / "05_quality" / "card.json").unlink()
    (run / "provenance.json").unlink()
    (run / "evaluate" / "results.json").write_text("[1, 2]")
    (run / "train" / "metrics.jsonl").write_text('{"step": 1, "tokens": 10, "loss": 3.5}\n{"step": 2, "lo')
    events = (run / "events.jsonl").read_text().splitlines()[:3]
    failed = {"time": 1_795_000_100.0, "kind": "run_failed", "error": "BudgetError: too <many>"}
    (run / "events.jsonl").write_text("\n".join([*events, json.dumps(failed), '{"time": 17']))
    page = Page(build_report([run], tmp_path / "report.html"))
    for said in (
        "failed: BudgetError: too <many>", "04_dedup/card.json: not valid JSON", "events.jsonl: 1 unreadable line",
        "train/metrics.jsonl: 1 unreadable line", "card not readable", "not finished", "not run",
        "as of filter (run failed)",
    ):  # fmt: skip
        assert said in page.text, said


@pytest.mark.parametrize(
    "name", ["recipe.yaml", "events.jsonl", "provenance.json", "train/card.json", "01_pool/card.json"]
)
@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b"[]", b"null", b'"text"', b'{"time": "x", "counts": 3}'])
def test_any_file_may_hold_anything(tmp_path: Path, name: str, content: bytes) -> None:
    run = write_run(tmp_path, "mine", strict=False)
    (run / name).write_bytes(content)
    page = Page(build_report([run], tmp_path / "report.html"))
    assert "What each step removed" in page.text


def test_card_details_may_be_nonsense(tmp_path: Path) -> None:
    run = write_run(tmp_path, "mine", strict=True)
    path = run / "03_filter" / "card.json"
    card = json.loads(path.read_text())
    card["details"] = {
        "rules": [3, {"reason": None, "column": "num_words", "op": "~", "threshold": [1]}],
        "histograms": {
            "a": 1,
            "b": {"low": 1, "high": 1, "counts": [1, 2, 3]},
            "c": {"low": 0, "high": 1, "log": True, "counts": [0] * 5},
            "d": {"low": 0, "high": 1, "counts": ["x", None, -4]},
            "num_words": {"low": 1, "high": 9, "counts": [0, 0, 0]},
        },
        "examples": ["x", {"reason": 4, "signals": [1]}, {}],
    }  # fmt: skip
    write_json(path, card)
    assert "Signals and cut-offs" in Page(build_report([run], tmp_path / "report.html")).text


def test_empty_directory_and_no_directory(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    page = Page(build_report([tmp_path / "empty"], tmp_path / "report.html"))
    assert "No stage of this run has started." in page.text and "recipe.yaml: missing" in page.text
    with pytest.raises(ConfigError, match="no such run"):
        build_report([tmp_path / "nowhere"], tmp_path / "report.html")


def test_unbalanced_books_are_loud(tmp_path: Path) -> None:
    run = write_run(tmp_path, "mine", strict=True)
    card = json.loads((run / "03_filter" / "card.json").read_text())
    card["counts"]["kept"] -= 5
    write_json(run / "03_filter" / "card.json", card)
    text = Page(build_report([run], tmp_path / "report.html")).text
    assert "✗ 1 stage out of balance" in text and "✗ 5 unaccounted for" in text


def test_runs_of_one_recipe_are_told_apart(tmp_path: Path) -> None:
    runs = [write_run(tmp_path / side, "mine", strict=False) for side in ("a", "b")]
    page = Page(build_report(runs, tmp_path / "report.html"))
    assert "mine (mine)" in page.text and "mine (mine) #2" in page.text
