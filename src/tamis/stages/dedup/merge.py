"""Merges near-duplicates into one document: the survivor gets the paragraphs of the removed documents that it lacks.

A paragraph is a line that is not blank. Two count as the same when they are equal but for case and white space, when
the Jaccard similarity of their word 3-grams is 0.8 or more, or when the other contains one of them, of five words or
more, completely. Then the survivor's paragraph is kept, but a longer paragraph replaces one that it contains. A
paragraph that the survivor lacks is inserted after the paragraph that it follows in its own document. No text of the
survivor is lost and, where nothing is new, its text is not changed by a byte.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from tamis.base import columns
from tamis.base.stage import Sketches
from tamis.base.words import normalize, words
from tamis.stages.dedup.survivors import MERGED_FROM, pick

MAX_MEMBERS = 100
"""Largest number of documents of a group that are merged: the survivor and the first of the others."""
MAX_BYTES = 4 << 20
"""Largest number of UTF-8 bytes of a group that are merged: further documents are left out."""

MIN_JACCARD = 0.8
GRAM_WORDS = 3
MIN_CONTAINED_WORDS = 5
"""Words that a paragraph needs to count as part of a longer one; shorter ones, such as headings, do not."""
MAX_PER_GRAM = 16
"""Largest number of paragraphs that are stored per 3-gram. A 3-gram of more paragraphs tells little about similarity,
and pages that repeat one word would take hours."""


@dataclass(frozen=True, kw_only=True)
class Merged:
    """Survivors of groups: `lines` (int64[k], ascending) of the sketch, `table` of `text` and `merged_from` (the ids of
    the documents merged, the survivor first), and for the card how many groups were not merged whole."""

    lines: np.ndarray
    table: pa.Table
    details: dict[str, Any]


def merged_texts(sketches: Sketches, members: np.ndarray, keepers: np.ndarray) -> Merged:
    """Merge every group of at least two documents.

    `members` (int64, ascending) are sketch lines, `keepers` (int64) the survivor of each, which is a member itself. The
    sketch has the columns `id` and `text`; the texts of members alone are read.
    """
    order = np.lexsort((members, members != keepers, keepers))
    starts = np.flatnonzero(np.diff(keepers[order], prepend=-1))
    groups = [group for group in np.split(members[order], starts[1:]) if len(group) > 1]
    lines = np.unique(np.concatenate([np.zeros(0, np.int64), *(group[:MAX_MEMBERS] for group in groups)]))
    table = pick(sketches, [columns.ID, columns.TEXT], lines)
    ids, found = table[columns.ID], table[columns.TEXT]
    texts, sources, partly = [], [], 0
    for group in groups:
        places = np.searchsorted(lines, group[:MAX_MEMBERS])
        taken = _within(places.tolist(), found)
        partly += len(taken) < len(group)
        texts.append(merge_texts([found[place].as_py() or "" for place in taken]))
        sources.append([ids[place].as_py() for place in taken])
    return Merged(
        lines=np.array([group[0] for group in groups], np.int64),
        table=pa.table({columns.TEXT: pa.array(texts, pa.string()), MERGED_FROM: pa.array(sources, _IDS)}),
        details={"groups": len(groups), "not_merged_whole": partly, "max_members": MAX_MEMBERS, "max_bytes": MAX_BYTES},
    )


_IDS = pa.list_(pa.string())


def _within(places: list[int], texts: pa.ChunkedArray) -> list[int]:
    """The first place, and the places after it as long as their texts hold no more than `MAX_BYTES` in all."""
    taken: list[int] = []
    total = 0
    for place in places:
        size = len((texts[place].as_py() or "").encode())
        if not taken or total + size <= MAX_BYTES:
            taken.append(place)
            total += size
    return taken


def add_merged(table: pa.Table, places: np.ndarray, merged: Merged) -> pa.Table:
    """A decision table with the columns `text` and `merged_from`, which are null except in the rows `places` (int64[k])
    of the merged survivors."""
    rows = np.full(table.num_rows, -1)
    rows[places] = np.arange(len(places))
    chosen = merged.table.take(pa.array(rows, mask=rows < 0))
    for name in (columns.TEXT, MERGED_FROM):
        table = table.append_column(merged.table.schema.field(name), chosen[name])
    return table


def merge_texts(texts: list[str]) -> str:
    """The first of `texts` with the paragraphs of the others that it lacks, in their order."""
    if len(texts) == 1:
        return texts[0]
    merged = _Merge()
    tail = merged.take_first(texts[0])
    for text in texts[1:]:
        merged.take(text)
    return merged.text(tail) if merged.changed else texts[0]


def paragraphs(text: str) -> tuple[list[tuple[str, str]], str]:
    """Pairs of the separator before each line of `text` that is not blank (line ends and blank lines) and the line, and
    what follows the last line. Joined, they are `text`."""
    found, before = [], ""
    for number, line in enumerate(text.split("\n")):
        if number:
            before += "\n"
        if line.strip():
            found.append((before, line))
            before = ""
        else:
            before += line
    return found, before


@dataclass
class _Paragraph:
    """One paragraph of the merged text, with the separator before it; `previous` and `next` are the places of its
    neighbours."""

    before: str
    text: str
    normal: str
    grams: frozenset[str]
    previous: int = -1
    next: int = -1


@dataclass
class _Merge:
    """Paragraphs in a linked list, with an index by their normal form and one by their 3-grams."""

    nodes: list[_Paragraph] = field(default_factory=list)
    head: int = -1
    last: int = -1
    changed: bool = False
    _by_normal: dict[str, int] = field(default_factory=dict)
    _by_gram: dict[str, list[int]] = field(default_factory=dict)

    def take_first(self, text: str) -> str:
        """Add all paragraphs of the survivor; returns what follows the last."""
        found, tail = paragraphs(text)
        for before, paragraph in found:
            normal = normalize(paragraph)
            self._link(self._add(_Paragraph(before, paragraph, normal, _grams(normal))), self.last)
        return tail

    def take(self, text: str) -> None:
        """Add the paragraphs of another document that are not in the list yet, each after the paragraph that it follows
        in that document. Those that follow none are put before the first that was in the list already, or at the
        end."""
        last, seen, leading = -1, set(), []
        for before, paragraph in paragraphs(text)[0]:
            normal = normalize(paragraph)
            grams = _grams(normal)
            place = self._find(normal, grams)
            if place < 0:
                self.changed = True
                place = self._add(_Paragraph(before, paragraph, normal, grams))
                if last < 0:
                    leading.append(place)
                else:
                    self._link(place, last)
            elif _is_part(self.nodes[place].normal, normal):
                self._replace(place, paragraph, normal, grams)
            if place in seen or place in leading:  # A repeated paragraph does not move the place of insertion back.
                continue
            if last < 0:
                self._link_all(leading, self.nodes[place].previous)
            last = place
            seen.add(place)
        if last < 0:
            self._link_all(leading, self.last)

    def text(self, tail: str) -> str:
        parts: list[str] = []
        place = self.head
        while place >= 0:
            node = self.nodes[place]
            if node.text:
                starts_line = node.before.startswith("\n") if parts else place == 0
                parts += [node.before if starts_line else "\n" * bool(parts), node.text]
            place = node.next
        return "".join([*parts, tail])

    def _add(self, node: _Paragraph) -> int:
        self.nodes.append(node)
        self._remember(len(self.nodes) - 1, node)
        return len(self.nodes) - 1

    def _link(self, place: int, previous: int) -> None:
        """Put the paragraph at `place` after the one at `previous`, -1 for the start."""
        node = self.nodes[place]
        following = self.head if previous < 0 else self.nodes[previous].next
        node.previous, node.next = previous, following
        if previous < 0:
            self.head = place
        else:
            self.nodes[previous].next = place
        if following < 0:
            self.last = place
        else:
            self.nodes[following].previous = place

    def _link_all(self, places: list[int], previous: int) -> None:
        for place in places:
            self._link(place, previous)
            previous = place

    def _remember(self, place: int, node: _Paragraph) -> None:
        self._by_normal.setdefault(node.normal, place)
        for gram in node.grams:
            places = self._by_gram.setdefault(gram, [])
            if len(places) < MAX_PER_GRAM:
                places.append(place)

    def _find(self, normal: str, grams: frozenset[str]) -> int:
        """The place of the paragraph that counts as the same, or -1; of several, the one that was added first."""
        if normal in self._by_normal:
            return self._by_normal[normal]
        for place in sorted({place for gram in grams for place in self._by_gram.get(gram, ())}):
            node = self.nodes[place]
            both = len(grams & node.grams)
            if both and both >= MIN_JACCARD * (len(grams) + len(node.grams) - both):
                return place
            if _is_part(normal, node.normal) or _is_part(node.normal, normal):
                return place
        return -1

    def _replace(self, place: int, text: str, normal: str, grams: frozenset[str]) -> None:
        """Replace the paragraph at `place`, and all others that the longer paragraph contains, by the longer one."""
        self.changed = True
        others = {other for gram in grams for other in self._by_gram.get(gram, ())}
        for other in sorted(others - {place}):
            node = self.nodes[other]
            if _is_part(node.normal, normal):
                self._by_normal[node.normal] = place
                node.text, node.normal, node.grams = "", "", frozenset()
        node = self.nodes[place]
        self._by_normal[node.normal] = place
        node.text, node.normal, node.grams = text, normal, grams
        self._remember(place, node)


def _is_part(short: str, long: str) -> bool:
    """Whether a longer paragraph contains all words of a shorter one, in the same order and without gaps."""
    if len(short) >= len(long) or short.count(" ") + 1 < MIN_CONTAINED_WORDS:
        return False
    return f" {short} " in f" {long} "


def _grams(normal: str) -> frozenset[str]:
    found = words(normal)
    return frozenset(" ".join(found[start : start + GRAM_WORDS]) for start in range(len(found) - GRAM_WORDS + 1))
