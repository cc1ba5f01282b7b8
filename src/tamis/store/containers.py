"""Compressed files as streams of decoded chunks, in which damage costs the damaged member and not the rest.

Libraries do the work while a file is whole: FastWARC for gzip (twice as fast as zlib) and LZ4, zstandard for zstd
(FastWARC's time grows with the square of the number of frames). They give up at the first damaged byte, and lose what
they had decoded of that block. From there a slower walk member by member takes over.
"""

import re
import zlib
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, BinaryIO

import lz4.frame
import zstandard

from tamis.base.compression import CHUNK_BYTES, MAGIC, MAGIC_BYTES, codec_of
from tamis.store.slices import place_in_file

_PIECE_BYTES = 4096
"""Compressed bytes fed to a decoder at a time once damage was met: what a call had decoded is lost when it fails.
Pieces end at multiples of this in the file, so that the same is lost wherever in the file the reading began."""
_HELD_CHUNKS = 2
"""Decoded chunks that are kept back until it is known that those after them are whole: of a damaged member, the slower
walk decides how much is read."""
_HELD_BYTES = 1 << 18
"""So much of a damaged member, in compressed bytes, is searched for members that it swallowed: a deflate block of
random bytes takes in up to 64 KiB of what follows a torn member before anything is wrong with it."""


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
                break
            place = stream.inner_tell()
        if reader == "GzipReader" and _has_swallowed(raw, stream.frame_start_position() or 0):
            raise OSError("the file ends inside a member, which holds further members")

    return chunks


def _has_swallowed(raw: BinaryIO, start: int) -> bool:
    """Whether a file ends inside the gzip member at `start`, and another member begins in it. Where the writer of a
    file was killed and another one went on, the decoder takes the later members for content of the torn one. A long
    member is not looked into: it is the only one of its file."""
    raw.seek(start)
    data = raw.read(_HELD_BYTES + 1)
    if len(data) > _HELD_BYTES or MAGIC["gzip"].search(data, 1) is None:
        return False
    decoder = zlib.decompressobj(31)
    while data and not decoder.eof:
        decoder.decompress(data, CHUNK_BYTES)
        data = decoder.unconsumed_tail
    return not decoder.eof


def _zstandard(raw: BinaryIO) -> Iterator[bytes]:
    stream = zstandard.ZstdDecompressor().stream_reader(raw, read_across_frames=True, closefd=False)
    while chunk := stream.read(CHUNK_BYTES):
        yield chunk


CODECS = {
    "gzip": Codec(_fastwarc("GzipReader"), MAGIC["gzip"], lambda: partial(zlib.decompressobj, 31)),
    "lz4": Codec(_fastwarc("Lz4Reader"), MAGIC["lz4"], lambda: lz4.frame.LZ4FrameDecompressor),
    "zstd": Codec(_zstandard, MAGIC["zstd"], lambda: zstandard.ZstdDecompressor().decompressobj),
}
DAMAGE = (zlib.error, zstandard.ZstdError, RuntimeError, EOFError)


def decoded_chunks(
    open_raw: Callable[[], BinaryIO], notes: Counter[str], is_plain: bool = False
) -> Iterator[bytes | None]:
    """Decoded bytes of a plain, gzip, LZ4 or zstd file of any number of members; None marks a gap of lost bytes. With
    `is_plain`, the file is taken as it is, whatever it begins with.

    `notes` counts `damaged_members` and `unreadable_bytes`. A stream that ends inside a member just ends: whoever reads
    it sees that its last record is short.
    """
    delivered = 0
    held: deque[bytes] = deque()
    with open_raw() as raw:
        name = None if is_plain else codec_of(raw.read(MAGIC_BYTES))
        raw.seek(0)
        if name is None:
            while chunk := raw.read(CHUNK_BYTES):
                yield chunk
            return
        codec = CODECS[name]
        try:
            for chunk in codec.whole(raw):
                held.append(chunk)
                if len(held) > _HELD_CHUNKS:
                    delivered += len(held[0])
                    yield held.popleft()
            yield from held
            return
        except (OSError, zstandard.ZstdError):
            pass
    with open_raw() as raw:
        yield from _after_damage(_Salvage(raw, codec, notes).chunks(), delivered)


def _after_damage(chunks: Iterator[bytes | None], skip: int) -> Iterator[bytes | None]:
    """`chunks` without the first `skip` bytes, which were handed on before the damage was met. A call that fails loses
    what it had decoded, so that the gap can come before all of them did."""
    for chunk in chunks:
        if chunk is None:
            skip = 0
            yield None
        elif len(chunk) <= skip:
            skip -= len(chunk)
        else:
            yield chunk[skip:]
            skip = 0


class _Salvage:
    """Goes through a damaged file member by member. After damage it looks for the next member in the damaged one, which
    may have swallowed whole members before the decoder noticed."""

    def __init__(self, raw: BinaryIO, codec: Codec, notes: Counter[str]) -> None:
        self._raw, self._magic, self._notes = raw, codec.magic, notes
        self._decoder = codec.decoders()
        self._pending = b""
        self._end = 0
        """Where in the stream `_pending` ends."""
        self._place = place_in_file(raw)
        self._seen = self._repeated = 0

    def _read_more(self) -> bool:
        piece = self._raw.read(self._left_of_piece(self._end))
        self._pending += piece
        self._end += len(piece)
        self._seen += len(piece)
        return bool(piece)

    def _left_of_piece(self, place: int) -> int:
        return _PIECE_BYTES - (self._place + place) % _PIECE_BYTES

    def _find_member(self) -> int | None:
        """The offset of the next member, which `_pending` then begins with; None at the end of the file."""
        while True:
            found = self._magic.search(self._pending)
            if found:
                self._skip(found.start())
                return self._end - len(self._pending)
            more = self._read_more()
            # The end of what is searched can be the beginning of a magic number.
            self._skip(max(0, len(self._pending) - _PIECE_BYTES - 3) if more else len(self._pending))
            if not more:
                return None

    def _skip(self, count: int) -> None:
        self._notes["unreadable_bytes"] += count
        self._pending = self._pending[count:]

    def _go_back(self, start: int, stop: int) -> bool:
        """Whether there is a member in the last bytes from `start` to `stop`, where the search then goes on. Not when
        so much was read again already that the time for a file would grow with the square of its size."""
        start = max(start, stop - _HELD_BYTES)
        if self._repeated + stop - start > 4 * _HELD_BYTES + self._seen // 2:
            return False
        self._raw.seek(start)
        found = self._magic.search(self._raw.read(stop - start + 3))
        if found and found.start() < stop - start:
            self._end, self._pending = start + found.start(), b""
            self._repeated += stop - self._end
        self._raw.seek(self._end)
        return bool(found) and not self._pending

    def chunks(self) -> Iterator[bytes | None]:
        while (start := self._find_member()) is not None:
            decoder = self._decoder()
            fresh = True
            while not decoder.eof:
                if not self._pending and not self._read_more():
                    if not self._go_back(start + 1, self._end):
                        return
                    self._notes["damaged_members"] += 1
                    yield None
                    break
                fed = self._left_of_piece(self._end - len(self._pending))
                try:
                    out = decoder.decompress(self._pending[:fed])
                except DAMAGE:
                    self._notes["damaged_members"] += 1
                    # A member that fails at once must not be found again at the same place.
                    if fresh:
                        self._pending = self._pending[1:]
                    else:
                        self._go_back(start + 1, self._end - len(self._pending))
                    yield None
                    break
                fresh = False
                unused = (decoder.unused_data or b"") if decoder.eof else b""
                self._pending = unused + self._pending[fed:]
                if out:
                    yield out
