"""Whether a classifier learned anything: a tenth of its documents is held out of training and tells.

A cut by a classifier that learned nothing removes documents at random and looks like any other cut, so such a
classifier is refused.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tamis.base.errors import DataError

EVERY = 10
LEVEL = 0.1
"""A classifier passes when guessing would tell as many held-out documents apart with at most this probability. No
smaller, because of the fewest documents that are trained on, four are held out, and guessing tells four apart with
1/16."""


def training_part(texts: Sequence[str]) -> list[str]:
    """All but the held-out tenth."""
    return [text for place, text in enumerate(texts) if place % EVERY]


def held_out_part(texts: Sequence[str]) -> list[str]:
    """Every tenth text, from the first."""
    return list(texts[::EVERY])


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """How a classifier did on documents that it was not trained on: `right` of `number`, with scores `low`..`high`."""

    right: int
    number: int
    low: float
    high: float

    @property
    def precision(self) -> float:
        return self.right / self.number

    @property
    def chance(self) -> float:
        """Probability that guessing tells at least as many apart (binomial test, one-sided)."""
        from scipy.stats import binomtest

        return float(binomtest(self.right, self.number, 0.5, alternative="greater").pvalue)


def judge(good: np.ndarray, pool: np.ndarray, boundary: float | None) -> HeldOut:
    """From scores of held-out documents of both kinds (float64); `boundary` None = the median of all."""
    both = np.concatenate([good, pool])
    middle = float(np.median(both)) if boundary is None else boundary
    right = int(np.count_nonzero(good > middle) + np.count_nonzero(pool <= middle))
    return HeldOut(right=right, number=len(both), low=float(both.min()), high=float(both.max()))


def check_learned(found: HeldOut, least_spread: float, what_to_change: str) -> None:
    """Raises DataError when the scores are all alike, or tell no more documents apart than guessing would.

    A score that is not a number fails both tests.
    """
    if found.high - found.low > least_spread and found.chance <= LEVEL:
        return
    raise DataError(
        "quality: the classifier learned nothing, and a cut by it would remove documents at random: on "
        f"{found.number} held-out documents its scores go from {found.low:.4f} to {found.high:.4f}, and it tells "
        f"{found.right} of them apart ({found.number / 2:.0f} by guessing). {what_to_change}"
    )
