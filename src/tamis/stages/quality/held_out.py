"""Tests whether a classifier learned anything, and how much, on a tenth of its documents that is held out of training.

A cut by a classifier that learned nothing removes documents at random, which its result does not show, so such a
classifier is refused.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tamis.base.errors import DataError

EVERY = 10
MOST_CUTS = 41
"""Largest number of points of a curve."""
LEVEL = 0.1
"""A classifier passes when guessing would classify as many held-out documents correctly with at most this probability.
It cannot be smaller: of the smallest training set four documents are held out, and guessing classifies all four
correctly with probability 1/16."""


def training_part(texts: Sequence[str]) -> list[str]:
    """All texts except the held-out tenth."""
    return [text for place, text in enumerate(texts) if place % EVERY]


def held_out_part(texts: Sequence[str]) -> list[str]:
    """The held-out texts: every tenth one, from the first."""
    return list(texts[::EVERY])


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """The result of a classifier on documents that it was not trained on: `right` of `number` are classified correctly,
    and the scores range from `low` to `high`."""

    right: int
    number: int
    low: float
    high: float

    @property
    def precision(self) -> float:
        return self.right / self.number

    @property
    def chance(self) -> float:
        """Probability that guessing classifies at least as many documents correctly (one-sided binomial test)."""
        from scipy.stats import binomtest

        return float(binomtest(self.right, self.number, 0.5, alternative="greater").pvalue)


def judge(good: np.ndarray, pool: np.ndarray, boundary: float | None) -> HeldOut:
    """Computed from the scores (float64) of held-out documents of both kinds; `boundary` None = the median of all
    scores."""
    both = np.concatenate([good, pool])
    middle = float(np.median(both)) if boundary is None else boundary
    right = int(np.count_nonzero(good > middle) + np.count_nonzero(pool <= middle))
    return HeldOut(right=right, number=len(both), low=float(both.min()), high=float(both.max()))


@dataclass(frozen=True, kw_only=True)
class Ranking:
    """How well scores put held-out good documents above held-out documents of the pool.

    `auc` is the probability that a good document scores higher than one of the pool (ties count half), from `low` to
    `high` with 95 % confidence (Hanley and McNeil 1982). `curve` has for cuts at falling scores: the score, the share
    of the pool that passes, the share of the good documents that passes, and the precision: the share of good
    documents among what passes, where both kinds are equally many."""

    auc: float
    low: float
    high: float
    curve: list[tuple[float, float, float, float]]


def rank(good: np.ndarray, pool: np.ndarray) -> Ranking:
    """Computed from the scores (float64, none of them NaN) of held-out documents of both kinds."""
    from scipy.stats import rankdata

    n, m = len(good), len(pool)
    auc = (float(rankdata(np.concatenate([good, pool]))[:n].sum()) - n * (n + 1) / 2) / (n * m)
    both, twice = auc / (2 - auc), 2 * auc * auc / (1 + auc)
    variance = (auc * (1 - auc) + (n - 1) * (both - auc * auc) + (m - 1) * (twice - auc * auc)) / (n * m)
    width = 1.96 * float(np.sqrt(max(variance, 0.0)))
    cuts = np.unique(np.concatenate([good, pool]))[::-1]
    cuts = cuts[np.unique(np.linspace(0, len(cuts) - 1, MOST_CUTS).round().astype(int))]
    curve = []
    for cut in cuts.tolist():
        passed_pool, passed_good = float(np.mean(pool >= cut)), float(np.mean(good >= cut))
        curve.append((cut, passed_pool, passed_good, passed_good / (passed_good + passed_pool)))
    return Ranking(auc=auc, low=max(auc - width, 0.0), high=min(auc + width, 1.0), curve=curve)


def check_learned(found: HeldOut, least_spread: float, what_to_change: str) -> None:
    """Raises DataError when all scores are equal, or classify no more documents correctly than guessing would.

    A score that is not a number fails both tests.
    """
    if found.high - found.low > least_spread and found.chance <= LEVEL:
        return
    raise DataError(
        "quality: the classifier learned nothing, and a cut by it would remove documents at random: on "
        f"{found.number} held-out documents its scores go from {found.low:.4f} to {found.high:.4f}, and it classifies "
        f"{found.right} of them correctly ({found.number / 2:.0f} by guessing). {what_to_change}"
    )
