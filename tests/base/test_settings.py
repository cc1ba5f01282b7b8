"""The settings on which recipes differ: steps that one lacks, repeated steps, and what is no recipe at all."""

from typing import Any

import pytest

from tamis.base.settings import A_STEP, NO_STEP, differing_recipes, differing_settings


def recipe(*stages: Any, **fields: Any) -> dict[str, Any]:
    return {"name": "x", "description": "y", "seed": 0, "stages": list(stages)} | fields


def test_settings_by_step() -> None:
    a = recipe({"filter": {"min_words": 50, "rules": "gopher"}}, {"dedup": {"method": "exact"}})
    b = recipe({"filter": {"min_words": 100, "rules": "gopher"}}, {"dedup": {"method": "exact"}}, seed=3, name="z")
    assert differing_recipes([a, b]) == {"filter.min_words": [50, 100], "seed": [0, 3]}
    assert {"setting": "name", "base": "x", "here": "z"} in differing_settings(a, b)
    assert differing_recipes([a, a]) == {}


def test_a_step_that_one_lacks_is_one_line() -> None:
    exact, minhash = {"dedup": {"method": "exact"}}, {"dedup": {"method": "minhash", "bands": 14}}
    assert differing_recipes([recipe(exact), recipe(exact, minhash)]) == {"dedup-2": [NO_STEP, A_STEP]}
    three = differing_recipes([recipe(exact), recipe(), recipe(minhash)])
    assert three == {
        "dedup": [A_STEP, NO_STEP, A_STEP],
        "dedup.method": ["exact", NO_STEP, "minhash"],
        "dedup.bands": [None, NO_STEP, 14],
    }


@pytest.mark.parametrize("stages", [None, 3, "x", [None], [3], [{}], [{"a": 3}], [{"a": [1]}], {"a": 3}])
def test_a_damaged_recipe_is_compared_too(stages: Any) -> None:
    assert isinstance(differing_recipes([recipe(stages=stages), recipe({"filter": {}})]), dict)
