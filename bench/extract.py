"""Compares extraction engines on pages whose text is known: word F1, segments kept and dropped, pages per CPU second.

    python bench/extract.py --warc web.warc.gz --truth web.truth.jsonl [--engines resiliparse,trafilatura] [--json]

The truth is JSON lines with `url`, `with` and `without` (segments to keep and to drop), `body` and `source`. Scores are
the usual ones of the field: precision, recall and F1 of the multiset of words against the article text, averaged over
pages, and the share of segments kept and dropped. Speed is CPU time in one process; the engines take turns on the same
few pages, so that a busy machine slows all of them equally.
"""

import argparse
import json
import re
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from tamis.base.errors import ConfigError, DataError
from tamis.base.words import squeeze
from tamis.stages.extract.encoding import decode_html
from tamis.stages.extract.engines import ENGINES, ExtractionEngine, check_engine, engine_for
from tamis.store.warc import read_documents

ALL_TEXT = "resiliparse-all"
"""Resiliparse without main-content extraction, beside the engines' own names."""
PROGRAM_SOURCES = ("readability",)
"""Sources of truth whose `body` is an extractor's output that a person accepted: they do not count in the headline."""
_TURN_PAGES = 16

_WORD = re.compile(r"\w+")


class Page(NamedTuple):
    """One page of the ground truth: decoded HTML, segments to keep and to drop, article text ('' when unknown)."""

    url: str
    html: str
    keep: list[str]
    drop: list[str]
    body: str
    source: str


def load_pages(warc: Path, truth: Path, limit: int | None = None) -> list[Page]:
    """Pages of `warc` that `truth` (JSON lines with url, with, without, body, source) knows, in its order.

    Raises ConfigError when a file does not exist, DataError when no page is in both.
    """
    for path in (warc, truth):
        if not path.is_file():
            raise ConfigError(f"{path}: no such file. Give a WARC file with --warc and its ground truth with --truth.")
    html = {
        document.url: decode_html(document.content, document.content_type or "").text
        for document in read_documents(lambda: warc.open("rb"), Counter())
        if document.content is not None
    }
    pages = []
    with truth.open(encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            if row["url"] in html:
                body, source = row.get("body") or "", row.get("source") or ""
                pages.append(Page(row["url"], html[row["url"]], row["with"], row["without"], body, source))
    if not pages:
        raise DataError(f"{truth}: none of its pages is in {warc}")
    return pages[:limit]


def word_scores(text: str, body: str) -> tuple[float, float, float]:
    """Precision, recall and F1 of the multiset of words of `text` against those of `body`; 0 where undefined."""
    ours, truth = Counter(_WORD.findall(text)), Counter(_WORD.findall(body))
    shared = (ours & truth).total()
    if not shared:
        return 0.0, 0.0, 0.0
    precision, recall = shared / ours.total(), shared / truth.total()
    return precision, recall, 2 * precision * recall / (precision + recall)


def quality(texts: Sequence[str], pages: Sequence[Page]) -> dict[str, float]:
    """Scores of the texts of the pages, in their order.

    `f1`, `precision`, `recall` are means over pages with a human article text, `f1_all_bodies` over all with one;
    `kept` and `dropped` are shares of segments, pooled over pages. Absent where no page has that kind of truth.
    """
    words = [(word_scores(text, page.body), page.source) for text, page in zip(texts, pages, strict=True) if page.body]
    human = [scores for scores, source in words if source not in PROGRAM_SOURCES]
    out = {}
    for i, name in enumerate(("precision", "recall", "f1")):
        if human:
            out[name] = sum(scores[i] for scores in human) / len(human)
    if words:
        out["f1_all_bodies"] = sum(scores[2] for scores, _ in words) / len(words)
    squeezed = [squeeze(text) for text in texts]
    kept = [squeeze(part) in text for text, page in zip(squeezed, pages, strict=True) for part in page.keep]
    dropped = [squeeze(part) not in text for text, page in zip(squeezed, pages, strict=True) for part in page.drop]
    if kept:
        out["kept"] = sum(kept) / len(kept)
    if dropped:
        out["dropped"] = sum(dropped) / len(dropped)
    return out


def installed_engines() -> list[str]:
    """Every engine that can run here, and resiliparse's whole text beside them."""
    return [*(name for name in ENGINES if _is_installed(name)), ALL_TEXT]


def _is_installed(name: str) -> bool:
    try:
        check_engine(name, main_content=True, markdown=False)
    except ConfigError:
        return False
    return True


def _make(name: str) -> ExtractionEngine:
    return engine_for("resiliparse", False, False) if name == ALL_TEXT else engine_for(name, True, False)


def compare(
    warc: Path, truth: Path, engines: Sequence[str], limit: int | None = None, rounds: int = 3
) -> list[dict[str, Any]]:
    """One row per engine: `quality`, `pages`, `pages_per_second` (median of rounds) and `best_pages_per_second`.

    `engines` are names of `ENGINES` or `ALL_TEXT`. Raises ConfigError for one that is not installed.
    """
    made = {name: _make(name) for name in engines}
    pages = load_pages(warc, truth, limit)
    for engine in made.values():
        engine.extract(pages[0].html)  # Imports and compilation happen here.
    texts: dict[str, list[str]] = {name: [] for name in made}
    seconds = {name: [0.0] * rounds for name in made}
    for number in range(rounds):
        for start in range(0, len(pages), _TURN_PAGES):
            turn = [page.html for page in pages[start : start + _TURN_PAGES]]
            for name, engine in made.items():
                begin = time.process_time()
                out = [engine.extract(html) for html in turn]
                seconds[name][number] += time.process_time() - begin
                if number == 0:
                    texts[name] += out
    return [
        {
            "engine": name,
            "pages": len(pages),
            **{key: round(value, 4) for key, value in quality(texts[name], pages).items()},
            "pages_per_second": round(len(pages) / median(seconds[name]), 1),
            "best_pages_per_second": round(len(pages) / min(seconds[name]), 1),
        }
        for name in made
    ]


_COLUMNS = ("precision", "recall", "f1", "f1_all_bodies", "kept", "dropped", "pages_per_second")


def format_table(rows: Sequence[dict[str, Any]]) -> str:
    """The rows as a Markdown table; speeds are also given as a ratio to resiliparse where it was measured."""
    base = next((row["pages_per_second"] for row in rows if row["engine"] == "resiliparse"), None)
    head = ["engine", *(name.replace("_", " ") for name in _COLUMNS), "of resiliparse"]
    lines = [head, ["---"] * len(head)]
    for row in rows:
        cells = [row["engine"]]
        for name in _COLUMNS:
            value = row.get(name)
            cells.append("" if value is None else f"{value:.0f}" if name == "pages_per_second" else f"{value:.3f}")
        cells.append(f"{row['pages_per_second'] / base:.2f}" if base else "")
        lines.append(cells)
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--warc", type=Path, required=True, help="the pages")
    parser.add_argument("--truth", type=Path, required=True, help="what a good extraction of them holds, as JSON lines")
    parser.add_argument("--engines", default="", help="names separated by commas; all that are installed by default")
    parser.add_argument("--limit", type=int, help="use only the first so many pages")
    parser.add_argument("--rounds", type=int, default=3, help="how often each engine is timed")
    parser.add_argument("--json", action="store_true", help="print a JSON list instead of a table")
    options = parser.parse_args()
    engines = [name.strip() for name in options.engines.split(",") if name.strip()] or installed_engines()
    rows = compare(options.warc, options.truth, engines, options.limit, options.rounds)
    print(json.dumps(rows, indent=2) if options.json else format_table(rows))


if __name__ == "__main__":
    main()
