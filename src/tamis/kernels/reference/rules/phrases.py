"""Twins of `kernels.rules.phrases`: phrase lists as regular expressions."""

import math
import re
from collections.abc import Sequence

from tamis.kernels.rules.phrases import BOUNDED, PREFIX, SUBSTRINGS, SUFFIX, lower_each


def _pattern(phrases: Sequence[str], kind: int, place: int) -> re.Pattern[str]:
    def bounded(phrase: str) -> str:
        escaped = re.escape(phrase)
        if kind == SUBSTRINGS:
            return escaped
        if kind == BOUNDED:
            return rf"\b{escaped}\b"
        before = r"(?<!\w)" if re.match(r"\w", phrase) else ""
        after = r"(?!\w)" if re.search(r"\w\Z", phrase) else ""
        return before + escaped + after

    longest_first = sorted({lower_each(phrase) for phrase in phrases if phrase}, key=lambda p: (-len(p), p))
    alternatives = "|".join(map(bounded, longest_first)) or r"(?!)"
    return re.compile(
        rf"{chr(92) + 'A' if place == PREFIX else ''}(?:{alternatives}){chr(92) + 'Z' if place == SUFFIX else ''}"
    )


def count_phrases(text: str, phrases: Sequence[str], kind: int, place: int) -> int:
    """Matches that do not overlap, the longest at each place, from the left."""
    return len(_pattern(phrases, kind, place).findall(lower_each(text)))


def phrases(text: str, phrases: Sequence[str], kind: int, place: int) -> tuple[float, float]:
    """The number of matches, and that number per word."""
    found, words = count_phrases(text, phrases, kind, place), len(text.split())
    return found, found / words if words else (math.inf if found else 0.0)


def drop_phrase_lines(text: str, phrases: Sequence[str], kind: int, place: int, max_words: float) -> str:
    """Lines without a phrase, and lines of more than `max_words` words."""
    lines = text.split("\n")
    return "\n".join(
        line for line in lines if len(line.split()) > max_words or not count_phrases(line, phrases, kind, place)
    )
