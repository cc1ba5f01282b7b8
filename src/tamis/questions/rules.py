"""The rules of a step, applied again to stored rows: which of them hold, and how near a value is to a threshold.

A step removes a row for the first rule that holds, and stores all that it had measured by then. So it can be told later
which other rules would have removed the same row.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from tamis.base.cards import Card
from tamis.base.lookup import as_text, stored_column, values_in
from tamis.base.signals import ORDERED, Rule

MOST_REASONS = 62
"""Number of reasons of one step that have a bit of their own in `Verdicts`; no published table has as many."""
UNSURE = np.uint64(1 << 63)
"""Bit of a row for which some rule could not be tested, because its signal was not measured on it."""


def rules_of(card: Card) -> list[Rule]:
    """The rules that a card lists, those that a decision of the run found included."""
    found = []
    for entry in card.details.get("rules", []):
        threshold, among = entry["threshold"], entry.get("among")
        found.append(
            Rule(
                reason=entry["reason"], column=entry["column"], op=entry["op"], source=entry.get("source", ""),
                threshold=tuple(threshold) if isinstance(threshold, list) else threshold,
                among=None if among is None else (among[0], among[1]),
            )
        )  # fmt: skip
    return found


def is_ordered(rule: Rule) -> bool:
    """Whether the rule compares numbers, so that a value can be near to its threshold."""
    return rule.op in ORDERED


@dataclass(frozen=True, kw_only=True)
class StoredRule:
    """A rule, and the names that its columns have in the file that is read."""

    rule: Rule
    column: str
    among: str = ""

    @property
    def reads(self) -> set[str]:
        return {stored_column(name) for name in (self.column, self.among) if name}

    def values(self, batch: pa.RecordBatch) -> np.ndarray:
        """The tested values (float64, or objects); NaN or None where nothing was measured, or where the rule is not for
        the row."""
        if stored_column(self.column) not in batch.schema.names:
            return np.full(batch.num_rows, np.nan)
        values = values_in(batch, self.column)
        others = ~self.concerns(batch)
        if others.any():
            values = values.copy()
            values[others] = None if values.dtype == object else np.nan
        return values

    def concerns(self, batch: pa.RecordBatch) -> np.ndarray:
        """The rows (bool[rows]) that the rule is for."""
        if self.rule.among is None:
            return np.ones(batch.num_rows, np.bool_)
        if stored_column(self.among) not in batch.schema.names:
            return np.zeros(batch.num_rows, np.bool_)
        wanted = self.rule.among[1]
        return np.array([as_text(value) == wanted for value in values_in(batch, self.among).tolist()], np.bool_)

    def test(self, batch: pa.RecordBatch) -> tuple[np.ndarray, np.ndarray]:
        """(bool[rows]: the rule holds, bool[rows]: it is for the row, but its signal was not measured)."""
        values = self.values(batch)
        missing = np.array([value is None or value != value for value in values.tolist()], np.bool_)
        try:
            holds = self.rule.fires(values)
        except TypeError:  # a field of the input with values of several kinds
            return np.zeros(batch.num_rows, np.bool_), self.concerns(batch)
        return holds & ~missing, missing & self.concerns(batch)


class Verdicts:
    """For rows that a step removed: which of its reasons hold, as bits of a number per row."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self.reasons = list(dict.fromkeys(rule.reason for rule in rules))
        self._rules = [StoredRule(rule=rule, column=rule.column, among=rule.among[0] if rule.among else "")
                       for rule in rules]  # fmt: skip

    @property
    def reads(self) -> set[str]:
        return {name for rule in self._rules for name in rule.reads}

    def bit(self, reason: str) -> np.uint64:
        """The bit of a reason; 0 where no rule has it, as of duplicates."""
        if reason not in self.reasons[:MOST_REASONS]:
            return np.uint64(0)
        return np.uint64(1 << self.reasons.index(reason))

    def of(self, batch: pa.RecordBatch) -> np.ndarray:
        """uint64[rows]: the bits of all reasons that hold, and `UNSURE`."""
        found = np.zeros(batch.num_rows, np.uint64)
        for each in self._rules:
            holds, unknown = each.test(batch)
            bit = self.bit(each.rule.reason)
            found[holds] |= bit if bit else UNSURE
            found[unknown] |= UNSURE
        return found
