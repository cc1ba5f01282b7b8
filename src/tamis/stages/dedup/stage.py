"""The `dedup` step: one interface, one method per setting `method`, each usable in any order in a recipe."""

import importlib
from typing import Any

from tamis.base.config import Config
from tamis.base.errors import ConfigError, did_you_mean
from tamis.base.recipe import Recipe
from tamis.base.stage import Stage

METHODS: dict[str, tuple[str, str, str]] = {
    "exact": ("exact", "ExactConfig", "build_exact"),
    "minhash": ("minhash", "MinHashConfig", "MinHashDedup"),
    "bloom": ("bloom.stage", "BloomConfig", "BloomDedup"),
    "substring": ("substring.stage", "SubstringConfig", "build_substring"),
    "semantic": ("semantic.stage", "SemanticConfig", "build_semantic"),
    "within_page": ("within_page", "WithinPageConfig", "WithinPageDedup"),
}
"""Method -> (module of this package, class of its settings, function that makes the stage from them)."""


def dedup_config(settings: dict[str, Any]) -> Config:
    """Validated settings of a `dedup` step. Raises ConfigError for an unknown method or a wrong setting."""
    return _parse(settings)[1]


def build(settings: dict[str, Any], recipe: Recipe) -> list[Stage]:
    """The stages of a recipe's `dedup` step. Raises ConfigError for wrong settings."""
    make, config = _parse(settings)
    built = make(config)
    return built if isinstance(built, list) else [built]


def _parse(settings: dict[str, Any]) -> tuple[Any, Config]:
    method = settings.get("method", "exact") if isinstance(settings, dict) else "exact"
    if not isinstance(method, str) or method not in METHODS:
        raise ConfigError(
            f"dedup.method: no method {method!r}{did_you_mean(str(method), METHODS)}. There are {', '.join(METHODS)}."
        )
    module_name, config_name, maker_name = METHODS[method]
    module = importlib.import_module(f"tamis.stages.dedup.{module_name}")
    config: Config = getattr(module, config_name).parse(settings, "dedup")
    return getattr(module, maker_name), config
