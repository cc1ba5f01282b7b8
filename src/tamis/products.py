"""What is made from a finished run: a tokenizer, held-out tasks, a model, its scores, a comparison, a report."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml

from tamis.base import columns
from tamis.base.errors import ConfigError, DataError
from tamis.base.events import Event
from tamis.store.atomic import read_json, write_json
from tamis.store.rundir import RunDir, open_run
from tamis.store.shards import read_shard

OnEvent = Callable[[Event], None]

COMPARISON_SEED = 0


def tokens_folder(run: RunDir) -> Path:
    """Folder of the run's token shards."""
    for folder in reversed(run.stage_folders()):
        if (run.stage(folder).tokens / "manifest.json").exists():
            return run.stage(folder).tokens
    raise ConfigError(
        f"{run.root}: no token shards here. The recipe needs a 'tokenize' stage, and must have run to it."
    )


def dataset_folder(run: RunDir) -> Path:
    """Folder of the Parquet shards that came out of the last stage that kept any."""
    for folder in reversed(run.stage_folders()):
        if (run.root / folder / "shards").is_dir():
            return run.root / folder / "shards"
    raise DataError(f"{run.root}: no finished stage here. Run it first: tamis run RECIPE --output {run.root}")


def make_tokenizer(run: RunDir, output: Path, vocab_size: int) -> Path:
    """Train a byte-level BPE tokenizer on the run's documents."""
    from tamis.stages.tokenize.bpe import train_tokenizer

    train_tokenizer(_texts(dataset_folder(run)), vocab_size, output)
    return output


def own_tokenizer(run: RunDir, documents: Path, vocab_size: int, identity: list[str]) -> Path:
    """`tokenizer.json` in the run directory, trained on `documents` unless `identity` says that it was before."""
    path, card = run.root / "tokenizer.json", run.root / "tokenizer.card.json"
    wanted = {"vocab_size": vocab_size, "trained_on": identity}
    if not (path.exists() and card.exists() and read_json(card) == wanted):
        from tamis.stages.tokenize.bpe import train_tokenizer

        card.unlink(missing_ok=True)
        train_tokenizer(_texts(documents), vocab_size, path)
        write_json(card, wanted)
    return path


def _texts(shards: Path) -> Iterator[str]:
    for path in sorted(shards.glob("*.parquet")):
        for batch in read_shard(path, [columns.TEXT]):
            yield from batch.column(columns.TEXT).to_pylist()


def make_heldout(run: RunDir, output: Path | None, seed: int) -> Path:
    """Held-out tasks from the documents of a run of the held-out part of a pool."""
    from tamis.evaluate.heldout import build_heldout

    place = output or run.root / "tasks"
    build_heldout(dataset_folder(run), place, seed)
    return place


def train_model(run: RunDir, settings: dict[str, Any], on_event: OnEvent) -> None:
    """Train on the run's token shards into `train/`. Raises ConfigError when the run has none."""
    _need_torch()
    from tamis.train.run import TrainConfig, run_training

    config = TrainConfig.parse(settings, "train")
    tokens = tokens_folder(run)
    _tell(run, on_event, "step_started", "train")
    run_training(config, tokens, run.train, lambda line: _tell_training(on_event, line))
    _tell(run, on_event, "step_finished", "train")


def evaluate_model(run: RunDir, heldout: Path, settings: dict[str, Any], on_event: OnEvent) -> None:
    """Evaluate the run's model on the held-out tasks in `heldout` into `evaluate/`."""
    _need_torch()
    from tamis.evaluate.run import EvaluateConfig, run_evaluation

    config = EvaluateConfig.parse(settings, "evaluate")
    _tell(run, on_event, "step_started", "evaluate")
    run_evaluation(config, run.train, heldout, run.evaluate, lambda line: _tell_evaluation(on_event, line))
    _tell(run, on_event, "step_finished", "evaluate")


def _need_torch() -> None:
    try:
        import torch  # noqa: F401
    except ImportError:
        raise ConfigError("training and evaluation need PyTorch. Install it with: pip install 'tamis[train]'") from None


def _tell(run: RunDir, on_event: OnEvent, kind: str, stage: str) -> None:
    event = Event(kind=kind, fields={"stage": stage})
    run.log(event)
    on_event(event)


def _tell_training(on_event: OnEvent, line: dict[str, Any]) -> None:
    text = f"loss {line['loss']:.3f}, {line['tokens_per_second']:,.0f} tokens/s"
    fields = {"stage": "train", "done": line["step"], "total": line["total_steps"], "unit": "steps", "text": text}
    on_event(Event(kind="progress", fields=fields))


def _tell_evaluation(on_event: OnEvent, line: dict[str, Any]) -> None:
    fields = {"stage": "evaluate", "done": line["done"], "total": line["total"], "unit": "items", "text": line["task"]}
    on_event(Event(kind="progress", fields=fields))


def parse_fields(assignments: list[str]) -> dict[str, Any]:
    """`["seed=1", "device=cpu"]` -> a mapping. Raises ConfigError for an assignment without '='."""
    out = {}
    for assignment in assignments:
        name, equals, value = assignment.partition("=")
        if not equals:
            raise ConfigError(f"--set {assignment}: expected field=value")
        out[name.strip()] = yaml.safe_load(value)
    return out


def read_scores(run: RunDir) -> dict[str, Any]:
    """The run's evaluation results. Raises ConfigError when it has not been evaluated."""
    return dict(read_json(_scores(run)))


def _scores(run: RunDir) -> Path:
    path = run.evaluate / "results.json"
    if not path.exists():
        raise ConfigError(f"{run.root}: not evaluated yet. Do so with: tamis eval {run.root} --heldout TASKS")
    return path


def compare_runs(a: Path, b: Path) -> dict[str, Any]:
    """Paired comparison of two evaluated runs; also written to B's directory as comparison.json."""
    from tamis.evaluate.comparable import named_sides
    from tamis.evaluate.compare import compare

    run_a, run_b = open_run(a), open_run(b)
    sides = named_sides([(_name(run), [_scores(run).parent]) for run in (run_a, run_b)])
    result = compare(sides, seed=COMPARISON_SEED)
    write_json(run_b.root / "comparison.json", result)
    return result


def _name(run: RunDir) -> str:
    return str(yaml.safe_load(run.recipe.read_text(encoding="utf-8"))["name"])


def write_report(paths: list[Path], output: Path | None) -> Path:
    """The report of one or more runs; where exactly two are evaluated on the same tasks, with their comparison."""
    from tamis.report.page import build_report

    runs = [open_run(path) for path in paths]
    evaluated = [run.root for run in runs if (run.evaluate / "results.json").exists()]
    comparison = compare_runs(evaluated[0], evaluated[1]) if len(evaluated) == 2 else None
    return build_report([run.root for run in runs], output or runs[-1].report, comparison)


def show_duplicates(
    path: Path, stage: str | None, cluster: str | None, top: int, output: Path | None
) -> tuple[dict[str, Any], Path]:
    """What a run's dedup step found, as data and as a page (`dups.html` in the run unless `output` says where)."""
    from tamis.report.duplicates import find_duplicates
    from tamis.report.duplicates_page import write_page

    run = open_run(path)
    found = find_duplicates(run, stage, cluster, top)
    return found.to_dict(), write_page(found, output or run.root / "dups.html")
