"""Scorers of the user's own, behind the interface of the shipped one; classifiers that learned nothing are refused."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_quality import PROSE, RECIPE, details, drive, fit, sentences, spam

from tamis.base.errors import ConfigError, DataError
from tamis.base.stage import Map, StageContext
from tamis.stages.quality.held_out import check_learned, held_out_part, judge, training_part
from tamis.stages.quality.stage import build
from tamis.store.location import Location

SCORERS = """
import json

import numpy as np


def length(text: str) -> float | None:
    return len(text) if text != "?" else None


class Memory:
    \"\"\"Knows the good documents that it was trained on, and nothing else.\"\"\"

    def __init__(self, known: float = 1.0):
        self.known = known

    def fit(self, good, pool, seed):
        return json.dumps(good).encode()

    def load(self, model):
        self.good = set(json.loads(model))

    def scores(self, texts):
        return [self.known * (text in self.good) for text in texts.to_pylist()]


class Prose(Memory):
    def scores(self, texts):
        return [(text or "").count("function") for text in texts.to_pylist()]


class Constant(Memory):
    def scores(self, texts):
        return np.full(len(texts), 0.5)


class Coin(Memory):
    def scores(self, texts):
        return [hash(text) % 2 if text is None else sum(text.encode()) % 2 for text in texts.to_pylist()]


class Listed:
    def __init__(self, words):
        self.path = words

    def assets(self):
        return {"words": self.path}

    def open(self, assets):
        self.words = assets["words"].read_text().split()

    def scores(self, texts):
        return [sum(word in text for word in self.words) for text in texts.to_pylist()]


class Wrong:
    def scores(self, texts):
        return [1.0]


class NoLoad:
    def fit(self, good, pool, seed):
        return b""

    def scores(self, texts):
        return [1.0]


class NoScores:
    pass


class Fails(Memory):
    def fit(self, good, pool, seed):
        return self.nothing


class Text(Memory):
    def fit(self, good, pool, seed):
        return "model"
"""


@pytest.fixture
def positives(tmp_path: Path) -> Path:
    path = tmp_path / "good.txt"
    path.write_text("\n".join(sentences(PROSE, 60, seed=1)))
    return path


@pytest.fixture
def scorers(tmp_path: Path) -> str:
    (tmp_path / "scorers.py").write_text(SCORERS)
    return f"{tmp_path}/scorers.py"


def test_a_classifier_that_learned_nothing_is_refused(positives: Path) -> None:
    with pytest.raises(DataError) as caught:
        fit(positives, [spam(80)], epoch=1, lr=1e-6)
    message = str(caught.value)
    assert "the classifier learned nothing" in message and "scores go from 0.5000 to 0.5000" in message
    assert "Raise quality.epoch (now 1) or quality.lr (now 1e-06), or give more positives" in message


@pytest.mark.parametrize("name", ["Constant", "Coin"])
def test_a_scorer_that_guesses_is_refused(positives: Path, scorers: str, name: str) -> None:
    with pytest.raises(DataError, match=r"learned nothing.*Change how .*scorers\.py:"):
        fit_own(positives, [spam(80)], scorer=f"{scorers}:{name}")


def test_the_held_out_tenth_does_not_reach_training(positives: Path, scorers: str) -> None:
    """A scorer that memorises its training documents classifies no other documents correctly."""
    with pytest.raises(DataError, match=r"scores go from 0\.0000 to 0\.0000, and it classifies 6 of them correctly"):
        fit_own(positives, [spam(80)], scorer=f"{scorers}:Memory")
    texts = [str(n) for n in range(47)]
    assert sorted([*training_part(texts), *held_out_part(texts)]) == sorted(texts)
    assert held_out_part(texts) == ["0", "10", "20", "30", "40"]


def fit_own(positives: Path, shards: list[list[dict[str, Any]]], **settings: Any) -> tuple[Any, dict[str, Any]]:
    stage, _ = build({"positives": str(positives), "keep_fraction": 0.5, **settings}, RECIPE)
    rows, decided = drive(
        pickle.loads(pickle.dumps(stage)), shards, StageContext(seed=3, assets={"positives": Location(positives)})
    )
    return rows, details(decided)


def test_a_scorer_of_ones_own_is_trained_like_the_shipped_one(positives: Path, scorers: str) -> None:
    rows, found = fit_own(positives, [spam(80)], scorer=f"{scorers}:Prose")
    assert found["num_train_positives"] == 54 and found["held_out_precision_at_1"] == 1.0
    assert all(row["quality_score"] == 0 for row in rows[0])


def test_a_function_scores_and_what_it_cannot_score_has_no_score(scorers: str) -> None:
    score, cut = build({"scorer": f"{scorers}:length", "keep_fraction": 0.5}, RECIPE)
    assert isinstance(score, Map) and score.signals == ()
    rows = [{"id": str(n), "text": text} for n, text in enumerate(["aaaa", "?", "aa", None, "a"])]
    (scored,), _ = drive(pickle.loads(pickle.dumps(score)), [rows], StageContext(seed=0))
    assert [row["quality_score"] for row in scored] == [4, None, 2, 0, 1]
    (marked,), _ = drive(cut, [scored], StageContext(seed=0))
    assert [row["drop_reason"] for row in marked] == [None, "no_quality_score", None, "low_quality", "low_quality"]


def test_files_of_a_scorer_are_assets(scorers: str, tmp_path: Path) -> None:
    words = tmp_path / "words.txt"
    words.write_text("good words")
    (score,) = build({"scorer": f"{scorers}:Listed", "options": {"words": str(words)}, "annotate": True}, RECIPE)
    assert score.assets() == {"words": str(words)}
    rows = [{"id": "0", "text": "good words"}, {"id": "1", "text": "none"}]
    (scored,), _ = drive(score, [rows], StageContext(seed=0, assets={"words": Location(words)}))
    assert [row["quality_score"] for row in scored] == [2, 0]
    assert [signal.column for signal in score.signals] == ["quality_score"]


def test_scoring_again_replaces_the_score(scorers: str) -> None:
    """A recipe can have `quality` twice: the second score is that of the second step."""
    (score,) = build({"scorer": f"{scorers}:length", "annotate": True}, RECIPE)
    (again,), _ = drive(score, [[{"id": "0", "text": "abc", "quality_score": 0.5}]], StageContext(seed=0))
    assert again[0]["quality_score"] == 3


def test_the_source_and_the_options_of_a_scorer_decide_the_stage(scorers: str, tmp_path: Path) -> None:
    def identity(path: str, **options: Any) -> list[Any]:
        return build({"scorer": f"{path}:Prose", "options": options, "keep_fraction": 0.5}, RECIPE)[0].identity()

    here = identity(scorers)
    (tmp_path / "copy.py").write_text(SCORERS)
    assert identity(f"{tmp_path}/copy.py") == here != identity(scorers, known=2.0)
    (tmp_path / "copy.py").write_text(SCORERS + "# changed")
    assert identity(f"{tmp_path}/copy.py") != here


def test_the_resolved_settings_parse_to_the_same_steps(scorers: str, positives: Path) -> None:
    for settings in (
        {"scorer": f"{scorers}:length", "threshold": 3.0},
        {"positives": str(positives), "keep_fraction": 0.5, "by": "language", "of": "bytes"},
        {"model": "m.bin", "annotate": True},
    ):
        steps = build(settings, RECIPE)
        resolved = steps[0].resolved_settings()
        again = build({k: v for k, v in resolved.items() if k in steps[0].config.model_fields_set}, RECIPE)
        assert [step.identity() for step in again] == [step.identity() for step in steps]


def test_a_share_of_bytes_by_language() -> None:
    _, cut = build({"model": "m.bin", "keep_fraction": 0.5, "of": "bytes", "by": "language"}, RECIPE)
    assert (cut.config.of, cut.config.by, cut.config.reason) == ("bytes", "language", "low_quality")
    assert cut.signals[0].label == "fastText quality score"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"scorer": "fasttxt", "threshold": 1.0}, "quality.scorer: no 'fasttxt' (did you mean 'fasttext'"),
        ({"scorer": "{}:length", "threshold": 1.0, "dim": 8}, "dim: for the scorer fasttext only"),
        ({"scorer": "{}:length", "threshold": 1.0, "model": "m"}, "model: for the scorer fasttext only"),
        ({"scorer": "{}:length", "threshold": 1.0, "options": {"a": 1}}, "takes no options"),
        ({"scorer": "{}:Listed", "threshold": 1.0}, "TypeError: Listed.__init__() missing"),
        ({"scorer": "{}:NoScores", "threshold": 1.0}, "NoScores has no method `scores(texts)`"),
        ({"scorer": "{}:NoLoad", "threshold": 1.0}, "has `fit` but no `load"),
        ({"options": {"a": 1}, "threshold": 1.0}, "`options` are for a scorer of your own"),
        ({"annotate": True, "threshold": 1.0}, "`annotate` removes nothing"),
        ({"threshold": 1.0, "of": "bytes"}, "of: only with `keep_fraction`"),
    ],
)
def test_scorers_that_cannot_be(scorers: str, settings: dict[str, Any], message: str) -> None:
    named = {name: value.format(scorers) if isinstance(value, str) else value for name, value in settings.items()}
    with pytest.raises(ConfigError) as caught:
        build(named, RECIPE)
    assert message in str(caught.value)


def test_a_scorer_that_cannot_be_trained_is_named_with_its_line(positives: Path, scorers: str) -> None:
    for name, message in (
        ("Fails", r"quality\.scorer: .*scorers\.py, line \d+: AttributeError: .*nothing"),
        ("Text", "fit returned str, not the bytes of a model"),
    ):
        with pytest.raises(ConfigError, match=message):
            fit_own(positives, [spam(80)], scorer=f"{scorers}:{name}")


def test_a_scorer_that_returns_something_else_fails_its_rows(scorers: str) -> None:
    (score,) = build({"scorer": f"{scorers}:Wrong", "annotate": True}, RECIPE)
    with pytest.raises(TypeError, match=r"one number per text: expected shape \(2,\), got \(1,\)"):
        drive(score, [[{"id": "0", "text": "a"}, {"id": "1", "text": "b"}]], StageContext(seed=0))


def test_scores_that_are_all_alike_are_refused_even_where_their_order_is_right() -> None:
    good, pool = np.full(20, 0.50005), np.full(20, 0.49995)
    alike = judge(good, pool, boundary=0.5)
    assert alike.right == alike.number == 40 and alike.chance < 1e-9
    with pytest.raises(
        DataError, match=r"from 0\.5000 to 0\.5000, and it classifies 40 of them correctly \(20 by guessing\)"
    ):
        check_learned(alike, 0.01, "Change this.")
    check_learned(judge(good + 0.1, pool, boundary=None), 0.01, "")
    with pytest.raises(DataError):
        check_learned(judge(good * np.nan, pool, boundary=None), 0.0, "")


def test_four_held_out_documents_can_tell() -> None:
    """The fewest documents that are trained on leave two of each kind."""
    check_learned(judge(np.array([0.9, 0.8]), np.array([0.1, 0.2]), 0.5), 0.01, "")
    with pytest.raises(DataError):
        check_learned(judge(np.array([0.9, 0.4]), np.array([0.1, 0.2]), 0.5), 0.01, "")
