"""HTTP bodies made to break decoders: each ends in bytes or in a named error, and costs work in proportion."""

import gzip
import random
import zlib
from collections import Counter

import brotli
import pytest
import zstandard
from fuzz.work import count_work

from tamis.store import http_body
from tamis.store.http_body import BodyError, decode_body

HTML = b"<html>" + b"some text " * 500
ZSTD = b"\x28\xb5\x2f\xfd"


def failure(body: bytes, encoding: str) -> str:
    with pytest.raises(BodyError) as caught:
        decode_body(body, "", encoding, Counter())
    return str(caught.value).split(":")[0]


@pytest.mark.parametrize("body", [ZSTD, ZSTD + b"\0", ZSTD + b"\x20\x00", b"\x50\x2a\x4d\x18", ZSTD + b"\xff" * 40])
def test_the_beginning_of_a_zstd_body_is_no_body(body: bytes) -> None:
    assert failure(body, "zstd") == "bad_content_encoding"


def test_layers_of_encoding_are_limited() -> None:
    body = HTML
    for _ in range(5):
        body = gzip.compress(body, mtime=0)
    assert decode_body(body, "", "gzip, gzip,gzip,x-gzip,identity,gzip", Counter()) == HTML
    assert failure(gzip.compress(body), "gzip" + ",gzip" * 5) == "too_many_encodings"
    assert failure(HTML, ",".join(["gzip"] * 100_000)) == "too_many_encodings"
    assert failure(HTML, "x" * 100_000 + ", \x1b[31m") == "unknown_content_encoding"


def test_all_layers_together_stay_within_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_body, "MAX_DECODED_BYTES", 1 << 20)
    noise = random.Random(0).randbytes(400_000)
    once, twice = gzip.compress(noise), gzip.compress(gzip.compress(noise))
    assert decode_body(once, "", "gzip", Counter()) == decode_body(twice, "", "gzip, gzip", Counter()) == noise
    assert failure(gzip.compress(gzip.compress(twice)), "gzip, gzip, gzip, gzip") == "too_large"


@pytest.mark.parametrize("name", ["gzip", "deflate", "br", "zstd"])
@pytest.mark.parametrize("size", [(1 << 20) + 1, 40 << 20])
def test_bombs_are_given_up_at_the_limit(name: str, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_body, "MAX_DECODED_BYTES", 1 << 20)
    pack = {"gzip": gzip.compress, "deflate": zlib.compress, "zstd": zstandard.compress}.get(
        name, lambda text: brotli.compress(text, quality=5)
    )
    assert failure(pack(b"\0" * size), name) == "too_large"
    assert decode_body(pack(b"\0" * (1 << 20)), "", name, Counter()) == b"\0" * (1 << 20)


def test_empty_gzip_members_cost_work_in_proportion(monkeypatch: pytest.MonkeyPatch) -> None:
    work = count_work(monkeypatch)
    costs = []
    for members in (2000, 8000):
        work.bytes = 0
        body = gzip.compress(b"", mtime=0) * members + gzip.compress(HTML, mtime=0)
        assert decode_body(body, "", "gzip", Counter()) == HTML
        costs.append(work.bytes)
    assert costs[1] < 5 * costs[0]
    assert failure(gzip.compress(b"", mtime=0) * 10_001, "gzip") == "bad_content_encoding"
    assert failure(b"\x50\x2a\x4d\x18\0\0\0\0" * 10_001, "zstd") == "bad_content_encoding"


def test_stored_zstd_blocks_cost_work_in_proportion(monkeypatch: pytest.MonkeyPatch) -> None:
    work = count_work(monkeypatch)
    block = (1000 << 3).to_bytes(3, "little") + b"x" * 1000
    body = ZSTD + b"\x00\x58" + block * 500 + (1).to_bytes(3, "little")
    assert decode_body(body, "", "zstd", Counter()) == b"x" * 500_000
    assert work.feeds < 600 and work.measured < 4 * work.feeds


def test_what_follows_a_body_is_left_out() -> None:
    for name, body in (
        ("gzip", gzip.compress(HTML, mtime=0)), ("br", brotli.compress(HTML)), ("zstd", zstandard.compress(HTML)),
    ):  # fmt: skip
        notes: Counter[str] = Counter()
        assert decode_body(body + b"padding", "", name, notes) == HTML and not notes
    assert decode_body(zstandard.compress(b"a") + zstandard.compress(HTML), "", "zstd", Counter()) == b"a" + HTML
    assert decode_body(gzip.compress(b"a") + b"\0" * 9 + gzip.compress(HTML), "", "gzip", Counter()) == b"a" + HTML


def test_a_cut_zstd_body_of_unknown_size_is_noted() -> None:
    text = random.Random(0).randbytes(200_000).hex().encode()
    packer = zstandard.ZstdCompressor(write_content_size=False)
    body = packer.compress(text)
    notes: Counter[str] = Counter()
    assert text.startswith(decode_body(body[: len(body) // 2], "", "zstd", notes)) and notes == {"content_cut_short": 1}


def test_brotli_keeps_all_up_to_the_damage() -> None:
    text = random.Random(0).randbytes(20_000).hex().encode()
    body = bytearray(brotli.compress(text))
    body[len(body) // 2 :] = b"\xff" * 2000
    notes: Counter[str] = Counter()
    assert len(decode_body(bytes(body), "", "br", notes)) > len(text) // 4
    assert notes == {"content_cut_short": 1}


def test_transfer_encodings_are_undone_first() -> None:
    packed = gzip.compress(zlib.compress(HTML), mtime=0)
    chunks = b"%x\r\n%s\r\n0\r\n\r\n" % (len(packed), packed)
    assert decode_body(chunks, "gzip, chunked", "deflate", Counter()) == HTML
    assert decode_body(HTML, "something", "", Counter()) == HTML
