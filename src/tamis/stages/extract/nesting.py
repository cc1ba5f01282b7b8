"""How deeply the elements of a page are nested. It is measured on the bytes before extraction, whose time grows with
the square of the depth."""

from tamis.kernels.html import nesting


def nesting_depth(html: bytes | memoryview, limit: int) -> int:
    """An estimate of the largest nesting depth. It is computed only where the depth could exceed `limit`, and is 0 for
    other pages.

    The depth cannot exceed the largest number of opening minus closing tags, which is computed first because it is
    cheap.
    """
    # Tags are at least three bytes long.
    if len(html) <= 3 * limit or nesting.nesting_bound(html) <= limit:
        return 0
    return nesting.nesting_depth(html, limit)
