"""The quality step: get a classifier, score every document, cut.

A given model becomes one Map that scores; without one, a Group trains it on the pool first. A given threshold becomes
a Map that drops; a share to keep becomes a Group that finds the threshold. Both kinds of cut read the same column, so
that the threshold can be moved and every removal explained.
"""

import hashlib
import json
import math
from collections.abc import Iterable
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tamis.base import columns
from tamis.base.errors import DataError
from tamis.base.recipe import Recipe
from tamis.base.seeds import unit_hash
from tamis.base.signals import Rule, Signal
from tamis.base.stage import Context, Group, Map, Sketches, Stage
from tamis.stages.quality.config import QualityConfig
from tamis.stages.quality.positives import PYTHON_TOPICS, python_topics, python_topics_fingerprint, read_positives

QUALITY_SCORE = "quality_score"
"""float32, written by quality: probability that the document is a good one, by the classifier; -0.00001 to 1.00001."""

MIN_TRAIN_DOCUMENTS = 20
"""Fewer positives or negatives than this make no classifier worth the name."""

_SCORE_SCHEMA = pa.schema([(QUALITY_SCORE, pa.float32())])
_SIGNAL = Signal(column=QUALITY_SCORE, label="fastText quality score", low=1e-5, high=1.0001, log=True)
_REASON = "low_quality"


def _append_scores(batch: pa.RecordBatch, classifier: Any) -> pa.RecordBatch:
    scores = classifier.scores(batch.column(columns.TEXT))
    return batch.append_column(_SCORE_SCHEMA.field(0), pa.array(scores, pa.float32()))


def _drop_below(batch: pa.RecordBatch, threshold: float) -> pa.RecordBatch:
    """Write the reason into rows whose score is below `threshold`, compared in float64."""
    scores = batch.column(QUALITY_SCORE).to_numpy(zero_copy_only=False).astype(np.float64)
    reasons = pc.if_else(pa.array(scores < threshold), _REASON, batch.column(columns.DROP_REASON))
    place = batch.schema.get_field_index(columns.DROP_REASON)
    return batch.set_column(place, pa.field(columns.DROP_REASON, pa.string()), reasons)


class QualityScore(Map):
    """Scores every document with the model that the settings name."""

    name: ClassVar[str] = "quality_score"
    version: ClassVar[int] = 2
    reads = (columns.TEXT,)
    adds = _SCORE_SCHEMA

    config: QualityConfig

    def assets(self) -> dict[str, str]:
        assert self.config.model is not None
        return {"model": self.config.model}

    def identity(self) -> list[Any]:
        return [self.name, self.version]  # the model is an asset, and no other setting bears on the scores

    def open(self, context: Context) -> None:
        from tamis.stages.quality.classifier import Classifier

        self._classifier = Classifier(context.assets["model"])

    def apply(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        return _append_scores(batch, self._classifier)


class QualityFit(Group):
    """Trains the classifier, positives against documents of the pool, and scores every document with it.

    Negatives are the candidates whose hashed ids come first: a sample that does not depend on sharding or order. One
    document in ten, of either class, is held out of training and tells how well the classes can be told apart.
    """

    name: ClassVar[str] = "quality_fit"
    version: ClassVar[int] = 2
    reads = (columns.ID, columns.TEXT)
    adds = _SCORE_SCHEMA
    keeps_output = True

    config: QualityConfig

    def assets(self) -> dict[str, str]:
        return {} if self.config.positives == PYTHON_TOPICS else {"positives": self.config.positives}

    def identity(self) -> list[Any]:
        """Without the settings of the cut: moving it does not train again. Covers the texts of `python-topics`, which
        are no asset: they are read from the Python that runs."""
        settings = self.config.model_dump(mode="json", exclude={"keep_fraction", "threshold"})
        texts = python_topics_fingerprint() if self.config.positives == PYTHON_TOPICS else None
        return [self.name, self.version, settings, texts]

    def open(self, context: Context) -> None:
        self._seed = context.seed
        self._loaded: tuple[str, Any] = ("", None)

    def sketch(self, batch: pa.RecordBatch, rows: pa.Array) -> pa.Table:
        """`hash` and `text` of the candidates: documents whose hashed id is below `candidate_fraction`."""
        ids = batch.column(columns.ID).to_pylist()
        hashes = np.array([unit_hash(i, f"quality_fit:{self._seed}") for i in ids], dtype=np.float64)
        chosen = np.flatnonzero(hashes < self.config.candidate_fraction)
        texts = batch.column(columns.TEXT).take(pa.array(chosen)).cast(pa.large_string())
        return pa.table({"hash": hashes[chosen], "text": texts})

    def decide(self, bucket: int, sketches: Sketches, context: Context) -> pa.Table:
        """One line: `model`, the bytes of the trained model, and `digest`, their hash.

        Raises DataError when positives or negatives are too few to learn from.
        """
        from tamis.stages.quality.classifier import Classifier, flatten
        from tamis.stages.quality.training import train

        positives, source = self._positives(context)
        limit = self.config.num_train_documents
        in_random_order = sorted(map(flatten, positives), key=lambda text: unit_hash(text, str(context.seed)))
        good = _distinct(in_random_order, limit)
        candidates = sketches.table(["hash", "text"]).sort_by([("hash", "ascending"), ("text", "ascending")])["text"]
        pool = _distinct((flatten(text.as_py() or "") for text in candidates), limit)
        _check_enough(len(good), f"positives in {source}", "Give a larger file.")
        _check_enough(len(pool), "distinct documents to use as negatives", "Use a larger pool, or a given `model`.")
        size = min(len(good), len(pool))
        good, pool = good[:size], pool[:size]
        with context.scratch() as folder:
            model = train(_training_part(good), _training_part(pool), self.config, context.seed, folder)
        classifier = Classifier(model)
        held_out = good[::10] + pool[::10]
        is_good = np.arange(len(held_out)) < len(good[::10])
        right = np.count_nonzero((classifier.scores(pa.array(held_out, pa.large_string())) > 0.5) == is_good)
        details = {
            "positives": source,
            "num_positives_available": len(positives),
            "num_candidates": sketches.num_lines,
            "num_train_positives": size - len(good[::10]),
            "num_train_negatives": size - len(pool[::10]),
            "num_held_out": len(held_out),
            "held_out_precision_at_1": round(right / len(held_out), 6),
            "num_words": classifier.num_words,
            "model_bytes": len(model),
            "model_digest": _digest(model),
        }
        table = pa.table({"model": pa.array([model], pa.large_binary()), "digest": [_digest(model)]})
        return table.replace_schema_metadata({"details": json.dumps(details)})

    def _positives(self, context: Context) -> tuple[list[str], str]:
        if self.config.positives == PYTHON_TOPICS:
            return list(python_topics()), f"{PYTHON_TOPICS} ({python_topics_fingerprint()})"
        file = context.assets["positives"]
        return read_positives(file), file.name

    def mark(self, batch: pa.RecordBatch, rows: pa.Array, decisions: pa.Table) -> pa.RecordBatch:
        from tamis.stages.quality.classifier import Classifier

        digest = decisions["digest"][0].as_py()
        if self._loaded[0] != digest:
            self._loaded = (digest, Classifier(decisions["model"][0].as_py()))
        return _append_scores(batch, self._loaded[1])


def _distinct(texts: Iterable[str], limit: int) -> list[str]:
    """The first `limit` texts that are not empty and were not there before."""
    seen: dict[str, None] = {}
    for text in texts:
        if len(seen) == limit:
            break
        if text:
            seen[text] = None
    return list(seen)


def _check_enough(number: int, what: str, fix: str) -> None:
    if number < MIN_TRAIN_DOCUMENTS:
        raise DataError(
            f"quality: {number} {what}, and a classifier needs at least {MIN_TRAIN_DOCUMENTS} of each kind. {fix}"
        )


def _training_part(texts: list[str]) -> list[str]:
    """All but the held-out tenth, which is every tenth text from the first."""
    return [text for place, text in enumerate(texts) if place % 10]


def _digest(model: bytes) -> str:
    return hashlib.blake2b(model, digest_size=16).hexdigest()


class QualityThreshold(Map):
    """Drops documents that score below the threshold of the settings, as `low_quality`."""

    name: ClassVar[str] = "quality"
    version: ClassVar[int] = 1
    reads = (QUALITY_SCORE,)
    signals = (_SIGNAL,)

    def __init__(self, config: QualityConfig) -> None:
        super().__init__(config)
        assert config.threshold is not None
        self._threshold = config.threshold
        source = "set in the recipe; DCLM-Baseline's cut is 0.018112, for DCLM's own model"
        self.rules = (Rule(reason=_REASON, column=QUALITY_SCORE, op="<", threshold=config.threshold, source=source),)

    def identity(self) -> list[Any]:
        return [self.name, self.version, self._threshold]

    def apply(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        return _drop_below(batch, self._threshold)


class QualityCut(Group):
    """Keeps the share of documents that score highest. The threshold is the exact score of the last document inside
    the share, found from all scores; documents that score the same as it are all kept, so ties can keep more."""

    name: ClassVar[str] = "quality_cut"
    version: ClassVar[int] = 1
    reads = (QUALITY_SCORE,)
    signals = (_SIGNAL,)

    def __init__(self, config: QualityConfig) -> None:
        super().__init__(config)
        assert config.keep_fraction is not None
        self._keep_fraction = config.keep_fraction

    def identity(self) -> list[Any]:
        return [self.name, self.version, self._keep_fraction]

    def sketch(self, batch: pa.RecordBatch, rows: pa.Array) -> pa.Table:
        return pa.table({QUALITY_SCORE: batch.column(QUALITY_SCORE)})

    def decide(self, bucket: int, sketches: Sketches, context: Context) -> pa.Table:
        """One line: `threshold` (float64). Raises DataError when there is no score to decide from."""
        scores = sketches.table([QUALITY_SCORE])[QUALITY_SCORE].to_numpy().astype(np.float64)
        if len(scores) == 0:
            raise DataError("quality: no documents reached the cut; the stages before it removed every one")
        num_wanted = max(1, math.ceil(self._keep_fraction * len(scores) - 1e-9))  # 0.07 * 100 is 7.000000000000001
        threshold = float(np.partition(scores, len(scores) - num_wanted)[len(scores) - num_wanted])
        source = f"keep_fraction {self._keep_fraction:g} of {len(scores)} documents"
        rule = Rule(reason=_REASON, column=QUALITY_SCORE, op="<", threshold=threshold, source=source)
        details = {
            "rules": [rule.to_dict()],
            "threshold": threshold,
            "num_scored": len(scores),
            "num_kept": int(np.count_nonzero(scores >= threshold)),
            "num_tied_at_threshold": int(np.count_nonzero(scores == threshold)),
        }
        return pa.table({"threshold": [threshold]}).replace_schema_metadata({"details": json.dumps(details)})

    def mark(self, batch: pa.RecordBatch, rows: pa.Array, decisions: pa.Table) -> pa.RecordBatch:
        return _drop_below(batch, decisions["threshold"][0].as_py())


def build(settings: dict[str, Any], recipe: Recipe) -> list[Stage]:
    """The stages of a recipe's `quality` step: one that scores, one that cuts. Raises ConfigError for wrong
    settings."""
    config = QualityConfig.parse(settings, "quality")
    scores: Stage = QualityScore(config) if config.model is not None else QualityFit(config)
    cuts: Stage = QualityThreshold(config) if config.threshold is not None else QualityCut(config)
    return [scores, cuts]
