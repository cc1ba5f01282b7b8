"""The quality step: training that repeats to the byte, exact cuts, DCLM's score, and inputs that mean harm."""

import gzip
import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import zstandard
from groups import TableSketches

from tamis.base.errors import ConfigError, DataError
from tamis.base.recipe import Recipe
from tamis.base.stage import Group, Map, Stage, StageContext
from tamis.stages.quality.classifier import Classifier, flatten
from tamis.stages.quality.held_out import rank
from tamis.stages.quality.positives import python_topics, read_positives
from tamis.stages.quality.stage import build
from tamis.stages.quality.training import FastTextSettings, train
from tamis.store.atomic import write_bytes
from tamis.store.location import Location
from tamis.store.scratch import scratch

RECIPE = Recipe(name="test", stages=[])
SPAM = ["buy", "cheap", "click", "deal", "free", "offer", "shop", "sale", "win", "cart", "price", "now"]
PROSE = ["the", "function", "returns", "a", "value", "when", "an", "object", "is", "called", "with", "argument"]


def sentences(words: list[str], number: int, seed: int) -> list[str]:
    rng = np.random.default_rng(seed)
    return [" ".join(rng.choice(words, size=40)) for _ in range(number)]


def documents(number: int, seed: int = 5) -> list[dict[str, str]]:
    """Even ones are prose, odd ones are spam."""
    mixed = zip(sentences(PROSE, number // 2, seed), sentences(SPAM, number // 2, seed + 1), strict=True)
    return [{"id": f"{i:08x}", "text": text} for i, text in enumerate(t for pair in mixed for t in pair)]


def spam(number: int) -> list[dict[str, str]]:
    return [{"id": f"{i:08x}", "text": text} for i, text in enumerate(sentences(SPAM, number, 5))]


def to_batch(rows: list[dict[str, Any]]) -> pa.RecordBatch:
    columns = {
        "id": pa.array([r["id"] for r in rows], pa.string()),
        "text": pa.array([r["text"] for r in rows], pa.string()),
        "drop_reason": pa.nulls(len(rows), pa.string()),
    }
    if rows and "quality_score" in rows[0]:
        columns["quality_score"] = pa.array([r["quality_score"] for r in rows], pa.float32())
    return pa.RecordBatch.from_pydict(columns)


def drive(
    stage: Stage, shards: list[list[dict[str, Any]]], context: StageContext
) -> tuple[list[list[dict[str, Any]]], pa.Table | None]:
    """What the runner does with one stage; returns the marked rows of every shard, and a Group's decision."""
    stage.open(context)
    if isinstance(stage, Map):
        return [stage.apply(to_batch(rows)).to_pylist() for rows in shards], None
    assert isinstance(stage, Group)
    parts = [stage.sketch(to_batch(rows), pa.array(range(len(rows)), pa.int64())) for rows in shards]
    decided = stage.decide(0, TableSketches(parts), context)
    out = [stage.mark(to_batch(rows), pa.array(range(len(rows)), pa.int64()), decided).to_pylist() for rows in shards]
    return out, decided


def details(decided: pa.Table | None) -> dict[str, Any]:
    assert decided is not None
    found: dict[str, Any] = json.loads(decided.schema.metadata[b"details"])
    return found


def split(rows: list[dict[str, Any]], number: int) -> list[list[dict[str, Any]]]:
    size = -(-len(rows) // number)
    return [rows[i : i + size] for i in range(0, len(rows), size)]


def trained(good: list[str], pool: list[str], config: FastTextSettings, seed: int) -> bytes:
    with scratch() as folder:
        return train(good, pool, config, seed, folder)


@pytest.fixture
def positives(tmp_path: Path) -> Path:
    path = tmp_path / "good.jsonl"
    path.write_text("".join(json.dumps({"text": t}) + "\n" for t in sentences(PROSE, 60, seed=1)))
    return path


def fit(positives: Path, shards: list[list[dict[str, Any]]], **settings: Any) -> tuple[Any, pa.Table]:
    stage, _ = build({"positives": str(positives), "keep_fraction": 0.5, "dim": 8, "lr": 0.5, **settings}, RECIPE)
    assert stage.assets() == {"positives": str(positives)}
    rows, decided = drive(
        stage, shards, StageContext(seed=3, assets={"positives": Location(positives)}, scratch=scratch)
    )
    assert decided is not None
    return rows, decided


def test_a_classifier_trained_in_the_run_tells_good_from_pool(positives: Path) -> None:
    bad = [{"id": f"{i:04x}", "text": t} for i, t in enumerate(sentences(SPAM, 80, seed=9))]
    good = [{"id": f"g{i:03x}", "text": t} for i, t in enumerate(sentences(PROSE, 4, seed=10))]
    rows, decided = fit(positives, [bad + good], epoch=20)
    scores = {r["id"]: r["quality_score"] for r in rows[0]}
    assert min(scores[g["id"]] for g in good) > max(scores[s["id"]] for s in bad)
    found = details(decided)
    assert found["num_train_positives"] == found["num_train_negatives"] == 54
    assert found["num_held_out"] == 12
    assert found["num_candidates"] == 84
    assert found["held_out_precision_at_1"] >= 0.8
    auc, low, high = found["held_out_auc"]
    assert 0.8 <= auc <= 1 and low <= auc <= high and found["held_out_curve"][-1][1:] == [1.0, 1.0, 0.5]
    assert found["model_bytes"] == len(decided["model"][0].as_py())


def test_sharding_and_order_change_neither_model_nor_scores_nor_threshold(positives: Path) -> None:
    pool = spam(120)
    whole, one = fit(positives, [pool], num_train_documents=30)
    parts, five = fit(positives, split(pool, 5), num_train_documents=30)
    _, reverse = fit(positives, split(pool[::-1], 3), num_train_documents=30)
    assert one["model"] == five["model"] == reverse["model"]
    assert one.schema.metadata == five.schema.metadata
    flat = [row for shard in parts for row in shard]
    assert flat == whole[0]
    _, cut = build({"keep_fraction": 0.3}, RECIPE)
    kept_whole, decided_whole = drive(cut, whole, StageContext(seed=3))
    kept_parts, decided_parts = drive(cut, parts, StageContext(seed=3))
    assert details(decided_whole) == details(decided_parts)
    assert [r for shard in kept_parts for r in shard] == kept_whole[0]


def test_training_repeats_to_the_byte_in_another_process(positives: Path) -> None:
    good, pool = sentences(PROSE, 40, 1), sentences(SPAM, 40, 2)
    config = FastTextSettings(dim=8)
    first, second = trained(good, pool, config, 7), trained(good, pool, config, 7)
    program = (
        "import sys, json, hashlib; from tamis.stages.quality.training import FastTextSettings, train; "
        "from tamis.store.scratch import scratch; good, pool = json.load(sys.stdin)\n"
        "with scratch() as folder: model = train(good, pool, FastTextSettings(dim=8), 7, folder)\n"
        "print(hashlib.sha256(model).hexdigest())"
    )
    other = subprocess.run(
        [sys.executable, "-c", program], input=json.dumps([good, pool]), capture_output=True, text=True, check=True
    )
    assert first == second
    assert other.stdout.strip() == hashlib.sha256(first).hexdigest()
    assert trained(good, pool, config, 8) != first


def test_candidate_fraction_bounds_what_training_holds(positives: Path) -> None:
    pool = spam(400)
    _, decided = fit(positives, [pool], candidate_fraction=0.25, num_train_documents=20)
    assert 60 < details(decided)["num_candidates"] < 140


def test_a_page_that_carries_a_label_does_not_train_its_own_label() -> None:
    poisoned = [f"__label__hq {text}" for text in sentences(SPAM, 40, 2)]
    honest = sentences(SPAM, 40, 2)
    config = FastTextSettings(dim=8, epoch=20, lr=0.5)
    classifier = Classifier(trained(sentences(PROSE, 40, 1), poisoned, config, 0))
    assert classifier.scores(pa.array(honest)).max() < 0.2


def test_nasty_texts_get_a_score(tmp_path: Path) -> None:
    model = tmp_path / "model.bin"
    model.write_bytes(trained(sentences(PROSE, 40, 1), sentences(SPAM, 40, 2), FastTextSettings(dim=8), 0))
    score, cut = build({"model": str(model), "threshold": 0.5}, RECIPE)
    texts = ["", "\0", "x" * (1 << 20), "word " * 200_000, "\u2028\x0c\r\n", "__label__hq", "a\nb\r\n c", None]
    rows = [{"id": str(i), "text": text} for i, text in enumerate(texts)]
    (scored,), _ = drive(score, [rows], StageContext(seed=0, assets={"model": Location(model)}))
    values = [r["quality_score"] for r in scored]
    assert all(0 <= v <= 1.0001 for v in values)
    assert values[0] == values[1] == values[4] == values[7]
    (marked,), _ = drive(cut, [scored], StageContext(seed=0))
    assert {r["drop_reason"] for r in marked if r["quality_score"] < 0.5} <= {"low_quality"}
    assert {r["drop_reason"] for r in marked if r["quality_score"] >= 0.5} <= {None}


def test_score_is_the_probability_of_the_good_label(tmp_path: Path) -> None:
    import fasttext

    model = tmp_path / "model.bin"
    model.write_bytes(trained(sentences(PROSE, 40, 1), sentences(SPAM, 40, 2), FastTextSettings(dim=8), 0))
    texts = [*sentences(PROSE, 5, 3), *sentences(SPAM, 5, 4), " two\nlines here \n"]
    scores = Classifier(Location(model)).scores(pa.array(texts))
    reference = fasttext.load_model(str(model))
    for text, score in zip(texts, scores, strict=True):
        labels, probabilities = reference.predict(" ".join(text.strip().splitlines()))
        expected = probabilities[0] if labels[0] != "__label__cc" else 1 - probabilities[0]
        assert score == pytest.approx(expected, abs=1e-6)


def scored_rows(values: list[float]) -> list[dict[str, Any]]:
    return [{"id": str(i), "text": "t", "quality_score": value} for i, value in enumerate(values)]


@pytest.mark.parametrize(("fraction", "kept"), [(0.1, 10), (0.07, 7), (0.005, 1), (1.0, 100)])
def test_the_share_kept_is_exact_when_scores_differ(fraction: float, kept: int) -> None:
    rows = scored_rows(list(np.random.default_rng(0).permutation(100) / 100))
    _, cut = build({"keep_fraction": fraction}, RECIPE)
    (marked,), decided = drive(cut, [rows], StageContext(seed=0))
    survivors = [r for r in marked if r["drop_reason"] is None]
    assert len(survivors) == kept == details(decided)["num_kept"]
    (rule,) = details(decided)["rules"]
    assert rule["reason"] == "low_quality"
    assert rule["op"] == "<"
    assert rule["threshold"] == min(r["quality_score"] for r in survivors)


def test_ties_at_the_threshold_are_all_kept() -> None:
    _, cut = build({"keep_fraction": 0.25}, RECIPE)
    (marked,), decided = drive(cut, [scored_rows([0.9, 0.5, 0.5, 0.5, 0.1, 0.1, 0.1, 0.1])], StageContext(seed=0))
    assert [r["drop_reason"] for r in marked] == [None] * 4 + ["low_quality"] * 4
    assert details(decided)["num_tied_at_threshold"] == 3
    (same,), _ = drive(cut, [scored_rows([0.5] * 6)], StageContext(seed=0))
    assert [r["drop_reason"] for r in same] == [None] * 6


def test_threshold_rule_is_on_the_stage() -> None:
    _, cut = build({"model": "m.bin", "threshold": 0.018112}, RECIPE)
    (rule,) = cut.rules
    assert (rule.reason, rule.column, rule.op, rule.threshold) == ("low_quality", "quality_score", "<", 0.018112)
    (marked,), _ = drive(cut, [scored_rows([0.018, 0.02])], StageContext(seed=0))
    assert [r["drop_reason"] for r in marked] == ["low_quality", None]


def test_moving_the_cut_does_not_train_again(positives: Path) -> None:
    here, _ = build({"positives": str(positives), "keep_fraction": 0.1}, RECIPE)
    there, _ = build({"positives": str(positives), "threshold": 0.4}, RECIPE)
    deeper, _ = build({"positives": str(positives), "threshold": 0.4, "dim": 64}, RECIPE)
    assert here.identity() == there.identity() != deeper.identity()


def test_too_little_to_learn_from_is_said(tmp_path: Path, positives: Path) -> None:
    empty = tmp_path / "empty.jsonl"
    empty.write_text("")
    with pytest.raises(DataError, match=r"0 positives in empty\.jsonl"):
        fit(empty, [documents(60)])
    with pytest.raises(DataError, match="10 distinct documents"):
        fit(positives, [documents(10)])
    with pytest.raises(DataError, match="1 distinct documents"):
        fit(positives, [[{"id": f"{i:04x}", "text": "the same again"} for i in range(100)]])
    with pytest.raises(DataError, match="0 distinct documents"):
        fit(positives, [[{"id": f"{i:04x}", "text": " \n"} for i in range(100)]])
    _, cut = build({"keep_fraction": 0.5}, RECIPE)
    assert isinstance(cut, Group)
    with pytest.raises(DataError, match="no documents reached the cut"):
        cut.decide(0, TableSketches([pa.table({"value": pa.array([], pa.float64())})]), StageContext(seed=0))


def test_wrong_models_are_refused(tmp_path: Path) -> None:
    broken = tmp_path / "broken.bin"
    broken.write_bytes(b"not a model")
    with pytest.raises(ConfigError, match=r"quality\.model.*not a fastText model"):
        Classifier(Location(broken))
    import fasttext

    (tmp_path / "t.txt").write_text("__label__en hello\n__label__de hallo\n" * 20)
    other = tmp_path / "other.bin"
    fasttext.train_supervised(input=str(tmp_path / "t.txt"), thread=1, dim=4, verbose=0).save_model(str(other))
    with pytest.raises(ConfigError, match="__label__hq and __label__cc"):
        Classifier(Location(other))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "either `keep_fraction` or `threshold`"),
        ({"keep_fraction": 0.1, "threshold": 0.5}, "not both"),
        ({"model": "m.bin", "threshold": 0.5, "dim": 10}, "dim: for training only"),
        ({"model": "m.bin", "threshold": 0.5, "positives": "x"}, "positives: for training only"),
        ({"keep_fraction": 1.5}, "quality.keep_fraction"),
        ({"keep_fractoin": 0.5}, "did you mean 'keep_fraction'"),
    ],
)
def test_settings_that_do_not_go_together(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as error:
        build(settings, RECIPE)
    assert message in str(error.value)


def test_positives_files(tmp_path: Path) -> None:
    lines = b'{"text": "one\\ntwo"}\n\n{"text": ""}\n{"text": "three"}\n'
    for name, data in {
        "a.jsonl": lines, "b": gzip.compress(lines[:20]) + gzip.compress(lines[20:]),
        "c.zst": zstandard.compress(lines),
    }.items():  # fmt: skip
        (tmp_path / name).write_bytes(data)
        assert read_positives(Location(tmp_path / name)) == ["one\ntwo", "three"]
    (tmp_path / "plain.txt").write_text("one\n\ntwo\n")
    assert read_positives(Location(tmp_path / "plain.txt")) == ["one", "two"]
    for bad in (b'{"text": 3}\n', b'{"txt": "a"}\n', b'{"text": \n', b'{"text": "a"}\n[1]\n', b"caf\xe9\n"):
        (tmp_path / "bad").write_bytes(bad)
        with pytest.raises(DataError, match=r"line [12]"):
            read_positives(Location(tmp_path / "bad"))


def test_a_damaged_file_of_positives_is_named(tmp_path: Path) -> None:
    for name, whole in {
        "a.gz": gzip.compress(b"one\n" * 10_000),
        "a.zst": zstandard.compress(b"one\n" * 10_000),
    }.items():
        (tmp_path / name).write_bytes(whole[: len(whole) - 8])
        with pytest.raises(DataError, match=rf"{name}: cannot be read as (gzip|zstd)"):
            read_positives(Location(tmp_path / name))


def test_positives_are_read_wherever_they_lie(memory: str) -> None:
    for name, data in {"a": b"one\ntwo\n", "b": gzip.compress(b"one\ntwo\n")}.items():
        write_bytes(Location(memory) / name, data)
        assert read_positives(Location(memory) / name) == ["one", "two"]


def test_python_topics_are_english_prose_and_import_nothing() -> None:
    texts = python_topics()
    assert len(texts) == len(set(texts)) > 300
    assert all(80 <= len(t.split()) <= 400 for t in texts)
    assert any('"while" statement' in t for t in texts)
    program = (
        "import sys; from tamis.stages.quality.positives import python_topics; n = len(python_topics()); "
        "assert 'pydoc_data.topics' not in sys.modules and 'antigravity' not in sys.modules; print(n)"
    )
    out = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert int(out.stdout) == len(texts)


def test_flatten_is_dclms() -> None:
    assert flatten(" a\r\nb\x0bc\u2028 d\n\n") == "a b c  d"


def test_the_ranking_of_held_out_documents() -> None:
    """By hand: of the 3 x 2 pairs, 4 are in order and one is a tie."""
    found = rank(np.array([0.9, 0.8, 0.3]), np.array([0.8, 0.1]))
    assert found.auc == pytest.approx(4.5 / 6) and found.low < found.auc < found.high <= 1
    assert [point[:3] for point in found.curve] == [
        (0.9, 0.0, pytest.approx(1 / 3)), (0.8, 0.5, pytest.approx(2 / 3)), (0.3, 0.5, 1.0), (0.1, 1.0, 1.0)
    ]  # fmt: skip
    assert [point[3] for point in found.curve] == pytest.approx([1.0, (2 / 3) / (2 / 3 + 0.5), 1 / 1.5, 0.5])
    assert rank(np.ones(4), np.ones(4)).auc == 0.5
    scores = np.arange(10_000.0)
    perfect = rank(scores + 10_000, scores)
    assert (perfect.auc, perfect.high) == (1.0, 1.0) and len(perfect.curve) == 41
    assert perfect.curve[0][0] == 19_999 and perfect.curve[-1][1:3] == (1.0, 1.0)
