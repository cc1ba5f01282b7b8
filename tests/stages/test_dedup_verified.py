"""Verified MinHash: whoever leaves really resembles the document that is kept for it, in groups of any size."""

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from groups import drive
from test_dedup_minhash import RECIPE, docs, words

from tamis.base.errors import ConfigError
from tamis.base.stage import Group
from tamis.base.words import words as words_of
from tamis.stages.dedup import verified
from tamis.stages.dedup.minhash_config import MinHashConfig, describe_curve, expected_curve
from tamis.stages.dedup.stage import build, dedup_config

Similarity = Callable[[str, str], float]


def shingles(text: str, ngram: int = 5) -> set[str]:
    found = [word.lower() for word in words_of(text)]
    return {" ".join(found[i : i + ngram]) for i in range(max(1, len(found) - ngram + 1))}


def jaccard(one: str, other: str) -> float:
    return len(shingles(one) & shingles(other)) / len(shingles(one) | shingles(other))


def containment(gone: str, kept: str) -> float:
    return len(shingles(gone) & shingles(kept)) / len(shingles(gone))


def run(settings: dict[str, Any], documents: list[dict[str, Any]], shards: int = 3) -> Any:
    (stage,) = build({"method": "minhash"} | settings, RECIPE)
    assert isinstance(stage, Group)
    size = -(-len(documents) // shards)
    return drive(stage, [documents[i : i + size] for i in range(0, len(documents), size)], batch_rows=40)


def mixed_pages(seed: int) -> list[dict[str, Any]]:
    """Sliding windows of one text, pages of two templates, and copies: links chain through all of each kind."""
    rng = random.Random(seed)
    texts, book = [], words(rng, 900)
    texts += [" ".join(book[start : start + 120]) for start in range(0, 780, 6)]
    for _ in range(2):
        template = words(rng, 90)
        texts += [" ".join(template[:45] + words(rng, rng.choice([2, 8, 20])) + template[45:]) for _ in range(70)]
    texts += rng.sample(texts, 40)
    rng.shuffle(texts)
    return [{"id": f"p{i:04}", "text": text, "score": rng.random()} for i, text in enumerate(texts)]


def check(rows: list[dict[str, Any]], near: Similarity, least: float) -> int:
    """Every removed document names a kept one that it resembles, with their similarity; returns their number."""
    texts = {row["id"]: row["text"] for row in rows}
    kept = {row["id"] for row in rows if row["drop_reason"] is None}
    copies = dict.fromkeys(texts, 1)
    for row in rows:
        if row["drop_reason"] is None:
            assert row["duplicate_of"] is None and row["similarity"] is None
            continue
        assert row["drop_reason"] == "near_duplicate" and row["duplicate_of"] in kept
        found = near(row["text"], texts[row["duplicate_of"]])
        assert found >= least and row["similarity"] == np.float32(found)
        copies[row["duplicate_of"]] += 1
    assert all(row["num_copies"] == copies[row["id"]] for row in rows)
    return len(rows) - len(kept)


@pytest.mark.parametrize("least", [0.6, 0.8, 1.0])
def test_whoever_leaves_resembles_the_one_that_is_kept_for_it(least: float) -> None:
    documents = mixed_pages(1)
    linked = sum(row["drop_reason"] is not None for row in run({"verify": "none"}, documents)[0])
    rows, details = run({"min_similarity": least}, documents)
    removed = check(rows, jaccard, least)
    assert 40 <= removed < linked, "unverified links chain through pages that are not alike"
    assert details["duplicates"] == removed and details["not_compared_with_all"] == 0
    assert details["linked_but_kept"] > 0


def test_every_pair_that_is_alike_and_linked_loses_one() -> None:
    documents = mixed_pages(2)
    rows, _ = run({}, documents)
    kept = [row["text"] for row in rows if row["drop_reason"] is None]
    alike = sum(jaccard(one, other) >= 0.8 for place, one in enumerate(kept) for other in kept[:place])
    assert alike <= 2, "14 x 8 misses one pair in a hundred of those of similarity 0.85"


@pytest.mark.parametrize("ngram", [None, 3])
def test_contained_documents_go_to_one_that_is_no_shorter(ngram: int | None) -> None:
    rng = random.Random(3)
    long = words(rng, 300)
    inside, beyond = long[10:290], [*long[20:], "something", "else"]
    documents = docs(*map(" ".join, (inside, long, beyond, [*inside, *inside])))
    settings = {"verify": "contained", "min_similarity": 1.0} | ({"verify_ngram": ngram} if ngram else {})
    rows, _ = run(settings, documents, shards=1)
    assert [row["duplicate_of"] for row in rows] == ["d3", None, None, None], "the longest stays"
    assert rows[0]["similarity"] == 1.0
    rows, _ = run(settings | {"keep": "first"}, documents, shards=1)
    assert [row["duplicate_of"] for row in rows] == [None] * 4, "the first is kept, and nothing is in it"
    rows, _ = run(settings | {"min_similarity": 0.9}, documents, shards=1)
    assert rows[0]["duplicate_of"] in ("d1", "d3")
    assert all(row["similarity"] is None or row["similarity"] >= 0.9 for row in rows)


def test_the_order_of_survivors_is_quality_length_id() -> None:
    rng = random.Random(4)
    base = words(rng, 200)
    texts = [" ".join(base), " ".join([*base, "more"]), " ".join(base), " ".join(words(rng, 200))]
    for scores, kept in (([0.1, 0.1, 0.9, 0.5], "d2"), ([0.4, 0.4, 0.4, 0.5], "d1"), ([None, None, None, 1.0], "d1")):
        documents = [d | {"quality_score": s} for d, s in zip(docs(*texts), scores, strict=True)]
        for verify in ("jaccard", "none"):
            rows, _ = run({"keep": "quality", "verify": verify}, documents, shards=2)
            assert {row["duplicate_of"] or row["id"] for row in rows[:3]} == {kept}
    rows, _ = run({"keep": "id"}, docs(*texts), shards=1)
    backwards, _ = run({"keep": "id"}, docs(*texts)[::-1], shards=1)
    kept_ids = [{row["id"] for row in found if row["drop_reason"] is None} for found in (rows, backwards)]
    assert kept_ids[0] == kept_ids[1], "the same document stays whatever the order of the pool"


@pytest.mark.parametrize("verify", ["jaccard", "contained"])
def test_a_component_in_pieces_is_decided_as_in_one(verify: str, monkeypatch: pytest.MonkeyPatch) -> None:
    documents = mixed_pages(5)
    settings = {"verify": verify, "keep": "longest"}
    whole, details = run(settings, documents)
    for least, most in ((1 << 20, 4_000), (500, 1_500), (1, 600)):
        monkeypatch.setattr(verified, "MIN_BLOCK", least)
        monkeypatch.setattr(verified, "MAX_BLOCK", most)
        rows, in_pieces = run(settings, documents)
        assert rows == whole and in_pieces == details


def test_blocks_hold_whole_components_or_pieces_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verified, "MIN_BLOCK", 10)
    monkeypatch.setattr(verified, "MAX_BLOCK", 20)
    groups = np.repeat([3, 4, 7, 9], [2, 6, 1, 2])
    blocks, owners = verified.pack(groups, np.full(len(groups), 5), parts=2)
    assert blocks.tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 4]
    assert owners.tolist() == [0, 0, 1, 1, 1, 1, 1, 1, 0, 0, 0]


def test_presets_are_the_published_settings() -> None:
    config = dedup_config({"method": "minhash", "preset": "dolma3"})
    assert config == dedup_config({"method": "minhash", "bands": 26, "rows": 11, "verify": "jaccard"})
    assert isinstance(config, MinHashConfig)
    assert expected_curve(config, np.array([0.6, 0.8])).round(2).tolist() == [0.0, 0.9]
    fineweb = dedup_config({"method": "minhash", "preset": "fineweb", "ngram": 7})
    assert fineweb == dedup_config({"method": "minhash", "verify": "none", "ngram": 7})
    marin = dedup_config({"method": "minhash", "preset": "marin"})
    assert isinstance(marin, MinHashConfig)
    assert (marin.verify, marin.verify_ngram, marin.min_similarity, marin.keep) == ("contained", 3, 1.0, "longest")
    with pytest.raises(ConfigError, match=r"dedup\.preset.*dolma3"):
        dedup_config({"method": "minhash", "preset": "dolma"})


def test_what_can_be_expected_is_said_in_one_line() -> None:
    assert describe_curve(MinHashConfig()) == (
        "minhash 14 x 8: pairs found, by Jaccard similarity: 0.5: 5%, 0.6: 21%, 0.7: 56%, 0.8: 92%, 0.9: 100%, "
        "0.95: 100%, 1: 100%; of these, pairs below 0.8 are kept, as they are verified"
    )
    assert describe_curve(MinHashConfig(verify="none")).endswith("nothing is verified, and links form chains")


def test_planted_copies_below_the_least_similarity_are_not_expected() -> None:
    rng = random.Random(6)
    documents = [{"id": f"d{i}", "text": " ".join(words(rng, 200))} for i in range(300)]
    rows, details = run({"self_check": 1.0}, documents)
    assert all(row["drop_reason"] is None for row in rows)
    by_rate = {entry["rate"]: entry for entry in details["self_check"]}
    assert by_rate[0.0]["recall"] == by_rate[0.0]["expected_recall"] == 1.0
    assert by_rate[0.2]["recall"] == by_rate[0.2]["expected_recall"] == 0.0
