"""What a step writes of a shard: rows at their places, and no file of an attempt before."""

from functools import partial

import pytest
from harness import build, counts, execute, tree
from toy import toy_docs

from tamis.runner import task
from tamis.runner.plan import Plan
from tamis.store.atomic import write_text
from tamis.store.location import Location
from tamis.store.rundir import StageDir
from tamis.store.shards import read_shard
from tamis.store.workspace import open_workspace


def test_a_group_marks_a_row_by_its_place_in_the_shard(memory: str, monkeypatch: pytest.MonkeyPatch) -> None:
    execute(build(toy_docs(2, 20)), f"{memory}/whole")
    assert counts(f"{memory}/whole", "04_unique")["removed"] == {"duplicate": 25}
    monkeypatch.setattr(task, "read_shard", partial(read_shard, batch_rows=3))
    execute(build(toy_docs(2, 20)), f"{memory}/in_small_batches")
    assert tree(f"{memory}/in_small_batches") == tree(f"{memory}/whole")


def folders(plan: Plan, root: str) -> dict[str, StageDir]:
    workspace = open_workspace(Location(root))
    return {step.label: StageDir(workspace.artefact(step.artefact)) for step in plan.steps}


def test_files_of_an_earlier_attempt_do_not_stay(memory: str) -> None:
    """Nothing is removed from the first shard, and nothing is left of the second."""
    plan = build([[["a", "a long text"]], [["b", "b"]]])
    measure = folders(plan, memory)["03_measure"]
    left_behind = [measure.removed(0), measure.quarantine(0), measure.shard(1), measure.quarantine(1)]
    for place in left_behind:
        write_text(place, "of an attempt that was killed")
    execute(plan, memory)
    assert not [place for place in left_behind if place.exists()]
    assert measure.shard(0).exists() and measure.removed(1).exists()
