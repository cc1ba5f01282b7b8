"""HTTP bodies with their transfer and content encodings undone, tolerant of archives that undid them already."""

import re
import zlib
from collections import Counter
from collections.abc import Callable
from typing import Any

import brotli
import zstandard

MAX_DECODED_BYTES = 256 << 20
"""A body that decodes to more is given up: a few kilobytes can be made to unpack to gigabytes."""

_CHUNK_SIZE = re.compile(rb"[ \t]*([0-9A-Fa-f]{1,8})[ \t]*(?:;[^\r\n]*)?\r?\n")
_PLAIN = frozenset(("", "identity", "none", "utf-8", "binary", "8bit", "7bit"))


class BodyError(Exception):
    """'kind: detail' of a body that cannot be decoded."""


def decode_body(body: bytes, transfer_encoding: str, content_encoding: str, notes: Counter[str]) -> bytes:
    """The body as the browser saw it. Raises BodyError (unknown_content_encoding, bad_content_encoding, too_large).

    Encodings that are declared but visibly not there are ignored (`content_encoding_not_applied`,
    `chunking_not_applied`); of a body that ends early or breaks off, what could be decoded is kept
    (`content_cut_short`).
    """
    if "chunked" in transfer_encoding.lower():
        body = _join_chunks(body, notes)
    for name in reversed(content_encoding.lower().split(",")):
        name = name.strip().strip("\"'")
        if name in _PLAIN or not body:
            continue
        decoder = _DECODERS.get(name)
        if decoder is None:
            raise BodyError(f"unknown_content_encoding: {name[:40]}")
        body = decoder(body, notes)
    return body


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


def _inflate(body: bytes, wbits: int) -> tuple[bytes, bool]:
    """Decoded bytes (as many as could be) and whether the stream was whole."""
    out: list[bytes] = []
    size = 0
    whole = False
    while body:
        decoder = zlib.decompressobj(wbits)
        try:
            out.append(decoder.decompress(body, MAX_DECODED_BYTES + 1 - size))
        except zlib.error:
            # Feed it again piece by piece: the call that fails loses what it had decoded.
            out.append(_piecewise(zlib.decompressobj(wbits), body, zlib.error))
            return b"".join(out), False
        size += len(out[-1])
        if size > MAX_DECODED_BYTES:
            raise BodyError(f"too_large: the body decodes to more than {MAX_DECODED_BYTES} bytes")
        whole = decoder.eof
        # A second member may follow; other bytes after the end are padding.
        body = decoder.unused_data if wbits == 31 and decoder.unused_data.startswith(b"\x1f\x8b") else b""
    return b"".join(out), whole


def _piecewise(decoder: Any, body: bytes, failure: type[Exception], size: int = 1024) -> bytes:
    out: list[bytes] = []
    try:
        for start in range(0, len(body), size):
            out.append(decoder.decompress(body[start : start + size]))
    except failure:
        pass
    return b"".join(out)


def _kept(name: str, decoded: bytes, whole: bool, notes: Counter[str]) -> bytes:
    if not whole:
        if not decoded:
            raise BodyError(f"bad_content_encoding: the body is not readable {name}")
        notes["content_cut_short"] += 1
    return decoded


def _gzip(body: bytes, notes: Counter[str]) -> bytes:
    if not body.startswith(b"\x1f\x8b"):
        return _not_applied(body, notes)
    return _kept("gzip", *_inflate(body, 31), notes)


def _deflate(body: bytes, notes: Counter[str]) -> bytes:
    """With a zlib header as the standard says, or raw as some servers send it."""
    for wbits in (15, -15):
        decoded, whole = _inflate(body, wbits)
        if whole:
            return decoded
    if _looks_like_text(body):
        return _not_applied(body, notes)
    return _kept("deflate", *max((_inflate(body, wbits) for wbits in (15, -15)), key=lambda pair: len(pair[0])), notes)


def _brotli(body: bytes, notes: Counter[str]) -> bytes:
    decoder = brotli.Decompressor()
    out: list[bytes] = []
    size = 0
    try:
        for start in range(0, len(body), 1 << 16):
            out.append(decoder.process(body[start : start + (1 << 16)], output_buffer_limit=MAX_DECODED_BYTES))
            while not decoder.can_accept_more_data():
                out.append(decoder.process(b"", output_buffer_limit=MAX_DECODED_BYTES))
                _check_size(out)
            size = _check_size(out)
            if decoder.is_finished():
                return b"".join(out)
    except brotli.error:
        size = sum(map(len, out))
    if not size and _looks_like_text(body):
        return _not_applied(body, notes)
    return _kept("brotli", b"".join(out), False, notes)


def _check_size(parts: list[bytes]) -> int:
    size = sum(map(len, parts))
    if size > MAX_DECODED_BYTES:
        raise BodyError(f"too_large: the body decodes to more than {MAX_DECODED_BYTES} bytes")
    return size


def _zstd(body: bytes, notes: Counter[str]) -> bytes:
    if not body.startswith(b"\x28\xb5\x2f\xfd"):
        return _not_applied(body, notes)
    decoder = zstandard.ZstdDecompressor().decompressobj(read_across_frames=True)
    out: list[bytes] = []
    try:
        # Small pieces: one can unpack to thirty thousand times its size.
        for start in range(0, len(body), 1024):
            out.append(decoder.decompress(body[start : start + 1024]))
            _check_size(out)
    except zstandard.ZstdError:
        return _kept("zstd", b"".join(out), False, notes)
    return _kept("zstd", b"".join(out), sum(map(len, out)) >= zstandard.frame_content_size(body), notes)


def _looks_like_text(body: bytes) -> bool:
    head = body[:512].lstrip()
    return head.startswith((b"<", b"{", b"[")) or (
        b"\0" not in head and all(byte > 8 for byte in head) and head.isascii()
    )


_DECODERS: dict[str, Callable[[bytes, Counter[str]], bytes]] = {
    "gzip": _gzip, "x-gzip": _gzip, "deflate": _deflate, "br": _brotli, "zstd": _zstd,
}  # fmt: skip
