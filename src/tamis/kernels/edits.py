"""Edits of one decoded document. Every edit only deletes, so each works in place and returns the new length.

`properties` move with their characters. The twins in `reference` state each edit in plain Python.
"""

import numpy as np

from tamis.kernels.jit import kernel
from tamis.kernels.unicode_tables import DECIMAL, SPACE

NEWLINE = 10

CITATION_WORDS = ("edit]", "citation needed]")
_CITATIONS = tuple(np.array([ord(c) for c in word], np.int32) for word in CITATION_WORDS)


@kernel
def move(code_points: np.ndarray, properties: np.ndarray, start: int, end: int, to: int) -> int:
    """Copy `[start, end)` to `to <= start`; returns the end of the copy."""
    if to == start:
        return end
    for i in range(start, end):
        code_points[to] = code_points[i]
        properties[to] = properties[i]
        to += 1
    return to


@kernel
def strip(code_points: np.ndarray, properties: np.ndarray, n: int) -> int:
    """str.strip"""
    start = 0
    while start < n and properties[start] & SPACE:
        start += 1
    while n > start and properties[n - 1] & SPACE:
        n -= 1
    return move(code_points, properties, start, n, 0)


@kernel
def collapse_newlines(code_points: np.ndarray, properties: np.ndarray, n: int, most: int) -> int:
    """Keep at most `most` newlines of every run of them."""
    to = 0
    run = 0
    for i in range(n):
        run = run + 1 if code_points[i] == NEWLINE else 0
        if run <= most:
            if to != i:
                code_points[to] = code_points[i]
                properties[to] = properties[i]
            to += 1
    return to


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
