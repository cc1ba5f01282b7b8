"""What all functions of the library have in common: types of data, and how a step of a recipe is built for a call."""

from collections.abc import Mapping
from typing import Any, Literal, Protocol, TypeVar

from tamis.base.recipe import Recipe
from tamis.base.stage import Stage
from tamis.fetch import resolve_setting
from tamis.flow import build_stage

Mode = Literal["fixed", "paper"]
"""`paper` reproduces DCLM's published code, its bugs included; `fixed` does what the paper says."""


class Tabular(Protocol):
    """A pyarrow Table or RecordBatch, a pandas or polars DataFrame, or a `datasets.Dataset`."""

    @property
    def shape(self) -> Any: ...


T = TypeVar("T", bound=Tabular)


def stages_of(step: str, settings: Mapping[str, Any], seed: int = 0, mode: Mode = "fixed") -> list[Stage]:
    """The stages of one step of a recipe. Raises ConfigError for a wrong setting."""
    recipe = Recipe.parse({"name": "library", "seed": seed, "mode": mode, "stages": []}, "")
    used = {name: resolve_setting(_plain(value))[0] for name, value in settings.items()}
    return build_stage(step, used, recipe)


def _plain(value: Any) -> Any:
    """A setting as YAML would give it: a tuple is a list there."""
    return list(value) if isinstance(value, tuple) else value
