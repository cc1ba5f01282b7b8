"""WARC, WET and ARC reading: every record of the odd files is found, damage costs one record, encodings are undone."""

import gzip
import io
import json
import zlib
from collections import Counter
from pathlib import Path

import brotli
import lz4.frame
import pytest
import zstandard

from tamis.store.http_body import BodyError, decode_body
from tamis.store.warc import WarcDocument, count_documents, read_documents


def read(data: bytes, notes: Counter[str] | None = None, verify: bool = False) -> list[WarcDocument]:
    return list(read_documents(lambda: io.BytesIO(data), Counter() if notes is None else notes, verify))


def record(kind: str, body: bytes, length: int | None = None, uri: str = "http://e.org/", **headers: str) -> bytes:
    fields = {"WARC-Type": kind, "WARC-Target-URI": uri, **{k.replace("_", "-"): v for k, v in headers.items()}}
    fields["Content-Length"] = str(len(body) if length is None else length)
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return b"WARC/1.0\r\n" + head.encode() + b"\r\n" + body + b"\r\n\r\n"


def page(text: bytes, extra: str = "") -> bytes:
    return f"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n{extra}\r\n".encode() + text


# Where more is found than the manifest's own scan found, and why.
DEVIATIONS = {
    # Three of its five records promise more bytes than they have. The scan believes the length and swallows two records
    # that begin inside; a record line is a record line here.
    "aut__badexample.arc.gz": 5,
}


def test_every_odd_file_gives_the_responses_that_are_there(shared_data: Path) -> None:
    folder = shared_data / "data/robust"
    files = json.loads((folder / "manifest.json").read_text())["files"]
    assert len(files) == 52
    for entry in files:
        notes: Counter[str] = Counter()
        path = folder / entry["file"]
        documents = list(read_documents(lambda path=path: path.open("rb"), notes))
        expected = dict(entry["scan"]["by_type"])
        responses = DEVIATIONS.get(entry["file"], expected.pop("response", 0))
        expected.pop("response", None)
        assert len(documents) == responses, entry["file"]
        assert {kind: notes[kind] for kind in expected} == expected, entry["file"]
        assert count_documents(lambda path=path: path.open("rb"), 10_000) == responses
        truncated = [d for d in documents if (d.error or "").startswith("truncated_record")]
        assert bool(truncated) == (entry["truncated"] or entry["file"] in DEVIATIONS), entry["file"]
        assert all((d.content is None) == (d.error is not None) for d in documents), entry["file"]


@pytest.mark.parametrize("kind", ["none", "gzip", "brotli"])
def test_transfer_compression_gives_the_same_page(shared_data: Path, kind: str) -> None:
    folder = shared_data / "data/robust"
    pages = [
        next(
            read_documents(
                lambda s=s: (folder / f"webarchive-discovery__transfer_compression_{s}").open("rb"), Counter()
            )
        )
        for s in (f"{kind}.warc", f"{kind}.warc.gz", "none.warc")
    ]
    assert pages[0].content == pages[1].content
    assert pages[0].url == pages[2].url.replace("none", kind) and "<" not in pages[0].url
    assert pages[0].content is not None and b"</html>" in pages[0].content


def test_other_records_are_counted_and_wet_text_is_read() -> None:
    notes: Counter[str] = Counter()
    data = b"".join((
        record("warcinfo", b"software: x\r\n"), record("request", b"GET / HTTP/1.1\r\n\r\n"),
        record("conversion", "Grüße".encode()), record("conversion", b"\xff"), record("revisit", b""),
    ))  # fmt: skip
    good, bad = read(data, notes)
    assert (good.text, good.warcinfo, good.content) == ("Grüße", "software: x", None)
    assert bad.error is not None and bad.error.startswith("not_utf8")
    assert notes == {"warcinfo": 1, "request": 1, "revisit": 1}


@pytest.mark.parametrize("length", [3, 0, 10_000])
def test_a_wrong_length_neither_loses_the_record_nor_the_next(length: int) -> None:
    notes: Counter[str] = Counter()
    body = page(b"<p>one</p>")
    first, second = read(record("response", body, length) + record("response", page(b"two")), notes)
    assert (first.content, second.content) == (b"<p>one</p>", b"two")
    assert notes["wrong_record_length"] == 1


def test_a_warc_inside_a_page_is_not_a_record() -> None:
    inner = record("response", page(b"inner"))
    (only,) = read(record("response", page(inner)))
    assert only.content == inner


@pytest.mark.parametrize("pack", [gzip.compress, lz4.frame.compress, zstandard.compress, bytes])
def test_containers_agree_and_a_cut_tail_costs_the_last_record(pack) -> None:  # type: ignore[no-untyped-def]
    bodies = [page(bytes([65 + i]) * 300_000) for i in range(4)]
    members = [pack(record("response", body)) for body in bodies]
    assert [d.content for d in read(b"".join(members))] == [body.partition(b"\r\n\r\n")[2] for body in bodies]
    cut = len(members[-1]) // 2
    documents = read(b"".join(members)[: -len(members[-1]) + cut])
    assert [d.error for d in documents[:3]] == [None] * 3
    if len(documents) == 4:
        assert documents[3].error is not None and documents[3].error.startswith("truncated_record")


def test_damage_in_the_middle_of_a_gzip_file_costs_one_record() -> None:
    import random

    noise = random.Random(1)
    bodies = [page(noise.randbytes(50_000).hex().encode()) for _ in range(20)]
    members = [gzip.compress(record("response", body), mtime=0) for body in bodies]
    damaged = bytearray(members[10])
    damaged[20_000:20_200] = b"\0" * 200
    members[10] = bytes(damaged)
    notes: Counter[str] = Counter()
    documents = read(b"".join(members), notes)
    good = [d.content for d in documents if d.error is None]
    expected = [body.partition(b"\r\n\r\n")[2] for body in bodies]
    assert good == expected[:10] + expected[11:]
    assert notes["damaged_members"] >= 1
    assert len(documents) == 20


@pytest.mark.parametrize(
    "broken", [b"WARC/1.0\r\n\r\n", b"WARC/99.999\r\nWARC-Type: response\r\n\r\nx\r\n\r\n", b"WARC/1.0"]
)
def test_a_record_with_a_broken_header_is_no_part_of_the_one_before_it(broken: bytes) -> None:
    notes: Counter[str] = Counter()
    records = record("response", page(b"first")), broken, record("response", page(b"second"))
    assert [d.content for d in read(b"".join(records), notes)] == [b"first", b"second"]
    assert set(notes) == {"skipped_bytes"}


def test_trailing_garbage_loses_nothing() -> None:
    notes: Counter[str] = Counter()
    data = gzip.compress(record("response", page(b"x"))) + b"garbage" * 100
    assert [d.content for d in read(data, notes)] == [b"x"]
    assert notes["unreadable_bytes"] == 700


def test_bad_digests_are_counted_only_when_asked() -> None:
    notes: Counter[str] = Counter()
    data = record("response", page(b"x"), WARC_Block_Digest="sha1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")
    assert len(read(data, notes)) == 1 and not notes
    assert len(read(data, notes, verify=True)) == 1 and notes == {"bad_digest": 1}


def test_broken_http_and_other_protocols() -> None:
    broken, dns = read(record("response", b"no http here") + record("response", b"1.2.3.4", uri="dns:e.org"))
    assert broken.error is not None and broken.error.startswith("bad_http")
    assert dns.error is None and dns.content == b"1.2.3.4"


HTML = b"<html>" + b"some text " * 500


@pytest.mark.parametrize(
    ("encoding", "body", "note"),
    [
        ("gzip", gzip.compress(HTML, mtime=0), ""),
        ("gzip", HTML, "content_encoding_not_applied"),
        ("deflate", zlib.compress(HTML), ""),
        ("deflate", zlib.compress(HTML)[2:-4], ""),
        ("br", brotli.compress(HTML), ""),
        ("br", HTML, "content_encoding_not_applied"),
        ("zstd", zstandard.compress(HTML), ""),
        ("br, gzip", gzip.compress(brotli.compress(HTML), mtime=0), ""),
        ("identity", HTML, ""),
    ],
)  # fmt: skip
def test_content_encodings(encoding: str, body: bytes, note: str) -> None:
    notes: Counter[str] = Counter()
    assert decode_body(body, "", encoding, notes) == HTML
    assert notes == ({note: 1} if note else {})


def test_cut_bodies_keep_what_can_be_decoded() -> None:
    import random

    text = random.Random(0).randbytes(200_000).hex().encode()
    for encoding, body in (
        ("gzip", gzip.compress(text, mtime=0)),
        ("br", brotli.compress(text)),
        ("zstd", zstandard.compress(text)),
    ):
        notes: Counter[str] = Counter()
        got = decode_body(body[: len(body) * 3 // 4], "", encoding, notes)
        assert text.startswith(got) and len(got) > 0 and notes["content_cut_short"] == 1


def test_chunks() -> None:
    notes: Counter[str] = Counter()
    assert decode_body(b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n", "chunked", "", notes) == b"abcde"
    assert decode_body(b"<html>", "chunked", "", notes) == b"<html>"
    assert decode_body(b"3\r\nabc\r\nzz\r\nde", "chunked", "", notes) == b"abczz\r\nde"
    assert decode_body(b"ff\r\nabc", "chunked", "", notes) == b"abc"
    assert notes == {"chunking_not_applied": 1, "content_cut_short": 2}


def test_what_cannot_be_decoded_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tamis.store.http_body.MAX_DECODED_BYTES", 1 << 20)
    for encoding, body, kind in (
        ("compress", HTML, "unknown_content_encoding"),
        ("gzip", b"\x1f\x8b\x08\x00junkjunkjunkjunk", "bad_content_encoding"),
        ("gzip", gzip.compress(b"\0" * (2 << 20), mtime=0), "too_large"),
    ):
        with pytest.raises(BodyError, match=f"^{kind}"):
            decode_body(body, "", encoding, Counter())
