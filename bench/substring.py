"""Speed and memory of substring deduplication, both algorithms, sketch to mark.

    python bench/substring.py --pages pages.jsonl.zst [--copies 4] [--parts 4] [--repeats 3]

The corpus consists of the given records `{id, text}` and of variants of them in which every 30th word is replaced, so
that nearly all windows differ. Sketches are stored on disk as in a run. Each decision is made in a process of its own,
with loaded kernels. Measured are processor time, and the growth of the resident set to its peak, beside the prediction
of `cost`. The last line printed is one JSON object.
"""

import argparse
import json
import multiprocessing
import re
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from rules import read_pages
from timing import best_seconds

from tamis.base.recipe import Recipe
from tamis.base.stage import Corpus, Group, StageContext
from tamis.runner.jobs import StoredSketches
from tamis.stages.dedup.stage import build
from tamis.store.rundir import StageDir
from tamis.store.shards import ShardWriter

CONTEXT = StageContext(seed=0)
BATCH_ROWS = 1024


def stage(**given: Any) -> Group:
    (built,) = build({"method": "substring", **given}, Recipe(name="bench", stages=[]))
    assert isinstance(built, Group)
    built.open(CONTEXT)
    return built


def variant(text: str, number: int) -> str:
    """`text` with every 30th word another one; itself for 0."""
    if number == 0:
        return text
    words = re.split(r"(\s+)", text)
    words[::60] = [f"{word}v{number}" for word in words[::60]]
    return "".join(words)


def to_batches(texts: list[str]) -> list[pa.RecordBatch]:
    batches = []
    for start in range(0, len(texts), BATCH_ROWS):
        part = texts[start : start + BATCH_ROWS]
        names = [f"{start + i:x}" for i in range(len(part))]
        batches.append(
            pa.RecordBatch.from_pydict(
                {"id": pa.array(names), "text": pa.array(part), "drop_reason": pa.nulls(len(part), pa.string())}
            )
        )
    return batches


def row_numbers(batches: list[pa.RecordBatch]) -> list[pa.Array]:
    ends = np.cumsum([batch.num_rows for batch in batches])
    return [pa.array(np.arange(end - batch.num_rows, end)) for end, batch in zip(ends, batches, strict=True)]


def store_sketches(group: Group, shards: list[list[pa.RecordBatch]], folder: StageDir) -> int:
    """Write one sketch file per shard as a run does; returns bytes."""
    for index, batches in enumerate(shards):
        folder.sketch(index).parent.mkdir(parents=True, exist_ok=True)
        writer = None
        for batch, rows in zip(batches, row_numbers(batches), strict=True):
            table = group.sketch(batch, rows)
            table = table.append_column("shard", pa.array(np.full(table.num_rows, index, np.int32)))
            if writer is None:
                writer = ShardWriter(folder.sketch(index), table.schema).__enter__()
            for part in table.to_batches():
                writer.write(part)
        assert writer is not None
        writer.__exit__(None, None, None)
    return sum(folder.sketch(index).stat().st_size for index in range(len(shards)))


def _status(field: str) -> int:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) * 1024


def _measured(given: dict[str, Any], root: Path, num_shards: int, warm: Path, queue: Any) -> None:
    """Decide bucket 0, and with one bucket combine, after a decision on one small shard that loads the kernels."""
    group = stage(**given)
    group.combine(
        [group.decide(0, StoredSketches(StageDir(warm), 1), CONTEXT)], StoredSketches(StageDir(warm), 1), CONTEXT
    )
    Path("/proc/self/clear_refs").write_text("5")
    before, started = _status("VmRSS"), time.process_time()
    sketches = StoredSketches(StageDir(root), num_shards)
    found = group.decide(0, sketches, CONTEXT)
    seconds, peak = time.process_time() - started, _status("VmHWM") - before
    started = time.process_time()
    combined = group.combine([found], sketches, CONTEXT)
    combine_peak = _status("VmHWM") - before
    queue.put(
        (
            seconds,
            time.process_time() - started,
            peak,
            combine_peak,
            found.num_rows,
            combined if group.num_buckets == 1 else None,
        )
    )


def measure(given: dict[str, Any], root: Path, num_shards: int, warm: Path) -> tuple[Any, ...]:
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    process = context.Process(target=_measured, args=(given, root, num_shards, warm, queue))
    process.start()
    answer = queue.get()
    process.join()
    return tuple(answer)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pages", type=Path, required=True)
    parser.add_argument("--copies", type=int, default=4)
    parser.add_argument("--parts", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    pages = read_pages([options.pages])[0].to_pylist()
    shards = [to_batches([variant(text, number) for text in pages]) for number in range(options.copies)]
    text_bytes = sum(len(text.encode()) for text in pages)
    whole_bytes = sum(batch.column("text").nbytes for batches in shards for batch in batches)
    corpus = Corpus(num_documents=len(pages) * options.copies, text_bytes=whole_bytes)
    group, result = stage(), dict[str, Any](text_megabytes=round(whole_bytes / 1e6))
    with tempfile.TemporaryDirectory() as folder:
        root, warm = Path(folder) / "whole", Path(folder) / "warm"
        store_sketches(group, [shards[0][:1]], StageDir(warm))
        plain = store_sketches(group, [shards[0]], StageDir(Path(folder) / "plain"))
        predicted = group.cost(Corpus(num_documents=len(pages), text_bytes=text_bytes))
        assert predicted is not None
        result["sketch_bytes_measured_over_predicted"] = round(plain / predicted.sketch_bytes, 3)
        store_sketches(group, shards, StageDir(root))
        rows = row_numbers(shards[0])
        sketch = best_seconds(
            lambda: [group.sketch(batch, row) for batch, row in zip(shards[0], rows, strict=True)], options.repeats
        )
        result["sketch_megabytes_per_second"] = round(text_bytes / 1e6 / sketch, 1)
        for name, given in {
            "rolling": {},
            "rolling_keep_none": {"keep": "none"},
            f"rolling_{options.parts}_parts": {"num_parts": options.parts},
            "suffix_array": {"algorithm": "suffix_array"},
        }.items():
            seconds, combine, peak, combine_peak, ranges, decided = measure(given, root, options.copies, warm)
            cost = stage(**given).cost(corpus)
            assert cost is not None
            result[name] = {
                "decide_megabytes_per_second": round(whole_bytes / 1e6 / seconds, 1),
                "combine_seconds": round(combine, 2),
                "memory_megabytes": round(peak / 2**20),
                "memory_with_combine_megabytes": round(combine_peak / 2**20),
                "predicted_megabytes": round(cost.memory_bytes / 2**20),
                "ranges": ranges,
            }
            if name == "rolling":
                result["mark_megabytes_per_second"] = mark_speed(group, shards[0], decided, options.repeats)
            print(json.dumps(result))


def mark_speed(group: Group, batches: list[pa.RecordBatch], decided: pa.Table, repeats: int) -> float:
    first = decided.filter(pa.compute.equal(decided["shard"], 0))
    rows = row_numbers(batches)
    seconds = best_seconds(
        lambda: [group.mark(batch, row, first) for batch, row in zip(batches, rows, strict=True)], repeats
    )
    return round(sum(batch.column("text").nbytes for batch in batches) / 1e6 / seconds, 1)


if __name__ == "__main__":
    main()
