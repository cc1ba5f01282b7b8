"""The pool leaves out records that it is told not to decode, and ends where it is told to, in every format."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tamis.base.recipe import Recipe
from tamis.base.stage import Reading
from tamis.stages.pool.stage import Pool, build
from tamis.store.warc_write import response_record, write_warc

TEXTS = ["first", "second", "third", "fourth"]


class Told(Reading):
    """Notes which records are asked for."""

    def __init__(self, unreadable: dict[int, str], end: int | None = None) -> None:
        self.unreadable, self.end, self.asked = unreadable, end, list[int]()

    def goes_on(self, number: int) -> bool:
        self.asked.append(number)
        return self.end is None or number < self.end


def write_pages(folder: Path) -> Path:
    pages = [
        response_record(f"http://a.org/{n}", f"<html>{text}".encode(), "text/html", "2024-01-01T00:00:00Z")
        for n, text in enumerate(TEXTS)
    ]
    write_warc(folder / "x.warc.gz", pages)
    return folder / "x.warc.gz"


def write_lines(folder: Path) -> Path:
    lines = [json.dumps({"text": text, "url": f"http://a.org/{n}"}) for n, text in enumerate(TEXTS)]
    (folder / "x.jsonl").write_text("\n\n".join(lines) + "\n")
    return folder / "x.jsonl"


def write_columns(folder: Path) -> Path:
    pq.write_table(
        pa.table({"text": TEXTS, "url": [f"http://a.org/{n}" for n in range(len(TEXTS))]}), folder / "x.parquet"
    )
    return folder / "x.parquet"


@pytest.fixture(params=[write_pages, write_lines, write_columns], ids=["warc", "jsonl", "parquet"])
def pool(request: pytest.FixtureRequest, tmp_path: Path) -> Pool:
    write: Callable[[Path], Path] = request.param
    return build({"inputs": [str(write(tmp_path))]}, Recipe.parse({"name": "x", "stages": []}, ""))


def rows(pool: Pool, reading: Reading) -> list[dict[str, Any]]:
    return [row for batch in pool.read(pool.shards()[0], reading) for row in batch.to_pylist()]


def test_a_record_that_is_not_to_be_decoded_is_a_row_with_that_error(pool: Pool) -> None:
    whole, told = rows(pool, Reading()), Told({2: "PoisonRowError: killed its process"})
    found = rows(pool, told)
    assert told.asked == [0, 1, 2, 3, 4]
    assert [row for n, row in enumerate(found) if n != 2] == [row for n, row in enumerate(whole) if n != 2]
    assert found[2]["error"].startswith("PoisonRowError: killed its process (")
    assert found[2]["content"] is None and found[2]["text"] is None


def test_it_ends_where_it_is_told_to(pool: Pool) -> None:
    told = Told({}, end=2)
    assert rows(pool, told) == rows(pool, Reading())[:2]
    assert told.asked == [0, 1, 2]
