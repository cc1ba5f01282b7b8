"""`--dry-run` of graphs of toy stages: what is listed, what is counted once, what is predicted; nothing is done."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest
from screen import Clock, output, plain_console
from toy import Measure, Shout, ToyPool, Unique, toy_docs, toy_recipe

from tamis.base.stage import Corpus, Cost, Stage
from tamis.console import cost
from tamis.console.cost import DONE, SHARED, TO_DO, UNKNOWN, graph_cost, print_graph
from tamis.console.display import Display
from tamis.runner.curation import plan_nodes
from tamis.runner.graph import Context, Node, in_order
from tamis.runner.inline_engine import InlineEngine
from tamis.runner.plan import make_plan
from tamis.store.location import Location
from tamis.store.workspace import Workspace, open_workspace


class CostlyUnique(Unique):
    """A group that tells what it takes."""

    def cost(self, corpus: Corpus) -> Cost | None:
        return Cost(memory_bytes=1000 * corpus.num_documents, sketch_bytes=10 * corpus.num_documents)


class TellingUnique(Unique):
    """A group that tells what can be expected of its settings."""

    def expectation(self) -> str:
        return "finds every second copy"


class NeedsModel(Measure):
    """Reads a file that another node of the graph makes."""

    def assets(self) -> dict[str, str]:
        return {"model": "artefact:model-1/model.bin"}


class Training(Node):
    """Done when a file is there, as a training is; it says how long it takes."""

    kind: ClassVar[str] = "train"
    own_process: ClassVar[bool] = True

    def artefacts(self, workspace: Workspace) -> list[str]:
        return [f"{self.run_name}-model"]

    def is_done(self, workspace: Workspace) -> bool:
        return (workspace.artefact(f"{self.run_name}-model") / "card.json").exists()

    def run(self, context: Context) -> None:
        raise NotImplementedError

    def predicted_seconds(self, workspace: Workspace) -> float | None:
        return 40.0


class Comparison(Training):
    """Nothing predicts how long it takes."""

    kind: ClassVar[str] = "compare"
    own_process: ClassVar[bool] = False

    def predicted_seconds(self, workspace: Workspace) -> float | None:
        return None


def recipe_nodes(name: str, min_chars: int = 3, measure: type[Measure] = Measure) -> list[Node]:
    """The nodes of pool, shout, measure, unique over three shards of 21 rows; shout stores its documents."""
    source = ToyPool(ToyPool.Settings(shards=toy_docs(3, 20)))
    stages: list[Stage] = [
        Shout(Shout.Settings()),
        measure(Measure.Settings(min_chars=min_chars)),
        CostlyUnique(Unique.Settings()),
    ]
    plan = make_plan(toy_recipe(), source, stages, source.shards())
    return in_order(plan_nodes(name, plan, {}).values())


def finish(nodes: Sequence[Node], workspace: Workspace, display: Display | None = None) -> None:
    def on_event(event: Any) -> None:
        if display is not None:
            display.on_event(event)

    context = Context(workspace=workspace, engine=InlineEngine(), num_workers=1, on_event=on_event)
    for node in in_order(nodes):
        if not node.is_done(workspace):
            node.run(context)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return open_workspace(Location(tmp_path / "w"))


@pytest.fixture
def samples(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The recipes of which a sample was taken."""
    taken: list[str] = []
    sample = cost.sampled_corpus

    def counted(plan: Any, workspace: Workspace) -> Corpus | None:
        taken.append(plan.recipe.name)
        return sample(plan, workspace)

    monkeypatch.setattr(cost, "sampled_corpus", counted)
    return taken


def states(found: dict[str, Any]) -> dict[str, str]:
    return {entry["label"]: entry["state"] for entry in found["nodes"]}


def test_a_fresh_place_stays_as_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str], samples: list[str]) -> None:
    place = Workspace(Location(tmp_path / "w"))
    nodes = recipe_nodes("mine")
    print_graph(nodes, place, 2, as_json=False, extra=["then a report"])
    lines = capsys.readouterr().out.splitlines()
    print_graph(nodes, place, 2, as_json=True, extra=["then a report"])
    found = json.loads(capsys.readouterr().out)
    assert list(tmp_path.iterdir()) == []
    assert lines[0].startswith("  mine: pool + shout + measure: 3 of 3 shards to do, about 0 s, ")
    assert lines[1].startswith("  mine: unique (decide): 3 of 3 decisions to do, ")
    assert "about 48 documents" in lines[1] and "2 decisions at once" in lines[1]
    assert lines[2].startswith("  mine: unique, from stored measure: 3 of 3 shards to do")
    assert lines[3] == "then a report"
    assert lines[-1].endswith("nothing was done") and "96 kB of memory" in lines[-1]
    assert "on 2 workers (without the time of 1 node, not predicted)" in lines[-1]
    assert set(found) == {
        "nodes", "estimated_seconds", "estimated_disk_bytes", "estimated_memory_bytes", "workers", "notes",
    }  # fmt: skip
    assert found["estimated_memory_bytes"] == 2 * 48 * 1000
    assert samples == ["toy", "toy"], "once for each of the two listings"


def test_finished_work_is_not_predicted_and_no_sample_is_taken(
    workspace: Workspace, capsys: pytest.CaptureFixture[str], samples: list[str]
) -> None:
    nodes = recipe_nodes("mine")
    finish(nodes, workspace)
    found = graph_cost(nodes, workspace, 2)
    assert set(states(found).values()) == {DONE}
    assert found["estimated_seconds"] == found["estimated_disk_bytes"] == found["estimated_memory_bytes"] == 0
    print_graph(nodes, workspace, 2, as_json=False)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "  mine: pool + shout + measure: done before"
    assert lines[-1] == "everything is done already; nothing was done"
    assert samples == []


def test_what_is_left_of_a_pass_and_of_a_decision(workspace: Workspace, samples: list[str]) -> None:
    nodes = recipe_nodes("mine")
    finish(nodes, workspace)
    _, decide, last = nodes
    (job,) = decide.jobs(workspace)[1]  # type: ignore[attr-defined]
    job.record_place.delete_file()
    task = last.tasks(workspace)[1]  # type: ignore[attr-defined]
    task.folder(last.this_pass.output).task(1).delete_file()  # type: ignore[attr-defined]
    found = graph_cost(nodes, workspace, 2)["nodes"]
    assert [(entry["tasks"], entry["tasks_done"]) for entry in found] == [(0, 3), (1, 2), (1, 2)]
    assert found[1]["memory"]["documents"] == 48, "as counted when the pass before was done"
    assert samples == []


def test_recipes_that_begin_alike_do_the_beginning_once(
    workspace: Workspace, capsys: pytest.CaptureFixture[str], samples: list[str]
) -> None:
    one, other, same = recipe_nodes("one"), recipe_nodes("other", min_chars=4), recipe_nodes("same")
    print_graph([*one, *other, *same], workspace, 1, as_json=False)
    lines = [line.strip().partition(" to do")[0] for line in capsys.readouterr().out.splitlines()]
    assert lines[:-1] == [
        "one: pool + shout + measure: 3 of 3 shards", "one: unique (decide): 3 of 3 decisions",
        "one: unique, from stored measure: 3 of 3 shards",
        "other: measure, from stored shout: 3 of 3 shards", "other: unique (decide): 3 of 3 decisions",
        "other: unique, from stored measure: 3 of 3 shards",
    ]  # fmt: skip
    assert len(samples) == 2, "one for each way in which the first pass ends"
    alone = graph_cost(one, workspace, 1)["nodes"][0]["estimated_disk_bytes"]
    assert graph_cost([*one, *other], workspace, 1)["nodes"][3]["estimated_disk_bytes"] == pytest.approx(
        alone / 2, abs=1
    )


def test_a_recipe_that_is_part_of_another_has_nothing_of_its_own_to_do(workspace: Workspace) -> None:
    source = ToyPool(ToyPool.Settings(shards=toy_docs(3, 20)))
    plan = make_plan(toy_recipe(), source, [Shout(Shout.Settings())], source.shards())
    raw = in_order(plan_nodes("raw", plan, {}).values())
    found = graph_cost([*recipe_nodes("mine"), *raw], workspace, 1)
    assert states(found)["raw: pool + shout"] == SHARED
    assert states(graph_cost(raw, workspace, 1))["raw: pool + shout"] == TO_DO


def test_a_group_tells_what_can_be_expected_of_its_settings(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    source = ToyPool(ToyPool.Settings(shards=toy_docs(3, 20)))
    plan = make_plan(toy_recipe(), source, [TellingUnique(Unique.Settings())], source.shards())
    nodes = in_order(plan_nodes("raw", plan, {}).values())
    print_graph(nodes, workspace, 1, as_json=False)
    assert "finds every second copy" in capsys.readouterr().out
    finish(nodes, workspace)
    print_graph(nodes, workspace, 1, as_json=False)
    assert "finds every second copy" not in capsys.readouterr().out


def test_memory_is_not_guessed_where_a_model_of_the_first_pass_is_not_made_yet(
    workspace: Workspace, samples: list[str]
) -> None:
    found = graph_cost(recipe_nodes("mine", measure=NeedsModel), workspace, 1)
    assert found["nodes"][1]["memory"] is None
    assert found["nodes"][1]["tasks"] == 3
    assert samples == []


def test_models_are_predicted_side_by_side(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    nodes = recipe_nodes("mine")
    trainings: list[Node] = [Training(f"seed {seed}", "train", nodes[-1:]) for seed in range(3)]
    verdict = Comparison("", "compare", trainings)
    found = graph_cost([verdict], workspace, 2)
    assert [states(found)[f"seed {seed}: train"] for seed in range(3)] == [UNKNOWN] * 3
    curation = sum(entry["estimated_seconds"] or 0 for entry in found["nodes"][:3])
    assert found["estimated_seconds"] == pytest.approx(curation + 60, abs=0.1)
    finish(nodes, workspace)
    workspace.artefact("seed 1-model").path.mkdir()
    (workspace.artefact("seed 1-model") / "card.json").path.write_text("{}")
    found = graph_cost([verdict], workspace, 8)
    assert [states(found)[f"seed {seed}: train"] for seed in range(3)] == [TO_DO, DONE, TO_DO]
    assert found["estimated_seconds"] == 40
    print_graph([verdict], workspace, 8, as_json=False)
    lines = capsys.readouterr().out.splitlines()
    assert lines[3:] == [
        "  seed 0: train: to do, about 40 s",
        "  seed 1: train: done before",
        "  seed 2: train: to do, about 40 s",
        "  compare: known when its data is there",
        "about 40 s on 8 workers (without the time of 1 node, not predicted), 0 B of disk; nothing was done",
    ]


def test_the_display_shows_a_real_run_and_what_a_second_one_really_does(workspace: Workspace) -> None:
    for min_chars in (3, 4):
        display = Display(console=plain_console(), clock=Clock())
        finish(recipe_nodes("mine", min_chars), workspace, display)
        lines = output(display.console).splitlines()
        first = "pool + shout + measure" if min_chars == 3 else "measure, from stored shout"
        entered = 63 if min_chars == 3 else 60
        assert f"{first}: 3 shards to do" in lines
        assert f"{first}: 3/3 shards, {entered} documents" in lines
        assert "unique (decide): 2/2 decisions" in lines
        assert "unique (combine): 1/1 decisions" in lines
        assert any(line.startswith("unique, from stored measure: 3/3 shards, 48 documents") for line in lines)
