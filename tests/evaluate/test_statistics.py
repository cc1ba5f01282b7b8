"""The statistics, tested against textbook intervals where there are any, and on what they promise: how often an
interval holds the truth, how often nothing looks like something."""

import math

import numpy as np
import pytest
from scipy import stats

from tamis.base.seeds import named_rng
from tamis.evaluate.statistics import (
    Bootstrap,
    Clusters,
    bootstrap,
    contrast,
    effective_number,
    holm,
    resample,
    wilson,
)

REPLICATIONS = 1000


def test_wilson_against_a_worked_example() -> None:
    low, high = wilson(0.1, 100)  # Newcombe 1998: 10 of 100
    assert (low, high) == (pytest.approx(0.0552, abs=1e-4), pytest.approx(0.1744, abs=1e-4))
    assert wilson(0.0, 20)[0] == 0 and wilson(1.0, 20)[1] == 1 and wilson(1.0, 20)[0] < 0.9


def test_holm_against_a_worked_example() -> None:
    # 0.005 * 4, 0.01 * 3, 0.03 * 2, and 0.04 * 1, which may not be less than the one before it
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.6]) == [1.0, 1.0]
    assert holm([0.03]) == [0.03] and holm([]) == []


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
    first, second = resample([a, a], weights, rng, 200)
    same = contrast([(-1.0, first), (1.0, second)], weights, rng)
    assert same.estimate == 0 and np.abs(same.resampled).max() < 1e-12 and same.p_value() == 1
    single = bootstrap(a, weights, rng, 200)
    assert single.estimate == pytest.approx(a.sum() / weights.sum())


def test_more_clusters_than_one_chunk_holds_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    numerators, weights = np.random.default_rng(0).normal(size=(2, 40)), np.ones(40)
    [whole] = resample([numerators], weights, np.random.default_rng(1), 100)
    monkeypatch.setattr("tamis.evaluate.statistics._CHUNK_CELLS", 130)
    [parts] = resample([numerators], weights, np.random.default_rng(1), 100)
    np.testing.assert_allclose(whole.resampled, parts.resampled, rtol=1e-12)
    assert whole.resampled.shape == (100, 2)


@pytest.mark.parametrize("num_clusters", [5, 10, 40])
def test_the_interval_over_few_clusters_is_students(num_clusters: int) -> None:
    """Of a mean of equal clusters: mean ± t(n-1) * s / √n. Without the factor √(n/(n-1)) or the stretch to Student's t
    it would be 11 % or 29 % too narrow at five clusters."""
    values = stats.norm.ppf((np.arange(num_clusters) + 0.5) / num_clusters)
    result = bootstrap(values[None], np.ones(num_clusters), np.random.default_rng(0), 100_000)
    low, high = stats.t.interval(0.95, num_clusters - 1, loc=values.mean(), scale=stats.sem(values))
    assert result.interval() == (pytest.approx(low, rel=0.03), pytest.approx(high, rel=0.03))
    assert result.expansion == pytest.approx(math.sqrt(num_clusters / (num_clusters - 1)))


@pytest.mark.parametrize("num_seeds", [2, 3, 8])
def test_the_interval_over_few_seeds_is_students(num_seeds: int) -> None:
    """Where clusters do not vary, seeds are all that does."""
    shifts = stats.norm.ppf((np.arange(num_seeds) + 0.5) / num_seeds)
    result = bootstrap(np.repeat(shifts[:, None], 30, axis=1), np.ones(30), np.random.default_rng(0), 100_000)
    low, high = stats.t.interval(0.95, num_seeds - 1, loc=0, scale=stats.sem(shifts))
    assert result.interval() == (pytest.approx(low, rel=0.03), pytest.approx(high, rel=0.03))


def test_unpaired_seeds_are_welchs() -> None:
    a, b = np.array([0.0, 1.0, 2.0]), np.array([3.0, 3.5, 3.1, 3.3, 3.6])
    rng = np.random.default_rng(0)
    runs = resample([np.repeat(side[:, None], 20, axis=1) for side in (a, b)], np.ones(20), rng, 100_000)
    result = contrast([(-1.0, runs[0]), (1.0, runs[1])], np.ones(20), rng)
    expected = stats.ttest_ind(b, a, equal_var=False).confidence_interval(0.95)
    assert result.estimate == pytest.approx(2.3)
    assert result.interval() == (pytest.approx(expected.low, abs=0.05), pytest.approx(expected.high, abs=0.05))


def test_an_interval_of_lopsided_items_keeps_a_scale() -> None:
    """Items that are worth little more than one: Student's quantiles below one degree of freedom pass 1e100."""
    weights = np.array([1e4, 1.0, 1.0, 1.0])
    low, high = bootstrap((np.arange(4.0) * weights)[None], weights, np.random.default_rng(0), 1000).interval()
    assert low < high < low + 1e3


def test_p_value_and_interval_agree() -> None:
    for shift in (-3.0, -2.0, -1.0, 0.0, 1.9, 2.2, 4.0):
        spread = np.random.default_rng(1).normal(size=5000)
        result = Bootstrap(shift, shift + spread, variances=[(1.0, 20.0)], expansion=1.02)
        low, high = result.interval()
        assert (result.p_value() < 0.05) == (not low <= 0 <= high)
    assert Bootstrap(50.0, 50 + spread, [(1.0, 20.0)], 1.02).p_value() == pytest.approx(2 / 5001)


def simulate(
    num_hosts: int, seeds: tuple[int, int], effect: float, host: float, seed_spread: float, paired: bool, name: str
) -> float:
    """Share of synthetic comparisons whose 95 % interval holds `effect`. Pages of one host share an effect, hosts have
    unequal numbers of pages of unequal bytes, every training seed shifts all pages of its model."""
    hits = 0
    for replication in range(REPLICATIONS):
        rng = named_rng(0, "coverage", name, replication)
        codes = np.repeat(np.arange(num_hosts), rng.integers(1, 9, num_hosts))
        weights = rng.integers(200, 4000, len(codes)).astype(float)
        clusters = Clusters(codes, num_hosts, "host")
        page = rng.normal(size=len(codes))
        sides = []
        for count, shift in zip(seeds, (0.0, effect), strict=True):
            mean = page + shift + host * rng.normal(size=num_hosts)[codes]
            noise = seed_spread * rng.normal(size=(count, 1)) + 0.5 * rng.normal(size=(count, len(codes)))
            sides.append(clusters.sums((mean + noise) * weights))
        totals = clusters.sums(weights)
        a, b = resample(sides, totals, rng, 400)
        terms = [(1.0, b - a)] if paired else [(-1.0, a), (1.0, b)]
        low, high = contrast(terms, totals, rng).interval()
        hits += low <= effect <= high
    return hits / REPLICATIONS


@pytest.mark.parametrize(
    ("num_hosts", "seeds", "effect", "host", "seed_spread", "paired"),
    [
        (8, (1, 1), 0.5, 0.7, 0.0, True),
        (20, (1, 1), 0.0, 0.7, 0.0, True),
        (30, (1, 1), 0.5, 0.7, 0.0, True),
        (30, (1, 1), 0.0, 0.0, 0.0, True),
        (25, (3, 3), 0.0, 0.5, 0.3, True),
        (40, (3, 3), 0.5, 0.5, 0.3, False),
        (40, (3, 5), 0.0, 0.5, 0.3, False),
    ],
)
def test_intervals_hold_the_truth_as_often_as_they_say(
    num_hosts: int, seeds: tuple[int, int], effect: float, host: float, seed_spread: float, paired: bool
) -> None:
    """With effect 0, one minus the coverage is the rate of false findings."""
    name = f"{num_hosts} {seeds} {effect} {host} {paired}"
    coverage = simulate(num_hosts, seeds, effect, host, seed_spread, paired, name)
    assert 0.93 <= coverage <= 0.985, coverage


def test_a_real_difference_is_found() -> None:
    """Pairing takes out the spread of pages (1.0): an effect of a tenth of it is seen on 30 hosts."""
    rng = named_rng(0, "power")
    hosts = np.repeat(np.arange(30), 5)
    clusters = Clusters.of([f"h{code}" for code in hosts], np.ones(150))
    page = rng.normal(size=150)
    sides = [clusters.sums((page + shift + 0.1 * rng.normal(size=150))[None]) for shift in (0.0, 0.1)]
    totals = clusters.sums(np.ones(150))
    a, b = resample(sides, totals, rng, 2000)
    paired = contrast([(1.0, b - a)], totals, rng)
    assert paired.interval()[0] > 0 and paired.p_value() < 0.01
