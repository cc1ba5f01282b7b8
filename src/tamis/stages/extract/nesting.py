"""How deep do a page's elements nest? Asked of the bytes before extraction, whose time grows with its square."""

from tamis.kernels.html import nesting


def nesting_depth(html: bytes | memoryview, limit: int) -> int:
    """An estimate of the deepest nesting, counted only where `limit` could be passed: 0 for ordinary pages.

    Depth does not exceed what opening minus closing tags reach when every tag counts, which is asked first.
    """
    # Tags are at least three bytes long.
    if len(html) <= 3 * limit or nesting.nesting_bound(html) <= limit:
        return 0
    return nesting.nesting_depth(html, limit)
