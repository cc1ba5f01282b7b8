"""The block scanner and the trees against their plain-Python twins, and on bytes that no parser would write."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tamis.kernels.html import blocks as kernel
from tamis.kernels.html.features import FEATURE_NAMES, features
from tamis.kernels.html.trees import predict
from tamis.kernels.html.words import GROUP_NAMES
from tamis.kernels.reference.html import blocks as reference

COUNTS = ("chars", "words", "link_chars", "links", "commas", "stops", "digits", "capitals", "shorts", "bold_chars",
          "breaks", "marks")  # fmt: skip
TAGS = [
    "div",
    "p",
    "span",
    "a",
    "b",
    "li",
    "ul",
    "pre",
    "td",
    "h1",
    "svg",
    "noscript",
    "x-y",
    "section",
    "em",
    "button",
]
ATTRIBUTES = ["", ' class="main-Content post_body"', ' id="navBar"', ' style="color: red; display : none"', " hidden",
              ' title="a > b < c"', ' role="navigation" data-x="1"', ' aria-hidden="true"', ' class=""']  # fmt: skip
WORDS = [
    "a",
    "the",
    "Word",
    "ÄÖ",
    "x,",
    "end.",
    "12",
    "漢字。",
    "，",
    "a|b",
    "&amp;",
    "&lt;p&gt;",
    "&nbsp;",
    " ",
    "\n",
    "\t ",
    "<br>",
    "<hr>",
    '<img alt="y">',
    "<!-- <p> no -->",
    "<script>if (a < b) '</p>'</script>",
    "<wbr>",
    "🙂",
    "don't",
]


def render(node: Any) -> str:
    if isinstance(node, str):
        return node
    tag, attributes, children = node
    return f"<{tag}{attributes}>{''.join(map(render, children))}</{tag}>"


nodes = st.recursive(
    st.sampled_from(WORDS),
    lambda inner: st.tuples(st.sampled_from(TAGS), st.sampled_from(ATTRIBUTES), st.lists(inner, max_size=5)),
    max_leaves=40,
)
pages = st.lists(nodes, max_size=6).map(lambda top: "<html><body>" + "".join(map(render, top)) + "</body></html>")


def scan(html: bytes) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    size = html.count(b"<") + 2
    text = np.empty(len(html) + 1, np.uint8)
    blocks = np.empty((size, kernel.NUM_BLOCK_COLUMNS), np.int32)
    elements = np.empty((size, kernel.NUM_ELEMENT_COLUMNS), np.int32)
    groups = np.empty(size, np.int64)
    e, b, t = kernel.scan(np.frombuffer(html, np.uint8), text, blocks, elements, groups)
    assert e <= size and b <= size and t <= len(html)
    return text[:t], blocks[:b], elements[:e], groups[:e]


@settings(max_examples=300, deadline=None)
@given(pages)
def test_blocks_are_those_of_the_twin(html: str) -> None:
    text, blocks, elements, groups = scan(html.encode())
    twin = reference.scan(html)
    data = text.tobytes()
    assert [data[row[0] : row[1]].decode() for row in blocks] == [block.text for block in twin.blocks]
    assert blocks[:, kernel.ELEMENT].tolist() == [block.element for block in twin.blocks]
    for row, block in zip(blocks, twin.blocks, strict=True):
        ours = {name: int(row[getattr(kernel, name.upper())]) for name in COUNTS}
        assert ours == block.counts(), block.text
    assert elements[:, kernel.PARENT].tolist() == [element.parent for element in twin.elements]
    assert elements[:, kernel.TAG_ID].tolist() == [element.tag for element in twin.elements]
    assert groups.tolist() == [element.groups for element in twin.elements]


FRAGMENTS = [b"<", b">", b"</", b"<!--", b"-->", b"<!", b'"', b"=", b"<p", b"<script", b"</script", b"<a ", b"&",
             b"&am", b"\0",             b"\xff", b"\xe3\x80", b"<br", b"<pre>", b"</p>", b" ", b"class=", b"x",
             b"<div class=\"", b"<plaintext>"]  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(FRAGMENTS), max_size=60).map(b"".join))
def test_any_bytes_are_scanned_within_bounds(html: bytes) -> None:
    text, blocks, elements, groups = scan(html)
    if len(blocks):
        rows = features(text, blocks, elements, groups)
        assert rows.shape == (len(blocks), len(FEATURE_NAMES)) and np.isfinite(rows).all()
        assert (blocks[:, kernel.END] > blocks[:, kernel.START]).all()


def test_features_see_names_places_and_copies() -> None:
    long = "A sentence of running text, with commas, that goes on for a while and then it ends here. "
    html = (
        '<html><body><nav class="menu"><ul><li><a href="x">Home</a></li><li><a href="y">Home</a></li></ul></nav>'
        f'<div class="article-body"><h1>Title</h1><p>{long}</p><p>{long * 2}</p></div></body></html>'
    )
    text, blocks, elements, groups = scan(html.encode())
    rows = features(text, blocks, elements, groups)
    column = {name: rows[:, k] for k, name in enumerate(FEATURE_NAMES)}
    assert len(rows) == 5
    assert column["link_share"].tolist() == [1, 1, 0, 0, 0]
    assert column["copies"].tolist() == [2, 2, 1, 1, 1] and column["copied"].tolist() == [0, 1, 0, 0, 0]
    assert column["top_inside"].tolist() == [0, 0, 1, 1, 1]
    assert (column["in_nav"][:2] < 0.1).all() and (column["in_nav"][2:] == 2).all()
    assert "article" in GROUP_NAMES and (column["named_article"][2:] > 0.9).all()
    assert column["level0_alike"].tolist()[:2] == [2, 2]


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=50, deadline=None)
def test_trees_add_up_their_leaves(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(7, 3)).astype(np.float32)
    # Two trees: a stump over another stump, and a single leaf.
    feature, threshold = np.array([0, 2], np.int32), rng.normal(size=2).astype(np.float32)
    left, right = np.array([1, -1], np.int32), np.array([-3, -2], np.int32)
    value = rng.normal(size=4)
    found = predict(rows, np.array([0, -4], np.int32), feature, threshold, left, right, value)
    inner = np.where(rows[:, 2] <= threshold[1], value[0], value[1])
    assert found == pytest.approx(np.where(rows[:, 0] <= threshold[0], inner, value[2]) + value[3])
