"""Peak memory of a whole pass over one large JSONL file: pool, extract, filter, dedup's sketch, Parquet out.

Usage: python bench/memory.py [--gigabytes 1.0]. The file is written to a temporary folder and curated by `tamis run`
with one worker; the peaks are the resident sets (ru_maxrss) of the worker and of the command itself. Budget: 1,000 MB.
The last line printed is one JSON object.
"""

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tamis.store.rundir import RunDir

DOCS = Path(__file__).parents[1] / "docs"


def write_input(path: Path, num_bytes: int) -> int:
    """A JSONL file of DCLM-like records of varied length, words drawn from the documentation; returns their number."""
    words = [word for page in sorted(DOCS.glob("*.md")) for word in page.read_text().split() if word.isalpha()]
    rng = random.Random(0)
    count = written = 0
    with path.open("w") as out:
        while written < num_bytes:
            chosen = rng.choices(words, k=60 + 37 * count % 900)
            text = "\n".join(" ".join(chosen[start : start + 12]) + "." for start in range(0, len(chosen), 12))
            url = f"https://host{count % 5000}.org/{count}"
            record = {"text": text, "url": url, "metadata": {"WARC-Record-ID": f"<urn:uuid:{count}>"}}
            written += out.write(json.dumps(record) + "\n")
            count += 1
    return count


def measure_run(path: Path, output: Path) -> dict[str, float]:
    """Curate the file up to dedup's decision; rows and peaks in megabytes."""
    settings = ["--set", "filter.keep_languages=[]", "--set", "pool.holdout_fraction=0.05", "--until", "dedup"]
    command = [
        "-m",
        "tamis",
        "run",
        "dclm-baseline",
        "--pool",
        str(path),
        "--workspace",
        str(output),
        "-w",
        "1",
        "-q",
        *settings,
    ]
    begin = time.perf_counter()
    subprocess.run([sys.executable, *command], stdout=subprocess.DEVNULL, check=True)
    seconds = time.perf_counter() - begin
    run = RunDir(f"{output}/dclm-baseline")
    events, card = run.read_events(), run.cards()[0][1]
    assert card.accounting is not None
    return {
        "rows": card.accounting.rows_in,
        "seconds": round(seconds, 1),
        "worker_peak_megabytes": round(max(e.get("peak_memory_bytes", 0) for e in events) / 2**20),
        "command_peak_megabytes": round(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gigabytes", type=float, default=1.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "large.jsonl"
        num_records = write_input(path, int(options.gigabytes * 1e9))
        result = measure_run(path, Path(folder) / "run")
        assert result["rows"] == num_records
        print(json.dumps({"bench": "memory", "input_megabytes": round(path.stat().st_size / 1e6), **result}))


if __name__ == "__main__":
    main()
