"""The 53 tasks of DCLM as data, and the aggregates of their scores, against hand computation and published numbers."""

import hashlib
import io
from collections import Counter
from pathlib import Path

import pytest
import zstandard

from tamis.base.errors import ConfigError, DataError
from tamis.evaluate.aggregates import aggregate, centred
from tamis.evaluate.suite import Suite, load_suite


def test_the_suite_has_the_tasks_that_the_paper_counts() -> None:
    suite = load_suite()
    assert len(suite.tasks) == 53 and len(suite.core) == 22
    kinds = Counter(task.type for task in suite)
    assert kinds == {"multiple_choice": 33, "language_modeling": 13, "generation": 5, "schema": 2}
    categories = Counter(task.category for task in suite)
    assert categories == {
        "symbolic problem solving": 15, "world knowledge": 10, "language understanding": 8,
        "commonsense reasoning": 8, "reading comprehension": 8, "safety": 4,
    }  # fmt: skip
    assert not any("mmlu" in label for label in suite.core)
    changed = [task.label for task in suite if task.baseline.v1 != task.baseline.v2]
    assert len(changed) == 12 and set(changed) & set(suite.core) == {
        "commonsense_qa", "bigbench_language_identification", "agi_eval_lsat_ar",
    }  # fmt: skip


def test_published_files_have_the_recorded_size_and_checksum(shared_data: Path) -> None:
    folder, seen = shared_data / "data/eval", 0
    for task in load_suite():
        place = folder / f"{task.file}.zst"
        if place.exists():
            data = zstandard.ZstdDecompressor().stream_reader(io.BytesIO(place.read_bytes())).read()
            assert (len(data), hashlib.sha256(data).hexdigest()) == (task.bytes, task.sha256), task.label
            assert sum(bool(line.strip()) for line in data.splitlines()) == task.items, task.label
            seen += 1
    assert seen == 43


def entry(label: str, category: str, baseline: float, core: bool = False) -> dict[str, object]:
    return {
        "label": label, "category": category, "type": "multiple_choice", "shots": 0, "items": 1, "core": core,
        "baseline": {"v1": 0, "v2": baseline}, "file": f"{label}.jsonl",
    }  # fmt: skip


SMALL = Suite.parse(
    {"tasks": [entry("a", "x", 50, core=True), entry("b", "x", 20), entry("c", "y", 0, core=True)]}, "suite"
)


def test_aggregates_by_hand() -> None:
    found = aggregate({"a": 0.75, "b": 0.1, "c": 0.25, "not one of them": 7.0}, SMALL)
    assert found.centred == pytest.approx({"a": 0.5, "b": -0.125, "c": 0.25})
    assert found.core == pytest.approx(0.375) and found.extended == pytest.approx(0.625 / 3)
    assert found.categories == pytest.approx({"x": 0.1875, "y": 0.25}) and found.missing == []
    assert aggregate({"a": 0.75, "b": 0.1, "c": 0.25}, SMALL, "v1").core == pytest.approx(0.5)


def test_what_lacks_a_task_has_no_aggregate() -> None:
    found = aggregate({"a": 0.75, "c": 0.25}, SMALL)
    assert found.core == pytest.approx(0.375) and found.extended is None
    assert found.categories == {"x": None, "y": 0.25} and found.missing == ["b"]
    assert aggregate({}, SMALL).core is None


@pytest.mark.parametrize("score", [-0.1, 1.5, 45.0, float("nan")])
def test_a_score_that_is_no_share_is_refused(score: float) -> None:
    with pytest.raises(DataError, match="a: a score is a share from 0 to 1"):
        aggregate({"a": score}, SMALL)


def test_centring() -> None:
    assert (centred(0.25, 25), centred(1.0, 25), centred(0.0, 50)) == (0.0, 1.0, -1.0)


def test_an_unknown_suite_and_wrong_entries_are_named() -> None:
    with pytest.raises(ConfigError, match="there is no such suite"):
        load_suite("dclm2")
    with pytest.raises(ConfigError, match=r"suite\.tasks\.0\.shots"):
        Suite.parse({"tasks": [entry("a", "x", 0) | {"shots": -1}]}, "suite")


def test_the_suite_is_installed_with_the_package() -> None:
    listed = (Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8")
    assert '"evaluate/suites/*.yaml"' in listed
