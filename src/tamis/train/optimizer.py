"""DCLM's optimizer and learning-rate schedule."""

import math

import torch
from torch import nn

BETAS = (0.9, 0.95)
EPSILON = 1e-8
CLIP_NORM = 1.0


def make_optimizer(model: nn.Module, weight_decay: float) -> torch.optim.AdamW:
    """AdamW with weight decay on every parameter, embeddings and gains included. OpenLM's list of exceptions is empty
    for the models that DCLM trains, so DCLM's published results were obtained with the same optimizer. The learning
    rate is set at each step."""
    return torch.optim.AdamW(
        model.parameters(), lr=0.0, betas=BETAS, eps=EPSILON, weight_decay=weight_decay, fused=True
    )


def learning_rate(step: int, *, num_steps: int, warmup_steps: int, peak: float, final: float) -> float:
    """The rate of step `step` (0-based): peak · (step + 1) / warmup_steps, then half a cosine from `peak` to `final`,
    an absolute rate, over the remaining steps (OpenLM's `cosine_lr`)."""
    if step < warmup_steps:
        return peak * (step + 1) / warmup_steps
    progress = (step - warmup_steps) / max(1, num_steps - warmup_steps)
    return final + 0.5 * (1 + math.cos(math.pi * progress)) * (peak - final)
