"""Twins of `kernels.rules.edits`, `kernels.rules.lines` and `kernels.rules.casing`: text in, edited text out."""

import re
from collections.abc import Callable

from tamis.kernels.reference.text.script_words import ends_sentence, script_words
from tamis.kernels.rules.lines import ANYWHERE, COUNTED, PREFIX, SUFFIX

_COUNTER = re.compile(rf"^\W*\d[,.\d]*[kmb]?\s+(?:{'|'.join(COUNTED)})\W*$")
_CITATION = re.compile(r"\[\d*\]|\[edit\]|\[citation needed\]")


def _keep_lines(text: str, keeps: Callable[[str], bool]) -> str:
    return "\n".join(line for line in text.split("\n") if keeps(line))


def collapse_newlines(text: str, most: int) -> str:
    """At most `most` newlines in a row."""
    return re.sub(rf"\n{{{most + 1},}}", "\n" * most, text)


def drop_uppercase_lines(text: str, most: float) -> str:
    """Lines of which at most this share of characters is upper case."""
    return _keep_lines(text, lambda line: not line or sum(c.isupper() for c in line) / len(line) <= most)


def drop_numeric_lines(text: str, most: float) -> str:
    """Lines of which at most this share of characters is digits."""
    return _keep_lines(text, lambda line: not line or sum(c.isdigit() for c in line) / len(line) <= most)


def drop_counter_lines(text: str) -> str:
    """Lines that are not a counter such as `3 likes`."""
    return _keep_lines(text, lambda line: not _COUNTER.search(line.lower()))


def words_of_line(line: str, by_script: bool) -> int:
    """Words of str.split, or of any script; of these a line that is not blank has at least one."""
    return max(1, len(script_words(line)[0])) if by_script and line.split() else len(line.split())


def drop_short_lines(text: str, low: float, high: float, by_script: bool = False) -> str:
    """Empty lines, and lines of `low` to `high` words."""
    return _keep_lines(text, lambda line: not line or low <= words_of_line(line, by_script) <= high)


def drop_unpunctuated_lines(text: str, *, drop_ellipses: bool, by_script: bool = False) -> str:
    """Empty lines, and lines that end a sentence (with `drop_ellipses`, not those that trail off)."""

    def keeps(line: str) -> bool:
        if not line:
            return True
        if drop_ellipses and re.search(r"(?:\.\.\.|…)\s*$", line):
            return False
        if by_script and ends_sentence(line.rstrip()):
            return True
        return re.search(r'["…]\s*$' if by_script else r'[.!?"…]\s*$', line) is not None

    return _keep_lines(text, keeps)


def drop_long_word_lines(text: str, most: float, *, by_split: bool) -> str:
    """Lines without a token of more than `most` characters."""

    def keeps(line: str) -> bool:
        found = line.split() if by_split else re.findall(r"[^ \n\r\t\v\f\0]+", line)
        return all(len(token) <= most for token in found if token.strip())

    return _keep_lines(text, keeps)


def remove_phrase(text: str, phrase: str, place: int, max_words: int, wildcard: str = "") -> str:
    """Lines of at most `max_words` words without the phrase and a blank beside it; lines left blank go."""
    escaped = "".join("." if c == wildcard else re.escape(c) for c in phrase)
    pattern = {PREFIX: rf"^{escaped}\s?", SUFFIX: rf"\s?{escaped}$", ANYWHERE: rf"\s?{escaped}"}[place]
    kept = []
    for line in text.split("\n"):
        if len(line.split()) > max_words:
            kept.append(line)
            continue
        cut = re.sub(pattern, "", line, flags=re.IGNORECASE)
        if not line or cut.strip():
            kept.append(cut)
    return "\n".join(kept)


def remove_citations(text: str) -> str:
    """Text without `[12]`, `[]`, `[edit]` and `[citation needed]`."""
    return _CITATION.sub("", text)


def drop_repeated_pieces(text: str, separator: str) -> str:
    """The first of pieces that are equal once stripped and lowercased; blank ones all stay."""
    seen: set[str] = set()
    kept = []
    for piece in text.split(separator):
        key = piece.strip().lower()
        if not key or key not in seen:
            kept.append(piece)
        seen.add(key)
    return separator.join(kept)
