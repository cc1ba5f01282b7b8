"""Detectors of a page's language, and what rules by language keep: accuracy, lost English pages, speed, kept pages.

`python bench/languages.py --warc FILE --truth FILE.jsonl` where each line of the truth has `url` and `lang`;
`--docs FILE --docs-truth FILE.jsonl` are pages of documentation; `--code FILE...` are English pages that are mostly
code, as those of the crawl of the demo (without it one is made here, which takes minutes). `--lid176 FILE` adds that
model. Texts are extracted as a recipe does, processor time counts, each detector reads all pages twice and the faster
reading counts. The last line is JSON.
"""

import argparse
import json
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa

from tamis.base import columns
from tamis.base.recipe import Recipe
from tamis.base.stage import Source, StageContext
from tamis.flow import compile_run, resolve
from tamis.stages.filter.detectors import HELIPORT, PY3LANGID, open_detector
from tamis.stages.filter.language import Detector, detect_all
from tamis.stages.filter.languages import Language, language_of
from tamis.stages.filter.stage import build
from tamis.store.location import Location

LEAST_SCORE = 0.65
Pages = list[tuple[str, str, str]]
"""(URL, text, language) of pages that have a text."""


def extracted(paths: list[Path], languages: dict[str, str] | None) -> Pages:
    """Pages with the language that `languages` gives to their URL; without it all are English."""
    raw = {"name": "x", "pool": {"inputs": [str(path) for path in paths]}, "stages": [{"extract": {}}]}
    plan = compile_run("languages", resolve(raw)).plan
    source, extract = (step.stage for step in plan.passes[0].steps)
    assert isinstance(source, Source)
    source.open(StageContext(seed=0))
    extract.open(StageContext(seed=0))
    pages: Pages = []
    for shard in plan.shards:
        for batch in source.read(shard):
            texts = extract.apply(batch)  # type: ignore[attr-defined]
            for url, text in zip(texts["url"].to_pylist(), texts["text"].to_pylist(), strict=True):
                language = "en" if languages is None else languages.get(url)
                if text and language:
                    pages.append((url, text, language))
    return pages


def truth(path: Path) -> dict[str, str]:
    """URL -> language."""
    lines = map(json.loads, path.read_text("utf-8").splitlines())
    return {line["url"]: line["lang"] for line in lines}


def same(label: str, wanted: str) -> bool:
    """Whether a detector's label is the language wanted; a label for Malay includes Indonesian, as heliport's does."""
    if (found := language_of(label)) is None:
        return False
    names = {Language("zsm"): ("ms", "id")}.get(found, (label,))
    return any(language_of(name) == language_of(wanted) for name in names)


def measured(detector: Detector, pages: Pages) -> dict[str, Any]:
    """Accuracy by language, and the English pages that a recipe for English loses: in another language, or unsure."""
    texts = [text for _, text, _ in pages]
    seconds = []
    for _ in range(2):
        started = time.process_time()
        labels, scores = detect_all(detector, texts)
        seconds.append(time.process_time() - started)
    right = [same(label, wanted) for label, (_, _, wanted) in zip(labels, pages, strict=True)]
    of = Counter(wanted for _, _, wanted in pages)
    found = Counter(wanted for (_, _, wanted), good in zip(pages, right, strict=True) if good)
    english = [i for i, (_, _, wanted) in enumerate(pages) if wanted == "en"]
    wrong = sum(not right[i] for i in english)
    unsure = sum(right[i] and scores[i] <= LEAST_SCORE for i in english)
    return {
        "accuracy": round(sum(right) / len(pages), 4),
        "by_language": {language: f"{found[language]}/{number}" for language, number in of.most_common()},
        "english_wrong": round(wrong / max(len(english), 1), 4),
        "english_unsure": round(unsure / max(len(english), 1), 4),
        "mb_per_second": round(sum(len(text.encode()) for text in texts) / 1e6 / min(seconds), 1),
    }


def kept(pages: Pages, rules: str, by_language: bool) -> dict[str, str]:
    """Language -> how many of its pages the rule table keeps."""
    settings = {"rules": rules, "keep_languages": ["any"], "by_language": by_language}
    stage = build(settings, Recipe(name="languages", stages=[]))[0]
    stage.open(StageContext(seed=0))
    arrays: dict[str, pa.Array] = {field.name: pa.nulls(len(pages), field.type) for field in columns.POOL_SCHEMA}
    arrays["url"] = pa.array([url for url, _, _ in pages], arrays["url"].type)
    arrays["text"] = pa.array([text for _, text, _ in pages], arrays["text"].type)
    arrays["drop_reason"] = arrays["error"] = pa.nulls(len(pages), pa.string())
    out = stage.apply(pa.RecordBatch.from_pydict(arrays))  # type: ignore[attr-defined]
    of, stays = Counter[str](), Counter[str]()
    for (_, _, language), reason in zip(pages, out["drop_reason"].to_pylist(), strict=True):
        of[language] += 1
        stays[language] += reason is None
    return {language: f"{stays[language]}/{number}" for language, number in of.most_common()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--warc", type=Path, required=True)
    parser.add_argument("--truth", type=Path, required=True)
    parser.add_argument("--docs", type=Path)
    parser.add_argument("--docs-truth", type=Path)
    parser.add_argument("--code", type=Path, nargs="+")
    parser.add_argument("--pages", type=int, default=4000, help="of the crawl that is made without --code")
    parser.add_argument("--lid176", type=Path)
    options = parser.parse_args()
    sets = {"web": extracted([options.warc], truth(options.truth))}
    if options.docs:
        sets["docs"] = extracted([options.docs], truth(options.docs_truth))
    with tempfile.TemporaryDirectory() as place:
        from tamis.documentation.crawl import write_docs_crawl

        if options.code is None:
            write_docs_crawl(Path(place), max_pages=options.pages)
        sets["code"] = extracted(options.code or sorted(Path(place).glob("*.warc.gz")), None)
    openers: dict[str, Callable[[], Detector]] = {
        name: lambda name=name: open_detector(name, None, paper=False)  # type: ignore[misc]
        for name in (PY3LANGID, HELIPORT)
    }
    if options.lid176:
        openers["lid.176"] = lambda: open_detector("lid.176", Location(options.lid176), paper=False)
    result: dict[str, Any] = {"bench": "languages", "pages": {name: len(pages) for name, pages in sets.items()}}
    for name, opener in openers.items():
        detector = opener()
        detect_all(detector, ["warm up"])
        result[name] = {data: measured(detector, pages) for data, pages in sets.items()}
    result["kept"] = {
        rules: {"published": kept(sets["web"], rules, False), "by_language": kept(sets["web"], rules, True)}
        for rules in ("refinedweb", "gopher", "c4", "fineweb")
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
