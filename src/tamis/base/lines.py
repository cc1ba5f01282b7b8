"""Lines of an asset, numbered for messages, whether it is compressed or not."""

import io
from collections.abc import Iterator

import pyarrow as pa

from tamis.base.errors import DataError
from tamis.base.stage import Asset

_CODECS = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}
"""Compression by the first bytes of a file."""


def numbered_lines(file: Asset) -> Iterator[tuple[int, bytes]]:
    """(line number from 1, line with its newline) of a file: plain, gzip or zstd, told apart by its first bytes.

    Raises DataError, naming the file and the last line that could be read, when it cannot be decompressed.
    """
    number = 0
    with file.open_read() as stream:
        head = stream.read(4)
        stream.seek(0)
        codec = next((name for magic, name in _CODECS.items() if head.startswith(magic)), None)
        lines = io.BufferedReader(pa.CompressedInputStream(stream, codec)) if codec else stream
        try:
            for number, line in enumerate(lines, start=1):
                yield number, line
        except (OSError, pa.ArrowInvalid) as error:
            raise DataError(f"{file}: cannot be read after line {number} ({error}).") from None
