"""Reads the text that must not be in the training data: evaluation files in their published layouts."""

from typing import Any, NamedTuple

from tamis.base.errors import DataError
from tamis.base.lines import Line, json_object, numbered_lines
from tamis.base.stage import Asset

STEMS = ("text", "query", "context", "context_options", "prompt")
"""Fields with the text or the question of an item: documents, llm-foundry's four layouts, and code tasks."""

ENDINGS = ("choices", "continuation", "answer", "canonical_solution")
"""Fields with the answers of an item."""


class Item(NamedTuple):
    """One thing that a page can leak: a question with one of its answers, or a document, which has no `ending`."""

    stem: str
    ending: str


def read_items(file: Asset) -> list[Item]:
    """The items of a JSONL file (plain, gzip, LZ4 or zstd by content).

    An evaluation item gives one per answer: its question with that answer, as a page that leaks it would have them.
    Raises DataError naming the line that is not JSON or has none of the known fields.
    """
    with file.open_read() as raw:
        return [item for line in numbered_lines(raw, str(file)) for item in _items(line)]


def _items(line: Line) -> list[Item]:
    item = json_object(line)
    if not any(name in item for name in (*STEMS, *ENDINGS)):
        raise DataError(f"{line.where}: expected an object with one of the fields {', '.join((*STEMS, *ENDINGS))}")
    stems = [text for name in STEMS for text in _strings(item.get(name))] or [""]
    endings = [text for name in ENDINGS for text in _strings(item.get(name))] or [""]
    return [Item(stem, ending) for stem in stems for ending in endings]


def _strings(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    return [text for text in value if isinstance(text, str)] if isinstance(value, list) else []
