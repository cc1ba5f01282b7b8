"""MinHash compared with other libraries on the same documents: milliseconds per document, and the pairs that are found.

    python bench/minhash.py --docs FILE.jsonl.zst [--datasketch] [--datatrove] [--rensa] [--fastsketch]
                            [--bands 14] [--rows 8] [--seeds 5]
    python bench/minhash.py --memory 1000000

Time: processor time from 300 texts to band keys, best of three. Pairs: with FILE.pairs.jsonl and FILE.truth.jsonl
beside the documents, the share of pairs that have a band in common, by exact Jaccard similarity and by kind of copy,
averaged over seeds, beside the prediction of the S-curve for these similarities, and for those with our definition of a
word. datasketch gets our words, so that hash functions are compared; datatrove runs its whole signature step (with
spaCy's tokeniser). --memory: peak growth of decide and combine in fresh processes over stored sketches of that many
documents, and size of the sketches, beside what `cost` predicts. The last line printed is one JSON object.
"""

import argparse
import io
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import zstandard
from dedup_peers import fastsketch_sketches, rensa_sketches

from tamis.base.stage import Corpus, StageContext
from tamis.kernels.reference.text.ngrams import words_of
from tamis.runner.jobs import StoredSketches
from tamis.stages.dedup.minhash import (
    DECIDE_BYTES,
    READING_BYTES,
    MinHashConfig,
    MinHashDedup,
    combine_bytes,
    match_probability,
)
from tamis.store.rundir import StageDir
from tamis.store.shards import ShardWriter

BINS = [0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]
Keys = Callable[[list[str], int], np.ndarray]


def opened(bands: int, rows: int, seed: int) -> MinHashDedup:
    stage = MinHashDedup(MinHashConfig(bands=bands, rows=rows, verify="none"))
    stage.open(StageContext(seed=seed))
    return stage


def tamis_keys(bands: int, rows: int) -> Keys:
    def keys(texts: list[str], seed: int) -> np.ndarray:
        found = opened(bands, rows, seed).keys(pa.array(texts))
        return np.stack([column.to_numpy(zero_copy_only=False) for column in found.values()], axis=1)

    return keys


def datasketch_keys(bands: int, rows: int) -> Keys:
    """Its MinHash; bands as its MinHashLSH cuts them."""
    from datasketch import MinHash

    def keys(texts: list[str], seed: int) -> np.ndarray:
        out = []
        for text in texts:
            words = [word for word in words_of(text) if word]
            sketch = MinHash(num_perm=bands * rows, seed=seed + 1)
            sketch.update_batch([" ".join(words[i : i + 5]).encode() for i in range(max(1, len(words) - 4))])
            out.append([hash(sketch.hashvalues[b * rows : (b + 1) * rows].tobytes()) for b in range(bands)])
        return np.array(out)

    return keys


def datatrove_keys(bands: int, rows: int) -> Keys:
    """Its signature step, without its files."""
    from datatrove.pipeline.dedup.minhash import MinhashConfig, MinhashDedupSignature

    def keys(texts: list[str], seed: int) -> np.ndarray:
        config = MinhashConfig(num_buckets=bands, hashes_per_bucket=rows, seed=seed + 1)
        step = MinhashDedupSignature(tempfile.gettempdir(), config)
        out = []
        for text in texts:
            shingles = step.get_shingles(text)
            bands_of = step.get_signature(shingles) if shingles.size else [[hash(text)]] * bands
            out.append([hash(tuple(band)) for band in bands_of])
        return np.array(out)

    return keys


def rensa_keys(texts: list[str], seed: int) -> np.ndarray:
    """14 x 8 values of rensa's RMinHash, from strings."""
    return np.array(rensa_sketches(texts), np.uint64)


def fastsketch_keys(texts: list[str], seed: int) -> np.ndarray:
    """128 values of FastSketchLSH's fast similarity sketch, from strings."""
    return np.array(fastsketch_sketches(texts), np.uint64)


def milliseconds(keys: Keys, texts: list[str]) -> float:
    keys(texts[:20], 0)
    times = []
    for _ in range(3):
        begin = time.process_time()
        keys(texts, 0)
        times.append(time.process_time() - begin)
    return 1000 * min(times) / len(texts)


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    with path.open("rb") as handle:
        stream = zstandard.ZstdDecompressor().stream_reader(handle) if path.suffix == ".zst" else handle
        return [json.loads(line) for line in io.TextIOWrapper(stream, encoding="utf-8")]


def groups_of_pairs(docs: Path) -> dict[str, tuple[list[tuple[str, str]], np.ndarray]]:
    """Name -> pairs of ids and their exact similarities: by similarity over all pairs, by kind against the base."""
    stem = docs.name.removesuffix(".zst").removesuffix(".jsonl")
    found: dict[str, list[tuple[str, str, float]]] = {}
    for pair in read_jsonl(docs.with_name(f"{stem}.pairs.jsonl")):
        place = int(np.searchsorted(BINS, pair["jaccard5"], "right")) - 1
        if place >= 0:
            name = f"J {BINS[place]:.1f}" + ("-" + f"{BINS[place + 1]:.1f}" if place + 1 < len(BINS) else "")
            found.setdefault(name, []).append((pair["a"], pair["b"], pair["jaccard5"]))
    for row in read_jsonl(docs.with_name(f"{stem}.truth.jsonl")):
        if row["base_id"] and row["jaccard5"] is not None:
            rate = "" if row["rate"] is None else f" {row['rate']:g}"
            found.setdefault(row["kind"] + rate, []).append((row["id"], row["base_id"], row["jaccard5"]))
    return {n: ([(a, b) for a, b, _ in v], np.array([j for _, _, j in v])) for n, v in sorted(found.items())}


def compare_recall(docs: Path, methods: dict[str, Keys], seeds: dict[str, int], bands: int, rows: int) -> list[Any]:
    documents = read_jsonl(docs)
    place = {document["id"]: i for i, document in enumerate(documents)}
    texts = [document["text"] for document in documents]
    drawn = {name: [keys(texts, seed) for seed in range(seeds[name])] for name, keys in methods.items()}
    table = []
    stage = opened(bands, rows, 0)
    column = pa.array(texts)
    for name, (pairs, jaccard) in groups_of_pairs(docs).items():
        left, right = (np.array([place[pair[side]] for pair in pairs]) for side in (0, 1))
        own = stage.likeness(column.take(pa.array(left)), column.take(pa.array(right)))
        row: dict[str, Any] = {"pairs": name, "number": len(pairs), "jaccard": round(float(jaccard.mean()), 3)}
        row["s_curve"] = round(float(match_probability(jaccard, bands, rows).mean()), 3)
        row["s_curve_of_our_words"] = round(float(match_probability(own, bands, rows).mean()), 3)
        for method, keys in drawn.items():
            row[method] = round(float(np.mean([(k[left] == k[right]).any(axis=1).mean() for k in keys])), 3)
        table.append(row)
        print(" ".join(f"{key} {value}" for key, value in row.items()))
    return table


def write_sketches(stage: MinHashDedup, folder: StageDir, number: int) -> int:
    """Sketches of `number` documents, a fifth of which share most keys with another, in shards of 50,000."""
    rng = np.random.default_rng(0)
    (folder.root / "sketches").mkdir()
    keys = rng.integers(0, 2**64, (stage.config.bands, number), np.uint64)
    copies = np.flatnonzero(rng.random(number) < 0.2)
    origins = rng.integers(0, number, len(copies))
    for band in keys:
        shared = rng.random(len(copies)) < 0.7
        band[copies[shared]] = band[origins[shared]]
    for shard, start in enumerate(range(0, number, 50_000)):
        size = min(50_000, number - start)
        lines = {f"band_{b:02d}": keys[b, start : start + size] for b in range(stage.config.bands)}
        ids = pa.array([rng.bytes(16).hex() for _ in range(size)])
        table = pa.table(lines | {"id": ids, "row": np.arange(size), "shard": np.full(size, shard, np.int32)})
        with ShardWriter(folder.sketch(shard), table.schema) as out:
            for batch in table.to_batches(1024):
                out.write(batch)
    return sum(path.stat().st_size for path in (folder.root / "sketches").iterdir())


def measure_memory(number: int, bands: int, rows: int, num_parts: int) -> dict[str, Any]:
    """Bytes of sketches, of one decision and of combining, and those predicted."""
    stage = MinHashDedup(MinHashConfig(bands=bands, rows=rows, num_parts=num_parts, verify="none"))
    cost = stage.cost(Corpus(num_documents=number, text_bytes=500 * number))
    with tempfile.TemporaryDirectory() as scratch:
        sketch_bytes = write_sketches(stage, StageDir(Path(scratch)), number)
        found = {"sketch_bytes": sketch_bytes, "predicted_sketch_bytes": cost.sketch_bytes}
        for part in ("decide", "combine"):
            arguments = [part, scratch, str(number), str(bands), str(num_parts)]
            script = [sys.executable, __file__, "--grow", *arguments]
            out = subprocess.run(script, capture_output=True, text=True, check=True).stdout
            found |= {f"{part}_{name}": value for name, value in json.loads(out.splitlines()[-1]).items()}
        predicted = combine_bytes(number, found.pop("combine_members"), found.pop("combine_links"))
    share = -(-number // num_parts)
    found["predicted_decide_bytes"] = DECIDE_BYTES * share + READING_BYTES
    return found | {"predicted_combine_bytes": predicted, "cost_memory_bytes": cost.memory_bytes}


def grow(part: str, folder: str, number: str, bands: str, num_parts: str) -> None:
    """In a fresh process: do one part, print by how many bytes the resident set grew at most, and the seconds."""
    import pyarrow.parquet as pq

    stage = MinHashDedup(MinHashConfig(bands=int(bands), num_parts=int(num_parts), verify="none"))
    context = StageContext(seed=0)
    stage.open(context)
    where = StageDir(Path(folder))
    sketches = StoredSketches(where, -(-int(number) // 50_000), where)
    np.argsort(next(iter(sketches.batches(["band_00"], [0]))).column(0).to_numpy())
    pq.read_table(where.sketch(0), columns=["row"])
    Path("/proc/self/clear_refs").write_text("5")
    before = status_bytes("VmRSS")
    begin = time.perf_counter()
    if part == "decide":
        (where.root / "decisions").mkdir()
        pq.write_table(stage.decide(0, sketches, context), where.decisions(0), compression="zstd")
        grown = status_bytes("VmHWM") - before
        answer = {"bytes": grown, "seconds": round(time.perf_counter() - begin, 2)}
        for bucket in range(1, stage.num_buckets):
            pq.write_table(stage.decide(bucket, sketches, context), where.decisions(bucket), compression="zstd")
    else:
        found = [pq.read_table(where.decisions(bucket)) for bucket in range(stage.num_buckets)]
        table = stage.combine(found, sketches, context)
        pq.write_table(table, where.combined, compression="zstd")
        answer = {"bytes": status_bytes("VmHWM") - before, "seconds": round(time.perf_counter() - begin, 2)}
        answer |= {"members": table.num_rows, "links": json.loads(table.schema.metadata[b"details"])["edges"]}
    print(json.dumps(answer))


def status_bytes(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{field}:"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--docs", type=Path)
    parser.add_argument("--datasketch", action="store_true")
    parser.add_argument("--datatrove", action="store_true")
    parser.add_argument("--rensa", action="store_true", help="time alone, from strings")
    parser.add_argument("--fastsketch", action="store_true", help="time alone, from strings")
    parser.add_argument("--bands", type=int, default=14)
    parser.add_argument("--rows", type=int, default=8)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--memory", type=int, metavar="DOCUMENTS")
    parser.add_argument("--num-parts", type=int, default=1)
    parser.add_argument("--grow", nargs=5, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.grow:
        return grow(*options.grow)
    shape = options.bands, options.rows
    result: dict[str, Any] = {"bench": "minhash", "bands": options.bands, "rows": options.rows}
    if options.docs:
        methods, seeds = {"tamis": tamis_keys(*shape)}, {"tamis": 4 * options.seeds}
        for name, make in (("datasketch", datasketch_keys), ("datatrove", datatrove_keys)):
            if getattr(options, name):
                methods[name], seeds[name] = make(*shape), options.seeds
        timed = methods | {
            name: keys
            for name, keys in (("rensa", rensa_keys), ("fastsketch", fastsketch_keys))
            if getattr(options, name)
        }
        texts = [document["text"] for document in read_jsonl(options.docs)]
        result["mean_words"] = round(sum(len(text.split()) for text in texts[:300]) / len(texts[:300]))
        result["milliseconds"] = {
            name: round(milliseconds(keys, texts if name == "tamis" else texts[:300]), 4)
            for name, keys in timed.items()
        }
        result["recall"] = compare_recall(options.docs, methods, seeds, *shape)
    if options.memory:
        result["memory"] = measure_memory(options.memory, *shape, options.num_parts)
    print(json.dumps(result))
    return None


if __name__ == "__main__":
    main()
