"""Every dedup method through the real runner: one worker, three workers, killed and resumed: the same bytes."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from test_run import tree

from tamis import flow
from tamis.base.errors import DataError
from tamis.base.events import Event
from tamis.stages.dedup.stage import METHODS

SETTINGS: dict[str, dict[str, Any]] = {
    "bloom": {"shards": 2, "self_check": 0.2},
    "exact": {"num_buckets": 3, "keep": "longest"},
    "minhash": {"num_parts": 2, "self_check": 0.2},
    "semantic": {"embedder": "toy:embed", "eps": 0.02, "self_check": 0.2, "merge": True},
    "substring": {"num_parts": 2, "groups": 2, "self_check": 0.2},
    "within_page": {},
}
"""What each method is run with; a method without an entry fails `test_every_method_is_run`."""


def test_every_method_is_run() -> None:
    assert SETTINGS.keys() == METHODS.keys()


def run(method: str, pool: Path, output: Path, workers: int, engine: Any = "local") -> Path:
    raw = {"name": "dedup-run", "stages": [{"dedup": {"method": method} | SETTINGS[method]}]}
    flow.run_recipe(flow.resolve(raw, [str(pool)]), output, workers, lambda event: None, engine)
    return output


@pytest.mark.parametrize("method", sorted(SETTINGS))
def test_same_bytes_however_it_is_run(method: str, pool: Path, tmp_path: Path) -> None:
    one = tree(run(method, pool, tmp_path / "one", 1))
    assert tree(run(method, pool, tmp_path / "three", 3)) == one
    card = json.loads((tmp_path / "one" / "02_dedup" / "card.json").read_text())
    counts = card["counts"]
    assert counts["in"] == 300 == counts["kept"] + sum(counts["removed"].values())
    assert not counts["quarantined"]
    changed = sum(counts["removed"].values()) or card["text_bytes"]["kept"] < card["text_bytes"]["in"]
    assert changed or method == "within_page", "a method that finds nothing here is not tested by this"


@pytest.mark.parametrize("method", sorted(SETTINGS.keys() - {"within_page"}))
def test_killed_mid_stage_and_resumed(method: str, pool: Path, tmp_path: Path) -> None:
    undisturbed = tree(run(method, pool, tmp_path / "undisturbed", 2))
    script = tmp_path / "child.py"
    script.write_text(
        f"import sys\nfrom pathlib import Path\nsys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from test_dedup_runs import run\n"
        f"if __name__ == '__main__':\n    run({method!r}, Path({str(pool)!r}), Path(sys.argv[1]), 2)\n"
    )
    stage = tmp_path / "killed" / "02_dedup"
    for seen in ("sketches/*", "decisions/*", "shards/*"):
        child = subprocess.Popen([sys.executable, str(script), str(tmp_path / "killed")], start_new_session=True)
        while child.poll() is None and not list(stage.glob(seen)):
            time.sleep(0.002)
        if child.poll() is None:
            os.kill(child.pid, signal.SIGKILL)
        child.wait()
    time.sleep(0.3)  # its workers die with it, but not at once: one may leave an unfinished file behind
    assert tree(run(method, pool, tmp_path / "killed", 2)) == undisturbed


def test_a_sketch_made_with_other_settings_is_refused_by_name(pool: Path, tmp_path: Path) -> None:
    """Between the passes, someone puts the sketch of another run in a sketch's place."""
    raw = {"name": "dedup-run", "stages": [{"dedup": {"method": "minhash"}}]}
    other = {"name": "dedup-run", "stages": [{"dedup": {"method": "minhash", "bands": 3}}]}
    flow.run_recipe(flow.resolve(other, [str(pool)]), tmp_path / "other", 1, lambda event: None)

    def put(event: Event) -> None:
        if event.kind == "task_finished" and event.fields["pass"] == 1 and event.fields.get("shard") == "4.jsonl":
            for name in ("sketches/00002.parquet", "tasks/sketch-00002.json"):
                shutil.copy(tmp_path / "other" / "02_dedup" / name, tmp_path / "run" / "02_dedup" / name)

    with pytest.raises(DataError, match=r"sketches/00002\.parquet: this sketch of 2\.jsonl was made with"):
        flow.run_recipe(flow.resolve(raw, [str(pool)]), tmp_path / "run", 1, put)
