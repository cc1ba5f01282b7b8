"""How much work a page makes for a parser: the kernel counts as its twin does, and what real pages never reach."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tamis.kernels.html.parse_work import parse_work
from tamis.kernels.reference.html import parse_work as twin

PIECES = st.sampled_from([
    b"<", b"</", b">", b"/", b"=", b'"', b"'", b" ", b"\n", b"\0", b"x", b"<!--", b"-->", b"--!>", b"<!-->", b"-", b"!",
    b"<!D>", b"<?", b"<p>", b"</p>", b"<P a", b" b = c", b' d="<i>"', b" e='", b"<b>", b"<b f>", b"</B>", b"<i g=h>",
    b"</i>", b"<a/b/>", b"<font ", b"<body k>", b"<html l m>", b"<select>", b"</select>", b"<option>", b"<OPTION n>",
    b"<script>", b"</script>", b"</SCRIPT ", b"<style>", b"</style", b"<svg>", b"</svg>", b"<title>", b"<optgroup\x0c",
    b"<blockquotes>", b"</blockquotes>", b"<blockquoted>", b"<div>", b"</div>", b"</x>", b"<g/>", b"\xff",
    b"<strike\x01>",
])  # fmt: skip


@settings(deadline=None)
@given(st.lists(st.tuples(PIECES, st.integers(1, 12))), st.integers(0, 500))
def test_the_counts_are_the_twins(runs: list[tuple[bytes, int]], max_copies: int) -> None:
    html = b"".join(piece * n for piece, n in runs)
    assert parse_work(html, max_copies) == twin.parse_work(html, max_copies)


@pytest.mark.parametrize(
    ("html", "counts"),
    [
        (b"<p a b=c d='e f'g/h>text i j</p>", (5, 0, 0)),
        (b"<p a='>' b=\"<p c d e>\" f><p>", (3, 0, 0)),
        (b"<!-- <p a b> --><p c>", (1, 0, 0)),
        (b"<script>if (a<b && c) d = '<p e f>'</script><p g>", (1, 0, 0)),
        (b"<svg><style><p a b></style></svg>", (2, 0, 0)),
        (b"<body a b><p c><body d><html e>", (4, 0, 0)),
        (b"<select><option><optgroup></select><option>", (0, 3, 0)),
        (b"<b><i></b></i>" * 100, (0, 0, 0)),
        (b"<b c><i d><p>x<p>y", (1, 0, 4)),
        (b"<div><div><p>x<p>y</div></div><p>z", (0, 0, 0, 1 + 2 + 2)),
        (b"<div></x></div></div><i>", (0, 0, 0, 0)),
        (b"<div></x>" * 10, (0, 0, 0, 45)),
        (b"<svg>" + b"<path/>" * 5 + b"</svg><p>", (0, 0, 0, 5)),
        (b"<blockquotation></blockquotations>" * 3, (0, 0, 0, 3)),
    ],
)
def test_what_is_counted(html: bytes, counts: tuple[int, ...]) -> None:
    assert parse_work(html, 1000) == twin.parse_work(html, 1000)
    assert parse_work(html, 1000)[: len(counts)] == counts


def test_elements_that_are_alike_are_not_copied_without_end() -> None:
    alike = parse_work(b"<font color=red>" * 1000 + b"<p>" * 1000, 1 << 40)[2]
    different = parse_work(b"".join(b"<font c%d>" % i for i in range(1000)) + b"<p>" * 1000, 1 << 40)[2]
    assert alike < 20_000 and different > 900_000
    assert parse_work(b"".join(b"<b c%d>" % i for i in range(5000)), 7)[2] == 8


def test_more_names_than_are_counted() -> None:
    html = b"".join(b"<x%d>" % i for i in range(1000)) + b"".join(b"</x%d>" % i for i in range(1000)) + b"<p>" * 9
    assert parse_work(html, 1 << 40) == twin.parse_work(html, 1 << 40)
