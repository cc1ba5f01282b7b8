"""Text blocks of a page, with counts for judging them, from one pass over the HTML that a parser's tree writes.

A tree's own HTML is well formed: every element is closed, attribute values stand in double quotes, and text has four
escapes (`&amp; &lt; &gt; &nbsp;`). So a scanner of bytes sees the same tree as its parser, at memory speed. Input that
is not well formed gives some blocks, not the right ones, and never a crash. The twin is `reference.html_blocks`.

A block is a run of text that no block-level element, and no empty line of two `br`, interrupts. White space is squeezed
to one space (kept inside `pre`), `br` is a newline.
"""

import numpy as np

from tamis.kernels.html_words import (
    BLOCK,
    BOLD,
    BREAK,
    HIDDEN_GROUP,
    LINK,
    PRE,
    RAW_SKIPPED,
    SKIPPED,
    TAG,
    TAG_KEYS,
    TAG_KINDS,
    TAG_VALUES,
    VOID,
    WORD_KEYS,
    WORD_VALUES,
    fnv1a,
)
from tamis.kernels.jit import kernel

# Columns of `blocks`, int32. WORDS are parted by white space; STOPS end sentences; CAPITALS are words that start with
# A-Z; SHORTS are words of one to three a-z; MARKS are `| / : ·` and other signs that part short entries.
(START, END, ELEMENT, CHARS, WORDS, LINK_CHARS, LINKS, COMMAS, STOPS, DIGITS, CAPITALS, SHORTS, BOLD_CHARS, BREAKS,
 MARKS, LAST) = range(16)  # fmt: skip
NUM_BLOCK_COLUMNS = 16

# Columns of `elements`, int32: PARENT and NEAREST (block-level element, itself included) are element numbers; DEPTH of
# the root is 0.
PARENT, TAG_ID, NEAREST, DEPTH = range(4)
NUM_ELEMENT_COLUMNS = 4

# Scanner state, int64.
(
    _ELEMENTS,
    _BLOCKS,
    _CURRENT,
    _SKIPPED,
    _LINKS,
    _BOLDS,
    _PRES,
    _OPEN,
    _SPACE,
    _WRITTEN,
    _BREAKS,
    _NEW_LINK,
    _LETTERS,
    _BITS,
) = range(14)

_SPACE_BYTE, _COMMA, _STOP, _DIGIT, _UPPER, _LOWER, _CONTINUATION, _MARK = (1 << k for k in range(8))


def _byte_classes() -> np.ndarray:
    classes = np.zeros(256, np.uint8)
    for byte in range(256):
        character = chr(byte)
        classes[byte] = (
            _SPACE_BYTE * (character in " \t\n\r\f")
            | _COMMA * (character in ",;")
            | _STOP * (character in ".!?")
            | _DIGIT * (character in "0123456789")
            | _UPPER * ("A" <= character <= "Z")
            | _LOWER * ("a" <= character <= "z")
            | _CONTINUATION * (0x80 <= byte < 0xC0)
            | _MARK * (character in "|/:>+#@&_=*")
        )
    return classes


_CLASSES = _byte_classes()
_FNV_OFFSET, _FNV_PRIME = np.uint64(0xCBF29CE484222325), np.uint64(0x100000001B3)
_CLASS, _ID, _ROLE, _ITEMPROP = (np.uint64(fnv1a(name)) for name in ("class", "id", "role", "itemprop"))
_STYLE, _HIDDEN, _ARIA_HIDDEN = (np.uint64(fnv1a(name)) for name in ("style", "hidden", "aria-hidden"))
_DISPLAY, _NONE, _TRUE = (np.uint64(fnv1a(name)) for name in ("display", "none", "true"))
_HIDDEN_BIT = 1 << HIDDEN_GROUP
_BODY, _HTML, _HR = TAG["body"], TAG["html"], TAG["hr"]


@kernel
def _look_up(key: np.uint64, keys: np.ndarray, values: np.ndarray) -> int:
    mask = np.uint64(len(keys) - 1)
    at = key & mask
    while keys[at] != 0:
        if keys[at] == key:
            return values[at]
        at = (at + np.uint64(1)) & mask
    return 0


@kernel
def _words_of(html: np.ndarray, at: int, end: int) -> int:
    """Bits of the keyword groups of the words in `[at, end)`: runs of letters, parted again where a small letter meets
    a capital one."""
    bits = 0
    h = _FNV_OFFSET
    length = 0
    lower_before = False
    while at < end:
        b = html[at]
        kind = _CLASSES[b]
        upper = (kind & _UPPER) != 0
        if length and ((kind & (_UPPER | _LOWER)) == 0 or (upper and lower_before)):
            bits |= _look_up(h, WORD_KEYS, WORD_VALUES)
            h = _FNV_OFFSET
            length = 0
        lower_before = (kind & _LOWER) != 0
        if upper or lower_before:
            h = (h ^ np.uint64(b | 32)) * _FNV_PRIME
            length += 1
        at += 1
    if length:
        bits |= _look_up(h, WORD_KEYS, WORD_VALUES)
    return bits


@kernel
def _hides(html: np.ndarray, at: int, end: int) -> bool:
    """Whether a style attribute says `display: none`."""
    h = _FNV_OFFSET
    display = False
    while at <= end:
        b = html[at] if at < end else np.uint8(32)
        if (_CLASSES[b] & (_UPPER | _LOWER)) or b == 45:
            h = (h ^ np.uint64(b | 32)) * _FNV_PRIME
        elif h != _FNV_OFFSET:
            if display and h == _NONE:
                return True
            display = h == _DISPLAY
            h = _FNV_OFFSET
        at += 1
    return False


@kernel
def _attributes(html: np.ndarray, at: int, n: int) -> tuple[int, int]:
    """`(bits, place behind the tag)` of the attributes from `at` on."""
    bits = 0
    while at < n and html[at] != 62:
        h = _FNV_OFFSET
        while at < n and html[at] != 61 and html[at] != 62 and html[at] != 32:
            h = (h ^ np.uint64(html[at])) * _FNV_PRIME
            at += 1
        if at + 1 < n and html[at] == 61 and html[at + 1] == 34:
            start = at + 2
            at = start
            while at < n and html[at] != 34:
                at += 1
            if h in (_CLASS, _ID, _ROLE, _ITEMPROP):
                bits |= _words_of(html, start, at)
            elif h == _STYLE:
                if _hides(html, start, at):
                    bits |= _HIDDEN_BIT
            elif h == _ARIA_HIDDEN and at == start + 4:
                bits |= _HIDDEN_BIT
        if h == _HIDDEN:
            bits |= _HIDDEN_BIT
        if at < n and html[at] != 62:
            at += 1
    return bits, min(at + 1, n)


@kernel
def _end_block(blocks: np.ndarray, state: np.ndarray) -> None:
    state[_BREAKS] = 0
    if state[_OPEN]:
        state[_OPEN] = 0
        blocks[state[_BLOCKS], END] = state[_WRITTEN]
        state[_BLOCKS] += 1
    state[_SPACE] = 0


@kernel
def _start_block(blocks: np.ndarray, elements: np.ndarray, state: np.ndarray) -> None:
    state[_OPEN] = 1
    state[_LETTERS] = 0
    row = blocks[state[_BLOCKS]]
    row[:] = 0
    row[START] = state[_WRITTEN]
    row[ELEMENT] = elements[state[_CURRENT], NEAREST]


@kernel
def _end_word(row: np.ndarray, state: np.ndarray) -> None:
    """`_LETTERS` is 0 between words, else 1 + the number of small letters of a word made of nothing else, or 100."""
    letters = state[_LETTERS]
    if letters:
        row[WORDS] += 1
        row[SHORTS] += letters <= 4
        state[_LETTERS] = 0


@kernel
def _escape(html: np.ndarray, at: int, end: int) -> tuple[int, int]:
    """`(byte, bytes used)` of the escape that starts at `at`; a no-break space is a space."""
    if at + 3 < end and html[at + 2] == 116 and html[at + 3] == 59:
        if html[at + 1] == 108:
            return 60, 4
        if html[at + 1] == 103:
            return 62, 4
    if at + 4 < end and html[at + 1] == 97 and html[at + 2] == 109 and html[at + 3] == 112 and html[at + 4] == 59:
        return 38, 5
    if at + 5 < end and html[at + 1] == 110 and html[at + 2] == 98 and html[at + 3] == 115 and html[at + 5] == 59:
        return 32, 6
    return 38, 1


@kernel
def _ideographic(html: np.ndarray, at: int, end: int) -> int:
    """Class of the ideographic comma, full stop, and full-width forms whose lead byte is at `at`."""
    if at + 2 < end:
        code = (int(html[at]) << 16) | (int(html[at + 1]) << 8) | html[at + 2]
        if code == 0xE38082 or code == 0xEFBC81 or code == 0xEFBC9F:
            return _STOP
        if code == 0xE38081 or code == 0xEFBC8C:
            return _COMMA
    return 0


@kernel
def _add_text(
    html: np.ndarray, at: int, end: int, text: np.ndarray, blocks: np.ndarray, elements: np.ndarray, state: np.ndarray
) -> None:
    """Text `[at, end)` of the current element."""
    row = blocks[state[_BLOCKS]]
    while at < end:
        b = html[at]
        used = 1
        kind = int(_CLASSES[b])
        if b == 38:
            code, used = _escape(html, at, end)
            b = np.uint8(code)
            kind = int(_CLASSES[b])
        elif b == 0xE3 or b == 0xEF:
            kind = _ideographic(html, at, end)
        at += used
        if kind & _SPACE_BYTE:
            if state[_OPEN]:
                _end_word(row, state)
                if state[_PRES]:
                    text[state[_WRITTEN]] = b
                    state[_WRITTEN] += 1
                else:
                    state[_SPACE] = 1
            continue
        if not state[_OPEN]:
            _start_block(blocks, elements, state)
        state[_BREAKS] = 0
        if state[_SPACE]:
            state[_SPACE] = 0
            text[state[_WRITTEN]] = 32
            state[_WRITTEN] += 1
        text[state[_WRITTEN]] = b
        state[_WRITTEN] += 1
        _count(row, b, kind, state)


@kernel
def _count(row: np.ndarray, b: int, kind: int, state: np.ndarray) -> None:
    if kind & _CONTINUATION:
        return
    row[CHARS] += 1
    row[LAST] = b if not kind & _STOP else 46
    if state[_LINKS]:
        row[LINK_CHARS] += 1
        row[LINKS] += state[_NEW_LINK]
        state[_NEW_LINK] = 0
    if state[_BOLDS]:
        row[BOLD_CHARS] += 1
    if kind & _LOWER:
        state[_LETTERS] = max(1, state[_LETTERS]) + 1 if state[_LETTERS] < 100 else 100
        return
    row[CAPITALS] += (kind & _UPPER) != 0 and state[_LETTERS] == 0
    if not (kind & (_COMMA | _STOP) and state[_LETTERS]):
        state[_LETTERS] = 100
    row[COMMAS] += (kind & _COMMA) != 0
    row[STOPS] += (kind & _STOP) != 0
    row[DIGITS] += (kind & _DIGIT) != 0
    row[MARKS] += (kind & _MARK) != 0


@kernel
def _break_line(text: np.ndarray, blocks: np.ndarray, state: np.ndarray) -> None:
    if not state[_OPEN]:
        return
    if state[_BREAKS] and not state[_PRES]:
        _end_block(blocks, state)
        return
    row = blocks[state[_BLOCKS]]
    _end_word(row, state)
    row[BREAKS] += 1
    text[state[_WRITTEN]] = 10
    state[_WRITTEN] += 1
    state[_SPACE] = 0
    state[_BREAKS] = 1


@kernel
def _open_element(
    tag: int, bits: int, blocks: np.ndarray, elements: np.ndarray, groups: np.ndarray, state: np.ndarray
) -> None:
    kind = TAG_KINDS[tag]
    number = state[_ELEMENTS]
    parent = state[_CURRENT]
    elements[number, PARENT] = parent
    elements[number, TAG_ID] = tag
    elements[number, DEPTH] = elements[parent, DEPTH] + 1
    elements[number, NEAREST] = number if kind in (BLOCK, PRE) else elements[parent, NEAREST]
    # Themes write what the whole site has on its root: it tells nothing of a block.
    groups[number] = 0 if tag in (_BODY, _HTML) else bits
    if kind in (BLOCK, PRE):
        if state[_OPEN]:
            _end_word(blocks[state[_BLOCKS]], state)
        _end_block(blocks, state)
    state[_CURRENT] = number
    state[_ELEMENTS] += 1
    state[_SKIPPED] += kind == SKIPPED
    state[_BOLDS] += kind == BOLD
    state[_PRES] += kind == PRE
    if kind == LINK:
        state[_LINKS] += 1
        state[_NEW_LINK] = 1


@kernel
def _close_element(tag: int, blocks: np.ndarray, elements: np.ndarray, state: np.ndarray) -> None:
    """Close the innermost open element with that tag, and those in it; nothing when there is none."""
    found = state[_CURRENT]
    while found > 0 and elements[found, TAG_ID] != tag:
        found = elements[found, PARENT]
    if found <= 0:
        return
    number = state[_CURRENT]
    while True:
        kind = TAG_KINDS[elements[number, TAG_ID]]
        if kind in (BLOCK, PRE):
            if state[_OPEN]:
                _end_word(blocks[state[_BLOCKS]], state)
            _end_block(blocks, state)
        state[_SKIPPED] -= kind == SKIPPED
        state[_LINKS] -= kind == LINK
        state[_BOLDS] -= kind == BOLD
        state[_PRES] -= kind == PRE
        state[_CURRENT] = elements[number, PARENT]
        if number == found:
            return
        number = state[_CURRENT]


@kernel
def _tag_name(html: np.ndarray, at: int, n: int) -> tuple[int, int]:
    """`(tag id, place behind the name)`."""
    h = _FNV_OFFSET
    while at < n and html[at] != 62 and html[at] != 32:
        h = (h ^ np.uint64(html[at])) * _FNV_PRIME
        at += 1
    return _look_up(h, TAG_KEYS, TAG_VALUES), at


@kernel
def _behind_comment(html: np.ndarray, at: int, n: int) -> int:
    """Place behind the comment or declaration that starts with `<!` at `at`."""
    if at + 3 < n and html[at + 2] == 45 and html[at + 3] == 45:
        at += 4
        while at < n and not (html[at] == 62 and html[at - 1] == 45 and html[at - 2] == 45):
            at += 1
    else:
        while at < n and html[at] != 62:
            at += 1
    return min(at + 1, n)


@kernel
def _behind_raw(html: np.ndarray, at: int, n: int, start: int, length: int) -> int:
    """Place of the closing tag of the raw-text element whose name is `html[start : start + length]`."""
    while at < n:
        if html[at] == 60 and at + 1 < n and html[at + 1] == 47:
            k = 0
            while k < length and at + 2 + k < n and html[at + 2 + k] == html[start + k]:
                k += 1
            if k == length:
                return at
        at += 1
    return n


@kernel
def scan(
    html: np.ndarray, text: np.ndarray, blocks: np.ndarray, elements: np.ndarray, groups: np.ndarray
) -> tuple[int, int, int]:
    """List the blocks of `html` (UTF-8). Returns `(number of elements, number of blocks, bytes of text)`.

    `text` uint8[len(html)], `blocks` int32[k, NUM_BLOCK_COLUMNS], `elements` int32[k, NUM_ELEMENT_COLUMNS] and `groups`
    int64[k] (keyword groups of each element) are filled, k being the number of `<` in `html` + 2. Element
    0 is the root.
    """
    n = len(html)
    state = np.zeros(14, np.int64)
    state[_ELEMENTS] = 1
    elements[0, :] = 0
    groups[0] = 0
    at = 0
    while at < n:
        if html[at] != 60:
            start = at
            while at < n and html[at] != 60:
                at += 1
            if not state[_SKIPPED]:
                _add_text(html, start, at, text, blocks, elements, state)
        elif at + 1 < n and html[at + 1] == 33:
            at = _behind_comment(html, at, n)
        elif at + 1 < n and html[at + 1] == 47:
            tag, at = _tag_name(html, at + 2, n)
            while at < n and html[at] != 62:
                at += 1
            at += 1
            _close_element(tag, blocks, elements, state)
        else:
            at = _open_tag(html, at, n, text, blocks, elements, groups, state)
    if state[_OPEN]:
        _end_word(blocks[state[_BLOCKS]], state)
    _end_block(blocks, state)
    return state[_ELEMENTS], state[_BLOCKS], state[_WRITTEN]


@kernel
def _open_tag(
    html: np.ndarray, at: int, n: int, text: np.ndarray, blocks: np.ndarray, elements: np.ndarray, groups: np.ndarray,
    state: np.ndarray,
) -> int:  # fmt: skip
    """Read the opening tag at `at`; returns the place behind it, or behind its text when that is raw."""
    start = at + 1
    tag, at = _tag_name(html, start, n)
    length = at - start
    bits, at = _attributes(html, at, n)
    kind = TAG_KINDS[tag]
    if kind == BREAK:
        if not state[_SKIPPED]:
            _break_line(text, blocks, state)
    elif kind == RAW_SKIPPED:
        at = _behind_raw(html, at, n, start, length)
        while at < n and html[at] != 62:
            at += 1
        at = min(at + 1, n)
    elif tag == _HR:
        if state[_OPEN]:
            _end_word(blocks[state[_BLOCKS]], state)
        _end_block(blocks, state)
    elif kind != VOID:
        _open_element(tag, bits, blocks, elements, groups, state)
    return at
