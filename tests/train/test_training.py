"""Trainings end to end on a tiny dataset: books, resume after kill -9 bit for bit, refusals with a way on."""

import json
import math
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pytest

torch = pytest.importorskip("torch")

from tamis.base.errors import ConfigError, DataError  # noqa: E402
from tamis.store.tokens import TokenShardWriter, write_manifest  # noqa: E402
from tamis.train import checkpoint  # noqa: E402
from tamis.train.data import BatchLoader, Position  # noqa: E402
from tamis.train.loop import DivergenceError  # noqa: E402
from tamis.train.run import TrainConfig, run_training  # noqa: E402
from tamis.train.scales import get_scale  # noqa: E402
from tamis.train.settings import most_tokens  # noqa: E402

NUM_STEPS = 40
SETTINGS: dict[str, Any] = {
    "scale": "nano", "tokens": NUM_STEPS * 4 * 32, "sequence_length": 32, "batch_size": 4, "warmup_steps": 5,
    "num_checkpoints": 4, "device": "cpu", "threads": 1, "seed": 7,
}  # fmt: skip


def config(**changes: Any) -> TrainConfig:
    return TrainConfig.parse(SETTINGS | changes, "train")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """6,400 tokens in a run directory: documents that count upwards from a random start, which a model can learn."""
    run = tmp_path_factory.mktemp("run")
    folder = run / "05_tokenize" / "tokens"
    rng = np.random.default_rng(0)
    field = pa.field("token_ids", pa.list_(pa.int32()), metadata={b"vocab_size": b"50"})
    for shard in range(2):
        documents = [[(start + i) % 49 + 1 for i in range(99)] + [0] for start in rng.integers(0, 49, 32).tolist()]
        with TokenShardWriter(folder / f"{shard:05d}.bin") as writer:
            writer.write(pa.record_batch([pa.array(documents, field.type)], schema=pa.schema([field])))
    tokenizer = run / "made.json"
    tokenizer.write_bytes(orjson.dumps({"model": {"vocab": {str(i): i for i in range(50)}}}))
    write_manifest(folder, {"tokenizer": tokenizer})
    return run


@pytest.fixture(scope="module")
def undisturbed(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("undisturbed") / "train"
    run_training(config(), dataset, output)
    return output


def metrics_of(output: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (output / "metrics.jsonl").read_text().splitlines()]


def losses_of(output: Path) -> list[tuple[int, float, float, float]]:
    return [(line["step"], line["loss"], line["z_loss"], line["grad_norm"]) for line in metrics_of(output)]


def test_a_training_learns_and_keeps_books(dataset: Path, undisturbed: Path) -> None:
    lines = metrics_of(undisturbed)
    assert [line["step"] for line in lines] == list(range(1, NUM_STEPS + 1))
    assert [line["tokens"] for line in lines] == [128 * step for step in range(1, NUM_STEPS + 1)]
    assert set(lines[0]) == {"step", "tokens", "loss", "z_loss", "lr", "grad_norm", "tokens_per_second"}
    # At the start the loss is about ln(2048) of an untrained model; 40 steps teach which 50 ids exist, and more.
    assert lines[0]["loss"] > 7 and lines[-1]["loss"] < math.log(50)
    card = json.loads((undisturbed / "card.json").read_text())
    manifest = json.loads((dataset / "05_tokenize/tokens/manifest.json").read_text())
    assert card["kind"] == "model" and card["parents"] == [manifest["fingerprint"]] and card["seed"] == 7
    assert card["details"]["tokens"] == NUM_STEPS * 128 and card["details"]["steps"] == NUM_STEPS
    assert card["details"]["final_loss"] == lines[-1]["loss"] and card["details"]["num_params"] == 156_448


def test_checkpoints_hold_what_evaluation_needs(undisturbed: Path, dataset: Path) -> None:
    folders = checkpoint.find(undisturbed / "checkpoints")
    assert [folder.name for folder in folders] == [f"step_000000{step}" for step in (10, 20, 30, 40)]
    assert [(folder / "training.pt").exists() for folder in folders] == [False, False, False, True]
    loaded = checkpoint.load(undisturbed)
    assert loaded.config["step"] == 40 and loaded.config["num_tokens"] == 40 * 128 and loaded.sequence_length == 32
    assert loaded.tokenizer.read_bytes() == (dataset / "05_tokenize/tokens/tokenizer.json").read_bytes()
    settings = loaded.config["hyperparameters"]
    assert settings["learning_rate"] == 0.03 and settings["batch_size"] == 4 and "accumulation" not in settings
    assert loaded.config["num_steps"] == 40 and loaded.config["seed"] == 7 and loaded.config["scale"] == "nano"
    counting = torch.arange(1, 30)[None]
    with torch.no_grad():
        earlier, later = (
            torch.nn.functional.cross_entropy(checkpoint.load(folder).model(counting)[0, :-1], counting[0, 1:]).item()
            for folder in (folders[0], undisturbed)
        )
    assert later < earlier


def test_a_finished_training_returns_at_once(dataset: Path, undisturbed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tamis.train.run._train", None)
    card = run_training(config(threads=2, micro_batch_size=2), dataset / "05_tokenize" / "tokens", undisturbed)
    assert card.details["steps"] == NUM_STEPS


CHILD = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import test_training as t
from tamis.train import checkpoint
die = lambda: os.kill(os.getpid(), signal.SIGKILL)
when, calls, flush = sys.argv[4], [], checkpoint._flush
def counted(path):
    calls.append(path)
    if when == "saving" and len(calls) == 9:
        die()
    flush(path)
checkpoint._flush = counted
def progress(line):
    if when == str(line["step"]):
        die()
t.run_training(t.config(), Path(sys.argv[2]), Path(sys.argv[3]), progress)
"""


@pytest.mark.parametrize("when", ["3", "23", "saving"])
def test_a_killed_training_goes_on_bit_for_bit(dataset: Path, undisturbed: Path, tmp_path: Path, when: str) -> None:
    output = tmp_path / "train"
    command = [sys.executable, "-c", CHILD, str(Path(__file__).parent), str(dataset), str(output), when]
    child = subprocess.run(command, capture_output=True, text=True, check=False)
    assert child.returncode == -signal.SIGKILL, child.stderr
    before = losses_of(output)
    assert 0 < len(before) < NUM_STEPS and not (output / "card.json").exists()
    with (output / "metrics.jsonl").open("ab") as file:
        file.write(b'{"step": 99, "lo')
    seen: list[int] = []
    run_training(config(), dataset, output, lambda line: seen.append(line["step"]))
    resumed_from = {"3": 0, "23": 20, "saving": 10}[when]
    assert seen == list(range(resumed_from + 1, NUM_STEPS + 1))
    assert losses_of(output) == losses_of(undisturbed)
    assert (output / "card.json").read_bytes() == (undisturbed / "card.json").read_bytes()
    ours, theirs = checkpoint.load(output).model.state_dict(), checkpoint.load(undisturbed).model.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert not list((output / "checkpoints").glob("*.partial"))


def test_other_settings_start_over_and_delete_nothing(dataset: Path, tmp_path: Path) -> None:
    output = tmp_path / "train"
    short = {"tokens": 10 * 128, "num_checkpoints": 1}
    first = run_training(config(**short), dataset, output)
    second = run_training(config(**short, learning_rate=1e-3), dataset, output)
    assert first.fingerprint != second.fingerprint and len(metrics_of(output)) == 10
    aside = tmp_path / f"train.{first.fingerprint[:8]}"
    assert json.loads((aside / "card.json").read_text())["fingerprint"] == first.fingerprint
    assert checkpoint.load(aside).config["step"] == 10 and len(metrics_of(aside)) == 10


def test_seeds_change_weights_and_order(dataset: Path, undisturbed: Path, tmp_path: Path) -> None:
    run_training(config(seed=8, tokens=10 * 128), dataset, tmp_path / "train")
    assert losses_of(tmp_path / "train")[0][1] != losses_of(undisturbed)[0][1]


def test_too_few_tokens_names_both_ways_on(dataset: Path, tmp_path: Path) -> None:
    wanted = 100 * 128
    with pytest.raises(ConfigError, match=r"has 6,400 tokens.*6,144 once.*12,800.*multiple_data_passes: true"):
        run_training(config(tokens=wanted), dataset, tmp_path / "train")
    scale = replace(get_scale("nano"), sequence_length=32, batch_size=4)
    assert most_tokens(6400, scale) == 6400 // 33 // 4 * 4 * 32 == 6144
    card = run_training(config(tokens=6144), dataset, tmp_path / "train")
    assert card.details["tokens"] == 6144
    passes = config(tokens=wanted, multiple_data_passes=True, num_checkpoints=1)
    assert run_training(passes, dataset, tmp_path / "passes").details["steps"] == 100


def test_the_loader_uses_each_window_once_per_pass_and_resumes(dataset: Path) -> None:
    folder = dataset / "05_tokenize" / "tokens"
    loader = BatchLoader(folder, 32, 10, seed=1)
    count = loader.dataset.num_windows
    assert count % 10 != 0
    rows = torch.cat([loader.next() for _ in range(3 * count // 10)])
    stored = sorted(loader.dataset.window(i).tolist() for i in range(count))
    for epoch in range(2):
        assert sorted(rows[epoch * count : (epoch + 1) * count].tolist()) == stored
    assert not torch.equal(rows[:count], rows[count : 2 * count])
    resumed = BatchLoader(folder, 32, 7, seed=1)
    resumed.at = Position(1, count - 3)
    assert torch.equal(resumed.next(), rows[2 * count - 3 : 2 * count + 4])


def test_a_loss_that_is_no_number_stops_the_training(dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(DivergenceError, match=r"stopped at step \d+.*train\.learning_rate \(now 1e\+38\)"):
        run_training(config(learning_rate=1e38, warmup_steps=0), dataset, tmp_path / "train")
    assert checkpoint.find(tmp_path / "train" / "checkpoints") == []
    assert not (tmp_path / "train" / "card.json").exists()
    assert all(math.isfinite(line["loss"]) for line in metrics_of(tmp_path / "train"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scale": "nanno"}, "did you mean 'nano'"),
        ({"vocab_size": 49}, "49 token ids, the data's tokenizer has 50"),
        ({"warmup_steps": 40}, "40 steps of 4 × 32.*40 are warm-up"),
        ({"final_learning_rate": 1.0}, "above the peak"),
        ({"learning_rat": 1.0}, "did you mean 'learning_rate'"),
        ({"tokens": -1}, r"train\.tokens"),
    ],
)
def test_wrong_settings_are_told(dataset: Path, tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        run_training(config(**changes), dataset, tmp_path / "train")


def test_what_is_missing_is_told(dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="no token shards here"):
        run_training(config(), tmp_path, tmp_path / "train")
    with pytest.raises(ConfigError, match="no checkpoint here"):
        checkpoint.load(tmp_path)
    if not torch.cuda.is_available():
        with pytest.raises(ConfigError, match="no CUDA device"):
            run_training(config(device="cuda"), dataset, tmp_path / "train")
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ConfigError, match=r"pip install 'tamis\[train\]'"):
        run_training(config(), dataset, tmp_path / "train")


def test_damaged_checkpoints_are_named(dataset: Path, tmp_path: Path) -> None:
    run_training(config(tokens=10 * 128, num_checkpoints=1), dataset, tmp_path / "train")
    [folder] = checkpoint.find(tmp_path / "train" / "checkpoints")
    weights = (folder / "model.pt").read_bytes()
    (folder / "model.pt").write_bytes(weights[: len(weights) // 2])
    with pytest.raises(DataError, match=r"model\.pt: damaged"):
        checkpoint.load(tmp_path / "train")
    (folder / "config.json").write_text("{")
    with pytest.raises(DataError, match=r"damaged checkpoint, config\.json"):
        checkpoint.load(tmp_path / "train")


def test_training_settings_load_without_torch() -> None:
    script = "import sys, tamis.train.run; print('torch' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=os.environ)
    assert out.stdout.strip() == "False"
