"""Large files are read in parts, so that one file keeps all workers busy. Together, the parts give the rows that the
whole file gives, in the same order. Where a file is divided depends on its bytes and on `pool.split_bytes` alone.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import BinaryIO

from tamis.base.compression import MAGIC_BYTES, codec_of
from tamis.base.errors import FormatError
from tamis.base.hashing import fingerprint
from tamis.stages.pool import parquet, readers
from tamis.stages.pool.shards import PoolShard
from tamis.store import parts
from tamis.store.parts import Part
from tamis.store.remote import is_remote

MANY_FILES = 32
"""A pool with more large files than this keeps workers busy without dividing any; to look into each would take long."""
_SHOWN = 3


class WholeError(Exception):
    """Why a large file is read as a whole."""


def split_large(
    shards: Sequence[PoolShard], opener_of: Callable[[PoolShard], readers.Opener], split_bytes: int
) -> tuple[list[PoolShard], list[str]]:
    """The shards with parts in place of large files, and remarks for the user."""
    large = [shard for shard in shards if not shard.members and shard.size_bytes > split_bytes]
    if len(large) > MANY_FILES:
        return list(shards), []
    found: list[PoolShard] = []
    divided: list[str] = []
    whole: dict[str, list[str]] = {}
    for shard in shards:
        pieces = [shard]
        if shard.size_bytes > split_bytes and not shard.members:
            try:
                pieces = split(shard, opener_of(shard), split_bytes)
            except WholeError as why:
                whole.setdefault(str(why), []).append(shard.name)
            else:
                divided += [f"{shard.name} in {len(pieces)}"] if len(pieces) > 1 else []
        found += pieces
    remarks = [f"large files are read in parts: {_listed(divided)}"] if divided else []
    return found, remarks + [f"{_listed(names)}: read by one worker, {why}" for why, names in whole.items()]


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")


def split(file: PoolShard, opener: readers.Opener, split_bytes: int) -> list[PoolShard]:
    """The parts of a large file, or the file itself. Raises WholeError where its format does not allow to divide it."""
    count = -(-file.size_bytes // split_bytes)
    try:
        kind = readers.kind_of(file.uri, opener)
        if kind == "parquet":
            return _row_groups(file, opener, split_bytes)
    except FormatError:
        return [file]  # it is quarantined when it is read
    with opener() as raw:
        if kind == "warc":
            places = _warc_places(raw, file, count)
        else:
            places = [(place, None) for place in _line_places(raw, file.size_bytes, count)]
    starts: list[tuple[int, int | None]] = [(0, -1), *places]
    stops = [*(place for place, _ in places), file.size_bytes]
    last = len(stops) - 1
    found = [
        Part(start=start, stop=stop, is_last=number == last, warcinfo=warcinfo)
        for number, ((start, warcinfo), stop) in enumerate(zip(starts, stops, strict=True))
    ]
    return _shards(file, found, [part.stop - part.start for part in found])


def _shards(file: PoolShard, found: Sequence[Part], sizes: Sequence[int]) -> list[PoolShard]:
    if len(found) == 1:
        return [file]
    return [
        dataclasses.replace(
            file,
            name=f"{file.name}, part {number} of {len(found)}",
            file_name=file.name,
            size_bytes=size,
            fingerprint=fingerprint("part", file.fingerprint, part.start, part.stop),
            part=part,
        )
        for number, (part, size) in enumerate(zip(found, sizes, strict=True), start=1)
    ]


def _warc_places(raw: BinaryIO, file: PoolShard, count: int) -> list[tuple[int, int | None]]:
    head = raw.read(1 << 10)
    if codec_of(head[:MAGIC_BYTES]) is None:
        if parts.RECORD_LINE.match(head) is None:
            raise WholeError("because it is an ARC file, or does not begin with a record")
        if is_remote(file.uri):
            raise WholeError("because a plain WARC file on a server cannot be divided without reading it")
        return list(parts.record_places(raw, file.size_bytes, count))
    places = parts.member_places(raw, file.size_bytes, count, parts.RECORD_LINE)
    if places is None:
        raise WholeError("because it is no WARC file with records that are compressed one by one")
    return [(place, parts.warcinfo_by_id(raw, place)) for place in places]


def _line_places(raw: BinaryIO, size: int, count: int) -> list[int]:
    head = raw.read(1 << 10)
    if codec_of(head[:MAGIC_BYTES]) is None:
        if not head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{"):
            return []  # of another format, as is told when it is read
        return [size * number // count for number in range(1, count)]
    places = parts.member_places(raw, size, count, None)
    if not places:
        raise WholeError("because it was compressed in one piece, or in pieces of megabytes (`bgzip` makes small ones)")
    return places


def _row_groups(file: PoolShard, opener: readers.Opener, split_bytes: int) -> list[PoolShard]:
    sizes = parquet.group_sizes(file.uri, opener)
    found: list[Part] = []
    volumes: list[int] = []
    start = held = 0
    for number, size in enumerate(sizes, start=1):
        held += size
        if held >= split_bytes or number == len(sizes):
            found.append(Part(start=start, stop=number, is_last=number == len(sizes)))
            volumes.append(held)
            start, held = number, 0
    if len(found) <= 1:
        raise WholeError("because it has a single large row group")
    return _shards(file, found, volumes)
