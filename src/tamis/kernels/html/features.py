"""Features that distinguish article text from the rest of a page: numbers about each block, its ancestors, its
neighbours and the page.

All shares are of the page's characters. An ancestor that a block does not have counts as `ABSENT`, larger than any
share: the smaller the innermost `nav` around a block, the more it says about the block.
"""

import numpy as np

from tamis.kernels.html.blocks import (
    BOLD_CHARS,
    BREAKS,
    CAPITALS,
    CHARS,
    COMMAS,
    DEPTH,
    DIGITS,
    ELEMENT,
    END,
    LAST,
    LINK_CHARS,
    LINKS,
    MARKS,
    NEAREST,
    PARENT,
    SHORTS,
    START,
    STOPS,
    TAG_ID,
    WORDS,
)
from tamis.kernels.html.equal import count_equal
from tamis.kernels.html.words import GROUP_NAMES, TAG, TAG_NAMES
from tamis.kernels.jit import kernel

ABSENT = 2.0
LONG_CHARS = 80
"""Characters from which on a block with few links is taken for running text."""
_LONG_LINK_SHARE = 0.33

# Kinds of element around a block, and kinds of area whose share of the page is a feature.
_TAG_ORDER = ("p", "blockquote", "pre", "li", "dd", "dt", "td", "th", "section", "div", "figcaption", "h1", "h2", "h3",
              "h4", "h5", "h6")  # fmt: skip
_AREAS = ("article", "main", "section", "nav", "aside", "header", "footer", "form", "li", "table", "figure",
          "blockquote", "p", "dl", "ol")  # fmt: skip
# Names of the features in their order: of the block itself, around it, of its place, and of its neighbours.
_OWN = ("chars", "words", "chars_per_word", "link_share", "links", "commas", "stops", "digits", "capitals", "shorts",
        "bold_share", "breaks", "marks", "ends_sentence", "ends_colon", "tag", "depth")  # fmt: skip
_AROUND = ("share", "link_share", "blocks", "mean_chars", "long_share", "chars", "alike")
NUM_LEVELS = 3
_PLACE = ("top_inside", "top_score", "top_common_share", "top_up", "top_down", "rank", "before", "long_before",
          "gap_before", "gap_after", "since_heading", "h1_before", "page_chars", "page_long_share", "page_blocks",
          "page_link_share", "copies", "copied")  # fmt: skip
_NEIGHBOUR = ("chars", "link_share", "tag", "common_depth")
NEIGHBOURS = (-2, -1, 1, 2)

FEATURE_NAMES = (
    *_OWN,
    *(f"in_{name}" for name in _AREAS),
    *(f"named_{name}" for name in GROUP_NAMES),
    *(f"level{level}_{name}" for level in range(NUM_LEVELS) for name in _AROUND),
    *_PLACE,
    *(f"next{step:+d}_{name}" for step in NEIGHBOURS for name in _NEIGHBOUR),
)
NUM_FEATURES = len(FEATURE_NAMES)
# Where each group of features begins in a row.
_IN = len(_OWN)
_NAMED = _IN + len(_AREAS)
_LEVELS = _NAMED + len(GROUP_NAMES)
_PLACES = _LEVELS + NUM_LEVELS * len(_AROUND)
_NEIGHBOURS = _PLACES + len(_PLACE)
_MIX, _FNV_PRIME = np.uint64(0x9E3779B97F4A7C15), np.uint64(0x100000001B3)
_STEPS = np.array(NEIGHBOURS, np.int64)


def _codes(order: tuple[str, ...], other: int) -> np.ndarray:
    """int64[tags]: the place of each element name in `order`, or `other`."""
    return np.array([order.index(name) if name in order else other for name in TAG_NAMES], np.int64)


_TAG_CODES = _codes(_TAG_ORDER, _TAG_ORDER.index("div"))
_AREA_CODES = _codes(_AREAS, -1)
_AREA_CODES[TAG["ul"]] = -1
_H1, _H6 = TAG["h1"], TAG["h6"]
_NUM_AREAS, _NUM_GROUPS = len(_AREAS), len(GROUP_NAMES)

# Columns of element totals, float64.
_T_CHARS, _T_LINK, _T_LONG, _T_BLOCKS, _T_SCORE = range(5)


@kernel
def _is_long(block: np.ndarray) -> bool:
    """Whether a block is running text: long, with few links."""
    return block[CHARS] >= LONG_CHARS and block[LINK_CHARS] < _LONG_LINK_SHARE * block[CHARS]


@kernel
def _totals(blocks: np.ndarray, elements: np.ndarray) -> np.ndarray:
    """Sums over the blocks in each element, and scores as in Readability: running text adds to the score of the element
    that contains its paragraph, and half as much to the next ancestor."""
    # Credit every block to its element.
    totals = np.zeros((len(elements), 5))
    for k in range(len(blocks)):
        block = blocks[k]
        element = block[ELEMENT]
        totals[element, _T_CHARS] += block[CHARS]
        totals[element, _T_LINK] += block[LINK_CHARS]
        totals[element, _T_BLOCKS] += 1
        # Running text also scores for the elements around its paragraph.
        if _is_long(block):
            totals[element, _T_LONG] += block[CHARS]
            score = 1.0 + block[COMMAS] + min(block[CHARS] / 100.0, 3.0)
            around = elements[elements[element, PARENT], NEAREST]
            totals[around, _T_SCORE] += score
            totals[elements[elements[around, PARENT], NEAREST], _T_SCORE] += 0.5 * score
    # An element stands behind its parent in the list, so one pass from the end sums up the tree.
    for e in range(len(elements) - 1, 0, -1):
        parent = elements[e, PARENT]
        for column in range(4):
            totals[parent, column] += totals[e, column]
    return totals


@kernel
def _own(out: np.ndarray, block: np.ndarray, elements: np.ndarray) -> None:
    """What is known of a block by itself."""
    # Sizes enter as logarithms, everything else as a share of characters or words.
    chars = max(1.0, block[CHARS])
    words = max(1.0, block[WORDS])
    out[0] = np.log1p(chars)
    out[1] = np.log1p(words)
    out[2] = chars / words
    out[3] = block[LINK_CHARS] / chars
    out[4] = block[LINKS]
    out[5] = block[COMMAS] / words
    out[6] = block[STOPS] / words
    out[7] = block[DIGITS] / chars
    out[8] = block[CAPITALS] / words
    out[9] = block[SHORTS] / words
    out[10] = block[BOLD_CHARS] / chars
    out[11] = block[BREAKS]
    out[12] = block[MARKS] / chars
    # The last character: a full stop or a colon.
    out[13] = block[LAST] == 46
    out[14] = block[LAST] == 58
    # The kind of element and its depth.
    out[15] = _TAG_CODES[elements[block[ELEMENT], TAG_ID]]
    out[16] = elements[block[ELEMENT], DEPTH]


@kernel
def _alike(elements: np.ndarray, groups: np.ndarray, totals: np.ndarray) -> np.ndarray:
    """How many children of its parent have an element's tag and names, itself included; 0 where there is no text."""
    # The key of an element with text joins its parent, its tag and its names.
    keys = np.zeros(len(elements), np.uint64)
    for e in range(1, len(elements)):
        if totals[e, _T_CHARS] > 0 and elements[e, NEAREST] == e:
            key = np.uint64(elements[e, PARENT]) * _MIX + np.uint64(elements[e, TAG_ID])
            keys[e] = (key * _MIX ^ np.uint64(groups[e])) * _MIX | np.uint64(1)
    counts, before = np.empty(len(elements), np.int32), np.empty(len(elements), np.int32)
    count_equal(keys, counts, before)
    return counts


@kernel
def _copies(out: np.ndarray, text: np.ndarray, blocks: np.ndarray) -> None:
    """How often a block's text stands on the page, and how often before it."""
    # The key of a block is a hash of its text.
    keys = np.empty(len(blocks), np.uint64)
    for k in range(len(blocks)):
        key = np.uint64(1)
        for i in range(blocks[k, START], blocks[k, END]):
            key = (key ^ np.uint64(text[i])) * _FNV_PRIME
        keys[k] = key
    counts, before = np.empty(len(blocks), np.int32), np.empty(len(blocks), np.int32)
    count_equal(keys, counts, before)
    # Beyond twenty copies the number says nothing more.
    for k in range(len(blocks)):
        out[k, _PLACES + 16] = min(counts[k], 20)
        out[k, _PLACES + 17] = min(before[k], 20)


@kernel
def _ancestors(
    out: np.ndarray, element: int, elements: np.ndarray, groups: np.ndarray, totals: np.ndarray, alike: np.ndarray
) -> None:
    """Shares of the innermost ancestors of each kind and name, and of the nearest that hold more than one another."""
    # Everything is absent until an ancestor is met.
    out[_IN:_LEVELS] = ABSENT
    page_chars = max(1.0, totals[0, _T_CHARS])
    seen = 0
    level = -1
    last_chars = -1.0
    e = element
    while e > 0:
        # Walk from the block to the root; the innermost ancestor of an area counts.
        share = totals[e, _T_CHARS] / page_chars
        area = _AREA_CODES[elements[e, TAG_ID]]
        if area >= 0 and out[_IN + area] == ABSENT:
            out[_IN + area] = share
        # The same for groups of names: only those not met before are new.
        fresh = groups[e] & ~seen
        seen |= fresh
        group = 0
        while fresh:
            if fresh & 1:
                out[_NAMED + group] = share
            fresh >>= 1
            group += 1
        # Block-level ancestors that hold more than the one inside them are levels.
        if elements[e, NEAREST] == e:
            if totals[e, _T_CHARS] == last_chars:
                at = _LEVELS + level * 7 + 6
                out[at] = max(out[at], alike[e])
            elif level < NUM_LEVELS - 1:
                level += 1
                last_chars = totals[e, _T_CHARS]
                _level(out, _LEVELS + level * 7, totals[e], share)
                out[_LEVELS + level * 7 + 6] = alike[e]
            else:
                last_chars = -1.0
        e = elements[e, PARENT]
    # Levels that are missing are those of the whole page.
    while level < NUM_LEVELS - 1:
        level += 1
        _level(out, _LEVELS + level * 7, totals[0], 1.0)
        out[_LEVELS + level * 7 + 6] = 0


@kernel
def _level(out: np.ndarray, at: int, total: np.ndarray, share: float) -> None:
    """Share of the page, share of links, number and size of blocks, share of running text, size."""
    chars = max(1.0, total[_T_CHARS])
    out[at] = share
    out[at + 1] = total[_T_LINK] / chars
    out[at + 2] = np.log1p(total[_T_BLOCKS])
    out[at + 3] = np.log1p(chars / max(1.0, total[_T_BLOCKS]))
    out[at + 4] = total[_T_LONG] / chars
    out[at + 5] = np.log1p(chars)


@kernel
def _top_element(totals: np.ndarray) -> int:
    """The element with the highest score, which is reduced by its share of links."""
    best, best_score = 0, 0.0
    for e in range(len(totals)):
        # The score of an element falls with the share of links in its text.
        if totals[e, _T_SCORE] > 0:
            score = totals[e, _T_SCORE] * (1.0 - totals[e, _T_LINK] / max(1.0, totals[e, _T_CHARS]))
            if score > best_score:
                best, best_score = e, score
    return best


@kernel
def _common(a: int, b: int, elements: np.ndarray) -> int:
    """Innermost element that holds both."""
    # A parent has a smaller number than its children, so the larger number steps up.
    while a != b:
        if a > b:
            a = elements[a, PARENT]
        else:
            b = elements[b, PARENT]
    return a


@kernel
def _place(
    out: np.ndarray, element: int, top: int, elements: np.ndarray, totals: np.ndarray, page_chars: float
) -> None:
    """Where a block stands to the top element."""
    # Whether the block is inside the top element, and how far the two are apart in the tree.
    common = _common(element, top, elements)
    around = elements[elements[element, PARENT], NEAREST]
    out[0] = common == top
    out[1] = totals[around, _T_SCORE] / max(1.0, totals[top, _T_SCORE])
    out[2] = totals[common, _T_CHARS] / page_chars
    out[3] = elements[element, DEPTH] - elements[common, DEPTH]
    out[4] = elements[top, DEPTH] - elements[common, DEPTH]


@kernel
def _run_forward(out: np.ndarray, blocks: np.ndarray, elements: np.ndarray, totals: np.ndarray) -> None:
    """What comes before each block, and the numbers of the page."""
    # Running sums over the blocks so far; distances in blocks stop at 50.
    page_chars, page_long = max(1.0, totals[0, _T_CHARS]), max(1.0, totals[0, _T_LONG])
    before = long_before = 0.0
    since_long = since_heading = 50
    seen_h1 = 0
    n = len(blocks)
    for k in range(n):
        # Write what is known before this block.
        row = out[k, _PLACES:]
        row[5] = k / n
        row[6] = before / page_chars
        row[7] = long_before / page_long
        row[8] = since_long
        row[10] = since_heading
        row[11] = seen_h1
        row[12] = np.log1p(page_chars)
        row[13] = totals[0, _T_LONG] / page_chars
        row[14] = np.log1p(n)
        row[15] = totals[0, _T_LINK] / page_chars
        # Then take the block itself into account.
        before += blocks[k, CHARS]
        since_long = min(50, since_long + 1)
        since_heading = min(50, since_heading + 1)
        if _is_long(blocks[k]):
            long_before += blocks[k, CHARS]
            since_long = 0
        # Headings are counted from their own block on.
        tag = elements[blocks[k, ELEMENT], TAG_ID]
        if _H1 <= tag <= _H6:
            since_heading = 0
            seen_h1 += tag == _H1
    # A pass from the end gives the distance to the next running text.
    since_long = 50
    for k in range(n - 1, -1, -1):
        out[k, _PLACES + 9] = since_long
        since_long = 0 if _is_long(blocks[k]) else min(50, since_long + 1)


@kernel
def _neighbours(out: np.ndarray, blocks: np.ndarray, elements: np.ndarray) -> None:
    """What is known of the blocks before and after each block."""
    n = len(blocks)
    # Depth of the innermost element that holds a block and the one before it.
    depths = np.zeros(n + 1)
    for k in range(1, n):
        depths[k] = elements[_common(blocks[k - 1, ELEMENT], blocks[k, ELEMENT], elements), DEPTH]
    for k in range(n):
        for s in range(len(_STEPS)):
            # Copy the neighbour's size, links and tag; the depth in common is the least in between.
            at = _NEIGHBOURS + 4 * s
            other = k + _STEPS[s]
            if 0 <= other < n:
                out[k, at] = out[other, 0]
                out[k, at + 1] = out[other, 3]
                out[k, at + 2] = out[other, 15]
                low, high = min(k, other), max(k, other)
                common = depths[low + 1]
                if high - low == 2:
                    common = min(common, depths[high])
                out[k, at + 3] = elements[blocks[k, ELEMENT], DEPTH] - common
            else:
                # Beyond the ends of the page there is no neighbour.
                out[k, at] = 0
                out[k, at + 1] = -1
                out[k, at + 2] = -1
                out[k, at + 3] = 50


@kernel
def features(text: np.ndarray, blocks: np.ndarray, elements: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """float32[number of blocks, NUM_FEATURES] for the blocks and elements that `blocks.scan` listed."""
    out = np.empty((len(blocks), NUM_FEATURES), np.float32)
    # Sums over elements and over the page come first, since the features of a block need them.
    totals = _totals(blocks, elements)
    alike = _alike(elements, groups, totals)
    page_chars = max(1.0, totals[0, _T_CHARS])
    top = _top_element(totals)
    _run_forward(out, blocks, elements, totals)
    for k in range(len(blocks)):
        element = blocks[k, ELEMENT]
        _own(out[k], blocks[k], elements)
        # Blocks of one element share all that concerns its ancestors.
        if k and blocks[k - 1, ELEMENT] == element:
            out[k, _IN:_PLACES] = out[k - 1, _IN:_PLACES]
            out[k, _PLACES : _PLACES + 5] = out[k - 1, _PLACES : _PLACES + 5]
        else:
            _ancestors(out[k], element, elements, groups, totals, alike)
            _place(out[k, _PLACES:], element, top, elements, totals, page_chars)
    _neighbours(out, blocks, elements)
    _copies(out, text, blocks)
    return out
