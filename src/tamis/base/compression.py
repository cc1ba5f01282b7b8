"""Compressed files, which are recognised by their first bytes and never by their names."""

import re
from collections.abc import Iterator
from typing import BinaryIO

import pyarrow as pa

from tamis.base.errors import DataError

MAGIC: dict[str, re.Pattern[bytes]] = {
    "gzip": re.compile(rb"\x1f\x8b\x08"),
    "lz4": re.compile(rb"\x04\x22\x4d\x18"),
    "zstd": re.compile(rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18"),
}
"""Name of a codec -> the bytes that its files begin with. A zstd file may begin with a skippable frame."""
MAGIC_BYTES = 4
CHUNK_BYTES = 1 << 17
"""Number of decoded bytes in a chunk."""


def codec_of(head: bytes) -> str | None:
    """The codec (a key of MAGIC) whose magic number stands in the first MAGIC_BYTES of a file; None for an uncompressed
    file."""
    return next((name for name, magic in MAGIC.items() if magic.match(head)), None)


def decoded_whole(raw: BinaryIO, name: str) -> Iterator[bytes]:
    """Decoded bytes of the seekable file `raw`, plain or compressed, in chunks; `name` is what messages call it.

    This is for small files that must be complete: it raises DataError where the compressed data are damaged or end too
    early. `store.containers` reads crawls, and keeps what can be decoded of a damaged file.
    """
    codec = codec_of(raw.read(MAGIC_BYTES))
    raw.seek(0)
    try:
        stream = raw if codec is None else pa.CompressedInputStream(pa.PythonFile(raw, mode="r"), codec)
        while chunk := stream.read(CHUNK_BYTES):
            yield chunk
    except OSError as error:
        raise DataError(
            f"{name}: cannot be read as {codec or 'a plain file'} ({error}). Copy or download it again."
        ) from None
