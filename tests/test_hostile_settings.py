"""Whatever stands in a recipe or an experiment, the answer is one message about it: no value leads to another error."""

import copy
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tamis import flow
from tamis.base.errors import ConfigError, TamisError
from tamis.base.experiment import Experiment
from tamis.experiment import compile_experiment
from tamis.recipes.load import load, set_field
from tamis.store.location import Location

VALUES: list[Any] = [
    None, 0, 5, -1, 2**70, 1.5, float("nan"), float("inf"), True, "", "x", "text", "highest:text", "a.b:c", "./x.py:f",
    "é" * 300, "x" * 300, "..", "a\nb", "s3://", "http://[", "*", "[", [], [1], [None], ["a"], [[[]]], {}, {"a": 1},
    {1: 2}, {None: None}, {"a": {"b": [1]}}, [{}], [{"filter": 5}], [{"filter": {}}, 5], [{5: {}}], [{None: {}}],
    [True],
]  # fmt: skip
PATHS = (
    "pool",
    "pool.inputs",
    "pool.inputs.x",
    "stages",
    "seed",
    "filter.rules",
    "filter.rules.x",
    "train",
    "output.jsonl",
)
SHARE = 0.06
"""Of all pairs of a place and a value."""


def places(data: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a recipe that a value can stand in."""
    pairs = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in pairs:
        yield (*at, key)
        yield from places(value, (*at, key))


def changed(data: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    chance = random.Random(0)
    for place in places(data):
        for value in VALUES:
            if chance.random() < SHARE:
                out = copy.deepcopy(data)
                target: Any = out
                for key in place[:-1]:
                    target = target[key]
                target[place[-1]] = copy.deepcopy(value)
                yield f"{place} = {value!r:.60}", out


def attempt(what: str, work: Any) -> bool:
    """Whether it was accepted. Anything but an error of Tamis's fails the test, and names the value."""
    try:
        work()
    except TamisError as error:
        assert str(error), what
        return False
    except Exception as error:
        raise AssertionError(f"{what}: {type(error).__name__}: {error}") from error
    return True


@pytest.fixture
def pool(tmp_path: Path) -> str:
    (tmp_path / "pool.jsonl").write_text('{"text": "a", "url": "http://a.example/"}\n')
    return str(tmp_path / "pool.jsonl")


@pytest.mark.parametrize("name", ["dclm-baseline", "fineweb", "gopher"])
def test_any_value_in_a_recipe(name: str, pool: str) -> None:
    raw, _ = load(name)
    filled = flow.resolve(copy.deepcopy(raw), [pool]).recipe.model_dump(mode="json")
    results = [attempt(what, lambda: flow.resolve(data, [pool])) for what, data in changed(filled)]  # noqa: B023
    assert 0 < sum(results) < len(results)


@pytest.mark.parametrize("path", PATHS)
def test_any_value_by_set(path: str, pool: str) -> None:
    for value in VALUES:
        recipe = copy.deepcopy(load("dclm-baseline")[0])

        def work() -> None:
            set_field(recipe, path, copy.deepcopy(value), "--set")  # noqa: B023
            flow.resolve(recipe, [pool])  # noqa: B023

        attempt(f"{path} = {value!r:.60}", work)


def test_a_change_in_a_recipe_that_is_none() -> None:
    for value in VALUES:
        for field in ("stages", "pool"):
            recipe = {"name": "a", "stages": [], "pool": {}, field: copy.deepcopy(value)}
            for path in ("filter.x", "pool.inputs", "seed"):
                attempt(f"{field} = {value!r:.60}, {path}", lambda: set_field(recipe, path, 1, "--set"))  # noqa: B023


def test_any_value_in_an_experiment(pool: str) -> None:
    raw, folder = load("documentation", "experiment")

    def work(data: dict[str, Any]) -> None:
        compile_experiment(Experiment.parse(data, ""), folder, [pool])

    for what, data in changed(raw):
        attempt(what, lambda: work(data))  # noqa: B023


def test_a_pool_that_is_a_number(tmp_path: Path, pool: str) -> None:
    with pytest.raises(ConfigError, match=r"^pool: .*\(got 5\)"):
        flow.resolve({"name": "a", "stages": ["extract"], "pool": 5}, [pool])
    (tmp_path / "raw.yaml").write_text("name: a\npool: 5\nstages: [extract, tokenize]\n")
    experiment = Experiment.parse({"name": "e", "recipes": {"a": "raw.yaml"}}, "")
    with pytest.raises(ConfigError, match="is a value, not a group of settings"):
        compile_experiment(experiment, Location(tmp_path), [pool])


@pytest.mark.parametrize("keep", ["highest:text", "highest:url", "lowest:host_name"])
@pytest.mark.parametrize("method", ["exact", "minhash"])
def test_the_copy_to_keep_is_chosen_by_numbers_alone(method: str, keep: str, pool: str) -> None:
    stages: list[Any] = ["extract", {"dedup": {"method": method, "keep": keep}}]
    with pytest.raises(ConfigError, match=r"dedup(\.keep)?: .*column"):
        flow.compile_run("a", flow.resolve({"name": "a", "stages": stages}, [pool]))
