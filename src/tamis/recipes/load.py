"""Recipes and experiments as files: those shipped with the package, and the user's own; and changes to their fields."""

from importlib import resources
from typing import Any, Literal

import yaml

from tamis.base.errors import ConfigError, did_you_mean
from tamis.base.plugins import anchored
from tamis.base.recipe import Recipe
from tamis.store.location import Location

Kind = Literal["recipe", "experiment"]
_FOLDERS = {"recipe": "tamis.recipes", "experiment": "tamis.recipes.experiments"}


def shipped_names(kind: Kind = "recipe") -> list[str]:
    """Names of the recipes or experiments shipped with the package."""
    entries = resources.files(_FOLDERS[kind]).iterdir()
    return sorted(entry.name.removesuffix(".yaml") for entry in entries if entry.name.endswith(".yaml"))


def shipped_text(name: str, kind: Kind = "recipe") -> str:
    """The YAML text of a shipped file."""
    return resources.files(_FOLDERS[kind]).joinpath(f"{name}.yaml").read_text(encoding="utf-8")


def load(name_or_path: str, kind: Kind = "recipe", beside: Location | None = None) -> tuple[dict[str, Any], Location]:
    """The raw YAML of a shipped recipe or experiment or of a file, and the folder that its relative paths start from.

    A relative path is looked for in `beside`, the folder of the file that names it. Code that the file names as
    `./mine.py:function` gets its whole path. Raises ConfigError with the nearest name or the line at fault.
    """
    place = Location(name_or_path)
    if beside is not None and not place.is_remote and not place.path.is_absolute():
        place = beside / name_or_path
    if name_or_path.endswith((".yaml", ".yml")) or place.is_file():
        if not place.is_file():
            raise ConfigError(f"{place}: no such {kind} file")
        text, where, folder = place.read_text(), str(place), place.absolute().parent
    elif name_or_path in shipped_names(kind):
        text, where, folder = shipped_text(name_or_path, kind), name_or_path, Location(".").absolute()
    else:
        raise ConfigError(f"no {kind} '{name_or_path}'{did_you_mean(name_or_path, shipped_names(kind))}")
    try:
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"{where}: not valid YAML: {error}") from None
    if not isinstance(data, dict):
        needed = "'name' and 'stages'" if kind == "recipe" else "'name' and 'recipes'"
        raise ConfigError(f"{where}: {'a recipe' if kind == 'recipe' else 'an experiment'} is a mapping with {needed}")
    return (data if folder.is_remote else anchored(data, folder.path)), folder


def load_recipe(name_or_path: str) -> dict[str, Any]:
    """The raw YAML of a recipe, as `load`."""
    return load(name_or_path)[0]


def override(recipe: dict[str, Any], assignment: str) -> None:
    """Apply one `path.to.field=value` to a raw recipe, in place. The path starts with a recipe field or a stage name.

    Raises ConfigError for an assignment without '=', or a path that starts nowhere.
    """
    path, equals, raw = assignment.partition("=")
    if not equals or not all(path.strip().split(".")):
        raise ConfigError(f"--set {assignment}: expected path.to.field=value, as in filter.min_words=40")
    try:
        value = yaml.safe_load(raw)
    except yaml.YAMLError:
        value = raw
    set_field(recipe, path.strip(), value, f"--set {assignment}")


def set_field(recipe: dict[str, Any], path: str, value: Any, where: str) -> None:
    """Set the field at `path` (`stage.field` or a recipe field) of a raw recipe; `where` begins the error's text."""
    parts = path.split(".")
    target = _root(recipe, parts, where)
    for part in parts[1:-1]:
        if target.get(part) is None:
            target[part] = {}
        target = target[part]
        if not isinstance(target, dict):
            raise ConfigError(f"{where}: '{part}' is a value, not a group of settings")
    target[parts[-1]] = value


def _root(recipe: dict[str, Any], parts: list[str], where: str) -> dict[str, Any]:
    """The mapping that the first part of the path opens (the recipe itself for a field such as `seed`)."""
    head = parts[0]
    for position, entry in enumerate(recipe.get("stages") or []):
        name = entry if isinstance(entry, str) else next(iter(entry), "")
        if name == head and len(parts) > 1:
            if isinstance(entry, str):
                recipe["stages"][position] = entry = {head: {}}
            entry[head] = entry[head] or {}
            return _group(entry[head], where)
    if head not in Recipe.model_fields or head == "stages":
        entries = recipe.get("stages") or []
        names = [*Recipe.model_fields, *(e if isinstance(e, str) else str(next(iter(e), "")) for e in entries)]
        raise ConfigError(f"{where}: nothing is called '{head}'{did_you_mean(head, names)}")
    if len(parts) == 1:
        return recipe
    if recipe.get(head) is None:
        recipe[head] = {}
    return _group(recipe[head], where)


def _group(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ConfigError(f"{where}: {value!r} is a value, not a group of settings")
    return value
