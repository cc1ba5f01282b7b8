"""Which of two models is better, and by how much: paired over items, drawn by host and by training seed.

Both sides answered the same items, so the difference of each item is what is resampled: most of what makes a page easy
or hard cancels. Several training seeds per side say how much of a difference is luck of the training run; with one
seed that part is unknown, and the result says so.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tamis.base.cards import Card
from tamis.base.errors import ConfigError, DataError
from tamis.base.seeds import named_rng
from tamis.evaluate.results import ItemTable, read_items
from tamis.evaluate.run import CARD, ITEMS, RESULTS
from tamis.evaluate.statistics import CONFIDENCE, Clusters, bootstrap
from tamis.store.atomic import read_json

TOKEN_TOLERANCE_FRACTION = 0.001
"""Token counts this near are the same: training stops at whole batches."""

SCORING_SETTINGS = ("suite", "window_overlap_fraction")
"""Settings that change scores; the others change intervals only."""

Paths = Path | str | Sequence[Path | str]


@dataclass(frozen=True)
class Evaluation:
    """One finished evaluation: its folder, results and card."""

    folder: Path
    tasks: dict[str, Any]
    card: Card

    @classmethod
    def open(cls, path: Path) -> "Evaluation":
        """`path`: the folder, or the results.json in it. Raises ConfigError when there is no finished evaluation."""
        folder = path.parent if path.name == RESULTS else path
        if not (folder / RESULTS).is_file() or not (folder / CARD).is_file():
            raise ConfigError(f"{folder}: no finished evaluation here ({RESULTS} and {CARD}). Evaluate first.")
        try:
            card = Card.from_dict(read_json(folder / CARD))
            return cls(folder, read_json(folder / RESULTS)["tasks"], card)
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f"{folder}: {RESULTS} or {CARD} is damaged ({error!r}). Evaluate again.") from error

    @property
    def heldout(self) -> str:
        return self.card.parents[1]

    @property
    def num_tokens(self) -> int | None:
        """Tokens the model was trained on, where its checkpoint says."""
        found = self.card.details.get("model", {}).get("num_tokens")
        return None if found is None else int(found)

    def items(self, task: str) -> ItemTable:
        return read_items(self.folder / ITEMS / f"{task}.jsonl")


def compare(
    results_a: Paths, results_b: Paths, names: Sequence[str], num_resamples: int = 10_000, seed: int = 0
) -> dict[str, Any]:
    """Compare side b with side a on every task both have; `difference` is b - a.

    Each side is one evaluation folder, or a list of them, one per training seed. With as many seeds on both sides they
    are paired in the order given (as when both used the same seeds for start and order of data); otherwise each side's
    are drawn on their own. `names`: of a and b. Returns plain data: {a, b, confidence, num_seeds, same_tokens, notes,
    tasks: {task: {metric, a, b, difference, low, high, confidence, num_items, num_clusters, cluster_unit, p_value,
    higher_is_better, verdict}}}.
    Raises ConfigError when an evaluation is missing, was made on another held-out set or with other settings, or has
    other items; DataError when its files are damaged.
    """
    sides = [[Evaluation.open(path) for path in _listed(paths)] for paths in (results_a, results_b)]
    if not sides[0] or not sides[1]:
        raise ConfigError("compare: each side needs at least one evaluation.")
    _check_comparable([*sides[0], *sides[1]])
    tasks = {}
    for task in sides[0][0].tasks:
        tables = [[evaluation.items(task) for evaluation in side] for side in sides]
        rng = named_rng(seed, "compare", task)
        tasks[task] = _compare_task(task, sides[0][0].tasks[task], tables, names, num_resamples, rng)
    same_tokens = _same_tokens([*sides[0], *sides[1]])
    num_seeds = [len(side) for side in sides]
    units = {entry["cluster_unit"] for entry in tasks.values()}
    return {
        "a": names[0],
        "b": names[1],
        "confidence": CONFIDENCE,
        "num_seeds": num_seeds,
        "same_tokens": same_tokens,
        "notes": _notes(num_seeds, same_tokens, units),
        "tasks": tasks,
    }


def _compare_task(
    task: str,
    about: dict[str, Any],
    tables: list[list[ItemTable]],
    names: Sequence[str],
    num_resamples: int,
    rng: np.random.Generator,
) -> dict[str, Any]:
    first = tables[0][0]
    for table in [*tables[0], *tables[1]]:
        if table.ids != first.ids or not np.array_equal(table.weights, first.weights):
            raise ConfigError(f"compare: the evaluations of '{task}' have different items. Evaluate both again.")
    clusters = Clusters.of(first.hosts, first.weights)
    weights = clusters.sums(first.weights)
    a, b = (clusters.sums(np.stack([table.values * table.weights for table in side])) for side in tables)
    sides = [(1.0, b - a)] if len(a) == len(b) else [(-1.0, a), (1.0, b)]
    result = bootstrap(sides, weights, rng, num_resamples)
    low, high = result.interval()
    return {
        "metric": about["metric"],
        "a": float(a.mean(axis=0).sum() / weights.sum()),
        "b": float(b.mean(axis=0).sum() / weights.sum()),
        "difference": result.estimate,
        "low": low,
        "high": high,
        "confidence": CONFIDENCE,
        "num_items": len(first.ids),
        "num_clusters": clusters.number,
        "cluster_unit": clusters.unit,
        "p_value": result.p_value(),
        "higher_is_better": about["higher_is_better"],
        "verdict": _verdict(low, high, about["higher_is_better"], names),
    }


def _verdict(low: float, high: float, higher_is_better: bool, names: Sequence[str]) -> str:
    if low <= 0 <= high:
        return f"no difference seen at {CONFIDENCE:.0%}".replace("%", " %")
    return f"{names[1] if (low > 0) == higher_is_better else names[0]} is better"


def _check_comparable(evaluations: Sequence[Evaluation]) -> None:
    first = evaluations[0]
    for other in evaluations[1:]:
        if other.heldout != first.heldout:
            raise ConfigError(
                f"compare: different held-out sets: {first.folder} was evaluated on {first.heldout}, {other.folder} on "
                f"{other.heldout}. Evaluate both on the same one."
            )
        if other.tasks.keys() != first.tasks.keys():
            raise ConfigError(
                f"compare: {first.folder} and {other.folder} have different tasks "
                f"({', '.join(sorted(first.tasks.keys() ^ other.tasks.keys()))} in only one). Evaluate both again."
            )
        changed = [name for name in SCORING_SETTINGS if other.card.config.get(name) != first.card.config.get(name)]
        if changed or other.card.version != first.card.version:
            what = f"setting '{changed[0]}'" if changed else "version of the evaluation"
            raise ConfigError(f"compare: {first.folder} and {other.folder} differ in {what}. Evaluate both again.")


def _same_tokens(evaluations: Sequence[Evaluation]) -> bool | None:
    """Whether all models saw the same number of training tokens; None when a checkpoint does not say."""
    counts = [evaluation.num_tokens for evaluation in evaluations]
    known = [count for count in counts if count is not None]
    if len(known) < len(counts):
        return None
    return max(known) - min(known) <= TOKEN_TOLERANCE_FRACTION * max(known)


def _notes(num_seeds: Sequence[int], same_tokens: bool | None, units: set[str]) -> list[str]:
    notes = []
    if max(num_seeds) == 1:
        notes.append("one training seed per side: the intervals leave out how much another seed would change")
    elif min(num_seeds) < 3:
        notes.append("fewer than three training seeds on a side: the spread between seeds is hardly known")
    if same_tokens is False:
        notes.append("the models were trained on different numbers of tokens, which the difference includes")
    if "item" in units:
        notes.append("too few hosts to draw them: pages were drawn as if independent, so intervals may be too narrow")
    return notes


def _listed(paths: Paths) -> list[Path]:
    return [Path(paths)] if isinstance(paths, str | Path) else [Path(path) for path in paths]
