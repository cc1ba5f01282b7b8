"""The index of the reference: the runs of words of every item, joined and by part.

A page can quote a question and its answer with other words between them, as "Question: … Answer: …" has. Runs that
cross from one into the other are then not on the page, and of a short item these are most. So an item that would be
missed by them is indexed a second time, by its parts: the runs within each long part, and a short part, which says
nothing by itself, as a follower that must stand near the long one.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import pyarrow as pa

from tamis.base.errors import DataError
from tamis.stages.decontaminate.reference import Item

LEAST_ANCHOR_WORDS = 5
"""Fewest words of the longer part of an item whose parts are both too short to match by themselves."""
ALONE = 0.5
"""The share of an item that its longer part is. Where less is enough to remove a page, a part that is too short to
match by itself is not indexed: it would remove everyday sentences."""


@dataclass(kw_only=True)
class _Entries:
    """What is indexed: the distinct runs of each item with the follower of each run (-1 for none)."""

    runs: list[np.ndarray] = field(default_factory=list)
    followers: list[np.ndarray] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    lengths: set[int] = field(default_factory=set)
    parts: list[np.ndarray] = field(default_factory=list)
    is_after: list[bool] = field(default_factory=list)
    weights: list[int] = field(default_factory=list)

    def add(self, runs: np.ndarray, anchor: int | None = None, part: np.ndarray | None = None) -> None:
        """An item of the distinct `runs`. `part`: words that must stand near the run `anchor`, and count as much as all
        runs together."""
        followers = np.full(len(runs), -1, np.int32)
        weight = 0
        if part is not None and anchor is not None:
            followers[np.flatnonzero(runs == np.uint64(anchor))] = len(self.parts)
            weight = len(runs)
            self.parts.append(part)
            self.weights.append(weight)
        self.runs.append(runs)
        self.followers.append(followers)
        self.sizes.append(len(runs) + weight)


class RunIndex:
    """The runs of words of reference items, and which items hold each. Takes about 50 bytes per word of reference.

    Raises DataError when no item is long enough to match.
    """

    def __init__(self, items: Sequence[Item], ngram: int, min_item_words: int, most: float) -> None:
        """`most`: the largest share of an item that a document may contain."""
        from tamis.kernels.text.ngrams import Reference, hash_bits, hash_index

        self._ngram, self._least, self._most = ngram, min(min_item_words, ngram), most
        self._entries = _Entries()
        words, offsets = word_hashes(pa.array([text for item in items for text in item], pa.large_string()))
        for (start, middle), (_, end) in zip(list(pairwise(offsets))[::2], list(pairwise(offsets))[1::2], strict=True):
            self._add(words[start:middle], words[middle:end])
        found = self._entries
        if not found.runs:
            raise DataError(
                f"decontaminate.reference: none of its {len(items)} texts has the {min_item_words} words that a match "
                "needs"
            )
        self.lengths = np.array(sorted(found.lengths), np.int64)
        hashes, followers = np.concatenate(found.runs), np.concatenate(found.followers)
        order = np.argsort(hashes, kind="stable")
        distinct, first = np.unique(hashes[order], return_index=True)
        owners = np.repeat(np.arange(len(found.runs), dtype=np.int32), [len(runs) for runs in found.runs])
        keys, places = hash_index(distinct)
        self._reference = Reference(
            keys=keys, places=places, bits=hash_bits(distinct), items=owners[order], follower=followers[order],
            item_offsets=np.append(first, len(hashes)).astype(np.int64),
            item_sizes=np.array(found.sizes, np.int32),
            part_words=np.concatenate([*found.parts, np.zeros(0, np.uint64)]),
            part_offsets=np.cumsum([0, *map(len, found.parts)]).astype(np.int64),
            part_is_after=np.array(found.is_after, np.bool_), part_weights=np.array(found.weights, np.int32),
        )  # fmt: skip

    def _runs(self, words: np.ndarray) -> np.ndarray:
        """The runs of a text in order: of `ngram` words, or the whole text where it is shorter."""
        from tamis.kernels.text.ngrams import run_hashes

        length = min(self._ngram, len(words))
        self._entries.lengths.add(length)
        found: np.ndarray = run_hashes(words, length)
        return found

    def _add(self, stem: np.ndarray, ending: np.ndarray) -> None:
        num_words = len(stem) + len(ending)
        if num_words < self._least:
            return
        joined = self._runs(np.concatenate([stem, ending]))
        self._entries.add(np.unique(joined))
        if not (len(stem) and len(ending)):
            return
        within = sum(max(0, len(part) - self._ngram + 1) for part in (stem, ending))
        if within / len(joined) > self._most:
            return  # The runs inside of the parts are enough to find it.
        long = [part for part in (stem, ending) if len(part) >= self._least]
        if len(long) == 2:
            self._entries.add(np.unique(np.concatenate([self._runs(stem), self._runs(ending)])))
            return
        is_after = len(stem) >= len(ending)
        anchor, part = (stem, ending) if is_after else (ending, stem)
        if len(anchor) < self._least and self._most < ALONE:
            return
        if len(anchor) >= min(LEAST_ANCHOR_WORDS, self._least):
            runs = self._runs(anchor)
            self._entries.is_after.append(is_after)
            self._entries.add(np.unique(runs), int(runs[-1] if is_after else runs[0]), part)

    def overlaps(self, texts: pa.Array) -> tuple[np.ndarray, np.ndarray]:
        """`(int32[n], float32[n])` for n documents: see `kernels.text.ngrams.overlaps`."""
        from tamis.kernels.text.ngrams import overlaps

        words, offsets = word_hashes(texts)
        found: tuple[np.ndarray, np.ndarray] = overlaps(words, offsets, self.lengths, self._reference)
        return found


def word_hashes(texts: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """The hashes of the words of texts, and where each text's begin."""
    from tamis.kernels.text.decoding import views
    from tamis.kernels.text.matching import folds, matching_hashes

    hashes: tuple[np.ndarray, np.ndarray] = matching_hashes(*views(texts), *folds())
    return hashes
