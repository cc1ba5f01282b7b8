"""The choice of the copy that is kept, and the columns about the others: shared by every method that removes whole
documents.

A method finds groups of equal or near-equal documents as line numbers (the place of a document among all sketch lines).
Here one document of each group, the survivor, is chosen. The decision names the removed documents with their survivor,
and for each survivor the number of its copies.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tamis.base import columns
from tamis.base.batches import replace_column, set_drop_reason
from tamis.base.config import Config
from tamis.base.errors import ConfigError
from tamis.base.lookup import PLURAL, kind_of, numbers_in, stored_column
from tamis.base.stage import Group, Sketches

DUPLICATE_OF = "duplicate_of"
"""string, nullable: id of the kept document that this one repeats; null = kept."""
NUM_COPIES = "num_copies"
"""int32: number of documents in the group of a survivor, itself included; 1 = no other document repeats it."""
MERGED_FROM = "merged_from"
"""list<string>, nullable: ids of the documents whose paragraphs were merged into this one, itself first."""
RANK = "rank"
"""float64 sketch column: the document with the highest rank is kept. The column is absent where the first document is
kept."""

FIRST, LONGEST = "first", "longest"


@dataclass(frozen=True)
class Keep:
    """Which document of a group is kept: `first` by (shard, row), `longest` by UTF-8 bytes, or `highest:COLUMN` /
    `lowest:COLUMN` of a numeric column. Of ties, and of documents without a value, the first is kept."""

    setting: str

    def __post_init__(self) -> None:
        if self.setting not in (FIRST, LONGEST) and not self.column:
            raise ConfigError(
                f"dedup.keep: {self.setting!r}: give first, longest, highest:COLUMN or lowest:COLUMN "
                "(as in highest:quality_score)"
            )

    @property
    def column(self) -> str:
        """The column that is compared, '' for none."""
        which, _, column = self.setting.partition(":")
        return column if which in ("highest", "lowest") else ""

    @property
    def reads(self) -> tuple[str, ...]:
        return (stored_column(self.column),) if self.column else ()

    def check(self, present: Mapping[str, pa.DataType]) -> None:
        """Raises ConfigError where there is no such column, or it does not hold numbers."""
        if self.column and (kind := kind_of(self.column, present, "dedup.keep")) not in ("number", "any"):
            raise ConfigError(
                f"dedup.keep: '{self.column}' is a column of {PLURAL[kind]}, of which none is the highest; name a "
                "column of numbers, or give first or longest"
            )

    def rank(self, batch: pa.RecordBatch) -> pa.Array | None:
        """float64 per document (the document with the highest is kept); None where the order alone decides."""
        if self.setting == FIRST:
            return None
        if self.setting == LONGEST:
            lengths = pc.cast(pc.binary_length(batch.column(columns.TEXT)), pa.float64())
            return pc.fill_null(lengths, -np.inf)
        sign = -1.0 if self.setting.startswith("lowest:") else 1.0
        ranks = sign * numbers_in(batch, self.column)
        return pa.array(np.where(np.isnan(ranks), -np.inf, ranks))


def choose(members: np.ndarray, groups: np.ndarray, ranks: np.ndarray | None) -> np.ndarray:
    """`int64[k]`: for every member the line of the survivor of its group.

    `members` (int64, ascending) are lines that have a partner, `groups` (int64) equal numbers for partners, `ranks`
    (float64) theirs, None = the first line survives.
    """
    order = np.lexsort((members, groups) if ranks is None else (members, -np.nan_to_num(ranks, nan=-np.inf), groups))
    starts = np.flatnonzero(np.diff(groups[order], prepend=groups[order[:1]] - 1))
    sizes = np.diff(starts, append=len(order))
    keepers = np.empty(len(members), np.int64)
    keepers[order] = np.repeat(members[order[starts]], sizes)
    return keepers


def pick(sketches: Sketches, names: list[str], lines: np.ndarray) -> pa.Table:
    """Columns `names` of the sketch lines `lines` (int64, ascending, distinct), read in one stream."""
    parts, start = [pa.Table.from_batches([], schema=sketches.schema(names))], 0
    for batch in sketches.batches(names):
        first, last = np.searchsorted(lines, [start, start + batch.num_rows])
        if last > first:
            parts.append(pa.Table.from_batches([batch.take(pa.array(lines[first:last] - start))]))
        start += batch.num_rows
    return pa.concat_tables(parts)


def decision_table(sketches: Sketches, members: np.ndarray, keepers: np.ndarray) -> pa.Table:
    """`shard, row, duplicate_of, num_copies` for every member: a removed one names its keeper, a keeper counts."""
    table = pick(sketches, ["shard", "row", columns.ID], members)
    place = np.searchsorted(members, keepers)
    removed = keepers != members
    originals = table[columns.ID].combine_chunks().take(pa.array(place))
    copies = np.bincount(place, minlength=len(members)).astype(np.int32)
    return pa.table(
        {
            "shard": table["shard"],
            "row": table["row"],
            DUPLICATE_OF: pc.if_else(pa.array(removed, pa.bool_()), originals, pa.scalar(None, pa.string())),
            NUM_COPIES: pa.array(np.where(removed, 1, copies), pa.int32()),
        }
    )


class DocumentDedup(Group):
    """A Group that removes whole documents according to a `decision_table`, with `self.reason`.

    A decision may also have the columns `text` and `merged_from`, for survivors into which paragraphs of removed
    documents are merged.
    """

    name: ClassVar[str] = "dedup"
    adds = pa.schema([(DUPLICATE_OF, pa.string()), (NUM_COPIES, pa.int32())])

    def __init__(self, config: Config, keep: Keep, reason: str) -> None:
        super().__init__(config)
        self.keep, self.reason = keep, reason
        self.reads = (columns.ID, *keep.reads)

    def check_columns(self, present: Mapping[str, pa.DataType]) -> None:
        super().check_columns(present)
        self.keep.check(present)

    def mark(self, batch: pa.RecordBatch, rows: pa.Array, decisions: pa.Table) -> pa.RecordBatch:
        decided = decisions.combine_chunks()
        found = pc.index_in(rows, value_set=decided["row"])
        originals, copies = taken(decided, DUPLICATE_OF, found), taken(decided, NUM_COPIES, found)
        if columns.TEXT in decided.schema.names:
            merged = pc.coalesce(taken(decided, columns.TEXT, found), batch.column(columns.TEXT))
            batch = replace_column(batch, columns.TEXT, merged)
            batch = batch.append_column(MERGED_FROM, taken(decided, MERGED_FROM, found))
        batch = batch.append_column(pa.field(DUPLICATE_OF, pa.string()), originals)
        batch = batch.append_column(pa.field(NUM_COPIES, pa.int32()), pc.fill_null(copies, 1))
        return set_drop_reason(batch, pc.is_valid(originals), self.reason)


def taken(table: pa.Table, name: str, places: pa.Array) -> pa.Array:
    """Column `name` of a decision at `places` (int64, null where nothing was decided), in one piece."""
    column = table[name].take(places)
    return pa.chunked_array(column.chunks, table.schema.field(name).type).combine_chunks()
