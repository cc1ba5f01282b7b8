"""The bound on nesting: never below the exact value, and never far above it."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tamis.kernels.html.nesting import SLACK, nesting_bound, nesting_depth
from tamis.kernels.reference.html import nesting as twin
from tamis.kernels.reference.html.nesting import deepest_excess

PIECES = st.sampled_from([b"<", b"</", b"/", b"<div>", b"</div>", b"<br>", b"text", b"\xbc\x3c", b"\0", b"\xff" * 9])


@settings(deadline=None)
@given(st.lists(st.tuples(PIECES, st.integers(1, 60))).map(lambda runs: b"".join(piece * n for piece, n in runs)))
def test_bound_contains_the_exact_value(html: bytes) -> None:
    assert deepest_excess(html) <= nesting_bound(html) < deepest_excess(html) + SLACK
    assert nesting_bound(memoryview(html)) == nesting_bound(html)


@pytest.mark.parametrize("depth", [0, 1, 127, 128, 5000])
def test_depth_of_whole_pages(depth: int) -> None:
    flat = b"<p>some text</p>" * 10_000
    assert depth <= nesting_bound(b"<div>" * depth + flat + b"</div>" * depth) < depth + SLACK
    assert nesting_bound(b"</div>" * 1000 + b"<div>" * depth) >= depth
    assert nesting_bound(b"") == 0


TAGS = st.sampled_from([
    b"<div>", b"</div>", b"<BR>", b"<br/>", b"<b", b"</b>", b"<p1>", b"<P>", b"<options>", b"<OpTiOn x='<a'>",
    b"<", b"</", b"<1>", b"< a>", b"<\x01>", b"<@>", b"<[>", b"<\xc1>", b"x", b"<li>", b"<s\x10>", b"<svg>",
    b"</svg>", b"<svg/>", b"<math>", b"</math>", b"<g/>", b"<g a='b' />", b"</g/>", b"/>", b">", b"<g x",
])  # fmt: skip


@settings(deadline=None)
@given(st.lists(st.tuples(TAGS, st.integers(1, 9))), st.integers(0, 40))
def test_depth_is_its_twins(runs: list[tuple[bytes, int]], limit: int) -> None:
    html = b"".join(piece * n for piece, n in runs)
    assert nesting_depth(html, limit) == twin.nesting_depth(html, limit)
