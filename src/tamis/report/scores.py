"""Scores of a run (evaluate/results.json) and the comparison of two, as typed values."""

import math
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Score:
    """The metric of one task. `low` and `high` are the interval; what is not known is NaN, or 0 items."""

    task: str
    metric: str
    value: float
    low: float
    high: float
    higher_is_better: bool
    num_items: int
    chance: float


@dataclass(frozen=True, kw_only=True)
class Difference:
    """Candidate against baseline on one task, turned so that a positive `gain` means the candidate is better."""

    task: str
    metric: str
    gain: float
    low: float
    high: float
    baseline: float
    candidate: float
    num_items: int
    drawn: str
    """What the bootstrap drew: `41 hosts`; '' when not told."""
    p_value: float

    @property
    def clear(self) -> bool:
        """Whether the interval excludes zero."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """`level` is the confidence of the intervals, 0 to 1."""

    baseline: str
    candidate: str
    level: float
    differences: list[Difference]
    notes: list[str]


def prominence(entry: "Score | Difference") -> tuple[bool, bool, str]:
    """Sorting key: bits per byte of the held-out documents first, then other bits per byte, then the rest.

    It is the metric that moves at small scale, and it is named here, before any result is known, so that the headline
    of a report is never the task that happens to look best.
    """
    return entry.metric != "bits_per_byte", entry.task != "documents", entry.task


def number(value: Any) -> float:
    """A float from JSON; anything else is NaN."""
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else math.nan


def whole(value: Any) -> int:
    """An int from JSON; anything else is 0."""
    amount = number(value)
    return int(amount) if math.isfinite(amount) else 0


def as_dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def read_scores(results: Any) -> list[Score]:
    """{tasks: {task: {metric, value, low, high, num_items, higher_is_better, chance?}}}, most prominent first."""
    found = []
    for task, entry in as_dict(as_dict(results).get("tasks")).items():
        entry = as_dict(entry)
        if not math.isfinite(number(entry.get("value"))):
            continue
        found.append(
            Score(
                task=task,
                metric=str(entry.get("metric", "")),
                value=number(entry["value"]),
                low=number(entry.get("low")),
                high=number(entry.get("high")),
                higher_is_better=bool(entry.get("higher_is_better", True)),
                num_items=whole(entry.get("num_items")),
                chance=number(entry.get("chance")),
            )
        )
    return sorted(found, key=prominence)


def read_comparison(data: dict[str, Any] | None) -> Comparison | None:
    """What `tamis.evaluate.compare.compare` returns: `a` is the baseline, `b` the candidate."""
    if data is None:
        return None
    differences = [
        _difference(task, entry)
        for task, entry in as_dict(data.get("tasks")).items()
        if isinstance(entry, dict) and math.isfinite(number(entry.get("difference")))
    ]
    return Comparison(
        baseline=str(data.get("a", "a")),
        candidate=str(data.get("b", "b")),
        level=number(data.get("confidence")),
        differences=sorted(differences, key=prominence),
        notes=[str(note) for note in as_list(data.get("notes"))],
    )


def _difference(task: str, entry: dict[str, Any]) -> Difference:
    gain, low, high = (number(entry.get(name)) for name in ("difference", "low", "high"))
    if not entry.get("higher_is_better", True):
        gain, low, high = -gain, -high, -low
    clusters, unit = whole(entry.get("num_clusters")), str(entry.get("cluster_unit", ""))
    return Difference(
        task=task, metric=str(entry.get("metric", "")), gain=gain, low=low, high=high,
        baseline=number(entry.get("a")), candidate=number(entry.get("b")), num_items=whole(entry.get("num_items")),
        drawn=f"{clusters} {unit}s" if clusters and unit else "", p_value=number(entry.get("p_value")),
    )  # fmt: skip
