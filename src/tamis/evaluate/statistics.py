"""Intervals and tests: a bootstrap over clusters of items and over training seeds, with corrections for small numbers
of both.

Pages of one host resemble each other, so hosts are drawn, not pages: every metric is a ratio `sum(value * weight) /
sum(weight)` over items, which is resampled by drawing clusters with replacement. Where there are several training
seeds, they are resampled as well, with Gaussian multipliers, because two or three seeds drawn with replacement would
give only a few different values. As every seed is evaluated on the same items, the two factors are crossed.

A bootstrap of n units is too narrow by sqrt((n-1)/n) and ignores that its own spread is an estimate (Hesterberg, "What
Teachers Should Know About the Bootstrap", 2015, §3.2); deviations are therefore stretched to the width of Student's t,
each source of spread with its own degrees of freedom (Cochran's approximation: squared half-widths add up).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import NormalDist

import numpy as np

CONFIDENCE = 0.95
MIN_CLUSTERS = 3
"""Below this effective number of hosts, items are drawn in place of hosts, and the result says so."""

_CHUNK_CELLS = 4_000_000


def wilson(value: float, count: float, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Wilson's score interval of a proportion `value` observed on `count` (effective) independent trials."""
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    centre = (value + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * math.sqrt(value * (1 - value) / count + z * z / (4 * count * count))
    return max(0.0, centre - half), min(1.0, centre + half)


def effective_number(weights: np.ndarray) -> float:
    """Kish's effective number of units: the number of units of equal weight that would give the same precision."""
    return float(weights.sum() ** 2 / (weights**2).sum())


@dataclass(frozen=True)
class Clusters:
    """The cluster of each item. `codes`: int64 of shape (num_items,); `number`: number of clusters."""

    codes: np.ndarray
    number: int
    unit: str
    """The unit that is drawn: 'host', or 'item' where there are too few hosts."""

    @classmethod
    def of(cls, hosts: Sequence[str], weights: np.ndarray) -> "Clusters":
        """Cluster items by host (an item without a host is a cluster of its own), or make every item a cluster where
        there are few hosts."""
        names = [host or f"\0{place}" for place, host in enumerate(hosts)]
        unique, codes = np.unique(np.asarray(names, dtype=object).astype(str), return_inverse=True)
        if effective_number(np.bincount(codes, weights)) >= min(MIN_CLUSTERS, len(names)):
            return cls(codes, len(unique), "host")
        return cls(np.arange(len(names)), len(names), "item")

    def sums(self, values: np.ndarray) -> np.ndarray:
        """Sums per cluster over the last axis: (..., num_items) -> (..., number)."""
        rows = values.reshape(-1, values.shape[-1])
        out = np.stack([np.bincount(self.codes, row, minlength=self.number) for row in rows])
        return out.reshape(*values.shape[:-1], self.number)


@dataclass(frozen=True)
class Bootstrap:
    """An estimate, and the same estimate on every resample.

    `variances`: (variance, degrees of freedom) of each source of spread, small-sample factor included; `expansion`: by
    the factor (>= 1) by which the interval is wider than that of the resampled deviations alone.
    """

    estimate: float
    resampled: np.ndarray
    variances: list[tuple[float, float]]
    expansion: float

    @cached_property
    def _deviations(self) -> np.ndarray:
        return np.sort(self.resampled - self.estimate) * self.expansion

    def interval(self, confidence: float = CONFIDENCE) -> tuple[float, float]:
        """Percentile interval of the stretched deviations."""
        tail = (1 - confidence) / 2
        places = np.array([tail, 1 - tail]) * (len(self._deviations) - 1)
        low, high = np.interp(places, np.arange(len(self._deviations)), self._deviations) * self._stretch(1 - tail)
        return self.estimate + float(low), self.estimate + float(high)

    def _stretch(self, p: float) -> float:
        """Student's quantile over the normal one, averaged in squares over the sources of spread."""
        from scipy.special import stdtrit  # takes a third of a second to import

        total = sum(variance for variance, _ in self.variances)
        if total == 0 or p <= 0.5:
            return 1.0
        squares = sum(variance * float(stdtrit(df, p)) ** 2 for variance, df in self.variances)
        return math.sqrt(squares / total) / NormalDist().inv_cdf(p)

    def p_value(self) -> float:
        """Two-sided p-value: the largest 1 - confidence whose interval contains 0, so p < 0.05 exactly when the 95 %
        interval does not contain 0. It is never below 2 / (number of resamples + 1), the smallest value that resampling
        can give."""
        low, high = 2 / (len(self.resampled) + 1), 1.0
        for _ in range(40):
            middle = (low + high) / 2
            below, above = self.interval(1 - middle)
            low, high = (middle, high) if below <= 0 <= above else (low, middle)
        return high


@dataclass(frozen=True)
class Runs:
    """The trainings of one side, one per training seed, all scored on the same clusters.

    `numerators`: float64 of shape (num_seeds, num_clusters), sums of value * weight; `resampled`: float64 of shape
    (num_resamples, num_seeds), the metric of each training under each draw of clusters.
    """

    numerators: np.ndarray
    resampled: np.ndarray

    def __len__(self) -> int:
        return len(self.numerators)

    def __sub__(self, other: "Runs") -> "Runs":
        """The differences of trainings that are paired in order, in which effects of the seed that both share
        cancel."""
        return Runs(self.numerators - other.numerators, self.resampled - other.resampled)


def resample(
    numerators: Sequence[np.ndarray], weights: np.ndarray, rng: np.random.Generator, num_resamples: int
) -> list[Runs]:
    """Draw clusters with replacement, in common for all sides, so that any two of them can be compared.

    `numerators`: of each side, float64 of shape (num_seeds, num_clusters); `weights`: float64 of shape (num_clusters,).
    """
    stacked, number = np.concatenate(numerators), len(weights)
    ratios = []
    chunk = max(1, _CHUNK_CELLS // number)
    for start in range(0, num_resamples, chunk):
        rows = min(chunk, num_resamples - start)
        drawn = rng.multinomial(number, np.full(number, 1 / number), size=rows).astype(np.float64)
        ratios.append((drawn @ stacked.T) / (drawn @ weights)[:, None])
    cuts = np.cumsum([len(side) for side in numerators])[:-1]
    parts = np.split(np.concatenate(ratios), cuts, axis=1)
    return [Runs(side, part) for side, part in zip(numerators, parts, strict=True)]


def contrast(sides: Sequence[tuple[float, Runs]], weights: np.ndarray, rng: np.random.Generator) -> Bootstrap:
    """The bootstrap of `sum over sides of sign * mean over training seeds of the metric`.

    `sides`: (sign, trainings). The seeds of each side vary independently; those of a side with one seed do not vary, as
    their variance is unknown. `weights`: float64 of shape (num_clusters,).
    """
    combined = np.sum([sign * runs.numerators.mean(axis=0) for sign, runs in sides], axis=0)
    estimate = float(combined.sum() / weights.sum())
    residuals = combined - estimate * weights
    variances, expansion = _small_sample([runs.numerators for _, runs in sides], weights, residuals)
    resampled = np.zeros(len(sides[0][1].resampled))
    for sign, runs in sides:
        if len(runs) == 1:
            resampled += sign * runs.resampled[:, 0]
        else:
            noise = rng.standard_normal(runs.resampled.shape)
            shares = (1 + noise - noise.mean(axis=1, keepdims=True)) / len(runs)
            resampled += sign * (shares * runs.resampled).sum(axis=1)
    return Bootstrap(estimate, resampled, variances, expansion)


def bootstrap(numerators: np.ndarray, weights: np.ndarray, rng: np.random.Generator, num_resamples: int) -> Bootstrap:
    """The bootstrap of one side's metric: `numerators` as `Runs` has them, `weights` float64 (num_clusters,)."""
    [runs] = resample([numerators], weights, rng, num_resamples)
    return contrast([(1.0, runs)], weights, rng)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjustment (1979) for several tests. When adjusted p-values are compared with a level, the probability of
    any false positive is at most that level, whatever the dependence between the tests."""
    values = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(values, kind="stable")
    adjusted = np.empty(len(values))
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1)))
    return [float(value) for value in adjusted]


def _small_sample(
    sides: Sequence[np.ndarray], weights: np.ndarray, residuals: np.ndarray
) -> tuple[list[tuple[float, float]], float]:
    """Variances and degrees of freedom, of clusters and of seeds; and the factor by which resampling is too narrow.

    The effective number of unequal clusters can be less than two. At least one degree of freedom is assumed, because
    below it Student's quantiles become too large to be meaningful.
    """
    total, units = float(weights.sum()), effective_number(weights)
    plain = float((residuals**2).sum()) / total**2
    hosts = plain * units / (units - 1) if units > 1 else plain
    variances = [(hosts, max(1.0, units - 1))] if units > 1 else []
    several = [numerators for numerators in sides if len(numerators) > 1]
    counts = [len(numerators) for numerators in several]
    spreads = [float((numerators.sum(axis=1) / total).var()) / len(numerators) for numerators in several]
    seeds = [spread * count / (count - 1) for spread, count in zip(spreads, counts, strict=True)]
    if sum(seeds) > 0:  # Welch-Satterthwaite, where each side has its own seeds.
        df = sum(seeds) ** 2 / sum(part**2 / (count - 1) for part, count in zip(seeds, counts, strict=True))
        variances.append((sum(seeds), df))
    resampled = plain + sum(spreads)
    return variances, math.sqrt((hosts + sum(seeds)) / resampled) if resampled else 1.0
