"""Bad JSON lines: what is no JSON, what is no record, what no number or string can hold, and torn compression."""

import gzip
import json
import random
from typing import Any

import zstandard
from bad_pages import ESCAPES, MARKUP, texts
from corpus import Healthy, HostileFile, healthy_text, prose


class Lines:
    """Puts one file together: healthy records with bad lines between them."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.lines: list[bytes] = []
        self.healthy: list[Healthy] = []

    def good(self, count: int = 1, **extra: Any) -> "Lines":
        for _ in range(count):
            found = healthy_text(self.name, len(self.healthy))
            self.healthy.append(Healthy(url=found.url, text=found.text, extra=extra))
            self.lines.append(json.dumps({"text": found.text, "url": found.url, **extra}).encode())
        return self

    def bad(self, *lines: bytes) -> "Lines":
        """Each of these lines with a healthy record after it."""
        for line in lines:
            self.lines.append(line)
            self.good()
        return self

    def data(self) -> bytes:
        return b"".join(line + b"\n" for line in self.lines)

    def file(self, quarantined: int = 0, noted: tuple[str, ...] = (), data: bytes | None = None) -> HostileFile:
        return HostileFile(
            name=self.name, data=self.data() if data is None else data, healthy=tuple(self.healthy),
            quarantined=quarantined, noted=frozenset(noted),
        )  # fmt: skip


NO_RECORDS = (
    b"{",
    b"}",
    b"[]",
    b"null",
    b"5",
    b'"text"',
    b"{}",
    b"nonsense",
    b'{"text": }',
    b"{'text': 'x'}",
    b'{"text": "x",}',
    b'{"text": "unclosed',
    b'{"text": null}',
    b'{"text": 5}',
    b'{"text": ["a"]}',
    b'{"text": {"a": 1}}',
    b'{"Text": "x"}',
    b'{"text": "\\x41"}',
    b'{"text": "\\ud8',
    b'{"text": "tab\there"} {"text": "two"}',
    b'{"text": "caf\xe9"}',
    b"\0" * 1000,
    b'{"text": "x", "a": 01}',
    b'{"text": "x", "a": 0x10}',
    b"// comment",
    b'{"text": true}',
    b'{"text": "x" "url": "y"}',
    b'{"text": "x", "a": ' + b"[" * 300_000,
    b'{"a": ' * 100_000 + b"1" + b"}" * 100_000,
    b'{"text"' + b" " * 1_000_000,
)
"""Lines that give no document: each is a row with an error."""

ODD_RECORDS = (
    b'{"text": "x", "a": NaN, "b": 123456789012345678901234567890}',
    b'{"text": "x", "a": [Infinity, -Infinity, 1e999]}',
    b'{"text": "x", "a": ' + b"9" * 5000 + b"}",
    b'{"text": "x", "a": ' + b"[" * 300 + b"]" * 300 + b"}",
    b'{"text": "x", "a": ' + b"[" * 1000 + b"]" * 1000 + b"}",
    b'{"text": "x", "a": ' + b'{"a":' * 1000 + b"1" + b"}" * 1001,
    b'{"text": "\\ud800 lone \\udfff"}',
    b'{"text": "x", "\\ud800": "\\ud800"}',
    b'{"text": "x", "url": 5, "id": "../../x"}',
    b'{"text": "x", "metadata": "none"}',
    b'{"text": "x", "metadata": {"a": null, "b": {"c": 1}}}',
    b'{"text": "\\u0000"}',
    b'{"text": ""}',
    b'{"text": "x", "text": "y", "url": "a", "url": "b"}',
    b'{"text": "x", "extra": "{\\"text\\": \\"z\\"}"}',
    b'{"text": "x", "error": "mine", "drop_reason": "mine", "content": "mine", "token_ids": [1]}',
    b'{"text": "x", "": {"": ""}}',
    b'{"text": "x", "files": "none"}',
    b'{"text": "x", "' + b"k" * 1_000_000 + b'": 1}',
    b'{"text": "x", "a": -0.0, "b": 1e-999}',
    b'{"text": "x", "metadata": {"WARC-Target-URI": "http://[::1", "WARC-Record-ID": "\\u001b[2J"}}',
    b'{"text": "x", "warcinfo": [1], "quality_score": "high", "num_tokens": "many"}',
)
"""Records with a text and something odd beside it: a document or an error, never the end of the run."""


def files() -> list[HostileFile]:
    return [*_records(), *_compression(), *_no_jsonl(), _texts(), _shown(), _large_extra(), *_mutated()]


def _records() -> list[HostileFile]:
    exact = {
        "big": 2**64 + 1,
        "bigger": -(10**40),
        "edge": 2**63,
        "float": 0.1,
        "list": [2**70, {"a": 2**80}],
        "utf": "\u2028",
    }
    ends = Lines("ends.jsonl").good(3)
    carriage = Lines("carriage.jsonl").good(4)
    marked = Lines("marked.jsonl").good(3)
    return [
        Lines("no-records.jsonl").good(2).bad(*NO_RECORDS).file(quarantined=len(NO_RECORDS)),
        Lines("odd-records.jsonl").good(2).bad(*ODD_RECORDS).file(),
        Lines("exact.jsonl").good(3, **exact).file(),
        Lines("blank.jsonl").good().bad(b"", b"   ", b"\t", b"\r").file(),
        ends.file(data=ends.data().rstrip(b"\n")),
        carriage.file(data=carriage.data().replace(b"\n", b"\r\n")),
        marked.file(data=b"\xef\xbb\xbf" + marked.data()),
    ]


def _compression() -> list[HostileFile]:
    torn, flipped, trailing = (Lines(f"{what}.jsonl.gz").good(6) for what in ("torn", "flipped", "trailing"))
    members = [gzip.compress(line + b"\n", mtime=0) for line in flipped.lines]
    chance = random.Random("torn lines")
    noise = "".join(chance.choices("abcdefgh", k=200_000)).encode()
    broken = gzip.compress(b'{"text": "' + noise + b'"}\n', mtime=0)
    lost = ("damaged_members", "unreadable_bytes", "lost_parts", "skipped_bytes")
    whole = gzip.compress(torn.data(), mtime=0)
    frames, brotli_named = Lines("frames.jsonl.zst").good(4), Lines("plain-inside.jsonl.gz").good(3)
    zst = zstandard.ZstdCompressor().compress
    damaged = broken[:50_000] + b"\xff" * 20 + broken[50_020:]
    return [
        torn.file(data=whole + broken[:50_000], quarantined=1),
        flipped.file(data=b"".join(members[:3]) + damaged + b"".join(members[3:]), noted=lost),
        trailing.file(data=gzip.compress(trailing.data(), mtime=0) + b"\0" * 9000 + noise[:3000]),
        frames.file(data=b"".join(zst(line + b"\n") + b"\x50\x2a\x4d\x18\0\0\0\0" for line in frames.lines)),
        brotli_named.file(),
    ]


def _no_jsonl() -> list[HostileFile]:
    """Files of another kind that are named as JSON lines."""
    table = b"id,text\n1,hello\n2,world\n"
    array = json.dumps([{"text": "a"}, {"text": "b"}], indent=1).encode()
    texts_of = {
        "csv": table,
        "array": array,
        "html": b"<html>not found</html>",
        "noise": random.Random("j").randbytes(200_000),
        "utf16": '{"text": "x"}\n'.encode("utf-16"),
        "zip": b"PK\x03\x04" + bytes(100),
        "pdf": b"%PDF-1.4\n" + bytes(100),
    }
    magic = HostileFile(name="magic.jsonl", data=b"\x1f\x8b\x08", noted=frozenset({"empty_files"}))
    return [magic, *(HostileFile(name=f"{what}.jsonl", data=data, quarantined=1) for what, data in texts_of.items())]


def _texts() -> HostileFile:
    """The texts that are slow to measure, as rows: no extraction stands before the stages."""
    lines = Lines("texts.jsonl")
    for what, text in texts():
        lines.bad(json.dumps({"text": text[:50_000], "url": f"https://bad.example/row/{what}"}).encode())
    return lines.file()


def _shown() -> HostileFile:
    """Texts, addresses and fields that a terminal or a page of HTML would obey."""
    lines = Lines("shown.jsonl").good()
    for number in range(4):
        text = f"{ESCAPES} {MARKUP} {prose(f'shown {number // 2}', 30)} {ESCAPES} {MARKUP}"
        url = f"https://bad.example/shown/{number}?{ESCAPES}{MARKUP}"
        lines.bad(
            json.dumps({"text": text, "url": url, "metadata": {ESCAPES: MARKUP}, ESCAPES + MARKUP: ESCAPES}).encode()
        )
    lines.bad(json.dumps({"text": 5, "url": f"https://bad.example/shown/bad?{ESCAPES}"}).encode())
    return lines.file(quarantined=1)


def _large_extra() -> HostileFile:
    """Small texts with large fields beside them: a batch of them must stay small."""
    lines = Lines("large-extra.jsonl.zst").good()
    big = b"e" * 4_000_000
    lines.bad(*(b'{"text": "x", "url": "https://bad.example/large/%d", "big": "%b"}' % (n, big) for n in range(50)))
    return lines.file(data=zstandard.ZstdCompressor(level=1).compress(lines.data()))


def _mutated() -> list[HostileFile]:
    """Healthy records with bytes changed at random: no document is promised, but every row is accounted for."""
    found = []
    for number in range(3):
        chance = random.Random(f"mutated lines {number}")
        data = bytearray(Lines(f"mutated-{number}").good(20, a=[1, {"b": None}], n=1.5).data())
        for _ in range(100):
            place = chance.randrange(len(data))
            data[place : place + chance.randrange(2)] = chance.choice(
                (b"\\", b'"', b"\n", b"{", b"\xff", b"\0", b"]", b"e9", b"\\u")
            )
        found.append(HostileFile(name=f"mutated-{number}.jsonl", data=bytes(data)))
    return found
