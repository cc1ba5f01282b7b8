"""A small crawl with known contents, as WARC files: good prose, copies, menus, pages in German, on many hosts."""

import re
from pathlib import Path

from tamis.stages.quality.positives import python_topics
from tamis.store.warc_write import response_record, warcinfo_record, write_warc

DATE = "2026-01-01T00:00:00Z"
NUM_PROSE, NUM_COPIES, NUM_MENUS, NUM_GERMAN = 420, 12, 20, 15
GERMAN = (
    "Der Hund und die Katze gehen an einem sehr schönen Tag in den Wald, und dort treffen sie auf einen alten Bären. "
)


def write_crawl(folder: Path, num_files: int = 3) -> list[str]:
    """Write the crawl; returns its files. Every page has menu and footer around its content."""
    prose = [_of_the_garden(text) for text in python_topics()[:NUM_PROSE]]
    pages = [(f"https://site{n % 26}.example/page{n}.html", _page(text)) for n, text in enumerate(prose)]
    pages += [(f"https://copies.example/{n}.html", _page(prose[n])) for n in range(NUM_COPIES)]
    pages += [(f"https://menus.example/{n}.html", _page(f"Item {n}")) for n in range(NUM_MENUS)]
    pages += [
        (f"https://german.example/{n}.html", _page(GERMAN * 8 + f"Das war Nummer {n}.")) for n in range(NUM_GERMAN)
    ]
    files = []
    for number in range(num_files):
        path = folder / f"crawl-{number}.warc.gz"
        records = [
            response_record(url, html, "text/html; charset=utf-8", DATE) for url, html in pages[number::num_files]
        ]
        write_warc(path, [warcinfo_record(path.name, {"software": "test"}, DATE), *records])
        files.append(str(path))
    return files


GARDEN = {
    "object": "garden", "objects": "gardens", "value": "flower", "values": "flowers", "function": "kitchen",
    "class": "market", "method": "recipe", "methods": "recipes", "statement": "visitor", "expression": "orchard",
    "module": "village", "name": "neighbour", "names": "neighbours", "type": "season", "string": "ribbon",
    "argument": "basket", "arguments": "baskets", "attribute": "colour", "call": "visit", "called": "visited",
    "list": "hedge", "code": "soil",
}  # fmt: skip


def _of_the_garden(text: str) -> str:
    """Prose that differs from that of Python's library, from which the classifier of the recipes learns what is
    good."""
    return re.sub(r"[a-z]+", lambda found: GARDEN.get(found[0], found[0]), text)


def _page(text: str) -> bytes:
    body = "".join(f"<p>{_escape(part)}</p>" for part in text.split("\n\n"))
    menu = "".join(f'<li><a href="/{n}">Menu {n}</a></li>' for n in range(8))
    return (
        f"<!doctype html><html><head><meta charset=utf-8><title>A page</title></head><body><nav><ul>{menu}</ul></nav>"
        f"<main><article>{body}</article></main><footer>Contact</footer></body></html>"
    ).encode()


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;")
