"""The last net: an exception that nobody expected ends a command with one line, a trace and an event."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from cli_runner import tamis_in, the_error

STAGE = '''
"""A step that breaks its promises."""
import pyarrow as pa
from tamis.base.config import Config
from tamis.base.stage import Map


class Loses(Map):
    """Loses a row."""

    name, version, reads = "loses", 1, ("text",)

    class Settings(Config):
        pass

    def apply(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        return batch.slice(1)


class Unruly(Loses):
    """Fails in the process that drives the run, which writes its card."""

    name, rules = "unruly", (object(),)

    def apply(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        return batch
'''


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "pool.jsonl").write_text('{"text": "some words", "url": "http://a.example/"}\n' * 3)
    (tmp_path / "steps.py").write_text(STAGE)
    for name in ("Loses", "Unruly"):
        recipe = {"name": name.lower(), "stages": [{f"./steps.py:{name}": {}}]}
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(recipe))
    return tmp_path


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("Loses", "StageContractError: stage 'loses' must return the same rows in the same order"),
        ("Unruly", "AttributeError: 'object' object has no attribute 'to_dict'"),
    ],
    ids=["in a worker", "in the driver"],
)
def test_a_defect_is_one_line_a_trace_and_an_event(name: str, what: str, place: Path) -> None:
    done = tamis_in(place)("run", f"{name}.yaml", "--pool", "pool.jsonl", "-w", "1", fails=True)
    told = the_error(done)
    assert done.returncode == 1
    assert "\n" not in told and what in told
    run = place / "runs" / name.lower()
    trace = run / "trace.txt"
    assert str(trace) in told
    assert "Traceback (most recent call last)" in trace.read_text() and what.split(":")[0] in trace.read_text()
    last = json.loads((run / "events.jsonl").read_text().splitlines()[-1])
    assert last["kind"] == "run_failed" and what in last["error"] and last["trace"] == "trace.txt"


def test_a_defect_outside_of_a_run_is_one_line_and_a_trace_in_the_folder_for_temporary_files(place: Path) -> None:
    (place / "broken.py").write_text(
        "import sys\n"
        "from tamis.cli import main\n"
        "import tamis.recipes.load as load\n"
        "def raises(*_):\n"
        "    raise ZeroDivisionError('of nothing')\n"
        "load.load_recipe = raises\n"
        "sys.argv = ['tamis', 'run', 'raw']\n"
        "main()\n"
    )
    done = subprocess.run(
        [sys.executable, "broken.py"], cwd=place, capture_output=True, text=True, check=False,
        env=os.environ | {"TMPDIR": str(place)},
    )  # fmt: skip
    told = the_error(done)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert told.startswith("error: unexpected ZeroDivisionError: of nothing. ")
    (trace,) = place.glob("tamis-trace-*.txt")
    assert re.search(rf"in {re.escape(str(trace))};", told) and "ZeroDivisionError" in trace.read_text()
