"""Bad HTTP bodies: compression that is broken, hidden, piled up or explosive, wrong chunks, and charsets of no kind."""

import gzip
import random
import zlib

import brotli
import zstandard
from bad_warc import Archive, bad_url, block, record
from corpus import Healthy, HostileFile, page, prose


def files() -> list[HostileFile]:
    return [_broken(), _bombs(), _slow(), _nested(), _chunks(), _charsets(), _odd_bytes()]


def _broken() -> HostileFile:
    """Random, torn and flipped bodies of every encoding, and encodings that do not exist."""
    chance = random.Random("broken bodies")
    text = page(prose("a broken body"))
    packed = {
        "gzip": gzip.compress(text, mtime=0), "deflate": zlib.compress(text), "br": brotli.compress(text),
        "zstd": zstandard.ZstdCompressor().compress(text),
    }  # fmt: skip
    archive = Archive("bodies-broken.warc.gz").good()
    number = 0
    for name, data in packed.items():
        middle = len(data) // 2
        wrong = [
            data[:4],
            data[:middle],
            data[:middle] + chance.randbytes(9) + data[middle + 9 :],
            data[:4] + chance.randbytes(500),
            b"",
            b"\0",
            chance.randbytes(500),
            data + chance.randbytes(500),
        ]
        for body in wrong:
            archive.bad(record(bad_url(f"broken/{number}"), block(body, f"Content-Encoding: {name}")))
            number += 1
        archive.bad(record(bad_url(f"transfer/{number}"), block(data[:middle], f"Transfer-Encoding: {name}, chunked")))
    for name in ("rot13", "\x1b[31m", "x" * 9000, "gzip;q=1", ",,,", "exi", "bz2_codec"):
        archive.bad(record(bad_url(f"unknown/{number}"), block(chance.randbytes(500), f"Content-Encoding: {name}")))
        number += 1
    return archive.good(2).file(quarantined=4)


def _bombs() -> HostileFile:
    """A few kilobytes that unpack to hundreds of megabytes: given up, whatever the encoding."""
    zeros, archive = bytes(1 << 20), Archive("bodies-bombs.warc.gz").good()
    pieces = [gzip.compress(zeros, 9, mtime=0) * 300]
    packer = zlib.compressobj(9, zlib.DEFLATED, 15)
    head = packer.compress(zeros) + packer.flush(zlib.Z_FULL_FLUSH)
    pieces.append(head + (packer.compress(zeros) + packer.flush(zlib.Z_FULL_FLUSH)) * 300)
    pieces.append(zstandard.ZstdCompressor().compress(zeros) * 300)
    smooth = brotli.Compressor(quality=1)
    pieces.append(b"".join(smooth.process(zeros) for _ in range(300)) + smooth.finish())
    for name, data in zip(("gzip", "deflate", "zstd", "br"), pieces, strict=True):
        archive.bad(record(bad_url(f"bomb/{name}"), block(data, f"Content-Encoding: {name}")))
    return archive.good(2).file(quarantined=4, kinds=("too_large",))


def _slow() -> HostileFile:
    """Members and blocks that hold nothing: the time must not grow with the square of their number."""
    archive = Archive("bodies-slow.warc.gz").good()
    archive.bad(record(bad_url("empties"), block(gzip.compress(b"", mtime=0) * 100_000, "Content-Encoding: gzip")))
    raw = b"\x28\xb5\x2f\xfd\x00\x58" + b"\x08\0\0x" * 500_000 + b"\x01\0\0"
    archive.bad(record(bad_url("blocks"), block(raw, "Content-Encoding: zstd")))
    stored = zlib.compressobj(0, zlib.DEFLATED, -15)
    tiny = stored.compress(b"x") + stored.flush(zlib.Z_FULL_FLUSH)
    archive.bad(record(bad_url("stored"), block(tiny * 300_000, "Content-Encoding: deflate")))
    return archive.good(2).file()


def _nested() -> HostileFile:
    """Encodings in encodings: two are real, nine are not, nine thousand are not either."""
    archive = Archive("bodies-nested.warc.gz").good()
    for depth in (9, 40, 9000):
        body = bytes(1 << 20)
        for _ in range(min(depth, 9)):
            body = gzip.compress(body, 9, mtime=0)
        archive.bad(record(bad_url(f"nested/{depth}"), block(body, "Content-Encoding: " + ", ".join(["gzip"] * depth))))
    url, content = "https://healthy.example/nested/two", page(prose("nested two"))
    twice = brotli.compress(gzip.compress(content, mtime=0))
    archive.parts.append(archive.pack(record(url, block(twice, "Content-Encoding: gzip, br"))))
    archive.healthy.append(Healthy(url=url, content=content))
    return archive.good(2).file(quarantined=3)


def _chunks() -> HostileFile:
    archive = Archive("bodies-chunks.warc.gz").good()
    bodies = [
        b"ffffffff\r\nhello",
        b"-5\r\nhello\r\n0\r\n\r\n",
        b"5\r\nhello",
        b"5;" + b"x" * 99_999 + b"\r\nhello\r\n0\r\n\r\n",
        b"5\r\nhelloXX5\r\nworld\r\n0\r\n\r\n",
        b"0\r\n\r\n",
        b"\r\n" * 50_000,
        b"1\r\nx\r\n" * 200_000,
        b"zz\r\nhello\r\n",
        b"fffffffffffffffffff\r\nhello\r\n",
        b"5 \r\nhello\r\n0\r\nTrailer: " + b"t" * 99_999,
        b"",
        b"\0" * 100_000,
    ]
    for number, body in enumerate(bodies):
        archive.bad(record(bad_url(f"chunks/{number}"), block(body, "Transfer-Encoding: chunked")))
    return archive.good(2).file()


CHARSETS = (
    "punycode",
    "idna",
    "unicode_escape",
    "raw_unicode_escape",
    "rot13",
    "rot_13",
    "hex",
    "base64",
    "zip",
    "bz2",
    "uu",
    "quopri",
    "utf-7",
    "mbcs",
    "oem",
    "undefined",
    "string_escape",
    "x" * 5000,
    "../../etc/passwd",
    "\x1b[31mred",
    "",
    "utf-8; charset=hex",
    "none",
    "palmos",
    "charmap",
    "utf_8_sig",
    "'utf-8",
    "\u00fctf-8",
)


def _charsets() -> HostileFile:
    """Names that Python knows as codecs and no browser knows as charsets: the page is read as if nothing was said."""
    archive = Archive("charsets.warc.gz").good()
    for number, name in enumerate(CHARSETS):
        url, content = f"https://healthy.example/charset/{number}", page(prose(f"charset {number}"))
        archive.parts.append(archive.pack(record(url, block(content, kind=f"text/html; charset={name}"))))
        archive.healthy.append(Healthy(url=url, content=content))
    for name in ("punycode", "idna"):
        long = page("a-b" * 270_000)
        archive.bad(record(bad_url(f"charset/{name}"), block(long, kind=f"text/html; charset={name}")))
        meta = long.replace(b"<meta charset=utf-8>", b"<meta charset=" + name.encode() + b">")
        archive.bad(record(bad_url(f"meta/{name}"), block(meta)))
    return archive.good(2).file()


def _odd_bytes() -> HostileFile:
    """Bytes that are no text in the charset that is said."""
    chance = random.Random("odd bytes")
    archive = Archive("odd-bytes.warc.gz").good()
    text = page(prose("odd bytes"))
    bodies = {
        "utf-8": text + b"\xed\xa0\x80\xc0\xaf\xf8\x88\x80\x80\x80\xff\xfe" * 900,
        "utf-16": text.decode().encode("utf-16")[:-1],
        "utf-32": text.decode().encode("utf-32"),
        "iso-2022-jp": b"\x1b$B" + chance.randbytes(9000),
        "gb18030": chance.randbytes(9000),
        "shift_jis": chance.randbytes(9000),
        "windows-1252": bytes(range(256)) * 99,
        "us-ascii": chance.randbytes(9000),
    }
    for name, body in bodies.items():
        archive.bad(record(bad_url(f"odd/{name}"), block(body, kind=f"text/html; charset={name}")))
    archive.bad(record(bad_url("odd/nothing"), block(chance.randbytes(9000), kind="")))
    archive.bad(record(bad_url("odd/nul"), block(bytes(500_000))))
    return archive.good(2).file()
