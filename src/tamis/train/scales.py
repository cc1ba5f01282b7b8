"""Scales: the size of the model, the number of tokens and the hyper-parameters, which are fixed so that only the data
differs.

DCLM's own scales carry its published hyper-parameters (training/configs/*.json of the DCLM repository). Below them are
smaller scales of ours for a laptop or one GPU, sized by the same rule: 20 tokens per parameter, embeddings included,
times the multiplier. This module does not import torch, because plans need scales without building a model.
"""

from dataclasses import dataclass
from typing import Literal

from tamis.base.errors import ConfigError, did_you_mean

TOKENS_PER_PARAMETER = 20
GPT_NEOX_VOCAB_SIZE = 50432
"""GPT-NeoX-20B's ids, padded by DCLM to a multiple of 128."""


def swiglu_width(d_model: int) -> int:
    """OpenLM's feed-forward width: 8/3 of the width of the model, rounded up to a multiple of 256."""
    return 256 * -(-(8 * d_model // 3) // 256)


@dataclass(frozen=True, kw_only=True)
class Shape:
    """The decoder's dimensions; everything else about it is fixed (`train.model`)."""

    d_model: int
    num_layers: int
    num_heads: int
    ffn_width: int
    vocab_size: int

    @property
    def head_dim(self) -> int:
        return self.d_model // self.num_heads

    @property
    def num_qk_gains(self) -> int:
        """Gains of the query and key norms, which DCLM's listed parameter counts leave out."""
        return 2 * self.d_model * self.num_layers

    @property
    def num_params(self) -> int:
        """All parameters, embeddings and query and key gains included."""
        d, h = self.d_model, self.ffn_width
        return 2 * self.vocab_size * d + self.num_layers * (4 * d * d + 3 * d * h + 2 * d) + d + self.num_qk_gains


@dataclass(frozen=True, kw_only=True)
class Scale:
    """One competition size. Learning rates are absolute: the cosine ends at `final_learning_rate`."""

    name: str
    shape: Shape
    multiplier: int = 1
    sequence_length: int = 2048
    batch_size: int
    """Sequences per optimizer step."""
    accumulation: int = 1
    """Number of micro-batches into which one step is split."""
    learning_rate: float
    final_learning_rate: float = 3e-5
    weight_decay: float
    warmup_steps: int
    z_loss: float = 1e-4
    precision: Literal["autocast_bfloat16", "pure_bfloat16"] = "autocast_bfloat16"
    """On a GPU: float32 weights with bfloat16 autocast, or weights and optimizer in bfloat16. On a CPU: float32."""

    @property
    def num_tokens(self) -> int:
        """DCLM counts the listed parameters, without the query and key gains."""
        return TOKENS_PER_PARAMETER * (self.shape.num_params - self.shape.num_qk_gains) * self.multiplier


def _dclm_shape(d_model: int, num_layers: int, num_heads: int) -> Shape:
    return Shape(
        d_model=d_model, num_layers=num_layers, num_heads=num_heads, ffn_width=swiglu_width(d_model),
        vocab_size=GPT_NEOX_VOCAB_SIZE,
    )  # fmt: skip


def _1b(multiplier: int) -> Scale:
    return Scale(
        name=f"1b-{multiplier}x", shape=_dclm_shape(2048, 24, 16), multiplier=multiplier, batch_size=256,
        learning_rate=3e-3, weight_decay=0.033, warmup_steps=5000,
    )  # fmt: skip


def _7b(multiplier: int) -> Scale:
    return Scale(
        name=f"7b-{multiplier}x", shape=_dclm_shape(4096, 32, 32), multiplier=multiplier, batch_size=2048,
        accumulation=2, learning_rate=2e-3, weight_decay=0.05, warmup_steps=5000, z_loss=5e-6,
        precision="pure_bfloat16",
    )  # fmt: skip


def _ladder(
    name: str, shape: Shape, sequence_length: int, batch_size: int, accumulation: int, learning_rate: float,
    warmup_steps: int,
) -> Scale:  # fmt: skip
    """A scale of ours. As in DCLM's sweeps, learning rate × weight decay is 1e-4 and the cosine ends at 1 % of the
    peak."""
    return Scale(
        name=name, shape=shape, sequence_length=sequence_length, batch_size=batch_size, accumulation=accumulation,
        learning_rate=learning_rate, final_learning_rate=learning_rate / 100, weight_decay=1e-4 / learning_rate,
        warmup_steps=warmup_steps,
    )  # fmt: skip


def _small(d_model: int, num_layers: int, num_heads: int, ffn_width: int, vocab_size: int) -> Shape:
    """The shape of a scale of ours. The feed-forward width is given, because 8/3 of a small width rounded up to a
    multiple of 256 would make most of a `nano` model feed-forward layers."""
    return Shape(
        d_model=d_model, num_layers=num_layers, num_heads=num_heads, ffn_width=ffn_width, vocab_size=vocab_size
    )


SCALES: dict[str, Scale] = {
    scale.name: scale
    for scale in (
        # nano's micro-batches of 512 tokens keep the logits in a core's cache: 1.4 times the speed of one of 2,048.
        _ladder("nano", _small(32, 2, 2, 88, 2048), 256, 8, 4, 3e-2, 100),
        _ladder("2m", _small(128, 4, 4, 352, 4096), 512, 32, 1, 1e-2, 100),
        _ladder("10m", _small(256, 6, 4, 704, 8192), 1024, 64, 1, 5e-3, 200),
        _ladder("50m", _small(512, 10, 8, 1408, 16384), 1024, 128, 2, 3e-3, 500),
        _ladder("150m", _small(768, 12, 12, 2048, 32768), 2048, 128, 4, 3e-3, 1000),
        Scale(
            name="400m-1x", shape=_dclm_shape(1024, 24, 8), batch_size=512, accumulation=8, learning_rate=3e-3,
            weight_decay=0.033, warmup_steps=2000,
        ),
        _1b(1),
        _1b(5),
        Scale(
            name="3b-1x", shape=_dclm_shape(2560, 32, 32), batch_size=256, learning_rate=3e-3, weight_decay=0.033,
            warmup_steps=5000, precision="pure_bfloat16",
        ),
        _7b(1),
        _7b(2),
    )
}  # fmt: skip


def get_scale(name: str) -> Scale:
    """The scale called `name`, in any case. Raises ConfigError listing the valid names."""
    scale = SCALES.get(name.lower())
    if scale is None:
        raise ConfigError(f"train.scale: no scale {name!r}{did_you_mean(name.lower(), SCALES)}")
    return scale
