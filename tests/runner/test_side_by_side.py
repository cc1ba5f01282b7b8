"""Nodes in processes of their own: each GPU has one at a time, and the first failure is told."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest

from tamis.base.errors import DataError
from tamis.base.events import Event
from tamis.runner.graph import Context, Node
from tamis.runner.inline_engine import InlineEngine
from tamis.runner.side_by_side import run_side_by_side
from tamis.store.location import Location
from tamis.store.system import visible_gpus
from tamis.store.workspace import Workspace, open_workspace


class Report(Node):
    """Writes which GPU its process sees; fails when it is told to."""

    kind: ClassVar[str] = "report"
    own_process: ClassVar[bool] = True

    def __init__(self, name: str, fails: bool = False) -> None:
        super().__init__("", name, ())
        self.fails = fails

    def artefacts(self, workspace: Workspace) -> list[str]:
        return [f"report-{self.label}"]

    def is_done(self, workspace: Workspace) -> bool:
        return (workspace.artefact(self.artefacts(workspace)[0]) / "gpu").exists()

    def run(self, context: Context) -> None:
        from tamis.store.atomic import write_text

        if self.fails:
            raise DataError("no such luck")
        gpu = ",".join(visible_gpus())
        write_text(context.workspace.artefact(self.artefacts(context.workspace)[0]) / "gpu", gpu)
        context.on_event(Event(kind="progress", fields={"stage": "report", "done": 1, "total": 1}))


def run(nodes: Sequence[Node], place: Path) -> tuple[list[str], list[Event]]:
    """What each node saw, and the events."""
    events: list[Event] = []
    workspace = open_workspace(Location(place))
    context: Any = Context(workspace=workspace, engine=InlineEngine(), num_workers=2, on_event=events.append)
    run_side_by_side(nodes, context)
    seen = [(workspace.artefact(node.artefacts(workspace)[0]) / "gpu").read_text() for node in nodes]
    return seen, events


def test_each_process_sees_one_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    seen, events = run([Report(name) for name in "abcde"], tmp_path)
    assert set(seen) <= {"3", "5"} and {seen[0], seen[1]} == {"3", "5"}
    assert [event.kind for event in events] == ["progress"] * 5


def test_without_gpus_there_is_one_per_core(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    seen, _ = run([Report(name) for name in "abc"], tmp_path)
    assert seen == ["", "", ""]


def test_a_failure_is_raised_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(DataError, match="no such luck"):
        run([Report("a"), Report("b", fails=True), Report("c")], tmp_path)
