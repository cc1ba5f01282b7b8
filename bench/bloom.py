"""Speed, memory and disk of `dedup` with `method: bloom` (DCLM's BFF): megabytes of text per second of one core.

    python bench/bloom.py --documents dups-dev.jsonl.zst [more ...] [--copies 4] [--repeats 3] [--dolma PYTHON]

Each document is used `copies` times with its letters shifted along the alphabet, so that the copies have the same
length and repetition and share no n-gram. The script times each step separately (processor time, best of the repeats),
measures the false-positive rate and what cost() predicts, and with --dolma runs Dolma's deduper on the same documents
(gzip JSONL in, attributes out, one process) with that Python, in which the package dolma must be installed. The last
line is JSON.
"""

import argparse
import io
import json
import string
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import zstandard
from dedup_peers import run_dolma
from timing import best_seconds

from tamis.base.stage import Corpus, Sketches, StageContext
from tamis.kernels.dedup.bloom import find_all, insert_all
from tamis.kernels.text.uax_tokens import uax_tokens
from tamis.stages.dedup.bloom.filter import size_filter
from tamis.stages.dedup.bloom.stage import BloomConfig, BloomDedup
from tamis.store.shards import ShardWriter, read_row_groups

BATCH_ROWS = 1024


def read_documents(paths: list[Path], copies: int) -> list[list[str]]:
    """The texts, one list per shifted copy."""
    texts = []
    for path in paths:
        with path.open("rb") as raw, zstandard.ZstdDecompressor().stream_reader(raw) as stream:
            texts += [json.loads(line)["text"] for line in io.TextIOWrapper(stream, "utf-8", newline="\n")]
    letters = string.ascii_lowercase
    shifts = [str.maketrans(letters, letters[shift:] + letters[:shift]) for shift in range(copies)]
    return [[text.translate(shift) for text in texts] for shift in shifts]


def batches(texts: list[str]) -> Iterator[tuple[pa.RecordBatch, pa.Array]]:
    """Batches as the runner makes them, and the rows of their documents."""
    for start in range(0, len(texts), BATCH_ROWS):
        part = pa.array(texts[start : start + BATCH_ROWS], pa.string())
        rows = pa.array(range(start, start + len(part)), pa.int64())
        reasons = pa.nulls(len(part), pa.string())
        yield pa.RecordBatch.from_arrays([part, reasons], ["text", "drop_reason"]), rows


class FileSketches(Sketches):
    """Sketch files of a folder, as the runner stores them."""

    def __init__(self, folder: Path) -> None:
        self._paths = sorted(folder.glob("*.parquet"))
        self.num_shards, self.num_lines = len(self._paths), 0

    def batches(self, columns: Sequence[str], shards: Sequence[int] | None = None) -> Iterator[pa.RecordBatch]:
        for index in range(self.num_shards) if shards is None else shards:
            yield from read_row_groups(self._paths[index], columns)

    def schema(self, columns: Sequence[str]) -> pa.Schema:
        raise NotImplementedError


def store_sketches(folder: Path, sketches: list[list[pa.Table]]) -> int:
    """Write each shard's sketches; bytes on disk."""
    for shard, tables in enumerate(sketches):
        lines = [t.append_column("shard", pa.array(np.full(t.num_rows, shard, np.int32))) for t in tables]
        with ShardWriter(folder / f"{shard:05}.parquet", lines[0].schema) as writer:
            for table in lines:
                for batch in table.combine_chunks().to_batches():
                    writer.write(batch)
    return sum(path.stat().st_size for path in folder.glob("*.parquet"))


def decide_alone(folder: Path, settings: dict[str, object]) -> None:
    """In a process of its own: growth of the peak resident set while deciding, in bytes."""
    stage = BloomDedup(BloomConfig.parse(settings, "dedup"))
    stage.open(StageContext(seed=0))
    (batch, rows), *_ = batches(["one two three " * 20, "one two three " * 20])
    lines = stage.sketch(batch, rows)
    with tempfile.TemporaryDirectory() as small:
        store_sketches(Path(small), [[lines]])
        stage.decide(0, FileSketches(Path(small)), StageContext(seed=0))
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    before = peak_bytes()
    stage.decide(0, FileSketches(folder), StageContext(seed=0))
    print(peak_bytes() - before)


def peak_bytes() -> int:
    """Peak resident set of this process (Linux)."""
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
    return 1024 * int(line.split()[1])


def measure(copies: list[list[str]], mode: str, folder: Path, repeats: int) -> dict[str, object]:
    """Speed of each part, and truth against prediction."""
    settings = {"mode": mode}
    stage = BloomDedup(BloomConfig.parse(settings, "dedup"))
    stage.open(StageContext(seed=0))
    shards = [list(batches(texts)) for texts in copies]
    text_bytes = sum(pc.sum(pc.binary_length(b.column("text"))).as_py() for part in shards for b, _ in part)
    sketches = [[stage.sketch(*one) for one in part] for part in shards]
    seconds = {"sketch": best_seconds(lambda: [stage.sketch(*one) for part in shards for one in part], repeats)}
    sketch_bytes = store_sketches(folder, sketches)
    seconds["store"] = best_seconds(lambda: store_sketches(folder, sketches), repeats)
    decided = stage.decide(0, FileSketches(folder), StageContext(seed=0))
    seconds["decide"] = best_seconds(lambda: stage.decide(0, FileSketches(folder), StageContext(seed=0)), repeats)
    parts = [decided.filter(pc.equal(decided["shard"], shard)) for shard in range(len(shards))]
    work = [(batch, rows, part) for shard, part in zip(shards, parts, strict=True) for batch, rows in shard]
    seconds["mark"] = best_seconds(lambda: [stage.mark(*one) for one in work], repeats)
    marked = pa.Table.from_batches([stage.mark(*one) for one in work])
    command = [sys.executable, __file__, "--decide", str(folder), json.dumps(settings)]
    memory = int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    corpus = Corpus(num_documents=sum(map(len, copies)), text_bytes=text_bytes)
    cost = stage.cost(corpus)
    details = json.loads(decided.schema.metadata[b"details"])
    return {
        "mb_per_second": {name: round(text_bytes / 1e6 / spent) for name, spent in seconds.items()},
        "whole_mb_per_second": round(text_bytes / 1e6 / sum(seconds.values()), 1),
        "ngrams_per_byte": round(details["num_ngrams"] / text_bytes, 4),
        "removed_documents": pc.sum(pc.is_valid(marked["drop_reason"])).as_py(),
        "sketch_bytes": {"measured": sketch_bytes, "predicted": cost.sketch_bytes},
        "memory_bytes": {"measured": memory, "predicted": cost.memory_bytes, "filter": details["filter_bytes"]},
    }


def false_positives(num_ngrams: int, fp_rate: float) -> dict[str, float]:
    """Rate on as many unseen random n-grams after `num_ngrams` went in, and nanoseconds per look-up and insertion."""
    rng = np.random.default_rng(0)
    shape = size_filter(num_ngrams, fp_rate)
    seen, unseen = (rng.integers(0, 1 << 64, num_ngrams, np.uint64) for _ in range(2))
    table, found = shape.empty(), np.empty(num_ngrams, np.bool_)
    insertion = best_seconds(lambda: insert_all(table, seen, shape.per_word), 2)
    lookup = best_seconds(lambda: find_all(table, unseen, shape.per_word, found), 2)
    return {
        "fp_rate": fp_rate,
        "measured": float(found.mean()),
        "bits_per_ngram": round(8 * shape.num_bytes / num_ngrams, 2),
        "insert_ns": round(1e9 * insertion / num_ngrams, 1),
        "lookup_ns": round(1e9 * lookup / num_ngrams, 1),
    }


def dolma_rate(python: Path, copies: list[list[str]], num_ngrams: int, folder: Path) -> float:
    """Megabytes of text per second of processor time of Dolma's deduper, n-grams of 13 words, threshold 0.8."""
    seconds = run_dolma(python, copies, num_ngrams, folder)
    return sum(len(text.encode()) for texts in copies for text in texts) / 1e6 / seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=Path, nargs="+", default=[])
    parser.add_argument("--copies", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--modes", nargs="+", default=["old-both", "document", "substring"])
    parser.add_argument("--dolma", type=Path, help="a Python in which dolma is installed")
    parser.add_argument("--decide", nargs=2, metavar=("FOLDER", "SETTINGS"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.decide:
        decide_alone(Path(arguments.decide[0]), json.loads(arguments.decide[1]))
        return
    copies = read_documents(arguments.documents, arguments.copies)
    flat = pa.array([text for texts in copies for text in texts], pa.large_string())
    megabytes = pc.sum(pc.binary_length(flat)).as_py() / 1e6
    result: dict[str, object] = {"bench": "bloom", "documents": len(flat), "megabytes": round(megabytes, 1)}
    result["tokens_mb_per_second"] = round(megabytes / best_seconds(lambda: uax_tokens(flat), arguments.repeats))
    for mode in arguments.modes:
        with tempfile.TemporaryDirectory() as folder:
            result[mode] = measure(copies, mode, Path(folder), arguments.repeats)
            print(json.dumps({mode: result[mode]}), file=sys.stderr)
    result["filter"] = [false_positives(20_000_000, fp_rate) for fp_rate in (0.01, 1e-4)]
    if arguments.dolma:
        with tempfile.TemporaryDirectory() as folder:
            rate = dolma_rate(arguments.dolma, copies, int(0.2 * megabytes * 1e6), Path(folder))
            result["dolma_mb_per_second"] = round(rate, 1)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
