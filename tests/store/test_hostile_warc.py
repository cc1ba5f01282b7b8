"""WARC files with lengths, headers and members that lie: every record after the one that lies is still delivered."""

import gzip
import io
from collections import Counter
from collections.abc import Callable

import lz4.frame
import pytest
import zstandard
from store.test_warc import page, read, record

from tamis.store import framing, warc
from tamis.store.window import Window

MIB = 1 << 20


def response(number: int, size: int = 2000, length: int | None = None) -> bytes:
    return record("response", page(b"<p>%d " % number + b"x" * size), length, uri=f"http://e.org/{number}")


def urls(data: bytes, notes: Counter[str] | None = None) -> list[str]:
    return [
        f"{d.url.rpartition('/')[2]}{':' if d.error else ''}{(d.error or '').split(':')[0]}" for d in read(data, notes)
    ]


@pytest.mark.parametrize("pack", [bytes, gzip.compress, zstandard.compress], ids=["plain", "gzip", "zstd"])
@pytest.mark.parametrize("length", [300_000_000, 200_000_000, 9_000_000_000_000])
def test_a_length_that_is_far_too_large_swallows_nothing(pack: Callable[[bytes], bytes], length: int) -> None:
    notes: Counter[str] = Counter()
    lying = response(0, length=length)
    documents = read(b"".join(map(pack, [lying, *(response(k) for k in range(1, 501))])), notes)
    assert [d.url for d in documents] == [f"http://e.org/{k}" for k in range(501)]
    assert all(d.content == b"<p>%d " % k + b"x" * 2000 for k, d in enumerate(documents))
    assert notes == {"wrong_record_length": 1}


def test_a_length_that_is_far_too_large_in_the_last_record() -> None:
    documents = read(response(0) + response(1, length=300_000_000))
    assert documents[0].error is None
    assert documents[1].error is not None and documents[1].error.startswith("truncated_record: ")


@pytest.mark.parametrize("blank", [b" ", b"\n", b"\r\n"])
@pytest.mark.parametrize("num_blanks", [2, 20, 5000, 50_000])
def test_a_length_that_ends_in_white_space_swallows_nothing(blank: bytes, num_blanks: int) -> None:
    padded = record("response", page(b"<p>1" + blank * num_blanks), uri="http://e.org/1")
    first = len(page(b"<p>0 " + b"x" * 2000))
    # The promised end lies in the blanks, or in what separates the second record from the third.
    for into in (len(blank) * num_blanks - 1, len(blank) * num_blanks // 2):
        reach = first + 4 + len(padded) - 4 - into
        assert urls(response(0, length=reach) + padded + response(2)) == ["0", "1", "2"]
    for past in (1, 2, 3, 4):
        assert urls(response(0, length=first + len(padded) + past) + padded + response(2)) == ["0", "1", "2"]


def test_records_too_large_to_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(framing, "MAX_RECORD_BYTES", MIB)
    after = response(7) + response(8)
    large = record("response", page(b"x" * 2 * MIB), uri="http://e.org/1")
    assert urls(large + after) == ["1:too_large", "7", "8"]
    # A record that holds a WARC file, with the right length: its records are no documents.
    crate = record("response", page(b"x" * (MIB // 2) + response(2) * 300), uri="http://e.org/1")
    assert len(crate) > MIB and urls(crate + after) == ["1:too_large", "7", "8"]
    late = record("response", page(b"x" * 2 * MIB + response(2) * 9), uri="http://e.org/1")
    assert urls(late + after) == ["1:too_large", "7", "8"]
    # Wrong lengths, and none.
    assert urls(record("response", page(b"x" * 2 * MIB), 4 * MIB, uri="http://e.org/1") + after) == [
        "1:too_large",
        "7",
        "8",
    ]
    endless = b"WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: http://e.org/1\r\n\r\n" + b"x" * 2 * MIB
    assert urls(endless + b"\r\n\r\n" + after) == ["1:too_large", "7", "8"]


def test_many_wrong_lengths_cost_no_more_than_one(monkeypatch: pytest.MonkeyPatch) -> None:
    copied = 0
    have = Window.have

    def counted(self: Window, num_bytes: int) -> bool:
        nonlocal copied
        before = self.data
        found = have(self, num_bytes)
        copied += len(self.data) if self.data is not before else 0
        return found

    monkeypatch.setattr(Window, "have", counted)
    data = b"".join(response(k, 900, length=200_000_000) for k in range(3000))
    assert len(read(data)) == 3000
    assert copied < 12 * len(data)


def test_headers_that_do_not_end() -> None:
    broken = b"WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: http://e.org/1\r\nContent-Length: 5\r\n"
    assert urls(response(0) + broken + response(2)) == ["0", "1:truncated_record", "2"]
    assert urls(response(0) + broken + b"X: " + b"x" * 2 * MIB + b"\r\n\r\nhello\r\n\r\n" + response(2)) == [
        "0", "1:too_large", "2",
    ]  # fmt: skip
    notes: Counter[str] = Counter()
    assert urls(b"WARC/1.0\nX:\n" * 50_000 + b"\n" + response(2), notes) == ["2"]
    assert notes["no_type"] == 50_000
    folded = b"WARC/1.0\r\nWARC-Type: response\r\nX: a\r\n" + b" b\n" * 300_000 + b"Content-Length: 0\r\n\r\n\r\n\r\n"
    (document,) = read(folded)
    assert document.metadata["X"] == "a" + " b" * 300_000


def test_http_headers_and_warcinfo_are_bounded() -> None:
    head = b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * (MIB // 5)
    assert urls(record("response", head + b"\r\nbody", uri="http://e.org/1") + response(2)) == ["1:bad_http", "2"]
    assert urls(record("response", head, uri="http://e.org/1") + response(2)) == ["1:bad_http", "2"]
    notes: Counter[str] = Counter()
    long, short = record("warcinfo", b"x: y\r\n" * 20_000), record("warcinfo", b"x: y")
    assert [d.warcinfo for d in read(short + response(1) + long + response(2), notes)] == ["x: y", None]
    assert notes["warcinfo_too_long"] == 1 and notes["warcinfo"] == 2


def test_types_of_records_are_counted_by_name_up_to_a_number() -> None:
    notes: Counter[str] = Counter()
    assert urls(b"".join(record(f"type{k}", b"x") for k in range(1000)) + response(1), notes) == ["1"]
    assert len(notes) == warc._MAX_TYPES + 1 and notes["other_types"] == 1000 - warc._MAX_TYPES


def test_a_line_of_colons_is_searched_once() -> None:
    """It looks like the address in a record line of an ARC file at each of its places."""
    text = b"a: " + b":" * 1_000_000 + b"x\n"
    assert urls(record("response", page(text), uri="http://e.org/1") + response(2)) == ["1", "2"]
    assert urls(text + response(2)) == ["2"]


@pytest.mark.parametrize("pack", [gzip.compress, lz4.frame.compress, zstandard.compress], ids=["gzip", "lz4", "zstd"])
def test_empty_members_do_not_end_a_file(pack: Callable[[bytes], bytes]) -> None:
    empty = pack(b"")
    assert urls(empty * 3 + pack(response(1)) + empty * 2 + pack(response(2))) == ["1", "2"]


def test_skippable_frames_are_skipped_once() -> None:
    frames = b"\x50\x2a\x4d\x18\x00\x00\x00\x00" * 1_000_000
    assert urls(frames + zstandard.compress(response(1)) + frames + zstandard.compress(response(2))) == ["1", "2"]


def test_damage_in_a_header_does_not_reach_the_record_before() -> None:
    damaged = response(1).replace(b"WARC/1.0", b"WARC+1.0")
    notes: Counter[str] = Counter()
    documents = read(response(0) + damaged + response(2), notes)
    assert [d.content for d in documents] == [b"<p>0 " + b"x" * 2000, b"<p>2 " + b"x" * 2000]
    assert notes == {"skipped_bytes": len(damaged)}


def test_a_file_is_read_no_further_than_asked() -> None:
    data = io.BytesIO(b"".join(response(k) for k in range(3000)))
    assert warc.count_documents(lambda: data, 3) == 3
