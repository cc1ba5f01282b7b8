"""The hostile corpus: what a bad file is, which documents of it are healthy all the same, and what must become of the
rest.

Everything is derived from seeds, so that two runs of the tests meet the same bytes. The bad files themselves are made
by `bad_warc`, `bad_bodies`, `bad_pages`, `bad_jsonl` and `bad_parquet`.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

NOUNS = (
    "garden", "river", "mountain", "village", "teacher", "window", "market", "engine", "painter", "season",
    "harbour", "library", "meadow", "captain", "bridge", "kitchen", "forest", "musician", "station", "island",
    "farmer", "lantern", "orchard", "castle", "traveller", "valley", "doctor", "machine", "sailor", "tower",
)  # fmt: skip
ADJECTIVES = (
    "quiet", "narrow", "golden", "patient", "early", "distant", "careful", "wooden", "friendly", "heavy",
    "modern", "silent", "gentle", "northern", "famous", "hollow", "bright", "curious", "empty", "ancient",
)  # fmt: skip
VERBS = (
    "describes", "remembers", "follows", "repairs", "watches", "paints", "carries", "visits", "measures",
    "protects", "explains", "discovers", "crosses", "borrows", "replaces",
)  # fmt: skip


def prose(seed: str, num_sentences: int = 24) -> str:
    """English sentences in paragraphs that ordinary quality rules keep; a different text for every seed."""
    chance = random.Random(seed)
    pick = chance.choice
    sentences = [
        f"The {pick(ADJECTIVES)} {pick(NOUNS)} {pick(VERBS)} a {pick(ADJECTIVES)} {pick(NOUNS)} that {pick(VERBS)} "
        f"the {pick(NOUNS)} of {pick(ADJECTIVES)} {pick(NOUNS)}s, and {pick(ADJECTIVES)} {pick(NOUNS)}s have a "
        f"{pick(NOUNS)}."
        for _ in range(num_sentences)
    ]
    return "\n\n".join(" ".join(sentences[start : start + 4]) for start in range(0, num_sentences, 4))


def page(text: str) -> bytes:
    """A page of HTML with `text` as its article."""
    paragraphs = "".join(f"<p>{part}</p>" for part in text.split("\n\n"))
    return (
        "<!doctype html><html><head><meta charset=utf-8><title>A page</title></head><body><nav><a href=/>Home</a></nav>"
        f"<main><article>{paragraphs}</article></main></body></html>"
    ).encode()


@dataclass(frozen=True, kw_only=True)
class Healthy:
    """A document that must arrive whatever lies beside it: `content` of a page, or `text`. `extra` are further fields
    that must arrive as they are."""

    url: str
    content: bytes | None = None
    text: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class HostileFile:
    """One bad file of a pool, and what must be found in it.

    `quarantined`: rows that must carry an error, at least. `kinds`: what their errors may be ('kind' of 'kind: detail',
    any when empty). `noted`: notes of which one at least must be counted, where something is lost that is no row.
    """

    name: str
    data: bytes
    healthy: tuple[Healthy, ...] = ()
    quarantined: int = 0
    kinds: frozenset[str] = frozenset()
    noted: frozenset[str] = frozenset()


def healthy_page(name: str, number: int) -> Healthy:
    """A page that a WARC file of this name holds."""
    return Healthy(url=f"https://healthy.example/{name}/{number}", content=page(prose(f"{name} {number}")))


def healthy_text(name: str, number: int) -> Healthy:
    """A text that a file of texts of this name holds."""
    return Healthy(url=f"https://healthy.example/{name}/{number}", text=prose(f"{name} {number}"))


def hostile_files() -> list[HostileFile]:
    """Every bad file of the corpus, by name."""
    import bad_bodies
    import bad_jsonl
    import bad_pages
    import bad_parquet
    import bad_warc

    modules = (bad_warc, bad_bodies, bad_pages, bad_jsonl, bad_parquet)
    files = [file for module in modules for file in module.files()]
    names = [file.name for file in files]
    assert len(set(names)) == len(names), "two bad files have one name"
    return sorted(files, key=lambda file: file.name)


def write_files(folder: Path, files: list[HostileFile]) -> list[Path]:
    """Write files below `folder`; returns their paths in order."""
    folder.mkdir(parents=True, exist_ok=True)
    for file in files:
        (folder / file.name).write_bytes(file.data)
    return [folder / file.name for file in files]
