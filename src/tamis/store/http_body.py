"""HTTP bodies with their transfer and content encodings undone, tolerant of archives that undid them already.

Bodies come from strangers: whatever they hold, decoding ends in bytes or in a BodyError, and its memory and time are
bounded. The limits below are of the decoded size, the number of encodings and the number of compressed members; within
them the time grows with the sizes and no faster.
"""

import re
import zlib
from collections import Counter
from collections.abc import Callable

import brotli
import zstandard

MAX_DECODED_BYTES = 256 << 20
"""A body that decodes to more is given up: a few kilobytes can be made to unpack to gigabytes."""

MAX_ENCODINGS = 5
"""A body that declares more is given up, as curl and urllib3 do. Real pages have one, rarely two."""
MAX_MEMBERS = 10_000
"""A body of more gzip members or zstd frames is given up: they can be empty, and cost more to open than to decode."""
_PIECE_BYTES = 1024
"""Compressed bytes fed at a time where a call cannot be told how much to decode, or loses what it decoded when it
fails: zstd can unpack a piece to thirty thousand times its size."""
_BROTLI_PIECE_BYTES = 1 << 16
_BROTLI_OUTPUT_BYTES = 1 << 24

_CHUNK_SIZE = re.compile(rb"[ \t]*([0-9A-Fa-f]{1,8})[ \t]*(?:;[^\r\n]*)?\r?\n")
_GZIP = b"\x1f\x8b"
_NOT_NUL = re.compile(rb"[^\0]")
_ZSTD_FRAME = re.compile(rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18")
_PLAIN = frozenset(("", "identity", "none", "utf-8", "binary", "8bit", "7bit"))


class BodyError(Exception):
    """'kind: detail' of a body that cannot be decoded."""


def decode_body(body: bytes, transfer_encoding: str, content_encoding: str, notes: Counter[str]) -> bytes:
    """The body as the browser saw it. Raises BodyError (unknown_content_encoding, bad_content_encoding, too_large,
    too_many_encodings).

    Encodings that are declared but visibly not there are ignored (`content_encoding_not_applied`,
    `chunking_not_applied`); of a body that ends early or breaks off, what could be decoded is kept
    (`content_cut_short`).
    """
    transfer = _names(transfer_encoding)
    if "chunked" in transfer:
        body = _join_chunks(body, notes)
    # A transfer encoding was applied after the content encodings, so that it is undone before them.
    encodings = [*_names(content_encoding), *(name for name in transfer if name in _DECODERS)]
    if len(encodings) > MAX_ENCODINGS:
        raise BodyError(f"too_many_encodings: the body declares {len(encodings)}, {MAX_ENCODINGS} are undone")
    left = MAX_DECODED_BYTES
    for name in reversed(encodings):
        decoder = _DECODERS.get(name)
        if decoder is None:
            raise BodyError(f"unknown_content_encoding: {ascii(name[:40])[1:-1]}")
        if body:
            decoded = decoder(body, left, notes)
            left -= 0 if decoded is body else len(decoded)
            body = decoded
    return body


def _names(declared: str) -> list[str]:
    """The encodings that a header declares, in the order in which they were applied."""
    names = (name.strip().strip("\"'") for name in declared.lower().split(","))
    return [name for name in names if name not in _PLAIN]


def _join_chunks(body: bytes, notes: Counter[str]) -> bytes:
    """Undo chunked transfer; where a chunk's size line is missing, the rest is taken as it stands."""
    parts: list[bytes] = []
    pos = 0
    while pos < len(body):
        line = _CHUNK_SIZE.match(body, pos)
        if line is None:
            if pos == 0:
                notes["chunking_not_applied"] += 1
                return body
            notes["content_cut_short"] += 1
            parts.append(body[pos:])
            break
        size = int(line.group(1), 16)
        if size == 0:
            break
        chunk = body[line.end() : line.end() + size]
        parts.append(chunk)
        if len(chunk) < size:
            notes["content_cut_short"] += 1
            break
        pos = line.end() + size
        pos += 2 if body[pos : pos + 2] == b"\r\n" else body[pos : pos + 1] == b"\n"
    return b"".join(parts)


def _not_applied(body: bytes, notes: Counter[str]) -> bytes:
    notes["content_encoding_not_applied"] += 1
    return body


def _too_large() -> BodyError:
    return BodyError(f"too_large: the body decodes to more than {MAX_DECODED_BYTES} bytes")


def _too_many_members() -> BodyError:
    return BodyError(f"bad_content_encoding: the body has more than {MAX_MEMBERS} compressed members")


def _inflate(body: bytes, wbits: int, limit: int) -> tuple[bytes, bool]:
    """Decoded bytes (as many as could be) and whether the stream was whole."""
    view = memoryview(body)
    out: list[bytes] = []
    pos, piece = 0, len(body)
    for _ in range(MAX_MEMBERS):
        decoder = zlib.decompressobj(wbits)
        start, so_far = pos, len(out)
        try:
            # Pieces that double keep what is read past the end of a member, and copied, in proportion to the member.
            while pos < len(body) and not decoder.eof:
                out.append(decoder.decompress(view[pos : pos + piece], limit + 1))
                limit -= len(out[-1])
                if limit < 0:
                    raise _too_large()
                pos = min(pos + piece, len(body)) - len(decoder.unused_data)
                piece *= 2
        except zlib.error:
            # Feed it again in small pieces: the call that fails loses what it had decoded.
            out[so_far:] = _until_failure(zlib.decompressobj(wbits), view[start:])
            return b"".join(out), False
        # A second member may follow, after zeros; other bytes after the end are padding.
        following = _NOT_NUL.search(body, pos)
        if wbits != 31 or not decoder.eof or following is None or not body.startswith(_GZIP, following.start()):
            return b"".join(out), decoder.eof
        pos, piece = following.start(), 4 * _PIECE_BYTES
    raise _too_many_members()


def _until_failure(decoder: "zlib._Decompress", view: memoryview) -> list[bytes]:
    """What is decoded before the failure of a stream that is known to fail within its limit."""
    out: list[bytes] = []
    try:
        for start in range(0, len(view), _PIECE_BYTES):
            out.append(decoder.decompress(view[start : start + _PIECE_BYTES]))
    except zlib.error:
        pass
    return out


def _kept(name: str, decoded: bytes, whole: bool, notes: Counter[str]) -> bytes:
    if not whole:
        if not decoded:
            raise BodyError(f"bad_content_encoding: the body is not readable {name}")
        notes["content_cut_short"] += 1
    return decoded


def _gzip(body: bytes, limit: int, notes: Counter[str]) -> bytes:
    if not body.startswith(_GZIP):
        return _not_applied(body, notes)
    return _kept("gzip", *_inflate(body, 31, limit), notes)


def _deflate(body: bytes, limit: int, notes: Counter[str]) -> bytes:
    """With a zlib header as the standard says, or raw as some servers send it."""
    longest = b""
    for wbits in (15, -15):
        decoded, whole = _inflate(body, wbits, limit)
        if whole:
            return decoded
        longest = max(longest, decoded, key=len)
    if _looks_like_text(body):
        return _not_applied(body, notes)
    return _kept("deflate", longest, False, notes)


def _brotli(body: bytes, limit: int, notes: Counter[str]) -> bytes:
    decoded, whole, failed_at = _unbrotli(body, len(body), limit)
    if failed_at < len(body):
        # The call that fails loses what it had decoded: byte by byte from there, up to the byte that is wrong.
        decoded, whole, _ = _unbrotli(body[: failed_at + _BROTLI_PIECE_BYTES], failed_at, limit)
    if not decoded and not whole and _looks_like_text(body):
        return _not_applied(body, notes)
    return _kept("brotli", decoded, whole, notes)


def _unbrotli(body: bytes, careful_from: int, limit: int) -> tuple[bytes, bool, int]:
    """Decoded bytes, whether the stream was whole, and where the piece that failed begins (at the end: none failed)."""
    decoder = brotli.Decompressor()
    out: list[bytes] = []
    pos = 0
    while pos < len(body) and not decoder.is_finished():
        size = _BROTLI_PIECE_BYTES if pos < careful_from else 1
        piece = body[pos : pos + size]
        try:
            while True:
                out.append(decoder.process(piece, output_buffer_limit=min(limit + 1, _BROTLI_OUTPUT_BYTES)))
                limit -= len(out[-1])
                if limit < 0:
                    raise _too_large()
                if decoder.can_accept_more_data() or decoder.is_finished():
                    break
                piece = b""
        except brotli.error:
            return b"".join(out), False, pos
        pos += size
    return b"".join(out), decoder.is_finished(), len(body)


def _zstd(body: bytes, limit: int, notes: Counter[str]) -> bytes:
    if not _ZSTD_FRAME.match(body):
        return _not_applied(body, notes)
    context = zstandard.ZstdDecompressor()
    out: list[bytes] = []
    pos = num_frames = 0
    whole = True
    # Bytes after the last frame are padding.
    while whole and _ZSTD_FRAME.match(body, pos):
        num_frames += 1
        if num_frames > MAX_MEMBERS:
            raise _too_many_members()
        decoder = context.decompressobj()
        try:
            while pos < len(body) and not decoder.eof:
                out.append(decoder.decompress(body[pos : pos + _PIECE_BYTES]))
                limit -= len(out[-1])
                if limit < 0:
                    raise _too_large()
                pos = min(pos + _PIECE_BYTES, len(body)) - len(decoder.unused_data)
        except zstandard.ZstdError:
            break
        finally:
            whole = decoder.eof
    return _kept("zstd", b"".join(out), whole, notes)


def _looks_like_text(body: bytes) -> bool:
    head = body[:512].lstrip()
    return head.startswith((b"<", b"{", b"[")) or (
        b"\0" not in head and all(byte > 8 for byte in head) and head.isascii()
    )


_DECODERS: dict[str, Callable[[bytes, int, Counter[str]], bytes]] = {
    "gzip": _gzip, "x-gzip": _gzip, "deflate": _deflate, "br": _brotli, "zstd": _zstd,
}  # fmt: skip
