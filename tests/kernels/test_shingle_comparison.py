"""Verification of near-duplicates against its twin, in groups of any size, and within its limits on many pages."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tamis.kernels.dedup import verify
from tamis.kernels.reference.dedup import verify as twin

THRESHOLDS = [0.5, 0.8, 0.98, 1.0]


def packed(sets: list[list[int]]) -> tuple[np.ndarray, np.ndarray]:
    values = np.array([value for one in sets for value in one], np.uint64)
    return values, np.cumsum([0, *map(len, sets)])


def check(sets: list[list[int]], groups: list[int], fixed: int, threshold: float, contained: bool) -> None:
    keepers, similarity, limited, _ = verify.settle(
        *packed(sets), np.array(groups, np.int64), fixed, threshold, contained
    )
    expected, near = twin.settle(sets, groups, fixed, threshold, contained)
    assert keepers.tolist() == expected
    assert similarity.tolist() == np.array(near, np.float32).tolist()
    assert not limited.any()


def relatives(rng: np.random.Generator, number: int, size: int) -> list[list[int]]:
    """Sets that grow out of one another: copies with some values replaced, halves, unions."""
    sets = [rng.integers(0, 2**64, size, np.uint64)]
    while len(sets) < number:
        one = sets[rng.integers(len(sets))]
        kept = one[rng.random(len(one)) > rng.choice([0, 0.05, 0.15, 0.5])]
        new = rng.integers(0, 2**64, rng.integers(1, size // 4), np.uint64)
        sets.append(np.unique(np.concatenate([kept, new[rng.random(len(new)) > 0.5]])))
    return [np.unique(one).tolist() for one in sets]


@settings(max_examples=80, deadline=None)
@given(st.lists(st.integers(0, 6), max_size=60), st.integers(1, 5))
def test_sets_are_those_of_the_twin(units: list[int], ngram: int) -> None:
    halves = [units[: len(units) // 2], units[len(units) // 2 :], [], units]
    values, offsets = verify.shingle_sets(*packed(halves), ngram)
    for place, half in enumerate(halves):
        assert values[offsets[place] : offsets[place + 1]].tolist() == twin.shingle_set(half, ngram)


@pytest.mark.parametrize("values", [[], [5], [1, 1, 1], list(range(5000, 0, -1)), [2**64 - 1, 0, 2**63]])
def test_values_of_any_kind_are_sorted(values: list[int]) -> None:
    out, ends = np.zeros(len(values), np.uint64), np.zeros(2 * len(values) + 4, np.int64)
    number = verify.sort_distinct(np.array(values, np.uint64), out, ends)
    assert out[:number].tolist() == sorted(set(values))


@pytest.mark.parametrize("contained", [False, True])
@pytest.mark.parametrize("threshold", THRESHOLDS)
def test_groups_are_settled_as_the_twin_settles_them(threshold: float, contained: bool) -> None:
    rng = np.random.default_rng(7)
    for round_number, number in enumerate([1, 2, 5, verify.ALL_PAIRS, verify.ALL_PAIRS + 1, 60, 90]):
        sets = relatives(rng, number, 40)
        check(sets, [3] * number, 0, threshold, contained)
        check(sets, sorted(rng.integers(0, 3, number).tolist()), 0, threshold, contained)
        fixed = min(number, round_number)
        check(sets, [0] * number, fixed, threshold, contained)


def test_empty_sets_are_kept() -> None:
    check([[], [], [1], [1]], [0] * 4, 0, 0.8, False)
    check([[]] * 40 + [[1], [1]], [0] * 42, 0, 0.8, True)


def test_no_chain_removes_what_does_not_resemble_its_keeper() -> None:
    chain = [list(range(start, start + 100)) for start in range(0, 200, 5)]
    keepers, similarity, _, _ = verify.settle(*packed(chain), np.zeros(len(chain), np.int64), 0, 0.8, False)
    for document, keeper in enumerate(keepers.tolist()):
        assert keepers[keeper] == keeper
        if keeper != document:
            near = twin.resemblance(chain[document], chain[keeper], False)
            assert near >= 0.8 and similarity[document] == np.float32(near)


def test_templated_pages_take_time_in_proportion_to_their_number() -> None:
    """Twenty thousand pages of which each shares three quarters with all others: hardly any comparison is made."""
    rng = np.random.default_rng(1)
    template, number = rng.integers(0, 2**64, 60, np.uint64), 20_000
    sets = np.sort(np.hstack([np.tile(template, (number, 1)), rng.integers(0, 2**64, (number, 20), np.uint64)]))
    starts = np.arange(0, sets.size + 1, 80)
    keepers, _, limited, compared = verify.settle(sets.ravel(), starts, np.zeros(number, np.int64), 0, 0.8, False)
    assert (keepers == np.arange(number)).all() and not limited.any()
    assert compared < number


def test_pages_made_of_few_parts_are_compared_with_a_limited_number() -> None:
    """Pages that each hold ten of fifty paragraphs share every shingle with thousands of others."""
    rng = np.random.default_rng(2)
    parts = rng.integers(0, 2**64, (50, 8), np.uint64)
    sets = np.stack([np.sort(parts[rng.permutation(50)[:10]].ravel()) for _ in range(5_000)])
    keepers, similarity, limited, compared = verify.settle(
        sets.ravel(), np.arange(0, sets.size + 1, 80), np.zeros(len(sets), np.int64), 0, 0.8, False
    )
    assert compared <= len(sets) * verify.MAX_COMPARED and limited.any()
    for document in np.flatnonzero(keepers != np.arange(len(sets))):
        assert similarity[document] >= 0.8
        assert twin.resemblance(sets[document].tolist(), sets[keepers[document]].tolist(), False) >= 0.8
