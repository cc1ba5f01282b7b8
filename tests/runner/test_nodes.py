"""Nodes of a graph: what they are made from, the order in which they are done, and what they tell before they are."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import pytest
from harness import execute, plan_of, run_at
from toy import Measure, Shout, ToyPool, Unique, toy_docs

from tamis.base.errors import ConfigError
from tamis.base.stage import StageContext
from tamis.runner.curation import Dataset, DecideNode, PassNode, plan_nodes
from tamis.runner.execute import execute as execute_nodes
from tamis.runner.graph import Context, Node, describe, in_order
from tamis.runner.inline_engine import InlineEngine
from tamis.runner.ledger import RECORD, Record, describe_outputs, write_record
from tamis.runner.plan import Plan, asset_location
from tamis.store.atomic import read_json, write_json
from tamis.store.location import Location
from tamis.store.locks import lock
from tamis.store.rundir import StageDir
from tamis.store.workspace import Workspace, open_workspace


class Noted(Node):
    """Writes in `log` what happens to it. Two that have the same `artefact` make the same thing."""

    kind: ClassVar[str] = "noted"

    def __init__(self, name: str, log: list[str], inputs: Sequence[Node] = (), artefact: str = "") -> None:
        super().__init__("", name, inputs)
        self.log, self.artefact = log, artefact or f"noted-{name}"

    def artefacts(self, workspace: Workspace) -> list[str]:
        return [self.artefact]

    def is_done(self, workspace: Workspace) -> bool:
        return (workspace.artefact(self.artefact) / "done").exists()

    def run(self, context: Context) -> None:
        self.log.append(f"run {self.label}")
        write_json(context.workspace.artefact(self.artefact) / "done", {})


class Held(Noted):
    """Finds out whether its artefact is locked while it runs."""

    def run(self, context: Context) -> None:
        with (
            pytest.raises(ConfigError, match="another run is working here"),
            lock(context.workspace.artefact(self.artefact)),
        ):
            pass
        super().run(context)


class Apart(Noted):
    """A node with a process of its own; in a workspace in memory all the same it runs in this one."""

    kind = "apart"
    own_process: ClassVar[bool] = True


class AlsoApart(Apart):
    kind = "also_apart"


class MakesWords(Noted):
    """Makes a file that a stage reads."""

    def run(self, context: Context) -> None:
        folder = context.workspace.artefact(self.artefact)
        write_json(folder / "words.json", ["one", "two"])
        outputs = describe_outputs(folder, [folder / "words.json"])
        write_record(folder / RECORD, Record(fingerprint="words", outputs=outputs))
        super().run(context)


class BoundMeasure(Measure):
    """Reads a file that a node of the graph makes."""

    def assets(self) -> dict[str, str]:
        return {"words": "artefact:words-1/words.json"}

    def open(self, context: StageContext) -> None:
        self.opened_with = (context.seed, json.loads(context.assets["words"].read_text()))


class BoundUnique(Unique):
    """Decides with a file that a node of the graph makes."""

    def assets(self) -> dict[str, str]:
        return {"model": "artefact:model-1/folder/model.bin"}


def finish(targets: Sequence[Node], log: list[str], root: str) -> None:
    workspace = open_workspace(Location(root))
    context = Context(workspace=workspace, engine=InlineEngine(), num_workers=2, on_event=lambda event: None)
    execute_nodes(
        targets, context,
        lambda node: log.append(f"start {node.label}"), lambda node: log.append(f"done {node.label}"),
    )  # fmt: skip


def toy_plan(measure: type[Measure] = Measure, unique: type[Unique] = Unique) -> Plan:
    stages = [Shout(Shout.Settings()), measure(Measure.Settings()), unique(Unique.Settings())]
    return plan_of(ToyPool(ToyPool.Settings(shards=toy_docs(2, 10))), stages)


def test_nodes_with_processes_of_their_own_go_together_by_kind(memory: str) -> None:
    log: list[str] = []
    first, second, other, here = Apart("a", log), Apart("b", log), AlsoApart("c", log), Noted("d", log)
    finish([first, other, second, here], log, memory)
    assert log == [
        "start d", "run d", "done d",
        "start a", "start b", "run a", "run b", "done a", "done b",
        "start c", "run c", "done c",
    ]  # fmt: skip


def test_inputs_are_done_first_and_what_is_done_is_not_done_again(memory: str) -> None:
    log: list[str] = []
    first = Noted("a", log)
    middle = [Noted("b", log, [first]), Noted("c", log, [first])]
    last = Noted("d", log, middle)
    assert [node.label for node in in_order([middle[1], last])] == ["a", "c", "b", "d"]
    finish([last], log, memory)
    assert log == [f"{what} {name}" for name in "abcd" for what in ("start", "run", "done")]
    log.clear()
    finish([last], log, memory)
    assert log == [f"{what} {name}" for name in "abcd" for what in ("start", "done")]


def test_two_nodes_that_make_one_artefact_are_one_piece_of_work(memory: str) -> None:
    log: list[str] = []
    finish([Apart("a", log, artefact="same"), Apart("b", log, artefact="same"), Apart("c", log)], log, memory)
    assert len([line for line in log if line.startswith("run")]) == 2
    assert [line for line in log if line.startswith("done")] == ["done a", "done b", "done c"]


def test_a_node_runs_under_the_lock_of_its_artefact(tmp_path: Path) -> None:
    log: list[str] = []
    finish([Held("a", log)], log, str(tmp_path))
    assert log == ["start a", "run a", "done a"]
    with lock(Location(tmp_path).absolute() / "artefacts" / "noted-a"):
        pass


def test_a_node_is_described_by_what_is_known_of_its_inputs(memory: str) -> None:
    log: list[str] = []
    first = Noted("a", log)
    middle = Noted("b", log, [first])
    last = Noted("c", log, [middle])
    workspace = open_workspace(Location(memory))
    assert describe([last], workspace)[2] == {
        "label": "c", "kind": "noted", "artefacts": [], "done": False, "inputs": ["b"]
    }  # fmt: skip
    finish([middle], log, memory)
    assert describe([last], workspace)[2] == {
        "label": "c", "kind": "noted", "artefacts": ["noted-c"], "done": False, "inputs": ["b"]
    }  # fmt: skip
    assert [node["done"] for node in describe([last], workspace)] == [True, True, False]
    (workspace.artefact("noted-a") / "done").delete_file()
    assert describe([last], workspace)[2]["artefacts"] == [], "an input of its input is not done"


def test_nodes_of_a_plan_wait_for_the_nodes_that_make_their_assets() -> None:
    words, model = Noted("words", []), Noted("model", [])
    makers: dict[str, Node] = {"words-1": words, "model-1": model, "unused-1": Noted("unused", [])}
    plan = toy_plan(BoundMeasure, BoundUnique)
    found = plan_nodes("mine", plan, makers)
    assert list(found) == ["01_pool", "02_shout", "03_measure", "04_unique"]
    first, last = found["01_pool"], found["04_unique"]
    assert found["02_shout"] is found["03_measure"] is first and isinstance(first, PassNode)
    decide = last.inputs[0]
    assert isinstance(decide, DecideNode)
    assert first.inputs == (words,)
    assert decide.inputs == (first, model)
    assert last.inputs == (decide, model)
    assert [node.label for node in (first, decide, last)] == [
        "mine: pool + shout + measure", "mine: unique (decide)", "mine: unique"
    ]  # fmt: skip
    found = plan_nodes("mine", plan, {"unused-1": makers["unused-1"]})
    first, last = found["01_pool"], found["04_unique"]
    assert (first.inputs, last.inputs[0].inputs) == ((), (first,)), "where nothing in the graph makes them"


def test_a_stage_reads_what_another_node_made(memory: str) -> None:
    workspace, log = open_workspace(Location(memory)), list[str]()
    words = MakesWords("words", log, artefact="words-1")
    plan = toy_plan(BoundMeasure)
    finish([plan_nodes("", plan, {"words-1": words})["03_measure"]], log, memory)
    measure = plan.steps[2]
    assert isinstance(measure.stage, BoundMeasure)
    assert measure.stage.opened_with == (plan.recipe.seed, ["one", "two"])
    assert log[:3] == ["start words", "run words", "done words"]
    assert asset_location(f"{memory}/elsewhere.json", workspace) == Location(f"{memory}/elsewhere.json")
    card = read_json(StageDir(workspace.artefact(measure.artefact)).card)
    assert card["details"]["assets"] == {"words": "words.json"}


def test_a_dataset_is_made_by_its_node_or_by_a_finished_run(memory: str) -> None:
    plan = toy_plan()
    node = plan_nodes("run", plan, {})["04_unique"]
    made = Dataset.of(plan, plan.steps[-1], node)
    assert made.inputs == [node]
    execute(plan, memory)
    finished = Dataset.of_run(run_at(memory))
    assert (finished.artefact, finished.fingerprint, finished.inputs) == (made.artefact, made.fingerprint, [])
    workspace = open_workspace(Location(memory))
    run_at(memory).stage("04_unique").card.delete_file()
    with pytest.raises(ConfigError, match="this run is not finished"):
        Dataset.of_run(run_at(memory))
    assert finished.folder(workspace).shard(0).exists()
