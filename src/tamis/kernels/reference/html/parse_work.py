"""Twin of `kernels.html.parse_work`: the same counts by regular expressions."""

import re

from tamis.kernels.html.parse_work import MAX_FORMATTING, MAX_NAMES, NAMES_BY_KIND

_TAG = re.compile(rb"<(/?)([a-zA-Z][^\t\n\f\r />]*)")
_COMMENT = re.compile(rb"<!--(?:>|->|.*?(?:-->|--!>|\Z))", re.DOTALL)
_BOGUS = re.compile(rb"<[!?/][^>]*>?")
_ATTRIBUTE = re.compile(
    rb"[\t\n\f\r /]*(?:(>)|[^\t\n\f\r />][^\t\n\f\r />=]*"
    rb"(?:[\t\n\f\r ]*=[\t\n\f\r ]*(?:\"[^\"]*\"?|'[^']*'?|[^\t\n\f\r >]*))?)"
)
_KINDS = {name.encode(): kind for kind, names in NAMES_BY_KIND.items() for name in names}


def parse_work(html: bytes, max_copies: int) -> tuple[int, int, int, int]:
    """`(attributes, options, copies, depths)` of a page."""
    most = roots = options = copies = special = at = depth = depths = 0
    nested: dict[bytes, int] = {}
    formatting: list[tuple[bytes, bytes]] = []
    while (
        copies <= max_copies and len(formatting) < MAX_FORMATTING and 0 <= (at := html.find(b"<", at)) < len(html) - 1
    ):
        tag = _TAG.match(html, at)
        if not tag:
            other = _COMMENT.match(html, at) or _BOGUS.match(html, at)
            at = other.end() if other else at + 1
            continue
        closes, name = bool(tag.group(1)), tag.group(2).lower()
        kind = _KINDS.get(name, "")
        count, at = _attributes(html, tag.end())
        most = max(most, count)
        depths += 0 if closes else depth
        if kind in ("", "raw", "formatting", "special") and not (html[at - 2] == 47 if special else kind == "raw"):
            depth += _nest(name, closes, nested)
        if kind == "formatting":
            copies += len(formatting) // 8
            _change(formatting, closes, name, html[tag.start(2) : at])
        elif kind == "special":
            special = max(0, special - 1) if closes else special + 1
        elif kind == "root" and not closes:
            roots += count
        else:
            copies += len(formatting)
            options += kind == "option" and not closes
            if kind == "raw" and not closes and not special:
                end = re.compile(b"</" + re.escape(name), re.IGNORECASE).search(html, at)
                at = end.start() if end else len(html)
    if len(formatting) >= MAX_FORMATTING:
        copies = max_copies + 1
    return max(most, roots), options, copies, depths


def _nest(name: bytes, closes: bool, nested: dict[bytes, int]) -> int:
    """By how much the depth changes: only an element that is open can be closed."""
    if name not in nested:
        if closes or len(nested) >= MAX_NAMES:
            return 0 if closes else 1
        nested[name] = 0
    if closes and not nested[name]:
        return 0
    nested[name] += -1 if closes else 1
    return -1 if closes else 1


def _attributes(html: bytes, at: int) -> tuple[int, int]:
    """How many attributes follow, and the place behind the tag."""
    count = 0
    while (match := _ATTRIBUTE.match(html, at)) and match.end() > at:
        at = match.end()
        if match.group(1):
            return count, at
        count += 1
    return count, len(html)


def _change(formatting: list[tuple[bytes, bytes]], closes: bool, name: bytes, tag: bytes) -> None:
    """Open or close a formatting element; of four with the same tag, the first is forgotten (beyond the first 8)."""
    if closes:
        last = max((i for i, (other, _) in enumerate(formatting) if other == name), default=None)
        if last is not None:
            del formatting[last]
        return
    alike = [i for i, (_, other) in enumerate(formatting) if i >= 8 and other == tag]
    if len(alike) >= 3:
        del formatting[alike[0]]
    formatting.append((name, tag))
