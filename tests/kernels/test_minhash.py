"""MinHash kernels against their twins, and against the law that they exist for: the S-curve of LSH banding."""

import numpy as np
import pyarrow as pa
import pytest
from hostile import repetitive, texts
from hypothesis import given, settings
from hypothesis import strategies as st

from tamis.kernels.dedup.components import flatten, join
from tamis.kernels.dedup.minhash import FUNCTIONS_PER_BLOCK, SHINGLES_PER_BLOCK, band_keys, character_hashes
from tamis.kernels.reference.dedup import components as components_twin
from tamis.kernels.reference.dedup import minhash as twin
from tamis.kernels.reference.text.ngrams import word_hashes as word_hashes_twin
from tamis.kernels.text.decoding import views
from tamis.kernels.text.ngrams import fold_table, word_hashes


def functions(number: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    drawn = np.random.default_rng(seed).integers(0, 2**64, (2, number), np.uint64)
    return drawn[0] | np.uint64(1), drawn[1]


def check_keys(documents: list[str], ngram: int, bands: int, rows: int) -> None:
    a, b = functions(bands * rows)
    for hashes, hashes_twin in ((word_hashes, word_hashes_twin), (character_hashes, twin.character_hashes)):
        units, offsets = hashes(*views(pa.array(documents, pa.string())), fold_table())
        keys, empty, digests = band_keys(units, offsets, ngram, a, b, bands)
        for document, text in enumerate(documents):
            expected_units = hashes_twin(text)
            assert units[offsets[document] : offsets[document + 1]].tolist() == expected_units
            expected = twin.band_keys(expected_units, ngram, a.tolist(), b.tolist(), bands)
            assert empty[document] == (expected is None)
            assert keys[:, document].tolist() == (expected or [0] * bands)
            assert digests[document] == twin.digest(expected_units, ngram)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.one_of(texts, repetitive), max_size=4), st.integers(1, 7))
def test_keys_are_those_of_the_twin(documents: list[str], ngram: int) -> None:
    check_keys(documents, ngram, bands=3, rows=2)


@pytest.mark.parametrize(
    "words", [4, 5, 6, 7, 8, SHINGLES_PER_BLOCK + 3, SHINGLES_PER_BLOCK + 4, SHINGLES_PER_BLOCK + 5]
)
def test_keys_at_the_edges_of_blocks(words: int) -> None:
    text = " ".join(f"w{i}" for i in range(words))
    check_keys([text, "", text.upper()], 5, bands=FUNCTIONS_PER_BLOCK // 8 + 1, rows=8)


def similar_pairs(jaccard: float, pairs: int, size: int, rng: np.random.Generator) -> tuple[np.ndarray, float]:
    """Words (uint64[2 * pairs, k]) of documents that share, pair by pair, as many as the similarity asks for; and the
    similarity that they have."""
    own = round(size * (1 - jaccard) / (1 + jaccard))
    common = size - own
    left = rng.integers(0, 2**64, (pairs, size), np.uint64)
    right = np.hstack([left[:, :common], rng.integers(0, 2**64, (pairs, own), np.uint64)])
    return np.stack([left, right], axis=1).reshape(2 * pairs, size), common / (common + 2 * own)


@pytest.mark.parametrize(("bands", "rows"), [(14, 8), (9, 13), (20, 5)])
def test_recall_follows_the_s_curve_at_every_similarity(bands: int, rows: int) -> None:
    seeds, pairs, size = 20, 500, 150
    for wanted in np.arange(0.5, 0.951, 0.05):
        found = 0
        for seed in range(seeds):
            words, jaccard = similar_pairs(wanted, pairs, size, np.random.default_rng(1000 + seed))
            offsets = np.arange(0, words.size + 1, size)
            keys, _, _ = band_keys(words.ravel(), offsets, 1, *functions(bands * rows, seed), bands)
            found += int((keys[:, ::2] == keys[:, 1::2]).any(axis=0).sum())
        expected = 1 - (1 - jaccard**rows) ** bands
        assert abs(found / (seeds * pairs) - expected) < 0.02, (wanted, found, expected)


@pytest.mark.parametrize("size", [1, 2, 10, 1000])
def test_each_function_agrees_as_often_as_documents_are_alike(size: int) -> None:
    """The share of equal minima estimates the similarity, for tiny sets too, with the error of a fair sample."""
    num_functions, pairs = 1024, 200
    a, b = functions(num_functions, 7)
    words, jaccard = similar_pairs(0.8, pairs, size, np.random.default_rng(3))
    keys, _, _ = band_keys(words.ravel(), np.arange(0, words.size + 1, size), 1, a, b, num_functions)
    equal = (keys[:, ::2] == keys[:, 1::2]).mean(axis=0)
    assert abs(equal.mean() - jaccard) < 0.005
    if 0 < jaccard < 1:
        assert equal.std() == pytest.approx((jaccard * (1 - jaccard) / num_functions) ** 0.5, rel=0.2)


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 40).flatmap(lambda n: st.tuples(st.just(n), st.lists(st.tuples(*[st.integers(0, n - 1)] * 2)))))
def test_components_are_those_of_the_twin(case: tuple[int, list[tuple[int, int]]]) -> None:
    num_lines, edges = case
    parents = np.arange(num_lines, dtype=np.uint32)
    left, right = np.array(edges, np.uint32).reshape(-1, 2).T
    join(parents, left.copy(), right.copy())
    flatten(parents)
    assert parents.tolist() == components_twin.labels(num_lines, edges)


def test_a_long_chain_is_one_component_in_any_order() -> None:
    num_lines = 300_000
    left = np.arange(num_lines - 1, dtype=np.uint32)
    for order in (left, left[::-1].copy(), np.random.default_rng(0).permutation(left)):
        parents = np.arange(num_lines, dtype=np.uint32)
        join(parents, order, order + np.uint32(1))
        flatten(parents)
        assert not parents.any()
