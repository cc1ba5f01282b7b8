"""Names the first place in the corpus of the text that a method cuts, in rounds that follow its decision.

Cut text is compared in the units of the method: the n-grams of a Bloom filter, or the windows of repeated spans, both
called windows here. `search` looks for the first place of every window of the cut text while it streams the sketches,
and joins windows whose first places follow one another into pieces. `locate` reads the documents of each shard in
which pieces were found, for their ids and byte offsets. `compare` reads the documents of each shard that were cut, for
the bytes of the pieces, and compares the tokens of both places, because hashes of 64 bits may be equal by chance.
`conclude` adds the pieces to the decision.

All rounds but `conclude` need an amount of memory that does not depend on the corpus. `search` streams the sketches of
its group again for every `MOST_WINDOWS` windows of cut text.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Literal, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tamis.base import columns
from tamis.base.stage import Findings, Sketches

FIRST_PLACES = "first_places"
"""Column of a document of which text was cut, or that was removed."""
PLACE = pa.struct([("start", pa.int64()), ("end", pa.int64()), ("document", pa.string()), ("offset", pa.int64())])
"""Bytes `start:end` of the text before the cuts stand first in `document`, at the byte `offset` of its text; both are
null where no earlier place has them."""
FIELD = pa.field(FIRST_PLACES, pa.list_(PLACE))

PARTS = 4
"""Jobs of the round `search` for each group."""
MOST_WINDOWS = 1 << 22
"""Windows of cut text that are looked up at once."""
SEARCH_BYTES = MOST_WINDOWS * 150 + (190 << 20)
"""Memory of a job of `search`: 117 bytes for each window were measured, more where pieces are short, and the sketches
that are being read."""
SEARCH, LOCATE, COMPARE, CONCLUDE = range(2, 6)

_FOUND = pa.schema(
    [
        ("shard", pa.int32()), ("row", pa.int64()), ("first", pa.int64()), ("windows", pa.int64()),
        ("unit", pa.int64()), ("first_shard", pa.int32()), ("first_row", pa.int64()), ("first_position", pa.int64()),
    ]
)  # fmt: skip
"""A piece: its document, the position of its first window there, the number of its windows, the position at which the
unit that was cut begins, and the place. `first_row` is -1 where there is none; `first_shard` is then its own."""
_LOCATED = pa.schema([*list(_FOUND)[:5], ("document", pa.string()), ("offset", pa.int64()), ("digest", pa.binary())])
_COMPARED = pa.schema([*list(_FOUND)[:5], *PLACE])


@dataclass(frozen=True, kw_only=True)
class WindowLines:
    """Some documents as windows: `shards` (int32) and `rows` (int64) per document; the hashes of document k are
    `keys[offsets[k]:offsets[k + 1]]` (uint64, int64), at `positions` (int64). It consists of the units
    `unit_offsets[k]:unit_offsets[k + 1]` (lines, or the document); `unit_keys` is the place in `keys` of the first
    window of each, `unit_numbers` its number in the document. The positions of windows that follow one another in one
    unit differ by 1, all others by more."""

    shards: np.ndarray
    rows: np.ndarray
    keys: np.ndarray
    offsets: np.ndarray
    positions: np.ndarray
    unit_offsets: np.ndarray
    unit_keys: np.ndarray
    unit_numbers: np.ndarray


@dataclass(frozen=True, kw_only=True)
class Asked:
    """Windows of cut text, as ranges `keys[first:last]` of some `WindowLines`, with the place of the document of each
    range in them (`lines`) and the position at which its unit begins (`units`)."""

    lines: np.ndarray
    first: np.ndarray
    last: np.ndarray
    units: np.ndarray


@dataclass(frozen=True, kw_only=True)
class TokenPlaces:
    """Tokens of some texts: `starts` and `ends` (bytes in the text) and `hashes`; `range_of(documents, positions,
    windows)` gives the tokens (begin and end in these arrays) of `windows` windows from a position on."""

    starts: np.ndarray
    ends: np.ndarray
    hashes: np.ndarray
    range_of: Callable[[np.ndarray, np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]

    def of(self, documents: np.ndarray, positions: np.ndarray, windows: np.ndarray) -> tuple[np.ndarray, ...]:
        """Start and end in bytes, and a digest of the tokens (list of bytes) of each piece."""
        begins, ends = self.range_of(documents, positions, windows)
        pairs = zip(begins.tolist(), ends.tolist(), strict=True)
        digests = [blake2b(self.hashes[begin:end].tobytes(), digest_size=16).digest() for begin, end in pairs]
        return self.starts[begins], self.ends[ends - 1], np.array(digests, object)


OwnPlace = Literal["none", "skipped", "named"]


class Method(Protocol):
    """What a method of deduplication says of its windows."""

    groups: int
    """Shard i belongs to group i modulo `groups`."""
    decision_round: int
    """The number of the round whose findings say what is cut."""
    own_place: OwnPlace
    """What to tell of a window that has no earlier place. `none`: that it has none, which also holds where the first
    place is in the unit itself. `skipped`: nothing, because nothing was cut for this window. `named`: its own place."""

    def stream(self, sketches: Sketches, shards: Sequence[int]) -> Iterator[WindowLines]:
        """The documents of some shards, in order, without planted copies."""

    def asked(self, lines: WindowLines, decisions: pa.Table) -> Asked:
        """What is cut of some documents; `decisions` are those of their shard."""

    def tokens(self, texts: pa.Array) -> TokenPlaces:
        """The tokens of some texts."""

    def details(self, pieces: pa.Table, decisions: pa.Table) -> dict[str, Any]:
        """What the card tells beside the number of pieces."""


def without_default(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings of a method without `name_first` where it is off: it changes nothing then, also not the fingerprint."""
    return {name: value for name, value in settings.items() if name != "name_first" or value}


def rounds(groups: int, num_shards: int) -> list[tuple[str, int]]:
    """The rounds after the decision, as `Group.later_rounds`; shard i belongs to group i modulo `groups`."""
    return [("search", PARTS * groups), ("locate", num_shards), ("compare", num_shards), ("conclude", 1)]


def decide(round_number: int, job: int, findings: Findings, sketches: Sketches, method: Method) -> pa.Table:
    """The findings of one job of these rounds, as `Group.decide_later`."""
    if round_number == SEARCH:
        return _search(job, findings, sketches, method)
    if round_number == LOCATE:
        return _locate(job, findings, sketches, method)
    if round_number == COMPARE:
        return _compare(job, findings, sketches, method)
    return _conclude(findings, method)


def places_of(rows: pa.Array, decisions: pa.Table) -> pa.Array:
    """The column of `FIELD` for documents at `rows`, from the decisions on their shard."""
    named = decisions.filter(pc.is_valid(decisions[FIRST_PLACES])).combine_chunks()
    found = pc.index_in(rows, value_set=named["row"])
    return pa.chunked_array(named[FIRST_PLACES].take(found).chunks, FIELD.type).combine_chunks()


# search


@dataclass
class _Slice:
    """Windows of cut text: per range `shards`, `rows`, `units`; per window its `keys`, `positions` and range."""

    parts: list[tuple[np.ndarray, ...]]
    windows: list[tuple[np.ndarray, ...]]
    num_ranges: int = 0
    num_windows: int = 0

    def add(self, lines: WindowLines, asked: Asked) -> None:
        counts = asked.last - asked.first
        starts = np.cumsum(counts) - counts
        which = np.repeat(np.arange(len(counts)), counts)
        places = np.arange(len(which)) + (asked.first - starts)[which]
        self.parts.append((lines.shards[asked.lines].astype(np.int64), lines.rows[asked.lines], asked.units))
        self.windows.append((lines.keys[places], lines.positions[places], which + self.num_ranges))
        self.num_ranges += len(counts)
        self.num_windows += len(which)


def _search(job: int, findings: Findings, sketches: Sketches, method: Method) -> pa.Table:
    group, part = divmod(job, PARTS)
    shards = range(group, sketches.num_shards, method.groups)
    found = [_FOUND.empty_table()]
    for some in _slices(findings, sketches, method, shards[part::PARTS]):
        last = max(int(shard[-1]) for shard, _, _ in some.parts)
        found.append(_pieces(some, method, method.stream(sketches, [shard for shard in shards if shard <= last])))
    keys = ("first_shard", "shard", "row", "first")
    return _partitioned(pa.concat_tables(found), keys)


def _slices(findings: Findings, sketches: Sketches, method: Method, shards: Sequence[int]) -> Iterator[_Slice]:
    some = _Slice([], [])
    for shard in shards:
        decisions = findings.table(method.decision_round, None, ("shard", shard))
        for lines in method.stream(sketches, [shard]) if decisions.num_rows else ():
            asked = method.asked(lines, decisions)
            if len(asked.lines):
                some.add(lines, asked)
            if some.num_windows >= MOST_WINDOWS:
                yield some
                some = _Slice([], [])
    if some.num_windows:
        yield some


def _pieces(some: _Slice, method: Method, stream: Iterator[WindowLines]) -> pa.Table:
    """The pieces of cut text, as `_FOUND`."""
    shards, rows, units = map(np.concatenate, zip(*some.parts, strict=True))
    keys, positions, ranges = map(np.concatenate, zip(*some.windows, strict=True))
    wanted, which = np.unique(keys, return_inverse=True)
    first_shards, first_rows, first_positions = (values[which] for values in _first_of(wanted, stream))
    is_own = (first_shards == shards[ranges]) & (first_rows == rows[ranges])
    if method.own_place == "skipped":
        stays = ~(is_own & (first_positions == positions))
        positions, ranges = positions[stays], ranges[stays]
        first_shards, first_rows, first_positions = (
            values[stays] for values in (first_shards, first_rows, first_positions)
        )
    none = np.zeros(len(ranges), np.bool_)
    if method.own_place == "none":
        none = is_own & (first_positions >= units[ranges])
        first_shards = np.where(none, shards[ranges], first_shards)
        first_rows = np.where(none, -1, first_rows)
        first_positions = np.where(none, -1, first_positions)
    follows = (np.diff(ranges) == 0) & (np.diff(positions) == 1) & (np.diff(first_rows) == 0)
    follows &= (np.diff(first_shards) == 0) & (none[1:] | (np.diff(first_positions) == 1))
    begins = np.flatnonzero(np.append(True, ~follows)[: len(ranges)])
    values = [
        shards[ranges[begins]], rows[ranges[begins]], positions[begins], np.diff(np.append(begins, len(ranges))),
        units[ranges[begins]], first_shards[begins], first_rows[begins], first_positions[begins],
    ]  # fmt: skip
    arrays = [pa.array(value).cast(field.type) for value, field in zip(values, _FOUND, strict=True)]
    return pa.Table.from_arrays(arrays, schema=_FOUND)


def _first_of(wanted: np.ndarray, stream: Iterator[WindowLines]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Shard, row and position of the first place of each hash that is wanted (distinct)."""
    from tamis.kernels.dedup.first_places import fill, note_first

    slots = np.full(2 * len(wanted) + 1, -1)
    fill(slots, wanted)
    first_shards, first_rows, first_positions = (np.full(len(wanted), -1) for _ in range(3))
    missing = len(wanted)
    for lines in stream:
        missing -= note_first(
            slots, wanted, lines.keys, lines.offsets, lines.positions, lines.shards, lines.rows, first_shards,
            first_rows, first_positions,
        )  # fmt: skip
        if not missing:
            break
    return first_shards, first_rows, first_positions


def _partitioned(table: pa.Table, keys: Sequence[str]) -> pa.Table:
    """The table ordered by `keys`, so that the rows with each value of the first can be read apart."""
    order = np.lexsort([table[key].to_numpy() for key in reversed(keys)])
    return table.take(pa.array(order)).replace_schema_metadata({b"partition": keys[0].encode()})


# locate, compare


def _read_places(
    shard: int, places: tuple[np.ndarray, np.ndarray, np.ndarray], sketches: Sketches, method: Method
) -> tuple[pa.Array, np.ndarray, np.ndarray, np.ndarray]:
    """Of pieces of a shard's documents (`places`: rows in ascending order, positions, numbers of windows): the ids of
    the documents, start and end in bytes, digests."""
    rows, positions, windows = places
    ids, found, start = list[pa.Array](), list[tuple[np.ndarray, ...]](), 0
    for batch in sketches.documents(shard, [columns.ID, columns.TEXT]) if len(rows) else ():
        first, last = np.searchsorted(rows, [start, start + batch.num_rows])
        if last > first:
            concerned, which = np.unique(rows[first:last] - start, return_inverse=True)
            tokens = method.tokens(batch.column(columns.TEXT).take(pa.array(concerned)))
            found.append(tokens.of(which, positions[first:last], windows[first:last]))
            ids.append(batch.column(columns.ID).take(pa.array(rows[first:last] - start)).cast(pa.string()))
        start += batch.num_rows
    if not found:
        none = np.zeros(0, np.int64)
        return pa.nulls(0, pa.string()), none, none, none.astype(object)
    starts, ends, digests = map(np.concatenate, zip(*found, strict=True))
    return pa.concat_arrays(ids), starts, ends, digests


def _locate(shard: int, findings: Findings, sketches: Sketches, method: Method) -> pa.Table:
    """The pieces whose first places are in a shard, with id, byte offset and digest of these places."""
    pieces = findings.table(SEARCH, None, ("first_shard", shard)).sort_by("first_row").combine_chunks()
    num_none = int(np.searchsorted(pieces["first_row"].to_numpy(), 0))
    places = (pieces[name].to_numpy()[num_none:] for name in ("first_row", "first_position", "windows"))
    ids, offsets, _, digests = _read_places(shard, tuple(places), sketches, method)
    values = (ids, pa.array(offsets), pa.array(digests.tolist(), pa.binary()))
    located = pieces.select(_LOCATED.names[:5])
    for field, column in zip(list(_LOCATED)[5:], values, strict=True):
        located = located.append_column(field, pa.concat_arrays([pa.nulls(num_none, field.type), column]))
    return _partitioned(located, ("shard", "row", "first"))


def _compare(shard: int, findings: Findings, sketches: Sketches, method: Method) -> pa.Table:
    """The pieces of a shard's documents in order. One whose tokens are not those of its place has none."""
    pieces = findings.table(LOCATE, None, ("shard", shard))
    pieces = pieces.sort_by([("row", "ascending"), ("first", "ascending")]).combine_chunks()
    places = tuple(pieces[name].to_numpy() for name in ("row", "first", "windows"))
    _, starts, ends, digests = _read_places(shard, places, sketches, method)
    equal = pc.fill_null(pc.equal(pieces["digest"], pa.array(digests.tolist(), pa.binary())), False)
    none = pa.scalar(None)
    values = {
        "start": pa.array(starts), "end": pa.array(ends),
        "document": pc.if_else(equal, pieces["document"], none.cast(pa.string())),
        "offset": pc.if_else(equal, pieces["offset"], none.cast(pa.int64())),
    }  # fmt: skip
    compared = pieces.select(_COMPARED.names[:5])
    for name, column in values.items():
        compared = compared.append_column(_COMPARED.field(name), column)
    return compared


# conclude


def document_keys(table: pa.Table) -> np.ndarray:
    """int64 per row: a number for its document, in the order of shard and row."""
    keys: np.ndarray = (table["shard"].to_numpy().astype(np.int64) << 40) | table["row"].to_numpy()
    return keys


def _conclude(findings: Findings, method: Method) -> pa.Table:
    """The decision, with the pieces of each document in the first row about it."""
    decisions = findings.table(method.decision_round).replace_schema_metadata(None)
    pieces = findings.table(COMPARE).replace_schema_metadata(None).combine_chunks()
    documents, starts = np.unique(document_keys(pieces), return_index=True)
    decided, places = np.unique(document_keys(decisions), return_index=True)
    told = np.full(decisions.num_rows, -1)
    told[places[np.searchsorted(decided, documents)]] = np.arange(len(documents))
    values = pa.StructArray.from_arrays(
        [pa.concat_arrays(pieces[field.name].chunks or [pa.nulls(0, field.type)]) for field in PLACE],
        fields=list(PLACE),
    )
    lists = pa.ListArray.from_arrays(pa.array(np.append(starts, len(values)), pa.int32()), values)
    column = lists.take(pa.array(told, mask=told < 0)).cast(FIELD.type)
    counts = {
        "pieces": pieces.num_rows,
        "pieces_without_place": pieces["document"].null_count,
        **method.details(pieces, decisions),
    }
    table = decisions.append_column(FIELD, column)
    return table.replace_schema_metadata({b"details": json.dumps({FIRST_PLACES: counts}).encode()})
