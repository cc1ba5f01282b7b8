"""Deduplication by other libraries, where they are installed, on the same documents: which documents or paragraphs each
would remove.

MinHash has 14 bands of 8 rows over word 5-grams, with the library's tokenisation and hashing; of each group the first
document is kept. Dolma's Bloom filter over 13-grams of paragraphs, threshold 0.8, false positives 1 %.
"""

import gzip
import json
import re
import subprocess
from collections.abc import Hashable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

BANDS, ROWS, NGRAM = 14, 8, 5


def datasketch_duplicates(texts: dict[str, str]) -> set[str]:
    """datasketch: documents whose bands meet those of an earlier kept or removed one (connected through it)."""
    from datasketch import MinHash, MinHashLSH

    index = MinHashLSH(num_perm=BANDS * ROWS, params=(BANDS, ROWS))
    removed = set()
    for key, text in texts.items():
        words = re.findall(r"\w+", text.lower())
        shingles = {" ".join(words[i : i + NGRAM]) for i in range(max(1, len(words) - NGRAM + 1))}
        sketch = MinHash(num_perm=BANDS * ROWS, seed=1)
        sketch.update_batch([shingle.encode() for shingle in shingles])
        if index.query(sketch):
            removed.add(key)
        index.insert(key, sketch)
    return removed


def shingles_of(text: str) -> list[str]:
    words = re.findall(r"\w+", text.lower())
    return [" ".join(words[i : i + NGRAM]) for i in range(max(1, len(words) - NGRAM + 1))]


def linked_duplicates(keys: Sequence[str], bands: Sequence[Sequence[Hashable]]) -> set[str]:
    """All but the first of documents that are connected by a band in common, directly or through others."""
    parents = list(range(len(keys)))

    def root(place: int) -> int:
        while parents[place] != place:
            parents[place] = parents[parents[place]]
            place = parents[place]
        return place

    first: dict[tuple[int, Hashable], int] = {}
    for place, own in enumerate(bands):
        for band, value in enumerate(own):
            one, other = sorted((root(first.setdefault((band, value), place)), root(place)))
            parents[other] = one
    return {key for place, key in enumerate(keys) if root(place) != place}


def rensa_sketches(texts: Sequence[str]) -> list[list[int]]:
    """rensa's RMinHash of every text, from the string."""
    from rensa import RMinHash

    made = RMinHash.from_token_sets([shingles_of(text) for text in texts], BANDS * ROWS, 42)
    return [sketch.digest() for sketch in made]


def fastsketch_sketches(texts: Sequence[str]) -> Sequence[Sequence[int]]:
    """FastSketchLSH's fast similarity sketch of every text, from the string, on one thread. It has a power of two of
    values, of which the first 112 are used."""
    from FastSketchLSH import FastSimilaritySketch

    sketch = FastSimilaritySketch(128, 42)
    made: Sequence[Sequence[int]] = sketch.batch([shingles_of(text) for text in texts], False, 1)
    return made


def _banded(sketches: Sequence[Sequence[int]]) -> list[list[Hashable]]:
    return [[tuple(sketch[b * ROWS : (b + 1) * ROWS]) for b in range(BANDS)] for sketch in sketches]


def rensa_duplicates(texts: dict[str, str]) -> set[str]:
    return linked_duplicates(list(texts), _banded(rensa_sketches(list(texts.values()))))


def fastsketch_duplicates(texts: dict[str, str]) -> set[str]:
    return linked_duplicates(list(texts), _banded(fastsketch_sketches(list(texts.values()))))


def textdedup_duplicates(texts: dict[str, str]) -> set[str]:
    """text-dedup's `minhash`: its embedding of every text, and its union-find over shared bands."""
    import numpy as np
    from text_dedup.minhash import embed_func
    from text_dedup.utils.hashfunc import xxh3_32hash

    rng, most, prime = np.random.RandomState(42), np.uint32((1 << 32) - 1), np.uint32((1 << 32) - 5)
    number = BANDS * ROWS
    permutations = (
        rng.randint(1, prime, size=(number,), dtype=np.uint32), rng.randint(0, prime, size=(number,), dtype=np.uint32)
    )  # fmt: skip
    bands = [
        embed_func(
            text, place, num_perm=number, ngram_size=NGRAM, min_length=0,
            hashranges=[(b * ROWS, (b + 1) * ROWS) for b in range(BANDS)], permutations=permutations,
            hash_func=xxh3_32hash, dtype=np.uint32, max_hash=most, modulo_prime=prime,
        )["__signatures__"]
        for place, text in enumerate(texts.values())
    ]  # fmt: skip
    return linked_duplicates(list(texts), bands)


def datatrove_duplicates(texts: dict[str, str]) -> set[str]:
    """datatrove's four stages, one worker, in a temporary folder."""
    from datatrove.data import Document
    from datatrove.pipeline.dedup import MinhashDedupBuckets, MinhashDedupCluster, MinhashDedupFilter
    from datatrove.pipeline.dedup.minhash import MinhashConfig, MinhashDedupSignature
    from datatrove.utils.hashing import HashConfig

    hashing = HashConfig(precision=64)
    config = MinhashConfig(n_grams=NGRAM, num_buckets=BANDS, hashes_per_bucket=ROWS, hash_config=hashing)
    documents = [Document(text=text, id=key) for key, text in texts.items()]
    with TemporaryDirectory() as folder:
        parts = [str(Path(folder) / name) for name in ("signatures", "buckets", "clusters")]
        MinhashDedupSignature(output_folder=parts[0], config=config).run(iter(documents), 0, 1)
        for bucket in range(BANDS):
            MinhashDedupBuckets(input_folder=parts[0], output_folder=parts[1], config=config).run(None, bucket, BANDS)
        MinhashDedupCluster(input_folder=parts[1], output_folder=parts[2], config=config).run(None, 0, 1)
        kept = {one.id for one in MinhashDedupFilter(input_folder=parts[2]).run(iter(documents), 0, 1)}
    return texts.keys() - kept


DOLMA = """
import importlib.machinery, importlib.util, json, sys, time
place = importlib.machinery.PathFinder.find_spec("dolma").submodule_search_locations
path = importlib.machinery.PathFinder.find_spec("dolma", place).origin
spec = importlib.util.spec_from_file_location("dolma", path)
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
started = time.process_time()
module.deduper_entrypoint(sys.argv[1])
print("seconds", time.process_time() - started)
"""
"""Calls the deduper in Dolma's extension module, past the package's own imports, which need much else."""


def run_dolma(python: Path, shards: Sequence[Sequence[str]], num_ngrams: int, folder: Path) -> float:
    """Run Dolma's deduper on texts, in order, with attributes in `folder`/attributes; seconds of processor time."""
    documents = folder / "documents"
    documents.mkdir(parents=True)
    for shard, texts in enumerate(shards):
        with gzip.open(documents / f"{shard:05}.jsonl.gz", "wt", encoding="utf-8") as out:
            for row, text in enumerate(texts):
                out.write(json.dumps({"id": f"{shard}-{row}", "source": "bench", "text": text}) + "\n")
    by_ngram = {"ngram_length": 13, "stride": 0, "overlap_threshold": 0.8, "skip_short_paragraphs": True}
    bloom = {"size_in_bytes": 0, "estimated_doc_count": num_ngrams, "desired_false_positive_rate": 0.01}
    config = {
        "documents": [str(documents / "*.jsonl.gz")],
        "work_dir": {"input": str(folder / "in"), "output": str(folder / "out")},
        "dedupe": {"name": "bff", "paragraphs": {"attribute_name": "bff", "by_ngram": by_ngram}, "skip_empty": True},
        "bloom_filter": {"file": str(folder / "filter.bin"), "read_only": False, **bloom},
        "processes": 1,
    }
    done = subprocess.run(
        [str(python), "-c", DOLMA, json.dumps(config)], capture_output=True, text=True, check=True, cwd=folder
    )
    return float(done.stdout.split("seconds")[-1])


def dolma_left(python: Path, texts: dict[str, str]) -> dict[str, str]:
    """What Dolma's spans leave of every text; nothing of those cut whole."""
    with TemporaryDirectory() as scratch:
        folder = Path(scratch) / "dolma"
        run_dolma(python, [list(texts.values())], sum(len(text) for text in texts.values()) // 5, folder)
        (path,) = folder.glob("attributes/bff/*.gz")
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            spans = {record["id"]: record["attributes"]["bff"] for record in map(json.loads, lines)}
    left = {}
    for row, (key, text) in enumerate(texts.items()):
        kept, at = "", 0
        for start, end, _ in spans.get(f"0-{row}", []):
            kept, at = kept + text[at:start], end
        kept += text[at:]
        if kept.strip():
            left[key] = kept
    return left
