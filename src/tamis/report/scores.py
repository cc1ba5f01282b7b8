"""Scores of a run and the comparison of two, brought into one shape whatever their writer left out."""

import math
from dataclasses import dataclass
from typing import Any

LOWER_IS_BETTER = ("bits_per_byte", "bpb", "loss", "perplexity", "nats", "error")


@dataclass(frozen=True, kw_only=True)
class Score:
    """One metric of one task. `low` and `high` are the interval, NaN when none was given."""

    task: str
    metric: str
    value: float
    low: float = math.nan
    high: float = math.nan
    num_examples: int = 0
    chance: float = math.nan

    @property
    def higher_is_better(self) -> bool:
        return is_higher_better(self.metric)


@dataclass(frozen=True, kw_only=True)
class Difference:
    """Candidate against baseline on one metric, turned so that a positive `gain` means the candidate is better."""

    task: str
    metric: str
    gain: float
    low: float
    high: float
    baseline: float = math.nan
    candidate: float = math.nan
    num_examples: int = 0

    @property
    def clear(self) -> bool:
        """Whether the interval excludes zero."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True, kw_only=True)
class Comparison:
    baseline: str
    candidate: str
    level: float
    differences: list[Difference]
    notes: list[str]


def is_higher_better(metric: str) -> bool:
    return not any(word in metric.lower() for word in LOWER_IS_BETTER)


def number(value: Any) -> float:
    """A finite or infinite float from JSON; anything else is NaN."""
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else math.nan


def first(data: dict[str, Any], *names: str) -> Any:
    """The first of these keys that is there and not null."""
    return next((data[name] for name in names if data.get(name) is not None), None)


def interval(data: dict[str, Any]) -> tuple[float, float]:
    """Ends of an interval written as `interval: [low, high]` or as `low` and `high`."""
    pair = first(data, "interval", "ci", "confidence_interval")
    if isinstance(pair, dict):
        pair = [first(pair, "low", "lower"), first(pair, "high", "upper")]
    if isinstance(pair, list | tuple) and len(pair) == 2:
        return number(pair[0]), number(pair[1])
    return number(first(data, "low", "lower", "ci_low")), number(first(data, "high", "upper", "ci_high"))


def read_scores(results: Any) -> list[Score]:
    """Scores of an evaluate/results.json, in the order of the file."""
    found: list[Score] = []
    for task, entry in _named(results.get("tasks") if isinstance(results, dict) else results):
        if not isinstance(entry, dict):
            if not math.isnan(number(entry)):
                found.append(Score(task=task, metric="score", value=number(entry)))
            continue
        metrics = entry.get("metrics")
        if metrics is None and first(entry, "value", "score") is not None:
            metrics = {str(entry.get("metric", "score")): entry}
        for metric, value in _named(metrics if metrics is not None else entry):
            score = _score(task, metric, value, entry)
            if score is not None:
                found.append(score)
    return found


def _named(items: Any) -> list[tuple[str, Any]]:
    """(name, entry) of a dict of entries or of a list of entries that carry their names."""
    if isinstance(items, dict):
        return [(str(name), entry) for name, entry in items.items()]
    if isinstance(items, list):
        rows = [item for item in items if isinstance(item, dict)]
        return [(str(first(row, "task", "name", "metric") or "score"), row) for row in rows]
    return []


def _score(task: str, metric: str, value: Any, entry: dict[str, Any]) -> Score | None:
    """A metric written as a bare number (its interval beside it, for the whole task) or as an object."""
    own = value if isinstance(value, dict) else {}
    amount = number(first(own, "value", "mean", "score") if own else value)
    context = ("num_examples", "n", "examples", "chance", "seed", "num_tokens", "num_bytes", "version", "few_shot")
    if math.isnan(amount) or (not own and (metric in context or metric.startswith(("low", "high", "num_", "ci_")))):
        return None
    low, high = interval(own or entry.get(f"{metric}_interval") or entry)
    size = number(first(own, "num_examples", "n", "examples") or first(entry, "num_examples", "n", "examples"))
    chance = number(first(own, "chance", "random_baseline") or first(entry, "chance", "random_baseline"))
    num_examples = 0 if math.isnan(size) else int(size)
    return Score(
        task=task, metric=metric, value=amount, low=low, high=high, num_examples=num_examples, chance=chance
    )  # fmt: skip


def read_comparison(data: dict[str, Any] | None) -> Comparison | None:
    """The comparison as `tamis compare` gives it; entries without a difference are left out."""
    if not isinstance(data, dict):
        return None
    differences = [
        difference
        for task, entry in _named(first(data, "differences", "tasks", "metrics", "comparisons"))
        if isinstance(entry, dict) and (difference := _difference(task, entry)) is not None
    ]
    if not differences and (alone := _difference(str(data.get("task", "")), data)) is not None:
        differences = [alone]
    level = number(first(data, "level", "confidence"))
    notes = data.get("notes") or []
    return Comparison(
        baseline=str(first(data, "baseline", "a") or "baseline"),
        candidate=str(first(data, "candidate", "b") or "candidate"),
        level=0.95 if math.isnan(level) else level,
        differences=differences,
        notes=[str(note) for note in (notes if isinstance(notes, list) else [notes])],
    )


def _difference(task: str, entry: dict[str, Any]) -> Difference | None:
    metric = str(entry.get("metric", task))
    baseline, candidate = number(entry.get("baseline")), number(entry.get("candidate"))
    raw = number(first(entry, "difference", "delta"))
    raw = candidate - baseline if math.isnan(raw) else raw
    if math.isnan(raw):
        return None
    low, high = interval(entry)
    better = entry.get("higher_is_better")
    if not (better if isinstance(better, bool) else is_higher_better(metric)):
        raw, low, high = -raw, -high, -low
    size = number(first(entry, "num_examples", "n", "examples", "items"))
    return Difference(
        task=task, metric=metric, gain=raw, low=low, high=high, baseline=baseline, candidate=candidate,
        num_examples=0 if math.isnan(size) else int(size),
    )  # fmt: skip
