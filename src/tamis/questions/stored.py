"""The stored rows of a run: the files that its records list, compared with their digests before they are believed.

Every document of the pool ends once: it is kept by the last step, or one step removed or quarantined it. The files that
hold these rows are what all questions read.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from tamis.base import columns
from tamis.base.cards import Card
from tamis.base.errors import ConfigError, DataError
from tamis.runner.ledger import DamagedError, read_record, verify
from tamis.store.location import Location
from tamis.store.rundir import RunDir
from tamis.store.shards import read_rows, read_shard, schema_of

KEPT, REMOVED, QUARANTINED = "kept", "removed", "quarantined"
UNREAD = (columns.METADATA, columns.WARCINFO, columns.CONTENT)
"""Columns that are large and that no rule uses."""
STATUS = {KEPT: None, REMOVED: columns.DROP_REASON, QUARANTINED: columns.ERROR}
_FOLDERS = {KEPT: "shards", REMOVED: "removed", QUARANTINED: "quarantine"}
Cards = Sequence[tuple[str, Card]]


@dataclass(frozen=True, kw_only=True)
class StoredFile:
    """Rows of one shard that ended at the same step with the same outcome; `position` is that of the step among the
    cards of the run."""

    run: RunDir
    folder: Location
    name: str
    position: int
    outcome: str

    @property
    def place(self) -> Location:
        return self.folder / self.name

    @property
    def shard(self) -> str:
        return self.place.stem

    def verify(self) -> None:
        """Compare the file with its recorded digest. Raises DataError where it is not as it was written."""
        try:
            verify(self.folder, self.folder / "tasks" / f"{self.shard}.json", (self.name,))
        except DamagedError:
            raise self.damaged() from None

    def damaged(self) -> DataError:
        return DataError(
            f"{self.place}: the file is not as it was written, or is missing. Type: tamis verify "
            f"{self.run.workspace.root}, and then the command that made the run again, which makes it anew."
        )

    def columns(self) -> list[str]:
        """The columns that a question may read. Raises DataError where the file is not readable."""
        try:
            return [name for name in schema_of(self.place).names if name not in UNREAD]
        except (FileNotFoundError, DataError):
            raise self.damaged() from None

    def batches(self, wanted: Sequence[str]) -> Iterator[tuple[int, pa.RecordBatch]]:
        """(position of the first row, rows), after the digest was compared; a column of `wanted` that the file lacks is
        left out."""
        self.verify()
        present = self.columns()
        start = 0
        for batch in read_shard(self.place, [name for name in wanted if name in present], batch_rows=8192):
            yield start, batch
            start += batch.num_rows

    def rows(self, positions: Sequence[int]) -> list[dict[str, Any]]:
        """The whole rows at these positions, in the same order."""
        self.verify()
        ordered = sorted(set(positions))
        found = dict(zip(ordered, read_rows(self.place, ordered, self.columns()).to_pylist(), strict=True))
        return [found[position] for position in positions]


def files_of(run: RunDir, cards: Cards, outcomes: Sequence[str], first: int = 0) -> Iterator[StoredFile]:
    """The files of all ends with one of `outcomes`, from the step at position `first` on, kept documents first."""
    if KEPT in outcomes and cards:
        yield from _listed(run, cards[-1][0], len(cards) - 1, KEPT)
    for position in range(first, len(cards)):
        for outcome in (REMOVED, QUARANTINED):
            if outcome in outcomes:
                yield from _listed(run, cards[position][0], position, outcome)


def stored_text(run: RunDir, step: str, position: int) -> Iterator[StoredFile]:
    """The documents that a step kept, where they are stored."""
    return _listed(run, step, position, KEPT)


def shard_sizes(run: RunDir, cards: Cards) -> dict[str, int]:
    """Shard -> number of documents that it brought into the run, of the shards that have a record."""
    places = (run.stage(cards[0][0]).root / "tasks").children("[0-9]*.json")
    records = [(place.stem, read_record(place)) for place in places]
    return {name: record.accounting.rows_in for name, record in records if record is not None and record.fingerprint}


def _listed(run: RunDir, step: str, position: int, outcome: str) -> Iterator[StoredFile]:
    """The files of one kind that the records of a step list. Raises DataError where a record is damaged."""
    folder = run.stage(step).root
    for place in (folder / "tasks").children("[0-9]*.json"):
        record = read_record(place)
        if record is None or not record.fingerprint:
            raise DataError(
                f"{place}: the record is damaged. Type the command that made the run again, which makes it anew."
            )
        name = f"{_FOLDERS[outcome]}/{place.stem}.parquet"
        if name in record.outputs:
            yield StoredFile(run=run, folder=folder, name=name, position=position, outcome=outcome)


def finished_cards(run: RunDir) -> list[tuple[str, Card]]:
    """(step, card) of every step. Raises ConfigError for a run that is not finished, DataError for a damaged card."""
    cards = run.cards()
    steps = run.steps()
    if not cards or len(cards) < len(steps):
        waiting = next((step for step in steps if step not in dict(cards)), "its first step")
        raise ConfigError(
            f"{run.root}: this run is not finished ({waiting} is missing). Run it again to go on: "
            f"tamis run {run.recipe}"
        )
    return cards


def reason_of(status: str, outcome: str) -> str:
    """The reason as the accounting counts it: of a quarantined row, the kind of its error."""
    return status.split(":", 1)[0] if outcome == QUARANTINED else status
