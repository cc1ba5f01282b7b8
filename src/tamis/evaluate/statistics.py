"""Intervals: a bootstrap over clusters of items (and over training seeds), corrected for small numbers of either.

Pages of one host resemble each other, so hosts are drawn, not pages: every metric is a ratio
`sum(value * weight) / sum(weight)` over items, which is resampled by drawing clusters with replacement. Training seeds,
where there are several, vary as well, by Gaussian multipliers: two or three seeds drawn with replacement take a handful
of values only. As every seed is evaluated on the same items, the two are crossed.

A bootstrap of n units is too narrow by sqrt((n-1)/n) and ignores that its own spread is an estimate (Hesterberg, "What
Teachers Should Know About the Bootstrap", 2015, §3.2); deviations are therefore stretched to the width of Student's t,
each source of spread with its own degrees of freedom (Cochran's approximation: squared half-widths add up).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from statistics import NormalDist

import numpy as np

CONFIDENCE = 0.95
MIN_CLUSTERS = 3
"""Below this effective number of hosts, items are drawn instead, and the result says so."""

_CHUNK_CELLS = 4_000_000


def student_cdf(t: float, df: float) -> float:
    """Cumulative distribution of Student's t, by Gauss-Legendre quadrature of its density in the angle atan(t/√df)."""
    if df > 1e6:
        return NormalDist().cdf(t)
    nodes, weights = _quadrature()
    angle = math.atan(t / math.sqrt(df))
    integral = float((weights * np.cos((nodes + 1) * angle / 2) ** (df - 1)).sum()) * angle / 2
    return 0.5 + integral * math.exp(math.lgamma((df + 1) / 2) - math.lgamma(df / 2)) / math.sqrt(math.pi)


@cache
def _quadrature() -> tuple[np.ndarray, np.ndarray]:
    nodes, weights = np.polynomial.legendre.leggauss(200)
    return nodes, weights


@cache
def student_quantile(p: float, df: float) -> float:
    """Inverse of `student_cdf`, by bisection. `p` in (0, 1)."""
    if p < 0.5:
        return -student_quantile(1 - p, df)
    low, high = 0.0, 1.0
    while student_cdf(high, df) < p and high < 1e12:
        high *= 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if student_cdf(middle, df) < p else (low, middle)
    return (low + high) / 2


def wilson(value: float, count: float, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Wilson's score interval of a proportion `value` observed on `count` (effective) independent trials."""
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    centre = (value + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * math.sqrt(value * (1 - value) / count + z * z / (4 * count * count))
    return max(0.0, centre - half), min(1.0, centre + half)


def effective_number(weights: np.ndarray) -> float:
    """Kish's effective number of units: how many equal ones would estimate as well as these unequal ones."""
    return float(weights.sum() ** 2 / (weights**2).sum())


@dataclass(frozen=True)
class Clusters:
    """Which cluster each item belongs to. `codes`: int64 of shape (num_items,), `number`: how many clusters."""

    codes: np.ndarray
    number: int
    unit: str
    """What is drawn: 'host', or 'item' where there are too few hosts to draw."""

    @classmethod
    def of(cls, hosts: Sequence[str], weights: np.ndarray) -> "Clusters":
        """Cluster items by host (an empty host is a cluster of its own), or leave them apart where hosts are few."""
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
    """An estimate with its resampled twins.

    `variances`: (variance, degrees of freedom) of each source of spread, small-sample factor included; `expansion`: by
    how much wider than the resampled deviations these make it (>= 1).
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
        total = sum(variance for variance, _ in self.variances)
        if total == 0 or p <= 0.5:
            return 1.0
        squares = sum(variance * student_quantile(p, df) ** 2 for variance, df in self.variances)
        return math.sqrt(squares / total) / NormalDist().inv_cdf(p)

    def p_value(self) -> float:
        """Two-sided: the largest 1 - confidence whose interval still holds 0, so p < 0.05 exactly when the 95 %
        interval leaves 0 out. Never below 2 / (number of resamples + 1), which is as far as resampling can tell."""
        low, high = 2 / (len(self.resampled) + 1), 1.0
        for _ in range(40):
            middle = (low + high) / 2
            below, above = self.interval(1 - middle)
            low, high = (middle, high) if below <= 0 <= above else (low, middle)
        return high


def bootstrap(
    sides: Sequence[tuple[float, np.ndarray]], weights: np.ndarray, rng: np.random.Generator, num_resamples: int
) -> Bootstrap:
    """Resample `sum over sides of sign * mean over seeds of (sum over clusters of numerator) / (sum of weights)`.

    `sides`: (sign, numerators float64 of shape (num_seeds, num_clusters)); clusters are drawn in common for all sides,
    seeds for each side on its own. `weights`: float64 of shape (num_clusters,).
    """
    total = weights.sum()
    combined = np.sum([sign * numerators.mean(axis=0) for sign, numerators in sides], axis=0)
    estimate = float(combined.sum() / total)
    variances, expansion = _small_sample(sides, weights, combined - estimate * weights)
    resampled, number = [], len(weights)
    chunk = max(1, _CHUNK_CELLS // number)
    for start in range(0, num_resamples, chunk):
        rows = min(chunk, num_resamples - start)
        drawn = rng.multinomial(number, np.full(number, 1 / number), size=rows).astype(np.float64)
        numerator = np.zeros(rows)
        for sign, numerators in sides:
            seeds = len(numerators)
            noise = rng.standard_normal((rows, seeds))
            shares = (1 + noise - noise.mean(axis=1, keepdims=True)) / seeds
            numerator += sign * ((shares @ numerators) * drawn).sum(axis=1)
        resampled.append(numerator / (drawn @ weights))
    return Bootstrap(estimate, np.concatenate(resampled), variances, expansion)


def _small_sample(
    sides: Sequence[tuple[float, np.ndarray]], weights: np.ndarray, residuals: np.ndarray
) -> tuple[list[tuple[float, float]], float]:
    """Variances and degrees of freedom, of clusters and of seeds; and the factor by which resampling is narrow."""
    total, units = float(weights.sum()), effective_number(weights)
    plain = float((residuals**2).sum()) / total**2
    hosts = plain * units / (units - 1) if units > 1 else plain
    variances = [(hosts, units - 1)] if units > 1 else []
    counts = [len(numerators) for _, numerators in sides if len(numerators) > 1]
    spreads = [float((n.sum(axis=1) / total).var()) / len(n) for _, n in sides if len(n) > 1]
    seeds = [spread * count / (count - 1) for spread, count in zip(spreads, counts, strict=True)]
    if sum(seeds) > 0:  # Welch-Satterthwaite where each side has seeds of its own
        df = sum(seeds) ** 2 / sum(part**2 / (count - 1) for part, count in zip(seeds, counts, strict=True))
        variances.append((sum(seeds), df))
    resampled = plain + sum(spreads)
    return variances, math.sqrt((hosts + sum(seeds)) / resampled) if resampled else 1.0
