"""The training loop: one optimizer step after another, a line of metrics each, a checkpoint now and then.

It knows tensors and settings, no files but the log: `train.run` decides what is trained and where it goes. Metrics of a
step are read one step later, after the next has been queued, so that a GPU never waits for the log.
"""

import math
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from tamis.base.errors import TamisError
from tamis.train.data import BatchLoader
from tamis.train.metrics import MetricsLog
from tamis.train.model import losses
from tamis.train.optimizer import CLIP_NORM, learning_rate


class DivergenceError(TamisError):
    """The loss is no longer a number."""

    exit_code = 6


@dataclass(frozen=True, kw_only=True)
class LoopSettings:
    """What one optimizer step does, resolved from scale and settings."""

    num_steps: int
    micro_batch_size: int
    """Sequences per forward pass; smaller only to fit memory, the step is the same."""
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
    """Scalars of one step, still on the device."""

    loss: Tensor
    z_loss: Tensor
    grad_norm: Tensor


class Trainer:
    """Model, optimizer and loader, and how they take one step. `forward` is `model`, or what it was compiled to."""

    def __init__(
        self, settings: LoopSettings, model: nn.Module, forward: Callable[[Tensor], Tensor],
        optimizer: torch.optim.Optimizer, loader: BatchLoader,
    ) -> None:  # fmt: skip
        self.settings, self.model, self.forward = settings, model, forward
        self.optimizer, self.loader = optimizer, loader
        self._parameters = list(model.parameters())

    def step(self, step: int) -> StepMetrics:
        """Optimizer step `step` (0-based): the gradient of the mean loss over the global batch, whatever the split."""
        settings = self.settings
        for group in self.optimizer.param_groups:
            group["lr"] = settings.rate(step)
        windows = self.loader.next()
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
    save: Callable[[int], None], on_progress: Callable[[dict[str, Any]], None] | None,
) -> None:  # fmt: skip
    """Take steps `first_step` to the last.

    `save(n)` is called after n steps, for each n in `checkpoint_steps` (the last step must be one), when their metrics
    are on disk. Raises
    DivergenceError at the first loss that is not finite: no checkpoint holds its weights.
    """
    assert trainer.settings.num_steps in checkpoint_steps
    settings, tokens_per_step = trainer.settings, trainer.loader.batch_size * (trainer.loader.dataset.window_length - 1)
    clock = time.perf_counter()

    def report(step: int, metrics: StepMetrics) -> None:
        nonlocal clock
        loss, z_loss, grad_norm = torch.stack([metrics.loss, metrics.z_loss, metrics.grad_norm.float()]).tolist()
        now = time.perf_counter()
        speed, clock = tokens_per_step / (now - clock), now
        line = {
            "step": step + 1, "tokens": (step + 1) * tokens_per_step, "loss": loss, "z_loss": z_loss,
            "lr": settings.rate(step), "grad_norm": grad_norm, "tokens_per_second": round(speed, 1),
        }  # fmt: skip
        if not math.isfinite(loss + z_loss + grad_norm):
            raise DivergenceError(
                f"training stopped at step {step + 1}: loss {loss}, gradient norm {grad_norm}. Lower "
                f"train.learning_rate (now {settings.peak_learning_rate:g}) or raise train.warmup_steps "
                f"(now {settings.warmup_steps}); the newest checkpoint is from before this step."
            )
        log.write(line)
        if on_progress is not None:
            on_progress(line | {"total_steps": settings.num_steps})

    pending: tuple[int, StepMetrics] | None = None
    for step in range(first_step, settings.num_steps):
        metrics = trainer.step(step)
        if pending is not None:
            report(*pending)
        pending = (step, metrics)
        if step + 1 in checkpoint_steps:
            report(*pending)
            pending = None
            log.flush_to_disk()
            save(step + 1)
            clock = time.perf_counter()
