"""How the number of threads is chosen, on made-up clocks; and that measuring leaves no trace in what is trained."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from training_data import config, losses_of, train  # noqa: E402

from tamis.store.atomic import read_json  # noqa: E402
from tamis.store.location import Location  # noqa: E402
from tamis.train import model, run, threads  # noqa: E402
from tamis.train.run import make_trainer, resolve  # noqa: E402
from tamis.train.threads import ThreadChoice, candidates, choose  # noqa: E402


@dataclass
class Machine:
    """A clock that steps move on: `seconds` of a step by the number of threads."""

    seconds: dict[int, float]
    now: float = 0.0
    taken: list[int] = field(default_factory=list)

    def take_step(self, number: int, limit: float) -> None:
        # What starting threads costs falls on the first step after a change.
        needed = self.seconds[number] + (0.05 if self.taken[-1:] != [number] else 0.0)
        self.now += min(needed, limit + 0.01)
        self.taken.append(number)

    def clock(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        ({1: 0.01, 2: 0.02, 4: 0.03}, 1),
        ({1: 0.04, 2: 0.02, 4: 0.01}, 4),
        ({1: 0.02, 2: 0.01, 4: 0.03}, 2),
        ({1: 0.02, 2: 0.0101, 4: 0.0100}, 2),
        ({1: 0.0104, 2: 0.0101, 4: 0.0100}, 1),
    ],
)
def test_the_fewest_threads_among_the_fastest_are_chosen(seconds: dict[int, float], expected: int) -> None:
    machine = Machine(seconds)
    choice = choose([1, 2, 4], machine.take_step, machine.clock)
    assert choice.threads == expected
    for number, value in choice.seconds.items():
        assert value == pytest.approx(seconds[number]), "the step after a change of the number must not count"
    assert machine.now < 1.5 * threads.MEASURING_SECONDS


def test_a_busy_machine_is_found_out_by_few_slow_steps() -> None:
    """As measured on two busy cores: a step takes a second with two threads, 10 ms with one."""
    machine = Machine({1: 0.01, 2: 1.0, 4: 3.0})
    assert choose([1, 2, 4], machine.take_step, machine.clock).threads == 1
    assert machine.taken.count(2) == 1 and machine.taken.count(4) == 0
    assert machine.now < 0.5, "a step that is not worth finishing is given up"


def test_slow_steps_are_taken_once_for_each_number() -> None:
    machine = Machine({1: 0.8, 2: 0.4, 4: 0.2, 8: 0.1})
    assert choose([1, 2, 4, 8], machine.take_step, machine.clock).threads == 8
    assert machine.taken[:5] == [1, 2, 4, 8, 8]


def test_one_slow_moment_does_not_decide() -> None:
    machine = Machine({1: 0.02, 2: 0.015, 4: 0.01})
    moments = iter([0.0, 0.1])

    def take_step(number: int, limit: float) -> None:
        machine.take_step(number, limit)
        if number == 4:
            machine.now += next(moments, 0.0)

    assert choose([1, 2, 4], take_step, machine.clock).threads == 4


def test_candidates_are_powers_of_two_and_all_cores() -> None:
    assert [candidates(n) for n in (1, 2, 6, 16)] == [[1], [1, 2], [1, 2, 4, 6], [1, 2, 4, 8, 16]]


def test_measuring_changes_nothing_of_the_trainer(tokens: Location, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "MEASURING_SECONDS", 0.05)
    trainer = make_trainer(config(), resolve(config(), tokens), tokens)
    trainer.step(0)

    def state() -> dict[str, Any]:
        moments = {i: s["exp_avg"] for i, s in trainer.optimizer.state_dict()["state"].items()}
        return {"weights": trainer.model.state_dict(), "moments": moments, "random": torch.get_rng_state()}

    before, position, num_threads = torch.load(_saved(state()), weights_only=True), trainer.loader.at, _num_threads()
    measured = threads.measure(trainer, 2)
    assert set(measured.seconds) <= {1, 2} and measured.threads in (1, 2) and measured.seconds
    after = state()
    assert torch.equal(before["random"], after["random"])
    for part in ("weights", "moments"):
        assert all(torch.equal(before[part][name], after[part][name]) for name in after[part])
    assert all(parameter.grad is None for parameter in trainer.model.parameters())
    assert trainer.loader.at == position and _num_threads() == num_threads


def _saved(state: dict[str, Any]) -> Any:
    import io

    stream = io.BytesIO()
    torch.save(state, stream)
    stream.seek(0)
    return stream


def _num_threads() -> int:
    return int(torch.get_num_threads())


def test_a_model_too_large_to_measure_uses_all_cores(tokens: Location, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = make_trainer(config(), resolve(config(), tokens), tokens)
    monkeypatch.setattr(threads, "STEP_FLOPS", threads.FEWEST_TOKENS * 6 * 156_448 - 1)
    assert threads.measure(trainer, 64) == ThreadChoice(64, {})


@pytest.mark.parametrize("number", [1, 2])
def test_losses_are_those_of_the_chosen_number_and_a_resume_keeps_it(
    tokens: Location, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    measured: list[int] = []

    def measure(trainer: Any, num_cores: int) -> ThreadChoice:
        real = actual(trainer, 2)
        measured.append(num_cores)
        return ThreadChoice(number, real.seconds)

    actual = threads.measure
    monkeypatch.setattr(threads, "MEASURING_SECONDS", 0.05)
    monkeypatch.setattr(run, "measure", measure)
    told: list[dict[str, Any]] = []
    used: set[int] = set()

    def stop_at_15(line: dict[str, Any]) -> None:
        told.append(line)
        used.add(_num_threads())
        if line["step"] == 15:
            raise KeyboardInterrupt

    chosen, explicit = Location(tmp_path / "chosen"), Location(tmp_path / "explicit")
    with pytest.raises(KeyboardInterrupt):
        train(tokens, chosen, stop_at_15, config(threads=None))
    assert read_json(chosen / "training.json")["threads"] == number
    assert told[0]["step"] == 0 and told[0]["threads"].startswith(f"{number} thread") and len(told) == 16
    train(tokens, chosen, lambda line: used.add(_num_threads()), config(threads=None))
    assert len(measured) == 1 and used == {number}
    train(tokens, explicit, settings=config(threads=number))
    assert losses_of(chosen) == losses_of(explicit)


def test_a_step_past_its_limit_is_given_up(tokens: Location, monkeypatch: pytest.MonkeyPatch) -> None:
    """The forward pass of the copy stops at the first module that ends after the limit; no loss is computed."""
    calls: list[bool] = []

    def choose_once(numbers: Any, take_step: threads.TakeStep) -> ThreadChoice:
        for limit in (3600.0, -1.0):
            before = len(calls)
            take_step(1, limit)
            finished.append(len(calls) > before)
        return ThreadChoice(1, {})

    def counted(*arguments: Any) -> Any:
        calls.append(True)
        return losses(*arguments)

    finished: list[bool] = []
    losses = model.losses
    monkeypatch.setattr(model, "losses", counted)
    monkeypatch.setattr(threads, "choose", choose_once)
    threads.measure(make_trainer(config(), resolve(config(), tokens), tokens), 2)
    assert finished == [True, False]


def test_the_choice_is_told_in_words() -> None:
    assert ThreadChoice(1, {}).describe() == "1 thread" and ThreadChoice(8, {8: 1.0}).describe() == "8 threads"
    assert ThreadChoice(1, {2: 0.03, 1: 0.01}).describe() == "1 thread, the fastest when 1, 2 were measured"
