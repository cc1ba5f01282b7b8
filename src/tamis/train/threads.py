"""The number of CPU threads of a training. It is measured at the start, because the number of cores is often not the
fastest.

A step of a small model has little work to distribute, and on a busy machine two threads that wait for each other can
take many times as long as one. So forward and backward passes are timed at several numbers of threads, on a copy of the
model, and the fastest number is used, or the smallest of several that are about as fast. The number can change
round-off, so a training records it and keeps it when it is resumed.
"""

import copy
import math
import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from tamis.train.loop import Trainer

MEASURING_SECONDS = 1.0
"""Seconds after which no further round of measurements begins; the first round may take longer."""
STEPS_PER_TURN = 3
TURN_SECONDS = 0.2
"""Seconds after which the steps at one number of threads end early."""
SLOW_RATIO = 1.5
"""A number of threads whose steps take this many times as long as the fastest is not measured again."""
TIE_RATIO = 1.05
STEP_FLOPS = 1e10
"""Approximate number of operations of a measured step: 0.1 to 0.5 seconds of one core."""
FEWEST_TOKENS = 32
"""Smallest number of tokens in a measured step. A model that needs more operations even for these is not measured."""
FLOPS_PER_TOKEN_AND_PARAMETER = 6


TakeStep = Callable[[int, float], None]


class _TooSlowError(Exception):
    """Raised to stop a step that takes too long."""


@dataclass(frozen=True)
class ThreadChoice:
    """`seconds`: the duration of a step, or a lower bound of it, by the number of threads; empty when nothing was
    measured."""

    threads: int
    seconds: dict[int, float]

    def describe(self) -> str:
        """One line for the display of progress."""
        noun = "thread" if self.threads == 1 else "threads"
        if len(self.seconds) < 2:
            return f"{self.threads} {noun}"
        return f"{self.threads} {noun}, the fastest when {', '.join(map(str, sorted(self.seconds)))} were measured"


def available_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def candidates(num_cores: int) -> list[int]:
    """The powers of two below `num_cores`, and `num_cores`, in ascending order."""
    return sorted({num_cores, *(1 << n for n in range(num_cores.bit_length()) if 1 << n <= num_cores)})


def choose(numbers: Sequence[int], take_step: TakeStep, clock: Callable[[], float] = time.perf_counter) -> ThreadChoice:
    """Time `take_step(number of threads, limit)` in several rounds, and choose the number by the median. A step may
    stop when it has taken `limit` seconds.

    `numbers` must be in ascending order. A round ends at the first number that is clearly slower than a smaller one, so
    that on a busy machine, where a step on all cores can take a hundred times as long, only one such step is taken.
    """
    seconds: dict[int, list[float]] = {number: [] for number in numbers}
    began, remaining = clock(), list(numbers)
    while True:
        for number in remaining:
            best = min(_medians(seconds).values(), default=math.inf)
            limit = max(TURN_SECONDS, SLOW_RATIO * best)
            seconds[number] += _take_turn(number, take_step, limit, clock)
            if _is_slow(number, medians := _medians(seconds)):
                break
        remaining = [number for number in medians if not _is_slow(number, medians)]
        if len(remaining) == 1 or clock() - began > MEASURING_SECONDS:
            longest = min(medians.values()) * TIE_RATIO
            return ThreadChoice(min(number for number, value in medians.items() if value <= longest), medians)


def _take_turn(number: int, take_step: TakeStep, limit: float, clock: Callable[[], float]) -> list[float]:
    """Seconds of a few steps at one number of threads. The first is counted only where it is slow, because it also
    starts or stops threads."""
    seconds = []
    began = before = clock()
    for _ in range(1 + STEPS_PER_TURN):
        take_step(number, limit)
        now = clock()
        seconds.append(now - before)
        before = now
        if now - began > TURN_SECONDS:
            break
    return seconds[1:] or seconds


def _medians(seconds: dict[int, list[float]]) -> dict[int, float]:
    return {number: median(values) for number, values in seconds.items() if values}


def _is_slow(number: int, medians: dict[int, float]) -> bool:
    return medians[number] > SLOW_RATIO * min(medians.values())


def measure(trainer: "Trainer", num_cores: int) -> ThreadChoice:
    """The best number of threads for the steps of `trainer`, which is not changed: forward and backward passes are
    those of a copy of its model, on random windows. PyTorch's number of threads is restored."""
    import torch

    from tamis.train.model import losses

    windows = _windows(trainer)
    if num_cores == 1 or windows is None:
        return ThreadChoice(num_cores, {})
    model, z_loss = copy.deepcopy(trainer.model), trainer.settings.z_loss

    deadline = math.inf

    def give_up_late(*_: object) -> None:
        if time.perf_counter() > deadline:
            raise _TooSlowError

    for module in model.modules():
        module.register_forward_hook(give_up_late)

    def take_step(number: int, limit: float) -> None:
        nonlocal deadline
        deadline = time.perf_counter() + limit
        torch.set_num_threads(number)
        with suppress(_TooSlowError):
            entropy, z = losses(model(windows[:, :-1]), windows[:, 1:])
            (entropy + z_loss * z).backward()
        model.zero_grad(set_to_none=True)

    before = torch.get_num_threads()
    try:
        # The very first step also allocates memory and selects kernels, so it is not timed.
        take_step(1, math.inf)
        return choose(candidates(num_cores), take_step)
    finally:
        torch.set_num_threads(before)


def _windows(trainer: "Trainer") -> "Tensor | None":
    """A micro-batch of random ids, or as much of one as `STEP_FLOPS` allow; None when that is too little."""
    import torch

    num_params = sum(parameter.numel() for parameter in trainer.model.parameters())
    most_tokens = int(STEP_FLOPS / (FLOPS_PER_TOKEN_AND_PARAMETER * num_params))
    if most_tokens < FEWEST_TOKENS:
        return None
    length = min(trainer.loader.dataset.window_length, most_tokens)
    rows = min(trainer.settings.micro_batch_size, trainer.loader.batch_size, max(1, most_tokens // length))
    num_ids = trainer.model.shape.vocab_size
    return torch.randint(0, num_ids, (rows, length), generator=torch.Generator().manual_seed(0))
