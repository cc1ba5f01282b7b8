"""What `matching` and `overlaps` compute, in plain Python: the specification their parity tests hold them to."""

import unicodedata
from collections.abc import Iterable, Sequence

from tamis.kernels.reference.text.ngrams import run_hashes, word_hash

SHOWS_NOTHING = (
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f"
    "\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
"""Unicode's Default_Ignorable_Code_Point, as ranges."""
NEAR = 24
"""Words between two parts of an item, at most."""


def shows_nothing(character: str) -> bool:
    """Whether a character is ignored: it has no shape of its own, or only changes that of the one before it."""
    parts = SHOWS_NOTHING
    for place, first in enumerate(parts):
        if first == "-" or parts[place - 1 : place] == "-":
            continue
        last = parts[place + 2] if parts[place + 1 : place + 2] == "-" else first
        if first <= character <= last:
            return True
    return unicodedata.category(character) in ("Mn", "Me")


def folded(character: str) -> str:
    """What is left of one character; a blank stands for what separates words."""
    if shows_nothing(character):
        return ""
    if "\uac00" <= character <= "\ud7a3":  # a syllable of Hangul stays whole
        return character
    parts = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", character).casefold())
    left = "".join(part if part.isalnum() else " " for part in parts if not shows_nothing(part))
    return left or " "


def words_of(text: str) -> list[str]:
    return "".join(map(folded, text)).split(" ") if text else []


def matching_hashes(text: str) -> list[int]:
    return [word_hash(word) for word in words_of(text) if word]


def overlaps(words: Sequence[int], lengths: Iterable[int], items: Sequence["TwinItem"]) -> tuple[int, float]:
    """How many distinct runs of `words` any of `items` holds, and the largest share of one item that `words` hold."""
    found: dict[int, list[tuple[int, int]]] = {}
    for length in lengths:
        for at, h in enumerate(run_hashes(words, length)):
            found.setdefault(h, []).append((at, at + length))
    known = {h for item in items for h in item.runs}
    best = 0.0
    for item in items:
        hits = len(item.runs & found.keys())
        if item.follower:
            hits += item.weight * any(_near(words, place, item) for place in found.get(item.anchor, []))
        best = max(best, hits / (len(item.runs) + (item.weight if item.follower else 0)))
    return len(known & found.keys()), best


def _near(words: Sequence[int], place: tuple[int, int], item: "TwinItem") -> bool:
    size, (start, end) = len(item.follower), place
    low, high = (end, end + NEAR + size) if item.is_after else (max(0, start - NEAR - size), start)
    part = list(words[low:high])
    return any(part[at : at + size] == list(item.follower) for at in range(len(part) - size + 1))


class TwinItem:
    """One item: its runs, and perhaps a short part that must stand near the run `anchor`."""

    def __init__(
        self, runs: set[int], anchor: int = 0, follower: Sequence[int] = (), is_after: bool = True, weight: int = 0
    ) -> None:
        self.runs, self.anchor, self.follower, self.is_after, self.weight = runs, anchor, follower, is_after, weight
