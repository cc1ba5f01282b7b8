"""Peak memory of streaming a large JSONL file through the pool.

Usage: python bench/memory.py [--gigabytes 1.0]. The file is written to a temporary folder; the pass runs in a
process of its own and reports its peak resident set (ru_maxrss). The last line printed is one JSON object.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SENTENCE = "the quick brown fox jumps over a lazy dog while rivers carry old stones towards distant seas"


def write_input(path: Path, num_bytes: int) -> int:
    """A JSONL file of DCLM-like records of varied length; returns the number of records."""
    words = SENTENCE.split()
    count = written = 0
    with path.open("w") as out:
        while written < num_bytes:
            text = " ".join(words[(count * 7 + i * (1 + count % 5)) % len(words)] for i in range(50 + 37 * count % 900))
            url = f"https://host{count % 5000}.org/{count}"
            record = {"text": text, "url": url, "metadata": {"WARC-Record-ID": f"<urn:uuid:{count}>"}}
            written += out.write(json.dumps(record) + "\n")
            count += 1
    return count


def measure_pool(path: str) -> dict[str, float]:
    """Stream the file through Pool.read alone."""
    from tamis.base.recipe import Recipe
    from tamis.stages.pool.stage import build

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    begin = time.perf_counter()
    pool = build({"inputs": [path], "holdout_fraction": 0.05}, Recipe(name="memory", stages=[]))
    rows = sum(batch.num_rows for shard in pool.shards() for batch in pool.read(shard))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "rows": rows,
        "seconds": round(time.perf_counter() - begin, 1),
        "start_megabytes": round(before / 1024),
        "peak_megabytes": round(peak / 1024),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gigabytes", type=float, default=1.0)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(measure_pool(options.child)))
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "large.jsonl"
        num_records = write_input(path, int(options.gigabytes * 1e9))
        child = subprocess.run(
            [sys.executable, __file__, "--child", str(path)], stdout=subprocess.PIPE, text=True, check=True
        )
        result = json.loads(child.stdout.splitlines()[-1])
        assert result["rows"] == num_records
        print(json.dumps({"bench": "memory", "input_megabytes": round(path.stat().st_size / 1e6), **result}))


if __name__ == "__main__":
    main()
