"""Twins of `kernels.rules.phrases`: phrase lists as regular expressions."""

import math
import re
import sys
from collections.abc import Sequence
from functools import cache

from tamis.kernels.reference.text.script_words import script_words
from tamis.kernels.reference.text.words import word_break
from tamis.kernels.rules.phrases import (
    ANYWHERE,
    BOUNDED,
    PREFIX,
    SPELLED_WORDS,
    SUBSTRINGS,
    SUFFIX,
    lower_each,
)


@cache
def _spelling() -> str:
    """Inside of a regular-expression class: what a word is spelled with, combining marks among them."""
    extending = [chr(c) for c in range(sys.maxunicode + 1) if word_break(chr(c)) == "Extend"]
    return r"\w" + "".join(map(re.escape, extending))


def _pattern(phrases: Sequence[str], kind: int, place: int) -> re.Pattern[str]:
    def bounded(phrase: str) -> str:
        escaped = re.escape(phrase)
        if kind == SUBSTRINGS:
            return escaped
        if kind == BOUNDED:
            return rf"\b{escaped}\b"
        word = f"[{_spelling()}]" if kind == SPELLED_WORDS else r"\w"
        before = f"(?<!{word})" if re.match(word, phrase) else ""
        after = f"(?!{word})" if re.search(rf"{word}\Z", phrase) else ""
        return before + escaped + after

    longest_first = sorted({lower_each(phrase) for phrase in phrases if phrase}, key=lambda p: (-len(p), p))
    alternatives = "|".join(map(bounded, longest_first)) or r"(?!)"
    return re.compile(
        rf"{chr(92) + 'A' if place == PREFIX else ''}(?:{alternatives}){chr(92) + 'Z' if place == SUFFIX else ''}"
    )


def find_phrases(text: str, phrases: Sequence[str], kind: int, place: int = ANYWHERE) -> list[str]:
    """Matches that do not overlap, the longest at each place, from the left."""
    return _pattern(phrases, kind, place).findall(lower_each(text))


def count_phrases(text: str, phrases: Sequence[str], kind: int, place: int) -> int:
    """How many matches there are."""
    return len(find_phrases(text, phrases, kind, place))


def phrases(text: str, phrases: Sequence[str], kind: int, place: int, by_script: bool = False) -> tuple[float, float]:
    """The number of matches, and that number per word of str.split, or per word and mark of any script."""
    found, words = count_phrases(text, phrases, kind, place), len(text.split())
    if by_script:
        of_script, marks = script_words(text)
        words = len(of_script) + marks
    return found, found / words if words else (math.inf if found else 0.0)


def drop_phrase_lines(text: str, phrases: Sequence[str], kind: int, place: int, max_words: float) -> str:
    """Lines without a phrase, and lines of more than `max_words` words."""
    lines = text.split("\n")
    return "\n".join(
        line for line in lines if len(line.split()) > max_words or not count_phrases(line, phrases, kind, place)
    )
