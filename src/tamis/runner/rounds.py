"""The rounds of a group's decision, and where each of their jobs keeps its findings and its record."""

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from tamis.base.stage import Findings, Group
from tamis.runner.ledger import verify
from tamis.store.location import Location
from tamis.store.rundir import StageDir
from tamis.store.shards import read_table

ALL = -1
"""The bucket of `combine`, which is about all buckets."""


@dataclass(frozen=True)
class Round:
    """Jobs that can be done at once: `buckets` are their numbers."""

    number: int
    name: str
    buckets: Sequence[int]

    def findings(self, folder: StageDir, bucket: int) -> Location:
        if self.number == 0:
            return folder.decisions(bucket)
        return folder.combined if self.number == 1 else folder.later_decision(self.number, bucket)

    def record(self, folder: StageDir, bucket: int) -> Location:
        if self.number == 0:
            return folder.decide_task(bucket)
        return folder.combine_task if self.number == 1 else folder.later_task(self.number, bucket)


def rounds_of(group: Group, num_shards: int) -> list[Round]:
    """`decide`, then `combine` where the group has it, then its later rounds."""
    found = [Round(0, "decide", range(group.num_buckets))]
    if group.combines:
        found.append(Round(1, "combine", [ALL]))
    later = group.later_rounds(num_shards)
    return found + [Round(number, name, range(jobs)) for number, (name, jobs) in enumerate(later, start=2)]


class StoredFindings(Findings):
    """The findings of rounds that are done, compared with their digests before they are read."""

    def __init__(self, folder: StageDir, rounds: Sequence[Round]) -> None:
        self._folder, self._rounds = folder, {one.number: one for one in rounds}

    def table(
        self, round_number: int, columns: Sequence[str] | None = None, where: tuple[str, int] | None = None
    ) -> pa.Table:
        this = self._rounds[round_number]
        wanted = None if where is None else pc.field(where[0]) == where[1]
        tables = []
        for bucket in this.buckets:
            verify(self._folder.root, this.record(self._folder, bucket))
            tables.append(read_table(this.findings(self._folder, bucket), columns, wanted))
        return pa.concat_tables(tables)
