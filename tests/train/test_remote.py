"""Trainings whose output and data lie on an object store: in memory, and on a real S3 server on this machine."""

from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from training_data import NUM_STEPS, losses_of, metrics_of, train  # noqa: E402

from tamis.store.location import Location, filesystem  # noqa: E402
from tamis.train import checkpoint  # noqa: E402


class KilledError(Exception):
    """Ends a training from its progress."""


def stopped_at(step: int) -> Any:
    def on_progress(line: dict[str, Any]) -> None:
        if line["step"] == step and "loss" in line:
            raise KilledError

    return on_progress


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAMIS_CACHE", str(tmp_path / "cache"))


def copy_folder(source: Location, target: Location) -> Location:
    for file in source.files():
        file.copy_to(target / file.relative_to(source))
    return target


@pytest.mark.parametrize("store", ["memory", "s3"])
def test_a_training_stopped_on_an_object_store_goes_on_bit_for_bit(
    store: str, tokens: Location, undisturbed: Location, request: pytest.FixtureRequest
) -> None:
    place = Location(request.getfixturevalue(store))
    output, data = place / "artefacts" / "train-1", copy_folder(tokens, place / "tokens")
    with pytest.raises(KilledError):
        train(data, output, stopped_at(23))
    assert [folder.name for folder in checkpoint.find(output)] == ["step_00000010", "step_00000020"]
    assert not (output / "card.json").exists() and len(metrics_of(output)) == 23
    seen: list[int] = []
    train(data, output, lambda line: seen.append(line["step"]))
    assert seen == list(range(20, NUM_STEPS + 1))
    assert losses_of(output) == losses_of(undisturbed)
    assert (output / "card.json").read_bytes() == (undisturbed / "card.json").read_bytes()
    ours, theirs = checkpoint.load(output).model.state_dict(), checkpoint.load(undisturbed).model.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    names = {file.relative_to(output) for file in output.files()}
    assert names == {file.relative_to(undisturbed) for file in undisturbed.files()}


def test_an_interrupted_upload_is_no_checkpoint(
    tokens: Location, undisturbed: Location, memory: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process dies while the checkpoint of step 20 goes up: its metrics are there, one of its files is not."""
    output, fs = Location(memory) / "train", filesystem("memory://")
    put_file = fs.put_file

    def put(local: str, target: str) -> None:
        if "step_00000020" in target and target.endswith("training.pt"):
            raise KilledError
        put_file(local, target)

    monkeypatch.setattr(fs, "put_file", put)
    with pytest.raises(KilledError):
        train(tokens, output)
    monkeypatch.undo()
    assert (output / "checkpoints" / "step_00000020" / "model.pt").exists()
    assert [folder.name for folder in checkpoint.find(output)] == ["step_00000010"]
    assert len(metrics_of(output)) == 20
    train(tokens, output)
    assert losses_of(output) == losses_of(undisturbed) and len(checkpoint.find(output)) == 4
