"""The quality step: load or train a scorer, score every document, and cut by the score.

A scorer that needs no training becomes a Map, and one that is trained in the run becomes a Group, which trains it on
the pool first. The cut is the generic one (`stages.cut`) on the column that both write, so that the threshold can be
changed without new scores, and every removal can be explained.
"""

import hashlib
import json
from collections.abc import Iterable
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from tamis.base import columns
from tamis.base.errors import DataError
from tamis.base.recipe import Recipe
from tamis.base.seeds import unit_hash
from tamis.base.signals import MeasuredSignal, Signal
from tamis.base.stage import Group, Map, Sketches, Stage, StageContext
from tamis.stages.cut.config import CutConfig
from tamis.stages.cut.stage import make_cut
from tamis.stages.quality.config import FASTTEXT, SHARE_SETTINGS, QualityConfig
from tamis.stages.quality.held_out import check_learned, held_out_part, judge, rank, training_part
from tamis.stages.quality.positives import PYTHON_TOPICS, python_topics, python_topics_fingerprint, read_positives
from tamis.stages.quality.scorers import Scoring, scoring_for

QUALITY_SCORE = "quality_score"
"""float32, written by quality; null where the scorer gave no score. The score of the fastText classifier is the
probability that the document is a good one, from -0.00001 to 1.00001."""

MIN_TRAIN_DOCUMENTS = 20
"""Smallest number of positives, and of negatives, on which a classifier is trained."""

REASON = "low_quality"
_SCORE_SCHEMA = pa.schema([(QUALITY_SCORE, pa.float32())])
_FASTTEXT_SIGNAL = Signal(column=QUALITY_SCORE, label="fastText quality score", low=1e-5, high=1.0001, log=True)


def _append_scores(batch: pa.RecordBatch, scoring: Scoring) -> pa.RecordBatch:
    """`batch` with its scores, which replace those of an earlier step."""
    scores = pa.array(scoring.scores(batch.column(columns.TEXT)), pa.float32(), from_pandas=True)
    place = batch.schema.get_field_index(QUALITY_SCORE)
    if place >= 0:
        return batch.set_column(place, _SCORE_SCHEMA.field(0), scores)
    return batch.append_column(_SCORE_SCHEMA.field(0), scores)


class _Scores(Stage):
    """What the stages with and without training have in common."""

    config: QualityConfig

    def __init__(self, config: QualityConfig) -> None:
        super().__init__(config)
        self.scoring = scoring_for(config)
        self.signals = (_signal(config),) if config.annotate else ()

    def resolved_settings(self) -> dict[str, Any]:
        settings = super().resolved_settings()
        return settings | {"scorer": self.scoring.plugin.spec} if self.scoring.plugin is not None else settings


class QualityScore(_Scores, Map):
    """Scores every document with a scorer that needs no training."""

    name: ClassVar[str] = "quality_score"
    version: ClassVar[int] = 2
    reads = (columns.TEXT,)
    adds = _SCORE_SCHEMA

    def assets(self) -> dict[str, str]:
        return self.scoring.assets()

    def identity(self) -> list[Any]:
        return [self.name, self.version, self.scoring.identity()]

    def open(self, context: StageContext) -> None:
        self.scoring.open(context.assets)

    def apply(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        return _append_scores(batch, self.scoring)


class QualityFit(_Scores, Group):
    """Trains the scorer on positives and on documents of the pool, and scores every document with it.

    Negatives are the candidates with the smallest hashes of their ids: a sample that does not depend on shards or
    order. One document in ten, of either class, is held out of training, to measure how well the classes can be
    distinguished.
    """

    name: ClassVar[str] = "quality_fit"
    version: ClassVar[int] = 3
    reads = (columns.ID, columns.TEXT)
    adds = _SCORE_SCHEMA
    keeps_output = True

    def assets(self) -> dict[str, str]:
        named = {} if self.config.positives == PYTHON_TOPICS else {"positives": self.config.positives}
        return named | self.scoring.assets()

    def identity(self) -> list[Any]:
        """Leaves out the settings of the cut, so that a changed cut does not train again. Includes the texts of
        `python-topics`, which are not an asset, because they are read from the running Python."""
        config = self.config
        texts = python_topics_fingerprint() if config.positives == PYTHON_TOPICS else None
        training = [config.candidate_fraction, config.num_train_documents]
        return [self.name, self.version, training, texts, self.scoring.identity()]

    def open(self, context: StageContext) -> None:
        self._seed = context.seed
        self._loaded = ""
        self.scoring.open(context.assets)

    def sketch(self, batch: pa.RecordBatch, rows: pa.Array) -> pa.Table:
        """`hash` and `text` of the candidates: documents whose hashed id is below `candidate_fraction`."""
        ids = batch.column(columns.ID).to_pylist()
        hashes = np.array([unit_hash(i, f"quality_fit:{self._seed}") for i in ids], dtype=np.float64)
        chosen = np.flatnonzero(hashes < self.config.candidate_fraction)
        texts = batch.column(columns.TEXT).take(pa.array(chosen)).cast(pa.large_string())
        return pa.table({"hash": hashes[chosen], "text": texts})

    def decide(self, bucket: int, sketches: Sketches, context: StageContext) -> pa.Table:
        """One line: `model`, the bytes of the trained model, and `digest`, their hash.

        Raises DataError when positives or negatives are too few to learn from.
        """
        from tamis.stages.quality.classifier import flatten

        positives, source = self._positives(context)
        limit = self.config.num_train_documents
        in_random_order = sorted(map(flatten, positives), key=lambda text: unit_hash(text, str(context.seed)))
        good = _distinct(in_random_order, limit)
        candidates = sketches.table(["hash", "text"]).sort_by([("hash", "ascending"), ("text", "ascending")])["text"]
        pool = _distinct((flatten(text.as_py() or "") for text in candidates), limit)
        _check_enough(len(good), f"positives in {source}", "Give a larger file.")
        _check_enough(len(pool), "distinct documents to use as negatives", "Use a larger pool, or a given `model`.")
        size = min(len(good), len(pool))
        model, found = self._trained(good[:size], pool[:size], context)
        details = {
            "positives": "asset positives" if "positives" in context.assets else source,
            "num_positives_available": len(positives),
            "num_candidates": sketches.num_lines,
            **found,
            "model_bytes": len(model),
            "model_digest": _digest(model),
        }
        table = pa.table({"model": pa.array([model], pa.large_binary()), "digest": [_digest(model)]})
        return table.replace_schema_metadata({"details": json.dumps(details)})

    def _trained(self, good: list[str], pool: list[str], context: StageContext) -> tuple[bytes, dict[str, Any]]:
        """The trained model, and what the card says of it. Raises DataError when it learned nothing."""
        scorer = self.scoring.scorer
        train_good, train_pool = training_part(good), training_part(pool)
        model = self.scoring.fitted(train_good, train_pool, context)
        held_good, held_pool = held_out_part(good), held_out_part(pool)
        good_scores, pool_scores = map(self._scores_of, (held_good, held_pool))
        found = judge(good_scores, pool_scores, getattr(scorer, "boundary", None))
        check_learned(found, getattr(scorer, "least_spread", 0.0), self._what_to_change(len(train_good)))
        ranking = rank(good_scores, pool_scores)
        return model, {
            "num_train_positives": len(train_good),
            "num_train_negatives": len(train_pool),
            "num_held_out": found.number,
            "held_out_precision_at_1": round(found.precision, 6),
            "held_out_scores": [round(found.low, 6), round(found.high, 6)],
            "held_out_auc": [round(value, 6) for value in (ranking.auc, ranking.low, ranking.high)],
            "held_out_curve": [[round(value, 6) for value in point] for point in ranking.curve],
            **(scorer.details() if hasattr(scorer, "details") else {}),
        }

    def _scores_of(self, texts: list[str]) -> np.ndarray:
        return self.scoring.scores(pa.array(texts, pa.large_string()))

    def _what_to_change(self, num_positives: int) -> str:
        more = (
            f"give more positives as quality.positives ({num_positives:,} were trained on), or such as are less like "
            "the pool"
        )
        if self.scoring.plugin is not None:
            return f"Change how {self.config.scorer} is trained, or {more}."
        return f"Raise quality.epoch (now {self.config.epoch}) or quality.lr (now {self.config.lr:g}), or {more}."

    def _positives(self, context: StageContext) -> tuple[list[str], str]:
        if self.config.positives == PYTHON_TOPICS:
            return list(python_topics()), f"{PYTHON_TOPICS} ({python_topics_fingerprint()})"
        file = context.assets["positives"]
        return read_positives(file), file.name

    def mark(self, batch: pa.RecordBatch, rows: pa.Array, decisions: pa.Table) -> pa.RecordBatch:
        digest = decisions["digest"][0].as_py()
        if self._loaded != digest:
            self.scoring.scorer.load(decisions["model"][0].as_py())
            self._loaded = digest
        return _append_scores(batch, self.scoring)


def _distinct(texts: Iterable[str], limit: int) -> list[str]:
    """The first `limit` texts that are not empty, without repetitions."""
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


def _digest(model: bytes) -> str:
    return hashlib.blake2b(model, digest_size=16).hexdigest()


def _signal(config: QualityConfig) -> Signal:
    if config.scorer == FASTTEXT:
        return _FASTTEXT_SIGNAL
    return MeasuredSignal(column=QUALITY_SCORE, label=f"quality score by {config.scorer.rsplit(':')[-1]}")


def _cut(config: QualityConfig) -> Stage:
    source = "set in the recipe; DCLM-Baseline's cut is 0.018112, for DCLM's own model"
    if config.threshold is not None:
        below = CutConfig(column=QUALITY_SCORE, op="<", threshold=config.threshold, reason=REASON)
        return make_cut(below, _signal(config), source if config.scorer == FASTTEXT else "set in the recipe")
    share = {name: getattr(config, name) for name in SHARE_SETTINGS}
    fixed = {"column": QUALITY_SCORE, "keep_fraction": config.keep_fraction, "reason": REASON}
    return make_cut(CutConfig.parse(fixed | share, "quality"), _signal(config))


def build(settings: dict[str, Any], recipe: Recipe) -> list[Stage]:
    """The stages of a recipe's `quality` step: one that scores and, unless the step only annotates, one that cuts.

    Raises ConfigError for wrong settings, or a scorer that cannot be used.
    """
    config = QualityConfig.parse(settings, "quality")
    trained = scoring_for(config).is_trained
    scores: Stage = QualityFit(config) if trained else QualityScore(config)
    return [scores] if config.annotate else [scores, _cut(config)]
