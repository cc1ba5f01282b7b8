"""Edits of one decoded document. Every edit only deletes, so each works in place and returns the new length.

`properties` move with their characters. The twins in `reference.rules` state each edit in plain Python.
"""

import numpy as np

from tamis.kernels.jit import kernel
from tamis.kernels.text import bits
from tamis.kernels.text.unicode_tables import DECIMAL, SPACE, WORD_BREAK_MASK
from tamis.kernels.text.words import LF

CITATION_WORDS = ("edit]", "citation needed]")
_CITATIONS = tuple(np.array([ord(c) for c in word], np.int32) for word in CITATION_WORDS)


@kernel
def move(code_points: np.ndarray, properties: np.ndarray, start: int, end: int, to: int) -> int:
    """Copy `[start, end)` to `to <= start`; returns the end of the copy."""
    if to == start:
        return end
    bits.copy(code_points, start, end - start, code_points, to)
    bits.copy(properties, start, end - start, properties, to)
    return to + end - start


@kernel
def stripped(properties: np.ndarray, start: int, end: int) -> tuple[int, int]:
    """The span `[start, end)` without its outer blanks."""
    while start < end and properties[start] & SPACE:
        start += 1
    while end > start and properties[end - 1] & SPACE:
        end -= 1
    return start, end


@kernel
def piece_end(properties: np.ndarray, start: int, n: int, newlines: int) -> int:
    """End of the line (`newlines` 1) or paragraph (2) that starts at `start`: where so many newlines stand, or `n`."""
    end = bits.find_class(properties, start, n, LF)
    while newlines == 2 and end < n and not (end + 1 < n and properties[end + 1] & WORD_BREAK_MASK == LF):
        end = bits.find_class(properties, end + 1, n, LF)
    return end


@kernel
def strip(code_points: np.ndarray, properties: np.ndarray, n: int) -> int:
    """str.strip"""
    start, end = stripped(properties, 0, n)
    return move(code_points, properties, start, end, 0)


@kernel
def collapse_newlines(code_points: np.ndarray, properties: np.ndarray, n: int, most: int) -> int:
    """Keep at most `most` newlines of every run of them."""
    to = 0
    done = 0
    at = bits.find_class(properties, 0, n, LF)
    while at < n:
        end = at + 1
        while end < n and properties[end] & WORD_BREAK_MASK == LF:
            end += 1
        if end - at > most:
            to = move(code_points, properties, done, at + most, to)
            done = end
        at = bits.find_class(properties, end, n, LF)
    return move(code_points, properties, done, n, to)


@kernel
def _citation_end(code_points: np.ndarray, properties: np.ndarray, at: int, n: int) -> int:
    """End of the citation mark whose `[` is at `at`, or -1."""
    end = at + 1
    while end < n and properties[end] & DECIMAL:
        end += 1
    if end < n and code_points[end] == 93:
        return end + 1
    for word in _CITATIONS:
        if at + 1 + len(word) <= n and np.array_equal(code_points[at + 1 : at + 1 + len(word)], word):
            return at + 1 + len(word)
    return -1


@kernel
def remove_citations(code_points: np.ndarray, properties: np.ndarray, n: int) -> int:
    """Delete `[digits]`, `[]`, `[edit]` and `[citation needed]`."""
    to = 0
    i = 0
    while i < n:
        end = _citation_end(code_points, properties, i, n) if code_points[i] == 91 else -1
        if end >= 0:
            i = end
            continue
        code_points[to] = code_points[i]
        properties[to] = properties[i]
        to += 1
        i += 1
    return to
