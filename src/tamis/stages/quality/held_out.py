"""Tests whether a classifier learned anything, on a tenth of its documents that is held out of training.

A cut by a classifier that learned nothing removes documents at random, which its result does not show, so such a
classifier is refused.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tamis.base.errors import DataError

EVERY = 10
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
