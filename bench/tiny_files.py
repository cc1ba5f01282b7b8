"""What a pool of many tiny files costs: time and files of the run folder for each input file.

    python bench/tiny_files.py [--files 8000] [--workers 2]

The pool is made first: `--files` WARC files of one page each, as one gets from a crawl that is stored page by page.
Then follow, as a user types them, a run that extracts, filters and removes exact copies and near-copies, a second run,
which has nothing to do, and a run on the pool with one file more. Budgets: at most 5 ms and one file of the run folder
for each file of the pool.
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tamis.store.warc_write import response_record, write_warc

RECIPE = """
name: tiny
stages:
  - extract: {engine: resiliparse}
  - filter: {rules: c4}
  - dedup: {method: exact}
  - dedup: {method: minhash}
"""
WORDS = ["garden", "of", "the", "village", "has", "many", "flowers", "and", "people", "walk", "there", "with", "dogs"]


def write_pool(folder: Path, num_files: int) -> None:
    """One page of 240 words per file; no two pages are alike."""
    for number in range(num_files):
        rng = random.Random(number)
        sentences = [" ".join(rng.choices(WORDS, k=12)).capitalize() + "." for _ in range(20)]
        body = f"<main><p>{' '.join(sentences)} Page {number}.</p></main>"
        page = f"<html><head><title>Page {number}</title></head><body>{body}</body></html>"
        record = response_record(
            f"https://site{number % 97}.example/{number}.html", page.encode(), "text/html; charset=utf-8",
            "2026-01-01T00:00:00Z",
        )  # fmt: skip
        write_warc(folder / f"{number % 50:02d}" / f"page-{number:06d}.warc.gz", [record])


def timed(command: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, check=True)
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=8000)
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tamis-bench-") as name:
        place = Path(name)
        write_pool(place / "pool", arguments.files)
        (place / "tiny.yaml").write_text(RECIPE)
        command = [
            sys.executable, "-m", "tamis", "run", str(place / "tiny.yaml"), "--pool", str(place / "pool"),
            "--workspace", str(place / "runs"), "--workers", str(arguments.workers), "--quiet",
        ]  # fmt: skip
        first, second = timed(command), timed(command)
        num_files = sum(path.is_file() for path in (place / "runs").rglob("*"))
        write_pool(place / "more", arguments.files + 1)
        (place / "pool").rename(place / "old")
        (place / "more").rename(place / "pool")
        grown = timed(command)
    print(json.dumps({
        "files": arguments.files, "workers": arguments.workers,
        "seconds": round(first, 1), "ms_per_file": round(1000 * first / arguments.files, 2),
        "second_run_seconds": round(second, 2), "grown_by_one_seconds": round(grown, 1),
        "run_files_per_file": round(num_files / arguments.files, 3),
    }))  # fmt: skip


if __name__ == "__main__":
    main()
