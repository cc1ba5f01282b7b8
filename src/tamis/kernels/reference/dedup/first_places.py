"""Where runs of tokens occur first, in plain Python: the twin of `first_places`."""

from collections.abc import Hashable, Iterable, Sequence
from typing import TypeVar

Key = TypeVar("Key", bound=Hashable)


def windows(tokens: Sequence[Hashable], width: int) -> list[tuple[Hashable, ...]]:
    """All runs of `width` tokens of a document, in order."""
    return [tuple(tokens[at : at + width]) for at in range(len(tokens) - width + 1)]


def first_places(
    wanted: Iterable[Key], documents: Iterable[tuple[int, int, Sequence[tuple[Key, int]]]]
) -> dict[Key, tuple[int, int, int]]:
    """Of each key that is wanted and occurs: shard, row and position of its first occurrence. A document is its shard,
    its row, and its keys, each with its position."""
    left, found = set(wanted), dict[Key, tuple[int, int, int]]()
    for shard, row, keys in documents:
        for key, position in keys:
            if key in left:
                left.remove(key)
                found[key] = (shard, row, position)
    return found
