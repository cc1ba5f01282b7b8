"""DCLM's decoder: OpenLM's Transformer as the published configurations use it, at any size.

Pre-norm blocks; LayerNorm with a gain and no bias; query and key normalised over the full width before they are split
into heads, then rotated; SwiGLU; an output matrix of its own; no bias anywhere. Parameters carry OpenLM's names, so a
DCLM checkpoint's state dictionary fits once its `module.` prefix is taken off.

Source: OpenLM as used by DCLM (arXiv 2406.11794, appendix on training).
"""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tamis.train.scales import Shape

NORM_EPSILON = 1e-5
ROTARY_BASE = 10_000.0


class GainOnlyLayerNorm(nn.Module):
    """LayerNorm (mean subtracted) with a gain, without a bias, computed in the autocast type instead of float32."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        gain, device = self.weight, x.device.type
        if not torch.is_autocast_enabled(device):
            return F.layer_norm(x, gain.shape, gain, None, NORM_EPSILON)
        dtype = torch.get_autocast_dtype(device)
        with torch.autocast(device, enabled=False):
            return F.layer_norm(x.to(dtype), gain.shape, gain.to(dtype), None, NORM_EPSILON)


def rotary_tables(length: int, head_dim: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Cosines and sines, float32, each (length, head_dim): both halves of a head turn by the same angles."""
    frequencies = ROTARY_BASE ** (-torch.arange(0, head_dim, 2, device=device, dtype=torch.float32) / head_dim)
    angles = torch.outer(torch.arange(length, device=device, dtype=torch.float32), frequencies)
    angles = torch.cat([angles, angles], dim=-1)
    return angles.cos(), angles.sin()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary position embedding, half-rotation layout (GPT-NeoX); x is (batch, heads, length, head_dim)."""
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat([-second, first], dim=-1) * sin


class Attention(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        d = shape.d_model
        self.num_heads, self.head_dim = shape.num_heads, shape.head_dim
        self.in_proj = nn.Linear(d, 3 * d, bias=False)
        self.out_proj = nn.Linear(d, d, bias=False)
        self.q_norm = GainOnlyLayerNorm(d)
        self.k_norm = GainOnlyLayerNorm(d)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        batch, length, width = x.shape
        q, k, v = self.in_proj(x).chunk(3, dim=-1)
        q, k = self.q_norm(q), self.k_norm(k)
        q, k, v = (y.view(batch, length, self.num_heads, self.head_dim).transpose(1, 2) for y in (q, k, v))
        cos, sin = cos.to(q.dtype), sin.to(q.dtype)
        out = F.scaled_dot_product_attention(rotate(q, cos, sin), rotate(k, cos, sin), v, is_causal=True)
        return self.out_proj(out.transpose(1, 2).reshape(batch, length, width))


class FeedForward(nn.Module):
    """SwiGLU, gate first."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.w12 = nn.Linear(shape.d_model, 2 * shape.ffn_width, bias=False)
        self.w3 = nn.Linear(shape.ffn_width, shape.d_model, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        gate, up = self.w12(x).chunk(2, dim=-1)
        return self.w3(F.silu(gate) * up)


class Block(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.attention_norm = GainOnlyLayerNorm(shape.d_model)
        self.attention = Attention(shape)
        self.ffn_norm = GainOnlyLayerNorm(shape.d_model)
        self.feed_forward = FeedForward(shape)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        x = x + self.attention(self.attention_norm(x), cos, sin)
        return x + self.feed_forward(self.ffn_norm(x))


class Transformer(nn.Module):
    """The decoder. Built under `torch.device("meta")` it costs no memory; `reset_parameters` draws the weights."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        assert shape.d_model % shape.num_heads == 0 and shape.head_dim % 2 == 0
        self.shape = shape
        self.tok_embeddings = nn.Embedding(shape.vocab_size, shape.d_model)
        self.layers = nn.ModuleList(Block(shape) for _ in range(shape.num_layers))
        self.norm = GainOnlyLayerNorm(shape.d_model)
        self.output = nn.Linear(shape.d_model, shape.vocab_size, bias=False)

    def reset_parameters(self, seed: int) -> None:
        """OpenLM's initialisation, the same on every machine: normals cut at three deviations, of 1/√fan-in; the two
        matrices that write to the residual stream divided by √(2 (layer + 1)), layers counted from 0; gains 1."""
        generator = torch.Generator().manual_seed(seed)

        def draw(weight: Tensor, deviation: float) -> None:
            values = torch.empty(weight.shape)
            nn.init.trunc_normal_(values, std=deviation, a=-3 * deviation, b=3 * deviation, generator=generator)
            weight.copy_(values)

        by_width, by_ffn = self.shape.d_model**-0.5, self.shape.ffn_width**-0.5
        with torch.no_grad():
            for module in self.modules():
                if isinstance(module, GainOnlyLayerNorm):
                    module.weight.fill_(1.0)
            draw(self.tok_embeddings.weight, by_width)
            draw(self.output.weight, by_width)
            for index, block in enumerate(self.layers):
                assert isinstance(block, Block)
                depth = math.sqrt(2 * (index + 1))
                draw(block.attention.in_proj.weight, by_width)
                draw(block.attention.out_proj.weight, by_width / depth)
                draw(block.feed_forward.w12.weight, by_width)
                draw(block.feed_forward.w3.weight, by_ffn / depth)

    def forward(self, ids: Tensor) -> Tensor:
        """Logits (batch, length, vocab_size) of the next token, in the computing type; `ids` is int64 (batch, length).
        The length may be any: the rotary tables are extended when needed."""
        x = self.tok_embeddings(ids)
        cos, sin = rotary_tables(ids.shape[1], self.shape.head_dim, ids.device)
        for block in self.layers:
            x = block(x, cos, sin)
        return self.output(self.norm(x))


class _Losses(torch.autograd.Function):
    """Both losses and their joint gradient with one exponential, because passes over the logits are the largest cost of
    training after the matrix products (on a CPU at scale `nano`, autograd's gradient of the same two terms takes a
    third of a step)."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        wide = torch.promote_types(logits.dtype, torch.float32)
        largest = logits.amax(-1, keepdim=True).to(wide)
        weights = (logits.to(wide) - largest).exp_()
        total = weights.sum(-1, keepdim=True)
        log_z = total.log() + largest
        chosen = logits.gather(-1, targets.unsqueeze(-1)).to(wide)
        ctx.save_for_backward(weights, total, log_z, targets)
        ctx.logits_dtype = logits.dtype
        return (log_z - chosen).mean(), log_z.square().mean()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        entropy_gradient, z_gradient = (gradient / ctx.saved_tensors[3].numel() for gradient in gradients)
        weights, total, log_z, targets = ctx.saved_tensors
        out = weights * ((entropy_gradient + 2 * z_gradient * log_z) / total)
        minus = -entropy_gradient.expand(targets.shape).unsqueeze(-1)
        return out.scatter_add_(-1, targets.unsqueeze(-1), minus).to(ctx.logits_dtype), None


def losses(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """(mean cross-entropy in nats, mean squared log-partition), float32 scalars; the second is the one that the z-loss
    weight multiplies.

    `logits` (batch, length, vocab_size), `targets` int64 (batch, length). No position is masked, as in DCLM. Logits of
    a narrower type are converted to float32.
    """
    entropy, z = _Losses.apply(logits, targets)
    return entropy, z
