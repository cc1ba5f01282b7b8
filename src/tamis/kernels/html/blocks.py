"""Text blocks of a page, with counts for their classification, from one pass over the HTML that a parser's tree writes.

A tree's own HTML is well formed: every element is closed, attribute values stand in double quotes, and text has four
escapes (`&amp; &lt; &gt; &nbsp;`). So a scanner of bytes sees the same tree as its parser, at memory speed. Input that
is not well formed gives some blocks, not the right ones, and never a crash. The twin is `reference.html.blocks`.

A block is a run of text that no block-level element, and no empty line of two `br`, interrupts. White space is squeezed
to one space (kept inside `pre`), `br` is a newline.
"""

import numpy as np

from tamis.kernels.html.tags import (
    CLASSES,
    COMMA,
    CONTINUATION,
    DIGIT,
    LOWER,
    MARK,
    SPACE,
    STOP,
    UPPER,
    behind_comment,
    behind_raw,
    find_byte,
    ideographic_class,
    read_attributes,
    read_escape,
    read_tag_name,
)
from tamis.kernels.html.words import (
    BLOCK,
    BOLD,
    BREAK,
    LINK,
    PRE,
    RAW_SKIPPED,
    SKIPPED,
    TAG,
    TAG_KINDS,
    VOID,
)
from tamis.kernels.jit import kernel

# Columns of `blocks`, int32. White space separates WORDS; STOPS end sentences; CAPITALS are words that start with A-Z;
# SHORTS are words of one to three a-z, commas and stops aside; MARKS are signs that separate short entries.
(START, END, ELEMENT, CHARS, WORDS, LINK_CHARS, LINKS, COMMAS, STOPS, DIGITS, CAPITALS, SHORTS, BOLD_CHARS, BREAKS,
 MARKS, LAST) = range(16)  # fmt: skip
NUM_BLOCK_COLUMNS = 16

# Columns of `elements`, int32: PARENT and NEAREST (block-level element, itself included) are element numbers; DEPTH of
# the root is 0.
PARENT, TAG_ID, NEAREST, DEPTH = range(4)
NUM_ELEMENT_COLUMNS = 4

# Scanner state, int64: counts of elements and blocks so far, the open element, how many skipped, link, bold and
# preformatted elements are open, whether a block is open, whether a space is due, bytes written, whether a `br` came
# last, whether a link began.
(_ELEMENTS, _BLOCKS, _CURRENT, _SKIPPED, _LINKS, _BOLDS, _PRES, _OPEN, _SPACE, _WRITTEN, _BREAKS,
 _NEW_LINK) = range(12)  # fmt: skip


_BODY, _HTML, _HR = TAG["body"], TAG["html"], TAG["hr"]


@kernel
def _end_block(text: np.ndarray, blocks: np.ndarray, state: np.ndarray) -> None:
    """Close the open block, if there is one, and count what its text holds."""
    state[_BREAKS] = state[_SPACE] = 0
    # Close the open block, if there is one, and count what its text holds.
    if state[_OPEN]:
        state[_OPEN] = 0
        row = blocks[state[_BLOCKS]]
        row[END] = state[_WRITTEN]
        _measure(text, row)
        state[_BLOCKS] += 1


@kernel
def _start_block(blocks: np.ndarray, elements: np.ndarray, state: np.ndarray) -> None:
    """Open a block for the current element."""
    state[_OPEN] = 1
    # The counters of a new block start at 0; it belongs to the nearest block-level element.
    row = blocks[state[_BLOCKS]]
    row[:] = 0
    row[START] = state[_WRITTEN]
    row[ELEMENT] = elements[state[_CURRENT], NEAREST]


@kernel
def _measure(text: np.ndarray, row: np.ndarray) -> None:
    """Counts over the text of a block; LINK_CHARS, LINKS, BOLD_CHARS and BREAKS are counted while it is read."""
    chars = words = commas = stops = digits = capitals = shorts = marks = 0
    last = 0
    # 0 between words, 1 + the number of small letters of a word made of nothing else so far, at most 5; 9 for others.
    letters = 0
    for i in range(row[START], row[END]):
        # Small letters are by far the most frequent bytes, and are counted with the fewest tests.
        b = text[i]
        kind = int(CLASSES[b])
        if kind & LOWER:
            chars += 1
            last = b
            letters += (letters < 5) + (letters == 0)
            continue
        # Further bytes of a character do not count as characters.
        if kind & CONTINUATION:
            continue
        # White space ends a word, which is short when it had one to three small letters.
        if kind & SPACE:
            words += letters > 0
            shorts += 0 < letters <= 4
            letters = 0
            continue
        # Marks of Chinese and Japanese have three bytes and a class of their own.
        if b == 0xE3 or b == 0xEF:
            kind = ideographic_class(text, i, row[END])
        chars += 1
        last = 46 if kind & STOP else b
        capitals += (kind & UPPER) != 0 and letters == 0
        if letters == 0 or not kind & (COMMA | STOP):
            letters = 9
        commas += (kind & COMMA) != 0
        stops += (kind & STOP) != 0
        digits += (kind & DIGIT) != 0
        marks += (kind & MARK) != 0
    # Store the counts; the last word has no white space after it.
    row[CHARS], row[COMMAS], row[STOPS], row[DIGITS], row[MARKS] = chars, commas, stops, digits, marks
    row[CAPITALS], row[WORDS], row[SHORTS], row[LAST] = (
        capitals,
        words + (letters > 0),
        shorts + (0 < letters <= 4),
        last,
    )


@kernel
def _add_text(
    html: np.ndarray, at: int, end: int, text: np.ndarray, blocks: np.ndarray, elements: np.ndarray, state: np.ndarray
) -> None:
    """Text `[at, end)` of the current element."""
    # The state in local variables, since the loop runs over every byte.
    in_block = state[_OPEN] != 0
    keeps_space = state[_PRES] != 0
    space = state[_SPACE] != 0
    written = state[_WRITTEN]
    chars = 0
    while at < end:
        b = html[at]
        used = 1
        # An ampersand starts an escape, which stands for one character.
        if b == 38:
            code, used = read_escape(html, at, end)
            b = np.uint8(code)
        at += used
        # White space is kept only inside `pre`; elsewhere one space becomes due.
        if b <= 32 and CLASSES[b] & SPACE:
            if in_block and keeps_space:
                text[written] = b
                written += 1
            else:
                space = in_block
            continue
        # The first other character opens a block, and writes the space that is due.
        if not in_block:
            in_block = True
            _start_block(blocks, elements, state)
        if space:
            space = False
            text[written] = 32
            written += 1
        text[written] = b
        written += 1
        chars += (b & 0xC0) != 0x80
    # Write the state back, and credit the characters to links and bold text.
    state[_SPACE] = space
    state[_WRITTEN] = written
    if chars:
        state[_BREAKS] = 0
        row = blocks[state[_BLOCKS]]
        if state[_BOLDS]:
            row[BOLD_CHARS] += chars
        if state[_LINKS]:
            row[LINK_CHARS] += chars
            row[LINKS] += state[_NEW_LINK]
            state[_NEW_LINK] = 0


@kernel
def _break_line(text: np.ndarray, blocks: np.ndarray, state: np.ndarray) -> None:
    """Take a `br`: a newline within the block, or the end of the block where the line is empty."""
    if not state[_OPEN]:
        return
    # A second line break in a row is an empty line, which ends the block.
    if state[_BREAKS] and not state[_PRES]:
        _end_block(text, blocks, state)
        return
    blocks[state[_BLOCKS], BREAKS] += 1
    text[state[_WRITTEN]] = 10
    state[_WRITTEN] += 1
    state[_SPACE] = 0
    state[_BREAKS] = 1


@kernel
def _open_element(
    tag: int,
    bits: int,
    text: np.ndarray,
    blocks: np.ndarray,
    elements: np.ndarray,
    groups: np.ndarray,
    state: np.ndarray,
) -> None:
    """Record an element that has been opened and make it the current one."""
    # Record the element with its parent, depth and nearest block-level element.
    kind = TAG_KINDS[tag]
    number = state[_ELEMENTS]
    parent = state[_CURRENT]
    elements[number, PARENT] = parent
    elements[number, TAG_ID] = tag
    elements[number, DEPTH] = elements[parent, DEPTH] + 1
    elements[number, NEAREST] = number if kind in (BLOCK, PRE) else elements[parent, NEAREST]
    # Class names on the root element describe the whole site, and say nothing about a block.
    groups[number] = 0 if tag in (_BODY, _HTML) else bits
    # A block-level element ends the text before it.
    if kind in (BLOCK, PRE):
        _end_block(text, blocks, state)
    # It is the open element now; count the kinds that bear on text inside it.
    state[_CURRENT] = number
    state[_ELEMENTS] += 1
    state[_SKIPPED] += kind == SKIPPED
    state[_BOLDS] += kind == BOLD
    state[_PRES] += kind == PRE
    if kind == LINK:
        state[_LINKS] += 1
        state[_NEW_LINK] = 1


@kernel
def _close_element(tag: int, text: np.ndarray, blocks: np.ndarray, elements: np.ndarray, state: np.ndarray) -> None:
    """Close the innermost open element with that tag, and those in it; nothing when there is none."""
    # Look for the innermost open element with this tag.
    found = state[_CURRENT]
    while found > 0 and elements[found, TAG_ID] != tag:
        found = elements[found, PARENT]
    if found <= 0:
        return
    # Close it and everything inside it, from the inside out.
    number = state[_CURRENT]
    while True:
        kind = TAG_KINDS[elements[number, TAG_ID]]
        if kind in (BLOCK, PRE):
            _end_block(text, blocks, state)
        state[_SKIPPED] -= kind == SKIPPED
        state[_LINKS] -= kind == LINK
        state[_BOLDS] -= kind == BOLD
        state[_PRES] -= kind == PRE
        state[_CURRENT] = elements[number, PARENT]
        if number == found:
            return
        number = state[_CURRENT]


@kernel
def scan(
    html: np.ndarray, text: np.ndarray, blocks: np.ndarray, elements: np.ndarray, groups: np.ndarray
) -> tuple[int, int, int]:
    """List the blocks of `html` (UTF-8). Returns `(number of elements, number of blocks, bytes of text)`.

    `text` uint8[len(html)], `blocks` int32[k, NUM_BLOCK_COLUMNS], `elements` int32[k, NUM_ELEMENT_COLUMNS] and `groups`
    int64[k] (keyword groups of each element) are filled, k being the number of `<` in `html` + 2. Element
    0 is the root.
    """
    # A second view of the page, eight bytes a word, serves the search for single bytes.
    n = len(html)
    words = html[: n // 8 * 8].view(np.uint64)
    # Element 0 is a root that no tag opens.
    state = np.zeros(12, np.int64)
    state[_ELEMENTS] = 1
    elements[0, :] = 0
    groups[0] = 0
    at = 0
    while at < n:
        # Text runs up to the next `<`.
        if html[at] != 60:
            start = at
            at = find_byte(html, words, at, n, 60)
            if not state[_SKIPPED]:
                _add_text(html, start, at, text, blocks, elements, state)
        # Then follows a comment, a closing tag, or an opening one.
        elif at + 1 < n and html[at + 1] == 33:
            at = behind_comment(html, words, at, n)
        elif at + 1 < n and html[at + 1] == 47:
            tag, at = read_tag_name(html, at + 2, n)
            at = find_byte(html, words, at, n, 62) + 1
            _close_element(tag, text, blocks, elements, state)
        else:
            at = _open_tag(html, words, at, n, text, blocks, elements, groups, state)
    _end_block(text, blocks, state)
    return state[_ELEMENTS], state[_BLOCKS], state[_WRITTEN]


@kernel
def _open_tag(
    html: np.ndarray, words: np.ndarray, at: int, n: int, text: np.ndarray, blocks: np.ndarray, elements: np.ndarray,
    groups: np.ndarray, state: np.ndarray,
) -> int:  # fmt: skip
    """Read the opening tag at `at`; returns the place behind it, or behind its text when that is raw."""
    start = at + 1
    tag, at = read_tag_name(html, start, n)
    length = at - start
    bits, at = read_attributes(html, words, at, n)
    kind = TAG_KINDS[tag]
    if kind == BREAK:
        if not state[_SKIPPED]:
            _break_line(text, blocks, state)
    elif kind == RAW_SKIPPED:
        at = behind_raw(html, words, at, n, start, length)
    elif tag == _HR:
        _end_block(text, blocks, state)
    elif kind != VOID:
        _open_element(tag, bits, text, blocks, elements, groups, state)
    return at
