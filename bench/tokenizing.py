"""How fast documents become finished token shards on one core, beside `encode_batch` of the library `tokenizers`.

    python bench/tokenize.py --docs FILE --tokenizer tokenizer.json [--repeats 3] [--random-words MEGABYTES]

FILE: JSON lines (also .gz, .zst), Parquet with a column `text`, or a plain text, which is cut into documents of about
4,000 characters at ends of lines. The documents are stored as a shard first. Ours: reading that shard, the stage
`tokenize` with all that it compares, writing and syncing the token shard, and the digests of its files. Theirs:
`encode_batch` alone, on strings that are in memory. Processor time, best of the repeats; every repeat begins with a
tokenizer that has just been loaded, which takes `seconds_to_open` once per worker. `ids_equal`: whether the files
are those that the stage makes with `engine: tokenizers`, byte by byte. --random-words: growth of the process over a
stream of words that never come again. The last line printed is one JSON object.
"""

import argparse
import gzip
import json
import os
import random
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

from tamis.base import columns
from tamis.base.recipe import Recipe
from tamis.base.stage import StageContext
from tamis.stages.tokenize import checks, engines
from tamis.stages.tokenize.stage import Tokenize, build
from tamis.store.location import Location
from tamis.store.shards import ShardWriter, file_digest, read_shard
from tamis.store.system import peak_memory_bytes, resident_bytes
from tamis.store.tokens import TokenShardWriter

BATCH_ROWS = 1024
TEXT_CHARACTERS = 4000


def read_texts(path: Path) -> list[str]:
    if path.suffix == ".parquet":
        return [str(text) for text in pq.read_table(path, columns=["text"])["text"].to_pylist()]
    data = path.read_bytes()
    if path.suffix == ".zst":
        data = zstandard.ZstdDecompressor().decompressobj().decompress(data)
    if path.suffix == ".gz":
        data = gzip.decompress(data)
    if ".jsonl" in path.name or ".json" in path.name:
        return [orjson.loads(line)["text"] for line in data.splitlines() if line.strip()]
    texts = [""]
    for line in data.decode("utf-8", "replace").splitlines(keepends=True):
        if len(texts[-1]) + len(line) > TEXT_CHARACTERS and texts[-1]:
            texts.append("")
        texts[-1] += line
    return texts


def store(texts: list[str], place: Path) -> None:
    schema = pa.schema([(columns.ID, pa.string()), (columns.TEXT, pa.string())])
    with ShardWriter(Location(place), schema) as shard:
        for start in range(0, len(texts), BATCH_ROWS):
            part = texts[start : start + BATCH_ROWS]
            ids = [f"{start + index:032x}" for index in range(len(part))]
            shard.write(pa.record_batch([ids, pa.array(part, pa.string())], schema=schema))


def opened(tokenizer: Path, engine: str) -> Tokenize:
    settings: dict[str, object] = {"tokenizer": str(tokenizer), "engine": engine}
    [stage] = build(settings, Recipe(name="x", stages=[]))
    assert isinstance(stage, Tokenize)
    measure = partial(resident_bytes, "self")
    stage.open(StageContext(seed=0, assets={"tokenizer": Location(tokenizer)}, resident_bytes=measure))
    return stage


class Clock:
    """Processor seconds by kind of work."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def time(self, kind: str, work: Callable[[], Any]) -> Any:
        begin = time.process_time()
        try:
            return work()
        finally:
            self.seconds[kind] = self.seconds.get(kind, 0.0) + time.process_time() - begin

    def wrap(self, owner: Any, name: str, kind: str) -> Callable[[], None]:
        """Measure a function of a module until the function that is returned is called."""
        real = getattr(owner, name)
        setattr(owner, name, lambda *arguments: self.time(kind, lambda: real(*arguments)))
        return lambda: setattr(owner, name, real)


def make_shard(shard: Path, stage: Tokenize, folder: Path, clock: Clock) -> str:
    """The token shard of `shard` in `folder`. Returns what made it."""
    place, engine = Location(folder / "00000.bin"), ""
    batches: Iterator[pa.RecordBatch] = iter(read_shard(Location(shard), batch_rows=BATCH_ROWS))
    with TokenShardWriter(place) as writer:
        while (batch := clock.time("read", lambda: next(batches, None))) is not None:
            done = clock.time("tokenize", lambda batch=batch: stage.apply(batch))
            engine = done.schema.field(columns.TOKEN_IDS).metadata[columns.ENGINE_KEY].decode()
            clock.time("write", lambda done=done: writer.write(done))
    clock.time("digests", lambda: [file_digest(file) for file in (place, place.with_suffix(".offsets"))])
    return engine


def measure_ours(shard: Path, tokenizer: Path, folder: Path, repeats: int, num_bytes: int) -> dict[str, Any]:
    best: dict[str, Any] = {}
    for _ in range(repeats):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        begin = time.process_time()
        stage = opened(tokenizer, "auto")
        opening, clock = time.process_time() - begin, Clock()
        from tamis.stages.tokenize import stage as module

        restore = clock.wrap(module, "difference_from", "of which comparing")
        begin = time.process_time()
        engine = make_shard(shard, stage, folder, clock)
        seconds = time.process_time() - begin
        restore()
        if not best or num_bytes / seconds / 1e6 > best["mb_per_second"]:
            parts = {kind: round(1e9 * part / num_bytes, 3) for kind, part in clock.seconds.items()}
            best = {
                "engine": engine, "mb_per_second": num_bytes / seconds / 1e6, "milliseconds_per_mb": parts,
                "seconds_to_open": round(opening, 2),
            }  # fmt: skip
    return best


def measure_theirs(texts: list[str], stage: Tokenize, repeats: int, num_bytes: int) -> float:
    """Megabytes per second of `encode_batch` alone."""
    tokenizer, best = stage._reference.tokenizer, 0.0
    for _ in range(repeats):
        begin = time.process_time()
        for start in range(0, len(texts), BATCH_ROWS):
            tokenizer.encode_batch(texts[start : start + BATCH_ROWS], add_special_tokens=False)
        best = max(best, num_bytes / (time.process_time() - begin) / 1e6)
    return best


def files_equal(one: Path, other: Path) -> bool:
    names = sorted(file.name for file in one.iterdir())
    same = [(one / name).read_bytes() == (other / name).read_bytes() for name in names]
    return names == sorted(file.name for file in other.iterdir()) and all(same)


def measure_memory(tokenizer: Path, megabytes: int) -> dict[str, Any]:
    """Random words of five to twelve letters, with and without the bound."""
    rng, found = np.random.default_rng(0), {}
    for name, bound in (("bounded", engines.MOST_MEMORY_BYTES), ("unbounded", 1 << 60)):
        engines.MOST_MEMORY_BYTES = bound
        stage = opened(tokenizer, "gigatoken")
        before, peak = resident_bytes("self"), 0
        for _ in range(megabytes):
            letters = rng.integers(97, 123, 1_000_000, dtype=np.uint8)
            blanks = np.cumsum(rng.integers(6, 14, 200_000))
            letters[blanks[blanks < len(letters)]] = 32
            stage.apply(pa.record_batch({"text": [letters.tobytes().decode(), "and a short one"]}))
            peak = max(peak, resident_bytes("self"))
        encoder = stage._fast
        assert isinstance(encoder, engines.GigatokenEncoder)
        found[name] = {"growth_mb": round((peak - before) / 1e6), "loads": encoder.num_loads}
        del stage, encoder
    return {"megabytes": megabytes} | found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--docs", type=Path, required=True)
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--random-words", type=int, metavar="MEGABYTES")
    options = parser.parse_args()
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {random.choice(sorted(os.sched_getaffinity(0)))})
    texts = read_texts(options.docs)
    num_bytes = sum(len(text.encode()) for text in texts)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        store(texts, folder / "docs.parquet")
        before = peak_memory_bytes()
        ours = measure_ours(folder / "docs.parquet", options.tokenizer, folder / "fast", options.repeats, num_bytes)
        peak = peak_memory_bytes()
        slow = opened(options.tokenizer, "tokenizers")
        (folder / "slow").mkdir()
        make_shard(folder / "docs.parquet", slow, folder / "slow", Clock())
        equal = files_equal(folder / "fast", folder / "slow")
    theirs = measure_theirs(texts, slow, options.repeats, num_bytes)
    result = {
        "bench": "tokenize", "documents": len(texts), "megabytes": round(num_bytes / 1e6, 1), "ids_equal": equal,
        "ours": ours | {"mb_per_second": round(ours["mb_per_second"], 1)},
        "encode_batch": {"mb_per_second": round(theirs, 2)}, "ratio": round(ours["mb_per_second"] / theirs, 1),
        "peak_memory_mb": round(peak / 1e6), "peak_memory_before_mb": round(before / 1e6),
        "sampled_one_in": checks.SAMPLED_ONE_IN,
    }  # fmt: skip
    if options.random_words:
        result["random_words"] = measure_memory(options.tokenizer, options.random_words)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
