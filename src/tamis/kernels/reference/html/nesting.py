"""Twins of `kernels.html.nesting`: the first exact where the kernel gives a bound."""

import re

from tamis.kernels.html.nesting import FOREIGN, SHALLOW

_TAG = re.compile(rb"<(/?)([a-zA-Z][a-zA-Z0-9]*)(?:[^<>]*?(/)>)?")


def deepest_excess(html: bytes) -> int:
    """Largest excess of '<' without a slash after it over '</', in any stretch of the page."""
    excess = deepest = 0
    for place, byte in enumerate(html):
        if byte == ord("<"):
            excess = max(0, excess - 1 if html[place + 1 : place + 2] == b"/" else excess + 1)
            deepest = max(deepest, excess)
    return deepest


def nesting_depth(html: bytes, limit: int) -> int:
    """Deepest nesting as opening and closing tags tell it, no further than limit + 1."""
    depth = deepest = 0
    foreign = 0  # depth at which an svg or math element was opened
    for match in _TAG.finditer(html):
        name = match.group(2).lower().decode()
        if name in SHALLOW or (foreign and match.group(3)) or deepest > limit:
            continue
        depth = max(0, depth - 1) if match.group(1) else depth + 1
        if name in FOREIGN and not (foreign and depth >= foreign):
            foreign = 0 if match.group(1) else depth
        deepest = max(deepest, depth)
    return deepest
