"""The bytes of HTML as a parser writes it: tags, attributes, escapes, comments and raw text, one at a time."""

import numpy as np

from tamis.kernels.html.words import HIDDEN_GROUP, TAG_KEYS, TAG_VALUES, WORD_KEYS, WORD_VALUES, fnv1a
from tamis.kernels.jit import kernel

SPACE, COMMA, STOP, DIGIT, UPPER, LOWER, CONTINUATION, MARK = (1 << k for k in range(8))


def _byte_classes() -> np.ndarray:
    """uint8[256]: the bit sets of the classes of each byte."""
    classes = np.zeros(256, np.uint8)
    for byte in range(256):
        character = chr(byte)
        classes[byte] = (
            SPACE * (character in " \t\n\r\f")
            | COMMA * (character in ",;")
            | STOP * (character in ".!?")
            | DIGIT * (character in "0123456789")
            | UPPER * ("A" <= character <= "Z")
            | LOWER * ("a" <= character <= "z")
            | CONTINUATION * (0x80 <= byte < 0xC0)
            | MARK * (character in "|/:>+#@&_=*")
        )
    return classes


CLASSES = _byte_classes()
_FNV_OFFSET, _FNV_PRIME = np.uint64(0xCBF29CE484222325), np.uint64(0x100000001B3)
# Names of attributes and values are known by their hash.
_CLASS, _ID, _ROLE, _ITEMPROP = (np.uint64(fnv1a(name)) for name in ("class", "id", "role", "itemprop"))
_STYLE, _HIDDEN, _ARIA_HIDDEN = (np.uint64(fnv1a(name)) for name in ("style", "hidden", "aria-hidden"))
_DISPLAY, _NONE = np.uint64(fnv1a("display")), np.uint64(fnv1a("none"))
_HIDDEN_BIT = 1 << HIDDEN_GROUP


_LOW_BITS, _HIGH_BITS = np.uint64(0x0101010101010101), np.uint64(0x8080808080808080)


@kernel
def find_byte(html: np.ndarray, words: np.ndarray, at: int, n: int, byte: int) -> int:
    """First place from `at` on with that byte, else n; eight bytes at a time, since most of a page is not text."""
    # Byte by byte to the next multiple of eight.
    while at < n and at & 7:
        if html[at] == byte:
            return at
        at += 1
    # Then eight bytes at a time, until one of them is the byte looked for.
    pattern = _LOW_BITS * np.uint64(byte)
    while at + 8 <= n:
        x = words[at >> 3] ^ pattern
        if (x - _LOW_BITS) & ~x & _HIGH_BITS:  # Some byte of x is 0.
            break
        at += 8
    # Find it among the eight, or look through the rest of the page.
    while at < n and html[at] != byte:
        at += 1
    return at


@kernel
def _look_up(key: np.uint64, keys: np.ndarray, values: np.ndarray) -> int:
    """The value of `key` in an open-addressing table, 0 where it has none."""
    # Step through the table from the key's slot; a free slot means that the key is unknown.
    mask = np.uint64(len(keys) - 1)
    at = key & mask
    while keys[at] != 0:
        if keys[at] == key:
            return values[at]
        at = (at + np.uint64(1)) & mask
    return 0


@kernel
def _words_of(html: np.ndarray, at: int, end: int) -> int:
    """Bits of the keyword groups of the words in `[at, end)`: runs of letters, split again where a small letter meets
    a capital one."""
    bits = 0
    h = _FNV_OFFSET
    length = 0
    # Letters join the hash of the word in lower case.
    lower_before = False
    while at < end:
        # A character that is no letter ends a word, and so does a capital after a small letter.
        b = html[at]
        kind = CLASSES[b]
        upper = (kind & UPPER) != 0
        if length and ((kind & (UPPER | LOWER)) == 0 or (upper and lower_before)):
            bits |= _look_up(h, WORD_KEYS, WORD_VALUES)
            h = _FNV_OFFSET
            length = 0
        lower_before = (kind & LOWER) != 0
        if upper or lower_before:
            h = (h ^ np.uint64(b | 32)) * _FNV_PRIME
            length += 1
        at += 1
    # The last word ends with the value.
    if length:
        bits |= _look_up(h, WORD_KEYS, WORD_VALUES)
    return bits


@kernel
def _hides(html: np.ndarray, at: int, end: int) -> bool:
    """Whether a style attribute says `display: none`."""
    # Hash every name and value of the style, and look for the pair.
    h = _FNV_OFFSET
    display = False
    while at <= end:
        b = html[at] if at < end else np.uint8(32)
        if (CLASSES[b] & (UPPER | LOWER)) or b == 45:
            h = (h ^ np.uint64(b | 32)) * _FNV_PRIME
        elif h != _FNV_OFFSET:
            if display and h == _NONE:
                return True
            display = h == _DISPLAY
            h = _FNV_OFFSET
        at += 1
    return False


@kernel
def read_attributes(html: np.ndarray, words: np.ndarray, at: int, n: int) -> tuple[int, int]:
    """`(bits, place behind the tag)` of the attributes from `at` on."""
    bits = 0
    while at < n and html[at] != 62:
        # Hash the name up to `=`, a blank or the end of the tag.
        h = _FNV_OFFSET
        while at < n and html[at] != 61 and html[at] != 62 and html[at] != 32:
            h = (h ^ np.uint64(html[at])) * _FNV_PRIME
            at += 1
        # A value stands in double quotes; whether it matters depends on the name.
        if at + 1 < n and html[at] == 61 and html[at + 1] == 34:
            start = at + 2
            at = find_byte(html, words, start, n, 34)
            if h in (_CLASS, _ID, _ROLE, _ITEMPROP):
                bits |= _words_of(html, start, at)
            elif h == _STYLE:
                if _hides(html, start, at):
                    bits |= _HIDDEN_BIT
            elif h == _ARIA_HIDDEN and at == start + 4:
                bits |= _HIDDEN_BIT
        # The attribute `hidden` needs no value.
        if h == _HIDDEN:
            bits |= _HIDDEN_BIT
        if at < n and html[at] != 62:
            at += 1
    return bits, min(at + 1, n)


@kernel
def read_escape(html: np.ndarray, at: int, end: int) -> tuple[int, int]:
    """`(byte, bytes used)` of the escape that starts at `at`; a no-break space is a space."""
    # `&lt;` and `&gt;`.
    if at + 3 < end and html[at + 2] == 116 and html[at + 3] == 59:
        if html[at + 1] == 108:
            return 60, 4
        if html[at + 1] == 103:
            return 62, 4
    # `&amp;`.
    if at + 4 < end and html[at + 1] == 97 and html[at + 2] == 109 and html[at + 3] == 112 and html[at + 4] == 59:
        return 38, 5
    # `&nbsp;`.
    if at + 5 < end and html[at + 1] == 110 and html[at + 2] == 98 and html[at + 3] == 115 and html[at + 5] == 59:
        return 32, 6
    return 38, 1


@kernel
def ideographic_class(html: np.ndarray, at: int, end: int) -> int:
    """Class of the ideographic comma, full stop, and full-width forms whose lead byte is at `at`."""
    # Compare all three bytes of the character at once.
    if at + 2 < end:
        code = (int(html[at]) << 16) | (int(html[at + 1]) << 8) | html[at + 2]
        if code == 0xE38082 or code == 0xEFBC81 or code == 0xEFBC9F:
            return STOP
        if code == 0xE38081 or code == 0xEFBC8C:
            return COMMA
    return 0


@kernel
def read_tag_name(html: np.ndarray, at: int, n: int) -> tuple[int, int]:
    """`(tag id, place behind the name)`."""
    # Hash the name as it is read; a parser writes it in lower case.
    h = _FNV_OFFSET
    while at < n and html[at] != 62 and html[at] != 32:
        h = (h ^ np.uint64(html[at])) * _FNV_PRIME
        at += 1
    return _look_up(h, TAG_KEYS, TAG_VALUES), at


@kernel
def behind_comment(html: np.ndarray, words: np.ndarray, at: int, n: int) -> int:
    """Place behind the comment or declaration that starts with `<!` at `at`."""
    # A comment ends with `-->`, a declaration with the first `>`.
    comment = at + 3 < n and html[at + 2] == 45 and html[at + 3] == 45
    at = find_byte(html, words, at + 4 if comment else at, n, 62)
    while comment and at < n and not (html[at - 1] == 45 and html[at - 2] == 45):
        at = find_byte(html, words, at + 1, n, 62)
    return min(at + 1, n)


@kernel
def behind_raw(html: np.ndarray, words: np.ndarray, at: int, n: int, start: int, length: int) -> int:
    """Place behind the closing tag of the raw-text element whose name is `html[start : start + length]`."""
    while at < n:
        # Only a closing tag of the same name ends raw text.
        at = find_byte(html, words, at, n, 60)
        if at + 1 < n and html[at + 1] == 47:
            k = 0
            while k < length and at + 2 + k < n and html[at + 2 + k] == html[start + k]:
                k += 1
            if k == length:
                return min(find_byte(html, words, at, n, 62) + 1, n)
        at += 1
    return n
