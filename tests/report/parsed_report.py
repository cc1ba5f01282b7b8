"""A report as tests see it: its elements, texts, numbers and headings."""

from html.parser import HTMLParser

from tamis.store.location import Location

VOID = {"meta", "link", "img", "br", "hr", "input"}


class ParsedReport(HTMLParser):
    """Collects what tests ask about, and insists that every element is closed where it was opened."""

    def __init__(self, path: Location) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.open: list[str] = []
        self.text_parts: list[str] = []
        self.numbers: list[int] = []
        self.levels: list[int] = []
        self.source = path.read_text()
        self.feed(self.source)
        assert not self.open, f"left open: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.tags.append((tag, values))
        if tag == "data":
            self.numbers.append(int(values["value"]))
        if tag in ("h1", "h2", "h3", "h4"):
            self.levels.append(int(tag[1]))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open.pop() == tag, f"</{tag}> closes nothing"

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.text_parts.append(data)

    @property
    def text(self) -> str:
        return "".join(self.text_parts).replace("\u202f", " ")

    def count(self, tag: str) -> int:
        return sum(name == tag for name, _ in self.tags)
