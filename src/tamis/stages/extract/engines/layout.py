"""Joins blocks to the text of a document: as plain text, or as Markdown."""

import re
from collections.abc import Sequence

import numpy as np

from tamis.kernels.html.blocks import PARENT, TAG_ID
from tamis.kernels.html.words import TAG, TAG_NAMES

_CELLS = (TAG["td"], TAG["th"])
_TIGHT = frozenset(TAG[name] for name in ("li", "dt", "dd", "tr", "td", "th", "option", "figcaption", "caption"))
_HEADINGS = {TAG[f"h{level}"]: "#" * level for level in range(1, 7)}
_LISTS = (TAG["ul"], TAG["ol"], TAG["menu"], TAG["dir"])
_MAX_CELL_CHARS = 120
"""Mean number of characters of a block above which a table is taken for page layout instead of a table of data."""
_SPACES = re.compile(r"\s+")


def as_text(parts: Sequence[str], places: Sequence[int], elements: np.ndarray) -> str:
    """`parts[k]` stands in element `places[k]`. Paragraphs are separated by an empty line, list items and table rows by
    a newline, and cells of a row by a tab."""
    out: list[str] = []
    tags = elements[list(places), TAG_ID].tolist() if places else []
    row_before = -1
    tight_before = False
    for part, place, tag in zip(parts, places, tags, strict=True):
        row = _row_of(place, elements) if tag in _CELLS else -1
        tight = tag in _TIGHT
        if out:
            out.append("\t" if row >= 0 and row == row_before else "\n" if tight and tight_before else "\n\n")
        out.append(part.strip("\n").rstrip())
        row_before, tight_before = row, tight
    return "".join(out)


def as_markdown(parts: Sequence[str], places: Sequence[int], elements: np.ndarray) -> str:
    """`parts[k]` stands in element `places[k]`. Headings, lists (nested and numbered), tables, code blocks and
    quotations keep their form; text within them is not escaped."""
    chunks: list[tuple[str, str]] = []  # (kind, lines); items of one outermost list are of one kind.
    at = laid_out = 0
    item = _Items(elements)
    while at < len(parts):
        chain = _ancestors(places[at], elements)
        tags = [int(elements[e, TAG_ID]) for e in chain]
        if any(tag in _CELLS for tag in tags):
            end = _end_of_table(at, places, _table_of(chain, tags, elements), elements)
            if at >= laid_out and (table := _table(parts[at:end], places[at:end], elements)):
                chunks.append(("table", table))
                at = end
                continue
            laid_out = max(laid_out, end)
        chunks.append(_markdown_block(parts[at], chain, tags, item))
        at += 1
    out: list[str] = []
    before = ""
    for kind, lines in chunks:
        if out:
            out.append("\n" if kind == before and kind.startswith("list") else "\n\n")
        out.append(lines)
        before = kind
    return "".join(out)


def _markdown_block(part: str, chain: list[int], tags: list[int], items: "_Items") -> tuple[str, str]:
    """`(kind, text)` of one block outside tables."""
    text = part.strip("\n").rstrip()
    if TAG["pre"] in tags:
        fence = "```" if "```" not in text else "~~~~"
        return "code", f"{fence}\n{text}\n{fence}"
    text = text.replace("\n", "  \n")
    heading = next((_HEADINGS[tag] for tag in tags if tag in _HEADINGS), None)
    if heading:
        return "heading", f"{heading} {_SPACES.sub(' ', text)}"
    if TAG["li"] in tags:
        lists = [e for e, tag in zip(chain, tags, strict=True) if tag in _LISTS]
        return f"list {lists[-1] if lists else 0}", items.line(text, chain, tags)
    if TAG["blockquote"] in tags:
        return "quote", "> " + text.replace("\n", "\n> ")
    return "text", text


class _Items:
    """Marks of list items: only the first block of an item has one, and numbers count the items of their list."""

    def __init__(self, elements: np.ndarray) -> None:
        self._elements = elements
        self._marked: set[int] = set()
        self._counts: dict[int, int] = {}

    def line(self, text: str, chain: list[int], tags: list[int]) -> str:
        item = chain[tags.index(TAG["li"])]
        holders = [(e, tag) for e, tag in zip(chain, tags, strict=True) if tag in _LISTS]
        indent = "  " * max(0, len(holders) - 1)
        mark = "  "
        if item not in self._marked:
            self._marked.add(item)
            mark = "- "
            if holders and holders[0][1] == TAG["ol"]:
                number = self._counts[holders[0][0]] = self._counts.get(holders[0][0], 0) + 1
                mark = f"{number}. "
        return indent + mark + text.replace("\n", "\n" + indent + "  ")


def _table(parts: Sequence[str], places: Sequence[int], elements: np.ndarray) -> str:
    """The blocks of one table; '' when the table only serves the layout of the page."""
    rows: list[tuple[int, list[tuple[int, str]]]] = []
    for part, place in zip(parts, places, strict=True):
        text = _SPACES.sub(" ", part).strip().replace("|", "\\|")
        row, cell = _row_of(place, elements), _cell_of(place, elements)
        if not rows or rows[-1][0] != row:
            rows.append((row, []))
        cells = rows[-1][1]
        if cells and cells[-1][0] == cell:
            cells[-1] = (cell, f"{cells[-1][1]} {text}")
        else:
            cells.append((cell, text))
    width = max(len(cells) for _, cells in rows)
    if width == 1 or sum(map(len, parts)) > _MAX_CELL_CHARS * len(parts):
        return ""
    lines = ["| " + " | ".join([text for _, text in cells] + [""] * (width - len(cells))) + " |" for _, cells in rows]
    lines.insert(1, "|" + " --- |" * width)
    return "\n".join(lines)


def _end_of_table(at: int, places: Sequence[int], table: int, elements: np.ndarray) -> int:
    while at < len(places) and table in _ancestors(places[at], elements):
        at += 1
    return at


def _ancestors(element: int, elements: np.ndarray) -> list[int]:
    """The element and its ancestors, innermost first."""
    chain = []
    while element > 0:
        chain.append(element)
        element = int(elements[element, PARENT])
    return chain


def _nearest(element: int, elements: np.ndarray, tags: tuple[int, ...]) -> int:
    """The innermost ancestor with one of `tags`; 0 (the root) when there is none."""
    while element > 0 and elements[element, TAG_ID] not in tags:
        element = int(elements[element, PARENT])
    return element


def _row_of(element: int, elements: np.ndarray) -> int:
    return _nearest(element, elements, (TAG["tr"],))


def _cell_of(element: int, elements: np.ndarray) -> int:
    return _nearest(element, elements, _CELLS)


def _table_of(chain: list[int], tags: list[int], elements: np.ndarray) -> int:
    """The outermost enclosing table, because nested tables are laid out as one."""
    tables = [e for e, tag in zip(chain, tags, strict=True) if TAG_NAMES[tag] in ("table", "tr", "td", "th")]
    return tables[-1]
