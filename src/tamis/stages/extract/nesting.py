"""How deep do a page's elements nest? Asked of the bytes before a parser written in C meets them."""

import re

# Elements that never have content, or that a parser closes by itself so that they cannot nest without end.
_TAG = re.compile(rb"<(/?)([a-zA-Z][a-zA-Z0-9]*)")
_VOID = frozenset(
    (b"area", b"base", b"br", b"col", b"embed", b"hr", b"img", b"input", b"link", b"meta", b"source", b"track", b"wbr",
     b"param", b"li", b"p", b"option", b"td", b"tr", b"th", b"dt", b"dd")
)  # fmt: skip


def nesting_depth(html: bytes, limit: int) -> int:
    """An upper estimate of the deepest nesting, counted only where `limit` could be passed: 0 for ordinary pages.

    Opening tags minus closing tags can never exceed the number of opening tags, so that pages with few tags are not
    scanned at all.
    """
    if html.count(b"<") <= limit:
        return 0
    num_closing = html.count(b"</")
    if html.count(b"<") - num_closing <= limit and num_closing <= limit:
        return 0
    depth = deepest = 0
    for match in _TAG.finditer(html):
        if match.group(2).lower() in _VOID:
            continue
        depth = max(0, depth - 1) if match.group(1) else depth + 1
        if depth > deepest:
            deepest = depth
            if deepest > limit:
                break
    return deepest
