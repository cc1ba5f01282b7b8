"""Rows and records that raise, hang or kill: each costs itself, whatever happened before, and no other row."""

import multiprocessing
import os
import pickle
import signal
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from harness import Docs, build, counts, execute, plan_of, run_at, step_folder, tree
from toy import Measure, Shout, ToyPool

from tamis.base.errors import DataError
from tamis.base.events import Event
from tamis.base.recipe import Limits
from tamis.runner.calls import Heartbeat
from tamis.runner.jobs import dump_job
from tamis.runner.sandbox import SandboxCalls
from tamis.runner.sandboxed import TaskParcel
from tamis.runner.task import Task
from tamis.store.location import Location
from tamis.store.workspace import open_workspace

PATIENT = Limits(batch_seconds=600, row_seconds=600)
IMPATIENT = Limits(batch_seconds=3, row_seconds=3)
"""For rows that never end. Time in which the process gets no processor does not count."""


def quarantined(root: Path, step: str) -> dict[str, str]:
    """Error by id of the rows of the first shard that were quarantined at a step."""
    table = pq.read_table(step_folder(root, step) / "quarantine" / "00000.parquet")
    return dict(zip(table["id"].to_pylist(), table["error"].to_pylist(), strict=True))


def kept(root: Path) -> list[str]:
    table = pq.read_table(step_folder(root, "04_unique") / "shards" / "00000.parquet")
    return [str(name) for name in table["id"].to_pylist()]


def retries(events: list[Event]) -> list[str]:
    return [event.fields["trouble"] for event in events if event.kind == "task_retried"]


def around(text: str) -> Docs:
    """Five documents; the third is `text`."""
    return [[["a", "good one"], ["b", "good two"], ["c", text], ["d", "good four"], ["e", "good five"]]]


@pytest.mark.parametrize(
    ("text", "error", "num_retries"),
    [
        ("raise", "ValueError: no shouting here", 0),
        ("panic", "PanicError: as libraries in Rust do", 0),
        ("hang", "PoisonRowError: took longer than 3 seconds", 1),
        ("crash", "PoisonRowError: killed its process", 1),
        ("die", "PoisonRowError: killed its process", 1),
    ],
)
def test_a_row_costs_itself(text: str, error: str, num_retries: int, tmp_path: Path) -> None:
    limits = IMPATIENT if text == "hang" else PATIENT
    events = execute(build(around(text), limits=limits), tmp_path, workers=2)
    assert quarantined(tmp_path, "02_shout") == {"c": error}
    assert kept(tmp_path) == ["a", "b", "d", "e"]
    assert len(retries(events)) == num_retries


@pytest.mark.parametrize(
    ("text", "error", "num_retries"),
    [
        ("read raise", "ValueError: no reading here", 0),
        ("read panic", "PanicError: as libraries in Rust do", 0),
        ("read hang", "PoisonRowError: took longer than 3 seconds", 1),
        ("read die", "PoisonRowError: killed its process", 1),
    ],
)
def test_a_record_that_cannot_be_read_costs_itself(text: str, error: str, num_retries: int, tmp_path: Path) -> None:
    limits = IMPATIENT if text == "read hang" else PATIENT
    events = execute(build(around(text), limits=limits), tmp_path)
    assert quarantined(tmp_path, "01_pool") == {"c": error}
    assert counts(tmp_path, "01_pool") == {
        "in": 5, "kept": 4, "removed": {}, "quarantined": {error.partition(":")[0]: 1}
    }  # fmt: skip
    assert kept(tmp_path) == ["a", "b", "d", "e"]
    assert len(retries(events)) == num_retries


@pytest.mark.parametrize("kind", ["read raise", "read die"])
def test_where_the_file_cannot_be_read_further_its_rest_is_one_row(kind: str, tmp_path: Path) -> None:
    execute(build(around(f"lost {kind}"), limits=PATIENT), tmp_path)
    (error,) = quarantined(tmp_path, "01_pool").values()
    assert error.startswith("rest_of_file: nothing of s0 from record 3 on can be read (")
    assert counts(tmp_path, "01_pool") == {"in": 3, "kept": 2, "removed": {}, "quarantined": {"rest_of_file": 1}}
    assert kept(tmp_path) == ["a", "b"]


@pytest.mark.parametrize("kind", ["read raise", "read die"])
def test_in_a_shard_of_several_files_the_others_are_read(kind: str, tmp_path: Path) -> None:
    lost = [["x", "next file"], ["a", "good a"], ["b", f"lost {kind}"], ["c", "good c"]]
    healthy = [["y", "next file"], ["d", "good d"]]
    broken = [["z", "next file"], ["e", f"lost {kind}"], ["f", "good f"]]
    docs: Docs = [[*lost, *healthy, *broken, ["w", "next file"], ["g", "good g"]]]
    execute(build(docs, limits=PATIENT), tmp_path)
    assert kept(tmp_path) == ["a", "d", "g"]
    errors = [text.partition(" (")[0] for text in quarantined(tmp_path, "01_pool").values()]
    assert errors == [
        "rest_of_file: nothing of x from record 2 on can be read",
        "rest_of_file: nothing of z from record 1 on can be read",
    ]
    assert counts(tmp_path, "01_pool") == {"in": 5, "kept": 3, "removed": {}, "quarantined": {"rest_of_file": 2}}


@pytest.mark.parametrize(("text", "num_retries"), [("sketch raise", 0), ("sketch crash", 1)])
def test_a_row_that_cannot_be_sketched_is_quarantined_by_the_group(text: str, num_retries: int, tmp_path: Path) -> None:
    events = execute(build(around(text), limits=PATIENT), tmp_path)
    assert list(quarantined(tmp_path, "04_unique")) == ["c"]
    assert kept(tmp_path) == ["a", "b", "d", "e"]
    assert sum(counts(tmp_path, "04_unique")["quarantined"].values()) == 1
    assert len(retries(events)) == num_retries


def test_many_hostile_rows_cost_one_retry_and_nothing_is_done_again_for_each(tmp_path: Path) -> None:
    """52 rows that kill. Every healthy row is done at most three times: before the first trouble, in its batch, and
    alone; every hostile row is tried twice alone."""
    log = tmp_path / "log"
    docs: Docs = [[[f"{n}", "crash" if n % 3 == 1 else f"good {n}"] for n in range(156)]]
    pool = ToyPool(ToyPool.Settings(shards=docs, batch_rows=78))
    plan = plan_of(pool, [Shout(Shout.Settings(log=str(log)))], limits=PATIENT)
    events = execute(plan, tmp_path / "w")
    assert counts(tmp_path / "w", "02_shout") == {
        "in": 156, "kept": 104, "removed": {}, "quarantined": {"PoisonRowError": 52}
    }  # fmt: skip
    assert len(retries(events)) == 1
    assert sum(map(int, log.read_text().split())) == 78 + 156 + 104 + 52 * 2


@pytest.mark.parametrize("times", [1, 3, 5])
def test_a_worker_killed_from_outside_condemns_no_row(times: int, tmp_path: Path) -> None:
    """The first process that is killed is the worker, the second tries the batch, the others the row alone."""
    (tmp_path / "kills").mkdir()
    docs = around(f"killed {times} {tmp_path / 'kills'}")
    execute(build(docs, limits=PATIENT), tmp_path / "killed")
    assert len(list((tmp_path / "kills").iterdir())) == times
    execute(build(docs, limits=PATIENT), tmp_path / "calm")
    assert tree(tmp_path / "killed") == tree(tmp_path / "calm")
    assert counts(tmp_path / "killed", "02_shout")["quarantined"] == {}


def test_the_bytes_do_not_depend_on_how_the_trouble_was_found(tmp_path: Path) -> None:
    """A shard that is read in a sandbox, because its worker was killed, is the shard that was read without."""
    (tmp_path / "kills").mkdir()
    hostile: Docs = around("raise") + around("read raise") + around("lost read raise") + around("sketch raise")
    docs: Docs = [[["f", f"killed {n + 1} {tmp_path / 'kills'}"], *rows] for n, rows in enumerate(hostile)]
    execute(build(docs, limits=PATIENT), tmp_path / "killed")
    assert len(list((tmp_path / "kills").iterdir())) == len(docs)
    execute(build(docs, limits=PATIENT), tmp_path / "calm", workers=2)
    assert tree(tmp_path / "killed") == tree(tmp_path / "calm")


def test_idle_workers_that_are_killed_are_replaced(tmp_path: Path) -> None:
    """Between two passes, when every worker is idle."""
    killed: list[int] = []

    def watch(event: Event) -> None:
        if event.kind == "pass_finished" and not killed:
            killed.extend(_workers())
            for pid in killed:
                os.kill(pid, signal.SIGKILL)

    docs: Docs = [[[f"{shard}-{n}", f"text {n}"] for n in range(6)] for shard in range(3)]
    execute(build(docs), tmp_path / "killed", workers=2, watch=watch)
    assert len(killed) == 2
    execute(build(docs), tmp_path / "calm", workers=2)
    assert tree(tmp_path / "killed") == tree(tmp_path / "calm")


def test_a_reader_that_is_killed_between_two_batches_loses_no_row(tmp_path: Path) -> None:
    plan = build([[[f"{n}", f"text {n}"] for n in range(8)]], limits=PATIENT)
    task = Task(plan=plan, workspace=open_workspace(Location(tmp_path)), number=1, index=0, guarded=True)
    parcel = TaskParcel(plan=pickle.dumps(plan), job=dump_job(task))
    before = set(_workers())
    with SandboxCalls(parcel, PATIENT, Heartbeat()) as calls:
        rows = calls.read(plan.steps[0], task.shard)
        ids = next(rows)["id"].to_pylist()
        (reader,) = set(_workers()) - before
        os.kill(reader, signal.SIGKILL)
        while reader in _workers():
            pass
        ids += [name for batch in rows for name in batch["id"].to_pylist()]
        assert calls.notes(plan.steps[0]) == {"requests": 2}
    assert ids == [f"{n}" for n in range(8)]
    assert not set(_workers()) - before


def _workers() -> list[int]:
    """The processes of local engines that run now, by their id: those of this process's fork server."""
    return [int(child.pid) for child in multiprocessing.active_children() if child.pid is not None]


def test_a_decision_that_kills_its_workers_ends_the_run_with_one_error(tmp_path: Path) -> None:
    events: list[Event] = []
    docs: Docs = [[["a", "text one"], ["b", "decide die"]]]
    with pytest.raises(DataError, match=r"04_unique: a group decision failed 4 times: the worker died. Give the run"):
        execute(build(docs), tmp_path, watch=events.append)
    assert len(retries(events)) == 3
    assert run_at(tmp_path).cards()


def test_a_stage_that_cannot_be_opened_is_one_error(tmp_path: Path) -> None:
    stage: Any = DiesWhenOpened(DiesWhenOpened.Settings())
    plan = plan_of(ToyPool(ToyPool.Settings(shards=around("good three"))), [stage])
    with pytest.raises(DataError, match="02_dies_when_opened: cannot be opened: its process died each time"):
        execute(plan, tmp_path)


class DiesWhenOpened(Measure):
    """Kills the process that opens it."""

    name = "dies_when_opened"

    def open(self, context: Any) -> None:
        os.kill(os.getpid(), signal.SIGSEGV)
