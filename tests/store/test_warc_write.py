"""The WARC writer, read back by two independent readers."""

import gzip
import uuid
from pathlib import Path

import pytest
from fastwarc.warc import ArchiveIterator as FastIterator
from warcio.archiveiterator import ArchiveIterator as WarcioIterator

from tamis.base.errors import StorageError
from tamis.store.warc_write import digest, record_id, response_record, warcinfo_record, write_warc

DATE = "2024-01-01T00:00:00Z"
PAGES = {
    "https://a.example/": "<p>Füße</p>".encode(),
    "https://b.example/x?y=1#z": b"",
    "https://c.example/crlf": b"line\r\n\r\nWARC/1.1\r\n\x00\xff",
}


@pytest.fixture
def warc(tmp_path: Path) -> Path:
    path = tmp_path / "crawl.warc.gz"
    info = warcinfo_record(path.name, {"software": "test", "format": "WARC File Format 1.1"}, DATE)
    write_warc(path, [info, *(response_record(url, body, "text/html", DATE) for url, body in PAGES.items())])
    return path


def test_fastwarc_verifies_every_block(warc: Path) -> None:
    with warc.open("rb") as handle:
        records = [
            (record.headers["WARC-Target-URI"], record.http_headers["Content-Type"], record.reader.read())
            for record in FastIterator(handle, verify_digests=True)
            if record.http_headers is not None
        ]
    assert records == [(url, "text/html", body) for url, body in PAGES.items()]


def test_warcio_agrees_with_block_and_payload_digests(warc: Path) -> None:
    with warc.open("rb") as handle:
        bodies, ids, types = [], [], []
        for record in WarcioIterator(handle, check_digests="raise"):
            types.append(record.rec_type)
            ids.append(record.rec_headers.get_header("WARC-Record-ID"))
            assert record.rec_headers.protocol == "WARC/1.1"
            assert record.rec_headers.get_header("WARC-Date") == DATE
            if record.rec_type == "response":
                assert record.http_headers.get_statuscode() == "200"
                body = record.content_stream().read()
                assert record.rec_headers.get_header("WARC-Payload-Digest") == digest(body)
                bodies.append(body)
    assert types == ["warcinfo", *["response"] * len(PAGES)]
    assert bodies == list(PAGES.values())
    assert ids == [record_id("crawl.warc.gz"), *map(record_id, PAGES)]
    assert len(set(ids)) == len(ids)


def test_a_wrong_byte_is_noticed(tmp_path: Path) -> None:
    record = gzip.decompress(response_record("https://a.example/", b"good", "text/html", DATE))
    broken = tmp_path / "broken.warc"
    broken.write_bytes(record.replace(b"good", b"gout"))
    with broken.open("rb") as handle:
        assert list(FastIterator(handle, verify_digests=True)) == []


def test_each_record_is_one_gzip_member(warc: Path) -> None:
    offsets = []
    with warc.open("rb") as handle:
        iterator = WarcioIterator(handle)
        for record in iterator:
            record.content_stream().read()
            offsets.append(iterator.get_record_offset())
    data = warc.read_bytes()
    ends = [*offsets[1:], len(data)]
    members = [gzip.decompress(data[start:end]) for start, end in zip(offsets, ends, strict=True)]
    assert len(members) == 1 + len(PAGES)
    assert all(member.startswith(b"WARC/1.1\r\n") and member.endswith(b"\r\n\r\n") for member in members)


def test_same_arguments_same_bytes() -> None:
    first, second = (response_record("https://a.example/", b"x" * 5000, "text/html", DATE) for _ in range(2))
    assert first == second
    assert uuid.UUID(record_id("https://a.example/")[len("<urn:uuid:") : -1]).version == 5


def test_digest_known_value() -> None:
    # SHA-1 of nothing, as it stands in Common Crawl's records of empty bodies.
    assert digest(b"") == "sha1:3I42H3S6NNFQ2MSVX7XZKYAYSCX5QBYJ"


def test_header_values_with_line_breaks_are_refused() -> None:
    with pytest.raises(AssertionError):
        response_record("https://a.example/\r\nWARC-Type: request", b"", "text/html", DATE)


def test_failure_publishes_nothing(tmp_path: Path) -> None:
    def records():
        yield b"x"
        raise OSError(28, "No space left on device")

    with pytest.raises(StorageError):
        write_warc(tmp_path / "crawl.warc.gz", records())
    assert list(tmp_path.iterdir()) == []
