"""What a step took of each source: the counts of all shards added up, for the card of the step.

A source is a host, an input (a file of the pool, or a group of small ones), a folder of inputs, or a language. A crawl
has millions of hosts, and neither memory nor card grows with them: tables are added up a million lines at a time,
and where more than `MOST_NAMES` names come together, the rarest are dropped in such a way (Misra and Gries 1982) that
no source with more than one in 65,536 of the documents is lost. The counts of those that the card names are then taken
anew from all tables, so that every number on a card is exact.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from tamis.base.cards import Counts
from tamis.base.stage import InputShard
from tamis.runner.ledger import Record
from tamis.runner.sources import COUNTED, QUARANTINED, TABLE
from tamis.store.location import Location
from tamis.store.shards import read_row_groups

INPUT, FOLDER = "input", "folder"
LARGEST = 20
"""So many of the largest sources of a kind are on a card, besides all that are large."""
LARGE_SHARE = 0.01
"""A source with this share of a step's documents is on its card: there are a hundred at most."""
WORST = 10
"""So many of the sources that lost the largest share are on a card,"""
WORST_SHARE = 0.001
WORST_DOCUMENTS = 10
"""of those with so large a share of the documents, and as many of them: of one page, either none or all is lost."""
MOST_NAMES = 1 << 17
CANDIDATES = 2048
"""More than there can be sources with WORST_SHARE of the documents."""
LINES_AT_ONCE = 1 << 20


@dataclass(kw_only=True)
class SourceCount:
    """Documents of one source in one step; `gone` by reason, quarantined ones as `quarantined: <kind>`."""

    name: str
    came: int = 0
    gone: Counter[str] = field(default_factory=Counter)

    @property
    def kept(self) -> int:
        return self.came - self.gone.total()

    @property
    def share_gone(self) -> float:
        return self.gone.total() / self.came if self.came else 0.0

    def add(self, counts: Counts) -> None:
        self.came += counts.rows_in
        self.gone.update(counts.removed)
        self.gone.update({QUARANTINED + kind: number for kind, number in counts.quarantined.items()})

    def to_dict(self) -> dict[str, Any]:
        gone = {reason: number for reason, number in sorted(self.gone.items()) if number}
        return {"name": self.name, "in": self.came, "kept": self.kept, "gone": gone}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "SourceCount":
        return cls(name=data["name"], came=data["in"], gone=Counter(data["gone"]))


def source_accounts(
    shards: Sequence[InputShard], records: Sequence[Record], tables: Sequence[Location], total: Counts
) -> dict[str, Any]:
    """For the card: kind of source -> `number` of sources (None where they were too many to count), the `largest`, the
    `worst` hit, and the `rest` of those that are not among the largest. `records` and `tables` are in the order of
    `shards`; a shard without documents has no table. Empty for a step that took nothing."""
    found: dict[str, Any] = {}
    if total.kept == total.rows_in:
        return found
    for by, counts in _by_input(shards, records).items():
        found[by] = _on_card(counts.values(), len(counts), total)
    for by in COUNTED:
        merged = _Merged(by, tables)
        if merged.lines.num_rows:
            found[by] = _on_card(merged.sources(), merged.number, total)
    return dict(sorted(found.items()))


def _by_input(shards: Sequence[InputShard], records: Sequence[Record]) -> dict[str, dict[str, SourceCount]]:
    """Sources by kind and name. Folders are told apart by the part of their paths in which they differ first, and are
    left out where there is only one."""
    found: dict[str, dict[str, SourceCount]] = {INPUT: {}, FOLDER: {}}
    names: dict[str, str] = {}
    for shard, folder, record in zip(shards, folders_of([shard.uri for shard in shards]), records, strict=True):
        name = names.setdefault(shard.uri, shard.name)
        for by, source in ((INPUT, name), (FOLDER, folder)):
            found[by].setdefault(source, SourceCount(name=source)).add(record.accounting)
    return {by: counts for by, counts in found.items() if by == INPUT or len(counts) > 1}


def folders_of(uris: Sequence[str]) -> list[str]:
    """The folder of each file: the first part of its path below what all have in common; '.' for a file right there."""
    parts = [uri.split("/")[:-1] for uri in uris]
    first, last = min(parts), max(parts)
    common = next((k for k, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), min(len(first), len(last)))
    return [path[common] if len(path) > common else "." for path in parts]


class _Merged:
    """The lines of all tables of one kind of source, added up; `number` of names, None where some were dropped."""

    def __init__(self, by: str, tables: Sequence[Location]) -> None:
        self._by, self._tables = by, tables
        self.lines, dropped = TABLE.empty_table().drop_columns(["by"]), False
        for parts in self._parts():
            self.lines = _summed([self.lines, *parts])
            heads = self.lines.filter(pc.equal(self.lines["reason"], ""))
            if heads.num_rows > MOST_NAMES:
                self.lines, dropped = _without_rarest(heads, MOST_NAMES // 2), True
        heads = self.lines.filter(pc.equal(self.lines["reason"], ""))
        self.number = None if dropped else heads.num_rows
        if dropped:
            names = heads.sort_by([("documents", "descending"), ("name", "ascending")])["name"][:CANDIDATES]
            self.lines = self.lines.slice(0, 0)
            for parts in self._parts(names):
                self.lines = _summed([self.lines, *parts])

    def _parts(self, names: pa.ChunkedArray | None = None) -> Iterator[list[pa.Table]]:
        """The tables, or their lines with some names, about a million lines at a time."""
        parts: list[pa.Table] = []
        lines = 0
        for place in self._tables:
            if not place.exists():
                continue
            for batch in read_row_groups(place, TABLE.names):
                wanted = pc.equal(batch.column("by"), self._by)
                if names is not None:
                    wanted = pc.and_(wanted, pc.is_in(batch.column("name"), names))
                parts.append(pa.Table.from_batches([batch.filter(wanted)]).drop_columns(["by"]))
                lines += parts[-1].num_rows
                if lines > LINES_AT_ONCE:
                    yield parts
                    parts, lines = [], 0
        if parts:
            yield parts

    def sources(self) -> list[SourceCount]:
        """Those that can be on a card."""
        heads = self.lines.filter(pc.equal(self.lines["reason"], ""))
        heads = heads.sort_by([("documents", "descending"), ("name", "ascending")])[:CANDIDATES]
        found = {
            name: SourceCount(name=name, came=number)
            for name, number in zip(heads["name"].to_pylist(), heads["documents"].to_pylist(), strict=True)
        }
        wanted = pc.and_(pc.not_equal(self.lines["reason"], ""), pc.is_in(self.lines["name"], heads["name"]))
        for line in self.lines.filter(wanted).to_pylist():
            found[line["name"]].gone[line["reason"]] += line["documents"]
        return list(found.values())


def _summed(parts: Iterable[pa.Table]) -> pa.Table:
    summed = pa.concat_tables(parts).group_by(["name", "reason"]).aggregate([("documents", "sum")])
    return summed.rename_columns({"documents_sum": "documents"})


def _without_rarest(heads: pa.Table, most: int) -> pa.Table:
    """`most` names at most, with their counts lowered by that of the most frequent name that is dropped: the error is
    the same for all, and no larger than the number of documents divided by `most`."""
    ordered = pc.sort_indices(heads["documents"], sort_keys=[("documents", "descending")])
    least = heads["documents"][ordered[most].as_py()]
    lowered = heads.set_column(
        heads.schema.get_field_index("documents"), "documents", pc.subtract(heads["documents"], least)
    )
    return lowered.filter(pc.greater(lowered["documents"], 0))


def _on_card(counts: Iterable[SourceCount], number: int | None, total: Counts) -> dict[str, Any]:
    ordered = sorted(counts, key=lambda source: (-source.came, source.name))
    large = LARGE_SHARE * total.rows_in
    largest = [source for rank, source in enumerate(ordered) if rank < LARGEST or source.came >= large]
    least = max(WORST_DOCUMENTS, WORST_SHARE * total.rows_in)
    hit = [source for source in ordered if source.came >= least and source.gone.total()]
    worst = sorted(hit, key=lambda source: (-source.share_gone, -source.came, source.name))[:WORST]
    rest = {
        "in": total.rows_in - sum(source.came for source in largest),
        "kept": total.kept - sum(source.kept for source in largest),
    }
    return {
        "number": number,
        "largest": [source.to_dict() for source in largest],
        "worst": [source.to_dict() for source in worst],
        "rest": rest,
    }
