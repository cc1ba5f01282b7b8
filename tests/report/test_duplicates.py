"""`tamis dups`: the clusters, pairs, lines and hosts of a real run, and a page that hostile text cannot break."""

from html.parser import HTMLParser
from pathlib import Path

import pytest
from real_runs import curate

from tamis.base.errors import ConfigError, DataError
from tamis.report.duplicates import differences, find_duplicates, likeness, words_of
from tamis.report.duplicates_page import page_name, write_page
from tamis.store.location import Location
from tamis.store.rundir import RunDir

SHARED = "The same long boilerplate line stands under every page of this site."
HOSTILE = "<script>alert(1)</script> & \u202e"


@pytest.fixture(scope="module", params=["local", "memory"])
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    """Three copies of one page, two of another (with other blanks and case), one page alone."""
    pages = [
        ("http://a.org/1", f"One page about cats {HOSTILE}\n{SHARED}"),
        ("http://a.org/2", f"Another page\n{SHARED}"),
        ("http://b.org/1", f"one page about  CATS {HOSTILE}\n{SHARED}"),
        ("http://b.org/2", f"One page about cats {HOSTILE}\n{SHARED}"),
        ("http://www.b.org/3", f"another page\n{SHARED}"),
        ("http://c.org/1", "Alone"),
    ]
    remote = Location("memory://duplicates") if request.param == "memory" else None
    rows = [{"text": text, "url": url} for url, text in pages]
    return curate(tmp_path_factory.mktemp("dups"), [{"dedup": {"method": "exact"}}], rows, remote)


def test_clusters_pairs_lines_and_hosts(run: RunDir) -> None:
    found = find_duplicates(run, None, None, 20).to_dict()
    assert found["num_clusters"] == 2
    assert [(c["documents"], c["survivor"]["url"]) for c in found["clusters"]] == [
        (3, "http://a.org/1"), (2, "http://a.org/2")
    ]  # fmt: skip
    assert [one["url"] for one in found["clusters"][0]["removed"]] == ["http://b.org/1", "http://b.org/2"]
    assert len(found["pairs"]) == 3
    assert found["pairs"][0]["likeness"] <= found["pairs"][-1]["likeness"] == 1
    assert found["paragraphs"][0] == {"text": SHARED, "documents": 5, "hosts": 2}
    assert found["hosts"] == [{"host": "b.org", "documents": 3, "removed": 3}]


def test_one_cluster(run: RunDir) -> None:
    survivor = find_duplicates(run, None, None, 1).clusters[0][0].id
    found = find_duplicates(run, "02_dedup", survivor, 20)
    assert [kept.id for kept, _, _ in found.clusters] == [survivor]
    assert {pair.kept.id for pair in found.pairs} == {survivor}
    with pytest.raises(ConfigError, match="--cluster nobody"):
        find_duplicates(run, None, "nobody", 20)
    with pytest.raises(ConfigError, match="--stage 03_dedup: this run has 02_dedup"):
        find_duplicates(run, "03_dedup", None, 20)


def test_the_page_of_a_cluster_does_not_replace_that_of_the_step(run: RunDir) -> None:
    whole = write_page(find_duplicates(run, None, None, 20), run.root / page_name(None))
    before = whole.read_bytes()
    survivor = find_duplicates(run, None, None, 1).clusters[0][0].id
    page = write_page(find_duplicates(run, None, survivor, 20), run.root / page_name(survivor))
    assert (whole.name, page.name) == ("dups.html", f"dups-{survivor}.html")
    assert whole.read_bytes() == before != page.read_bytes()


def test_the_name_of_a_page_is_always_that_of_one_file() -> None:
    assert page_name("../../etc/a b\x00") == "dups-..-..-etc-a-b-.html"


def test_page_is_self_contained_and_safe(run: RunDir, tmp_path: Path) -> None:
    class MarkedWords(HTMLParser):
        tags: list[str] = []  # noqa: RUF012
        marked: list[str] = []  # noqa: RUF012

        def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
            self.tags.append(tag)
            assert not [value for name, value in attributes if name == "src"]

        def handle_data(self, data: str) -> None:
            if self.get_starttag_text() == "<mark>" and self.tags[-1] == "mark":
                self.marked.append(data)

    found = find_duplicates(run, None, None, 20)
    page = write_page(found, Location(tmp_path / "page.html")).read_text()
    parser = MarkedWords()
    parser.feed(page)
    assert "script" not in parser.tags
    assert "alert(1)" in page and "<script>" not in page
    assert "cats" in "".join(parser.marked) and "CATS" in "".join(parser.marked)
    assert write_page(found, Location(tmp_path / "again.html")).read_text() == page


def test_run_without_dedup(tmp_path: Path) -> None:
    run = curate(tmp_path, [{"extract": {}}], [{"text": "a", "url": "http://a.org"}])
    with pytest.raises(DataError, match="no finished dedup step"):
        find_duplicates(run, None, None, 20)


def test_words_and_differences() -> None:
    text = "Two words,\n\tand  a third."
    assert "".join(words_of(text)) == text
    assert likeness("a b c d", "a b  c d") == 1
    assert [(kind, a, b) for kind, a, b in differences("a b c", "a x c") if kind != "equal"] == [
        ("replace", [" b"], [" x"])
    ]


def test_a_long_run_of_blanks_takes_no_longer_than_its_length() -> None:
    """It took the square of it: a megabyte of blanks would not end."""
    assert words_of(" " * 1_000_000 + "\n a\t \n" + "\t" * 1_000_000) == ["\n", " a", "\n"]
