"""Parts of one large file that different workers read, and that together give exactly what the whole file gives.

A compressed file is divided between members (of gzip; frames of LZ4 and zstd), a plain WARC file between records, plain
text between lines. No file is read as a whole to find the places. A member is told from one that lies inside a payload
by what stands around it: a chain of whole members with correct checksums, longer than any stretch of a payload that a
compressor leaves as it is. So the reader of the whole file comes to that place too, whatever is damaged before it.
"""

import io
import re
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import BinaryIO

from tamis.base.compression import MAGIC_BYTES, codec_of
from tamis.store.containers import CODECS, DAMAGE, decoded_chunks
from tamis.store.framing import MAX_RECORD_BYTES
from tamis.store.slices import Slice

BEFORE_BYTES = 256 << 10
"""So many compressed bytes of whole members stand before a place where a file is divided: as far as the reader of a
damaged file goes back (`containers`)."""
AFTER_BYTES = {"gzip": 1 << 16, "zstd": 1 << 17, "lz4": 4 << 20}
"""So many stand behind it: the longest block that the format stores as it is, with any member of a payload in it."""
SEARCHED_BYTES = 32 << 20
"""Compressed bytes in which such a place is looked for. The part is longer where there is none."""
MEMBER_BYTES = 2 << 20
"""A file whose first member is longer, or damaged, is not divided: it is probably the only one. A plan looks at as many
bytes of each large file."""
_DECODED_BYTES = 1 << 30
"""A member of more decoded bytes is not looked at to its end."""
_PIECE_BYTES = {"gzip": 1 << 16, "zstd": 1 << 12, "lz4": 1 << 16}
"""Compressed bytes fed to a decoder at a time; of zstd, a few of them can make a hundred megabytes."""
_HEAD_BYTES = 4096
_LONG_HEAD_BYTES = 1 << 16
_NONE = -1

RECORD_LINE = re.compile(rb"WARC/\d\.\d+[ \t]*\r?\n(?=[!-9;-~]+[ \t]*:)")
_HEADER_END = re.compile(rb"\r\n\r\n")
_LENGTH = re.compile(rb"^Content-Length:[ \t]*(\d{1,15})[ \t]*\r$", re.IGNORECASE | re.MULTILINE)
_IS_WARCINFO = re.compile(rb"^WARC-Type:[ \t]*warcinfo[ \t]*\r?$", re.IGNORECASE | re.MULTILINE)
_WARCINFO_ID = re.compile(rb"^WARC-Warcinfo-ID:[ \t]*(\S+)[ \t]*\r?$", re.IGNORECASE | re.MULTILINE)
_RECORD_ID = re.compile(rb"^WARC-Record-ID:[ \t]*(\S+)[ \t]*\r?$", re.IGNORECASE | re.MULTILINE)

Opener = Callable[[], BinaryIO]


@dataclass(frozen=True, kw_only=True)
class Part:
    """The bytes from `start` up to `stop` of a file, which is its size in the last part; of a Parquet file, its row
    groups."""

    start: int
    stop: int
    is_last: bool
    warcinfo: int | None = _NONE
    """Of a WARC file, where the `warcinfo` record stands that is in force at `start`: -1 for none, None if unknown."""


def opener_of(open_raw: Opener, start: int, stop: int | None = None) -> Opener:
    """What opens a slice of a file."""
    return lambda: Slice(open_raw(), start, stop)  # type: ignore[return-value]


# Finding the places.


def member_places(raw: BinaryIO, size: int, count: int, begins: re.Pattern[bytes] | None) -> list[int] | None:
    """Where a compressed file is divided into about `count` parts; the beginnings of the decoded members match
    `begins`. None where its first member already is not of that kind, or too long."""
    raw.seek(0)
    codec = codec_of(raw.read(MAGIC_BYTES))
    assert codec is not None
    first = _member(raw, codec, 0, MEMBER_BYTES)
    if first is None or first[0] >= size or (begins is not None and not begins.match(first[1])):
        return None
    places: list[int] = []
    for number in range(1, count):
        at = max(size * number // count, places[-1] + 1 if places else 0)
        place = _place_behind(raw, codec, at, size, begins)
        if place is not None and (not places or place > places[-1]):
            places.append(place)
    return places


def _place_behind(raw: BinaryIO, codec: str, at: int, size: int, begins: re.Pattern[bytes] | None) -> int | None:
    """The first member behind `at` at which the file can be divided for certain."""
    magic, end = CODECS[codec].magic, min(size, at + SEARCHED_BYTES)
    data, base = b"", at
    while at < end:
        found = magic.search(data, at - base) if at - base < len(data) else None
        if found is None:
            # The end of what was searched can be the beginning of a magic number.
            base = max(at, base + len(data) - MAGIC_BYTES + 1) if data else at
            raw.seek(base)
            data = raw.read(min(1 << 20, end - base + MAGIC_BYTES))
            if len(data) < MAGIC_BYTES:
                return None
            at = base
            if magic.search(data) is None:
                at = base + len(data) - MAGIC_BYTES + 1
            continue
        place, broken = _follow(raw, codec, base + found.start(), size, begins, BEFORE_BYTES)
        if place is not None:
            return place
        at = max(base + found.start(), broken) + 1
    return None


def _follow(
    raw: BinaryIO, codec: str, start: int, size: int, begins: re.Pattern[bytes] | None, before: int
) -> tuple[int | None, int]:
    """The first place in a chain of members from `start` with enough of them before and behind it; and where the chain
    breaks."""
    place, at = None, start
    while at < size:
        member = _member(raw, codec, at, SEARCHED_BYTES)
        if member is None or (begins is not None and not begins.match(member[1])):
            return None, at
        if place is None and at - start >= before:
            place = at
        at = member[0]
        if place is not None and at - place >= AFTER_BYTES[codec]:
            return place, at
    return place, at


def _member(raw: BinaryIO, codec: str, start: int, most: int) -> tuple[int, bytes] | None:
    """Where a member ends that begins at `start`, and its first decoded bytes; None where it is damaged, cut off, or
    longer than `most` bytes."""
    decoder, head, at, decoded = CODECS[codec].decoders()(), b"", start, 0
    raw.seek(start)
    try:
        while not decoder.eof:
            piece = raw.read(_PIECE_BYTES[codec])
            at += len(piece)
            if not piece or at - start > most + len(piece) or decoded > _DECODED_BYTES:
                return None
            out = decoder.decompress(piece)
            decoded += len(out)
            if len(head) < _HEAD_BYTES:
                head += out[: _HEAD_BYTES - len(head)]
    except DAMAGE:
        return None
    return at - len(decoder.unused_data or b""), head


def record_places(raw: BinaryIO, size: int, count: int) -> list[tuple[int, int]]:
    """Where a plain WARC file is divided into about `count` parts, each with the place of the `warcinfo` record in
    force there. Only the headers of records are read, up to the first one that is not as it should be."""
    places: list[tuple[int, int]] = []
    at, warcinfo = 0, _NONE
    while len(places) < count - 1:
        raw.seek(at)
        head = raw.read(_HEAD_BYTES)
        if (end := _HEADER_END.search(head)) is None:
            head += raw.read(_LONG_HEAD_BYTES)
            end = _HEADER_END.search(head)
        if RECORD_LINE.match(head) is None or end is None:
            break
        length = _LENGTH.search(head, 0, end.end())
        if length is None or int(length[1]) > MAX_RECORD_BYTES:
            break
        if at >= size * (len(places) + 1) // count and at > 0:
            places.append((at, warcinfo))
        if _IS_WARCINFO.search(head, 0, end.end()):
            warcinfo = at
        at += end.end() + int(length[1])
        raw.seek(at)
        if raw.read(9) != b"\r\n\r\nWARC/":
            break
        at += 4
    return places


def warcinfo_by_id(raw: BinaryIO, place: int) -> int | None:
    """0 where the record of a member at `place` names the first record of the file as its `warcinfo`; else None."""
    raw.seek(0)
    codec = codec_of(raw.read(MAGIC_BYTES))
    first = _member(raw, codec or "", 0, MEMBER_BYTES)
    here = _member(raw, codec or "", place, SEARCHED_BYTES)
    if first is None or here is None or not _IS_WARCINFO.search(first[1]):
        return None
    own, named = _RECORD_ID.search(first[1]), _WARCINFO_ID.search(here[1])
    return 0 if own and named and own[1] == named[1] else None


def warcinfo_in_force(raw: BinaryIO, part: Part) -> tuple[int, int] | None:
    """Where the `warcinfo` record, or the member that it is in, begins and ends that is in force at the beginning of a
    part; None where there is none. A compressed file in which no record names it is searched for the last member
    before the part that begins with one."""
    raw.seek(0)
    codec = codec_of(raw.read(MAGIC_BYTES))
    if codec is None:
        return None if part.warcinfo in (None, _NONE) else (part.warcinfo, _record_end(raw, part.warcinfo))
    place = _last_warcinfo(raw, codec, part.start) if part.warcinfo is None else part.warcinfo
    member = _member(raw, codec, place, SEARCHED_BYTES) if place != _NONE else None
    return (place, member[0]) if member is not None else None


def _record_end(raw: BinaryIO, place: int) -> int:
    """Where a record of a plain file ends whose header `record_places` has read."""
    raw.seek(place)
    head = raw.read(_HEAD_BYTES + _LONG_HEAD_BYTES)
    end = _HEADER_END.search(head)
    length = _LENGTH.search(head)
    return place + (end.end() if end else 0) + (int(length[1]) if length else 0)


def _last_warcinfo(raw: BinaryIO, codec: str, place: int) -> int:
    """Where the last member before `place` begins that begins with a `warcinfo` record; -1 where there is none."""
    size = raw.seek(0, io.SEEK_END)
    stop = place
    while stop > 0:
        start = max(0, stop - (1 << 20))
        raw.seek(start)
        data = raw.read(stop - start + MAGIC_BYTES)
        for found in reversed(list(CODECS[codec].magic.finditer(data, 0, min(len(data), stop - start + 3)))):
            at = found.start()
            if start + at < stop and _may_be_warcinfo(codec, data[at : at + 1024]):
                member = _member(raw, codec, start + at, SEARCHED_BYTES)
                header = member[1].partition(b"\r\n\r\n")[0] + b"\r\n" if member is not None else b""
                if _IS_WARCINFO.search(header) and _follow(raw, codec, start + at, size, None, 0)[0] is not None:
                    return start + at
        stop = start
    return _NONE


def _may_be_warcinfo(codec: str, data: bytes) -> bool:
    """Whether the first bytes of a member can be those of a `warcinfo` record."""
    try:
        head = CODECS[codec].decoders()().decompress(data)
    except DAMAGE:
        return False
    header, complete, _ = bytes(head).partition(b"\r\n\r\n")
    return header[:5] == b"WARC/"[: len(header)] and (not complete or _IS_WARCINFO.search(header + b"\r\n") is not None)


# Reading a part.


class PartChunks:
    """The decoded chunks of a part of a WARC file, then the beginning of the record behind it, by which the reader
    knows where the last record of the part ends. `limit` is the number of decoded bytes of the part, once it was read
    so far."""

    def __init__(self, open_raw: Opener, part: Part, notes: Counter[str]) -> None:
        self._chunks = decoded_chunks(opener_of(open_raw, part.start, part.stop), notes)
        self._ahead = None if part.is_last else decoded_chunks(opener_of(open_raw, part.stop), Counter())
        self._delivered = 0
        self.limit: int | None = None

    def __iter__(self) -> Iterator[bytes | None]:
        for chunk in self._chunks:
            self._delivered += len(chunk or b"")
            yield chunk
        if self._ahead is not None:
            self.limit = self._delivered
            yield (next(self._ahead, b"") or b"")[:_HEAD_BYTES]


def text_chunks(open_raw: Opener, part: Part, notes: Counter[str]) -> Iterator[bytes | None]:
    """The lines of a text file that begin in a part, as chunks: without the line that reaches into it (or that begins
    where it begins), and with the line that begins where it ends. Lost bytes (None) end a line."""
    is_plain = _is_plain(open_raw)
    chunks = decoded_chunks(opener_of(open_raw, part.start, part.stop), notes, is_plain)
    if part.start > 0 and not (yield from _after_line(chunks)):
        return  # all of it belongs to a line of an earlier part
    yield from chunks
    if not part.is_last:
        for chunk in decoded_chunks(opener_of(open_raw, part.stop), Counter(), is_plain):
            line, newline, _ = (chunk or b"").partition(b"\n")
            yield line + newline
            if newline or chunk is None:
                return


def _after_line(chunks: Iterator[bytes | None]) -> Generator[bytes, None, bool]:
    """Skip chunks up to the end of a line, and give the rest of the last one; whether the line ends in them."""
    for chunk in chunks:
        if chunk is None:
            return True
        _, newline, rest = chunk.partition(b"\n")
        if newline:
            yield rest
            return True
    return False


def _is_plain(open_raw: Opener) -> bool:
    with open_raw() as raw:
        return codec_of(raw.read(MAGIC_BYTES)) is None
