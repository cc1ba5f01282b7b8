"""How deep do a page's elements nest? Asked of the bytes before extraction, whose time grows with its square."""

import re

from tamis.kernels.nesting import nesting_bound

_TAG = re.compile(rb"<(/?)([a-zA-Z][a-zA-Z0-9]*)(?:[^<>]*?(/)>)?")
_FOREIGN = frozenset((b"svg", b"math"))
"""Elements inside which `/>` closes a tag; in HTML proper it means nothing (WHATWG HTML, section 13.1.2.1)."""
_SHALLOW = frozenset(
    (b"area", b"base", b"br", b"col", b"embed", b"hr", b"img", b"input", b"link", b"meta", b"source", b"track", b"wbr",
     b"param", b"li", b"p", b"option", b"td", b"tr", b"th", b"dt", b"dd")
)  # fmt: skip
"""Elements without content, or that a parser closes by itself, so that they do not nest in one another."""


def nesting_depth(html: bytes | memoryview, limit: int) -> int:
    """An estimate of the deepest nesting, counted only where `limit` could be passed: 0 for ordinary pages.

    Depth does not exceed what opening minus closing tags reach when every tag counts, which is asked first.
    """
    # Tags are at least three bytes long.
    if len(html) <= 3 * limit or nesting_bound(html) <= limit:
        return 0
    depth = deepest = 0
    foreign = 0  # depth at which an svg or math element was opened
    for match in _TAG.finditer(html):
        name = match.group(2).lower()
        if name in _SHALLOW or (foreign and match.group(3)):
            continue
        depth = max(0, depth - 1) if match.group(1) else depth + 1
        if name in _FOREIGN and not (foreign and depth >= foreign):
            foreign = 0 if match.group(1) else depth
        if depth > deepest:
            deepest = depth
            if deepest > limit:
                break
    return deepest
