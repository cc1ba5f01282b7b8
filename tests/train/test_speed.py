"""Tokens per second on made-up clocks: no line may be measured over the moment in which two lines were written."""

from types import SimpleNamespace
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from tamis.train.loop import LoopSettings, SpeedMeter, train  # noqa: E402

TOKENS_PER_STEP = 4 * 32
STEP_SECONDS, SAVE_SECONDS = 2.0, 100.0


class FakeTraining:
    """A trainer whose steps take `STEP_SECONDS` of a clock. With `is_queued` a step returns at once, and the time
    passes where its metrics are read, as on a GPU that is the slower part."""

    def __init__(self, device: str, is_queued: bool, num_steps: int) -> None:
        self.now, self.device_free_at, self.is_queued = 0.0, 0.0, is_queued
        self.settings = LoopSettings(
            num_steps=num_steps, micro_batch_size=4, peak_learning_rate=1e-2, final_learning_rate=0.0,
            warmup_steps=1, z_loss=1e-4, device=device, autocast=False,
        )  # fmt: skip
        self.loader = SimpleNamespace(batch_size=4, dataset=SimpleNamespace(window_length=33))
        self.lines: list[dict[str, Any]] = []

    def step(self, step: int) -> Any:
        if not self.is_queued:
            self.now += STEP_SECONDS
            return SimpleNamespace(read=lambda: (1.0, 0.0, 1.0))
        self.device_free_at = max(self.device_free_at, self.now) + STEP_SECONDS
        ready = self.device_free_at

        def read() -> tuple[float, float, float]:
            self.now = max(self.now, ready)
            return 1.0, 0.0, 1.0

        return SimpleNamespace(read=read)

    def write(self, line: dict[str, Any]) -> None:
        self.lines.append(line)
        self.now += 1e-6

    def save(self, *step: int) -> None:
        self.now += SAVE_SECONDS


@pytest.mark.parametrize(("device", "is_queued"), [("cpu", False), ("cuda", False), ("cuda", True)])
@pytest.mark.parametrize("checkpoints", [{30}, {10, 11, 30}, set(range(1, 31)), {1, 3, 30}])
def test_every_line_tells_the_speed_of_real_steps(device: str, is_queued: bool, checkpoints: set[int]) -> None:
    fake = FakeTraining(device, is_queued, 30)
    train(fake, 0, checkpoints, fake, fake.save, None, clock=lambda: fake.now)  # type: ignore[arg-type]
    assert [line["step"] for line in fake.lines] == list(range(1, 31))
    for line in fake.lines:
        assert line["tokens_per_second"] == pytest.approx(TOKENS_PER_STEP / STEP_SECONDS, rel=1e-3), line


def test_the_speed_follows_the_last_steps() -> None:
    now = 0.0
    meter = SpeedMeter(100, lambda: now)
    for seconds in [10.0] * 30 + [1.0] * SpeedMeter.WINDOW:
        now += seconds
        meter.step_done()
    assert meter.tokens_per_second == pytest.approx(100)
    now += 50
    meter.restart()
    now += 1
    meter.step_done()
    assert meter.tokens_per_second == pytest.approx(100)
