"""The training loop: optimizer steps, each with a line of metrics, and checkpoints at given steps.

It works on tensors and settings, and writes no file but the log: `train.run` decides what is trained and where results
are written. On a GPU the metrics of a step are read only after the next step has been queued, so that the GPU never
waits for the log.
"""

import math
import time
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from tamis.base.errors import TamisError
from tamis.train.data import BatchLoader
from tamis.train.metrics import MetricsLog, OnMetrics
from tamis.train.model import Transformer, losses
from tamis.train.optimizer import CLIP_NORM, learning_rate


class DivergenceError(TamisError):
    """The loss is not a finite number."""

    exit_code = 6


@dataclass(frozen=True, kw_only=True)
class LoopSettings:
    """The hyper-parameters of the steps, resolved from scale and settings."""

    num_steps: int
    micro_batch_size: int
    """Sequences per forward pass. A smaller number needs less memory and gives the same step."""
    peak_learning_rate: float
    final_learning_rate: float
    warmup_steps: int
    z_loss: float
    device: str
    autocast: bool

    def rate(self, step: int) -> float:
        return learning_rate(
            step, num_steps=self.num_steps, warmup_steps=self.warmup_steps, peak=self.peak_learning_rate,
            final=self.final_learning_rate,
        )  # fmt: skip


@dataclass(frozen=True)
class StepMetrics:
    """The scalars of one step, which are still on the device."""

    loss: Tensor
    z_loss: Tensor
    grad_norm: Tensor

    def read(self) -> tuple[float, float, float]:
        """Loss, z-loss and gradient norm as numbers; waits until the device has computed them."""
        loss, z_loss, grad_norm = torch.stack([self.loss, self.z_loss, self.grad_norm.float()]).tolist()
        return loss, z_loss, grad_norm


class Trainer:
    """Model, optimizer and loader, which take optimizer steps. `forward` is `model`, or the compiled model."""

    def __init__(
        self, settings: LoopSettings, model: Transformer, forward: Callable[[Tensor], Tensor],
        optimizer: torch.optim.Optimizer, loader: BatchLoader,
    ) -> None:  # fmt: skip
        self.settings, self.model, self.forward = settings, model, forward
        self.optimizer, self.loader = optimizer, loader
        self._parameters = list(model.parameters())

    def step(self, step: int) -> StepMetrics:
        """Optimizer step `step` (0-based) on the next batch."""
        return self.step_on(self.loader.next(), step)

    def step_on(self, windows: Tensor, step: int) -> StepMetrics:
        """Optimizer step `step` on a given batch, with the gradient of the mean loss over the whole batch, however it
        is split."""
        settings = self.settings
        for group in self.optimizer.param_groups:
            group["lr"] = settings.rate(step)
        loss, z = torch.zeros((), device=settings.device), torch.zeros((), device=settings.device)
        for part in windows.split(settings.micro_batch_size):
            part = part.to(settings.device, non_blocking=True)
            with self._autocast():
                logits = self.forward(part[:, :-1])
            part_loss, part_z = losses(logits, part[:, 1:])
            share = len(part) / len(windows)
            ((part_loss + settings.z_loss * part_z) * share).backward()
            loss += part_loss.detach() * share
            z += part_z.detach() * (settings.z_loss * share)
        grad_norm = nn.utils.clip_grad_norm_(self._parameters, CLIP_NORM)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return StepMetrics(loss, z, grad_norm)

    def _autocast(self) -> AbstractContextManager[Any]:
        if not self.settings.autocast:
            return nullcontext()
        return torch.autocast(self.settings.device, dtype=torch.bfloat16)


def train(
    trainer: Trainer, first_step: int, checkpoint_steps: set[int], log: MetricsLog,
    save: Callable[[int], None], on_progress: OnMetrics | None, clock: Callable[[], float] = time.perf_counter,
) -> None:  # fmt: skip
    """Take steps `first_step` to the last.

    `save(n)` is called after n steps, for each n in `checkpoint_steps` (which must contain the last step), after their
    metrics have been saved. Raises DivergenceError at the first loss that is not finite: its weights are not written to
    any checkpoint.
    """
    assert trainer.settings.num_steps in checkpoint_steps
    reporter = _Reporter(trainer, log, on_progress, clock)
    pending: tuple[int, StepMetrics] | None = None
    for step in range(first_step, trainer.settings.num_steps):
        metrics = trainer.step(step)
        is_saved = step + 1 in checkpoint_steps
        if trainer.settings.device == "cpu":
            reporter.report(step, metrics)
        else:
            if pending is not None:
                reporter.report(*pending)
            elif not is_saved:
                # This is the first step after a pause. It has only been queued, so its time cannot be measured.
                reporter.speed.restart()
            if is_saved:
                # Where a step has just been reported, this one was queued before that, so its own time cannot be
                # measured.
                reporter.report(step, metrics, is_timed=pending is None)
            pending = None if is_saved else (step, metrics)
        if is_saved:
            log.save()
            save(step + 1)
            reporter.speed.restart()


class _Reporter:
    """Writes the scalars of a step as a line of the log, and passes the line to `on_progress`."""

    def __init__(
        self, trainer: Trainer, log: MetricsLog, on_progress: OnMetrics | None, clock: Callable[[], float]
    ) -> None:
        self._settings, self._log, self._on_progress = trainer.settings, log, on_progress
        self._tokens_per_step = trainer.loader.batch_size * (trainer.loader.dataset.window_length - 1)
        self.speed = SpeedMeter(self._tokens_per_step, clock)

    def report(self, step: int, metrics: StepMetrics, is_timed: bool = True) -> None:
        """`is_timed`: whether the time of one step has passed since the last report."""
        loss, z_loss, grad_norm = metrics.read()
        if is_timed:
            self.speed.step_done()
        settings = self._settings
        line = {
            "step": step + 1, "tokens": (step + 1) * self._tokens_per_step, "loss": loss, "z_loss": z_loss,
            "lr": settings.rate(step), "grad_norm": grad_norm,
            "tokens_per_second": round(self.speed.tokens_per_second, 1),
        }  # fmt: skip
        if not math.isfinite(loss + z_loss + grad_norm):
            raise DivergenceError(
                f"training stopped at step {step + 1}: loss {loss}, gradient norm {grad_norm}. Lower "
                f"train.learning_rate (now {settings.peak_learning_rate:g}) or raise train.warmup_steps "
                f"(now {settings.warmup_steps}); the newest checkpoint is from before this step."
            )
        self._log.write(line)
        if self._on_progress is not None:
            self._on_progress(line | {"total_steps": settings.num_steps})


class SpeedMeter:
    """Tokens per second over the last `WINDOW` steps; pauses between `step_done` and `restart` are left out."""

    WINDOW = 20

    def __init__(self, tokens_per_step: int, clock: Callable[[], float]) -> None:
        self._tokens_per_step, self._clock = tokens_per_step, clock
        self._seconds: deque[float] = deque(maxlen=self.WINDOW)
        self.restart()

    def restart(self) -> None:
        """The next step begins now."""
        self._began = self._clock()

    def step_done(self) -> None:
        """One step has been done since the last call, or since `restart`."""
        now = self._clock()
        self._seconds.append(now - self._began)
        self._began = now

    @property
    def tokens_per_second(self) -> float:
        """The mean speed of the measured steps, of which there must be at least one."""
        return self._tokens_per_step * len(self._seconds) / max(sum(self._seconds), 1e-9)
