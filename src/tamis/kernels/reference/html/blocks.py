"""Twin of `kernels.html.blocks.scan`, on `html.parser` and `str`: the blocks of HTML as a parser's tree writes it."""

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser

from tamis.kernels.html.words import (
    BLOCK,
    BOLD,
    BREAK,
    GROUP_BITS,
    HIDDEN_GROUP,
    LINK,
    PRE,
    RAW_SKIPPED,
    SKIPPED,
    TAG,
    TAG_KINDS,
    VOID,
)

_SPACES = " \t\n\r\f"
_SHORT_WORD = re.compile(r"[a-z](?:[,;.!?、，。！？]*[a-z]){0,2}[,;.!?、，。！？]*")
_WORD = re.compile(r"[^ \t\n\r\f]+")


@dataclass
class TextBlock:
    """One block; the counts are those of the kernel's columns of the same name."""

    element: int
    text: str = ""
    link_chars: int = 0
    links: int = 0
    bold_chars: int = 0
    breaks: int = 0

    def counts(self) -> dict[str, int]:
        words = _WORD.findall(self.text)
        visible = "".join(words)
        return {
            "chars": len(visible),
            "words": len(words),
            "commas": sum(map(visible.count, ",;、，")),
            "stops": sum(map(visible.count, ".!?。！？")),
            "digits": sum(map(visible.count, "0123456789")),
            "capitals": sum("A" <= word[0] <= "Z" for word in words),
            "shorts": sum(bool(_SHORT_WORD.fullmatch(word)) for word in words),
            "marks": sum(map(visible.count, "|/:>+#@&_=*")),
            "link_chars": self.link_chars,
            "links": self.links,
            "bold_chars": self.bold_chars,
            "breaks": self.breaks,
        }


@dataclass
class Element:
    parent: int
    tag: int
    groups: int


@dataclass
class Blocks(HTMLParser):
    """Feed it HTML, then `end` it: `blocks` and `elements` are what the kernel lists."""

    blocks: list[TextBlock] = field(default_factory=list)
    elements: list[Element] = field(default_factory=lambda: [Element(0, 0, 0)])

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._current, self._open, self._space, self._broken, self._new_link = 0, False, False, False, False

    def _around(self) -> list[int]:
        chain = []
        element = self._current
        while element > 0:
            chain.append(element)
            element = self.elements[element].parent
        return chain

    def _kinds(self) -> list[int]:
        return [int(TAG_KINDS[self.elements[element].tag]) for element in self._around()]

    def end_block(self) -> None:
        self._open = self._space = self._broken = False

    def handle_starttag(self, name: str, attributes: list[tuple[str, str | None]]) -> None:
        tag = TAG.get(name, 0)
        kind = int(TAG_KINDS[tag])
        if kind == BREAK:
            self._break_line()
        elif name == "hr":
            self.end_block()
        elif kind not in (VOID, RAW_SKIPPED):
            if kind in (BLOCK, PRE):
                self.end_block()
            groups = 0 if name in ("html", "body") else groups_of(attributes)
            self.elements.append(Element(self._current, tag, groups))
            self._current = len(self.elements) - 1
            self._new_link = self._new_link or kind == LINK

    def handle_endtag(self, name: str) -> None:
        tag = TAG.get(name, 0)
        if not any(self.elements[element].tag == tag for element in self._around()):
            return
        while True:
            closed = self.elements[self._current]
            if TAG_KINDS[closed.tag] in (BLOCK, PRE):
                self.end_block()
            self._current = closed.parent
            if closed.tag == tag:
                return

    def _break_line(self) -> None:
        kinds = self._kinds()
        if SKIPPED in kinds or not self._open:
            return
        if self._broken and PRE not in kinds:
            self.end_block()
            return
        self.blocks[-1].text += "\n"
        self.blocks[-1].breaks += 1
        self._space, self._broken = False, True

    def handle_data(self, data: str) -> None:
        kinds = self._kinds()
        if SKIPPED in kinds:
            return
        for character in data.replace("\xa0", " "):
            if character in _SPACES:
                if self._open and PRE in kinds:
                    self.blocks[-1].text += character
                else:
                    self._space = self._open
                continue
            if not self._open:
                self._open = True
                nearest = [e for e, kind in zip(self._around(), kinds, strict=True) if kind in (BLOCK, PRE)]
                self.blocks.append(TextBlock([*nearest, 0][0]))
            block = self.blocks[-1]
            block.text += " " * self._space + character
            self._space = self._broken = False
            block.bold_chars += BOLD in kinds
            if LINK in kinds:
                block.link_chars += 1
                block.links += self._new_link
                self._new_link = False


def groups_of(attributes: list[tuple[str, str | None]]) -> int:
    """Bits of the keyword groups that an element's attributes name."""
    bits = 0
    for name, value in attributes:
        value = value or ""
        if name in ("class", "id", "role", "itemprop"):
            for word in re.findall(r"[A-Z]*[a-z]+|[A-Z]+", value):
                bits |= GROUP_BITS.get(word.lower(), 0)
        hides = name == "hidden" or (name == "aria-hidden" and value == "true")
        if hides or (name == "style" and re.search(r"(?<![a-z-])display[^a-z-]+none(?![a-z-])", value.lower())):
            bits |= 1 << HIDDEN_GROUP
    return bits


def scan(html: str) -> Blocks:
    """Blocks and elements of well-formed HTML, raw-text elements already taken out of it."""
    parser = Blocks()
    parser.feed(re.sub(r"<(script|style|iframe|noembed|noframes)\b[^>]*>.*?</\1>", "", html, flags=re.DOTALL))
    parser.close()
    return parser
