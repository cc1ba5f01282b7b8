"""Compressed files as streams of decoded chunks, in which damage costs the damaged member and not the rest.

Libraries do the work while a file is whole: FastWARC for gzip (twice as fast as zlib) and LZ4, zstandard for zstd
(FastWARC's time grows with the square of the number of frames). They give up at the first damaged byte, and lose what
they had decoded of that block. From there a slower walk member by member takes over.
"""

import re
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, BinaryIO

import lz4.frame
import zstandard

from tamis.base.compression import CHUNK_BYTES, MAGIC, MAGIC_BYTES, codec_of

_PIECE_BYTES = 4096
"""Compressed bytes fed to a decoder at a time once damage was met: what a call had decoded is lost when it fails."""


@dataclass(frozen=True)
class Codec:
    """`whole` gives the decoded chunks of an undamaged file; `decoders` makes what makes, one after the other, objects
    with decompress, eof and unused_data."""

    whole: Callable[[BinaryIO], Iterator[bytes]]
    magic: re.Pattern[bytes]
    decoders: Callable[[], Callable[[], Any]]


def _fastwarc(reader: str) -> Callable[[BinaryIO], Iterator[bytes]]:
    """The chunks that a class of fastwarc.stream_io reads."""

    def chunks(raw: BinaryIO) -> Iterator[bytes]:
        import fastwarc.stream_io

        stream = getattr(fastwarc.stream_io, reader)(raw)
        place = -1
        while True:
            while chunk := stream.read(CHUNK_BYTES):
                yield chunk
            # Nothing was read at the end of the file, or because a member is empty: then the place has moved.
            if stream.inner_tell() == place:
                return
            place = stream.inner_tell()

    return chunks


def _zstandard(raw: BinaryIO) -> Iterator[bytes]:
    stream = zstandard.ZstdDecompressor().stream_reader(raw, read_across_frames=True, closefd=False)
    while chunk := stream.read(CHUNK_BYTES):
        yield chunk


CODECS = {
    "gzip": Codec(_fastwarc("GzipReader"), MAGIC["gzip"], lambda: partial(zlib.decompressobj, 31)),
    "lz4": Codec(_fastwarc("Lz4Reader"), MAGIC["lz4"], lambda: lz4.frame.LZ4FrameDecompressor),
    "zstd": Codec(_zstandard, MAGIC["zstd"], lambda: zstandard.ZstdDecompressor().decompressobj),
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
        codec = CODECS[name]
        try:
            for chunk in codec.whole(raw):
                delivered += len(chunk)
                yield chunk
            return
        except (OSError, zstandard.ZstdError):
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
    make = codec.decoders()
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
                decoder = make()
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
