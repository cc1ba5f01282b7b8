"""Lines of text files and the JSON objects on them: they are numbered, decoded and parsed here, with one set of error
messages.

A line ends at a newline (0x0A) and nowhere else; its number counts from 1 and blank lines count too.
"""

from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO, NamedTuple

import orjson

from tamis.base.compression import decoded_whole
from tamis.base.errors import DataError

MAX_LINE_BYTES = 256 << 20
"""Longest line that can be a record, in bytes. Readers of crawls quarantine a longer line, and readers of small files
refuse it."""


class Line(NamedTuple):
    """One line without its newline. `where` names its place in messages, as in `tasks.jsonl, line 3`."""

    number: int
    data: bytes
    where: str


def split_lines(chunks: Iterable[bytes | None]) -> Iterator[tuple[int, bytes]]:
    """Yield (number, line without its newline) of a file that is read in chunks. A chunk that is None stands for lost
    bytes, and also ends a line. Of a line longer than MAX_LINE_BYTES, only that many bytes and one chunk are kept and
    yielded."""
    number = 1
    parts: list[bytes] = []
    held = 0
    for chunk in chunks:
        if chunk is None:
            chunk = b"\n"
        *lines, last = chunk.split(b"\n")
        for line in lines:
            yield number, b"".join((*parts, line)) if parts else line
            number += 1
            parts, held = [], 0
        if last and held <= MAX_LINE_BYTES:
            parts.append(last)
            held += len(last)
    if parts:
        yield number, b"".join(parts)


def numbered_lines(raw: BinaryIO, name: str) -> Iterator[Line]:
    """The lines of an open file that are not blank. The file may be uncompressed, gzip, LZ4 or zstd, which is
    recognised by its content. `name` is what messages call the file. Raises DataError where the file is damaged or a
    line is longer than MAX_LINE_BYTES."""
    for number, data in split_lines(decoded_whole(raw, name)):
        where = f"{name}, line {number}"
        if len(data) > MAX_LINE_BYTES:
            raise DataError(f"{where}: longer than {MAX_LINE_BYTES} bytes. Give a file with one record per line.")
        if data.strip():
            yield Line(number, data, where)


def json_object(line: Line) -> dict[str, Any]:
    """The JSON object on a line. Raises DataError, naming the line, where there is none."""
    try:
        value = orjson.loads(line.data)
    except orjson.JSONDecodeError as error:
        raise DataError(f"{line.where}: not JSON ({error}). Write one JSON object per line.") from None
    if not isinstance(value, dict):
        raise DataError(f"{line.where}: expected a JSON object, got {value!r:.40}. Write one JSON object per line.")
    return value


def utf8_text(line: Line) -> str:
    """The text of a line. Raises DataError, naming the line, where it is not UTF-8."""
    try:
        return line.data.decode()
    except UnicodeDecodeError as error:
        raise DataError(f"{line.where}: {not_utf8(error)}. Save the file as UTF-8.") from None


def not_utf8(error: UnicodeDecodeError) -> str:
    """What every message says about bytes that are not UTF-8."""
    return f"not UTF-8 ({error.reason} at byte {error.start})"
