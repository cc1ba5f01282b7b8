"""What may not be compared: each refusal names both folders and the command that mends it."""

import json
from pathlib import Path
from typing import Any

import pytest
from comparison_fakes import DESCRIPTION, noise, pages, write_evaluation

from tamis.base.errors import ConfigError, DataError
from tamis.evaluate.comparable import named_sides
from tamis.evaluate.compare import compare
from tamis.evaluate.run import EvaluateConfig

HARDNESS = pages()


def two(place: Path, **of_b: Any) -> dict[str, list[Path]]:
    """Sides a and b, of which b's evaluation is told apart by `of_b`."""
    return {
        "a": [write_evaluation(place / "run_a" / "evaluate", HARDNESS + noise(1), dataset="data1")],
        "b": [write_evaluation(place / "run_b" / "evaluate", HARDNESS + noise(2), **({"dataset": "data2"} | of_b))],
    }


def refused(sides: dict[str, list[Path]], **options: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        compare(sides, num_resamples=200, **options)
    return str(caught.value)


@pytest.mark.parametrize(
    ("of_b", "what", "command"),
    [
        ({"heldout": "other"}, "different held-out sets (heldout and other)", "tamis eval {b} --heldout TASKS"),
        ({"tasks": ("documents", "more")}, "only one of them has more", "tamis eval {b} --heldout TASKS"),
        ({"version": 1}, "different versions of the evaluation (2 and 1)", "tamis eval {b} --heldout TASKS"),
        (
            {"config": EvaluateConfig(num_resamples=200, window_overlap_fraction=0.25)},
            "window_overlap_fraction: 0.5 and 0.25",
            "tamis eval {b} --heldout TASKS --set window_overlap_fraction=0.5",
        ),
        ({"tokenizer": "t1"}, "different tokenizers (t0 and t1)", "--set tokenize.tokenizer=FILE, tamis train {b}"),
        ({"scale": "2m", "num_tokens": 9}, "(scale: nano and 2m)", "tamis train {b} --scale nano, then tamis eval {b}"),
        (
            {"num_tokens": 2_000_000},
            "(num_tokens: 1000000 and 2000000)",
            "tamis train {b} --scale nano --tokens 100000",
        ),
        ({"num_steps": 501}, "(num_steps: 500 and 501)", "tamis train {b} --scale nano --tokens 1000000"),
        (
            {"hyperparameters": DESCRIPTION["hyperparameters"] | {"learning_rate": 0.01}},
            "(learning_rate: 0.03 and 0.01)",
            "tamis train {b} --scale nano --set learning_rate=0.03",
        ),
        (
            {"shape": {"d_model": 32, "vocab_size": 4096}},
            "(vocab_size: 2048 and 4096)",
            "tamis train {b} --scale nano --set vocab_size=2048",
        ),
    ],
)
def test_what_is_not_a_difference_of_data_is_refused(
    tmp_path: Path, of_b: dict[str, Any], what: str, command: str
) -> None:
    sides = two(tmp_path, **of_b)
    message = refused(sides)
    assert what in message and command.format(b=tmp_path / "run_b") in message
    assert str(sides["a"][0]) in message and str(sides["b"][0]) in message


def test_every_two_evaluations_are_checked_not_only_with_the_first(tmp_path: Path) -> None:
    """The first records no tokenizer, so that only the other two can differ."""
    sides = two(tmp_path, tokenizer="t1")
    first = {"unknown": [write_evaluation(tmp_path / "first", HARDNESS, tokenizer=None)]}
    assert "different tokenizers" in refused(first | sides)


def test_other_items_under_one_held_out_set(tmp_path: Path) -> None:
    sides = two(tmp_path)
    path = sides["b"][0] / "items" / "documents.jsonl"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[1:]))
    message = refused(sides)
    assert "different items in task 'documents'" in message and "Delete both folders" in message
    assert str(sides["a"][0]) in message and f"tamis eval {tmp_path / 'run_b'} --heldout TASKS" in message


def test_different_training_is_compared_when_allowed_and_told(tmp_path: Path) -> None:
    changed = DESCRIPTION["hyperparameters"] | {"learning_rate": 0.01}
    sides = two(tmp_path, hyperparameters=changed, num_tokens=2_000_000)
    assert "allow different training" in refused(sides)
    result = compare(sides, num_resamples=100, allow_different_training=True)
    assert result["same_tokens"] is False
    assert "the models were trained with different learning_rate, which the difference includes" in result["notes"]
    assert any("different numbers of tokens" in note for note in result["notes"])
    assert "different tokenizers" in refused(two(tmp_path, tokenizer="t1"), allow_different_training=True)


def test_token_counts_of_whole_batches_are_the_same(tmp_path: Path) -> None:
    assert compare(two(tmp_path, num_tokens=1_000_900), num_resamples=100)["same_tokens"] is True


def test_what_is_not_recorded_is_noted(tmp_path: Path) -> None:
    result = compare(two(tmp_path, tokenizer=None, num_tokens=None), num_resamples=100)
    assert result["same_tokens"] is None
    assert "not recorded of the models of 'b', and so not checked: tokenizer, num_tokens" in result["notes"]


def test_one_evaluation_stands_once(tmp_path: Path) -> None:
    sides = two(tmp_path)
    message = refused(sides | {"c": sides["a"]})
    assert "on sides 'a' and 'c'" in message and str(sides["a"][0]) in message
    assert "twice on side 'a'" in refused({"a": [sides["a"][0]] * 2, "b": sides["b"]})
    copy = tmp_path / "copy" / "evaluate"
    (copy / "items").mkdir(parents=True)
    for name in ("card.json", "results.json", "items/documents.jsonl"):
        (copy / name).write_bytes((sides["a"][0] / name).read_bytes())
    message = refused({"a": sides["a"], "b": [copy]})
    assert str(sides["a"][0]) in message and str(copy) in message and "tamis train RUN --set seed=N" in message


def test_two_models_of_one_seed_on_a_side(tmp_path: Path) -> None:
    sides = two(tmp_path)
    again = write_evaluation(tmp_path / "again" / "evaluate", HARDNESS + noise(3), seed=0)
    message = refused({"a": [*sides["a"], again], "b": sides["b"]})
    assert "side 'a' has two models of training seed 0" in message and str(sides["a"][0]) in message
    assert f"tamis train {tmp_path / 'again'} --set seed=N" in message and str(again) in message


def test_data_that_is_mixed_or_shared_is_noted(tmp_path: Path) -> None:
    shared = compare(two(tmp_path, dataset="data1", seed=1), num_resamples=100)["notes"]
    assert "'a' and 'b' were trained on the same data: their difference is one of training seeds alone" in shared
    sides = two(tmp_path)
    sides["a"].append(write_evaluation(tmp_path / "more", HARDNESS + noise(4), seed=7, dataset="data3"))
    assert "the models of 'a' were not all trained on the same data" in compare(sides, num_resamples=100)["notes"]


def test_names_and_numbers_of_sides(tmp_path: Path) -> None:
    sides = two(tmp_path)
    assert "two or more sides" in refused({"a": sides["a"]})
    assert "side 'b' has no evaluation" in refused({"a": sides["a"], "b": []})
    assert "side ' ' has no name" in refused({"a": sides["a"], " ": sides["b"]})
    assert "the baseline 'c' is none of the sides (a, b)" in refused(sides, baseline="c")
    assert named_sides([("a", sides["a"]), ("b", sides["b"])]) == sides
    with pytest.raises(ConfigError, match="two sides are named 'x'") as caught:
        named_sides([("x", sides["a"]), ("x", sides["b"])])
    assert str(sides["a"][0]) in str(caught.value) and "change 'name:'" in str(caught.value)


def test_unfinished_and_damaged_evaluations(tmp_path: Path) -> None:
    sides = two(tmp_path)
    card = sides["b"][0] / "card.json"
    whole = json.loads(card.read_text())
    for damaged in ("{", json.dumps(whole | {"parents": []}), json.dumps(whole | {"kind": "model"}), "[]", "1"):
        card.write_text(damaged)
        with pytest.raises(DataError, match="is damaged"):
            compare(sides, num_resamples=100)
    card.unlink()
    assert f"tamis eval {tmp_path / 'run_b'} --heldout TASKS" in refused(sides)
