"""DCLM's aggregates of task scores: CORE, EXTENDED and the means of categories.

A score is centred: guessing is 0 and perfection 1. Scores below guessing are negative and are not cut off. CORE is the
mean over the 22 tasks whose scores vary little between equal models, EXTENDED the mean over all 53 (arXiv 2406.11794,
section 3.5). The two differ between versions of the baselines: compare numbers of one version only.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import fmean

from tamis.base.errors import DataError
from tamis.evaluate.suite import BaselineVersion, Suite, load_suite


def centred(score: float, baseline: float) -> float:
    """`score` (a share, 0 to 1) so that `baseline` (in percent) becomes 0 and 1 stays 1."""
    return (score - baseline / 100) / (1 - baseline / 100)


@dataclass(frozen=True, kw_only=True)
class Aggregates:
    """Of one model, under one version of the baselines. None where a task that belongs to it has no score: a mean over
    the others would be a number of another kind."""

    core: float | None
    extended: float | None
    categories: dict[str, float | None]
    centred: dict[str, float]
    """Label of a task -> its centred score."""
    missing: list[str]
    """Labels of the tasks without a score."""


def aggregate(scores: Mapping[str, float], suite: Suite | None = None, version: BaselineVersion = "v2") -> Aggregates:
    """Aggregates of `scores`: label of a task -> its score as a share, 0 to 1. Scores of other tasks are left out.

    Raises DataError for a score that is no share, naming its task.
    """
    suite = suite or load_suite()
    for label in suite.labels:
        if label in scores and not 0 <= scores[label] <= 1:
            raise DataError(f"{label}: a score is a share from 0 to 1, and this one is {scores[label]}")
    found = {
        task.label: centred(scores[task.label], getattr(task.baseline, version))
        for task in suite
        if task.label in scores
    }
    members: dict[str, list[str]] = {}
    for task in suite:
        members.setdefault(task.category, []).append(task.label)

    def mean(labels: Iterable[str]) -> float | None:
        wanted = list(labels)
        return fmean(found[label] for label in wanted) if wanted and found.keys() >= set(wanted) else None

    return Aggregates(
        core=mean(suite.core), extended=mean(suite.labels), centred=found,
        categories={name: mean(labels) for name, labels in sorted(members.items())},
        missing=[label for label in suite.labels if label not in found],
    )  # fmt: skip
