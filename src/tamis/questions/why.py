"""Why a page was kept or removed: every step's signals against its thresholds, for one document found by id or URL.

For a duplicate it also names the document that was kept instead, and the later step that removed that document, if one
did.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from tamis.base import columns
from tamis.base.errors import ConfigError, DataError
from tamis.base.lookup import as_text, value_in
from tamis.base.signals import fires
from tamis.base.words import shortened
from tamis.questions.stored import KEPT, QUARANTINED, REMOVED, Cards, StoredFile, files_of
from tamis.store.rundir import RunDir
from tamis.store.shards import read_table

EVERY_END = (KEPT, REMOVED, QUARANTINED)
DUPLICATE_OF = "duplicate_of"
FIRST_PLACES = "first_places"
"""Column of a dedup step that names the first places of the text that it cut."""
SIMILARITY = "similarity"
"""Column of a dedup step with the similarity of a document to the one that was kept."""
SURVIVOR_CHARACTERS = 200
MOST_LISTED = 20
"""Number of documents that are listed where part of an id or URL fits several."""
LISTED_CHARACTERS = 160


@dataclass(kw_only=True)
class StepOutcome:
    """What one step found on the page. `tests` are (rule, value, fired) for every rule whose signal was measured."""

    stage: str
    outcome: str
    reason: str = ""
    tests: list[dict[str, Any]] = field(default_factory=list)
    survivor: "Survivor | None" = None
    """Of a duplicate: what was kept instead."""
    first_places: list[dict[str, Any]] = field(default_factory=list)
    """Of text that was cut, where the step names it: `start` and `end` (bytes of the text before the cut), and the
    `document` and the byte `offset` at which it stands first (None where it stands nowhere earlier)."""

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
class Found:
    """A row of the run and the file that holds it, which says the last step that the document reached and its outcome
    there."""

    file: StoredFile
    row: dict[str, Any]


def explain(run: RunDir, key: str) -> list[Explanation]:
    """Every document of the run that `key` names (a URL can be crawled, and a record given, more than once): the whole
    id or URL or, where none is equal, the beginning of an id or a piece of a URL.

    Raises DataError when there is none, or a file is not as it was written; ConfigError when a part of an id or URL
    fits several documents.
    """
    cards = run.cards()
    found = find(run, cards, key)
    survivors = survivors_of(run, cards, found)
    return [explanation(cards, one, survivors) for one in found]


def find(run: RunDir, cards: Cards, key: str) -> list[Found]:
    """The rows of the documents that `key` names. Every way in which a document can be named is here."""
    files = list(files_of(run, cards, EVERY_END))
    exact = (pc.field(columns.ID) == key) | (pc.field(columns.URL) == key) | (pc.field(columns.SOURCE_ID) == key)
    found = list(_matching(files, exact))
    if found:
        return found
    if not key.strip():
        raise ConfigError("why: give a document's id or URL, the beginning of its id, or a piece of its URL")
    part = pc.starts_with(pc.field(columns.ID), key) | pc.match_substring(pc.field(columns.URL), key)
    documents: dict[str, str] = {}
    others = 0
    for file in files:
        for row in _read(file, [columns.ID, columns.URL], part).to_pylist():
            if row[columns.ID] in documents or len(documents) < MOST_LISTED:
                documents[row[columns.ID]] = row[columns.URL] or ""
            else:
                others += 1
    if not documents:
        raise DataError(
            f"{run.root}: no document with the id or URL '{key}', none whose id begins with it, and none with it in "
            "its URL."
        )
    if others or (len(documents) > 1 and len(set(documents.values())) > 1):
        listed = "".join(f"\n  {each}  {shortened(url, LISTED_CHARACTERS)}" for each, url in documents.items())
        more = f"\n  and {others:,} more" if others else ""
        raise ConfigError(
            f"{run.root}: '{key}' is part of the id or URL of {len(documents) + others:,} documents. Give the whole id "
            f"of one of them, or a longer part:{listed}{more}"
        )
    return list(_matching(files, pc.field(columns.ID).isin(pa.array(sorted(documents), pa.string()))))


def _matching(files: Iterable[StoredFile], match: pc.Expression) -> Iterator[Found]:
    """Matching rows, whole. Row groups that cannot hold one are not read; a file that holds one is compared with its
    digest."""
    for file in files:
        rows = _read(file, file.columns(), match).to_pylist()
        if rows:
            file.verify()
        for row in rows:
            yield Found(file=file, row=row)


def _read(file: StoredFile, names: Sequence[str], match: pc.Expression) -> pa.Table:
    try:
        return read_table(file.place, names, match)
    except (FileNotFoundError, DataError):
        raise file.damaged() from None


def explanation(cards: Cards, found: Found, survivors: Mapping[str, list[Found]]) -> Explanation:
    """What every step did with one row; `survivors` are from `survivors_of`."""
    row, end, steps = found.row, found.file, []
    seen = cards[: end.position + 1]
    for position, (step, card) in enumerate(seen):
        is_end = position == end.position
        outcome = StepOutcome(stage=step, outcome=end.outcome if is_end else KEPT)
        for rule in card.details.get("rules", []):
            value = value_in(row, column_at_end(rule["column"], position, seen))
            if _is_measured(value) and _concerns(rule, row, position, seen):
                outcome.tests.append(_test(rule, value))
        if FIRST_PLACES in card.details.get("columns", []):
            outcome.first_places = row.get(column_at_end(FIRST_PLACES, position, seen)) or []
        if is_end and end.outcome != KEPT:
            outcome.reason = _reason(row)
            outcome.survivor = _survivor(cards, found, survivors)
        steps.append(outcome)
    return Explanation(
        id=row[columns.ID],
        url=row.get(columns.URL) or "",
        outcome=end.outcome,
        steps=steps,
        text=row.get(columns.TEXT) or row.get("excerpt") or "",
        shard=end.shard,
    )


def _reason(row: Mapping[str, Any]) -> str:
    return row.get(columns.DROP_REASON) or row.get(columns.ERROR) or ""


def survivors_of(run: RunDir, cards: Cards, found: Sequence[Found]) -> dict[str, list[Found]]:
    """The ends of all documents that these rows were removed as copies of, by id, read in one pass over the run."""
    keys = {one.row[DUPLICATE_OF] for one in found if one.file.outcome == REMOVED and one.row.get(DUPLICATE_OF)}
    ends: dict[str, list[Found]] = {}
    if not keys:
        return ends
    first = min(one.file.position for one in found if one.row.get(DUPLICATE_OF) in keys)
    match = pc.field(columns.ID).isin(pa.array(sorted(keys), pa.string()))
    for end in _matching(files_of(run, cards, EVERY_END, first + 1), match):
        ends.setdefault(end.row[columns.ID], []).append(end)
    return ends


def _survivor(cards: Cards, found: Found, survivors: Mapping[str, list[Found]]) -> Survivor | None:
    """The document whose copy this one is; None unless it was removed as a copy of a named one.

    It was kept by this step, so it is in the data set or was removed by a later step. It has the same id when the same
    record is in the input twice.
    """
    key = found.row.get(DUPLICATE_OF)
    if found.file.outcome != REMOVED or not key:
        return None
    similarity = found.row.get(SIMILARITY)
    later = (each for each in survivors.get(key, []) if each.file.position > found.file.position or _is_kept(each))
    end = next(later, None)
    row: dict[str, Any] = end.row if end is not None else {}
    left = "" if end is not None else "not found in this run any more"
    if end is not None and not _is_kept(end):
        left = f"{cards[end.file.position][0]}: {_reason(row)}"
    return Survivor(
        id=key,
        url=row.get(columns.URL) or "",
        text=shortened(row.get(columns.TEXT) or row.get("excerpt") or "", SURVIVOR_CHARACTERS),
        similarity=float(similarity) if similarity is not None and _is_measured(similarity) else None,
        left=left,
    )


def _is_kept(found: Found) -> bool:
    return found.file.outcome == KEPT


def column_at_end(column: str, position: int, cards: Cards) -> str:
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


def _concerns(rule: dict[str, Any], row: dict[str, Any], position: int, cards: Cards) -> bool:
    """Whether the rule is for documents such as this one: some are for those of one language alone, for example."""
    if "among" not in rule:
        return True
    column, wanted = rule["among"]
    value = value_in(row, column_at_end(column, position, cards))
    return as_text(value) == wanted


def _test(rule: dict[str, Any], value: Any) -> dict[str, Any]:
    op, threshold = rule["op"], rule["threshold"]
    shown = ", ".join(map(str, threshold)) if isinstance(threshold, list) else threshold
    test = {"reason": rule["reason"], "column": rule["column"], "value": value, "removes_if": f"{op} {shown}"}
    return test | {"fired": fires(op, value, threshold)}
