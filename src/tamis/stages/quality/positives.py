"""Reads the good documents (positives): from a file, or from the English prose that comes with every Python.

`python-topics` is a substitute that works offline: instructive English prose (Python's language reference, which is in
`pydoc_data.topics`), read as source text without importing anything. It is not DCLM's choice, which was OpenHermes 2.5
and ELI5 (give those as a file).
"""

import ast
import functools
import re
from importlib.resources import files

from tamis.base.errors import ConfigError, DataError
from tamis.base.hashing import fingerprint
from tamis.base.lines import Line, json_object, numbered_lines, utf8_text
from tamis.base.stage import Asset
from tamis.base.words import words

PYTHON_TOPICS = "python-topics"

_MIN_WORDS, _FULL_WORDS, _MAX_WORDS = 80, 100, 400


def read_positives(file: Asset) -> list[str]:
    """The documents of a file: JSONL with a field `text`, or one per line; plain, gzip, LZ4 or zstd by content.

    Blank lines and documents without text are skipped. Raises DataError naming the line that is not UTF-8, not
    JSON, or has no text field.
    """
    documents = []
    is_jsonl: bool | None = None
    with file.open_read() as raw:
        for line in numbered_lines(raw, str(file)):
            if is_jsonl is None:
                is_jsonl = line.data.lstrip().startswith(b"{")
            text = _text_field(line) if is_jsonl else utf8_text(line).strip()
            if text.strip():
                documents.append(text)
    return documents


def _text_field(line: Line) -> str:
    text = json_object(line).get("text")
    if not isinstance(text, str):
        raise DataError(f"{line.where}: expected a field 'text' that holds a string, got {text!r:.40}")
    return text


@functools.cache
def python_topics() -> tuple[str, ...]:
    """Documents of 80 to 400 words from the running Python's library, each once, in a stable order.

    Raises ConfigError when this Python was installed without its library's source text.
    """
    try:
        documents = [piece for topic in _topics() for piece in _pieces(topic)]
    except OSError as error:
        raise _no_library(str(error)) from None
    if not documents:
        raise _no_library("no text found")
    return tuple(dict.fromkeys(documents))


def python_topics_fingerprint() -> str:
    """A hash of all texts of `python_topics`, since another version of Python has other texts."""
    return fingerprint(list(python_topics()))


def _no_library(reason: str) -> ConfigError:
    return ConfigError(
        f"quality.positives: this Python has no library text to train on ({reason}); give a file of good documents"
    )


def _topics() -> list[str]:
    try:
        library = files("pydoc_data")  # a package without code: importing it runs nothing
    except ModuleNotFoundError:
        raise _no_library("no pydoc_data") from None
    tree = ast.parse(library.joinpath("topics.py").read_bytes())
    values = [node.value for node in tree.body if isinstance(node, ast.Assign)]
    topics: dict[str, str] = ast.literal_eval(values[0])
    return [topics[name] for name in sorted(topics)]


def _pieces(text: str) -> list[str]:
    """`text` split between paragraphs into documents of 100 to 400 words. A paragraph of more than 400 words is split
    inside, and a rest of fewer than 80 words is left out."""
    pieces: list[str] = []
    held: list[str] = []
    num_words = 0
    for paragraph in re.split(r"\n\s*\n", text):
        for part in _at_most(paragraph, _MAX_WORDS - _FULL_WORDS):
            held.append(part)
            num_words += len(words(part))
            if num_words >= _FULL_WORDS:
                pieces.append("\n\n".join(held))
                held, num_words = [], 0
    if num_words >= _MIN_WORDS:
        pieces.append("\n\n".join(held))
    return pieces


def _at_most(paragraph: str, limit: int) -> list[str]:
    found = words(paragraph)
    if len(found) <= limit:
        return [paragraph]
    return [" ".join(found[start : start + limit]) for start in range(0, len(found), limit)]
