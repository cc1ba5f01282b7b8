"""The settings of a training, and their values for one dataset: those of a scale, with overrides.

This module does not import torch, so that a wrong setting or too small a dataset is reported quickly.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from pydantic import Field

from tamis.base.config import Config
from tamis.base.errors import ConfigError
from tamis.base.hashing import fingerprint
from tamis.store.location import Location
from tamis.store.tokens import read_manifest
from tamis.train.scales import Scale, get_scale

TRAINING_VERSION = 1
"""Bumped whenever the same settings and data can give other weights."""


class TrainConfig(Config):
    """Settings of a training. A setting that is None has the value of the scale."""

    scale: str
    """Name of a scale (`train.scales`)."""
    tokens: int | None = Field(default=None, ge=1)
    """Tokens to train on, rounded down to whole steps. Give two runs the same number to compare their data."""
    sequence_length: int | None = Field(default=None, ge=2)
    """Tokens per sequence: the model's context."""
    batch_size: int | None = Field(default=None, ge=1)
    """Sequences per optimizer step."""
    micro_batch_size: int | None = Field(default=None, ge=1)
    """Sequences per forward pass; smaller needs less memory and changes nothing else."""
    learning_rate: float | None = Field(default=None, gt=0)
    """Peak of the learning rate."""
    final_learning_rate: float | None = Field(default=None, ge=0)
    """The rate at the last step, absolute; at most the peak."""
    weight_decay: float | None = Field(default=None, ge=0)
    """AdamW's, on every parameter."""
    warmup_steps: int | None = Field(default=None, ge=0)
    """Number of steps in which the learning rate rises to its peak."""
    z_loss: float | None = Field(default=None, ge=0)
    """Weight of the mean squared log-partition (the z-loss) in the loss."""
    vocab_size: int | None = Field(default=None, ge=2)
    """Rows of the embedding and of the output matrix; must hold the tokenizer's ids."""
    seed: int = 0
    """Seed of the initial weights and of the order of the data."""
    num_checkpoints: int = Field(default=5, ge=1)
    """Evenly spaced; the last is the trained model."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """`auto` takes a GPU when there is one."""
    threads: int | None = Field(default=None, ge=1)
    """Number of CPU threads; None = the fastest number, which is measured at the start."""
    compile: bool = False
    """Compile the model with torch.compile: pays off from about 50 M parameters on a GPU."""
    multiple_data_passes: bool = False
    """Repeat the data, shuffled again, when it has fewer tokens than the training needs."""


@dataclass(frozen=True, kw_only=True)
class Training:
    """The settings of a training, resolved with the scale and the data. `fingerprint` covers everything that the
    weights depend on, except for sources of round-off (device, threads, compilation, micro-batches)."""

    scale: Scale
    num_steps: int
    checkpoint_steps: list[int]
    seed: int
    dataset_fingerprint: str
    tokenizer_digest: str

    @property
    def num_tokens(self) -> int:
        return self.num_steps * self.tokens_per_step

    @property
    def tokens_per_step(self) -> int:
        return self.scale.batch_size * self.scale.sequence_length

    @property
    def hyperparameters(self) -> dict[str, Any]:
        """The settings other than size and length on which the weights depend: two trainings with equal ones can be
        compared."""
        left_out = ("name", "shape", "multiplier", "sequence_length", "accumulation")
        return {name: value for name, value in asdict(self.scale).items() if name not in left_out}

    @property
    def fingerprint(self) -> str:
        scale = {name: value for name, value in asdict(self.scale).items() if name not in ("name", "accumulation")}
        steps = [self.num_steps, self.checkpoint_steps]
        return fingerprint("train", TRAINING_VERSION, scale, steps, self.seed, self.dataset_fingerprint)

    def identity(self) -> dict[str, Any]:
        """What the card, and every checkpoint, says of where the model comes from. Plain data."""
        return {
            "fingerprint": self.fingerprint,
            "scale": self.scale.name,
            "num_params": self.scale.shape.num_params,
            "sequence_length": self.scale.sequence_length,
            "num_steps": self.num_steps,
            "num_tokens": self.num_tokens,
            "seed": self.seed,
            "dataset": self.dataset_fingerprint,
            "tokenizer": self.tokenizer_digest,
            "hyperparameters": self.hyperparameters,
        }


def check(config: TrainConfig) -> Scale:
    """Complete `config` from its scale, and refuse settings that are known to be wrong before there is any data.

    Raises ConfigError when there is no such scale, or when the settings contradict each other.
    """
    scale = _overridden(get_scale(config.scale), config)
    num_steps = _num_steps(config, scale)
    if num_steps <= scale.warmup_steps:
        raise ConfigError(
            f"train.tokens: {_num_tokens(config, scale):,} tokens are {num_steps} steps of {scale.batch_size} × "
            f"{scale.sequence_length} tokens, of which {scale.warmup_steps} are warm-up. Raise train.tokens, or lower "
            "train.warmup_steps or train.batch_size."
        )
    return scale


def resolve(config: TrainConfig, tokens: Location) -> Training:
    """The training that `config` describes on the token shards in the folder `tokens`.

    Raises ConfigError as `check`, and when there are no token shards, the tokenizer has more ids than the model, or
    the data holds too few tokens.
    """
    scale = check(config)
    manifest = read_manifest(tokens)
    num_ids = manifest["tokenizer"]["vocab_size"]
    if num_ids > scale.shape.vocab_size:
        raise ConfigError(
            f"train.vocab_size: scale {config.scale} has room for {scale.shape.vocab_size} token ids, the data's "
            f"tokenizer has {num_ids}. Tokenize with a smaller vocabulary (tamis tokenizer RUN --vocab-size "
            f"{scale.shape.vocab_size}), or set train.vocab_size: {num_ids}, which makes another model of it."
        )
    num_steps = _num_steps(config, scale)
    if not config.multiple_data_passes:
        _check_enough(manifest["num_tokens"], num_steps, scale, _num_tokens(config, scale))
    count = min(config.num_checkpoints, num_steps)
    return Training(
        scale=scale, num_steps=num_steps, seed=config.seed, dataset_fingerprint=manifest["fingerprint"],
        tokenizer_digest=manifest["tokenizer"]["blake2b"],
        checkpoint_steps=[num_steps * part // count for part in range(1, count + 1)],
    )  # fmt: skip


def _num_tokens(config: TrainConfig, scale: Scale) -> int:
    return config.tokens or scale.num_tokens


def _num_steps(config: TrainConfig, scale: Scale) -> int:
    return _num_tokens(config, scale) // (scale.batch_size * scale.sequence_length)


def _overridden(scale: Scale, config: TrainConfig) -> Scale:
    names = (
        "sequence_length", "batch_size", "learning_rate", "final_learning_rate", "weight_decay", "warmup_steps",
        "z_loss",
    )  # fmt: skip
    given: dict[str, Any] = {name: getattr(config, name) for name in names if getattr(config, name) is not None}
    if config.vocab_size is not None:
        given["shape"] = replace(scale.shape, vocab_size=config.vocab_size)
    scale = replace(scale, **given)
    if scale.final_learning_rate > scale.learning_rate:
        raise ConfigError(
            f"train.final_learning_rate: {scale.final_learning_rate:g} is above the peak, train.learning_rate "
            f"{scale.learning_rate:g}, but the rate only falls after warm-up. Set train.final_learning_rate to "
            f"{scale.learning_rate / 100:g}, say, or raise train.learning_rate."
        )
    return scale


def _check_enough(num_tokens: int, num_steps: int, scale: Scale, wanted: int) -> None:
    most = most_tokens(num_tokens, scale)
    if num_steps * scale.batch_size * scale.sequence_length <= most:
        return
    raise ConfigError(
        f"train.tokens: the dataset has {num_tokens:,} tokens, enough to train on {most:,} once, but the training "
        f"takes {wanted:,}. Either give it more data, or set train.tokens to {most:,} or less (in every run that you "
        "compare); or set train.multiple_data_passes: true to repeat the data."
    )


MIN_STEPS = 100
"""Number of optimizer steps that are planned when the data are too few for the batch size of the scale."""


def fit_to_data(settings: Mapping[str, Any], num_tokens: int) -> dict[str, Any]:
    """`settings` for a data set of `num_tokens`: as many tokens as it has, at most as many as the scale takes. For few
    tokens, the batch size and the warm-up are reduced, so that there are enough steps.

    Raises ConfigError when there are not even enough tokens for one batch.
    """
    scale = _overridden(get_scale(settings["scale"]), TrainConfig.parse(dict(settings), "train"))
    wanted = min(most_tokens(num_tokens, scale), scale.num_tokens)
    if wanted >= 2 * scale.warmup_steps * scale.batch_size * scale.sequence_length:
        return {**settings, "tokens": wanted}
    most = num_tokens // (scale.sequence_length + 1) * scale.sequence_length
    if most == 0:
        raise ConfigError(
            f"train: a recipe left {num_tokens:,} tokens, too few to train on: one sequence of scale {scale.name} has "
            f"{scale.sequence_length:,}. Take a larger pool, or loosen the recipe."
        )
    batch_size = max(1, min(scale.batch_size, most // (scale.sequence_length * MIN_STEPS)))
    fitted = replace(scale, batch_size=batch_size)
    tokens = min(most_tokens(num_tokens, fitted), scale.num_tokens)
    num_steps = tokens // (scale.sequence_length * batch_size)
    small = {"batch_size": batch_size, "warmup_steps": max(1, num_steps // 10)}
    return {**settings, "tokens": tokens} | {name: value for name, value in small.items() if name not in settings}


def most_tokens(num_tokens: int, scale: Scale) -> int:
    """How many tokens a dataset of `num_tokens` can train `scale` on in one pass: whole batches of whole windows, each
    of which is one id longer than the tokens it trains on."""
    num_windows = num_tokens // (scale.sequence_length + 1)
    return num_windows // scale.batch_size * scale.batch_size * scale.sequence_length
