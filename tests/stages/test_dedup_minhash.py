"""MinHash dedup: near-copies found as often as the S-curve says, components merged, nothing else touched."""

import io
import json
import random
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import zstandard
from groups import drive, to_batch

from tamis.base.errors import ConfigError
from tamis.base.recipe import Recipe
from tamis.base.stage import Corpus, Group, StageContext
from tamis.stages.dedup.minhash import match_probability
from tamis.stages.dedup.stage import build
from tamis.store.shards import ShardWriter

RECIPE = Recipe(name="test", stages=[])
VOCABULARY = [f"{a}{b}{c}" for a in "bdfgklmnprst" for b in "aeiou" for c in "bdfgklmnprst"]


def run(settings: dict[str, Any], shards: list[list[dict[str, Any]]], **drive_options: Any) -> Any:
    (stage,) = build({"method": "minhash"} | settings, RECIPE)
    assert isinstance(stage, Group)
    return drive(stage, shards, **drive_options)


def docs(*texts: str | None) -> list[dict[str, Any]]:
    return [{"id": f"d{i}", "text": text} for i, text in enumerate(texts)]


def words(rng: random.Random, number: int) -> list[str]:
    return rng.choices(VOCABULARY, k=number)


def corpus(number: int, seed: int = 0) -> list[dict[str, Any]]:
    """Documents of 80 words; every third is an earlier one with up to three words replaced."""
    rng = random.Random(seed)
    texts: list[list[str]] = []
    for i in range(number):
        text = list(rng.choice(texts)) if i % 3 == 2 else words(rng, 80)
        for _ in range(rng.randrange(4) if i % 3 == 2 else 0):
            text[rng.randrange(len(text))] = rng.choice(VOCABULARY)
        texts.append(text)
    return [{"id": f"d{i:04}", "text": " ".join(text), "score": rng.random()} for i, text in enumerate(texts)]


def test_near_copies_go_and_the_first_stays() -> None:
    rng = random.Random(1)
    long = words(rng, 400)
    near = [*long[:200], "other", *long[201:]]
    rows, details = run({}, [docs(" ".join(long), " ".join(words(rng, 400)), " ".join(near).upper() + "!")])
    assert [r["drop_reason"] for r in rows] == [None, None, "near_duplicate"]
    assert [r["duplicate_of"] for r in rows] == [None, None, "d0"]
    assert [r["num_copies"] for r in rows] == [2, 1, 1]
    assert (details["components"], details["largest_component"], details["duplicates"]) == (1, 2, 1)
    assert details["match_probability"]["0.8"] == 0.9235


@pytest.mark.parametrize("verify", ["none", "jaccard", "contained"])
@pytest.mark.parametrize("settings", [{"num_parts": 5}, {"self_check": 0.5}, {"self_check": 0.5, "num_parts": 3}])
def test_any_sharding_any_parts_and_any_planting_remove_the_same(settings: dict[str, Any], verify: str) -> None:
    documents = corpus(240)
    settings = settings | {"verify": verify}
    plain, _ = run({"verify": verify}, [documents])
    assert 30 < sum(r["drop_reason"] is not None for r in plain) < 81
    assert run(settings, [documents[:100], [], documents[100:]], batch_rows=13)[0] == plain
    assert run(settings, [documents[i : i + 30] for i in range(0, 240, 30)], batch_rows=64)[0] == plain


def test_another_seed_draws_other_functions() -> None:
    documents = corpus(600)
    first, again, other = (
        [r["duplicate_of"] for r in run({"bands": 2}, [documents], context=StageContext(seed=seed))[0]]
        for seed in (0, 0, 1)
    )
    assert first == again != other


def test_links_chain_and_the_best_ranked_stays() -> None:
    rng = random.Random(5)
    base = words(rng, 300)
    chain = [base]
    for _ in range(5):
        step = list(chain[-1])
        for place in rng.sample(range(300), 4):
            step[place] = rng.choice(VOCABULARY)
        chain.append(step)
    documents = [{"id": f"d{i}", "text": " ".join(t), "score": float(i == 3)} for i, t in enumerate(chain)]
    rows, details = run({"keep": "highest:score", "verify": "none"}, [documents[:2], documents[2:]])
    assert [r["duplicate_of"] for r in rows] == ["d3", "d3", "d3", None, "d3", "d3"]
    assert details["largest_component"] == 6 and rows[3]["num_copies"] == 6


def test_short_and_empty_texts() -> None:
    rows, _ = run({}, [docs("", None, "...", "", "two words", "Two, WORDS!", "words two", None, "...", "\0", "one")])
    assert [r["duplicate_of"] for r in rows] == [None] * 5 + ["d4"] + [None] * 5
    assert run({}, [[], []])[0] == []
    assert run({"self_check": 1.0}, [[], docs(None)])[1]["self_check"] == []
    rows, _ = run({}, [[], docs("a b"), [], docs("a b")])
    assert [r["duplicate_of"] for r in rows] == [None, "d0"]


def test_characters_for_languages_that_part_no_words() -> None:
    chinese = "".join(chr(0x4E00 + (i * i * 7919 + i * 31) % 5000) for i in range(300))
    near = chinese[:150] + "。" + chinese[151:]
    documents = docs(chinese, near)
    assert [r["drop_reason"] for r in run({"unit": "character", "ngram": 5}, [documents])[0]] == [
        None,
        "near_duplicate",
    ]
    assert [r["drop_reason"] for r in run({}, [documents])[0]] == [None, None]


@pytest.mark.parametrize(("bands", "rows"), [(93, 15), (9, 13), (20, 450), (450, 20), (1, 1)])
def test_published_shapes(bands: int, rows: int) -> None:
    rng = random.Random(2)
    text, other = " ".join(words(rng, 100)), " ".join(words(rng, 100))
    found, _ = run({"bands": bands, "rows": rows}, [docs(text, other, text)])
    assert [r["duplicate_of"] for r in found] == [None, None, "d0"]


def test_planted_copies_are_caught_as_the_curve_says_and_answer_for_nobody() -> None:
    documents = corpus(1500, seed=4)
    plain, _ = run({}, [documents], batch_rows=200)
    rows, details = run({"self_check": 1.0}, [documents], batch_rows=200)
    assert rows == plain
    by_rate = {entry["rate"]: entry for entry in details["self_check"]}
    assert sum(entry["planted"] for entry in by_rate.values()) == len(documents)
    assert by_rate[0.0]["recall"] == by_rate[0.0]["jaccard"] == by_rate[0.0]["expected_recall"] == 1.0
    assert by_rate[0.4]["recall"] == 0.0
    jaccards = [by_rate[rate]["jaccard"] for rate in sorted(by_rate)]
    assert jaccards == sorted(jaccards, reverse=True)
    # A copy is caught by relatives of its origin too, so recall may be a little above what its origin explains.
    for entry in by_rate.values():
        error = (entry["expected_recall"] * (1 - entry["expected_recall"]) / entry["planted"]) ** 0.5
        assert -4 * error - 0.01 < entry["recall"] - entry["expected_recall"] < 4 * error + 0.05


def test_many_equal_documents() -> None:
    documents = [{"id": f"d{i}", "text": "the same five words here"} for i in range(30_000)]
    rows, details = run({}, [documents], batch_rows=10_000)
    assert details["largest_component"] == 30_000 and details["edges"] == 14 * 29_999
    assert rows[0]["num_copies"] == 30_000 and {r["duplicate_of"] for r in rows[1:]} == {"d0"}


def test_one_huge_document_and_ids_that_repeat() -> None:
    huge = " ".join(VOCABULARY) * 8000
    rows, _ = run({}, [[{"id": "a", "text": huge}, {"id": "a", "text": huge}, {"id": "a", "text": "b"}]], batch_rows=2)
    assert [r["drop_reason"] for r in rows] == [None, "near_duplicate", None]
    assert rows[1]["duplicate_of"] == "a"


def test_the_known_set_is_found_as_the_curve_says(shared_data: Path) -> None:
    folder = shared_data / "data" / "dups"
    with (folder / "dups-dev.jsonl.zst").open("rb") as handle:
        lines = io.TextIOWrapper(zstandard.ZstdDecompressor().stream_reader(handle), encoding="utf-8")
        documents = [json.loads(line) for line in lines]
    pairs = [json.loads(line) for line in (folder / "dups-dev.pairs.jsonl").read_text().splitlines()]
    rows, _ = run({"verify": "none"}, [documents[i : i + 900] for i in range(0, len(documents), 900)], batch_rows=300)
    kept_as = {r["id"]: r["duplicate_of"] or r["id"] for r in rows}
    together = np.array([kept_as[pair["a"]] == kept_as[pair["b"]] for pair in pairs])
    jaccard = np.array([pair["jaccard5"] for pair in pairs])
    expected = match_probability(jaccard, 14, 8)
    assert together[jaccard == 1].all()
    assert abs(together[jaccard > 0.85].mean() - expected[jaccard > 0.85].mean()) < 0.01
    assert together[jaccard < 0.3].mean() < 0.01
    # Nothing goes that is unlike what stays: shares 40 % of its shingles with it, or is linked through a third copy.
    likeness = {frozenset((pair["a"], pair["b"])): pair["jaccard5"] for pair in pairs}
    removed = [frozenset((r["id"], r["duplicate_of"])) for r in rows if r["drop_reason"]]
    assert all(pair in likeness for pair in removed)
    assert np.mean([likeness[pair] >= 0.4 for pair in removed]) > 0.98


def test_wrong_settings_are_named() -> None:
    for settings in ({"bands": 0}, {"rows": 0}, {"ngram": 0}, {"num_parts": 0}, {"self_check": 2.0}, {"unit": "line"}):
        with pytest.raises(ConfigError, match=rf"dedup\.{next(iter(settings))}"):
            build({"method": "minhash"} | settings, RECIPE)


def test_sketches_are_as_large_as_cost_says(tmp_path: Path) -> None:
    (stage,) = build({"method": "minhash"}, RECIPE)
    assert isinstance(stage, Group)
    stage.open(StageContext(seed=0))
    rng = random.Random(8)
    documents = [{"id": rng.randbytes(16).hex(), "text": " ".join(words(rng, 30))} for _ in range(20_000)]
    with ExitStack() as files:
        writer = None
        for start in range(0, len(documents), 1000):
            lines = stage.sketch(to_batch(documents[start : start + 1000]), pa.array(np.arange(start, start + 1000)))
            writer = writer or files.enter_context(ShardWriter(tmp_path / "sketches.parquet", lines.schema))
            for batch in lines.to_batches():
                writer.write(batch)
    predicted = stage.cost(Corpus(num_documents=len(documents), text_bytes=0))
    assert predicted is not None
    assert (tmp_path / "sketches.parquet").stat().st_size == pytest.approx(predicted.sketch_bytes, rel=0.2)


def test_survivor_takes_in_what_the_others_say() -> None:
    rng = np.random.default_rng(5)
    lines = [" ".join(f"w{n}" for n in rng.integers(0, 5000, 60)) for _ in range(6)]
    documents = [
        {"id": "a", "text": "\n".join(lines[:5])},
        {"id": "b", "text": "\n".join([*lines[:3], "A sentence that only b has, after the third.", *lines[3:5]])},
        {"id": "c", "text": lines[5]},
    ]
    rows, details = run({"merge": True, "self_check": 1.0}, [documents[:1], documents[1:]])
    assert [r["duplicate_of"] for r in rows] == [None, "a", None]
    assert rows[0]["text"] == documents[1]["text"]
    assert rows[0]["merged_from"] == ["a", "b"] and rows[2]["merged_from"] is None
    assert rows[2]["text"] == lines[5]
    assert details["merge"]["groups"] == 1
