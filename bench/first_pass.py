"""The first pass over a crawl, compared with its lower bound: a bare FastWARC + resiliparse loop on the same pages.

    python bench/first_pass.py [--warc crawl/*.warc.gz] [--pages 2000] [--rounds 5] [--languages en]

Three columns, timed in turns in one process, by processor time of all its threads:

    bare         FastWARC's iterator over response records; body decoded as UTF-8 (invalid bytes replaced, so that every
                 page is extracted, as ours does); resiliparse's main content. Nothing is kept.
    to text      pool + extract, batch by batch, nothing kept. Budget: at least 0.9 times the speed of `bare`.
    first pass   the runner's task: pool, extract, filter (table `refinedweb`, language), removed rows, the Parquet
                 shards of texts and of what was kept, records. Budget: at most 1.4 times the time of `bare`.

Beside them: the same loop with `detect_encoding` in place of UTF-8, and the filter by itself. Ratios are medians of the
ratios within rounds. With --dclm and --datatrove, peers' own code once on the same files. Without --warc, a crawl of
this machine's Python documentation is written first.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
from fastwarc.warc import ArchiveIterator, WarcRecordType
from peers import first_passes
from resiliparse.extract.html2text import extract_plain_text
from resiliparse.parse.encoding import bytes_to_str, detect_encoding

from tamis.base.recipe import Recipe
from tamis.base.stage import Stage, StageContext
from tamis.flow import compile_run, resolve
from tamis.runner.calls import DirectCalls, Heartbeat, Opened
from tamis.runner.task import Task, run_task
from tamis.store.location import Location
from tamis.store.workspace import Workspace


def bare_loop(paths: list[Path], decode: Callable[[bytes], str]) -> tuple[int, int]:
    """Pages extracted and bytes of their HTML."""
    pages = size = 0
    for path in paths:
        with path.open("rb") as raw:
            for record in ArchiveIterator(raw, record_types=WarcRecordType.response):
                html = record.reader.read()
                extract_plain_text(decode(html), main_content=True)
                pages += 1
                size += len(html)
    return pages, size


def as_utf8(html: bytes) -> str:
    try:
        return html.decode()
    except UnicodeDecodeError:
        return html.decode(errors="replace")


def as_detected(html: bytes) -> str:
    return str(bytes_to_str(html, detect_encoding(html)))


class FirstPass:
    """Pool, extract and filter of one recipe, opened once; what a worker process of a run holds."""

    def __init__(self, paths: list[Path], languages: list[str]) -> None:
        stages: list[Any] = [{"extract": {}}, {"filter": {"rules": "refinedweb", "keep_languages": languages}}]
        raw = {"name": "first-pass", "pool": {"inputs": [str(path) for path in paths]}, "stages": stages}
        self.recipe: Recipe = Recipe.parse(raw, "")
        self.plan = compile_run("first-pass", resolve(raw)).plan
        self.cache: Opened = {}
        self.source, self.extract, self.filter = (step.stage for step in self.plan.passes[0].steps)
        for stage in (self.source, self.extract, self.filter):
            stage.open(StageContext(seed=0))
        self.cache = {step.fingerprint: step.stage for step in self.plan.passes[0].steps}

    def texts(self) -> int:
        """WARC to text; returns the rows."""
        return sum(batch.num_rows for batch in self._text_batches())

    def _text_batches(self) -> Any:
        for shard in self.plan.shards:
            for batch in self.source.read(shard):  # type: ignore[attr-defined]
                yield self.extract.apply(batch)  # type: ignore[attr-defined]

    def text_batches(self) -> list[pa.RecordBatch]:
        """Extracted batches whose pages have text, as the filter gets them."""
        return [batch.filter(pa.compute.is_null(batch["drop_reason"])) for batch in self._text_batches()]

    def run(self) -> int:
        """Every task of the pass into a fresh workspace; returns the rows."""
        with tempfile.TemporaryDirectory() as place:
            workspace = Workspace(Location(place))
            tasks = [Task(plan=self.plan, workspace=workspace, number=1, index=i) for i in range(len(self.plan.shards))]
            calls = [DirectCalls(task.place, self.cache) for task in tasks]
            return sum(run_task(task, each, Heartbeat())["rows"] for task, each in zip(tasks, calls, strict=True))


def in_turns(work: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Processor seconds of each, `rounds` times in turns, after one turn that is not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in work}
    for number in range(rounds + 1):
        for name in sorted(work, reverse=number % 2 == 0):
            started = time.process_time()
            work[name]()
            if number:
                seconds[name].append(time.process_time() - started)
    return seconds


def measure(paths: list[Path], rounds: int, languages: list[str]) -> dict[str, Any]:
    first = FirstPass(paths, languages)
    batches = first.text_batches()
    stage: Stage = first.filter
    seconds = in_turns(
        {
            "bare": lambda: bare_loop(paths, as_utf8),
            "bare_detect": lambda: bare_loop(paths, as_detected),
            "to_text": first.texts,
            "filter": lambda: [stage.apply(batch) for batch in batches],  # type: ignore[attr-defined]
            "first_pass": first.run,
        },
        rounds,
    )
    pages, size = bare_loop(paths, as_utf8)

    def ratio(above: str, below: str) -> float:
        return round(statistics.median(a / b for a, b in zip(seconds[above], seconds[below], strict=True)), 3)

    return {
        "bench": "first_pass", "pages": pages, "html_mb": round(size / 1e6, 1), "files": len(paths), "rounds": rounds,
        "seconds": {name: round(statistics.median(values), 3) for name, values in seconds.items()},
        "bare_pages_per_second": round(pages / statistics.median(seconds["bare"])),
        "to_text_speed_over_bare": ratio("bare", "to_text"), "to_text_budget": 0.9,
        "to_text_speed_over_bare_detect": ratio("bare_detect", "to_text"),
        "first_pass_time_over_bare": ratio("first_pass", "bare"), "first_pass_budget": 1.4,
        "load_average": round(os.getloadavg()[0], 1),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--warc", type=Path, nargs="+", help="default: a crawl of Python documentation, made here")
    parser.add_argument("--pages", type=int, default=2000, help="of the crawl that is made")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--languages", default="en", help="kept languages, parted by commas; '' = detect none")
    parser.add_argument("--dclm", type=Path, help="a checkout of mlfoundations/dclm: its extraction and mappers, once")
    parser.add_argument(
        "--datatrove", action="store_true", help="the installed datatrove's extraction and filters, once"
    )
    options = parser.parse_args()
    languages = [name for name in options.languages.split(",") if name]
    with tempfile.TemporaryDirectory() as place:
        paths = options.warc
        if paths is None:
            from tamis.documentation.crawl import write_docs_crawl

            write_docs_crawl(Path(place), max_pages=options.pages)
            paths = sorted(Path(place).glob("*.warc.gz"))
        result = measure(paths, options.rounds, languages)
        if options.dclm or options.datatrove:
            ours = result["seconds"]["first_pass"]
            peers = first_passes(paths, options.dclm, options.datatrove)
            result["peers"] = {name: {"seconds": round(s, 2), "times": round(s / ours, 1)} for name, s in peers.items()}
        print(json.dumps(result))


if __name__ == "__main__":
    main()
