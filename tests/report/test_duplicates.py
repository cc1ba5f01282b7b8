"""`tamis dups`: the clusters, pairs, lines and hosts of a real run, and a page that hostile text cannot break."""

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from tamis import flow
from tamis.base.errors import ConfigError, DataError
from tamis.products import show_duplicates
from tamis.report.duplicates import differences, likeness, words_of

SHARED = "The same long boilerplate line stands under every page of this site."
HOSTILE = "<script>alert(1)</script> & \u202e"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three copies of one page, two of another (with other blanks and case), one page alone."""
    folder = tmp_path_factory.mktemp("dups")
    pages = [
        ("http://a.org/1", f"One page about cats {HOSTILE}\n{SHARED}"),
        ("http://a.org/2", f"Another page\n{SHARED}"),
        ("http://b.org/1", f"one page about  CATS {HOSTILE}\n{SHARED}"),
        ("http://b.org/2", f"One page about cats {HOSTILE}\n{SHARED}"),
        ("http://b.org/3", f"another page\n{SHARED}"),
        ("http://c.org/1", "Alone"),
    ]
    pool = folder / "pool.jsonl"
    pool.write_text("".join(json.dumps({"text": text, "url": url}) + "\n" for url, text in pages))
    raw: dict[str, Any] = {"name": "dups", "stages": [{"dedup": {"method": "exact"}}]}
    flow.run_recipe(flow.resolve(raw, [str(pool)]), folder / "run", 1, lambda event: None)
    return folder / "run"


def test_clusters_pairs_lines_and_hosts(run: Path, tmp_path: Path) -> None:
    found, page = show_duplicates(run, None, None, 20, tmp_path / "page.html")
    assert found["num_clusters"] == 2
    assert [(c["documents"], c["survivor"]["url"]) for c in found["clusters"]] == [
        (3, "http://a.org/1"), (2, "http://a.org/2")
    ]  # fmt: skip
    assert [one["url"] for one in found["clusters"][0]["removed"]] == ["http://b.org/1", "http://b.org/2"]
    assert len(found["pairs"]) == 3
    assert found["pairs"][0]["likeness"] <= found["pairs"][-1]["likeness"] == 1
    assert found["paragraphs"][0] == {"text": SHARED, "documents": 5, "hosts": 2}
    assert found["hosts"] == [{"host": "b.org", "documents": 3, "removed": 3}]
    assert page == tmp_path / "page.html"


def test_one_cluster(run: Path, tmp_path: Path) -> None:
    survivor = show_duplicates(run, None, None, 1, tmp_path / "a.html")[0]["clusters"][0]["survivor"]["id"]
    found, _ = show_duplicates(run, "02_dedup", survivor, 20, tmp_path / "b.html")
    assert [c["survivor"]["id"] for c in found["clusters"]] == [survivor]
    assert {p["kept"]["id"] for p in found["pairs"]} == {survivor}
    with pytest.raises(ConfigError, match="--cluster nobody"):
        show_duplicates(run, None, "nobody", 20, None)
    with pytest.raises(ConfigError, match="--stage 03_dedup: this run has 02_dedup"):
        show_duplicates(run, "03_dedup", None, 20, None)


def test_page_is_self_contained_and_safe(run: Path, tmp_path: Path) -> None:
    class Page(HTMLParser):
        tags: list[str] = []  # noqa: RUF012
        marked: list[str] = []  # noqa: RUF012

        def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
            self.tags.append(tag)
            assert not [value for name, value in attributes if name == "src"]

        def handle_data(self, data: str) -> None:
            if self.get_starttag_text() == "<mark>" and self.tags[-1] == "mark":
                self.marked.append(data)

    page = show_duplicates(run, None, None, 20, tmp_path / "page.html")[1].read_text()
    parser = Page()
    parser.feed(page)
    assert "script" not in parser.tags
    assert "alert(1)" in page and "<script>" not in page
    assert "cats" in "".join(parser.marked) and "CATS" in "".join(parser.marked)
    assert show_duplicates(run, None, None, 20, tmp_path / "again.html")[1].read_text() == page


def test_run_without_dedup(tmp_path: Path) -> None:
    pool = tmp_path / "pool.jsonl"
    pool.write_text('{"text": "a", "url": "http://a.org"}\n')
    run = flow.run_recipe(flow.resolve({"name": "bare", "stages": [{"extract": {}}]}, [str(pool)]), tmp_path / "run", 1,
                          lambda event: None)  # fmt: skip
    with pytest.raises(DataError, match="no finished dedup step"):
        show_duplicates(run.root, None, None, 20, None)


def test_words_and_differences() -> None:
    text = "Two words,\n\tand  a third."
    assert "".join(words_of(text)) == text
    assert likeness("a b c d", "a b  c d") == 1
    assert [(kind, a, b) for kind, a, b in differences("a b c", "a x c") if kind != "equal"] == [
        ("replace", [" b"], [" x"])
    ]
