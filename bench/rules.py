"""Speed of the whole rule chain on recorded pages: megabytes of text per second of one core.

    python bench/rules.py --golden web-dev.rules.jsonl.zst [more ...] [--repeats 5] [--dclm CHECKOUT]

Times the filter stage (table `refinedweb`, without language and ban-lists), each kernel group and language detection by
themselves, and with --cold the compilation of the kernels. Processor time, best of the repeats. With --dclm, DCLM's own
mappers run once over the same pages in the same process (peers.py), and the ratio is given; with --datatrove its own
filters in FineWeb's order, against the filter stage with the table `fineweb`.
"""

import argparse
import io
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pyarrow as pa
import zstandard
from peers import NO_DATATROVE, datatrove_chain, dclm_chain, has_datatrove, seconds_of
from timing import best_seconds

from tamis.base.recipe import Recipe
from tamis.base.stage import StageContext
from tamis.kernels.rules import program
from tamis.kernels.rules.program import Program
from tamis.stages.filter.language import LangidDetector, detect_all
from tamis.stages.filter.programs import TablePrograms
from tamis.stages.filter.published import TABLES
from tamis.stages.filter.stage import build

GROUP_NAMES = {
    program.CHARACTERS: "characters", program.WORDS: "words", program.TOKENS: "tokens", program.LINES: "lines",
    program.REPETITION: "repetition",
}  # fmt: skip


def read_pages(paths: list[Path]) -> tuple[pa.Array, list[str]]:
    """Texts and URLs."""
    texts, urls = [], []
    for path in paths:
        with path.open("rb") as raw, zstandard.ZstdDecompressor().stream_reader(raw) as stream:
            for line in io.TextIOWrapper(stream, "utf-8", newline="\n"):
                page = json.loads(line)
                texts.append(page["text"])
                urls.append(page["url"])
    return pa.array(texts, pa.string()), urls


def stage_seconds(table: str, batch: pa.RecordBatch, repeats: int) -> float:
    """Processor time of the filter stage with one rule table, without language."""
    (stage,) = build({"rules": table, "keep_languages": []}, Recipe(name="bench", stages=[]))
    stage.open(StageContext(seed=0))
    return best_seconds(lambda: stage.apply(batch), repeats)


def cold_seconds() -> float:
    """Wall time of compiling every kernel into an empty cache, in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {"NUMBA_CACHE_DIR": folder}
        code = "import time; t = time.perf_counter(); from tamis import kernels; kernels.warm(['rules', 'language'])"
        code += "; print(time.perf_counter() - t)"
        done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    return float(done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--golden", type=Path, nargs="+", required=True)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--cold", action="store_true", help="also time the compilation of the kernels")
    parser.add_argument("--dclm", type=Path, help="a checkout of mlfoundations/dclm, timed on the same pages")
    parser.add_argument("--datatrove", action="store_true", help="time the installed datatrove on the same pages")
    arguments = parser.parse_args()
    texts, urls = read_pages(arguments.golden)
    megabytes = texts.nbytes / 1e6
    batch = pa.RecordBatch.from_pydict({"url": urls, "text": texts, "drop_reason": pa.nulls(len(texts), pa.string())})
    chain = stage_seconds("refinedweb", batch, arguments.repeats)
    rates = {"decode and copy": megabytes / best_seconds(lambda: Program().run(texts), arguments.repeats)}
    for group, name in GROUP_NAMES.items():
        measure = Program().measure(group)
        rates[name] = megabytes / best_seconds(lambda measure=measure: measure.run(texts), arguments.repeats)  # type: ignore[misc]
    phases = TablePrograms(TABLES["refinedweb"], paper=False).phases
    for name, phase in (("links and newlines", phases[0]), ("line edits and tokens", phases[-1])):
        rates[name] = megabytes / best_seconds(lambda phase=phase: phase.program.run(texts), arguments.repeats)  # type: ignore[misc]
    detector, pages = LangidDetector(), texts.to_pylist()
    rates["language"] = megabytes / best_seconds(lambda: detect_all(detector, pages), arguments.repeats)
    result: dict[str, object] = {
        "pages": len(texts),
        "megabytes": round(megabytes, 3),
        "chain_mb_per_second": round(megabytes / chain, 2),
        "alone_mb_per_second": {name: round(rate, 1) for name, rate in rates.items()},
    }
    if arguments.dclm:
        seconds = seconds_of(dclm_chain(arguments.dclm), pages)
        result |= {"dclm_mb_per_second": round(megabytes / seconds, 3), "times_dclm": round(seconds / chain)}
    if arguments.datatrove and has_datatrove():
        fineweb, seconds = stage_seconds("fineweb", batch, arguments.repeats), seconds_of(datatrove_chain(), pages)
        result |= {
            "fineweb_mb_per_second": round(megabytes / fineweb, 2),
            "datatrove_mb_per_second": round(megabytes / seconds, 3),
            "times_datatrove": round(seconds / fineweb),
        }
    elif arguments.datatrove:
        print(NO_DATATROVE, file=sys.stderr)
    if arguments.cold:
        result["cold_compile_seconds"] = round(cold_seconds(), 1)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
