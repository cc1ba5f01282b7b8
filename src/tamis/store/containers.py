"""Compressed files as streams of decoded chunks, in which damage costs the damaged member and not the rest.

FastWARC's readers do the work while a file is whole (twice as fast as zlib); they give up at the first damaged byte,
and lose what they had decoded of that block. From there a slower walk member by member takes over.
"""

import re
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

import lz4.frame
import zstandard

from tamis.base.compression import CHUNK_BYTES, MAGIC, MAGIC_BYTES, codec_of

_PIECE_BYTES = 4096
"""Compressed bytes fed to a decoder at a time once damage was met: what a call had decoded is lost when it fails."""


@dataclass(frozen=True)
class Codec:
    """`reader` names the class in fastwarc.stream_io; `decoder` makes an object with decompress, eof, unused_data."""

    reader: str
    magic: re.Pattern[bytes]
    decoder: Callable[[], Any]


CODECS = {
    "gzip": Codec("GzipReader", MAGIC["gzip"], lambda: zlib.decompressobj(31)),
    "lz4": Codec("Lz4Reader", MAGIC["lz4"], lz4.frame.LZ4FrameDecompressor),
    "zstd": Codec(
        "ZstdReader",
        MAGIC["zstd"],
        lambda: zstandard.ZstdDecompressor().decompressobj(),
    ),
}
_DAMAGE = (zlib.error, zstandard.ZstdError, RuntimeError, EOFError)


def decoded_chunks(open_raw: Callable[[], BinaryIO], notes: Counter[str]) -> Iterator[bytes | None]:
    """Decoded bytes of a plain, gzip, LZ4 or zstd file of any number of members; None marks a gap of lost bytes.

    `notes` counts `damaged_members` and `unreadable_bytes`. A stream that ends inside a member just ends: whoever reads
    it sees that its last record is short.
    """
    delivered = 0
    with open_raw() as raw:
        name = codec_of(raw.read(MAGIC_BYTES))
        raw.seek(0)
        if name is None:
            while chunk := raw.read(CHUNK_BYTES):
                yield chunk
            return
        import fastwarc.stream_io

        codec = CODECS[name]
        reader = getattr(fastwarc.stream_io, codec.reader)(raw)
        try:
            while chunk := reader.read(CHUNK_BYTES):
                delivered += len(chunk)
                yield chunk
            return
        except OSError:
            pass
    with open_raw() as raw:
        yield from _after_damage(_salvaged(raw, codec, notes), delivered)


def _after_damage(chunks: Iterator[bytes | None], skip: int) -> Iterator[bytes | None]:
    """`chunks` without the first `skip` bytes, which were handed on before the damage was met."""
    for chunk in chunks:
        if chunk is None:
            yield None
        elif len(chunk) <= skip:
            skip -= len(chunk)
        else:
            yield chunk[skip:]
            skip = 0


def _salvaged(raw: BinaryIO, codec: Codec, notes: Counter[str]) -> Iterator[bytes | None]:
    """Every member that can be decoded; on damage, on with the next magic number after it."""
    decoder: Any = None
    pending = b""
    while True:
        piece = raw.read(_PIECE_BYTES)
        pending += piece
        while pending:
            if decoder is None:
                start = codec.magic.search(pending)
                keep = start.start() if start else max(0, len(pending) - 3) if piece else len(pending)
                notes["unreadable_bytes"] += keep
                pending = pending[keep:]
                if start is None:
                    break
                decoder = codec.decoder()
                fresh = True
            try:
                out = decoder.decompress(pending)
            except _DAMAGE:
                notes["damaged_members"] += 1
                decoder = None
                # A member that fails at once must not be found again at the same place.
                pending = pending[1:] if fresh else pending
                yield None
                continue
            fresh = False
            pending = decoder.unused_data or b"" if decoder.eof else b""
            if decoder.eof:
                decoder = None
            if out:
                yield out
        if not piece:
            return
