"""The rounds in which candidates of MinHash are verified: which of them really resemble a document that is kept.

`combine` finds components of linked documents. Documents of a component that have the same shingles are one candidate.
The candidates of a component are put in the order in which they survive, and components are packed into blocks of a
bounded number of shingles. Then three rounds follow. `collect` reads the texts of each shard's candidates, and stores
their sets of shingles by block. `verify` settles one block after another, in parallel. `conclude` names for every
removed document the one that is kept, and their similarity.

A component that is larger than a block is cut into pieces. Each piece is compared with the documents that were kept of
the pieces before it, which are read again for that: memory is bounded, and the result is that of one piece.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from tamis.base import columns
from tamis.base.stage import Findings, Sketches
from tamis.stages.dedup.minhash_config import MinHashConfig
from tamis.stages.dedup.survivors import survivor_order

PARTS = 16
"""Jobs of the round `verify`, for each of the `num_parts` of the setting."""
MIN_BLOCK, MAX_BLOCK = 8 << 20, 32 << 20
"""Shingles of a block, 8 bytes each: so many that it is worth a job, and so few that it fits the memory of any. A block
may exceed it by one component of as many."""
BLOCKS = b"blocks"
"""Metadata of the candidates: the blocks of each part, as JSON."""
COLLECTED = pa.schema(
    [
        ("part", pa.int32()), ("block", pa.int32()), ("group", pa.int64()), ("place", pa.int64()),
        ("shingles", pa.large_list(pa.uint64())),
    ],
    metadata={b"partition": b"block"},
)  # fmt: skip
"""What `collect` stores of each candidate: where it is settled, its component, its place among all candidates (in a
component they survive in this order), and its set of shingles."""

Sets = Callable[[pa.Array], tuple[np.ndarray, np.ndarray]]
"""Texts -> their sorted sets of shingles, as `kernels.dedup.verify.shingle_sets`."""


@dataclass(frozen=True, kw_only=True)
class Members:
    """All documents that are linked to another one: their `lines` (int64[n], ascending), the label of their component
    (`groups`, int64), what decides who survives (`ranks`), the `digest` of their shingles (uint64) and their number of
    `units` (int64)."""

    lines: np.ndarray
    groups: np.ndarray
    ranks: list[np.ndarray]
    digests: np.ndarray
    units: np.ndarray


def candidates(members: Members, where: pa.Table, parts: int) -> pa.Table:
    """One row per member, in order: `line`, `shard`, `row`; `head`: the line of the first of its component with the
    same shingles; `place`, `group`, `block`, `part` of a head that is to be compared with others; else -1."""
    order = survivor_order(members.lines, members.groups, members.ranks)
    groups, digests, units = members.groups[order], members.digests[order], members.units[order]
    positions = np.arange(len(order))
    by_content = np.lexsort((positions, units, digests, groups))
    new = _changes(groups[by_content]) | _changes(digests[by_content]) | _changes(units[by_content])
    heads = np.empty(len(order), np.int64)
    heads[by_content] = by_content[np.maximum.accumulate(np.where(new, positions, 0))]
    # A component whose documents all have the same shingles is decided.
    compared = np.flatnonzero(heads == positions)
    _, inverse, counts = np.unique(groups[compared], return_inverse=True, return_counts=True)
    compared = compared[counts[inverse] > 1]
    blocks, owners = pack(groups[compared], units[compared], parts)
    found = {"line": members.lines, "shard": where["shard"], "row": where["row"]}
    found["head"] = _in_order(order, members.lines[order][heads])
    values = {"place": np.arange(len(compared)), "group": groups[compared], "block": blocks, "part": owners}
    for name, numbers in values.items():
        column = np.full(len(order), -1, np.int64)
        column[compared] = numbers
        found[name] = _in_order(order, column)
    by_part: dict[int, list[int]] = {}
    for block, owner in sorted(set(zip(blocks.tolist(), owners.tolist(), strict=True))):
        by_part.setdefault(owner, []).append(block)
    return pa.table(found).replace_schema_metadata({BLOCKS: json.dumps(by_part).encode()})


def _changes(values: np.ndarray) -> np.ndarray:
    """bool: where a value differs from the one before it, and the first."""
    return np.append(True, values[1:] != values[:-1])[: len(values)]


def _in_order(order: np.ndarray, values: np.ndarray) -> np.ndarray:
    """`values[k]` at the place `order[k]`."""
    placed = np.empty_like(values)
    placed[order] = values
    return placed


def pack(groups: np.ndarray, sizes: np.ndarray, parts: int) -> tuple[np.ndarray, np.ndarray]:
    """`(blocks, owners)`, int64[n]: the block of each candidate, numbered from 0 in ascending order, and the part that
    settles it. `groups` are in one piece each; all blocks of a group have one owner."""
    if not len(groups):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    new = _changes(groups)
    starts = np.flatnonzero(new)
    totals = np.add.reduceat(sizes, starts)
    before = np.cumsum(totals) - totals
    target = min(max(int(totals.sum()) // parts, MIN_BLOCK), MAX_BLOCK)
    of_group = np.cumsum(new) - 1
    is_large = (totals > MAX_BLOCK)[of_group]
    pieces = np.where(is_large, (np.cumsum(sizes) - sizes - before[of_group]) // (MAX_BLOCK // 2), 0)
    large = np.where(is_large, of_group + 1, 0)
    blocks = np.cumsum(_changes((before // target)[of_group]) | _changes(large) | _changes(pieces)) - 1
    return blocks, blocks[starts][of_group] % parts


def collect(shard: int, findings: Findings, sketches: Sketches, sets: Sets) -> pa.Table:
    """`COLLECTED` of the candidates of a shard, by block and place."""
    names = ["row", "part", "block", "group", "place"]
    found = findings.table(1, names, ("shard", shard))
    rows, places = found["row"].to_numpy(), found["place"].to_numpy()
    wanted = np.flatnonzero(places >= 0)
    rows, values, lengths, start = rows[wanted], [np.zeros(0, np.uint64)], [np.zeros(0, np.int64)], 0
    for batch in sketches.documents(shard, [columns.TEXT]) if len(rows) else ():
        first, last = np.searchsorted(rows, [start, start + batch.num_rows])
        if last > first:
            flat, offsets = sets(batch.column(columns.TEXT).take(pa.array(rows[first:last] - start)))
            values.append(flat)
            lengths.append(np.diff(offsets))
        start += batch.num_rows
    offsets = np.cumsum(np.concatenate([[0], *lengths]))
    shingles = pa.LargeListArray.from_arrays(pa.array(offsets, pa.int64()), pa.array(np.concatenate(values)))
    order = np.lexsort((places[wanted], found["block"].to_numpy()[wanted]))
    table = found.take(pa.array(wanted)).append_column("shingles", shingles).take(pa.array(order))
    return table.select(COLLECTED.names).cast(COLLECTED)


def verify(part: int, findings: Findings, config: MinHashConfig) -> pa.Table:
    """One row per candidate of the part that is removed, or that was not compared with all that it might resemble:
    `place`, `keeper` (the place of the one that is kept for it), `similarity`, `limited`."""
    by_part = json.loads(findings.table(1, ["line"], ("line", -1)).schema.metadata[BLOCKS])
    settled, large = [_NONE], _Pieces(config)
    for block in by_part.get(str(part), ()):
        candidate = _Block.read(findings, block)
        is_piece = large.begin(candidate.groups)
        for piece, kept in large.kept if is_piece else ():
            if len(kept):
                candidate.settle(config, _Block.read(findings, piece).only(kept))
        candidate.settle(config)
        large.kept.append((block, candidate.places[candidate.keepers == candidate.places]))
        settled.append(candidate.table())
    return pa.concat_tables(settled)


class _Pieces:
    """Of the component that is being settled piece by piece: the places that were kept, by block."""

    def __init__(self, config: MinHashConfig) -> None:
        self.kept: list[tuple[int, np.ndarray]] = []
        self._group = -1

    def begin(self, groups: np.ndarray) -> bool:
        """Whether a block of these `groups` is a further piece of the component before it."""
        continues = len(groups) > 0 and groups[0] == groups[-1] == self._group
        self._group = int(groups[-1]) if len(groups) and groups[0] == groups[-1] else -1
        if not continues:
            self.kept = []
        return continues


@dataclass
class _Block:
    """Candidates of one block in order, and for each the place of its keeper, at first its own."""

    places: np.ndarray
    groups: np.ndarray
    values: np.ndarray
    starts: np.ndarray
    keepers: np.ndarray
    similarity: np.ndarray
    limited: np.ndarray

    @classmethod
    def read(cls, findings: Findings, block: int) -> "_Block":
        table = findings.table(2, ["place", "group", "shingles"], ("block", block)).sort_by("place").combine_chunks()
        places, groups = table["place"].to_numpy(), table["group"].to_numpy()
        lists = table["shingles"].chunk(0)
        return cls(
            places=places, groups=groups, values=lists.flatten().to_numpy(),
            starts=np.concatenate([[0], np.cumsum(np.diff(lists.offsets.to_numpy()))]),
            keepers=places.copy(), similarity=np.zeros(len(places), np.float32), limited=np.zeros(len(places), bool),
        )  # fmt: skip

    def only(self, places: np.ndarray) -> "_Block":
        """The candidates at `places`, which are here, in the same order."""
        wanted = np.searchsorted(self.places, places)
        lists = pa.LargeListArray.from_arrays(pa.array(self.starts), pa.array(self.values)).take(pa.array(wanted))
        return _Block(
            places=places, groups=self.groups[wanted], values=lists.flatten().to_numpy(),
            starts=np.concatenate([[0], np.cumsum(np.diff(self.starts)[wanted])]),
            keepers=places, similarity=self.similarity[wanted], limited=self.limited[wanted],
        )  # fmt: skip

    def settle(self, config: MinHashConfig, kept: "_Block | None" = None) -> None:
        """Find keepers for the candidates that have none: among those of `kept`, or else among one another."""
        from tamis.kernels.dedup.verify import settle

        alive = self if (self.keepers == self.places).all() else self.only(self.places[self.keepers == self.places])
        values, starts, groups, places = alive.values, alive.starts, alive.groups, alive.places
        fixed = len(kept.places) if kept is not None else 0
        if kept is not None:
            values = np.concatenate([kept.values, values])
            starts = np.concatenate([kept.starts, kept.starts[-1] + starts[1:]])
            groups, places = np.concatenate([kept.groups, groups]), np.concatenate([kept.places, places])
        contained = config.verify == "contained"
        keepers, similarity, limited, _ = settle(values, starts, groups, fixed, config.min_similarity, contained)
        mine = np.searchsorted(self.places, alive.places)
        self.keepers[mine] = places[keepers[fixed:]]
        self.similarity[mine] = similarity[fixed:]
        self.limited[mine] |= limited[fixed:]
        self.limited &= self.keepers == self.places

    def table(self) -> pa.Table:
        told = np.flatnonzero((self.keepers != self.places) | self.limited)
        columns = [self.places[told], self.keepers[told], self.similarity[told], self.limited[told]]
        return pa.Table.from_arrays([pa.array(column) for column in columns], schema=_NONE.schema)


_NONE = pa.schema(
    [("place", pa.int64()), ("keeper", pa.int64()), ("similarity", pa.float32()), ("limited", pa.bool_())]
).empty_table()


@dataclass(frozen=True, kw_only=True)
class Settled:
    """What became of the members: their `lines`, the line of each one's keeper (its own, where it is kept), the
    similarity of the two (NaN where it is kept), the number of candidates that were compared, and of those for which
    the limits of the search were reached."""

    lines: np.ndarray
    keepers: np.ndarray
    similarity: np.ndarray
    num_compared: int
    num_limited: int


def conclude(findings: Findings) -> Settled:
    """Keepers of all members from those of the candidates."""
    members, settled = findings.table(1, ["line", "head", "place"]), findings.table(3)
    lines, heads, places = (members[name].to_numpy() for name in ("line", "head", "place"))
    compared = np.flatnonzero(places >= 0)
    line_of = np.empty(len(compared), np.int64)
    line_of[places[compared]] = lines[compared]
    keeper_of, likeness = np.arange(len(compared)), np.zeros(len(compared), np.float32)
    place = settled["place"].to_numpy()
    keeper_of[place], likeness[place] = settled["keeper"].to_numpy(), settled["similarity"].to_numpy()
    # A document goes where the first one with its shingles goes, which has the same similarity to the keeper.
    place_of_head = places[np.searchsorted(lines, heads)]
    is_compared = place_of_head >= 0
    keepers, similarity = heads.copy(), np.ones(len(lines), np.float32)
    keepers[is_compared] = line_of[keeper_of[place_of_head[is_compared]]]
    goes = is_compared & (keepers != heads)
    similarity[goes] = likeness[place_of_head[goes]]
    similarity[keepers == lines] = np.nan
    return Settled(
        lines=lines,
        keepers=keepers,
        similarity=similarity,
        num_compared=len(compared),
        num_limited=int(np.sum(settled["limited"].to_numpy(zero_copy_only=False))),
    )
