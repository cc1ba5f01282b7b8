"""Twin of `kernels.text.sentences`: the same rule as a regular expression and three exceptions."""

import re

from tamis.kernels.text import script_words
from tamis.kernels.text.sentences import ABBREVIATIONS, CLOSERS, WIDE_MARKS

_END = re.compile(rf"(?P<marks>[.!?…{WIDE_MARKS}]+)[{re.escape(CLOSERS)}]*")
_END_BY_SCRIPT = re.compile(
    rf"(?P<marks>[{re.escape(script_words.SENTENCE_MARKS)}]+)[{re.escape(script_words.CLOSERS)}]*"
)
_WIDE_BY_SCRIPT = frozenset(c for c in script_words.SENTENCE_MARKS if not c.isascii() and c != "…")


def _is_lower(character: str) -> bool:
    """Cased, not upper case, not ignored by the rule of the final sigma."""
    return f"{character}Σ".lower().endswith("ς") and not character.isupper()


def _ends(text: str, match: re.Match[str], by_script: bool) -> bool:
    rest = text[match.end() :]
    if not rest:
        return True
    if not rest[0].isspace():
        return any(mark in match["marks"] for mark in (_WIDE_BY_SCRIPT if by_script else WIDE_MARKS))
    if match["marks"] != ".":
        return True
    before = ""
    for character in reversed(text[max(0, match.start() - 10) : match.start()]):
        if not character.isalnum():
            break
        before = character + before
    abbreviated = (len(before) == 1 and before.isalpha()) or (
        not by_script and before.isascii() and before.lower() in ABBREVIATIONS
    )
    following = rest.lstrip()
    return not abbreviated and not (following and _is_lower(following[0]))


def sentences(text: str, by_script: bool = False) -> list[str]:
    """Sentences, stripped, without blank ones."""
    found, start = [], 0
    for match in (_END_BY_SCRIPT if by_script else _END).finditer(text):
        if match.start() >= start and _ends(text, match, by_script):
            found.append(text[start : match.end()])
            start = match.end()
    found.append(text[start:])
    return [stripped for sentence in found if (stripped := sentence.strip())]
