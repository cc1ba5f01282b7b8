"""Speed of fastText scoring: our kernel compared with direct calls of the C++ library, on the same pages, in one
process.

    python bench/fasttext_scoring.py --golden web-dev.rules.jsonl.zst [docs-dev.rules.jsonl.zst ...]
        [--lid176 lid.176.ftz] [--words 4000000] [--repeats 7]

The quality model has the shape of DCLM's (two labels, bigrams, 2 million buckets, width 100) with random weights; its
dictionary holds the words of the pages and random words up to `--words` (DCLM's model: about 4 million, a file of 2.4
GB). Processor time of one thread, best of the repeats; the library gets prepared lines, while our kernel makes them
from the pages. Prints one JSON line at the end. (The script is not called fasttext.py, because it would then hide the
library.)
"""

import argparse
import collections
import io
import json
import os
import struct
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import fasttext
import numpy as np
import pyarrow as pa
import zstandard
from timing import best_seconds

from tamis.kernels.fasttext.classifier import TextClassifier
from tamis.kernels.text.decoding import views

DIM, BUCKETS = 100, 2_000_000
LOAD = """
import sys, time
from pathlib import Path
from tamis.kernels.fasttext.classifier import TextClassifier
import numpy as np
def megabytes(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1e3 for line in lines if line.startswith(name))
TextClassifier(open(sys.argv[2], "rb")).probabilities(np.zeros(8, np.uint8), np.array([0, 8]), True)
before = megabytes("VmHWM")
started = time.process_time()
model = TextClassifier(open(sys.argv[1], "rb"))
print(time.process_time() - started, before, megabytes("VmHWM"), megabytes("VmRSS"))
"""
COLD = """
import sys, time
import numpy as np
from tamis.kernels.fasttext.classifier import TextClassifier
started = time.perf_counter()
TextClassifier(open(sys.argv[1], "rb")).probabilities(np.zeros(8, np.uint8), np.array([0, 8]), True)
print(time.perf_counter() - started)
"""


def read_pages(paths: list[Path]) -> list[str]:
    pages = []
    for path in paths:
        with path.open("rb") as raw, zstandard.ZstdDecompressor().stream_reader(raw) as stream:
            pages += [json.loads(line)["text"] for line in io.TextIOWrapper(stream, "utf-8", newline="\n")]
    return pages


def write_model(path: Path, lines: list[str], num_words: int, dim: int, buckets: int) -> None:
    """A classifier of DCLM's shape: the words of `lines`, the most frequent first, others made up, random weights."""
    counts = collections.Counter(word for line in lines for word in line.encode().split())
    words = [b"</s>", *(word for word, _ in counts.most_common() if not word.startswith(b"__label__"))]
    words += [b"w%x" % (i * 2654435761) for i in range(num_words - len(words))]
    rng = np.random.default_rng(0)
    with path.open("wb") as file:
        file.write(struct.pack("<14id", 793712314, 12, dim, 5, 1, 1, 5, 2, 3, 3, buckets, 0, 0, 100, 1e-4))
        file.write(struct.pack("<iiiqq", len(words) + 2, len(words), 2, len(words), -1))
        file.write(b"".join(word + b"\0" + struct.pack("<qb", 1, 0) for word in words))
        file.write(b"".join(label + b"\0" + struct.pack("<qb", 1, 1) for label in (b"__label__hq", b"__label__cc")))
        num_rows = len(words) + buckets
        file.write(struct.pack("<?qq", False, num_rows, dim))
        for start in range(0, num_rows, 50_000):
            file.write(rng.standard_normal((min(50_000, num_rows - start), dim), np.float32).tobytes())
        file.write(struct.pack("<?qq", False, 2, dim) + rng.standard_normal((2, dim), np.float32).tobytes())


def compare(path: Path, lines: list[str], texts: pa.Array, is_page: bool, repeats: int) -> dict[str, float]:
    """MB/s of both, their ratio, and the largest difference between the probabilities of the likeliest label."""
    with path.open("rb") as file:
        ours, library = TextClassifier(file), fasttext.load_model(str(path))
    data, offsets = views(texts)
    megabytes = (offsets[-1] - offsets[0]) / 1e6
    seconds = best_seconds(lambda: ours.probabilities(data, offsets, is_page), repeats)
    library_seconds = best_seconds(lambda: library.predict(lines), min(3, repeats))
    labels, expected = library.predict(lines)
    found = ours.probabilities(data, offsets, is_page)
    at = [ours.labels.index(label) for (label,) in labels]
    return {
        "mb_per_second": round(megabytes / seconds, 1),
        "library_mb_per_second": round(megabytes / library_seconds, 1),
        "times_the_library": round(library_seconds / seconds, 2),
        "largest_difference": float(np.abs(found[np.arange(len(at)), at] - np.concatenate(expected)).max()),
    }


def run(code: str, *arguments: str, **environment: str) -> list[float]:
    """What a Python program prints, in a process of its own."""
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, check=True)
    return [float(number) for number in done.stdout.split()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--golden", type=Path, nargs="+", required=True)
    parser.add_argument("--lid176", type=Path, help="lid.176.ftz or lid.176.bin")
    parser.add_argument("--words", type=int, default=500_000, help="size of the dictionary")
    parser.add_argument("--repeats", type=int, default=7)
    arguments = parser.parse_args()
    pages = read_pages(arguments.golden)
    lines = [" ".join(page.strip().splitlines()) for page in pages]
    result: dict[str, Any] = {"bench": "fasttext_scoring", "pages": len(pages)}
    with tempfile.TemporaryDirectory() as folder:
        path, small = Path(folder, "quality.bin"), Path(folder, "small.bin")
        write_model(small, lines[:5], 100, 4, 10)
        result["cold_compile_seconds"] = round(run(COLD, str(small), NUMBA_CACHE_DIR=folder)[0], 1)
        write_model(path, lines, arguments.words, DIM, BUCKETS)
        seconds, before, peak, after = run(LOAD, str(path), str(small))
        result["model_mb"] = round(path.stat().st_size / 1e6)
        result["load_seconds"] = round(seconds, 2)
        result["resident_mb"] = {"before_loading": round(before), "peak": round(peak), "after": round(after)}
        result["quality"] = compare(path, lines, pa.array(pages, pa.string()), True, arguments.repeats)
    if arguments.lid176 is not None:
        result["lid176"] = compare(arguments.lid176, lines, pa.array(lines, pa.string()), False, arguments.repeats)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
