"""A word, wherever no published rule defines it otherwise: a run of characters that are not white space.

Published rules count words in ways of their own, and their kernels follow them: by UAX #29, by runs of letters and
digits, or as fastText splits a text (docs/03-filter.md).
"""

import re

WORD = re.compile(r"\S+")


def words(text: str) -> list[str]:
    """The words of `text`, in order."""
    return text.split()


def squeeze(text: str) -> str:
    """`text` with every run of white space as one space, and none at the ends."""
    return " ".join(words(text))


def normalize(text: str) -> str:
    """`text` in lower case and squeezed: equal for texts that differ in case and white space only."""
    return squeeze(text.lower())


def shortened(text: str, most: int) -> str:
    """The beginning of a text on one line, with an ellipsis where it goes on."""
    line = " ".join(text[: 4 * most].split())
    return line if len(line) <= most else line[: most - 1].rstrip() + "…"
