"""The statistics, tested on what they promise: how often an interval holds the truth, how often nothing looks like
something."""

import math

import numpy as np
import pytest

from tamis.base.seeds import named_rng
from tamis.evaluate.statistics import (
    Bootstrap,
    Clusters,
    bootstrap,
    effective_number,
    student_cdf,
    student_quantile,
    wilson,
)

REPLICATIONS = 300


def test_student_against_tables() -> None:
    for p, df, value in [(0.975, 1, 12.7062), (0.975, 4, 2.77645), (0.95, 10, 1.81246), (0.9, 30, 1.31042)]:
        assert student_quantile(p, df) == pytest.approx(value, rel=1e-5)
        assert student_cdf(student_quantile(p, df), df) == pytest.approx(p, abs=1e-9)
    assert student_quantile(0.025, 4) == pytest.approx(-2.77645, rel=1e-5)
    assert student_quantile(0.975, math.inf) == pytest.approx(1.959964, rel=1e-6)
    # one degree of freedom is Cauchy's, two have a closed form
    assert student_cdf(3.0, 1) == pytest.approx(0.5 + math.atan(3.0) / math.pi, abs=1e-12)
    assert student_cdf(-1.5, 2) == pytest.approx(0.5 - 1.5 / (2 * math.sqrt(2 + 1.5**2)), abs=1e-12)


def test_wilson_against_a_worked_example() -> None:
    low, high = wilson(0.1, 100)  # Newcombe 1998: 10 of 100
    assert (low, high) == (pytest.approx(0.0552, abs=1e-4), pytest.approx(0.1744, abs=1e-4))
    assert wilson(0.0, 20)[0] == 0 and wilson(1.0, 20)[1] == 1 and wilson(1.0, 20)[0] < 0.9


def test_hosts_are_clusters_unless_there_are_few() -> None:
    weights = np.ones(12)
    many = Clusters.of([f"h{n % 6}" for n in range(12)], weights)
    assert (many.number, many.unit) == (6, "host")
    assert many.sums(np.arange(12.0)).tolist() == [6.0, 8.0, 10.0, 12.0, 14.0, 16.0]
    assert Clusters.of([f"h{n % 2}" for n in range(12)], weights).unit == "item"
    lopsided = np.array([1000.0, *[1.0] * 11])
    assert effective_number(lopsided) < 1.1
    assert Clusters.of([f"h{n % 6}" for n in range(12)], lopsided).unit == "item"
    assert Clusters.of([""] * 12, weights).number == 12


def test_the_estimate_is_the_weighted_mean_and_sides_share_clusters() -> None:
    rng = np.random.default_rng(0)
    weights = rng.uniform(1, 5, 30)
    a = rng.normal(size=(1, 30)) * weights
    same = bootstrap([(-1.0, a), (1.0, a)], weights, rng, 200)
    assert same.estimate == 0 and np.abs(same.resampled).max() < 1e-12 and same.p_value() == 1
    single = bootstrap([(1.0, a)], weights, rng, 200)
    assert single.estimate == pytest.approx(a.sum() / weights.sum())


def test_p_value_and_interval_agree() -> None:
    for shift in (-3.0, -2.0, -1.0, 0.0, 1.9, 2.2, 4.0):
        spread = np.random.default_rng(1).normal(size=5000)
        result = Bootstrap(shift, shift + spread, variances=[(1.0, 20.0)], expansion=1.02)
        low, high = result.interval()
        assert (result.p_value() < 0.05) == (not low <= 0 <= high)
    assert Bootstrap(50.0, 50 + spread, [(1.0, 20.0)], 1.02).p_value() == pytest.approx(2 / 5001)


def simulate(
    num_hosts: int, seeds: tuple[int, int], effect: float, host: float, seed_spread: float, name: str
) -> float:
    """Share of synthetic comparisons whose 95 % interval holds `effect`. Pages of one host share an effect, hosts have
    unequal numbers of pages of unequal bytes, every training seed shifts all pages."""
    hits = 0
    for replication in range(REPLICATIONS):
        rng = named_rng(0, "coverage", name, replication)
        codes = np.repeat(np.arange(num_hosts), rng.integers(1, 9, num_hosts))
        weights = rng.integers(200, 4000, len(codes)).astype(float)
        clusters = Clusters.of([f"h{code}" for code in codes], weights)
        page = rng.normal(size=len(codes))
        sides = []
        for count, shift in zip(seeds, (0.0, effect), strict=True):
            own = shift + host * rng.normal(size=num_hosts)[codes]
            runs = [
                page + own + seed_spread * rng.normal() + 0.5 * rng.normal(size=len(codes)) for _ in range(count)
            ]  # fmt: skip
            sides.append(clusters.sums(np.stack(runs) * weights))
        a, b = sides
        pairs = [(1.0, b - a)] if len(a) == len(b) else [(-1.0, a), (1.0, b)]
        low, high = bootstrap(pairs, clusters.sums(weights), rng, 400).interval()
        hits += low <= effect <= high
    return hits / REPLICATIONS


@pytest.mark.parametrize(
    ("num_hosts", "seeds", "effect", "host", "seed_spread"),
    [
        (8, (1, 1), 0.5, 0.7, 0.0),
        (30, (1, 1), 0.5, 0.7, 0.0),
        (30, (1, 1), 0.0, 0.0, 0.0),
        (100, (1, 1), 0.0, 0.7, 0.0),
        (40, (3, 3), 0.0, 0.5, 0.3),
        (40, (5, 5), 0.5, 0.5, 0.3),
        (40, (3, 5), 0.0, 0.5, 0.3),
    ],
)
def test_intervals_hold_the_truth_as_often_as_they_say(
    num_hosts: int, seeds: tuple[int, int], effect: float, host: float, seed_spread: float
) -> None:
    """With effect 0 this is also the rate of false positives: at most about 7 %."""
    coverage = simulate(num_hosts, seeds, effect, host, seed_spread, f"{num_hosts} {seeds} {effect} {host}")
    assert 0.91 <= coverage <= 0.99, coverage
    assert effect or coverage >= 0.93, coverage


def test_a_real_difference_is_found() -> None:
    """Pairing takes out the spread of pages (1.0): an effect of a tenth of it is seen on 30 hosts."""
    rng = named_rng(0, "power")
    hosts = np.repeat(np.arange(30), 5)
    clusters = Clusters.of([f"h{code}" for code in hosts], np.ones(150))
    page = rng.normal(size=150)
    a, b = (page + shift + 0.1 * rng.normal(size=150) for shift in (0.0, 0.1))
    result = bootstrap([(1.0, clusters.sums((b - a)[None]))], clusters.sums(np.ones(150)), rng, 2000)
    assert result.interval()[0] > 0 and result.p_value() < 0.01
