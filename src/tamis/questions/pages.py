"""Where the pages of two runs ended, compared page by page in bounded memory.

A page is known by its id or, where the other run has none with this id (another pool, another crawl of the same site),
by its URL. Only a record of fixed size is held per page: digests of id and URL, where the page ended, and which rules
hold. Records are split by their digests into parts of about a million pages, on the disk where there are several.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from tamis.base import columns
from tamis.base.errors import DataError
from tamis.questions.rules import Verdicts, rules_of
from tamis.questions.stored import KEPT, QUARANTINED, REMOVED, STATUS, Cards, StoredFile, files_of, reason_of
from tamis.store.rundir import RunDir
from tamis.store.scratch import TemporaryFolder
from tamis.store.spill import Spill

PAGES_PER_PART = 1 << 20
DIGEST_BYTES = 16
RECORD = np.dtype([("id", f"S{DIGEST_BYTES}"), ("url", f"S{DIGEST_BYTES}"), ("end", "u4"), ("rules", "u8"),
                   ("file", "u4"), ("row", "u4")])  # fmt: skip
NO_URL = b""


@dataclass(frozen=True, kw_only=True)
class End:
    """Where pages ended: the step (its position among the cards), the outcome, and the reason ('' of kept pages)."""

    position: int
    outcome: str
    reason: str

    @property
    def is_kept(self) -> bool:
        return self.outcome == KEPT


class Ends:
    """The ends of all pages of one run, read in one stream."""

    def __init__(self, run: RunDir, cards: Cards, seed: int) -> None:
        self.run, self.cards = run, cards
        self.ends: list[End] = []
        self.files: list[StoredFile] = []
        self.verdicts = [Verdicts(rules_of(card)) for _, card in cards]
        self._numbers: dict[End, int] = {}
        self._key = f"pages:{seed}".encode()[:64]

    @property
    def num_pages(self) -> int:
        """As many as came in, by the card of the source."""
        counts = self.cards[0][1].accounting
        return counts.rows_in if counts is not None else 0

    def records(self) -> Iterator[np.ndarray]:
        """`RECORD`s of all pages. Raises DataError where a file is not as it was written, or rows are missing."""
        found: Counter[tuple[int, str]] = Counter()
        for file in files_of(self.run, self.cards, (KEPT, REMOVED, QUARANTINED)):
            self.files.append(file)
            status, verdicts = STATUS[file.outcome], self.verdicts[file.position]
            reads = {columns.ID, columns.URL, *([status] if status else [])}
            reads |= verdicts.reads if file.outcome == REMOVED else set()
            for start, batch in file.batches(sorted(reads)):
                found[file.position, file.outcome] += batch.num_rows
                yield self._records(file, start, batch, verdicts)
        self._check(found)

    def _records(self, file: StoredFile, start: int, batch: pa.RecordBatch, verdicts: Verdicts) -> np.ndarray:
        out = np.zeros(batch.num_rows, RECORD)
        out["id"] = self._digests(batch.column(columns.ID))
        out["url"] = self._digests(batch.column(columns.URL))
        out["file"], out["row"] = len(self.files) - 1, np.arange(start, start + batch.num_rows)
        status = STATUS[file.outcome]
        reasons = batch.column(status).to_pylist() if status else [""] * batch.num_rows
        out["end"] = [self._number(End(position=file.position, outcome=file.outcome,
                                       reason=reason_of(reason, file.outcome))) for reason in reasons]  # fmt: skip
        if file.outcome == REMOVED:
            out["rules"] = verdicts.of(batch)
        return out

    def _digests(self, values: pa.Array) -> list[bytes]:
        return [self._digest(value) if value else NO_URL for value in values.to_pylist()]

    def _digest(self, value: str) -> bytes:
        return hashlib.blake2b(value.encode("utf-8", "surrogatepass"), digest_size=DIGEST_BYTES, key=self._key).digest()

    def _number(self, end: End) -> int:
        if end not in self._numbers:
            self._numbers[end] = len(self.ends)
            self.ends.append(end)
        return self._numbers[end]

    def _check(self, found: Counter[tuple[int, str]]) -> None:
        """The rows that were read are those that the cards count."""
        for position, (step, card) in enumerate(self.cards):
            counts = card.accounting
            if counts is None:
                continue
            expected = {REMOVED: counts.removed.total(), QUARANTINED: counts.quarantined.total()}
            expected |= {KEPT: counts.kept} if position == len(self.cards) - 1 else {}
            for outcome, number in expected.items():
                if found[position, outcome] != number:
                    raise DataError(
                        f"{self.run.root}: {step} {outcome} {number:,} documents, and {found[position, outcome]:,} of "
                        f"them are stored. Type: tamis verify {self.run.workspace.root}, and then the command that "
                        "made the run again."
                    )

    def goodness(self) -> np.ndarray:
        """int64 per end: the farther a page got, the higher."""
        found = [(2 * end.position + 2 if end.is_kept else 2 * end.position) for end in self.ends]
        return np.array(found, np.int64)


@dataclass(kw_only=True)
class Crossing:
    """Pages that ended at `a` in the first run and at `b` in the second: how many, how many have each set of rules
    that hold (of the run that removed them), and the places of those with the smallest digests."""

    number: int = 0
    rules: Counter[int] = field(default_factory=Counter)
    drawn: list[tuple[bytes, tuple[int, int], tuple[int, int]]] = field(default_factory=list)
    """(digest, file and row in the first run, file and row in the second)."""


@dataclass(kw_only=True)
class Meeting:
    """The pages of two runs. `crossings` has the pages of both, by the numbers of their ends."""

    by_id: int = 0
    by_url: int = 0
    crossings: dict[tuple[int, int], Crossing] = field(default_factory=dict)
    alone: tuple[Counter[int], Counter[int]] = field(default_factory=lambda: (Counter(), Counter()))
    """Pages that are only in the pool of the first, or second, run, by the numbers of their ends."""


def meet(a: Ends, b: Ends, folder: TemporaryFolder, samples: int, per_part: int = PAGES_PER_PART) -> Meeting:
    """Match the pages of two runs, by id and then by URL. Of each pair of ends of which exactly one is kept, `samples`
    pages are drawn."""
    parts = -(-max(a.num_pages, b.num_pages, 1) // per_part)
    sides = [Spill(folder, name, RECORD, parts) for name in ("a", "b")]
    for ends, spill in zip((a, b), sides, strict=True):
        for records in ends.records():
            spill.add(records, _numbers(records["id"]))
    rest = [Spill(folder, f"{name}-by-url", RECORD, parts) for name in ("a", "b")]
    found = Meeting()
    ranks = a.goodness(), b.goodness()
    for part in range(parts):
        x, y = (_best(spill.read(part), "id", rank) for spill, rank in zip(sides, ranks, strict=True))
        in_both = _cross(found, (a, b), x, y, "id", samples)
        found.by_id += int(in_both[0].sum())
        for records, matched, spill in zip((x, y), in_both, rest, strict=True):
            left = records[~matched]
            # Pages without a URL match none: they go anywhere, and not all to one part.
            spill.add(left, _numbers(np.where(left["url"] == NO_URL, left["id"], left["url"])))
    for part in range(parts):
        x, y = (spill.read(part) for spill in rest)
        named = [records[records["url"] != NO_URL] for records in (x, y)]
        best = [_best(records, "url", rank) for records, rank in zip(named, ranks, strict=True)]
        in_both = _cross(found, (a, b), best[0], best[1], "url", samples)
        found.by_url += int(in_both[0].sum())
        for side, records in enumerate((x, y)):
            urls = best[side]["url"][in_both[side]]
            lonely = records[~np.isin(records["url"], urls)]
            found.alone[side].update(Counter(lonely["end"].tolist()))
    return found


def _numbers(digests: np.ndarray) -> np.ndarray:
    """uint64[n]: numbers that are equal where the digests are."""
    data = np.ascontiguousarray(digests).view(np.uint64).reshape(-1, 2)
    return data[:, 0] ^ (data[:, 1] >> np.uint64(7))


def _best(records: np.ndarray, key: str, ranks: np.ndarray) -> np.ndarray:
    """One record per key, in the order of keys: that of the page which got farthest, where several share it (a record
    that is in the pool twice; a URL that was crawled twice)."""
    if not len(records):
        return records
    order = np.lexsort((records["row"], records["file"], -ranks[records["end"]], records[key]))
    ordered = records[order]
    first = np.append(True, ordered[key][1:] != ordered[key][:-1])
    return ordered[first]


def _cross(
    found: Meeting, runs: Sequence[Ends], x: np.ndarray, y: np.ndarray, key: str, samples: int
) -> tuple[np.ndarray, np.ndarray]:
    """Count the pages that are in both; returns which records of `x` and `y` these are."""
    _, here, there = np.intersect1d(x[key], y[key], assume_unique=True, return_indices=True)
    matched = np.zeros(len(x), np.bool_), np.zeros(len(y), np.bool_)
    matched[0][here], matched[1][there] = True, True
    left, right = x[here], y[there]
    pairs = left["end"].astype(np.uint64) << np.uint64(32) | right["end"].astype(np.uint64)
    order = np.argsort(pairs, kind="stable")
    starts = np.flatnonzero(np.append(True, np.diff(pairs[order]) != 0))[: len(pairs)]
    for rows in np.split(order, starts[1:]) if len(pairs) else ():
        ends = int(left["end"][rows[0]]), int(right["end"][rows[0]])
        crossing = found.crossings.setdefault(ends, Crossing())
        crossing.number += len(rows)
        kept = [ends_of.ends[number].is_kept for ends_of, number in zip(runs, ends, strict=True)]
        if kept[0] == kept[1]:
            continue
        losing = right if kept[0] else left
        values, counts = np.unique(losing["rules"][rows], return_counts=True)
        crossing.rules.update(dict(zip(values.tolist(), counts.tolist(), strict=True)))
        _draw(crossing, left[rows], right[rows], key, samples)
    return matched


def _draw(crossing: Crossing, left: np.ndarray, right: np.ndarray, key: str, samples: int) -> None:
    """Keep the pages with the smallest digests: the digests depend on the seed, so this is a random choice."""
    smallest = np.argsort(left[key], kind="stable")[:samples]
    for one, other in zip(left[smallest].tolist(), right[smallest].tolist(), strict=True):
        crossing.drawn.append((one[0] if key == "id" else one[1], one[4:], other[4:]))
    crossing.drawn.sort()
    del crossing.drawn[samples:]
