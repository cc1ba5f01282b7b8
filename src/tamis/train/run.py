"""Train a model on a tokens folder into an output folder, from the start or from where the last attempt stopped.

OUTPUT/training.json   which training this folder is for (settings in numbers, fingerprint); written first
       metrics.jsonl   one line per step
       checkpoints/    see train.checkpoint
       card.json       written last: a folder with a card is finished
"""

from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tamis import __version__
from tamis.base.cards import Card
from tamis.base.errors import ConfigError
from tamis.base.seeds import named_seed
from tamis.store.atomic import read_json, write_json
from tamis.store.rundir import RunDir
from tamis.train.settings import TRAINING_VERSION, TrainConfig, Training, find_tokens, resolve

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tamis.train.loop import Trainer

__all__ = ["TrainConfig", "run_training"]

OnProgress = Callable[[dict[str, Any]], None]


def run_training(config: TrainConfig, dataset: Path, output: Path, on_progress: OnProgress | None = None) -> Card:
    """Train on the token shards of `dataset` (a tokens folder or a run directory); returns the card in `output`.

    A finished training with equal fingerprint returns at once; an unfinished one goes on from its newest checkpoint and
    gives the losses of an undisturbed run, bit for bit on the same device and number of threads. What another training
    left in `output` is moved beside it. `on_progress` gets each line of the metrics with `total_steps`.

    Raises ConfigError (settings, too few tokens, no PyTorch), DataError (damaged shards or checkpoints),
    DivergenceError, StorageError.
    """
    tokens = find_tokens(dataset)
    training = resolve(config, tokens)
    with RunDir(output).lock():
        card = _finished(output, training)
        if card is not None:
            return card
        _need_torch()
        _set_aside(output, training)
        write_json(output / "training.json", _identity(training) | {"scale": asdict(training.scale)})
        with _threads(config.threads):
            _train(config, training, tokens, output, on_progress)
        card = _make_card(config, training, tokens, output)
        write_json(output / "card.json", card.to_dict())
        return card


def _finished(output: Path, training: Training) -> Card | None:
    if not (output / "card.json").exists():
        return None
    card = Card.from_dict(read_json(output / "card.json"))
    return card if card.fingerprint == training.fingerprint else None


def _need_torch() -> None:
    try:
        import torch  # noqa: F401
    except ImportError:
        raise ConfigError("training needs PyTorch. Install it with: pip install 'tamis[train]'") from None


def _set_aside(output: Path, training: Training) -> None:
    """Move files of a training with other settings or data to a folder beside: hours of work are not deleted."""
    marker = output / "training.json"
    if not marker.exists():
        return
    found = read_json(marker)["fingerprint"]
    if found != training.fingerprint:
        place = output.with_name(f"{output.name}.{found[:8]}")
        number = 1
        while place.exists():
            number += 1
            place = output.with_name(f"{output.name}.{found[:8]}-{number}")
        place.mkdir()
        # The marker goes last, so that an interruption here is finished by the next attempt.
        for name in ("card.json", "metrics.jsonl", "checkpoints", "training.json"):
            if (output / name).exists():
                (output / name).rename(place / name)


@contextmanager
def _threads(count: int | None) -> "Iterator[None]":
    import torch

    before = torch.get_num_threads()
    if count is not None:
        torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _device(wanted: str) -> str:
    import torch

    if wanted == "cuda" and not torch.cuda.is_available():
        raise ConfigError("train.device: this machine has no CUDA device that PyTorch can use; set it to auto or cpu")
    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return wanted


def make_trainer(config: TrainConfig, training: Training, tokens: Path) -> "Trainer":
    """Everything at step 0."""
    import torch

    from tamis.train.data import BatchLoader
    from tamis.train.loop import LoopSettings, Trainer
    from tamis.train.model import Transformer
    from tamis.train.optimizer import make_optimizer

    scale, device = training.scale, _device(config.device)
    with torch.device("meta"):
        model = Transformer(scale.shape)
    model = model.to_empty(device=device)
    model.reset_parameters(named_seed(training.seed, "train", "weights"))
    pure = device == "cuda" and scale.precision == "pure_bfloat16"
    if pure:
        model = model.to(torch.bfloat16)
    if device == "cuda":
        torch.set_float32_matmul_precision("high")
    settings = LoopSettings(
        num_steps=training.num_steps, peak_learning_rate=scale.learning_rate, warmup_steps=scale.warmup_steps,
        final_learning_rate=scale.final_learning_rate, z_loss=scale.z_loss, device=device,
        micro_batch_size=config.micro_batch_size or -(-scale.batch_size // scale.accumulation),
        autocast=device == "cuda" and not pure,
    )  # fmt: skip
    loader = BatchLoader(tokens, scale.sequence_length, scale.batch_size, named_seed(training.seed, "train", "data"))
    forward = torch.compile(model) if config.compile else model
    return Trainer(settings, model, forward, make_optimizer(model, scale.weight_decay), loader)


def _train(config: TrainConfig, training: Training, tokens: Path, output: Path, on_progress: OnProgress | None) -> None:
    from tamis.train import checkpoint
    from tamis.train.data import Position
    from tamis.train.loop import train
    from tamis.train.metrics import MetricsLog
    from tamis.train.model import Transformer

    trainer = make_trainer(config, training, tokens)
    assert isinstance(trainer.model, Transformer)
    model = trainer.model
    trainer.loader.dataset.verify()
    folder = output / "checkpoints"
    first_step = 0
    found = checkpoint.find(folder)
    if found:
        state = checkpoint.restore(found[-1], trainer.model, trainer.optimizer, trainer.settings.device)
        first_step, trainer.loader.at = state["step"], Position(**state["position"])

    def save(step: int) -> None:
        about = _identity(training) | {"step": step, "num_tokens": step * (training.num_tokens // training.num_steps)}
        checkpoint.save(
            folder / f"step_{step:08d}", about, tokens / "tokenizer.json", model, trainer.optimizer,
            trainer.loader.at,
        )  # fmt: skip

    with MetricsLog(output / "metrics.jsonl", first_step) as log:
        train(trainer, first_step, set(training.checkpoint_steps), log, save, on_progress)


def _identity(training: Training) -> dict[str, Any]:
    """What a checkpoint says of where it comes from."""
    return {
        "fingerprint": training.fingerprint,
        "scale": training.scale.name,
        "num_params": training.scale.shape.num_params,
        "sequence_length": training.scale.sequence_length,
        "num_steps": training.num_steps,
        "hyperparameters": training.hyperparameters,
        "seed": training.seed,
        "dataset": training.dataset_fingerprint,
    }


def _make_card(config: TrainConfig, training: Training, tokens: Path, output: Path) -> Card:
    from tamis.train.metrics import read_metrics

    manifest = read_json(tokens / "manifest.json")
    losses = [line["loss"] for line in read_metrics(output / "metrics.jsonl")]
    assert len(losses) == training.num_steps
    tail = losses[-max(1, len(losses) // 100) :]
    details = {
        "scale": training.scale.name,
        "shape": asdict(training.scale.shape),
        "num_params": training.scale.shape.num_params,
        "tokens": training.num_tokens,
        "steps": training.num_steps,
        "dataset_tokens": manifest["num_tokens"],
        "tokenizer": manifest["tokenizer"],
        "hyperparameters": {k: v for k, v in asdict(training.scale).items() if k not in ("name", "shape")},
        "final_loss": sum(tail) / len(tail),
    }
    return Card(
        kind="model", name=training.scale.name, version=TRAINING_VERSION, fingerprint=training.fingerprint,
        parents=[training.dataset_fingerprint], config=config.model_dump(mode="json"), tamis_version=__version__,
        seed=training.seed, details=details,
    )  # fmt: skip
