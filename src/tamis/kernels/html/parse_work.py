"""How much work a page makes for an HTML parser beyond its length: known before the page is parsed.

The time of parsing and extraction grows with the square of four counts. Each attribute of a tag is compared with those
before it, and the attributes of further `html` and `body` tags are merged into those of the first. Each option of a
list looks at those before it. Formatting elements that are left open (`<b>`, `<font>`) are opened again in every
paragraph that follows. And each element is looked at from all elements around it. The scan follows the standard's
tokenizer and, where it cannot know what a parser does, counts too much.
"""

import numpy as np

from tamis.kernels.html.nesting import SHALLOW, nesting_bound, nesting_depth
from tamis.kernels.html.tags import find_byte
from tamis.kernels.jit import kernel

_OTHER, _RAW, _FORMATTING, _ROOT, _OPTION, _SPECIAL, _SHALLOW = range(7)
NAMES_BY_KIND = {
    "raw": ("script", "style", "textarea", "title", "xmp", "iframe", "noembed", "noframes"),
    "formatting": ("a", "b", "big", "code", "em", "font", "i", "nobr", "s", "small", "strike", "strong", "tt", "u"),
    "root": ("html", "body"),
    "option": ("option", "optgroup"),
    "special": ("svg", "math", "select"),
    "shallow": (*(name for name in SHALLOW if name != "option"), "frame", "bgsound", "keygen", "basefont", "spacer"),
}
"""Elements by kind. Inside special ones, the text of raw elements is not raw for every parser, and `/>` closes
an element. Shallow ones do not nest in one another."""
_SLOTS = 512
_SHIFT = np.uint64(55)
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
MAX_FORMATTING = 4096
"""Open formatting elements that are kept track of; more are too many."""
MAX_NAMES = 256
"""Names of elements whose closing tags are counted."""
_FEW = 8
"""Open formatting elements that are not compared with one another."""
_MAX_ALIKE = 3
"""Of formatting elements with the same attributes, no more are opened again (the standard's Noah's Ark clause)."""


def _pack(name: str) -> int:
    return int.from_bytes(name.encode()[:8], "big")


def _tables() -> tuple[np.ndarray, np.ndarray]:
    """Packed names and kinds in open addressing with linear steps; key 0 marks an empty slot."""
    keys, kinds = np.zeros(_SLOTS, np.uint64), np.zeros(_SLOTS, np.int64)
    for kind, names in enumerate(NAMES_BY_KIND.values(), start=_RAW):
        for name in names:
            at = ((_pack(name) * int(_MULTIPLIER)) & 0xFFFFFFFFFFFFFFFF) >> int(_SHIFT)
            while keys[at]:
                at = (at + 1) % _SLOTS
            keys[at], kinds[at] = _pack(name), kind
    return keys, kinds


_KEYS, _VALUES = _tables()
# Classes of bytes: white space, what ends the name of an element besides it, and what ends that of an attribute.
_SPACE, _NAME_END, _ATTRIBUTE_END = 1, 2, 4
_CLASSES = np.zeros(256, np.uint8)
_CLASSES[[9, 10, 12, 13, 32]] = _SPACE | _NAME_END | _ATTRIBUTE_END
_CLASSES[[47, 62]] = _NAME_END | _ATTRIBUTE_END
_CLASSES[61] = _ATTRIBUTE_END


def parse_work(html: bytes | memoryview, max_copies: int) -> tuple[int, int, int, int]:
    """`(attributes, options, copies, depths)` of a page: the most attributes that one element collects, the number of
    options, about how many copies of open formatting elements a parser makes, and the sum of the depths of all
    elements; counting ends above `max_copies`.

    Its twin is `reference.html.parse_work`.
    """
    data = np.frombuffer(html, np.uint8)
    words = np.frombuffer(html, np.uint64, len(html) // 8)
    attributes, options, copies, depths = _scan(data, words, max_copies)
    return int(attributes), int(options), int(copies), int(depths)


def warm() -> None:
    """Compile or load the kernels that look at pages before they are parsed."""
    parse_work(b"<p>", 1)
    nesting_bound(b"<p>")
    nesting_depth(b"<p>", 1)


@kernel
def _kind(name: np.uint64) -> int:
    """The kind of the element with that packed name."""
    at = (name * _MULTIPLIER) >> _SHIFT
    while _KEYS[at] != 0:
        if _KEYS[at] == name:
            return _VALUES[at]
        at = (at + np.uint64(1)) % np.uint64(_SLOTS)
    return _OTHER


@kernel
def _is_letter(byte: int) -> bool:
    return 97 <= (byte | 32) <= 122


@kernel
def _name(html: np.ndarray, at: int, n: int) -> tuple[np.uint64, int]:
    """The packed name at `at`, or a hash of one of more than eight bytes, and the place behind it."""
    name = np.uint64(0)
    start = at
    while at < n and not _CLASSES[html[at]] & _NAME_END:
        # Bit 5 makes ASCII letters lower case; no name that is looked up has other bytes.
        byte = np.uint64(html[at] | 32)
        name = (name << np.uint64(8)) | byte if at - start < 8 else (name ^ byte) * _MULTIPLIER
        at += 1
    return name, at


@kernel
def _attributes(html: np.ndarray, words: np.ndarray, at: int, n: int) -> tuple[int, int]:
    """How many attributes stand between `at` and the end of the tag, and the place behind the tag."""
    count = 0
    while at < n:
        byte = html[at]
        if byte == 62:
            return count, at + 1
        if byte == 47 or _CLASSES[byte] & _SPACE:
            at += 1
            continue
        # A name ends at `=`, which it may begin with.
        count += 1
        at += 1
        while at < n and not _CLASSES[html[at]] & _ATTRIBUTE_END:
            at += 1
        # White space may stand around the `=`.
        end = at
        while end < n and _CLASSES[html[end]] & _SPACE:
            end += 1
        if end >= n or html[end] != 61:
            continue
        at = end + 1
        while at < n and _CLASSES[html[at]] & _SPACE:
            at += 1
        # The value, in quotes or up to the next white space.
        if at < n and (html[at] == 34 or html[at] == 39):
            at = min(find_byte(html, words, at + 1, n, html[at]) + 1, n)
        else:
            while at < n and html[at] != 62 and not _CLASSES[html[at]] & _SPACE:
                at += 1
    return count, n


@kernel
def _behind_comment(html: np.ndarray, words: np.ndarray, at: int, n: int) -> int:
    """Place behind the comment or declaration that starts with `<!` at `at`."""
    comment = at + 3 < n and html[at + 2] == 45 and html[at + 3] == 45
    begin = at + 4
    at = find_byte(html, words, begin if comment else at, n, 62)
    while comment and at < n:
        # `-->` or `--!>`; `<!-->` and `<!--->` are whole comments, too.
        dashes = at - 1 - (html[at - 1] == 33 and at - 3 >= begin)
        if (html[dashes] == 45 and html[dashes - 1] == 45) or at == begin:
            break
        at = find_byte(html, words, at + 1, n, 62)
    return min(at + 1, n)


@kernel
def _behind_raw(html: np.ndarray, words: np.ndarray, at: int, n: int, start: int, length: int) -> int:
    """Place of the closing tag of the element whose name is `html[start : start + length]`, in any case of letters."""
    while at < n:
        at = find_byte(html, words, at, n, 60)
        if at + 1 < n and html[at + 1] == 47:
            k = 0
            while k < length and at + 2 + k < n and (html[at + 2 + k] | 32) == (html[start + k] | 32):
                k += 1
            if k == length:
                return at
        at += 1
    return n


@kernel
def _open(
    html: np.ndarray, start: int, end: int, name: np.uint64, names: np.ndarray, hashes: np.ndarray, num: int
) -> int:
    """Add a formatting element, whose tag is `html[start:end]`, to the `num` open ones; returns how many are open."""
    key = np.uint64(0)
    if num >= _FEW:
        for i in range(start, end):
            key = (key ^ np.uint64(html[i])) * _MULTIPLIER
        # Look for those with the same attributes.
        alike = 0
        oldest = -1
        for i in range(num - 1, _FEW - 1, -1):
            if hashes[i] == key:
                alike += 1
                oldest = i
        if alike >= _MAX_ALIKE:
            num = _remove(names, hashes, oldest, num)
    names[num] = name
    hashes[num] = key
    return num + 1


@kernel
def _remove(names: np.ndarray, hashes: np.ndarray, at: int, num: int) -> int:
    """Take the open formatting element with that number out."""
    for i in range(at, num - 1):
        names[i] = names[i + 1]
        hashes[i] = hashes[i + 1]
    return num - 1


@kernel
def _close(name: np.uint64, names: np.ndarray, hashes: np.ndarray, num: int) -> int:
    """Take the formatting element of that name that was opened last out; returns how many are open."""
    for i in range(num - 1, -1, -1):
        if names[i] == name:
            return _remove(names, hashes, i, num)
    return num


@kernel
def _nest(name: np.uint64, closes: bool, names: np.ndarray, counts: np.ndarray) -> int:
    """1 when an element is opened, -1 when one of that name is open and is closed, else 0. The last of `counts` is the
    number of names; where there are too many, the others are not closed."""
    at = (name * _MULTIPLIER) >> _SHIFT
    while names[at] != 0 and names[at] != name:
        at = (at + np.uint64(1)) % np.uint64(_SLOTS)
    if names[at] == 0:
        if closes or counts[_SLOTS] >= MAX_NAMES:
            return 0 if closes else 1
        names[at] = name
        counts[_SLOTS] += 1
    if closes and counts[at] == 0:
        return 0
    counts[at] += -1 if closes else 1
    return -1 if closes else 1


@kernel
def _scan(html: np.ndarray, words: np.ndarray, max_copies: int) -> tuple[int, int, int, int]:
    """See `parse_work`."""
    n = len(html)
    most = roots = options = copies = num = special = depth = depths = 0
    open_names, counts = np.zeros(_SLOTS, np.uint64), np.zeros(_SLOTS + 1, np.int64)
    names, hashes = np.empty(MAX_FORMATTING, np.uint64), np.empty(MAX_FORMATTING, np.uint64)
    at = find_byte(html, words, 0, n, 60)
    while at + 1 < n and copies <= max_copies and num < MAX_FORMATTING:
        start = at + 1
        closes = html[start] == 47
        start += closes
        if start >= n or not _is_letter(html[start]):
            # A comment or declaration, or a `<` that is text.
            if html[at + 1] == 33:
                at = _behind_comment(html, words, at, n)
            elif closes or html[at + 1] == 63:
                at = min(find_byte(html, words, at + 1, n, 62) + 1, n)
            else:
                at += 1
            at = find_byte(html, words, at, n, 60)
            continue
        name, end = _name(html, start, n)
        count, at = _attributes(html, words, end, n)
        kind = _kind(name)
        most = max(most, count)
        if not closes:
            depths += depth
        if kind <= _FORMATTING or kind == _SPECIAL:
            # Raw text nests in nothing, and `/>` closes an element inside a drawing.
            whole = html[at - 2] == 47 if special else kind == _RAW
            depth += 0 if whole else _nest(name, closes, open_names, counts)
        if kind == _FORMATTING:
            # Every look through the list counts as well, so that the time of this scan is bounded by the limit, too.
            copies += num // 8
            num = _close(name, names, hashes, num) if closes else _open(html, start, at, name, names, hashes, num)
        elif kind == _SPECIAL:
            special = max(0, special - 1) if closes else special + 1
        elif kind == _ROOT and not closes:
            roots += count
        else:
            # Whatever the formatting elements did not end in: they may be opened again after it.
            copies += num
            options += kind == _OPTION and not closes
            if kind == _RAW and not closes and not special:
                at = _behind_raw(html, words, at, n, start, end - start)
        at = find_byte(html, words, at, n, 60)
    if num >= MAX_FORMATTING:
        copies = max_copies + 1
    return max(most, roots), options, copies, depths
