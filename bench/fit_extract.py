"""Fits the block model of the extraction engine `tamis`, and scores it on pages of hosts that it was not fitted on.

    python bench/fit_extract.py --warc web.warc.gz --truth web.truth.jsonl [--folds 10] [--write]

Needs `pip install lightgbm trafilatura`. A block's label is the share of its words that the article text aligns with
(pages with `body`), or the segment it holds (pages with `with` and `without`). Pages with segments only are mostly
unlabelled, so trafilatura's text gives them weaker labels, which never contradict a segment. Folds are split by host,
not by page; the threshold for a fold is chosen on the other folds. `--write` fits on all pages and replaces the
package's model. Last line: JSON.
"""

import argparse
import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from importlib.metadata import version
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
from extract import Page, load_pages, quality
from resiliparse.parse.html import HTMLTree

import tamis.stages.extract.engines.model_file as model
from tamis.base.hosts import host_of
from tamis.base.words import squeeze
from tamis.kernels.html.blocks import END, START
from tamis.kernels.html.features import FEATURE_NAMES, features
from tamis.stages.extract.engines import engine_for
from tamis.stages.extract.engines.blocks import scan_tree, serialize

_WORD = re.compile(r"\w+")
NUM_TREES = 100
PARAMETERS: dict[str, Any] = {
    "objective": "binary", "learning_rate": 0.08, "num_leaves": 15, "min_data_in_leaf": 40, "feature_fraction": 0.3,
    "bagging_fraction": 0.7, "bagging_freq": 1, "lambda_l2": 5.0, "seed": 0, "deterministic": True,
    "force_row_wise": True, "num_threads": 1, "verbose": -1,
}  # fmt: skip
SEGMENT_WEIGHT = 0.1
"""Weight of a segment, where a page with article text weighs about 1."""
TEACHER_WEIGHT = 0.5
"""Weight of a page that trafilatura labels."""
MAX_BLOCK_WEIGHT = 0.1
BLOCK_BASE_WORDS = 6
"""Added to a block's words, so that short blocks count for something."""
MIN_TEACHER_WORDS = 50
MIN_COVER = 0.3
"""A `without` segment that is a smaller part of a block says nothing about the block."""
THRESHOLDS = np.arange(-1.5, 1.51, 0.1)


@dataclass
class Example:
    """One page: `features` float32[b, m], `labels` and `weights` float64[b], `parts` the blocks' text."""

    page: Page
    features: np.ndarray
    parts: list[str]
    labels: np.ndarray
    weights: np.ndarray

    def text(self, scores: np.ndarray, threshold: float) -> str:
        return "\n\n".join(part for part, score in zip(self.parts, scores, strict=True) if score > threshold)


def body_labels(parts: Sequence[str], body: str) -> tuple[np.ndarray, np.ndarray]:
    """Share of each block's words that the body's words align with, and the weight of each block."""
    owners, words = [], []
    counts = np.zeros(len(parts))
    for k, part in enumerate(parts):
        found = _WORD.findall(part)
        counts[k] = len(found)
        words += found
        owners += [k] * len(found)
    hits = np.zeros(len(parts))
    for match in SequenceMatcher(None, words, _WORD.findall(body), autojunk=False).get_matching_blocks():
        for at in range(match.a, match.a + match.size):
            hits[owners[at]] += 1
    labels = hits / np.maximum(counts, 1)
    weights = (counts + BLOCK_BASE_WORDS) / max(50.0, counts[labels > 0.5].sum())
    weights[counts == 0] = 0
    return labels, np.minimum(weights, MAX_BLOCK_WEIGHT)


def segment_labels(parts: Sequence[str], page: Page) -> tuple[np.ndarray, np.ndarray]:
    """1 for blocks of a segment to keep (of its occurrence in the longest block), 0 for those to drop."""
    labels, weights = np.zeros(len(parts)), np.zeros(len(parts))
    squeezed = [squeeze(part) for part in parts]
    lengths = np.array([len(part) for part in squeezed])
    starts = np.concatenate([[0], np.cumsum(lengths + 1)])
    joined = "".join(part + " " for part in squeezed)
    for kind, segments in ((1, page.keep), (0, page.drop)):
        for segment in filter(None, map(squeeze, segments)):
            places = [match.start() for match in re.finditer(re.escape(segment), joined)]
            if kind and places:
                places = [max(places, key=lambda at: (lengths[np.searchsorted(starts, at, "right") - 1], -at))]
            for at in places:
                first = int(np.searchsorted(starts, at, "right")) - 1
                last = int(np.searchsorted(starts, at + len(segment) - 1, "right")) - 1
                for k in range(first, last + 1):
                    shared = min(at + len(segment), starts[k + 1] - 1) - max(at, starts[k])
                    if not kind and (shared < MIN_COVER * lengths[k] or (weights[k] and labels[k])):
                        continue
                    labels[k], weights[k] = kind, SEGMENT_WEIGHT / len(places) / (last - first + 1)
    return labels, weights


def make_example(page: Page, teacher: str) -> Example:
    scanned = scan_tree(serialize(HTMLTree.parse(page.html)))
    data = scanned.text.tobytes()
    parts = [data[a:b].decode("utf-8", "replace") for a, b in scanned.blocks[:, (START, END)].tolist()]
    if page.body:
        labels, weights = body_labels(parts, page.body)
    else:
        labels, weights = segment_labels(parts, page)
        if len(_WORD.findall(teacher)) >= MIN_TEACHER_WORDS:
            taught, trust = body_labels(parts, teacher)
            free = (weights == 0) & ((taught < 0.2) | (taught > 0.8))
            labels[free], weights[free] = taught[free], TEACHER_WEIGHT * trust[free]
    return Example(page, features(*scanned), parts, (labels > 0.5).astype(float), weights)


def fit(examples: Sequence[Example]) -> lightgbm.Booster:
    used = [example.weights > 0 for example in examples]
    rows = np.concatenate([example.features[mask] for example, mask in zip(examples, used, strict=True)])
    labels = np.concatenate([example.labels[mask] for example, mask in zip(examples, used, strict=True)])
    weights = np.concatenate([example.weights[mask] for example, mask in zip(examples, used, strict=True)])
    data = lightgbm.Dataset(rows, labels, weight=weights / weights.mean(), feature_name=list(FEATURE_NAMES))
    return lightgbm.train(PARAMETERS, data, NUM_TREES)


def scores_of(booster: lightgbm.Booster, examples: Sequence[Example]) -> list[np.ndarray]:
    """Log-odds of the blocks, page by page."""
    rows = np.concatenate([example.features for example in examples])
    ends = np.cumsum([len(example.features) for example in examples])
    return np.split(booster.predict(rows, raw_score=True, num_threads=1), ends[:-1])


def measure(examples: Sequence[Example], scores: Sequence[np.ndarray], thresholds: Sequence[float]) -> dict[str, float]:
    texts = [example.text(*rest) for example, *rest in zip(examples, scores, thresholds, strict=True)]
    return quality(texts, [example.page for example in examples])


def best_threshold(examples: Sequence[Example], scores: Sequence[np.ndarray]) -> float:
    """Of the threshold that does best on F1 and segments together."""

    def criterion(threshold: float) -> float:
        found = measure(examples, scores, [threshold] * len(examples))
        return found["f1_all_bodies"] + (found["kept"] + found["dropped"]) / 2

    return round(float(max(THRESHOLDS, key=criterion)), 2)


def fold_of(url: str, folds: int) -> int:
    host = host_of(url)
    return int.from_bytes(hashlib.blake2b(host.encode(), digest_size=8).digest(), "big") % folds


def cross_validate(examples: Sequence[Example], folds: int) -> tuple[dict[str, float], float]:
    """Scores on held-out hosts, and the threshold that all folds together would choose."""
    numbers = np.array([fold_of(example.page.url, folds) for example in examples])
    scores: list[np.ndarray] = [np.zeros(0)] * len(examples)
    for fold in range(folds):
        inside = [example for example, number in zip(examples, numbers, strict=True) if number != fold]
        outside = np.flatnonzero(numbers == fold)
        for k, found in zip(outside, scores_of(fit(inside), [examples[k] for k in outside]), strict=True):
            scores[k] = found
    chosen = []
    for fold in range(folds):
        others = np.flatnonzero(numbers != fold)
        chosen.append(best_threshold([examples[k] for k in others], [scores[k] for k in others]))
    held_out = measure(examples, scores, [chosen[number] for number in numbers])
    return held_out, best_threshold(examples, scores)


def as_document(booster: lightgbm.Booster, threshold: float, provenance: dict[str, Any]) -> dict[str, Any]:
    """The model as `tamis.stages.extract.engines.model` reads it."""
    trees: dict[str, list[Any]] = {
        name: [] for name in ("roots", "feature", "threshold", "left", "right", "value")
    }  # fmt: skip

    def add(node: dict[str, Any]) -> int:
        if "leaf_value" in node:
            trees["value"].append(round(node["leaf_value"], 6))
            return -len(trees["value"])
        at = len(trees["feature"])
        # Rows are float32: the largest float32 that is not above the threshold splits them in the same way.
        cut = np.float32(node["threshold"])
        cut = np.nextafter(cut, np.float32(-np.inf)) if cut > node["threshold"] else cut
        trees["feature"].append(node["split_feature"])
        trees["threshold"].append(float(cut))
        trees["left"].append(0)
        trees["right"].append(0)
        trees["left"][at] = add(node["left_child"])
        trees["right"][at] = add(node["right_child"])
        return at

    for tree in booster.dump_model()["tree_info"]:
        trees["roots"].append(add(tree["tree_structure"]))
    return {"provenance": provenance, "threshold": threshold, "features": list(FEATURE_NAMES), "trees": trees}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--warc", type=Path, required=True)
    parser.add_argument("--truth", type=Path, required=True)
    parser.add_argument("--folds", type=int, default=10)
    parser.add_argument("--write", action="store_true", help="replace the model of the package")
    options = parser.parse_args()
    pages = load_pages(options.warc, options.truth)
    teacher = engine_for("trafilatura", True, False)
    examples = [make_example(page, "" if page.body else teacher.extract(page.html)) for page in pages]
    held_out, threshold = cross_validate(examples, options.folds)
    booster = fit(examples)
    seen = measure(examples, scores_of(booster, examples), [threshold] * len(examples))
    provenance = {
        "how": "bench/fit_extract.py: gradient-boosted trees on blocks, folds over hosts",
        "data": options.truth.name, "pages": len(pages), "bodies": sum(bool(page.body) for page in pages),
        "hosts": len({host_of(page.url) for page in pages}), "folds": options.folds,
        "libraries": {name: version(name) for name in ("lightgbm", "resiliparse", "trafilatura")},
        "trees": NUM_TREES, "parameters": PARAMETERS,
        "held_out": {name: round(value, 4) for name, value in held_out.items()},
        "in_sample": {name: round(value, 4) for name, value in seen.items()},
    }  # fmt: skip
    if options.write:
        place = Path(model.__file__).with_name(model.MODEL_FILE)
        document = as_document(booster, threshold, provenance)
        place.write_text(json.dumps(document, separators=(",", ":")) + "\n", encoding="utf-8")
    print(json.dumps({"threshold": threshold, **provenance}))


if __name__ == "__main__":
    main()
