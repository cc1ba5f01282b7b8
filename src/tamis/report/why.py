"""Why a page was kept or removed: every step's signals against its thresholds, for one document found by id or URL.

For a duplicate it also names the document that was kept instead, and the later step that removed that document, if one
did.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow.compute as pc

from tamis.base import columns
from tamis.base.cards import Card
from tamis.base.errors import DataError
from tamis.base.lookup import as_text, value_in
from tamis.base.signals import fires
from tamis.report.formats import shortened
from tamis.store.location import Location
from tamis.store.rundir import RunDir
from tamis.store.shards import read_table, schema_of

KEPT, REMOVED, QUARANTINED = "kept", "removed", "quarantined"
DUPLICATE_OF = "duplicate_of"
SIMILARITY = "similarity"
"""Column of a dedup step with the similarity of a document to the one that was kept."""
UNREAD = (columns.METADATA, columns.WARCINFO, columns.CONTENT)
"""Columns that are large and that no rule uses."""
SURVIVOR_CHARACTERS = 200


@dataclass(kw_only=True)
class StepOutcome:
    """What one step found on the page. `tests` are (rule, value, fired) for every rule whose signal was measured."""

    stage: str
    outcome: str
    reason: str = ""
    tests: list[dict[str, Any]] = field(default_factory=list)
    survivor: "Survivor | None" = None
    """Of a duplicate: what was kept instead."""

    def to_dict(self) -> dict[str, Any]:
        return vars(self) | {"survivor": vars(self.survivor) if self.survivor is not None else None}


@dataclass(frozen=True, kw_only=True)
class Survivor:
    """The document that was kept instead of a duplicate. `url` and `text` (its beginning) are empty when it cannot be
    found."""

    id: str
    url: str
    text: str
    similarity: float | None
    """The similarity that the step measured; None where it measures none, as for exact copies."""
    left: str
    """The later step that removed it and the reason, as `05_quality: low_quality`; '' when it is in the data set."""


@dataclass(kw_only=True)
class Explanation:
    """What each step of a run did with one document. `text` is its final text, or the excerpt that was stored when it
    was removed. `shard` distinguishes documents that are in the pool twice."""

    id: str
    url: str
    outcome: str
    steps: list[StepOutcome]
    text: str
    shard: str

    def to_dict(self) -> dict[str, Any]:
        return {
            "id": self.id, "url": self.url, "outcome": self.outcome, "shard": self.shard, "text": self.text,
            "steps": [step.to_dict() for step in self.steps],
        }  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class _Found:
    """A row of the run: the last step that it reached (position among the cards), its outcome there, and its shard."""

    position: int
    outcome: str
    shard: str
    row: dict[str, Any]


def explain(run: RunDir, key: str) -> list[Explanation]:
    """Every document of the run whose id, id in the input, or url is `key` (a URL can be crawled, and a record given,
    more than once).

    Raises DataError when there is none.
    """
    cards = run.cards()
    match = (pc.field(columns.ID) == key) | (pc.field(columns.URL) == key) | (pc.field(columns.SOURCE_ID) == key)
    found = list(_ends(run, cards, match))
    if not found:
        raise DataError(
            f"{run.root}: no document with the id or URL '{key}'. URLs are matched whole, as they stand in the crawl."
        )
    return [_explanation(run, cards, row) for row in found]


def _ends(run: RunDir, cards: Sequence[tuple[str, Card]], match: pc.Expression, first: int = 0) -> Iterator[_Found]:
    """The last steps of matching documents, from the step at position `first` on; kept documents come first."""
    if cards:
        yield from _rows(run.stage(cards[-1][0]).shards, match, len(cards) - 1, KEPT)
    for position in range(first, len(cards)):
        root = run.stage(cards[position][0]).root
        yield from _rows(root / "removed", match, position, REMOVED)
        yield from _rows(root / "quarantine", match, position, QUARANTINED)


def _rows(folder: Location, match: pc.Expression, position: int, outcome: str) -> Iterator[_Found]:
    """Matching rows of all shards in `folder`; row groups that cannot hold one are not read."""
    for place in folder.children("*.parquet"):
        wanted = [name for name in schema_of(place).names if name not in UNREAD]
        for row in read_table(place, wanted, match).to_pylist():
            yield _Found(position=position, outcome=outcome, shard=place.stem, row=row)


def _explanation(run: RunDir, cards: Sequence[tuple[str, Card]], found: _Found) -> Explanation:
    row, steps = found.row, []
    for position, (step, card) in enumerate(cards[: found.position + 1]):
        is_end = position == found.position
        outcome = StepOutcome(stage=step, outcome=found.outcome if is_end else KEPT)
        for rule in card.details.get("rules", []):
            value = value_in(row, _column(rule["column"], position, cards[: found.position + 1]))
            if _is_measured(value) and _concerns(rule, row, position, cards[: found.position + 1]):
                outcome.tests.append(_test(rule, value))
        if is_end and found.outcome != KEPT:
            outcome.reason = row.get(columns.DROP_REASON) or row.get(columns.ERROR) or ""
            outcome.survivor = _survivor(run, cards, found)
        steps.append(outcome)
    return Explanation(
        id=row[columns.ID],
        url=row.get(columns.URL) or "",
        outcome=found.outcome,
        steps=steps,
        text=row.get(columns.TEXT) or row.get("excerpt") or "",
        shard=found.shard,
    )


def _survivor(run: RunDir, cards: Sequence[tuple[str, Card]], found: _Found) -> Survivor | None:
    """The document whose copy this one is; None unless it was removed as a copy of a named one.

    It was kept by this step, so it is in the data set or was removed by a later step. It has the same id when the same
    record is in the input twice.
    """
    key = found.row.get(DUPLICATE_OF)
    if found.outcome != REMOVED or not key:
        return None
    similarity = found.row.get(SIMILARITY)
    ends = _ends(run, cards, pc.field(columns.ID) == key, first=found.position + 1)
    end = next(ends, None)
    row: dict[str, Any] = end.row if end is not None else {}
    left = "" if end is not None else "not found in this run any more"
    if end is not None and end.outcome != KEPT:
        reason = row.get(columns.DROP_REASON) or row.get(columns.ERROR) or ""
        left = f"{cards[end.position][0]}: {reason}"
    return Survivor(
        id=key,
        url=row.get(columns.URL) or "",
        text=shortened(row.get(columns.TEXT) or row.get("excerpt") or "", SURVIVOR_CHARACTERS),
        similarity=float(similarity) if similarity is not None and _is_measured(similarity) else None,
        left=left,
    )


def _column(column: str, position: int, cards: Sequence[tuple[str, Card]]) -> str:
    """The name that `column`, as the step at `position` saw it, has at the end of `cards`.

    Where several steps made a column of this name, the plain name is the newest's, and an older one carries the number
    of the step that made it.
    """
    makers = [place for place, (_, card) in enumerate(cards) if column in card.details.get("columns", [])]
    seen = [place for place in makers if place <= position]
    if not seen or seen[-1] == makers[-1]:
        return column
    number = cards[seen[-1]][0].partition("_")[0]
    return f"{column}_{number}"


def _is_measured(value: Any) -> bool:
    """False for null and NaN: the signal was not needed, as the row had been removed before."""
    return value is not None and value == value


def _concerns(rule: dict[str, Any], row: dict[str, Any], position: int, cards: Sequence[tuple[str, Card]]) -> bool:
    """Whether the rule is for documents such as this one: some are for those of one language alone, for example."""
    if "among" not in rule:
        return True
    column, wanted = rule["among"]
    value = value_in(row, _column(column, position, cards))
    return as_text(value) == wanted


def _test(rule: dict[str, Any], value: Any) -> dict[str, Any]:
    op, threshold = rule["op"], rule["threshold"]
    shown = ", ".join(map(str, threshold)) if isinstance(threshold, list) else threshold
    test = {"reason": rule["reason"], "column": rule["column"], "value": value, "removes_if": f"{op} {shown}"}
    return test | {"fired": fires(op, value, threshold)}
