"""Mutated input for every decoder of HTTP bodies, of compressed files, of WARC headers and of character encodings.

Each case ends in bytes or in the declared error, never writes more than its limit, and takes work in proportion to its
size. What the decoder's own library reads to its end is read as the same bytes.
"""

import encodings.aliases
import gzip
import http.client
import io
import random
import re
import zlib
from collections import Counter
from collections.abc import Callable, Iterator

import brotli
import lz4.frame
import pytest
import zstandard
from cases import num_cases
from mutation import mutated
from work import Work, count_work

from tamis.stages.extract.charsets import LABELS, codec_name
from tamis.stages.extract.encoding import decode_html
from tamis.store import http_body
from tamis.store.containers import decoded_chunks
from tamis.store.http_body import BodyError, decode_body
from tamis.store.warc import read_documents

KINDS = ("bad_content_encoding", "too_large")
LIMIT = 1 << 16


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> Work:
    return count_work(monkeypatch)


def cases(name: str, seeds: list[bytes]) -> Iterator[tuple[random.Random, bytes]]:
    """Every seed as it is, then as many mutated ones as are asked for, the same in every run."""
    rng = random.Random(name)
    for number in range(len(seeds) + num_cases()):
        seed = seeds[number % len(seeds)]
        yield rng, seed if number < len(seeds) else mutated(rng, seed)


def bodies(pack: Callable[[bytes], bytes]) -> list[bytes]:
    """Compressed bodies: text, noise, nothing, zeros, several members."""
    rng = random.Random(0)
    texts = [b"<html>" + b"some text and more " * 40, rng.randbytes(700), b"", b"\0" * 20_000, b"a" * 5]
    packed = [pack(text) for text in texts]
    return [*packed, packed[0] + packed[1], packed[2] * 30 + packed[0], packed[4] * 20]


def zlib_whole(body: bytes, wbits: int) -> bytes | None:
    """The one stream of `body`, None where it is damaged or does not end."""
    decoder = zlib.decompressobj(wbits)
    try:
        out = decoder.decompress(body)
    except zlib.error:
        return None
    return out if decoder.eof else None


def gzip_whole(body: bytes) -> bytes | None:
    """All members, with zeros between them; None where Python's reader or zlib, which checks more, finds damage."""
    out, rest = b"", body
    while rest:
        decoder = zlib.decompressobj(31)
        try:
            out += decoder.decompress(rest)
        except zlib.error:
            return None
        if not decoder.eof:
            return None
        rest = decoder.unused_data.lstrip(b"\0")
    assert out == gzip.decompress(body)
    return out


def deflate_whole(body: bytes) -> bytes | None:
    decoded = zlib_whole(body, 15)
    return zlib_whole(body, -15) if decoded is None else decoded


def zstd_whole(body: bytes) -> bytes | None:
    """All frames; None where one is damaged or does not end, or where something else follows."""
    out = b""
    try:
        while body:
            decoder = zstandard.ZstdDecompressor().decompressobj()
            out += decoder.decompress(body)
            if not decoder.eof:
                return None
            body = decoder.unused_data
    except zstandard.ZstdError:
        return None
    return out


def brotli_whole(body: bytes) -> bytes | None:
    try:
        return bytes(brotli.decompress(body))
    except brotli.error:
        return None


def raw_deflate(text: bytes) -> bytes:
    return zlib.compress(text)[2:-4]


DECODERS: dict[str, tuple[Callable[[bytes], bytes], Callable[[bytes], bytes | None], tuple[bytes, ...]]] = {
    "gzip": (lambda text: gzip.compress(text, mtime=0), gzip_whole, (b"\x1f\x8b",)),
    "zstd": (zstandard.compress, zstd_whole, (b"\x28\xb5\x2f\xfd", *(bytes((k, 42, 77, 24)) for k in range(80, 96)))),
    "br": (brotli.compress, brotli_whole, ()),
    "deflate": (zlib.compress, deflate_whole, ()),
    "deflate without header": (raw_deflate, deflate_whole, ()),
}


@pytest.mark.parametrize("name", DECODERS)
def test_compressed_bodies(name: str, work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_body, "MAX_DECODED_BYTES", LIMIT)
    pack, oracle, magic = DECODERS[name]
    outcomes: Counter[str] = Counter()
    for _, body in cases(name, bodies(pack)):
        work.bytes = work.feeds = work.measured = 0
        notes: Counter[str] = Counter()
        expected = oracle(body)
        if magic and not body.startswith(magic):
            expected = body
        try:
            decoded = decode_body(body, "", name.split()[0], notes)
        except BodyError as error:
            kind = str(error).split(":")[0]
            outcomes[kind] += 1
            assert kind in KINDS
            assert expected is None or len(expected) > LIMIT
        else:
            outcomes["; ".join(notes)] += 1
            assert len(decoded) <= LIMIT or decoded == body
            if expected is not None:
                assert decoded == expected
        assert work.bytes <= 8 * len(body) + (1 << 13) * 40 and work.measured <= 4 * work.feeds + 8
    # Most of what is damaged is told from what is whole.
    assert outcomes[""] > 0 and (outcomes["bad_content_encoding"] > 0 or outcomes["content_cut_short"] > 0)


def test_chunked_bodies() -> None:
    def chunked(*parts: bytes) -> bytes:
        return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"

    def is_well_formed(body: bytes) -> bool:
        """Whether line ends stand where they must; Python's reader takes any two bytes for one."""
        while match := re.match(rb"([0-9A-Fa-f]{1,8})(;[^\r\n]*)?\r\n", body):
            size = int(match.group(1), 16)
            if body[match.end() + size :][:2] != b"\r\n":
                return False
            if size == 0:
                return True
            body = body[match.end() + size + 2 :]
        return False

    class Socket:
        def __init__(self, data: bytes) -> None:
            self.data = data

        def makefile(self, mode: str) -> io.BytesIO:
            return io.BytesIO(self.data)

    seeds = [chunked(b"abc", b"de" * 300, b"<html>"), chunked(), chunked(*[b"x"] * 50), b"3;a=b\r\nabc\r\n0\r\n\r\n"]
    agreed = 0
    for _, body in cases("chunked", seeds):
        notes: Counter[str] = Counter()
        decoded = decode_body(body, "chunked", "", notes)
        assert len(decoded) <= len(body)
        response = http.client.HTTPResponse(Socket(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body))  # type: ignore[arg-type]
        if is_well_formed(body):
            response.begin()
            agreed += 1
            assert decoded == response.read() and not notes
    assert agreed > num_cases() // 50


def damaged_headers(rng: random.Random, blocks: list[bytes], heads: list[bytes]) -> tuple[int, list[bytes]]:
    """The number of a record, and all records with the header of that one mutated."""
    number = rng.randrange(len(blocks))
    records = [head + b"\r\n\r\n" + block + b"\r\n\r\n" for head, block in zip(heads, blocks, strict=True)]
    records[number] = mutated(rng, records[number], 0, len(heads[number]))
    return number, records


@pytest.mark.parametrize("pack", [bytes, lambda record: gzip.compress(record, 1, mtime=0)], ids=["plain", "gzip"])
def test_a_damaged_warc_header_costs_its_own_record(pack: Callable[[bytes], bytes]) -> None:
    bodies = [b"<p>page %d " % k + b"x" * (k * 37 % 90) for k in range(6)]
    blocks = [b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n" + body for body in bodies]
    heads = [
        b"WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: http://e.org/%d/\r\nWARC-Record-ID: <urn:%d>\r\n"
        b"Content-Length: %d" % (11111 * k, k, len(block))
        for k, block in enumerate(blocks)
    ]
    rng = random.Random("warc")
    swallowed = 0
    for _ in range(num_cases()):
        number, records = damaged_headers(rng, blocks, heads)
        data = b"".join(map(pack, records))
        found = list(read_documents(lambda data=data: io.BytesIO(data), Counter()))  # type: ignore[misc]
        assert len(found) <= 2 * len(bodies)
        good = {document.url: document.content for document in found if document.error is None}
        others = [k for k in range(len(bodies)) if k != number]
        missing = [k for k in others if f"http://e.org/{11111 * k}/" not in good]
        # A wrong length that ends exactly before the separator of a later record is that of a record that holds others.
        swallowed += bool(missing)
        assert missing == list(range(number + 1, number + 1 + len(missing))), (number, records[number])
        for k in set(others) - set(missing):
            assert good[f"http://e.org/{11111 * k}/"] == bodies[k], (number, k, records[number])
    assert swallowed <= num_cases() // 200


@pytest.mark.parametrize(
    ("pack", "whole"),
    [(gzip.compress, gzip_whole), (zstandard.compress, zstd_whole), (lz4.frame.compress, None)],
    ids=["gzip", "zstd", "lz4"],
)
def test_compressed_files(pack: Callable[[bytes], bytes], whole: Callable[[bytes], bytes | None] | None) -> None:
    for _, data in cases(pack.__module__, bodies(pack)):
        out = b"".join(chunk or b"" for chunk in decoded_chunks(lambda data=data: io.BytesIO(data), Counter()))  # type: ignore[misc]
        expected = whole(data) if whole else None
        if expected is not None and data:
            assert out == expected


def test_character_encodings() -> None:
    labels = sorted({*LABELS, *encodings.aliases.aliases, "punycode", "idna", "unicode_escape", "undefined", "mbcs"})
    text = "Grüße, 日本語 Текст ελληνικά 한국어 \u202e\0"
    rng = random.Random("charset")
    codecs_used = set()
    for number in range(num_cases()):
        label = labels[number % len(labels)]
        name = codec_name(label) or "utf-8"
        body = (text * rng.randrange(1, 4)).encode(name, "ignore")
        if rng.random() < 0.5:
            page, content_type = b"<meta charset=" + label.encode() + b">" + body, "text/html"
        else:
            page, content_type = body, f"text/html; charset={label}"
        if rng.random() < 0.8:
            page = mutated(rng, page)
        if rng.random() < 0.2:
            content_type = mutated(rng, content_type.encode()).decode("latin-1")
        decoded = decode_html(page, content_type)
        codecs_used.add(decoded.charset)
        data = page
        if decoded.source == "bom":
            data = page[3 if decoded.charset == "utf-8" else 2 :]
        assert decoded.text == data.decode(decoded.charset, "replace")
        assert len(decoded.text) <= len(page)
    allowed = {codec_name(known) for known in LABELS} | {"utf-16-le", "utf-16-be"}
    assert codecs_used <= allowed and len(codecs_used) > 20
