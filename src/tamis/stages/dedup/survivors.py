"""The choice of the copy that is kept, and the columns about the others: shared by every method that removes whole
documents.

A method finds groups of equal or near-equal documents as line numbers (the place of a document among all sketch lines).
Here one document of each group, the survivor, is chosen. The decision names the removed documents with their survivor,
and for each survivor the number of its copies.
"""

from collections.abc import Mapping, Sequence
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
from tamis.base.seeds import unit_hash
from tamis.base.stage import Group, Sketches

DUPLICATE_OF = "duplicate_of"
"""string, nullable: id of the kept document that this one repeats; null = kept."""
SIMILARITY = "similarity"
"""float32, nullable: how alike a removed document and the one that is kept for it are, where that is measured."""
NUM_COPIES = "num_copies"
"""int32: number of documents in the group of a survivor, itself included; 1 = no other document repeats it."""
MERGED_FROM = "merged_from"
"""list<string>, nullable: ids of the documents whose paragraphs were merged into this one, itself first."""
RANK = "rank"
"""float64 sketch column: the document with the highest rank is kept. `rank_1` and so on decide between documents with
the same. The columns are absent where the first document is kept."""

FIRST, LONGEST, QUALITY, ID = "first", "longest", "quality", "id"
QUALITY_ORDER = "highest:quality_score, longest, id"
"""What `quality` stands for: quality, then length, then an order that no change of the pool changes."""


@dataclass(frozen=True)
class Keep:
    """Which document of a group is kept: `first` by (shard, row), `longest` by UTF-8 bytes, `highest:COLUMN` or
    `lowest:COLUMN` of a numeric column, `id` by a hash of the id, or several of these with commas between, of which the
    next decides where one leaves a tie; `quality` is `QUALITY_ORDER`. Of documents that tie in all, and of those
    without a value, the first is kept."""

    setting: str

    def __post_init__(self) -> None:
        for criterion in self.criteria:
            if criterion not in (FIRST, LONGEST, ID) and not _column_of(criterion):
                raise ConfigError(
                    f"dedup.keep: {criterion!r}: give first, longest, id, highest:COLUMN or lowest:COLUMN (as in "
                    "highest:quality_score), several with commas between, or quality"
                )

    @property
    def criteria(self) -> tuple[str, ...]:
        named = QUALITY_ORDER if self.setting == QUALITY else self.setting
        return tuple(part.strip() for part in named.split(","))

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns whose values are compared."""
        return tuple(filter(None, map(_column_of, self.criteria)))

    @property
    def reads(self) -> tuple[str, ...]:
        return tuple(map(stored_column, self.columns))

    @property
    def rank_names(self) -> list[str]:
        """Sketch columns of ranks: the first decides, the next ones where it leaves a tie; none where the order alone
        decides."""
        number = self.criteria.index(FIRST) if FIRST in self.criteria else len(self.criteria)
        return [RANK if place == 0 else f"{RANK}_{place}" for place in range(number)]

    def check(self, present: Mapping[str, pa.DataType]) -> None:
        """Raises ConfigError where there is no such column, or it does not hold numbers."""
        for column in self.columns:
            if (kind := kind_of(column, present, "dedup.keep")) not in ("number", "any"):
                raise ConfigError(
                    f"dedup.keep: '{column}' is a column of {PLURAL[kind]}, of which none is the highest; name a "
                    "column of numbers, or give first or longest"
                )

    def ranks(self, batch: pa.RecordBatch) -> dict[str, pa.Array]:
        """float64 per document and name of a rank; the document with the highest is kept."""
        return {name: _rank(batch, criterion) for name, criterion in zip(self.rank_names, self.criteria, strict=False)}


def _column_of(criterion: str) -> str:
    """The column that is compared, '' for none."""
    which, _, column = criterion.partition(":")
    return column if which in ("highest", "lowest") else ""


def _rank(batch: pa.RecordBatch, criterion: str) -> pa.Array:
    if criterion == LONGEST:
        lengths = pc.cast(pc.binary_length(batch.column(columns.TEXT)), pa.float64())
        return pc.fill_null(lengths, -np.inf)
    if criterion == ID:
        return pa.array(
            [unit_hash(key or "", "survivor") for key in batch.column(columns.ID).to_pylist()], pa.float64()
        )
    sign = -1.0 if criterion.startswith("lowest:") else 1.0
    ranks = sign * numbers_in(batch, _column_of(criterion))
    return pa.array(np.where(np.isnan(ranks), -np.inf, ranks))


def survivor_order(members: np.ndarray, groups: np.ndarray, ranks: Sequence[np.ndarray]) -> np.ndarray:
    """`int64[k]`: the places of `members` group by group (`groups`, int64, equal numbers for partners), and in a group
    in the order in which they survive: by `ranks` (float64, the highest first), then by line."""
    keys = [-np.nan_to_num(rank, nan=-np.inf) for rank in reversed(ranks)]
    return np.lexsort((members, *keys, groups))


def choose(members: np.ndarray, groups: np.ndarray, ranks: Sequence[np.ndarray]) -> np.ndarray:
    """`int64[k]`: for every member the line of the survivor of its group.

    `members` (int64, ascending) are lines that have a partner; see `survivor_order`.
    """
    order = survivor_order(members, groups, ranks)
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
