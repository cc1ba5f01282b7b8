"""Settings: numbers that mean nothing are refused at every depth of every settings class, in one place."""

import importlib
from pathlib import Path
from typing import Any

import pytest
from pydantic import Field, ValidationError

import tamis
from tamis.base.config import Config
from tamis.base.errors import ConfigError


class Inner(Config):
    share: float = 0.5


class Sample(Config):
    threshold: float | bool | str | list[float | str] | None = None
    count: int = 0
    inner: Inner = Inner()
    options: dict[str, Any] = Field(default={})


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize(
    ("place", "field"),
    [
        (lambda x: {"threshold": x}, "threshold"), (lambda x: {"threshold": [1.0, x]}, r"threshold\.1"),
        (lambda x: {"inner": {"share": x}}, r"inner\.share"),
        (lambda x: {"options": {"a": [{"b": x}]}}, r"options\.a\.0\.b"),
        (lambda x: {"count": x}, "count"),
    ],
)  # fmt: skip
def test_a_number_that_is_not_finite(place: Any, field: str, bad: float) -> None:
    with pytest.raises(ConfigError, match=rf"^step\.{field}: a setting must be a finite number \(got {bad}\)"):
        Sample.parse(place(bad), "step")


@pytest.mark.parametrize("bad", [2**63, -(2**63) - 1, 10**30, 10**5000], ids=["one", "two", "three", "four"])
def test_a_whole_number_beyond_64_bits(bad: int) -> None:
    for data in ({"count": bad}, {"threshold": bad}, {"options": {"a": [bad]}}):
        with pytest.raises(ConfigError, match="a whole number must fit into 64 bits") as raised:
            Sample.parse(data, "")
        assert len(str(raised.value)) < 200
    assert Sample.parse({"count": 2**63 - 1}, "").count == 2**63 - 1


def settings_classes() -> list[type[Config]]:
    """Every settings class of the package."""
    source = Path(tamis.__file__).parent
    for file in source.rglob("*.py"):
        if "(Config)" in file.read_text(encoding="utf-8"):
            importlib.import_module(".".join(("tamis", *file.relative_to(source).with_suffix("").parts)))
    found, left = [], [Config]
    while left:
        kind = left.pop()
        left += kind.__subclasses__()
        found += [kind] if kind.__module__.startswith("tamis.") else []
    return found


def test_no_setting_of_any_class_takes_nan_or_infinity() -> None:
    """However it is made: `parse` walks the data, and the classes refuse for themselves."""
    tried = 0
    for kind in settings_classes():
        for name, field in kind.model_fields.items():
            if "float" not in str(field.annotation):
                continue
            for bad in (float("nan"), float("inf")):
                tried += 1
                with pytest.raises(ConfigError, match="finite number"):
                    kind.parse({name: bad}, "x")
                with pytest.raises(ValidationError):
                    kind.model_validate({name: bad})
    assert tried > 40


def test_long_values_are_shortened_in_messages() -> None:
    with pytest.raises(ConfigError) as raised:
        Sample.parse({"count": "x" * 10_000}, "")
    assert len(str(raised.value)) < 400
    with pytest.raises(ConfigError, match="the file: expected settings as 'key: value', got 5"):
        Sample.parse(5, "")
