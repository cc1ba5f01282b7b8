"""Train a model on a tokens folder into an output folder, from the start or from where the last attempt stopped.

OUTPUT/training.json   which training this folder is for (settings in numbers, fingerprint), and with how many threads
       metrics.jsonl   one line per step
       checkpoints/    see train.checkpoint
       card.json       written last: a folder with a card is finished

The folder belongs to one training: the caller names it by the training's fingerprint, checks whether it is finished,
and lets only one process work in it at a time.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from tamis import __version__
from tamis.base.cards import Card
from tamis.base.errors import ConfigError
from tamis.base.seeds import named_seed
from tamis.store.atomic import read_json, write_json
from tamis.store.location import Location
from tamis.store.tokens import read_manifest
from tamis.train.metrics import OnMetrics
from tamis.train.settings import TRAINING_VERSION, TrainConfig, Training, check, resolve
from tamis.train.threads import ThreadChoice, available_cores, measure

if TYPE_CHECKING:
    from tamis.train.loop import Trainer

__all__ = ["TrainConfig", "Training", "check", "progress_text", "resolve", "run_training"]


TRAINING, METRICS, CARD = "training.json", "metrics.jsonl", "card.json"


def run_training(
    training: Training, config: TrainConfig, tokens: Location, output: Location, on_progress: OnMetrics | None = None
) -> Card:
    """Train on the token shards in the folder `tokens`; returns the card, which is written to `output` last.

    `training` is what `resolve(config, tokens)` gives. Where `output` holds checkpoints, the training goes on from the
    newest and gives the losses of an undisturbed run, bit for bit on the same device and number of threads.
    `on_progress` gets each line of the metrics with `total_steps`, and before them one with `threads` in place of the
    metrics, or `damaged` for a checkpoint that cannot be gone on from; `progress_text` turns them into text.

    Raises ConfigError (no PyTorch, no such device), DataError (damaged shards or checkpoints), DivergenceError,
    StorageError.
    """
    _need_torch()
    with _threads(_known_threads(config, output)) as choose_threads:
        trainer = make_trainer(config, training, tokens)
        trainer.loader.dataset.verify()
        first_step = _resume(trainer, output, on_progress)
        choice = choose_threads(trainer)
        about = training.identity() | {"settings": asdict(training.scale), "threads": choice.threads}
        write_json(output / TRAINING, about)
        if on_progress is not None:
            on_progress({"step": first_step, "total_steps": training.num_steps, "threads": choice.describe()})
        _train(trainer, training, tokens, output, first_step, on_progress)
    card = _make_card(config, training, tokens, output)
    write_json(output / CARD, card.to_dict())
    return card


def progress_text(line: dict[str, Any]) -> str:
    """The text for a line that `on_progress` gets: `loss 3.214, 51,200 tokens/s`."""
    if "damaged" in line:
        return f"{line['damaged']} is damaged: the training begins again"
    if "threads" in line:
        return f"training with {line['threads']}"
    return f"loss {line['loss']:.3f}, {line['tokens_per_second']:,.0f} tokens/s"


def _need_torch() -> None:
    try:
        import torch  # noqa: F401
    except ImportError:
        raise ConfigError("training needs PyTorch. Install it with: pip install 'tamis[train]'") from None


def _known_threads(config: TrainConfig, output: Location) -> int | None:
    """The configured number of threads, else that of the previous attempt, because another number could change
    round-off."""
    if config.threads is None and (output / TRAINING).exists():
        return int(read_json(output / TRAINING)["threads"])
    return config.threads


@contextmanager
def _threads(known: int | None) -> Iterator[Callable[["Trainer"], ThreadChoice]]:
    """Yield a function that sets PyTorch's number of threads: to the known number, else to the fastest one for a
    trainer's steps. Until it is called, PyTorch has one thread. Afterwards the previous number is restored."""
    import torch

    before = torch.get_num_threads()

    def choose_threads(trainer: "Trainer") -> ThreadChoice:
        if known is not None:
            choice = ThreadChoice(known, {})
        elif trainer.settings.device == "cpu":
            choice = measure(trainer, available_cores())
        else:
            choice = ThreadChoice(before, {})
        torch.set_num_threads(choice.threads)
        return choice

    torch.set_num_threads(known or 1)
    try:
        yield choose_threads
    finally:
        torch.set_num_threads(before)


def _device(wanted: str) -> str:
    import torch

    if wanted == "cuda" and not torch.cuda.is_available():
        raise ConfigError("train.device: this machine has no CUDA device that PyTorch can use; set it to auto or cpu")
    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return wanted


def make_trainer(config: TrainConfig, training: Training, tokens: Location) -> "Trainer":
    """The trainer at step 0."""
    import torch

    from tamis.train.data import BatchLoader
    from tamis.train.loop import LoopSettings, Trainer
    from tamis.train.model import Transformer
    from tamis.train.optimizer import make_optimizer

    scale, device = training.scale, _device(config.device)
    # PyTorch's own generators start anywhere, and their state is part of every checkpoint.
    torch.manual_seed(named_seed(training.seed, "train", "torch"))
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


def _resume(trainer: "Trainer", output: Location, on_progress: OnMetrics | None) -> int:
    """Put the newest checkpoint in `output` into `trainer`; returns the number of steps that it has taken.

    Where what the last attempt left is damaged, the training begins again.
    """
    from tamis.train import checkpoint
    from tamis.train.data import Position
    from tamis.train.metrics import damaged_metrics

    checkpoint.clean_up(output)
    if (file := checkpoint.damaged_file(output) or damaged_metrics(output / METRICS)) is not None:
        if on_progress is not None:
            on_progress({"step": 0, "total_steps": trainer.settings.num_steps, "damaged": str(file)})
        (output / "checkpoints").delete_folder()
        (output / METRICS).delete_file()
    found = checkpoint.find(output)
    if not found:
        return 0
    state = checkpoint.restore(found[-1], trainer.model, trainer.optimizer, trainer.settings.device)
    trainer.loader.at = Position(**state["position"])
    return int(state["step"])


def _train(
    trainer: "Trainer", training: Training, tokens: Location, output: Location, first_step: int,
    on_progress: OnMetrics | None,
) -> None:  # fmt: skip
    from tamis.train import checkpoint
    from tamis.train.loop import train
    from tamis.train.metrics import MetricsLog

    def save(step: int) -> None:
        about = training.identity() | {"step": step, "num_tokens": step * training.tokens_per_step}
        tokenizer = tokens / "tokenizer.json"
        checkpoint.save(output, about, tokenizer, trainer.model, trainer.optimizer, trainer.loader.at)

    with MetricsLog(output / METRICS, first_step) as log:
        train(trainer, first_step, set(training.checkpoint_steps), log, save, on_progress)


def _make_card(config: TrainConfig, training: Training, tokens: Location, output: Location) -> Card:
    from tamis.train.metrics import read_metrics

    manifest = read_manifest(tokens)
    losses = [line["loss"] for line in read_metrics(output / METRICS)]
    assert len(losses) == training.num_steps
    tail = losses[-max(1, len(losses) // 100) :]
    details = training.identity() | {
        "shape": asdict(training.scale.shape),
        "dataset_tokens": manifest["num_tokens"],
        "final_loss": sum(tail) / len(tail),
    }
    return Card(
        kind="model", name=training.scale.name, version=TRAINING_VERSION, fingerprint=training.fingerprint,
        parents=[training.dataset_fingerprint], config=config.model_dump(mode="json"), tamis_version=__version__,
        seed=training.seed, details=details,
    )  # fmt: skip
