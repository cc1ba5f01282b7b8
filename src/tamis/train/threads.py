"""How many CPU threads a training uses: measured at the start, because the number of cores is a poor guess.

A small model's step has little to share out, and on a machine with other work two threads that wait for each other can
take several times as long as one. So real steps of the model are timed at several numbers of threads, on a copy of it,
and the fastest number is used: the fewest threads, where several are about as fast. The number can change round-off,
so a training records it and keeps it when it is resumed.
"""

import copy
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from tamis.train.loop import Trainer

MEASURING_SECONDS = 1.5
STEPS_PER_TURN = 3
"""Timed after one that is not: the first step with another number of threads also starts or stops threads."""
TIE_FRACTION = 0.05
STEP_FLOPS = 1e10
"""A measured step is cut to about this many operations, 0.1 to 0.5 seconds of one core."""
FEWEST_TOKENS = 32
"""A model so large that even a step of this many tokens takes more operations is not measured."""
FLOPS_PER_TOKEN_AND_PARAMETER = 6


@dataclass(frozen=True)
class ThreadChoice:
    """`seconds` of a step by the number of threads; empty when nothing was measured."""

    threads: int
    seconds: dict[int, float]

    def describe(self) -> str:
        """One line for the display of progress."""
        noun = "thread" if self.threads == 1 else "threads"
        if len(self.seconds) < 2:
            return f"{self.threads} {noun}"
        fastest = min(self.seconds.values())
        others = ", ".join(f"{n}: {value / fastest:.1f} ×" for n, value in sorted(self.seconds.items()))
        return f"{self.threads} {noun}, measured (time per step by threads: {others} the shortest)"


def available_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def candidates(num_cores: int) -> list[int]:
    """`num_cores`, and the powers of two below it, falling."""
    return sorted({num_cores, *(1 << n for n in range(num_cores.bit_length()) if 1 << n <= num_cores)}, reverse=True)


def choose(
    numbers: Sequence[int], take_step: Callable[[int], None], clock: Callable[[], float] = time.perf_counter
) -> ThreadChoice:
    """Time `take_step(number of threads)` for all `numbers` in turns until `MEASURING_SECONDS` have passed.

    The median over the turns counts. A model whose steps are slow is measured at the first numbers only.
    """
    seconds: dict[int, list[float]] = {}
    began = clock()
    while True:
        for number in numbers:
            take_step(number)
            for _ in range(STEPS_PER_TURN):
                start = clock()
                take_step(number)
                seconds.setdefault(number, []).append(clock() - start)
                if clock() - began > MEASURING_SECONDS:
                    medians = {n: median(values) for n, values in seconds.items()}
                    limit = min(medians.values()) * (1 + TIE_FRACTION)
                    return ThreadChoice(min(n for n, value in medians.items() if value <= limit), medians)


def measure(trainer: "Trainer", num_cores: int) -> ThreadChoice:
    """The best number of threads for the steps of `trainer`, of which nothing is changed: the steps are those of a
    copy, on made-up windows. Leaves PyTorch's number of threads as it was."""
    import torch

    from tamis.train.loop import Trainer
    from tamis.train.optimizer import make_optimizer

    windows = _windows(trainer)
    if num_cores == 1 or windows is None:
        return ThreadChoice(num_cores, {})
    model = copy.deepcopy(trainer.model)
    settings = replace(trainer.settings, micro_batch_size=len(windows))
    copied = Trainer(settings, model, model, make_optimizer(model, 0.0), trainer.loader)

    def take_step(number: int) -> None:
        torch.set_num_threads(number)
        copied.step_on(windows, 0)

    before = torch.get_num_threads()
    try:
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
