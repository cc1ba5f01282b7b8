"""Bad WARC and ARC files: wrong lengths, torn compression, headers of no kind, things that are no WARC at all."""

import gzip
import random
import struct
import zlib
from collections.abc import Callable

import lz4.frame
import zstandard
from corpus import Healthy, HostileFile, healthy_page, page, prose

Pack = Callable[[bytes], bytes]


def plain(record: bytes) -> bytes:
    return record


def member(record: bytes) -> bytes:
    return gzip.compress(record, 6, mtime=0)


def block(body: bytes, *fields: str, status: str = "HTTP/1.1 200 OK", kind: str = "text/html") -> bytes:
    """An HTTP response as sent."""
    lines = [status, *((f"Content-Type: {kind}",) if kind else ()), *fields]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def record(url: str, payload: bytes, length: object = None, *fields: str, kind: str = "response") -> bytes:
    """A WARC record whose Content-Length is `length`: by default the right one, left out when ''."""
    said = [f"Content-Length: {len(payload) if length is None else length}"] if length != "" else []
    lines = [
        "WARC/1.0",
        f"WARC-Type: {kind}",
        f"WARC-Record-ID: <urn:{url}>",
        f"WARC-Target-URI: {url}",
        *fields,
        *said,
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + payload + b"\r\n\r\n"


class Archive:
    """Puts one file together: healthy pages with bad bytes between them."""

    def __init__(self, name: str, pack: Pack = member) -> None:
        self.name, self.pack = name, pack
        self.parts: list[bytes] = []
        self.healthy: list[Healthy] = []

    def good(self, count: int = 1) -> "Archive":
        for _ in range(count):
            found = healthy_page(self.name, len(self.healthy))
            assert found.content is not None
            self.healthy.append(found)
            self.parts.append(self.pack(record(found.url, block(found.content))))
        return self

    def bad(self, data: bytes, packed: bool = True) -> "Archive":
        self.parts.append(self.pack(data) if packed else data)
        return self

    def file(self, quarantined: int = 0, kinds: tuple[str, ...] = (), noted: tuple[str, ...] = ()) -> HostileFile:
        return HostileFile(
            name=self.name, data=b"".join(self.parts), healthy=tuple(self.healthy), quarantined=quarantined,
            kinds=frozenset(kinds), noted=frozenset(noted),
        )  # fmt: skip


def bad_url(name: str) -> str:
    return f"https://bad.example/{name}"


def files() -> list[HostileFile]:
    return [*_lengths(), *_compression(), *_headers(), *_arc(), *_no_warc(), _embedded(), _odd_urls(), *_mutated()]


def _lengths() -> list[HostileFile]:
    """A length that is wrong costs no page after it, whether records are compressed one by one or not."""
    found = []
    payload = block(page(prose("wrong length")))
    lengths = {
        "far": 300_000_000, "beyond": 10**30, "negative": -1, "words": "abc", "missing": "", "small": 40, "zero": 0,
        "float": "1e3", "plus": f"+{len(payload)}", "spaced": "1 2", "double": f"{len(payload)}, {len(payload)}",
        "little": len(payload) + 3000, "limit": (256 << 20) - 1, "wide": "\uff11\uff12",
    }  # fmt: skip
    for what, length in lengths.items():
        for suffix, pack in (("warc.gz", member), ("warc", plain)):
            archive = Archive(f"length-{what}.{suffix}", pack)
            archive.good(2).bad(record(bad_url(archive.name), payload, length)).good(3)
            found.append(archive.file())
    for suffix, pack in (("warc.gz", member), ("warc", plain)):
        archive = Archive(f"length-in-space.{suffix}", pack)
        lost = record(bad_url(archive.name), payload, len(payload) + 3000) + b" \r\n" * 3000
        found.append(archive.good().bad(lost).good(3).file())
    return found


def _compression() -> list[HostileFile]:
    """Torn, flipped, empty and foreign members."""
    chance = random.Random("compression")
    torn, flipped = (member(record(bad_url(what), block(chance.randbytes(20_000)))) for what in ("torn", "flipped"))
    middle = len(flipped) // 2
    flipped = flipped[:middle] + bytes([flipped[middle] ^ 0xFF]) + flipped[middle + 1 :]
    lost = ("damaged_members", "unreadable_bytes", "lost_parts", "skipped_bytes")
    empty = member(b"")
    zst = zstandard.ZstdCompressor(write_checksum=True).compress
    broken = zst(record(bad_url("zst"), block(chance.randbytes(20_000))))
    broken = broken[:9000] + b"\0\xff\0\xff" + broken[9004:]
    half = Archive("half.warc.gz").good(3)
    half.parts.append(torn[: len(torn) // 2])
    frames = lz4.frame.compress(record(bad_url("lz4"), block(chance.randbytes(90_000))), content_checksum=True)
    return [
        Archive("torn.warc.gz").good(2).bad(torn[: len(torn) // 2], packed=False).good(3).file(noted=lost),
        Archive("flipped.warc.gz").good(2).bad(flipped, packed=False).good(3).file(noted=lost),
        half.file(quarantined=1, kinds=("truncated_record",)),
        Archive("garbage.warc.gz").good(2).bad(chance.randbytes(5000), packed=False).good(3).file(noted=lost),
        Archive("zeros.warc.gz").good(2).bad(bytes(70_000), packed=False).good(3).file(),
        Archive("empties.warc.gz").good(2).bad(empty * 20_000, packed=False).good(3).file(),
        Archive("broken.warc.zst", zst).good(2).bad(broken, packed=False).good(3).file(noted=lost),
        Archive("magic.warc.zst", zst).good(2).bad(b"\x28\xb5\x2f\xfd", packed=False).good(3).file(noted=lost),
        Archive("skippable.warc.zst", zst).good(2).bad(b"\x50\x2a\x4d\x18\5\0\0\0hello", packed=False).good(3).file(),
        Archive("broken.warc.lz4", lz4.frame.compress).good(2)
        .bad(frames[:40_000] + bytes(100) + frames[40_100:], packed=False).good(3).file(noted=lost),
        Archive("bomb.warc.gz").good(2).bad(_bomb(700), packed=False).good(3).file(quarantined=1, kinds=("too_large",)),
        Archive("name-bomb.warc.gz").good().bad(_named_member(300_000), packed=False).good(3).file(),
    ]  # fmt: skip


def _bomb(megabytes: int) -> bytes:
    """A gzip member of zeros that begins as a record: the same megabyte, deflated once, again and again."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    begin = packer.compress(record(bad_url("bomb"), b"HTTP/1.1 200 OK\r\n\r\n", megabytes << 20)[:-4])
    begin += packer.flush(zlib.Z_FULL_FLUSH)
    again = packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    return begin + again * megabytes + packer.flush()


def _named_member(size: int) -> bytes:
    """A gzip member whose file name, which has no limit in the format, is long."""
    packed = member(record(bad_url("named"), block(page(prose("named")))))
    return packed[:3] + b"\x08" + packed[4:10] + b"n" * size + b"\0" + packed[10:]


def _headers() -> list[HostileFile]:
    """Records whose headers are no headers."""
    body = block(page(prose("headers")))
    many = "".join(f"X-{number}: {number}\r\n" for number in range(60_000)).encode()
    cases = {
        "endless": b"WARC/1.0\r\nWARC-Type: response\r\nX: " + b"x" * (2 << 20),
        "many": b"WARC/1.0\r\nWARC-Type: response\r\n" + many + b"Content-Length: 0\r\n\r\n\r\n\r\n",
        "typeless": b"WARC/1.0\r\nContent-Length: 5\r\n\r\nhello\r\n\r\n",
        "only-version": b"WARC/1.0\r\n\r\n",
        "version": b"WARC/99.999\r\nWARC-Type: response\r\nContent-Length: 5\r\n\r\nhello\r\n\r\n",
        "latin": record("https://bad.example/x", body).replace(b"bad.example/x", b"bad.example/\xe9\xff"),
        "folded": record(bad_url("folded"), body, None, "X-Folded: a\r\n\t b\r\n  c"),
        "control": record(bad_url("control"), body, None, "X-\x1b[31m\x07: \x1b]0;owned\x07\x9b2J", "Nul: a\0b"),
        "nameless": record(bad_url("nameless"), body, None, ": value", "no colon here"),
        "twice": record(bad_url("twice"), body, None, "Content-Length: 7", "WARC-Type: metadata"),
        "unknown-type": record(bad_url("unknown"), body, kind="\x1b[2Jodd type"),
        "bad-warcinfo": record(bad_url("info"), b"\xff\xfe\0\x1b[2J" * 9000, kind="warcinfo"),
        "no-http": record(bad_url("no-http"), b"<html>no status line at all</html>"),
        "bad-status": record(bad_url("status"), block(page("x"), status="HTTP/1.1 20000 OK")),
        "zero-status": record(bad_url("zero"), block(page("x"), status="HTTP/1.1 000 \x1b[31m")),
        "headless": record(bad_url("headless"), b"HTTP/1.1 200 OK\r\nContent-Type: text/html"),
        "long-http": record(bad_url("long"), block(page(prose("long http")), "X: " + "y" * (1 << 20))),
    }
    must = {"no-http"}
    found = []
    for what, data in cases.items():
        for suffix, pack in (("warc.gz", member), ("warc", plain)):
            archive = Archive(f"header-{what}.{suffix}", pack).good().bad(data).good(2)
            # Where nothing ends the header, it takes in the next record of an uncompressed file.
            found.append(archive.file(quarantined=int(what in must)))
    return found


def _arc() -> list[HostileFile]:
    head = b"filedesc://x.arc 0.0.0.0 20090101000000 text/plain 10\n1 0 InternetA"
    whole, body = [], block(page(prose("arc")))
    for number, length in enumerate((len(body), 10**18, "-5", "x", len(body) // 2)):
        whole.append(f"https://bad.example/arc/{number} 1.2.3.4 20090101000000 text/html {length}\n".encode() + body)
    return [
        HostileFile(name="lengths.arc", data=b"\n\n".join([head, *whole])),
        HostileFile(name="lengths.arc.gz", data=b"".join(map(member, [head, *whole]))),
        HostileFile(name="torn.arc", data=head + b"\n\nhttps://bad.example/ 1.2.3.4 2009 text/html 99999\nshort",
                    quarantined=1),
    ]  # fmt: skip


def _no_warc() -> list[HostileFile]:
    """Files that hold no record: each is reported, none is passed over in silence."""
    error_page = b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>"
    one, told = 1, ("unreadable_file",)
    return [
        HostileFile(name="error-page.warc.gz", data=error_page, quarantined=one, kinds=frozenset(told)),
        HostileFile(name="error-page.warc", data=error_page, quarantined=one, kinds=frozenset(told)),
        HostileFile(name="packed-page.warc.gz", data=member(error_page), quarantined=one, kinds=frozenset(told)),
        HostileFile(name="html.wet.gz", data=member(page("hello")), quarantined=one, kinds=frozenset(told)),
        HostileFile(name="noise.warc", data=random.Random("noise").randbytes(300_000), quarantined=one),
        HostileFile(name="only-magic.warc.gz", data=b"\x1f\x8b\x08", noted=frozenset({"empty_files"})),
        HostileFile(name="only-magic.warc.zst", data=b"\x28\xb5\x2f\xfd", noted=frozenset({"empty_files"})),
        HostileFile(name="nul.warc", data=bytes(1 << 20), quarantined=one),
        HostileFile(name="bare-magic.warc", data=b"WARC/1.0", quarantined=one),
        HostileFile(name="utf16.warc", data=record(bad_url("utf16"), b"x").decode().encode("utf-16"), quarantined=one),
        HostileFile(name="bad-text.wet", data=record(bad_url("wet"), b"caf\xe9 \xff", kind="conversion"), quarantined=1,
                    kinds=frozenset({"not_utf8"})),
    ]  # fmt: skip


def _embedded() -> HostileFile:
    """A page about WARC holds whole records in its text: they are its text, and no records."""
    archive = Archive("embedded.warc.gz").good()
    inner = record("https://bad.example/inner", block(b"<p>never a page"))
    text = prose("embedded")
    content = page(text).replace(b"</article>", b"<pre>" + inner + b"</pre></article>")
    url = "https://healthy.example/embedded/page-about-warc"
    archive.parts.append(archive.pack(record(url, block(content))))
    archive.healthy.append(Healthy(url=url, content=content))
    return archive.good().file()


ODD_URLS = (
    "",
    " ",
    "http://[::1",
    "javascript:alert(1)",
    "https://" + "a." * 400 + "example/",
    "https://bad.example/" + "u" * 99_999,
    "https://bad.example/\x1b[31mred\x1b[0m\x1b]0;owned\x07",
    "https://bad.example/\0nul",
    "https://user:pass@bad.example:99999/",
    "https://bad.example:port/",
    "https://\u202eelpmaxe.dab/",
    "https://xn--\x00/",
    "https://xn--99999999999/",
    "//bad.example/",
    "https://bad.example/%ff%fe%00%zz",
    "dns:bad.example",
    "<https://bad.example/angle>",
    "https://256.256.256.256/",
    "https:///",
    "https://bad.example/<script>alert(1)</script>",
    "https://..bad..example../",
    "\ud83d\ude00".encode("utf-16", "surrogatepass").decode("utf-16"),
)


def _odd_urls() -> HostileFile:
    archive = Archive("odd-urls.warc.gz").good()
    for number, url in enumerate(ODD_URLS):
        archive.bad(record(url, block(page(prose(f"odd url {number}")))))
    return archive.good(2).file()


def _mutated() -> list[HostileFile]:
    """Healthy files with bytes changed at random: no document is promised, but every row is accounted for."""
    found = []
    for number in range(6):
        chance = random.Random(f"mutated {number}")
        pack = (plain, member)[number % 2]
        data = bytearray(Archive(f"mutated-{number}", pack).good(12).file().data)
        for _ in range(chance.choice((1, 5, 60))):
            place = chance.randrange(len(data))
            what = chance.randrange(4)
            if what == 0:
                data[place] = chance.randrange(256)
            elif what == 1:
                del data[place : place + chance.randrange(1, 300)]
            elif what == 2:
                data[place:place] = chance.randbytes(chance.randrange(1, 300))
            else:
                data[place : place + 4] = struct.pack("<I", chance.randrange(1 << 32))
        found.append(HostileFile(name=f"mutated-{number}.warc{'.gz' if number % 2 else ''}", data=bytes(data)))
    return found
