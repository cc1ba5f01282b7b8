"""The blocked Bloom filter keeps its promises; n-grams are those of the words, whatever surrounds them."""

import numpy as np
import pyarrow as pa
import pytest

from tamis.kernels.dedup.bloom import find_all, insert_all
from tamis.kernels.reference.dedup.bloom import Bff
from tamis.stages.dedup.bloom.filter import MARGIN, FilterShape, largest_filter, size_filter
from tamis.stages.dedup.bloom.lists import from_lists, ngram_lists, to_lists


@pytest.mark.parametrize("fp_rate", [0.1, 0.01, 1e-3, 1e-4])
def test_measured_false_positives_are_those_asked_for(fp_rate: float) -> None:
    rng = np.random.default_rng(7)
    num_ngrams = 500_000
    seen, unseen = (rng.integers(0, 1 << 64, n, np.uint64) for n in (num_ngrams, 2_000_000))
    shape = size_filter(num_ngrams, fp_rate)
    table, found = shape.empty(), np.empty(len(unseen), np.bool_)
    insert_all(table, seen, shape.per_word)
    find_all(table, unseen, shape.per_word, found)
    noise = 4 * (fp_rate / len(unseen) + fp_rate**2 / shape.num_blocks) ** 0.5
    assert 0.97 * fp_rate - noise < found.mean() < fp_rate + noise
    find_all(table, seen, shape.per_word, found[:num_ngrams])
    assert found[:num_ngrams].all()


def test_sizes() -> None:
    assert size_filter(0, 0.01).num_blocks == 1
    assert FilterShape(num_blocks=1, per_word=1).false_positive_rate(0) == 0
    for num_ngrams in (1, 100, 10_000, 10**9, 10**12):
        shape = size_filter(num_ngrams, 0.01)
        smaller = FilterShape(num_blocks=max(shape.num_blocks - 1, 1), per_word=shape.per_word)
        assert shape.false_positive_rate(num_ngrams) <= MARGIN * 0.01
        assert shape.num_blocks == 1 or smaller.false_positive_rate(num_ngrams) > MARGIN * 0.01
        assert num_ngrams < 10_000 or 10.0 < 8 * shape.num_bytes / num_ngrams < 10.3
    crowded = largest_filter(1000, 10**6)
    assert crowded.num_bytes <= 1000 and crowded.false_positive_rate(10**6) > 0.99


def grams(texts: list[str], size: int, least: int, by_line: bool) -> list[list[tuple[int, list[int]]]]:
    """Per text: unit number and n-gram hashes of each unit that has any."""
    ngrams, numbers, sizes = ngram_lists(pa.array(texts), size, least, by_line)
    out = []
    for hashes, units, counts in zip(ngrams.to_pylist(), numbers.to_pylist(), sizes.to_pylist(), strict=True):
        ends = np.cumsum([0, *counts]).tolist()
        assert ends[-1] == len(hashes)
        out.append([(unit, hashes[a:b]) for unit, a, b in zip(units, ends[:-1], ends[1:], strict=True)])
    return out


def test_ngrams_follow_units_and_words() -> None:
    (plain,), (spaced,) = grams(["a b c d"], 3, 3, True), grams([" a  b\tc d \n"], 3, 3, True)
    assert [(unit, len(hashes)) for unit, hashes in plain] == [(0, 2)] and spaced == plain
    (lines,) = grams(["\na b c d\n\nb c d\na b\n"], 3, 2, True)
    assert [(unit, len(hashes)) for unit, hashes in lines] == [(1, 2), (3, 1), (4, 1)]
    assert lines[0][1] == plain[0][1] and lines[1][1] == plain[0][1][1:]
    (document,) = grams(["a b\nc d"], 3, 3, False)
    assert document == plain
    assert grams(["a b", "", "c"], 3, 2, True)[1:] == [[], []]
    long, short = grams(["a b c", "a b"], 3, 2, True)
    assert long[0][1] != short[0][1]
    hashes = {tuple(g) for t in ("a b c", "c b a", "a a b", "a b b", "ab c d") for _, g in grams([t], 3, 3, True)[0]}
    assert len(hashes) == 5


def test_lists_come_back_from_slices_and_nulls() -> None:
    lists = to_lists(np.array([1, 2, 3, 4], np.int32), np.array([0, 1, 1, 4]))
    values, offsets = from_lists(lists.slice(1))
    assert values.tolist() == [2, 3, 4] and offsets.tolist() == [0, 0, 3]
    values, offsets = from_lists(pa.array([[1], None, [2, 3]], pa.list_(pa.int32())))
    assert values.tolist() == [1, 2, 3] and offsets.tolist() == [0, 1, 1, 3]


def test_the_twin_joins_runs_over_gaps() -> None:
    words = [f"w{i}" for i in range(80)]
    bff = Bff(mode="substring", size=3, threshold=0.9, least_tokens=20)
    assert bff.judge(" ".join(words)).spans == []
    changed = [*words[:30], "x", *words[31:], "new"]
    verdict = bff.judge(" ".join(changed))
    assert verdict.spans == [(0, len(" ".join(changed)) - 3)] and verdict.total == 79
