"""Pages that mislead unverified near-duplicate detection, made with a seed, and what each method removes of them.

    python bench/dedup_made.py --folder F [--seed 0]
    python bench/dedup_truth.py --docs F/made.jsonl.zst --truth F/made.truth.jsonl --pairs F/made.pairs.jsonl ...

3,480 documents: windows that slide over a long text, so that neighbours are alike and distant ones have nothing in
common; pages of twenty templates with 60 to 90 % of their words in common; catalogue pages, each made of ten of sixty
paragraphs; editions of books, with a foreword and up to 12 % of the words changed; pages that are alone, and copies.
The pairs are those of word-5-gram Jaccard similarity of 0.7 or more, or containment of 0.8 or more, found by exact
counting.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse
import zstandard

VOCABULARY, NGRAM = 20_000, 5
WINDOWS, TEMPLATED, CATALOGUE, EDITIONS, ALONE, COPIES = 1200, 1000, 400, 300, 480, 100
Page = tuple[str, str, np.ndarray]
"""Kind, cluster, words as numbers."""


def windows(rng: np.random.Generator) -> Iterator[Page]:
    for text in range(4):
        words = rng.integers(0, VOCABULARY, 12 * WINDOWS // 4 + 300)
        for number in range(WINDOWS // 4):
            yield "window", f"text{text}", words[12 * number : 12 * number + 300]


def templated(rng: np.random.Generator) -> Iterator[Page]:
    for template in range(20):
        words, share = rng.integers(0, VOCABULARY, 240), rng.uniform(0.1, 0.4)
        for _ in range(TEMPLATED // 20):
            own, start = rng.integers(0, VOCABULARY, int(240 * share)), int(rng.integers(0, 120))
            yield "templated", f"template{template}", np.concatenate([words[:start], own, words[start + len(own) :]])


def catalogue(rng: np.random.Generator) -> Iterator[Page]:
    paragraphs = [rng.integers(0, VOCABULARY, rng.integers(15, 40)) for _ in range(60)]
    for _ in range(CATALOGUE):
        yield "catalogue", "catalogue", np.concatenate([paragraphs[i] for i in rng.permutation(60)[:10]])


def editions(rng: np.random.Generator) -> Iterator[Page]:
    for book in range(EDITIONS // 6):
        words = rng.integers(0, VOCABULARY, 2000)
        for edition in range(6):
            changed = words.copy()
            places = np.flatnonzero(rng.random(len(words)) < rng.choice([0, 0.005, 0.02, 0.12]))
            changed[places] = rng.integers(0, VOCABULARY, len(places))
            foreword = rng.integers(0, VOCABULARY, rng.choice([0, 50, 400])) if edition else words[:0]
            yield "edition", f"book{book}", np.concatenate([foreword, changed])


def alone(rng: np.random.Generator) -> Iterator[Page]:
    for page in range(ALONE):
        yield "alone", f"alone{page}", rng.integers(0, VOCABULARY, rng.integers(100, 500))


def make(seed: int) -> list[Page]:
    rng = np.random.default_rng(seed)
    pages = [page for kind in (windows, templated, catalogue, editions, alone) for page in kind(rng)]
    pages += [("copy", pages[i][1], pages[i][2]) for i in rng.choice(len(pages), COPIES, replace=False)]
    return [pages[i] for i in rng.permutation(len(pages))]


def alike_pairs(pages: list[Page]) -> Iterator[tuple[int, int, float, float]]:
    """`(a, b, Jaccard, containment)` by exact counting of the word n-grams that two pages have in common."""
    sets = [{words[i : i + NGRAM].tobytes() for i in range(len(words) - NGRAM + 1)} for _, _, words in pages]
    number = {gram: place for place, gram in enumerate(sorted(set().union(*sets)))}
    rows = np.repeat(np.arange(len(sets)), [len(one) for one in sets])
    columns = np.array([number[gram] for one in sets for gram in sorted(one)])
    matrix = scipy.sparse.csr_matrix((np.ones(len(rows), np.int32), (rows, columns)))
    common = scipy.sparse.triu(matrix @ matrix.T, k=1).tocoo()
    sizes = np.array([len(one) for one in sets])
    for a, b, both in zip(common.row.tolist(), common.col.tolist(), common.data.tolist(), strict=True):
        jaccard, contained = both / (sizes[a] + sizes[b] - both), both / min(sizes[a], sizes[b])
        if jaccard >= 0.7 or contained >= 0.8:
            yield a, b, jaccard, contained


def write_lines(path: Path, lines: Iterator[dict[str, Any]]) -> None:
    data = "".join(json.dumps(line) + "\n" for line in lines).encode()
    path.write_bytes(zstandard.compress(data) if path.suffix == ".zst" else data)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    pages = make(options.seed)
    ids = [f"made{place:05d}" for place in range(len(pages))]
    texts = (" ".join(f"w{word:x}" for word in words) for _, _, words in pages)
    documents = ({"id": i, "text": t, "url": f"http://made.example/{i}"} for i, t in zip(ids, texts, strict=True))
    write_lines(options.folder / "made.jsonl.zst", documents)
    truth = ({"id": i, "cluster": c, "kind": k, "rate": None} for i, (k, c, _) in zip(ids, pages, strict=True))
    write_lines(options.folder / "made.truth.jsonl", truth)
    pairs = list(alike_pairs(pages))
    found = ({"a": ids[a], "b": ids[b], "jaccard5": j, "containment5": c} for a, b, j, c in pairs)
    write_lines(options.folder / "made.pairs.jsonl", found)
    print(
        json.dumps({"documents": len(pages), "pairs": len(pairs), "alike": int(sum(j >= 0.8 for _, _, j, _ in pairs))})
    )


if __name__ == "__main__":
    main()
