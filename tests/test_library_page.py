"""Every example of docs/library.md, run from top to bottom as one reader would type them."""

import json
import re
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tamis.commands import Session, run_recipe
from tamis.flow import compile_run, resolve
from tamis.stages.quality.positives import python_topics
from tamis.stages.tokenize.bpe import train_tokenizer
from tamis.store.location import Location
from tamis.store.workspace import open_workspace

PAGE = Path(__file__).parents[1] / "docs" / "library.md"
MOST_LINES = 5


def examples() -> list[str]:
    return re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def write_files(folder: Path) -> None:
    prose = [text for text in python_topics() if len(text.split()) > 150][:12]
    texts = [*prose, prose[0], prose[1].replace(" the ", " the very ", 1), "Menu", f"{prose[2]} Ask anna@example.com."]
    rows = [{"url": f"https://a.example/{n}", "text": text, "year": 1990 + n} for n, text in enumerate(texts)]
    pq.write_table(pa.Table.from_pylist(rows), folder / "pages.parquet")
    (folder / "tokenizer.json").write_bytes(train_tokenizer(prose, 300))
    (folder / "pool.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    session = Session(workspace=open_workspace(Location(folder / "runs")), num_workers=1, on_event=lambda event: None)
    raw = {"name": "my-run", "stages": ["filter", {"dedup": {"method": "exact"}}]}
    run_recipe(session, compile_run("my-run", resolve(raw, [str(folder / "pool.jsonl")])))


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], str]:
    """The names that a reader has at the end, and all that was printed."""
    folder = tmp_path_factory.mktemp("reader")
    write_files(folder)
    names: dict[str, Any] = {}
    with pytest.MonkeyPatch.context() as patch, (folder / "printed.txt").open("w+") as printed:
        patch.chdir(folder)
        patch.setattr(sys, "stdout", printed)
        for example in examples():
            if example.startswith("def "):
                (folder / "mine.py").write_text(example)
            else:
                exec(compile(example, str(PAGE), "exec"), names)
        printed.seek(0)
        return names, printed.read()


def test_the_examples_are_short_and_ten_at_least() -> None:
    found = [example for example in examples() if "tamis." in example]
    assert len(found) >= 12
    for example in found:
        assert len([line for line in example.splitlines() if line]) <= MOST_LINES, example


def test_the_examples_do_what_they_say(reader: tuple[dict[str, Any], str]) -> None:
    names, printed = reader
    assert names["text"] == "The harbour opens at nine."
    assert 10 <= len(names["good"]) < 16 == len(names["pages"]) == len(names["scored"])
    assert names["pairs"]["duplicate_of"][12] == 0 and names["pairs"]["duplicate_of"][13] == 1
    assert len(names["unique"]) == 15 and len(names["by_url"]) == 16 and len(names["shorter"]) < 16
    assert len(names["best"]) == 10 and names["masked"]["num_email_masked"].sum() == 1
    assert names["tokens"]["num_tokens"].min() > 1
    assert len(names["recent"]) == 6
    assert names["kept"].columns.tolist() == ["url", "text"]
    assert names["lengths"].height == len(names["kept"]) == names["again"].num_rows
    for words in ("'language': 'de'", "Write to email@example.com.", "near_duplicate", "drop_reason", "02_filter"):
        assert words in printed, words
