"""Runs plans of toy stages in a workspace, and looks at what they left there."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from toy import Measure, Shout, ToyPool, Unique, toy_recipe

from tamis.base.events import Event
from tamis.base.stage import Source, Stage
from tamis.runner.curation import make_engine, plan_nodes
from tamis.runner.execute import execute as execute_nodes
from tamis.runner.graph import Context
from tamis.runner.plan import Plan, make_plan
from tamis.store.atomic import read_json
from tamis.store.location import Location
from tamis.store.rundir import RunDir
from tamis.store.workspace import open_workspace

Docs = list[list[list[str | None]]]
RUN = "run"


def build(docs: Docs, min_chars: int = 3, log: str = "", **changes: Any) -> Plan:
    """A plan of all toy stages."""
    stages: list[Stage] = [
        Shout(Shout.Settings(log=log)),
        Measure(Measure.Settings(min_chars=min_chars)),
        Unique(Unique.Settings()),
    ]
    return plan_of(ToyPool(ToyPool.Settings(shards=docs)), stages, **changes)


def plan_of(source: Source, stages: list[Stage], **changes: Any) -> Plan:
    return make_plan(toy_recipe(**changes), source, stages, list(source.shards()))


def execute(
    plan: Plan, root: Any, workers: int = 1, engine: Any = "local", name: str = RUN,
    watch: Callable[[Event], None] = lambda event: None,
) -> list[Event]:  # fmt: skip
    """Execute a plan as the run `name` of the workspace at `root`; returns the events, of which `watch` is told too."""
    events: list[Event] = []

    def tell(event: Event) -> None:
        events.append(event)
        watch(event)

    workspace = open_workspace(Location(root))
    run = RunDir(workspace.root / name)
    run.record_steps({step.label: step.artefact for step in plan.steps}, [])
    with make_engine(engine, workers, workspace) as opened:
        context = Context(workspace=workspace, engine=opened, num_workers=workers, on_event=tell)
        nodes = plan_nodes(name, plan, {})
        execute_nodes([nodes[plan.steps[-1].label]], context, lambda node: None, lambda node: None)
    return events


def run_at(root: Any, name: str = RUN) -> RunDir:
    return RunDir(Location(root).absolute() / name)


def step_folder(root: Any, step: str, name: str = RUN) -> Path:
    """Local folder of the artefact of a step such as `03_measure`."""
    return run_at(root, name).stage(step).root.path


def counts(root: Any, step: str, name: str = RUN) -> dict[str, Any]:
    """The accounting of a step, from its card."""
    return dict(read_json(run_at(root, name).stage(step).card)["counts"])


def tree(root: Any) -> dict[str, str]:
    """Digest of every file of the workspace at `root` by relative path, locks and events left out."""
    place = Location(root).absolute()
    files = [file for file in place.files() if file.name not in (".lock", "events.jsonl")]
    return {file.relative_to(place): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}
