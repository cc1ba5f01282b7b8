"""Limits that keep the time and memory of extracting one page small.

They are tested on the bytes of a page, before it is parsed: the time of extraction grows with the square of the nesting
depth, and the time of parsing with the square of some counts.
"""

import numpy as np

from tamis.kernels.html import nesting
from tamis.kernels.html.parse_work import parse_work

MAX_ATTRIBUTES = 2048
"""Attributes of one element. Real pages have dozens; 40,000 take a parser 3 s, 300,000 take it minutes."""
MAX_OPTIONS = 50_000
"""Options of the lists of a page; 16,000 take a parser 1 s."""
MAX_COPIES = 4_000_000
"""Copies of open formatting elements; 800,000 take a parser 1 s and 140 MB."""
MAX_DEPTHS = 200_000_000
"""Sum of the depths of all elements; 200 million take an extractor 16 s."""
_SMALL_PAGE_BYTES = 256 << 10
_FEW_TAGS = 6000
"""A page of fewer bytes and tags cannot take a parser more than seconds, and is not looked at."""


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


def excess_work(html: bytes | memoryview) -> str:
    """What makes parsing the page a matter of minutes; '' where nothing does."""
    if len(html) <= _SMALL_PAGE_BYTES and (len(html) <= 2 * _FEW_TAGS or num_tags(html) <= _FEW_TAGS):
        return ""
    attributes, options, copies, depths = parse_work(html, MAX_COPIES)
    if attributes > MAX_ATTRIBUTES:
        return f"an element has {attributes} attributes, {MAX_ATTRIBUTES} are allowed"
    if options > MAX_OPTIONS:
        return f"the lists have {options} options, {MAX_OPTIONS} are allowed"
    if copies > MAX_COPIES:
        return f"more than {MAX_COPIES} copies of formatting elements that are not closed"
    if depths > MAX_DEPTHS:
        return f"the depths of all elements sum up to {depths}, {MAX_DEPTHS} are allowed"
    return ""


def num_tags(html: bytes | memoryview) -> int:
    """Number of `<`."""
    return int(np.count_nonzero(np.frombuffer(html, np.uint8) == ord("<")))
