"""What an engine does with workers that are lost: scripted workers, no processes."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from harness import build
from toy import toy_docs

from tamis.base.errors import DataError
from tamis.base.recipe import Limits
from tamis.runner.engine import MAX_DECIDE_DEATHS, MAX_LOSSES, Engine, Lost, Pulse, Worker
from tamis.runner.jobs import Decide, Job
from tamis.runner.task import Task
from tamis.store.location import Location
from tamis.store.workspace import open_workspace

Answer = tuple[str, Any] | Lost | None
DIED, NODE_LOST = Lost(how="the worker died"), Lost(how="the worker died", with_its_node=True)
DONE: Answer = ("done", {"rows": 1})


class Scripted(Worker):
    """Answers each job as the script says; is dead before it gets any where the script says so."""

    def __init__(self, engine: "ScriptedEngine", begun: bool, dead: bool) -> None:
        self._engine, self._begun, self._dead = engine, begun, dead

    def give(self, job: Job) -> bool:
        if not self._dead:
            self._engine.given.append(job)
        return not self._dead

    def answer(self) -> Answer:
        return self._engine.script.pop(0)

    def pulse(self) -> Pulse:
        return self._engine.pulses.pop(0) if self._engine.pulses else Pulse(begun=self._begun)

    def stop(self) -> None:
        self._engine.num_stopped += 1


class ScriptedEngine(Engine):
    """One worker at a time; the first `num_dead` of them die before their first job."""

    def __init__(self, script: Sequence[Answer], *, begun: bool = True, num_dead: int = 0) -> None:
        super().__init__(1)
        self.script, self.given, self.num_stopped = list(script), list[Job](), 0
        self.pulses: list[Pulse] = []
        self._begun, self._num_dead = begun, num_dead

    def start(self) -> Scripted:
        self._num_dead -= 1
        return Scripted(self, self._begun, self._num_dead >= 0)

    def wait(self, busy: Sequence[Any]) -> None:
        pass

    def do(self, job: Job) -> list[str]:
        """Run one job; returns why it was tried again."""
        told: list[str] = []
        finished: list[Job] = []
        on_retry: Callable[[Job, str], None] = lambda job, trouble: told.append(trouble)  # noqa: E731
        self.run([job], lambda job, answer, seconds: finished.append(job), on_retry, lambda rows: None)
        assert len(finished) == 1
        return told


@pytest.fixture
def task(memory: str) -> Task:
    plan = build(toy_docs(2, 10), limits=Limits(batch_seconds=10, row_seconds=5, worker_memory_gb=1))
    return Task(plan=plan, workspace=open_workspace(Location(memory)), number=1, index=0)


@pytest.fixture
def decision(task: Task) -> Decide:
    return Decide(plan=task.plan, workspace=task.workspace, number=1, bucket=0)


def guards(engine: ScriptedEngine) -> list[bool]:
    return [job.guarded for job in engine.given if isinstance(job, Task)]


def test_a_task_whose_worker_dies_is_guarded_from_then_on(task: Task) -> None:
    engine = ScriptedEngine([DIED, DIED, DIED, DONE])
    assert engine.do(task) == [
        "the worker died: trying again, and looking for the row", "the worker died: trying again",
        "the worker died: trying again",
    ]  # fmt: skip
    assert guards(engine) == [False, True, True, True]


def test_a_task_that_had_not_begun_is_guarded_the_second_time(task: Task) -> None:
    engine = ScriptedEngine([DIED, DIED, DONE], begun=False)
    engine.do(task)
    assert guards(engine) == [False, False, True]


def test_a_lost_node_says_nothing_about_the_task(task: Task) -> None:
    engine = ScriptedEngine([NODE_LOST, NODE_LOST, DONE])
    engine.do(task)
    assert guards(engine) == [False] * 3


@pytest.mark.parametrize(
    ("pulse", "why"),
    [
        (Pulse(begun=True, age_seconds=11), "took longer than 10 seconds: trying again, and looking for the row"),
        (
            Pulse(begun=True, resident_bytes=2**31),
            "took more than 1 GB of memory: trying again, and looking for the row",
        ),
    ],
)
def test_a_worker_that_takes_too_much_is_stopped(pulse: Pulse, why: str, task: Task) -> None:
    engine = ScriptedEngine([None, DONE])
    engine.pulses = [pulse]
    assert engine.do(task) == [why]
    assert guards(engine) == [False, True]
    assert engine.num_stopped == 1


def test_a_task_is_given_up_after_many_losses_and_not_before(task: Task) -> None:
    ScriptedEngine([DIED] * MAX_LOSSES + [DONE]).do(task)
    with pytest.raises(DataError, match=r"mem://0: gave up after 21 workers were lost \(the worker died\)"):
        ScriptedEngine([DIED] * (MAX_LOSSES + 1)).do(task)


def test_a_decision_survives_lost_nodes_and_a_few_deaths(decision: Decide) -> None:
    ScriptedEngine([NODE_LOST] * 5 + [DIED] * (MAX_DECIDE_DEATHS - 1) + [DONE]).do(decision)
    with pytest.raises(DataError, match=r"04_unique: a group decision failed 4 times: the worker died\."):
        ScriptedEngine([DIED] * MAX_DECIDE_DEATHS).do(decision)


def test_workers_that_died_while_they_were_idle_are_replaced_and_nothing_is_tried_again(decision: Decide) -> None:
    engine = ScriptedEngine([DONE], num_dead=3)
    assert engine.do(decision) == []
    assert engine.num_stopped == 3


def test_a_failure_is_raised(task: Task) -> None:
    with pytest.raises(DataError, match="as it says"):
        ScriptedEngine([("failed", DataError("as it says"))]).do(task)
