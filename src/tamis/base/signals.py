"""Signals (what a stage measures on a document) and rules (tests on signals), as data that cards can carry."""

import math
import operator
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

ORDERED = ("<", "<=", ">", ">=")
"""Operators that compare numbers alone."""
OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge, "==": operator.eq, "!=": operator.ne,
    "in": lambda value, choices: value in choices,
    "not_in": lambda value, choices: value not in choices,
    "matches": lambda value, pattern: re.search(pattern, value) is not None,
}  # fmt: skip

Threshold = float | bool | str | tuple[float | str, ...]
"""What a value is compared with: a number, a truth value, a string (for `matches` a regular expression), or for `in`
and `not_in` a list of numbers or strings."""


@dataclass(frozen=True, kw_only=True)
class Signal:
    """A numeric column that gets a histogram. The plotted range is `low` to `high`; values outside it are counted
    separately."""

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

    def merge(self, first: list[int], second: list[int]) -> list[int]:
        """The histogram of all values from those of two parts; an empty list is the histogram of no batch."""
        if not first or not second:
            return first or second
        return [a + b for a, b in zip(first, second, strict=True)]

    def entry(self, histogram: list[int]) -> dict[str, Any]:
        """A merged histogram as the card has it: `label`, `low`, `high`, `log`, `counts` (below, bins, above)."""
        counts = histogram or [0] * (self.num_bins + 2)
        return {"label": self.label, "low": self.low, "high": self.high, "log": self.log, "counts": counts}


@dataclass(frozen=True, kw_only=True)
class MeasuredSignal(Signal):
    """A numeric column whose range is not known in advance: the histogram adapts to its values.

    Bins are multiples of a power of two, and as narrow as the least and the greatest value allow with `MOST_BINS` of
    them. Two of them make one whole bin of the next width, so that histograms of parts merge without error, in any
    order. `histogram` is `[exponent, number of the first bin, *counts]`. Left out are NaN and values beyond 1e100;
    values nearer to zero than 1e-100 count as zero.
    """

    low: float = math.nan
    high: float = math.nan
    whole: bool = False
    """Values are whole numbers: no bin is narrower than 1."""

    MOST_BINS = 64

    def histogram(self, values: np.ndarray) -> list[int]:
        finite = values[np.abs(values) <= 1e100].astype(np.float64)
        finite[np.abs(finite) < 1e-100] = 0.0
        if len(finite) == 0:
            return []
        low, high = float(finite.min()), float(finite.max())
        exponent = self._least_exponent(max(abs(low), abs(high)))
        while math.floor(math.ldexp(high, -exponent)) - math.floor(math.ldexp(low, -exponent)) >= self.MOST_BINS:
            exponent += 1
        first = math.floor(math.ldexp(low, -exponent))
        slots = np.floor(np.ldexp(finite, -exponent)) - first
        return [exponent, first, *np.bincount(slots.astype(np.int64)).tolist()]

    def _least_exponent(self, greatest: float) -> int:
        """Bins are never narrower than a millionth of the greatest value, so that equal values have a bin too."""
        exponent = math.frexp(greatest)[1] - 20 if greatest else -1000
        return max(exponent, 0) if self.whole else max(exponent, -1000)

    def merge(self, first: list[int], second: list[int]) -> list[int]:
        if not first or not second:
            return first or second
        exponent = max(first[0], second[0])
        parts = [(part[1], part[2:], part[0]) for part in (first, second)]
        while True:
            ends = [(low >> (exponent - e), (low + len(c) - 1) >> (exponent - e)) for low, c, e in parts]
            least, greatest = min(a for a, _ in ends), max(b for _, b in ends)
            if greatest - least < self.MOST_BINS:
                break
            exponent += 1
        counts = [0] * (greatest - least + 1)
        for low, part, e in parts:
            for place, number in enumerate(part, start=low):
                counts[(place >> (exponent - e)) - least] += number
        return [exponent, least, *counts]

    def entry(self, histogram: list[int]) -> dict[str, Any]:
        exponent, first, *counts = histogram or [0, 0, 0]
        low, high = math.ldexp(first, exponent), math.ldexp(first + len(counts), exponent)
        if len(counts) == 1 and not self.whole:
            high = low + (abs(low) or 1.0)
        return {"label": self.label, "low": low, "high": high, "log": False, "counts": [0, *counts, 0]}


@dataclass(frozen=True, kw_only=True)
class Rule:
    """Removes a document when `column op threshold` holds. `reason` says what was wrong; `source` where it is from.

    A rule does not fire on a value that was not measured (null or NaN).
    """

    reason: str
    column: str
    op: str
    threshold: Threshold
    source: str
    among: tuple[str, str | None] | None = None
    """(column, value): the rule is for documents with this value of that column alone, compared as strings."""

    @property
    def compares_labels(self) -> bool:
        """Whether it removes documents by a label that they bear (a language, a URL), not by something measured."""
        values = self.threshold if isinstance(self.threshold, tuple) else (self.threshold,)
        return all(isinstance(value, str) for value in values)

    def fires(self, values: np.ndarray) -> np.ndarray:
        """Whether the rule removes each document: bool, of the shape of `values` (numbers, or objects where some are
        strings)."""
        if values.dtype.kind in "fiub" and self.op not in ("in", "not_in"):
            return np.asarray(OPERATORS[self.op](values, self.threshold)) & (values == values)
        return np.array([fires(self.op, value, self.threshold) for value in values.tolist()], np.bool_)

    def to_dict(self) -> dict[str, Any]:
        """As a card has it: JSON, without `among` where the rule is for all documents."""
        found = asdict(self)
        found["threshold"] = list(self.threshold) if isinstance(self.threshold, tuple) else self.threshold
        return {k: list(v) if k == "among" else v for k, v in found.items() if k != "among" or v is not None}


def fires(op: str, value: Any, threshold: Any) -> bool:
    """Whether one value of a document makes a rule fire; a value that was not measured (null, NaN) does not."""
    return value is not None and value == value and bool(OPERATORS[op](value, threshold))
