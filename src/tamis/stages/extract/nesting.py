"""How deep do a page's elements nest? Asked of the bytes before extraction, whose time grows with its square."""

import re

import numpy as np

_TAG = re.compile(rb"<(/?)([a-zA-Z][a-zA-Z0-9]*)")
_SHALLOW = frozenset(
    (b"area", b"base", b"br", b"col", b"embed", b"hr", b"img", b"input", b"link", b"meta", b"source", b"track", b"wbr",
     b"param", b"li", b"p", b"option", b"td", b"tr", b"th", b"dt", b"dd")
)  # fmt: skip
"""Elements without content, or that a parser closes by itself, so that they do not nest in one another."""


def nesting_depth(html: bytes | memoryview, limit: int) -> int:
    """An estimate of the deepest nesting, counted only where `limit` could be passed: 0 for ordinary pages.

    Depth exceeds neither the number of tags (asked first, of most pages) nor what opening minus closing tags reach when
    every tag counts (asked next).
    """
    # Tags are at least three bytes long.
    if len(html) <= 3 * limit or _highest_balance(html, limit) <= limit:
        return 0
    depth = deepest = 0
    for match in _TAG.finditer(html):
        if match.group(2).lower() in _SHALLOW:
            continue
        depth = max(0, depth - 1) if match.group(1) else depth + 1
        if depth > deepest:
            deepest = depth
            if deepest > limit:
                break
    return deepest


def _highest_balance(html: bytes | memoryview, limit: int) -> int:
    """Largest excess of opening over closing tags in any stretch of the page; 0 when there are too few tags for it."""
    data = np.frombuffer(html, np.uint8)
    is_tag = data[:-1] == ord("<")
    if np.count_nonzero(is_tag) <= limit:
        return 0
    places = np.flatnonzero(is_tag)
    balance = np.cumsum(np.where(data[places + 1] == ord("/"), -1, 1))
    return int((balance - np.minimum(np.minimum.accumulate(balance), 0)).max())
