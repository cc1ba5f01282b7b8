"""A finished run over pages and records of many kinds, and its export in every format."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from exported_runs import export_run, run_recipe

from tamis.export.layouts import LAYOUTS
from tamis.store.rundir import RunDir
from tamis.store.shards import read_shard


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    return run_recipe(tmp_path_factory.mktemp("exported"))


@pytest.fixture
def own_run(run: RunDir, tmp_path: Path) -> RunDir:
    """A copy of the run that a test may change, in `tmp_path`/runs."""
    root = run.workspace.root.path.parent
    for name in ("runs", "pool", "mine.yaml"):
        (shutil.copytree if (root / name).is_dir() else shutil.copy)(root / name, tmp_path / name)
    return RunDir(str(tmp_path / "runs" / "mine"))


@pytest.fixture(scope="session")
def exports(run: RunDir, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The folder of the run's export in every format, with files of ten documents."""
    root = tmp_path_factory.mktemp("formats")
    for name in LAYOUTS:
        export_run(run, root / name, name, documents_per_file=10)
    return {name: root / name for name in LAYOUTS}


@pytest.fixture(scope="session")
def documents(run: RunDir) -> list[dict[str, Any]]:
    """What the last stage of the run kept, row by row."""
    stage = run.dataset()
    assert stage is not None
    return [row for place in stage.shards.children() for batch in read_shard(place) for row in batch.to_pylist()]
