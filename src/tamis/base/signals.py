"""Signals (what a stage measures on a document) and rules (tests on signals), as data that cards can carry."""

import operator
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge, "==": operator.eq, "!=": operator.ne,
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Signal:
    """A numeric column worth a histogram: `low`..`high` is the plotted range, values outside it are counted apart."""

    column: str
    label: str
    low: float
    high: float
    log: bool = False
    num_bins: int = 40

    def edges(self) -> np.ndarray:
        """Bin edges, float64, shape (num_bins + 1,)."""
        if self.log:
            return np.geomspace(self.low, self.high, self.num_bins + 1)
        return np.linspace(self.low, self.high, self.num_bins + 1)

    def histogram(self, values: np.ndarray) -> list[int]:
        """Counts, length num_bins + 2: below `low`, the bins, at or above `high`. NaN (not measured) is left out."""
        finite = values[~np.isnan(values)]
        slots = np.searchsorted(self.edges(), finite, side="right")
        return np.bincount(slots, minlength=self.num_bins + 2).tolist()


@dataclass(frozen=True, kw_only=True)
class Rule:
    """Removes a document when `column op threshold` holds. `reason` says what was wrong; `source` where it is from."""

    reason: str
    column: str
    op: str
    threshold: float | str
    source: str

    def fires(self, values: np.ndarray) -> np.ndarray:
        """Boolean array, same shape as `values`: which documents this rule removes."""
        return np.asarray(OPERATORS[self.op](values, self.threshold))

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)
