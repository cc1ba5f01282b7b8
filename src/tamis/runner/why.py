"""Why a page was kept or removed: its signals against every step's thresholds, found by id or URL."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.dataset as ds
import pyarrow.parquet as pq

from tamis.base import columns
from tamis.base.cards import Card
from tamis.base.errors import DataError
from tamis.base.lookup import as_text, value_in
from tamis.base.signals import fires
from tamis.store.rundir import RunDir

KEPT, REMOVED, QUARANTINED = "kept", "removed", "quarantined"


@dataclass(kw_only=True)
class Verdict:
    """What one step found on the page. `tests` are (rule, value, fired) for every rule whose signal was measured."""

    stage: str
    outcome: str
    reason: str = ""
    tests: list[dict[str, Any]] = field(default_factory=list)


@dataclass(kw_only=True)
class Story:
    """One document's way through a run; `text` is what was kept of it, or the excerpt stored where it left."""

    id: str
    url: str
    outcome: str
    verdicts: list[Verdict]
    text: str

    def to_dict(self) -> dict[str, Any]:
        return {
            "id": self.id, "url": self.url, "outcome": self.outcome, "text": self.text,
            "steps": [vars(verdict) for verdict in self.verdicts],
        }  # fmt: skip


def explain(run: RunDir, key: str) -> list[Story]:
    """Every document of the run whose id or url is `key` (a URL can be crawled more than once).

    Raises DataError when there is none.
    """
    cards = run.cards()
    ends: list[tuple[int, str, dict[str, Any]]] = []
    for position, (folder, _) in enumerate(cards):
        ends += [(position, REMOVED, row) for row in _find(run.root / folder / "removed", key)]
        ends += [(position, QUARANTINED, row) for row in _find(run.root / folder / "quarantine", key)]
    if cards:
        last = len(cards) - 1
        ends += [(last, KEPT, row) for row in _find(run.root / cards[last][0] / "shards", key)]
    if not ends:
        raise DataError(
            f"{run.root}: no document with the id or URL '{key}'. URLs are matched whole, as they stand in the crawl."
        )
    return [_story(run, cards, *end) for end in ends]


def _find(folder: Path, key: str) -> Iterator[dict[str, Any]]:
    """Rows of all shards in `folder` whose id or url is `key`; row groups that cannot hold it are not read."""
    for path in sorted(folder.glob("*.parquet")):
        names = pq.read_schema(path).names
        wanted = [name for name in names if name not in (columns.METADATA, columns.WARCINFO, columns.CONTENT)]
        match = (ds.field(columns.ID) == key) | (ds.field(columns.URL) == key)
        yield from ds.dataset(path).to_table(columns=wanted, filter=match).to_pylist()


def _story(run: RunDir, cards: list[tuple[str, Card]], end: int, outcome: str, row: dict[str, Any]) -> Story:
    verdicts = []
    for position, (folder, card) in enumerate(cards[: end + 1]):
        verdict = Verdict(stage=folder, outcome=outcome if position == end else KEPT)
        verdict.tests = [
            _test(rule, row)
            for rule in card.details.get("rules", [])
            if _is_meant(rule, row) and _measured(value_in(row, rule["column"]))
        ]
        if position == end and outcome != KEPT:
            verdict.reason = row.get(columns.DROP_REASON) or row.get(columns.ERROR) or ""
        verdicts.append(verdict)
    return Story(
        id=row[columns.ID],
        url=row.get(columns.URL) or "",
        outcome=outcome,
        verdicts=verdicts,
        text=row.get(columns.TEXT) or row.get("excerpt") or "",
    )


def _measured(value: Any) -> bool:
    """False for null and NaN: the signal was not needed, as the row had been removed before."""
    return value is not None and value == value


def _is_meant(rule: dict[str, Any], row: dict[str, Any]) -> bool:
    """Whether the rule is for documents such as this one."""
    if "among" not in rule:
        return True
    column, wanted = rule["among"]
    return as_text(value_in(row, column)) == wanted


def _test(rule: dict[str, Any], row: dict[str, Any]) -> dict[str, Any]:
    value, op, threshold = value_in(row, rule["column"]), rule["op"], rule["threshold"]
    shown = ", ".join(map(str, threshold)) if isinstance(threshold, list) else threshold
    test = {"reason": rule["reason"], "column": rule["column"], "value": value, "removes_if": f"{op} {shown}"}
    return test | {"fired": fires(op, value, threshold)}
