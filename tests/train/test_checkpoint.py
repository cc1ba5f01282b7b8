"""Which folders count as checkpoints, in the one place that says so, and by what a model is known."""

import resource
import shutil
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from training_data import train  # noqa: E402

from tamis.base.errors import ConfigError, DataError, StorageError  # noqa: E402
from tamis.evaluate.model import checkpoint_fingerprint  # noqa: E402
from tamis.store.atomic import write_json  # noqa: E402
from tamis.store.location import Location, temporary_name  # noqa: E402
from tamis.store.shards import file_digest  # noqa: E402
from tamis.train import checkpoint  # noqa: E402


@pytest.fixture
def output(undisturbed: Location, tmp_path: Path) -> Location:
    """A finished training that a test may change: copies, for `copy_to` links files, and PyTorch writes in place."""
    shutil.copytree(undisturbed.path, tmp_path / "train")
    return Location(tmp_path / "train")


@pytest.mark.parametrize(
    "name", ["step_00000050.partial", ".step_00000050.4711-0a1b2c3d-1.tamis-tmp", "step_00000050 (copy)", "zzz"]
)
def test_only_whole_checkpoints_are_found(output: Location, name: str) -> None:
    """With every file in it, a folder of another name is none: it was not published under a step's name."""
    expected = checkpoint_fingerprint(output)
    newest = checkpoint.newest(output)
    for file in checkpoint.find(output)[0].files():
        file.copy_to(output / "checkpoints" / name / file.name)
    assert checkpoint.newest(output) == newest == output / "checkpoints" / "step_00000040"
    assert checkpoint_fingerprint(output) == checkpoint_fingerprint(newest) == expected
    assert checkpoint.load(output).config["step"] == 40


def test_a_folder_without_its_config_is_not_whole(output: Location) -> None:
    (output / "checkpoints" / "step_00000040" / "config.json").delete_file()
    assert checkpoint.newest(output).name == "step_00000030"


def test_steps_are_ordered_by_number(output: Location) -> None:
    for file in checkpoint.newest(output).files():
        file.copy_to(output / "checkpoints" / "step_123456789" / file.name)
    assert checkpoint.newest(output).name == "step_123456789"


def test_unfinished_checkpoints_are_deleted_when_a_training_goes_on(tokens: Location, output: Location) -> None:
    leftover = Location(temporary_name((output / "checkpoints" / "step_00000040").path))
    write_json(leftover / "model.pt", {})
    train(tokens, output)
    assert not leftover.exists() and len(checkpoint.find(output)) == 4


def test_a_model_is_known_by_its_training_and_step(undisturbed: Location, output: Location) -> None:
    first, last = checkpoint.find(output)[0], checkpoint.find(output)[-1]
    assert checkpoint_fingerprint(first) != checkpoint_fingerprint(last) == checkpoint_fingerprint(undisturbed)
    config = checkpoint.read_config(last)
    write_json(last / "config.json", config | {"fingerprint": "another training"})
    assert checkpoint_fingerprint(output) != checkpoint_fingerprint(undisturbed)


def test_a_model_of_unknown_origin_is_known_by_its_bytes(output: Location) -> None:
    folder = checkpoint.newest(output)
    config = checkpoint.read_config(folder)
    del config["fingerprint"]
    write_json(folder / "config.json", config)
    before = checkpoint_fingerprint(output)
    weights = (folder / "model.pt").read_bytes()
    (folder / "model.pt").delete_file()
    with pytest.raises(DataError, match=r"damaged checkpoint, a file is missing .*model\.pt"):
        checkpoint_fingerprint(output)
    (folder / "model.pt").path.write_bytes(weights + b"\0")
    assert checkpoint_fingerprint(output) != before


def test_no_checkpoint_names_the_way_on(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no checkpoint here\. Train first"):
        checkpoint_fingerprint(tmp_path)


SHAPES = {
    "another width": {"d_model": 48}, "more layers": {"num_layers": 3}, "no layers": {"num_layers": 0},
    "another vocabulary": {"vocab_size": 11}, "no heads": {"num_heads": 0}, "heads that do not fit": {"num_heads": 7},
    "a text": {"d_model": "wide"}, "an unknown field": {"colour": 3}, "no width": {"d_model": 0},
}  # fmt: skip


@pytest.mark.parametrize("name", SHAPES)
def test_weights_of_another_shape_are_one_clear_error(output: Location, name: str) -> None:
    folder = checkpoint.newest(output)
    config = checkpoint.read_config(folder)
    write_json(folder / "config.json", config | {"shape": config["shape"] | SHAPES[name]})
    with pytest.raises(DataError, match=r"step_00000040: damaged checkpoint, its files do not belong together"):
        checkpoint.load(output)


def test_files_of_another_kind_are_one_clear_error(output: Location) -> None:
    folder = checkpoint.newest(output)
    for weights in ({"x": torch.zeros(3)}, {}, {"tok_embeddings.weight": "no tensor"}):
        torch.save(weights, folder.path / "model.pt")
        with pytest.raises(DataError, match="do not belong together"):
            checkpoint.load(output)
    config = checkpoint.read_config(folder)
    del config["shape"]
    write_json(folder / "config.json", config)
    with pytest.raises(DataError, match=r"do not belong together \(KeyError: 'shape'\)"):
        checkpoint.load(output)


def test_a_training_does_not_go_on_from_another_shape(tokens: Location, output: Location) -> None:
    """As when a folder was copied from another training."""
    for folder in checkpoint.find(output):
        torch.save({"x": torch.zeros(3)}, folder.path / "model.pt")
        config = checkpoint.read_config(folder)
        config["files"]["model.pt"] = file_digest(folder / "model.pt")
        write_json(folder / "config.json", config)
    (output / "card.json").delete_file()
    with pytest.raises(DataError, match="do not belong together"):
        train(tokens, output)


def test_a_full_disk_is_told(tokens: Location, tmp_path: Path) -> None:
    """PyTorch's own writer raises RuntimeError. A limit on the size of files refuses writes as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64 << 10, hard))
    try:
        with pytest.raises(StorageError, match="the checkpoint could not be written: the disk is full"):
            train(tokens, Location(tmp_path / "train"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    train(tokens, Location(tmp_path / "train"))
    assert len(checkpoint.find(Location(tmp_path / "train"))) == 4
