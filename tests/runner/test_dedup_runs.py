"""Every dedup method through the real runner: one worker, three workers, killed and resumed: the same bytes."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from harness import run_at, step_folder, tree

from tamis import flow
from tamis.base.errors import DataError
from tamis.base.events import Event
from tamis.commands import Session, run_recipe
from tamis.stages.dedup.stage import METHODS
from tamis.store.atomic import read_json
from tamis.store.location import Location
from tamis.store.workspace import open_workspace

SETTINGS: dict[str, dict[str, Any]] = {
    "bloom": {"shards": 2, "self_check": 0.2, "name_first": True},
    "exact": {"num_buckets": 3, "keep": "longest"},
    "minhash": {"num_parts": 2, "self_check": 0.2},
    "semantic": {"embedder": "toy:embed", "eps": 0.02, "self_check": 0.2, "merge": True},
    "substring": {"num_parts": 2, "groups": 2, "self_check": 0.2, "name_first": True},
    "within_page": {},
}
"""What each method is run with; a method without an entry fails `test_every_method_is_run`."""


def test_every_method_is_run() -> None:
    assert SETTINGS.keys() == METHODS.keys()


def run(method: str, pool: Path, output: Path, workers: int, engine: Any = "local") -> Path:
    run_raw(
        {"name": "run", "stages": [{"dedup": {"method": method} | SETTINGS[method]}]}, pool, output, workers, engine
    )
    return output


def run_raw(
    raw: dict[str, Any], pool: Path, output: Path, workers: int, engine: Any = "local",
    watch: Callable[[Event], None] = lambda event: None,
) -> None:  # fmt: skip
    """Run a recipe in the workspace at `output`."""
    workspace = open_workspace(Location(output))
    session = Session(workspace=workspace, num_workers=workers, on_event=watch, engine=engine)
    run_recipe(session, flow.compile_run("run", flow.resolve(raw, [str(pool)])))


@pytest.mark.parametrize("method", sorted(SETTINGS))
def test_same_bytes_however_it_is_run(method: str, pool: Path, tmp_path: Path) -> None:
    one = tree(run(method, pool, tmp_path / "one", 1))
    assert tree(run(method, pool, tmp_path / "three", 3)) == one
    card = read_json(run_at(tmp_path / "one").stage("02_dedup").card)
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
    stage = (
        tmp_path / "killed" / step_folder(tmp_path / "undisturbed", "02_dedup").relative_to(tmp_path / "undisturbed")
    )
    for seen in ("sketches/*", "decisions/*", "shards/*"):
        child = subprocess.Popen([sys.executable, str(script), str(tmp_path / "killed")], start_new_session=True)
        while child.poll() is None and not list(stage.glob(seen)):
            time.sleep(0.002)
        if child.poll() is None:
            os.kill(child.pid, signal.SIGKILL)
        child.wait()
    assert whole_files(run(method, pool, tmp_path / "killed", 2)) == undisturbed


def whole_files(root: Path) -> dict[str, str]:
    """As `tree`, without what a worker that died with the killed run may have left unfinished."""
    return {name: digest for name, digest in tree(root).items() if not name.endswith(".tamis-tmp")}


def test_a_sketch_made_with_other_settings_is_refused_by_name(pool: Path, tmp_path: Path) -> None:
    """Between the passes, someone puts the sketch of another run in a sketch's place."""
    raw = {"name": "run", "stages": [{"dedup": {"method": "minhash"}}]}
    run_raw({"name": "run", "stages": [{"dedup": {"method": "minhash", "bands": 3}}]}, pool, tmp_path / "other", 1)
    other = step_folder(tmp_path / "other", "02_dedup")

    def put(event: Event) -> None:
        if event.kind == "task_finished" and event.fields["pass"] == 1 and event.fields.get("shard") == "4.jsonl":
            target = step_folder(tmp_path / "w", "02_dedup")
            for name in ("sketches/00002.parquet", "tasks/sketch-00002.json"):
                shutil.copy(other / name, target / name)

    with pytest.raises(DataError, match=r"sketches/00002\.parquet: this sketch of 2\.jsonl was made with"):
        run_raw(raw, pool, tmp_path / "w", 1, watch=put)
