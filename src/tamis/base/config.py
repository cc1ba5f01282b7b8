"""Base of every settings class: frozen, strict, and with errors that name the field and the nearest valid name."""

import math
from collections.abc import Iterator
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from tamis.base.errors import ConfigError, did_you_mean


class Config(BaseModel):
    """Settings of one part of a recipe. Unknown keys and wrong types are refused; instances cannot be changed."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    @classmethod
    def parse(cls, data: Any, where: str) -> Self:
        """Validate `data` (a mapping from YAML or JSON); `where` is its place in the recipe, as in `filter`.

        Raises ConfigError naming every wrong field.
        """
        if data is None:
            data = {}
        if not isinstance(data, dict):
            raise ConfigError(f"{where or 'the file'}: expected settings as 'key: value', got {data!r:.60}")
        if wrong := list(_wrong_numbers(data, where)):
            raise ConfigError("\n".join(wrong))
        try:
            return cls.model_validate(data)
        except ValidationError as error:
            raise ConfigError("\n".join(_explain(cls, item, where) for item in error.errors())) from None


def _wrong_numbers(data: Any, path: str) -> Iterator[str]:
    """A message for every number, at any depth and also where a setting takes anything, that no comparison can be made
    with (`nan`, `inf`), or that has more than the 64 bits of the numbers in files."""
    if isinstance(data, float) and not math.isfinite(data):
        yield f"{path}: a setting must be a finite number (got {data}); to leave it out, remove it"
    if isinstance(data, int) and not -(2**63) <= data < 2**63:
        shown = str(data) if data.bit_length() < 200 else f"{data.bit_length()} bits"
        yield f"{path}: a whole number must fit into 64 bits (got {shown})"
    if isinstance(data, dict | list):
        for key, value in data.items() if isinstance(data, dict) else enumerate(data):
            yield from _wrong_numbers(value, f"{path}.{key}" if path else str(key))


def _explain(model: type[BaseModel], item: Any, where: str) -> str:
    path = [str(part) for part in item["loc"]]
    field = ".".join([where, *path]) if where else ".".join(path)
    if item["type"] == "extra_forbidden":
        return f"{field}: no such setting{did_you_mean(path[-1], _fields_at(model, path[:-1]))}"
    if item["type"] == "missing":
        return f"{field}: this setting is required"
    return f"{field}: {item['msg']} (got {item.get('input')!r:.200})"


def _fields_at(model: type[BaseModel], path: list[str]) -> list[str]:
    """Names of the settings valid at `path` below `model`, following nested settings classes."""
    for part in path:
        field = model.model_fields.get(part)
        nested = [] if field is None else [a for a in _arguments(field.annotation) if _is_model(a)]
        if nested:
            model = nested[0]
    return list(model.model_fields)


def _arguments(annotation: Any) -> list[Any]:
    inner = getattr(annotation, "__args__", ())
    return [annotation, *(leaf for part in inner for leaf in _arguments(part))]


def _is_model(candidate: Any) -> bool:
    return isinstance(candidate, type) and issubclass(candidate, BaseModel)
