"""Semantic deduplication on documents with known near-duplicates: recall and wrong removals by eps, and the cost.

    python bench/semantic.py --folder DUPS --embedder MODEL [--sketch FILE]
    python bench/semantic.py --memory 300000

The first embeds `DUPS/dups-dev.jsonl.zst` (or takes the embeddings of an earlier run from FILE) and compares decisions
with `dups-dev.truth.jsonl` and `dups-dev.pairs.jsonl`. The second decides on random embeddings of that many documents
in a process of its own and compares memory and disk with what the stage predicts. The last line is one JSON object.
"""

import argparse
import io
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

from tamis.base.stage import Corpus, Sketches, StageContext
from tamis.stages.dedup.semantic.stage import SemanticConfig, SemanticDedup
from tamis.stages.dedup.semantic.vectors import quantize, to_columns
from tamis.store.shards import ShardWriter, read_row_groups

EPS = (0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3)
CONTEXT = StageContext(seed=0)
MADE_UP_DIMENSIONS = 384


class OneFile(Sketches):
    """The sketch of one shard, as the runner stores it."""

    num_shards = 1

    def __init__(self, path: Path) -> None:
        self._path, self.num_lines = path, pq.read_metadata(path).num_rows

    def batches(self, columns: Sequence[str], shards: Sequence[int] | None = None) -> Iterator[pa.RecordBatch]:
        yield from read_row_groups(self._path, columns)

    def schema(self, columns: Sequence[str]) -> pa.Schema:
        whole = pq.read_schema(self._path)
        return pa.schema([whole.field(name).remove_metadata() for name in columns])


def read_lines(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".zst":
        data = zstandard.ZstdDecompressor().stream_reader(path.open("rb"))
        return [json.loads(line) for line in io.TextIOWrapper(data, encoding="utf-8")]
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def write_sketch(stage: SemanticDedup, documents: list[dict[str, Any]], path: Path) -> float:
    """Embed and store; returns seconds of processor time per text."""
    stage.open(CONTEXT)
    writer, seconds, lines = None, 0.0, 0
    for start in range(0, len(documents), 100):
        part = documents[start : start + 100]
        batch = pa.RecordBatch.from_pydict({"id": [d["id"] for d in part], "text": [d["text"] for d in part]})
        began = time.process_time()
        table = stage.sketch(batch, pa.array(range(start, start + len(part)), pa.int64()))
        seconds += time.process_time() - began if start else 0  # the first batch loads the model
        lines += table.num_rows if start else 0
        table = table.append_column("shard", pa.array(np.zeros(table.num_rows, np.int32)))
        if writer is None:
            writer = ShardWriter(path, table.schema).__enter__()
        for one in table.to_batches():
            writer.write(one)
    assert writer is not None
    writer.__exit__(None, None, None)
    return seconds / lines


def judge(decided: dict[str, str | None], truth: list[dict[str, Any]], pairs: dict[frozenset[str], float]) -> Any:
    """Copies caught by kind and rate, others that went for a page of another cluster, and precision: by planted
    clusters alone, and counting pages right that overlap anyway (Jaccard similarity of word 5-grams 0.2 or more)."""
    cluster = {t["id"]: t["cluster"] for t in truth}
    stands_for = {one: other or one for one, other in decided.items()}
    caught: dict[str, list[bool]] = defaultdict(list)
    for t in truth:
        kind, one = t["kind"] + (f" {t['rate']:.0%}" if t["kind"] == "mutated" else ""), stands_for[t["id"]]
        if t["kind"] in ("exact", "mutated"):
            for_its_like = one != t["id"] and cluster[one] == t["cluster"]
            caught[kind].append(for_its_like or one == stands_for[t["base_id"]])
        else:
            caught[kind].append(cluster[one] != t["cluster"])
    gone = [(one, other) for one, other in decided.items() if other is not None]
    planted = [cluster[one] == cluster[other] for one, other in gone]
    overlap = [right or pairs.get(frozenset(pair), 0) >= 0.2 for right, pair in zip(planted, gone, strict=True)]
    shares = {kind: round(float(np.mean(hits)), 3) for kind, hits in sorted(caught.items())}
    return {"removed": len(gone), "precision": _share(planted), "precision_with_overlap": _share(overlap), **shares}


def _share(hits: list[bool]) -> float | None:
    return round(float(np.mean(hits)), 3) if hits else None


def decide(settings: dict[str, Any], sketches: Sketches) -> tuple[pa.Table, dict[str, Any], float]:
    stage = SemanticDedup(SemanticConfig(**settings))
    began = time.perf_counter()
    decided = stage.decide(0, sketches, CONTEXT)
    return decided, json.loads(decided.schema.metadata[b"details"]), time.perf_counter() - began


def quality(folder: Path, embedder: str, path: Path) -> dict[str, Any]:
    documents = read_lines(folder / "dups-dev.jsonl.zst")
    truth = read_lines(folder / "dups-dev.truth.jsonl")
    pairs = {frozenset((p["a"], p["b"])): p["jaccard5"] for p in read_lines(folder / "dups-dev.pairs.jsonl")}
    settings = {"embedder": embedder, "self_check": 0.1, "device": "cpu"}
    seconds = None
    if not path.exists():
        seconds = write_sketch(SemanticDedup(SemanticConfig(**settings)), documents, path)
    sketches = OneFile(path)
    results = []
    for keep, num_clusters in (("centroid", 1), ("first", 1), ("centroid", 40)):
        for eps in EPS:
            chosen = settings | {"eps": eps, "keep": keep, "num_clusters": num_clusters}
            decided, details, took = decide(chosen, sketches)
            by_row = dict(zip(decided["row"].to_pylist(), decided["duplicate_of"].to_pylist(), strict=True))
            verdicts = {document["id"]: by_row[row] for row, document in enumerate(documents)}
            found = {"eps": eps, "keep": keep, "clusters": num_clusters, **judge(verdicts, truth, pairs)}
            found["self_check"] = {line["rate"]: line["recall"] for line in details["self_check"]}
            results.append(found | {"decide_seconds": round(took, 2)})
            print(json.dumps(results[-1]))
    return {"bench": "semantic", "embed_processor_seconds": seconds, "results": results}


def write_made_up(path: Path, count: int) -> None:
    """Embeddings in loose groups, a tenth of them near-copies; ids as a pool gives them."""
    rng = np.random.default_rng(0)
    centers = rng.standard_normal((count // 1000 + 1, MADE_UP_DIMENSIONS))
    writer = None
    for start in range(0, count, 10_000):
        size = min(10_000, count - start)
        values = centers[rng.integers(0, len(centers), size)] + rng.standard_normal((size, MADE_UP_DIMENSIONS))
        values[: size // 10] = values[size // 10 : 2 * (size // 10)] + 0.05 * values[-(size // 10) :]
        lines = {"id": [rng.bytes(16).hex() for _ in range(size)], "row": np.arange(start, start + size)}
        batch = pa.RecordBatch.from_pydict(to_columns(*quantize(values)) | lines | {"shard": np.zeros(size, np.int32)})
        if writer is None:
            writer = ShardWriter(path, batch.schema).__enter__()
        writer.write(batch)
    if writer is not None:
        writer.__exit__(None, None, None)


def memory(count: int) -> dict[str, Any]:
    """Growth of the peak resident set in a fresh process against `cost`."""
    results = []
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "sketch.parquet"
        write_made_up(path, count)
        for part_documents in (50_000, 200_000):
            command = [sys.executable, __file__, "--decide", str(path), "--part-documents", str(part_documents)]
            out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            results.append(json.loads(out.splitlines()[-1]))
            print(json.dumps(results[-1]))
        sketch_bytes = path.stat().st_size
    return {"bench": "semantic_memory", "documents": count, "sketch_bytes": sketch_bytes, "results": results}


def decide_apart(path: Path, part_documents: int) -> dict[str, Any]:
    sketches = OneFile(path)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    # A folder that says how long its embeddings are is all that the prediction needs of a model.
    (path.parent / "config.json").write_text(json.dumps({"hidden_size": MADE_UP_DIMENSIONS}))
    settings = {"embedder": str(path.parent), "part_documents": part_documents}
    began = time.process_time()
    _, details, _ = decide(settings, sketches)
    seconds = time.process_time() - began
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before
    cost = SemanticDedup(SemanticConfig(**settings)).cost(Corpus(num_documents=sketches.num_lines, text_bytes=0))
    return {
        "part_documents": part_documents,
        "processor_seconds": round(seconds, 1),
        "grown_bytes": grown,
        "predicted_bytes": cost.memory_bytes,
        "ratio": round(grown / cost.memory_bytes, 3),
        "sketch_ratio": round(path.stat().st_size / cost.sketch_bytes, 3),
        **{name: details[name] for name in ("clusters", "largest_cluster", "duplicates", "kmeans_iterations")},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--embedder", default="")
    parser.add_argument("--sketch", type=Path)
    parser.add_argument("--memory", type=int)
    parser.add_argument("--decide", type=Path)
    parser.add_argument("--part-documents", type=int, default=500_000)
    options = parser.parse_args()
    if options.decide:
        print(json.dumps(decide_apart(options.decide, options.part_documents)))
    elif options.memory:
        print(json.dumps(memory(options.memory)))
    else:
        with tempfile.TemporaryDirectory() as name:
            path = options.sketch or Path(name) / "sketch.parquet"
            print(json.dumps(quality(options.folder, options.embedder, path)))


if __name__ == "__main__":
    main()
