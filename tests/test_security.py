"""SECURITY.md: every limit that it states is the one in the code."""

import re
from importlib import import_module
from pathlib import Path

import pytest

from tamis.base.recipe import Limits
from tamis.stages.extract.stage import ExtractConfig

TEXT = (Path(__file__).parents[1] / "SECURITY.md").read_text()
ROWS = re.findall(r"^\| (.+?) \| ([\d,]+)( \w+)? \| `(\S+)` \|$", TEXT, re.MULTILINE)
UNITS = {"": 1, "s": 1, "GB": 1, "bytes": 1, "MiB": 1 << 20, "GiB": 1 << 30}


def test_there_are_limits() -> None:
    assert len(ROWS) == TEXT.count("` |\n") > 15


@pytest.mark.parametrize(("what", "number", "unit", "place"), ROWS, ids=[row[3] for row in ROWS])
def test_a_limit_is_as_stated(what: str, number: str, unit: str, place: str) -> None:
    stated = int(number.replace(",", "")) * UNITS[unit.strip()]
    module, _, name = place.rpartition(".")
    settings = {"limits": Limits, "extract": ExtractConfig}
    found = (
        settings[module].model_fields[name].default
        if module in settings
        else getattr(import_module(f"tamis.{module}"), name)
    )
    assert found == stated, what
