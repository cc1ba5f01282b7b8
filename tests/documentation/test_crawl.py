"""The crawl of the machine's documentation: faithful to pydoc, harmless, reproducible."""

import difflib
import html
import importlib
import json
import pydoc
import re
import sys
from pathlib import Path

import pytest
from fastwarc.warc import ArchiveIterator, WarcRecordType

from tamis.base.errors import ConfigError
from tamis.documentation.crawl import SHOWN_LIBRARY, choose_modules, find_modules, page_url, write_docs_crawl
from tamis.documentation.pydoc_pages import render
from tamis.documentation.skeleton import Library, ModuleFile
from tamis.store.location import Location


def words(page: str) -> list[str]:
    body = page.partition("<body>")[2]
    return html.unescape(re.sub(r"<[^>]+>", " ", body)).split()


def pages_of(folder: Path) -> dict[str, str]:
    pages = {}
    for path in sorted(folder.glob("*.warc.gz")):
        with path.open("rb") as handle:
            for record in ArchiveIterator(handle, record_types=WarcRecordType.response, verify_digests=True):
                assert record.http_headers["Content-Type"] == "text/html; charset=utf-8"
                pages[record.headers["WARC-Target-URI"]] = record.reader.read().decode()
    return pages


def write_module(folder: Path, name: str, source: str) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(source)


def render_source(tmp_path: Path, source: str) -> str:
    """The page's text, words joined by single spaces."""
    write_module(tmp_path, "sample.py", source)
    library = Library({"sample": ModuleFile("sample", Location(tmp_path / "sample.py"), "lib/sample.py")})
    skeleton = library.skeleton("sample")
    return " ".join(words(render(skeleton.module, skeleton.related, SHOWN_LIBRARY)))


@pytest.mark.parametrize(
    "name", ["json", "argparse", "textwrap", "shlex", "string", "statistics", "difflib", "logging"]
)
def test_pages_read_as_pydocs_own(name: str) -> None:
    module = importlib.import_module(name)
    theirs = words(pydoc.html.page(pydoc.describe(module), pydoc.html.document(module, name)))
    skeleton = Library(find_modules()).skeleton(name)
    ours = words(render(skeleton.module, skeleton.related, SHOWN_LIBRARY))
    assert difflib.SequenceMatcher(None, theirs, ours, autojunk=False).ratio() >= 0.9


HOSTILE = """
'''Looks harmless.'''
from pathlib import Path
Path({marker!r}).write_text('imported')
raise SystemExit('gone')

def useful(path=Path({marker!r}).write_text('default'), *, flag: Path({marker!r}).write_text('hint') = True):
    'Does something.'

@Path({marker!r}).write_text('decorator')
class Trap(Path({marker!r}).write_text('base'), metaclass=Path({marker!r}).write_text('metaclass')):
    'A trap.'
    value = Path({marker!r}).write_text('value')
    def __init_subclass__(cls, **kwargs): Path({marker!r}).write_text('subclass')
    def __class_getitem__(cls, item): Path({marker!r}).write_text('item')
    @property
    def __doc__(self): Path({marker!r}).write_text('doc')

class Caught(Trap): pass

def __getattr__(name): Path({marker!r}).write_text('getattr')
def __dir__(): Path({marker!r}).write_text('dir')
__path__ = __import__("pkgutil").extend_path(__path__, __name__)
__name__, __file__ = "sys", "/etc/passwd"
__name__ = "sys"
__spec__ = __loader__ = None
__all__ = [Path({marker!r}).write_text('all')]
"""


@pytest.mark.parametrize("workers", [1, 2])
def test_nothing_of_a_hostile_package_runs(tmp_path: Path, workers: int) -> None:
    marker = tmp_path / "marker"
    site, source = tmp_path / "site", HOSTILE.format(marker=str(marker))
    write_module(site, "hostile/__init__.py", source)
    write_module(site, "hostile/inner.py", source)
    write_module(site, "hostile/user.py", "from hostile.inner import useful\n__all__ = ['useful']\n")
    write_module(site, "re.py", source)
    before = set(sys.modules)
    crawl = write_docs_crawl(tmp_path / "out", workers=workers, library=tmp_path / "no-library", sites=[site])
    assert not marker.exists()
    assert not {name for name in set(sys.modules) - before if name.startswith("hostile")}
    assert crawl.num_pages == 4 and not crawl.failures
    pages = pages_of(tmp_path / "out")
    text = " ".join(words(pages["https://hostile.docs.example/hostile.inner.html"]))
    assert "Looks harmless." in text and "Does something." in text and "A trap." in text
    assert "useful" in pages["https://hostile.docs.example/hostile.user.html"]
    assert re.compile("a").match("a"), "the real re is untouched"


def test_broken_modules_are_counted(tmp_path: Path) -> None:
    site = tmp_path / "site"
    write_module(site, "good.py", "'''Fine.'''")
    write_module(site, "syntax.py", "def (")
    write_module(site, "deep.py", "x = " + "-" * 100_000 + "1")
    write_module(site, "nested.py", "x = " + "(" * 5_000 + ")" * 5_000)
    write_module(site, "huge.py", "x = 1\n" * 100_000)
    write_module(site, "many.py", "def f(): ...\n" * 2_001)
    write_module(site, "cookie.py", "# coding: no-such-encoding\n")
    (site / "zero.py").write_bytes(b"\0" * 10)
    (site / "latin.py").write_bytes(b"'''caf\xe9'''")
    crawl = write_docs_crawl(tmp_path / "out", workers=1, library=tmp_path / "none", sites=[site])
    assert crawl.num_pages == 1
    assert crawl.failures == {"too_large": 1, "too_many_definitions": 1, "unreadable": 6}
    assert crawl.num_modules_found == 9


def test_what_a_page_shows(tmp_path: Path) -> None:
    text = render_source(
        tmp_path,
        """# Licensed to no one in particular.
import os
from elsewhere import Base
__version__ = "1.5"
__author__ = "A. N. Other"
LIMIT = 1 << 4
TABLE = {"a": 1}
NAMES = {"b", "a"}

# Explains the function below.
def plain(a, b=3, *args, key=None, mode=os.R_OK, **rest) -> int: ...

async def later(a: int, /): "Comes later."

class Thing(Base, ValueError):
    "Is a thing."
    __slots__ = ("x",)
    kind = "good"
    __annotations__ = dict(kind=str)
    size_bytes: int
    @classmethod
    def make(cls, n): "Makes one."
    @staticmethod
    def free(n): "Needs none."
    @property
    def size(self): "How large."
    @size.setter
    def size(self, value): ...

try:
    import fast
except ImportError:
    def fast(): "Slow way."

if __name__ == "__main__":
    def hidden_main(): "Never shown."
""",
    )
    for shown in [
        "# Licensed to no one in particular.",
        "(version 1.5)",
        "plain (a, b=3, *args, key=None, mode=os.R_OK, **rest) -> int # Explains the function below.",
        "async later (a: int, /) Comes later.",
        "class Thing (elsewhere.Base, builtins.ValueError ) Is a thing.",
        "make (n)",
        "Makes one.",
        "free (n) Needs none.",
        "size How large.",
        "kind = 'good'",
        "LIMIT = 1 << 4",
        "TABLE = {'a': 1}",
        "NAMES = {'b', 'a'}",
        "A. N. Other",
    ]:
        assert shown in text, shown
    for hidden in ("hidden_main", "Slow way", str(tmp_path)):
        assert hidden not in text


def test_no_path_of_this_machine_and_one_host_per_package(tmp_path: Path) -> None:
    crawl = write_docs_crawl(tmp_path, max_pages=300, pages_per_file=100, workers=2)
    pages = pages_of(tmp_path)
    assert crawl.num_pages == len(pages) == 300 - sum(crawl.failures.values())
    assert [path.name for path in crawl.files] == [f"docs-{i:05d}.warc.gz" for i in range(3)]
    assert sum(len(page.encode()) for page in pages.values()) == crawl.html_bytes
    assert len({url.split("/")[2] for url in pages}) == crawl.num_hosts
    assert not [url for url, page in pages.items() if f"file:{SHOWN_LIBRARY}" not in page]
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["num_pages"] == crawl.num_pages and summary["files"] == [path.name for path in crawl.files]


def test_same_bytes_for_any_number_of_workers(tmp_path: Path) -> None:
    seen: list[dict[str, object]] = []
    one = write_docs_crawl(tmp_path / "one", max_pages=120, workers=1, on_progress=seen.append)
    two = write_docs_crawl(tmp_path / "two", max_pages=120, workers=2)
    assert [path.read_bytes() for path in one.files] == [path.read_bytes() for path in two.files]
    assert seen[-1] == {"done": 120, "total": 120, "unit": "modules"} and len(seen) == 120


def test_a_smaller_crawl_leaves_no_stale_files(tmp_path: Path) -> None:
    site = tmp_path / "site"
    for name in "abcdef":
        write_module(site, f"{name}.py", f"'''{name}'''")
    for max_pages, num_files in ((6, 3), (2, 1)):
        crawl = write_docs_crawl(
            tmp_path / "out", max_pages, pages_per_file=2, workers=1, library=tmp_path / "none", sites=[site]
        )
        assert sorted((tmp_path / "out").glob("*.warc.gz")) == sorted(file.path for file in crawl.files)
        assert len(crawl.files) == num_files


def test_large_packages_are_sampled_small_ones_kept() -> None:
    names = [f"large.m{i}" for i in range(100)] + [f"small.m{i}" for i in range(3)] + ["single"]
    chosen = choose_modules(names, 20)
    assert len(chosen) == 20
    assert sum(name.startswith("small.") for name in chosen) == 3 and "single" in chosen
    assert choose_modules(list(reversed(names)), 20) == chosen
    assert set(choose_modules(names, 10)) < set(chosen)
    assert sorted(choose_modules(names, None)) == sorted(names)


def test_urls() -> None:
    assert page_url("json.decoder") == "https://json.docs.example/json.decoder.html"
    assert page_url("_weakref_set") == "https://weakref-set.docs.example/_weakref_set.html"


def test_nothing_found_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no Python modules"):
        write_docs_crawl(tmp_path / "out", library=tmp_path / "none", sites=[])
