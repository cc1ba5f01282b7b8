"""The shards of a pool: one file each, or, where a pool has very many small files, neighbouring ones together.

A task, its records and its stored files cost some tens of milliseconds and a dozen files, whatever is read. Where one
ends is decided by the names of the files next to it, so that a file that is added or removed changes the group that it
belongs to, and no other: what was done with the others is still valid.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from tamis.base.errors import DataError
from tamis.base.hashing import fingerprint
from tamis.base.stage import InputShard
from tamis.store.digests import input_mark
from tamis.store.parts import Part

SMALL_BYTES = 1 << 20
"""Only smaller files are grouped: reading a larger one takes longer than its task costs."""
FEW_FILES = 256
"""A pool with no more small files than this is read file by file, on as many workers as there are."""
MEAN_FILES = 64
"""One file in so many, by the hash of its name, is the last of its group."""
GROUP_BYTES = 8 << 20
GROUP_FILES = 512
"""A group ends before it gets larger than this."""


@dataclass(frozen=True, kw_only=True)
class PoolShard(InputShard):
    """A file, or its first `max_documents` documents; or a group of files, its `members`; or a `part` of a file."""

    part: Part | None = None
    file_name: str = ""
    """Of a part, the name of the file."""
    max_documents: int | None = None
    mark: str = ""
    """What changes when the bytes of the file do (`input_mark`); '' where that is not checked."""
    members: tuple["PoolShard", ...] = ()


def files_of(shard: InputShard) -> Sequence[PoolShard]:
    """The files of a shard, in the order in which they are read."""
    assert isinstance(shard, PoolShard)
    return shard.members or (shard,)


def grouped(files: Sequence[PoolShard]) -> list[PoolShard]:
    """The shards of a pool of these files, in their order."""
    if sum(file.size_bytes < SMALL_BYTES for file in files) <= FEW_FILES:
        return list(files)
    return [members[0] if len(members) == 1 else _group(members) for members in _runs(files)]


def _runs(files: Iterable[PoolShard]) -> Iterator[list[PoolShard]]:
    """Neighbouring files that are read together."""
    current: list[PoolShard] = []
    size = 0
    for file in files:
        is_small = file.size_bytes < SMALL_BYTES
        if current and (not is_small or size + file.size_bytes > GROUP_BYTES or len(current) == GROUP_FILES):
            yield current
            current, size = [], 0
        if not is_small:
            yield [file]
            continue
        current.append(file)
        size += file.size_bytes
        if _is_last(file.name):
            yield current
            current, size = [], 0
    if current:
        yield current


def _is_last(name: str) -> bool:
    digest = hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") % MEAN_FILES == 0


def _group(members: list[PoolShard]) -> PoolShard:
    first, more = members[0], f" and {len(members) - 1} more"
    return PoolShard(
        name=first.name + more,
        uri=first.uri + more,
        size_bytes=sum(member.size_bytes for member in members),
        fingerprint=fingerprint("group", [[member.name, member.fingerprint] for member in members]),
        files=tuple(member.name for member in members),
        members=tuple(members),
    )


def check_unchanged(file: PoolShard) -> None:
    """Called when a file has been read. Raises DataError when it is not the one that the run was planned with: its
    documents would be stored as those of the other."""
    try:
        changed = bool(file.mark) and input_mark(file.uri) != file.mark
    except OSError:
        changed = True
    if changed:
        raise DataError(
            f"{file.uri}: this file of the pool was changed or replaced while the run was reading it. Run the same "
            "command again: it reads the new file, and keeps what was made of all others."
        )
