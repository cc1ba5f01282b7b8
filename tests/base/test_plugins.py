"""Names outside of Tamis: what they resolve to, what their errors say, and that they reach worker processes."""

import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tamis.base.errors import ConfigError
from tamis.base.own_stage import own_stage
from tamis.base.plugins import anchored, find, names_plugin

SOURCE = "def double(x):\n    return 2 * x\n"
STAGE = """
from __future__ import annotations

from dataclasses import dataclass

from tamis.base.config import Config
from tamis.base.stage import Map


@dataclass
class Held:
    factor: int | None = None


class Times(Map):
    name = "times"
    version = 1

    class Settings(Config):
        factor: int = 2

    def __init__(self, config):
        super().__init__(config)
        self.held = Held(config.factor)

    def apply(self, batch):
        return [self.held.factor * value for value in batch]
"""


def write(folder: Path, source: str, name: str = "mine.py") -> Path:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(source)
    return folder / name


def test_specs_are_anchored_at_the_recipe_and_nothing_else_is_touched(tmp_path: Path) -> None:
    raw = {
        "stages": [{"./mine.py:Mine": {"a": "../b.py:f"}}, {"filter": {"signals": ["x.py:g", "/abs/y.py:h"]}}],
        "other": ["numpy:sum", "./data.jsonl", "s3://bucket/x.py:f", 3, None, "https://a.py:80/x"],
    }
    assert anchored(raw, tmp_path / "recipes") == {
        "stages": [
            {f"{tmp_path}/recipes/mine.py:Mine": {"a": f"{tmp_path}/recipes/../b.py:f"}},
            {"filter": {"signals": [f"{tmp_path}/recipes/x.py:g", "/abs/y.py:h"]}},
        ],
        "other": raw["other"],
    }
    assert names_plugin("a.b:c") and names_plugin("./x.py:f") and not names_plugin("filter")


def test_the_source_decides_the_identity_and_the_place_does_not(tmp_path: Path) -> None:
    here = find(f"{write(tmp_path / 'a', SOURCE)}:double", "x")
    there = find(f"{write(tmp_path / 'b', SOURCE)}:double", "x")
    other = find(f"{write(tmp_path / 'c', SOURCE + '#')}:double", "x")
    assert here.identity() == there.identity() != other.identity()
    assert here.load()(3) == 6 and find(here.spec, "x") == here


def test_an_edited_file_is_another_object_in_the_same_process(tmp_path: Path) -> None:
    path = write(tmp_path, SOURCE)
    first = find(f"{path}:double", "x")
    write(tmp_path, SOURCE.replace("2", "5"))
    assert find(f"{path}:double", "x").load()(3) == 15 and first.load()(3) == 6


def test_a_module_stands_with_its_file_and_distribution(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = find("numpy.linalg:norm", "x")
    assert found.distribution.startswith("numpy==") and found.source == b"" and found.load()([3, 4]) == 5
    monkeypatch.syspath_prepend(tmp_path)
    write(tmp_path, SOURCE, "my_tamis_module.py")
    digest = find("my_tamis_module:double", "x").digest
    write(tmp_path, SOURCE + "#", "my_tamis_module.py")
    assert find("my_tamis_module:double", "x").digest != digest


@pytest.mark.parametrize(
    ("spec", "source", "messages"),
    [
        ("absent.py:f", "", ["where: cannot read", "absent.py", "No such file"]),
        ("mine.py:duoble", SOURCE, ["has no 'duoble'", "did you mean 'double'"]),
        ("mine.py:LIMIT", "LIMIT = 3\n", ["mine.py:LIMIT is not a function or a class"]),
        ("mine.py:f", "x = 1\nimport no_such_thing\n", ["mine.py, line 2: ModuleNotFoundError", "no_such_thing"]),
        ("mine.py:f", "def g():\n    return 1 / 0\n\ng()\n", ["mine.py, line 2: ZeroDivisionError: division by zero"]),
        ("mine.py:f", "def f(:\n", ["mine.py, line 1: SyntaxError"]),
        ("mine.py:f", "raise SystemExit('stop\\nnow')\n", ["mine.py, line 1: SystemExit: stop now"]),
        ("mine.py:f", "", ["has no 'f'"]),
    ],
)
def test_what_is_wrong_with_a_file_is_said_in_one_line(
    tmp_path: Path, spec: str, source: str, messages: list[str]
) -> None:
    write(tmp_path, source)
    with pytest.raises(ConfigError) as caught:
        find(f"{tmp_path}/{spec}", "where")
    assert len(str(caught.value).splitlines()) == 1
    for message in messages:
        assert message in str(caught.value)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("no_such_package.sub:f", "where: there is no module no_such_package. Install"),
        ("numpy.no_such_part:f", "where: there is no module numpy.no_such_part"),
        ("numpy:pi", "numpy:pi is not a function or a class"),
        ("fasttxt", r"where: no 'fasttxt' \(did you mean 'fasttext'\?"),
    ],
)
def test_what_is_wrong_with_a_module_is_said(spec: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        find(spec, "where", ["fasttext"])


def elsewhere(data: bytes, call: str) -> str:
    """What `call` on the unpickled object prints in a process that knows nothing of this one."""
    script = f"import pickle, sys; found = pickle.load(sys.stdin.buffer); print({call})"
    done = subprocess.run([sys.executable, "-c", script], input=data, capture_output=True, check=True, env=os.environ)
    return done.stdout.decode().strip()


def test_a_function_reaches_a_process_that_does_not_have_its_file(tmp_path: Path) -> None:
    plugin = find(f"{write(tmp_path, SOURCE)}:double", "x")
    (tmp_path / "mine.py").unlink()
    assert elsewhere(pickle.dumps(plugin), "found.load()(21)") == "42"


def test_a_stage_reaches_a_process_that_does_not_have_its_file(tmp_path: Path) -> None:
    stage: Any = own_stage(f"{write(tmp_path, STAGE)}:Times", {"factor": 7})
    (tmp_path / "mine.py").unlink()
    call = "found.apply([1, 2]), found.config.factor, found.plugin.name"
    assert elsewhere(pickle.dumps(stage), call) == "[7, 14] 7 Times"
    again = pickle.loads(pickle.dumps(pickle.loads(pickle.dumps(stage))))
    assert again.held == stage.held and again.full_identity() == stage.full_identity()


def test_the_source_of_a_stage_is_in_its_identity(tmp_path: Path) -> None:
    first = own_stage(f"{write(tmp_path, STAGE)}:Times", {})
    second = own_stage(f"{write(tmp_path, STAGE + '# more')}:Times", {})
    assert first.identity() == second.identity() and first.full_identity() != second.full_identity()


@pytest.mark.parametrize(
    ("source", "settings", "message"),
    [
        (STAGE, {"faktor": 3}, r"times\.faktor: no such setting \(did you mean 'factor'"),
        (STAGE.replace("def apply", "def applied"), {}, "lacks apply"),
        (STAGE.replace('    name = "times"\n', ""), {}, "lacks name"),
        (
            STAGE.replace("class Settings(Config)", "class Settings"),
            {},
            "must be a subclass of tamis.base.config.Config",
        ),
        (STAGE.replace('"times"', '"../times"'), {}, "must be lower-case letters"),
        (STAGE.replace("Held(config.factor)", "1 / 0"), {}, r"mine\.py, line \d+: ZeroDivisionError"),
        ("def Times(config): pass\n", {}, "write a subclass of tamis.base.stage.Map or Group"),
    ],
)
def test_what_is_no_stage_is_refused(tmp_path: Path, source: str, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        own_stage(f"{write(tmp_path, source)}:Times", settings)
