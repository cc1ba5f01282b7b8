"""Random samples of what a run kept or removed, and the pages nearest to each threshold on both sides.

A page is drawn by a hash of its id and the seed, so the same run and seed give the same pages, however the pool is cut
into shards. The run is read once, some thousands of rows at a time, and only what is shown is held in memory.
"""

import heapq
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from tamis.base import columns
from tamis.base.errors import ConfigError, did_you_mean
from tamis.base.hosts import host_of
from tamis.base.seeds import unit_hash
from tamis.base.signals import Rule
from tamis.questions.rules import StoredRule, is_ordered, rules_of
from tamis.questions.stored import (
    KEPT,
    QUARANTINED,
    REMOVED,
    STATUS,
    Cards,
    StoredFile,
    files_of,
    finished_cards,
    reason_of,
)
from tamis.questions.why import Explanation, Found, column_at_end, explanation, survivors_of
from tamis.store.rundir import RunDir

LANGUAGE = "language"
EXCERPT_CHARACTERS = 400
MOST_ROWS = 1000
"""Largest number of pages of one group."""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Which pages of a run are asked for. `step`, `reason`, `language` and `host` are '' where any will do."""

    outcome: str = ""
    """kept, removed or quarantined; '' = removed where a step or reason is named, else kept."""
    step: str = ""
    reason: str = ""
    language: str = ""
    host: str = ""
    number: int = 5
    """Pages per group: per reason of what was removed."""
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class Sampled:
    """Pages that ended alike: `total` of them have what was asked for, and `pages` are drawn from these."""

    step: str
    outcome: str
    reason: str
    total: int
    pages: list[Explanation]

    def to_dict(self) -> dict[str, Any]:
        pages = [page_entry(page) for page in self.pages]
        return {
            "step": self.step, "outcome": self.outcome, "reason": self.reason, "total": self.total, "pages": pages
        }  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Borderline:
    """The pages whose values are nearest to the threshold of one rule: removed by it, and kept by the run."""

    step: str
    rule: Rule
    removed: list[tuple[float, Explanation]] = field(default_factory=list)
    kept: list[tuple[float, Explanation]] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        sides = {
            name: [page_entry(page) | {"value": value} for value, page in side]
            for name, side in (("removed", self.removed), ("kept", self.kept))
        }
        return {"step": self.step, **self.rule.to_dict(), **sides}


def page_entry(page: Explanation) -> dict[str, Any]:
    """A page as data, with the beginning of its text."""
    return page.to_dict() | {"text": page.text[:EXCERPT_CHARACTERS]}


class Smallest:
    """The `most` items with the smallest keys of all that were offered."""

    def __init__(self, most: int) -> None:
        self._most, self._heap, self._serial = most, list[Any](), 0

    def accepts(self, least: float) -> bool:
        """Whether an item whose key begins with `least` could still be one of them."""
        return len(self._heap) < self._most or least <= -self._heap[0][0][0]

    def offer(self, key: tuple[float, ...], item: Any) -> None:
        self._serial += 1
        entry = (tuple(-part for part in key), -self._serial, item)
        if len(self._heap) < self._most:
            heapq.heappush(self._heap, entry)
        else:
            heapq.heappushpop(self._heap, entry)

    def items(self) -> list[Any]:
        """In the order of their keys."""
        return [item for _, _, item in sorted(self._heap, key=lambda entry: entry[:2], reverse=True)]


class Filter:
    """Tests rows for a language and a host, and counts what was there instead."""

    def __init__(self, wanted: Wanted) -> None:
        self._language = wanted.language
        self._host = host_of(wanted.host if "://" in wanted.host else f"http://{wanted.host}")
        if wanted.host and not self._host:
            raise ConfigError(f"--host {wanted.host}: no host can be called this; give one as in docs.example.org")
        self.languages: dict[str, None] = {}
        self.measures_language = False

    @property
    def reads(self) -> list[str]:
        return [columns.ID, columns.URL, *([LANGUAGE] if self._language else [])]

    def of(self, batch: pa.RecordBatch) -> np.ndarray:
        """bool[rows]"""
        found = np.ones(batch.num_rows, np.bool_)
        if self._language:
            values: list[str | None] = [None] * batch.num_rows
            if LANGUAGE in batch.schema.names:
                self.measures_language = True
                values = batch.column(LANGUAGE).to_pylist()
            if len(self.languages) < 200:
                self.languages |= dict.fromkeys(filter(None, values))
            found &= np.array([value == self._language for value in values], np.bool_)
        if self._host:
            urls = batch.column(columns.URL).to_pylist()
            found &= np.array([host_of(url) == self._host for url in urls], np.bool_)
        return found


def sample(run: RunDir, wanted: Wanted, shards: frozenset[str] | None = None) -> list[Sampled]:
    """Pages of a run (of these shards, or of all), drawn at random, in groups: one of what was kept, one per step and
    reason of what was removed.

    Raises ConfigError when no page fits, naming what there is; DataError when a file is not as it was written.
    """
    cards = finished_cards(run)
    wanted, outcome = _checked(cards, wanted)
    test = Filter(wanted)
    drawn: dict[tuple[int, str], Smallest] = {}
    totals: dict[tuple[int, str], int] = {}
    for file in files_of(run, cards, [outcome]):
        if (wanted.step and cards[file.position][0] != wanted.step) or not _is_in(file, shards):
            continue
        status = STATUS[outcome]
        for start, batch in file.batches([*test.reads, *([status] if status else [])]):
            reasons = batch.column(status).to_pylist() if status else [""] * batch.num_rows
            ids = batch.column(columns.ID)
            for row in np.flatnonzero(test.of(batch)).tolist():
                reason = reason_of(reasons[row], outcome)
                if wanted.reason and reason != wanted.reason:
                    continue
                group = (file.position, reason)
                totals[group] = totals.get(group, 0) + 1
                rank = unit_hash(ids[row].as_py(), f"sample:{wanted.seed}")
                best = drawn.setdefault(group, Smallest(wanted.number))
                if best.accepts(rank):
                    best.offer((rank,), (file, start + row))
    if not drawn:
        raise _nothing(cards, wanted, test)
    groups = sorted(drawn, key=lambda group: (group[0], -totals[group], group[1]))
    pages = explained(run, cards, [place for group in groups for place in drawn[group].items()])
    found = []
    for position, reason in groups:
        here = [pages[place] for place in drawn[position, reason].items()]
        step, total = cards[position][0], totals[position, reason]
        found.append(Sampled(step=step, outcome=outcome, reason=reason, total=total, pages=here))
    return found


def explained(
    run: RunDir, cards: Cards, places: Sequence[tuple[StoredFile, int]]
) -> dict[tuple[StoredFile, int], Explanation]:
    """What every step did with the rows at these places."""
    by_file: dict[StoredFile, list[int]] = {}
    for file, row in places:
        by_file.setdefault(file, []).append(row)
    found = {}
    for file, rows in by_file.items():
        for row, values in zip(rows, file.rows(rows), strict=True):
            found[file, row] = Found(file=file, row=values)
    survivors = survivors_of(run, cards, list(found.values()))
    return {place: explanation(cards, one, survivors) for place, one in found.items()}


def borderline(run: RunDir, wanted: Wanted, shards: frozenset[str] | None = None) -> list[Borderline]:
    """For every rule that compares numbers (or those of the step and reason asked for), the pages that are nearest to
    its threshold: those that it removed, and those that the run kept. Of these shards, or of all.

    Raises ConfigError and DataError as `sample`.
    """
    cards = finished_cards(run)
    if wanted.outcome:
        raise ConfigError(f"--borderline shows both sides of a threshold; leave --outcome {wanted.outcome} out")
    checked, _ = _checked(cards, Wanted(**vars(wanted) | {"outcome": REMOVED}), rules=True)
    test = Filter(checked)
    sides = _Sides(cards, checked)
    for file in files_of(run, cards, [KEPT, REMOVED]):
        if _is_in(file, shards):
            sides.read(file, test)
    places = [item[1] for pair in sides.nearest for side in pair for item in side.items()]
    if not places:
        raise _nothing(cards, checked, test)
    pages = explained(run, cards, places)
    found = []
    for (position, rule), pair in zip(sides.rules, sides.nearest, strict=True):
        removed, kept = ([(value, pages[place]) for value, place in side.items()] for side in pair)
        if removed or kept:
            found.append(Borderline(step=cards[position][0], rule=rule, removed=removed, kept=kept))
    return found


def _is_in(file: StoredFile, shards: frozenset[str] | None) -> bool:
    return shards is None or file.shard in shards


class _Sides:
    """The rows nearest to the thresholds, rule by rule: (removed by it, kept by the run)."""

    def __init__(self, cards: Cards, wanted: Wanted) -> None:
        self._cards, self._seed = cards, wanted.seed
        self.rules = [
            (position, rule)
            for position, (step, card) in enumerate(cards)
            for rule in rules_of(card)
            if is_ordered(rule) and wanted.step in ("", step) and wanted.reason in ("", rule.reason)
        ]
        self.nearest = [(Smallest(wanted.number), Smallest(wanted.number)) for _ in self.rules]

    def read(self, file: StoredFile, test: Filter) -> None:
        """Offer the rows of one file."""
        mine = [
            (rule, self._stored(rule, position, file), pair[file.outcome == KEPT])
            for (position, rule), pair in zip(self.rules, self.nearest, strict=True)
            if file.outcome == KEPT or position == file.position
        ]
        if not mine:
            return
        needed = {name for _, stored, _ in mine for name in stored.reads} - {*test.reads, columns.DROP_REASON}
        status = [columns.DROP_REASON] if file.outcome == REMOVED else []
        for start, batch in file.batches([*test.reads, *status, *sorted(needed)]):
            rows = test.of(batch)
            reasons = np.array(batch.column(columns.DROP_REASON).to_pylist(), object) if status else None
            for rule, stored, side in mine:
                self._offer(rule, stored.values(batch), rows if reasons is None else rows & (reasons == rule.reason),
                            side, file, start, batch)  # fmt: skip

    def _stored(self, rule: Rule, position: int, file: StoredFile) -> StoredRule:
        seen = self._cards[: file.position + 1]
        among = column_at_end(rule.among[0], position, seen) if rule.among else ""
        return StoredRule(rule=rule, column=column_at_end(rule.column, position, seen), among=among)

    def _offer(
        self, rule: Rule, values: np.ndarray, rows: np.ndarray, side: Smallest, file: StoredFile, start: int,
        batch: pa.RecordBatch,
    ) -> None:  # fmt: skip
        if values.dtype == object:  # a field of the input: what is no number has no distance
            numbers = [v if isinstance(v, int | float) and not isinstance(v, bool) else np.nan for v in values.tolist()]
            values = np.array(numbers, np.float64)
        fires = rule.fires(values)
        distance = np.abs(values - float(rule.threshold))  # type: ignore[arg-type]
        right = fires if file.outcome == REMOVED else ~fires
        for row in np.flatnonzero(rows & right & np.isfinite(distance)).tolist():
            if side.accepts(float(distance[row])):
                rank = unit_hash(batch.column(columns.ID)[row].as_py(), f"sample:{self._seed}")
                side.offer((float(distance[row]), rank), (float(values[row]), (file, start + row)))


def _checked(cards: Cards, wanted: Wanted, rules: bool = False) -> tuple[Wanted, str]:
    """`wanted` with the whole name of its step, and the outcome that it means. Raises ConfigError for a step or reason
    that the run does not have."""
    outcome = wanted.outcome or (REMOVED if wanted.step or wanted.reason else KEPT)
    if outcome not in STATUS:
        raise ConfigError(f"--outcome {wanted.outcome}: give kept, removed or quarantined")
    if not 1 <= wanted.number <= MOST_ROWS:
        raise ConfigError(f"-n {wanted.number}: give 1 to {MOST_ROWS:,}")
    if outcome == KEPT and (wanted.step or wanted.reason):
        raise ConfigError("--outcome kept: what the run kept has no reason, and was kept by every step; leave --stage "
                          "and --reason out")  # fmt: skip
    step = wanted.step and _step(cards, wanted.step)
    known = [name for each, card in cards if not step or each == step for name in _reasons(card, outcome)]
    if rules:
        known = [rule.reason for each, card in cards if not step or each == step for rule in rules_of(card)
                 if is_ordered(rule)]  # fmt: skip
    if wanted.reason and wanted.reason not in known:
        what = "compares numbers and removes a page as" if rules else f"has {outcome} a page as"
        raise ConfigError(f"--reason {wanted.reason}: no step {what} '{wanted.reason}'"
                          f"{did_you_mean(wanted.reason, set(known))}")  # fmt: skip
    return Wanted(**vars(wanted) | {"step": step}), outcome


def _step(cards: Cards, name: str) -> str:
    """The one step called `name`, as `03_filter` or, where it is the only one, `filter`."""
    steps = [step for step, _ in cards]
    found = [step for step in steps if name in (step, step.partition("_")[2])]
    if len(found) != 1:
        several = f"the run has {len(found)} steps of this name" if found else "the run has no such step"
        raise ConfigError(f"--stage {name}: {several}{did_you_mean(name, steps)}")
    return found[0]


def _reasons(card: Any, outcome: str) -> Iterable[str]:
    counts = card.accounting
    if counts is None:
        return ()
    found: Mapping[str, int] = counts.quarantined if outcome == QUARANTINED else counts.removed
    return [name for name, number in found.items() if number]


def _nothing(cards: Cards, wanted: Wanted, test: Filter) -> ConfigError:
    """What to tell where no page fits."""
    if wanted.language and not test.measures_language:
        return ConfigError(
            f"--language {wanted.language}: the pages asked for have no column '{LANGUAGE}'. A filter with "
            "keep_languages measures it; rows that were removed before that step have none"
        )
    asked = {"--stage": wanted.step, "--reason": wanted.reason, "--language": wanted.language, "--host": wanted.host}
    told = " ".join(f"{name} {value}" for name, value in asked.items() if value) or "sample"
    there = f" Languages: {', '.join(sorted(test.languages)[:40])}." if wanted.language else ""
    return ConfigError(f"{told}: no page of this run fits.{there} `tamis status RUN --all` lists steps and reasons.")
