"""Trainings end to end on a tiny dataset: what is recorded, resume after kill -9 bit for bit, and refusals."""

import ast
import inspect
import itertools
import math
import os
import re
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from training_data import NUM_STEPS, config, losses_of, metrics_of, train  # noqa: E402

from tamis.base.errors import ConfigError, DataError  # noqa: E402
from tamis.store.atomic import read_json  # noqa: E402
from tamis.store.location import Location, is_temporary  # noqa: E402
from tamis.train import checkpoint  # noqa: E402
from tamis.train.data import BatchLoader, Position  # noqa: E402
from tamis.train.loop import DivergenceError  # noqa: E402
from tamis.train.run import progress_text, resolve, run_training  # noqa: E402
from tamis.train.scales import get_scale  # noqa: E402
from tamis.train.settings import TrainConfig, check, most_tokens  # noqa: E402


def test_a_training_learns_and_records_it(tokens: Location, undisturbed: Location) -> None:
    lines = metrics_of(undisturbed)
    assert [line["step"] for line in lines] == list(range(1, NUM_STEPS + 1))
    assert [line["tokens"] for line in lines] == [128 * step for step in range(1, NUM_STEPS + 1)]
    assert set(lines[0]) == {"step", "tokens", "loss", "z_loss", "lr", "grad_norm", "tokens_per_second"}
    # At the start the loss is about ln(2048) of an untrained model; 40 steps teach which 50 ids exist, and more.
    assert lines[0]["loss"] > 7 and lines[-1]["loss"] < math.log(50)
    card = read_json(undisturbed / "card.json")
    manifest = read_json(tokens / "manifest.json")
    assert card["kind"] == "model" and card["parents"] == [manifest["fingerprint"]] and card["seed"] == 7
    assert card["details"]["final_loss"] == lines[-1]["loss"] and card["details"]["num_params"] == 156_448


def test_card_and_checkpoints_say_what_was_trained_on_what(tokens: Location, undisturbed: Location) -> None:
    training, manifest = resolve(config(), tokens), read_json(tokens / "manifest.json")
    expected = {
        "fingerprint": training.fingerprint, "scale": "nano", "seed": 7, "num_steps": NUM_STEPS,
        "num_tokens": NUM_STEPS * 128, "num_params": 156_448, "sequence_length": 32,
        "dataset": manifest["fingerprint"], "tokenizer": manifest["tokenizer"]["blake2b"],
        "hyperparameters": training.hyperparameters,
    }  # fmt: skip
    assert expected.items() <= read_json(undisturbed / "card.json")["details"].items()
    for step, folder in zip((10, 20, 30, 40), checkpoint.find(undisturbed), strict=True):
        assert (expected | {"step": step, "num_tokens": step * 128}).items() <= checkpoint.read_config(folder).items()


def test_hyperparameters_leave_out_seed_data_size_and_round_off(tokens: Location) -> None:
    def hyperparameters(**changes: Any) -> dict[str, Any]:
        return resolve(config(**changes), tokens).hyperparameters

    first = resolve(config(), tokens)
    assert replace(first, dataset_fingerprint="other").hyperparameters == first.hyperparameters
    for change in ({"seed": 8}, {"threads": 2, "micro_batch_size": 1}, {"num_checkpoints": 2}, {"vocab_size": 64}):
        assert hyperparameters(**change) == first.hyperparameters, change
    decisive: list[dict[str, Any]] = [
        {"learning_rate": 1e-3}, {"final_learning_rate": 1e-3}, {"batch_size": 2}, {"weight_decay": 0.5},
        {"warmup_steps": 4}, {"z_loss": 0.0},
    ]  # fmt: skip
    for change in decisive:
        assert hyperparameters(**change) != first.hyperparameters, change
    fingerprints = [resolve(config(**change), tokens).fingerprint for change in [*decisive, {"seed": 8}, {}]]
    assert len(set(fingerprints)) == len(fingerprints)


def test_checkpoints_hold_what_evaluation_needs(tokens: Location, undisturbed: Location) -> None:
    folders = checkpoint.find(undisturbed)
    assert [folder.name for folder in folders] == [f"step_000000{step}" for step in (10, 20, 30, 40)]
    assert [(folder / "training.pt").exists() for folder in folders] == [False, False, False, True]
    loaded = checkpoint.load(undisturbed)
    assert loaded.config["step"] == 40 and loaded.sequence_length == 32
    assert loaded.tokenizer.read_bytes() == (tokens / "tokenizer.json").read_bytes()
    counting = torch.arange(1, 30)[None]
    with torch.no_grad():
        earlier, later = (
            torch.nn.functional.cross_entropy(checkpoint.load(folder).model(counting)[0, :-1], counting[0, 1:]).item()
            for folder in (folders[0], undisturbed)
        )
    assert later < earlier


def test_a_training_that_only_lacks_its_card_takes_no_step(
    tokens: Location, undisturbed: Location, tmp_path: Path
) -> None:
    output = Location(tmp_path / "train")
    for file in undisturbed.files():
        file.copy_to(output / file.relative_to(undisturbed))
    (output / "card.json").delete_file()
    seen: list[dict[str, Any]] = []
    train(tokens, output, seen.append)
    assert [line["step"] for line in seen] == [NUM_STEPS] and "threads" in seen[0]
    assert (output / "card.json").read_bytes() == (undisturbed / "card.json").read_bytes()


CHILD = """
import os, signal, sys
sys.path.insert(0, sys.argv[1])
from training_data import train
from tamis.store import atomic
from tamis.store.location import Location
die = lambda: os.kill(os.getpid(), signal.SIGKILL)
when, calls, flush = sys.argv[4], [], atomic.flush_to_disk
def counted(path):
    if "step_00000020" in str(path):
        calls.append(path)
    if when == "saving" and len(calls) == 3:
        die()
    flush(path)
atomic.flush_to_disk = counted
def progress(line):
    if when == str(line["step"]):
        die()
train(Location(sys.argv[2]), Location(sys.argv[3]), progress)
"""


def unfinished(output: Location) -> list[str]:
    """Names of checkpoints that were being written; a location does not list them."""
    folder = (output / "checkpoints").path
    return [path.name for path in folder.iterdir() if is_temporary(path.name)] if folder.exists() else []


@pytest.mark.parametrize("when", ["3", "23", "saving"])
def test_a_killed_training_goes_on_bit_for_bit(
    tokens: Location, undisturbed: Location, tmp_path: Path, when: str
) -> None:
    output = Location(tmp_path / "train")
    command = [sys.executable, "-c", CHILD, str(Path(__file__).parent), str(tokens), str(output), when]
    child = subprocess.run(command, capture_output=True, text=True, check=False)
    assert child.returncode == -signal.SIGKILL, child.stderr
    before = losses_of(output)
    assert 0 < len(before) < NUM_STEPS and not (output / "card.json").exists()
    assert len(unfinished(output)) == (1 if when == "saving" else 0)
    with (output / "metrics.jsonl").path.open("ab") as file:
        file.write(b'{"step": 99, "lo')
    seen: list[int] = []
    train(tokens, output, lambda line: seen.append(line["step"]))
    resumed_from = {"3": 0, "23": 20, "saving": 10}[when]
    assert seen == list(range(resumed_from, NUM_STEPS + 1))
    assert losses_of(output) == losses_of(undisturbed)
    assert (output / "card.json").read_bytes() == (undisturbed / "card.json").read_bytes()
    ours, theirs = checkpoint.load(output).model.state_dict(), checkpoint.load(undisturbed).model.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert unfinished(output) == []


@pytest.mark.parametrize(
    "file", [f"checkpoints/step_000000{name}" for name in ("10/model.pt", "20/tokenizer.json", "30/config.json",
                                                         "40/model.pt", "40/training.pt")] + ["metrics.jsonl"],
)  # fmt: skip
def test_a_training_does_not_go_on_from_what_is_damaged(
    tokens: Location, undisturbed: Location, tmp_path: Path, file: str
) -> None:
    output = Location(tmp_path / "train")
    for whole in undisturbed.files():
        whole.copy_to(output / whole.relative_to(undisturbed))
    (output / "card.json").delete_file()
    data = bytearray((output / file).read_bytes())
    data[data.index(b"}") if file.endswith(("config.json", "metrics.jsonl")) else len(data) // 2] ^= 4
    (output / file).delete_file()
    (output / file).path.write_bytes(data)
    seen: list[dict[str, Any]] = []
    train(tokens, output, seen.append)
    assert progress_text(seen[0]) == f"{output / file} is damaged: the training begins again"
    assert [line["step"] for line in seen[1:]] == list(range(NUM_STEPS + 1))
    for name in ("card.json", *(f"checkpoints/step_00000040/{name}" for name in ("config.json", "model.pt"))):
        assert (output / name).read_bytes() == (undisturbed / name).read_bytes(), name


def test_a_damaged_tokenizer_is_not_trained_with(tokens: Location, tmp_path: Path) -> None:
    """Its copy would stand in every checkpoint, and scores would be of other tokens than those trained on."""
    copy = Location(tmp_path / "tokens")
    for file in tokens.files():
        file.copy_to(copy / file.relative_to(tokens))
    data = (copy / "tokenizer.json").read_bytes()
    (copy / "tokenizer.json").delete_file()
    (copy / "tokenizer.json").path.write_bytes(data.replace(b"12", b"13"))
    with pytest.raises(DataError, match=r"tokenizer\.json: this is not the tokenizer that the manifest describes"):
        train(copy, tmp_path / "train")


def test_seeds_change_weights_and_order(tokens: Location, undisturbed: Location, tmp_path: Path) -> None:
    output = Location(tmp_path / "train")
    train(tokens, output, settings=config(seed=8, tokens=10 * 128))
    assert losses_of(output)[0][1] != losses_of(undisturbed)[0][1]


def test_too_few_tokens_names_both_ways_on(tokens: Location, tmp_path: Path) -> None:
    wanted = 100 * 128
    with pytest.raises(ConfigError, match=r"has 6,400 tokens.*6,144 once.*12,800.*multiple_data_passes: true"):
        resolve(config(tokens=wanted), tokens)
    scale = replace(get_scale("nano"), sequence_length=32, batch_size=4)
    assert most_tokens(6400, scale) == 6400 // 33 // 4 * 4 * 32 == 6144
    card = train(tokens, Location(tmp_path / "train"), settings=config(tokens=6144))
    assert card.details["num_tokens"] == 6144
    passes = config(tokens=wanted, multiple_data_passes=True, num_checkpoints=1)
    assert train(tokens, Location(tmp_path / "passes"), settings=passes).details["num_steps"] == 100


def test_the_loader_uses_each_window_once_per_pass_and_resumes(tokens: Location) -> None:
    loader = BatchLoader(tokens, 32, 10, seed=1)
    count = loader.dataset.num_windows
    assert count % 10 != 0
    rows = torch.cat([loader.next() for _ in range(3 * count // 10)])
    stored = sorted(loader.dataset.window(i).tolist() for i in range(count))
    for epoch in range(2):
        assert sorted(rows[epoch * count : (epoch + 1) * count].tolist()) == stored
    assert not torch.equal(rows[:count], rows[count : 2 * count])
    resumed = BatchLoader(tokens, 32, 7, seed=1)
    resumed.at = Position(1, count - 3)
    assert torch.equal(resumed.next(), rows[2 * count - 3 : 2 * count + 4])


def test_a_loss_that_is_no_number_stops_the_training(tokens: Location, tmp_path: Path) -> None:
    output = Location(tmp_path / "train")
    with pytest.raises(DivergenceError, match=r"stopped at step \d+.*train\.learning_rate \(now 1e\+38\)"):
        train(tokens, output, settings=config(learning_rate=1e38, warmup_steps=0))
    assert checkpoint.find(output) == [] and not (output / "card.json").exists()
    assert all(math.isfinite(line["loss"]) for line in metrics_of(output))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scale": "nanno"}, r"train\.scale: no scale 'nanno' \(did you mean 'nano'"),
        ({"warmup_steps": 40}, r"train\.tokens: .* 40 steps of 4 × 32.*40 are warm-up"),
        ({"learning_rate": 1e-4}, r"train\.final_learning_rate: 0\.0003 is above.*Set .* to 1e-06"),
        ({"tokens": None, "batch_size": 1 << 20}, r"train\.tokens: .*lower train\.warmup_steps or train\.batch_size"),
        ({"learning_rat": 1.0}, r"train\.learning_rat: .*did you mean 'learning_rate'"),
        ({"tokens": -1}, r"train\.tokens: .*-1"),
        ({"threads": 0}, r"train\.threads: .*0"),
    ],
)
def test_wrong_settings_are_refused_before_there_is_data(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check(config(**changes))


def test_a_tokenizer_that_is_too_large_is_refused(tokens: Location) -> None:
    check(config(vocab_size=49))
    with pytest.raises(ConfigError, match=r"train\.vocab_size: .*49 token ids, the data's tokenizer has 50"):
        resolve(config(vocab_size=49), tokens)


def test_what_is_missing_is_reported(tokens: Location, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = Location(tmp_path)
    with pytest.raises(ConfigError, match="no token shards here"):
        resolve(config(), place)
    with pytest.raises(ConfigError, match="no checkpoint here"):
        checkpoint.load(place)
    if not torch.cuda.is_available():
        with pytest.raises(ConfigError, match=r"train\.device: .*no CUDA device"):
            train(tokens, place / "train", settings=config(device="cuda"))
    training = resolve(config(), tokens)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ConfigError, match=r"pip install 'tamis\[train\]'"):
        run_training(training, config(), tokens, place / "train")


def test_damaged_checkpoints_are_named(tokens: Location, tmp_path: Path) -> None:
    output = Location(tmp_path / "train")
    train(tokens, output, settings=config(tokens=10 * 128, num_checkpoints=1))
    [folder] = checkpoint.find(output)
    weights = (folder / "model.pt").read_bytes()
    (folder / "model.pt").path.write_bytes(weights[: len(weights) // 2])
    with pytest.raises(DataError, match=r"model\.pt: damaged"):
        checkpoint.load(output)
    (folder / "model.pt").delete_file()
    with pytest.raises(DataError, match=r"model\.pt: damaged"):
        checkpoint.load(output)
    (folder / "config.json").path.write_text("{")
    with pytest.raises(DataError, match=r"damaged checkpoint, config\.json"):
        checkpoint.load(output)


def test_every_setting_is_documented_with_its_default() -> None:
    guide = (Path(__file__).parents[2] / "docs" / "08-train.md").read_text(encoding="utf-8")
    section = guide.partition("## Settings")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \| (.*?) \|$", section, re.MULTILINE)
    documented = {name: default for name, default, _ in rows}
    assert list(documented) == list(TrainConfig.model_fields)
    for name, field in TrainConfig.model_fields.items():
        words = "required" if field.is_required() else "the scale's" if field.default is None else str(field.default)
        assert documented[name].strip("`").lower() == ("measured" if name == "threads" else words.lower()), name
    (definition,) = ast.parse(inspect.getsource(TrainConfig)).body
    assert isinstance(definition, ast.ClassDef)
    # The string behind a field is its docstring.
    explained = [
        field.target.id
        for field, text in itertools.pairwise(definition.body)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        and isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant)
    ]  # fmt: skip
    assert explained == list(TrainConfig.model_fields)


def test_progress_in_words() -> None:
    line = {"step": 3, "total_steps": 9, "loss": 3.21449, "tokens_per_second": 51234.5}
    assert progress_text(line) == "loss 3.214, 51,234 tokens/s"
    assert progress_text({"step": 0, "total_steps": 9, "threads": "1 thread"}) == "training with 1 thread"


def test_planning_and_finding_need_no_torch() -> None:
    script = "import sys, tamis.train.run, tamis.train.checkpoint, tamis.evaluate.model; print('torch' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=os.environ)
    assert out.stdout.strip() == "False"
