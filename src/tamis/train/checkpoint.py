"""Checkpoints: folders that are published as a whole, contain all that evaluation and an exact resume need, and no
code.

    checkpoints/step_00000123/config.json      shape, step, position in the data, what was trained on what, and the
                                               digests of the other files
                              tokenizer.json   the tokenizer of the data
                              model.pt         weights (OpenLM's parameter names)
                              training.pt      optimizer and random-number state; only in the newest checkpoint

A folder is a checkpoint when config.json is in it: it is written last on an object store, and elsewhere the folder
appears as a whole. Files are read with `weights_only=True`, so that a checkpoint from elsewhere cannot run code.
Finding and naming checkpoints needs no PyTorch, so it is loaded where tensors are read or written.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any

from tamis.base.errors import ConfigError, DataError, StorageError
from tamis.base.hashing import fingerprint
from tamis.store.atomic import Place, delete_leftovers, is_whole, publish_folder, read_json, write_json
from tamis.store.digests import is_intact
from tamis.store.location import Location
from tamis.store.shards import file_digest
from tamis.train.scales import Shape

if TYPE_CHECKING:
    import torch
    from torch import nn

    from tamis.train.data import Position
    from tamis.train.model import Transformer

CONFIG, TOKENIZER, WEIGHTS, TRAINING_STATE = "config.json", "tokenizer.json", "model.pt", "training.pt"


@dataclass(frozen=True)
class Checkpoint:
    """A loaded checkpoint. `config` is config.json as `save` wrote it; `tokenizer` is the path of its tokenizer
    file."""

    model: "Transformer"
    config: dict[str, Any]
    tokenizer: Location

    @property
    def sequence_length(self) -> int:
        return int(self.config["sequence_length"])


# Finding and identifying.


def find(output: Location) -> list[Location]:
    """The complete checkpoints of a training's output folder, oldest first."""
    found = {}
    for folder in (output / "checkpoints").children("step_*"):
        number = re.fullmatch(r"step_(\d+)", folder.name)
        if number and is_whole(folder, CONFIG):
            found[int(number[1])] = folder
    return [found[step] for step in sorted(found)]


def newest(place: Place) -> Location:
    """The newest checkpoint of a training's output folder, or `place` itself when it is a checkpoint.

    Raises ConfigError when there is none.
    """
    place = Location(place)
    if is_whole(place, CONFIG):
        return place
    found = find(place)
    if not found:
        raise ConfigError(f"{place}: no checkpoint here. Train first: tamis train RUN")
    return found[-1]


def read_config(folder: Location) -> dict[str, Any]:
    """config.json of a checkpoint. Raises DataError when it is missing or damaged."""
    try:
        return dict(read_json(folder / CONFIG))
    except (OSError, ValueError, TypeError, DataError) as error:
        raise DataError(f"{folder}: damaged checkpoint, config.json cannot be read ({error}). Delete it.") from None


def model_fingerprint(folder: Location) -> str:
    """Identity of a checkpoint's model: the training that made it, and its step. A checkpoint that does not say which
    training made it is identified by its bytes. Raises DataError when a file is missing or damaged."""
    config = read_config(folder)
    if "fingerprint" in config and "step" in config:
        return fingerprint("model", config["fingerprint"], config["step"])
    try:
        return fingerprint("model", [file_digest(folder / name) for name in (CONFIG, TOKENIZER, WEIGHTS)])
    except FileNotFoundError as error:
        raise DataError(f"{folder}: damaged checkpoint, a file is missing ({error}). Delete it.") from None


def damaged_file(output: Location) -> Location | None:
    """The first file of the checkpoints in a training's output folder that is not as it was written, None when there is
    none. PyTorch does not compare the checksums of what it reads."""
    for folder in find(output):
        try:
            digests = dict(read_config(folder)["files"])
        except (DataError, KeyError, TypeError, ValueError):
            return folder / CONFIG
        if not (folder / TRAINING_STATE).exists():
            del digests[TRAINING_STATE]  # as in all but the newest
        for name, digest in digests.items():
            if not is_intact(folder / name, digest):
                return folder / name
    return None


# Writing and reading.


def save(
    output: Location, config: dict[str, Any], tokenizer: Location, model: "Transformer",
    optimizer: "torch.optim.Optimizer", position: "Position",
) -> None:  # fmt: skip
    """Publish a checkpoint of step `config["step"]` in `output`; then drop the training state of older ones.

    `config` is what identifies the training; shape and position are added here. Raises StorageError when the disk is
    full.
    """
    import torch

    folder = output / "checkpoints" / f"step_{config['step']:08d}"
    with publish_folder(folder, CONFIG) as partial:
        tokenizer.copy_to(Location(partial / TOKENIZER))
        _save(model.state_dict(), partial / WEIGHTS)
        random = {"cpu": torch.get_rng_state()}
        if torch.cuda.is_available():
            random["cuda"] = torch.cuda.get_rng_state()
        _save({"optimizer": optimizer.state_dict(), "random": random}, partial / TRAINING_STATE)
        files = {name: file_digest(Location(partial / name)) for name in (TOKENIZER, WEIGHTS, TRAINING_STATE)}
        about = {"shape": asdict(model.shape), "position": position.to_dict(), "files": files}
        write_json(partial / CONFIG, config | about)
    found = find(output)
    for older in found[: found.index(folder)]:
        (older / TRAINING_STATE).delete_file()


def _save(state: dict[str, Any], place: Place) -> None:
    """`torch.save`. Its writer tells of a full disk by a RuntimeError, from which StorageError is raised."""
    import torch

    try:
        torch.save(state, str(place))
    except RuntimeError as error:
        if "inline_container" not in str(error) and "PytorchStreamWriter" not in str(error):
            raise
        raise StorageError(
            f"{place}: the checkpoint could not be written: the disk is full, or refuses files of this size. Free some "
            "space and run the same command again: it goes on from the checkpoint before."
        ) from error


def clean_up(output: Location) -> None:
    """Delete the unfinished files that a killed training left in `output`."""
    delete_leftovers(output / "checkpoints")


def load(place: Place, device: str = "cpu") -> Checkpoint:
    """Load a checkpoint for evaluation: the model on `device`, in eval mode and the precision it was saved in.

    `place` is a checkpoint or a training's output folder (then the newest). Raises ConfigError when there is none,
    DataError when a file is missing or damaged.
    """
    import torch

    from tamis.train.model import Transformer

    folder = newest(place)
    config = read_config(folder)
    with _fitting(folder):
        with torch.device("meta"):
            model = Transformer(Shape(**config["shape"]))
        model.load_state_dict(_read(folder / WEIGHTS, device), assign=True)
    return Checkpoint(model=model.eval(), config=config, tokenizer=folder / TOKENIZER)


def restore(folder: Location, model: "nn.Module", optimizer: "torch.optim.Optimizer", device: str) -> dict[str, Any]:
    """Put a checkpoint's weights, optimizer and random-number state back; returns its config.

    Raises DataError when a file is missing or damaged.
    """
    import torch

    config = read_config(folder)
    with _fitting(folder):
        model.load_state_dict(_read(folder / WEIGHTS, device))
        # Load on the CPU: each tensor is moved to its parameter's device, except the step counts, which the optimizer
        # moves.
        training = _read(folder / TRAINING_STATE, "cpu")
        optimizer.load_state_dict(training["optimizer"])
        torch.set_rng_state(training["random"]["cpu"])
        if device == "cuda" and "cuda" in training["random"]:
            torch.cuda.set_rng_state(training["random"]["cuda"])
    return config


@contextmanager
def _fitting(folder: Location) -> Iterator[None]:
    """Raises DataError where the files of a checkpoint are readable, but do not belong together."""
    try:
        yield
    except (RuntimeError, ValueError, TypeError, KeyError, AttributeError, AssertionError, ZeroDivisionError) as error:
        what = " ".join(str(error).split())
        raise DataError(
            f"{folder}: damaged checkpoint, its files do not belong together ({type(error).__name__}: {what:.200}). "
            "Delete its folder."
        ) from None


def _read(place: Location, device: str) -> dict[str, Any]:
    import torch

    try:
        return dict(torch.load(place.local_path(), map_location=device, weights_only=True))
    except (OSError, EOFError, RuntimeError, ValueError, KeyError, UnpicklingError) as error:
        raise DataError(
            f"{place}: damaged checkpoint file ({type(error).__name__}: {error}). Delete its folder."
        ) from None
