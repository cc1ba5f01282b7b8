"""Runs over a handful of pages, made by the same code as `tamis run`."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tamis import commands, flow
from tamis.store.location import Location
from tamis.store.rundir import RunDir
from tamis.store.workspace import open_workspace


def curate(
    folder: Path, stages: list[dict[str, Any]], pages: Sequence[dict[str, Any]], workspace: Location | None = None,
    name: str = "mine",
) -> RunDir:  # fmt: skip
    """Run `stages` over `pages` ({text, url, ...}), two to a file, as the run `name`."""
    pool = folder / "pool"
    pool.mkdir(parents=True, exist_ok=True)
    for number in range(0, len(pages), 2):
        lines = "".join(json.dumps(page) + "\n" for page in pages[number : number + 2])
        (pool / f"{number:03d}.jsonl").write_text(lines)
    session = commands.Session(
        workspace=open_workspace(workspace or Location(folder / "workspace")), num_workers=1,
        on_event=lambda event: None,
    )  # fmt: skip
    resolved = flow.resolve({"name": name, "stages": stages}, [str(pool)])
    return commands.run_recipe(session, flow.compile_run(name, resolved))
