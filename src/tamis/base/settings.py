"""The settings on which two resolved recipes differ."""

from collections.abc import Sequence
from typing import Any

NOT_COMPARED = ("name", "description")
"""Fields of a recipe that decide nothing."""
A_STEP, NO_STEP = "a step", "no such step"


def differing(recipes: Sequence[dict[str, Any]]) -> dict[str, list[Any]]:
    """Setting -> its value in each resolved recipe (None: not set), for every setting on which they differ."""
    flat = [_flat(recipe) for recipe in recipes]
    names = dict.fromkeys(name for each in flat for name in each)
    found = {name: [each.get(name) for each in flat] for name in names}
    return {name: values for name, values in found.items() if any(value != values[0] for value in values)}


def differing_settings(base: dict[str, Any], here: dict[str, Any]) -> list[dict[str, Any]]:
    """{setting, base, here} of two resolved recipes, for every setting on which they differ."""
    return [{"setting": path, "base": a, "here": b} for path, (a, b) in differing([base, here]).items()]


def differing_recipes(recipes: Sequence[dict[str, Any]]) -> dict[str, list[Any]]:
    """As `differing`, but without what decides nothing (name and description). A step that not all recipes have is an
    entry of its own, `A_STEP` or `NO_STEP`, and its settings are compared among the recipes that have it."""
    steps = [dict(zip(stage_names(recipe), _stages(recipe), strict=True)) for recipe in recipes]
    found: dict[str, list[Any]] = {}
    for stage in dict.fromkeys(name for own in steps for name in own):
        owners = [place for place, own in enumerate(steps) if stage in own]
        if len(owners) < len(recipes):
            found[stage] = [A_STEP if stage in own else NO_STEP for own in steps]
        for name, values in differing([{stage: steps[place][stage]} for place in owners]).items():
            found[name] = [NO_STEP] * len(recipes)
            for place, value in zip(owners, values, strict=True):
                found[name][place] = value
    left_out = (*NOT_COMPARED, "stages")
    return found | differing([{k: v for k, v in recipe.items() if k not in left_out} for recipe in recipes])


def _stages(recipe: dict[str, Any]) -> list[Any]:
    """The settings of every stage of a recipe."""
    stages = recipe.get("stages")
    return [next(iter(_entry(entry).values())) for entry in stages] if isinstance(stages, list) else []


def stage_names(recipe: dict[str, Any]) -> list[str]:
    """Names of the stages of a recipe; the second of a name is `dedup-2`."""
    seen: dict[str, int] = {}
    out = []
    stages = recipe.get("stages")
    for entry in stages if isinstance(stages, list) else []:
        name = next(iter(_entry(entry)))
        seen[name] = seen.get(name, 0) + 1
        out.append(name if seen[name] == 1 else f"{name}-{seen[name]}")
    return out


def _entry(stage: Any) -> dict[str, Any]:
    """A stage as a recipe has it, `name: settings`; what is none counts as a stage of its own."""
    return {str(key): value for key, value in stage.items()} if isinstance(stage, dict) and stage else {str(stage): {}}


def _flat(value: Any, path: str = "") -> dict[str, Any]:
    """Leaves of nested settings by dotted path; stages by name, the second of a name as `dedup-2`."""
    if isinstance(value, list) and path == "stages":
        out: dict[str, Any] = {}
        for name, entry in zip(stage_names({"stages": value}), value, strict=True):
            out |= _flat(next(iter(_entry(entry).values())), name)
        return out
    if isinstance(value, dict) and value:
        return {k: v for key, item in value.items() for k, v in _flat(item, f"{path}.{key}".lstrip(".")).items()}
    return {path: value}
