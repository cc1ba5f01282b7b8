"""Checkpoints: folders that appear whole, hold all that evaluation and an exact resume need, and nothing executable.

    checkpoints/step_00000123/config.json      shape, sequence length, precision, scale, step, tokens, fingerprints
                              tokenizer.json   the tokenizer of the data
                              model.pt         weights (OpenLM's parameter names)
                              training.pt      optimizer and random-number state; only in the newest checkpoint

Files are read with `weights_only=True`: a checkpoint from elsewhere cannot run code.
"""

import os
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import nn

from tamis.base.errors import ConfigError, DataError
from tamis.store.atomic import read_json, storage_errors, write_json
from tamis.train.data import Position
from tamis.train.model import Transformer
from tamis.train.scales import Shape

PARTIAL_SUFFIX = ".partial"


@dataclass(frozen=True)
class Checkpoint:
    """A loaded checkpoint. `config` is config.json as written by `save`."""

    model: Transformer
    config: dict[str, Any]
    tokenizer: Path

    @property
    def sequence_length(self) -> int:
        return int(self.config["sequence_length"])


def save(
    folder: Path, config: dict[str, Any], tokenizer: Path, model: Transformer, optimizer: torch.optim.Optimizer,
    position: Position,
) -> None:  # fmt: skip
    """Write `folder` under a temporary name and rename it; then drop the training state of older checkpoints.

    `config` is what identifies the training; shape and position are added here. Raises StorageError when the disk is
    full.
    """
    partial = folder.with_name(folder.name + PARTIAL_SUFFIX)
    with storage_errors(folder):
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        write_json(partial / "config.json", config | {"shape": asdict(model.shape), "position": position.to_dict()})
        shutil.copyfile(tokenizer, partial / "tokenizer.json")
        torch.save(model.state_dict(), partial / "model.pt")
        random = {"cpu": torch.get_rng_state()}
        if torch.cuda.is_available():
            random["cuda"] = torch.cuda.get_rng_state()
        torch.save({"optimizer": optimizer.state_dict(), "random": random}, partial / "training.pt")
        for path in partial.iterdir():
            _flush(path)
        _flush(partial)
        shutil.rmtree(folder, ignore_errors=True)
        partial.rename(folder)
        _flush(folder.parent)
        for older in find(folder.parent):
            if older.name < folder.name:
                (older / "training.pt").unlink(missing_ok=True)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def find(checkpoints: Path) -> list[Path]:
    """Whole checkpoints in a `checkpoints` folder, oldest first."""
    return sorted(path for path in checkpoints.glob("step_*") if path.suffix != PARTIAL_SUFFIX)


def latest(output: Path) -> Path:
    """The newest checkpoint of a training's output folder, or `output` itself when it is a checkpoint.

    Raises ConfigError when there is none.
    """
    if (output / "model.pt").exists():
        return output
    found = find(output / "checkpoints")
    if not found:
        raise ConfigError(f"{output}: no checkpoint here. Train first: tamis train RUN")
    return found[-1]


def load(folder: Path, device: str = "cpu") -> Checkpoint:
    """Load a checkpoint for evaluation: the model on `device`, in eval mode and the precision it was saved in.

    `folder` is a checkpoint or a training's output folder (then the newest). Raises ConfigError when there is none,
    DataError when a file is missing or damaged.
    """
    folder = latest(folder)
    config = _read_config(folder)
    with torch.device("meta"):
        model = Transformer(Shape(**config["shape"]))
    model.load_state_dict(_read(folder / "model.pt", device), assign=True)
    return Checkpoint(model=model.eval(), config=config, tokenizer=folder / "tokenizer.json")


def restore(folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer, device: str) -> dict[str, Any]:
    """Put a checkpoint's weights, optimizer and random-number state back; returns its config.

    Raises DataError when a file is missing or damaged.
    """
    config = _read_config(folder)
    model.load_state_dict(_read(folder / "model.pt", device))
    # On the CPU: each tensor is moved to its parameter's device, except the step counts, which the optimizer places.
    training = _read(folder / "training.pt", "cpu")
    optimizer.load_state_dict(training["optimizer"])
    torch.set_rng_state(training["random"]["cpu"])
    if device == "cuda" and "cuda" in training["random"]:
        torch.cuda.set_rng_state(training["random"]["cuda"])
    return config


def _read_config(folder: Path) -> dict[str, Any]:
    try:
        return dict(read_json(folder / "config.json"))
    except (OSError, ValueError) as error:
        raise DataError(f"{folder}: damaged checkpoint, config.json cannot be read ({error})") from None


def _read(path: Path, device: str) -> dict[str, Any]:
    try:
        return dict(torch.load(path, map_location=device, weights_only=True))
    except (OSError, EOFError, RuntimeError, ValueError, KeyError, UnpicklingError) as error:
        raise DataError(
            f"{path}: damaged checkpoint file ({type(error).__name__}: {error}). Delete its folder."
        ) from None
