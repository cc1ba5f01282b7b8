"""What repeated windows are, and what cutting them leaves, in plain Python: the twin of `spans` and `suffixes`."""

from collections import defaultdict
from collections.abc import Sequence

TokenRanges = list[tuple[int, int, int]]
"""(document, first token, end) of token ranges that do not touch, in order."""


def repeated_windows(
    documents: Sequence[Sequence[int]], width: int, keeps_first: bool, planted: Sequence[bool]
) -> list[list[bool]]:
    """Per document and window of `width` tokens, whether the same tokens also start at an earlier place of the corpus
    (`keeps_first`), or anywhere else. Places in planted documents do not count."""
    where: dict[tuple[int, ...], list[tuple[int, int]]] = defaultdict(list)
    for d, tokens in enumerate(documents):
        for at in range(len(tokens) - width + 1) if not planted[d] else ():
            where[tuple(tokens[at : at + width])].append((d, at))
    found = []
    for d, tokens in enumerate(documents):
        here = []
        for at in range(len(tokens) - width + 1):
            others = [place for place in where[tuple(tokens[at : at + width])] if place != (d, at)]
            here.append(any(place < (d, at) for place in others) if keeps_first else bool(others))
        found.append(here)
    return found


def covered_runs(windows: Sequence[Sequence[bool]], width: int) -> TokenRanges:
    """The token ranges that the flagged windows cover."""
    runs = []
    for d, flags in enumerate(windows):
        covered = {token for at, flag in enumerate(flags) if flag for token in range(at, at + width)}
        for token in sorted(covered):
            if token - 1 not in covered:
                runs.append(
                    (d, token, next(end for end in range(token, token + len(covered) + 1) if end not in covered))
                )
    return runs


def byte_span(text: bytes, tokens: Sequence[tuple[int, int]], start: int, end: int) -> tuple[int, int, bool]:
    """Bytes of `text` to cut for `tokens[start:end]` (byte ranges), and whether a blank must take their place."""
    first, last = tokens[start][0], tokens[end - 1][1]
    before = text[tokens[start - 1][1] : first] if start else None
    after = text[last : tokens[end][0]] if end < len(tokens) else None
    if before is None:
        return first, last + len(after or b""), False
    if after is None:
        return first - len(before), last, False
    if not before or not after:
        return first, last, not before and not after
    if after.count(b"\n") > before.count(b"\n"):
        return first - len(before), last, False
    return first, last + len(after), False


def cut(text: bytes, spans: Sequence[tuple[int, int, bool]]) -> bytes:
    """`text` without `spans`, with a blank in place of those that need one."""
    for start, end, bridged in sorted(spans, reverse=True):
        text = text[:start] + b" " * bridged + text[end:]
    return text
