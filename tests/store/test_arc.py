"""ARC files: record lines in place of headers."""

import io
from collections import Counter

import pytest

from tamis.store.warc import WarcDocument, count_documents, read_documents

PAGE = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<p>"


def arc_record(url: str, body: bytes, date: str = "20080430204826", length: int | None = None) -> bytes:
    return f"{url} 192.0.2.1 {date} text/html {len(body) if length is None else length}\n".encode() + body + b"\n"


FIELDS = b"1 0 InternetArchive\nURL IP-address Archive-date Content-type Archive-length\n"
HEADER = arc_record("filedesc://x.arc", FIELDS)


def read(data: bytes, notes: Counter[str]) -> list[WarcDocument]:
    return list(read_documents(lambda: io.BytesIO(data), notes))


def test_every_record_is_read_with_its_line_as_headers() -> None:
    notes: Counter[str] = Counter()
    data = HEADER + arc_record("http://e.org/a b", PAGE + b"one")
    data += arc_record("http://e.org/2", PAGE + b"two\n", "2008")
    first, second = read(data, notes)
    assert (first.url, first.content, first.status, first.record_id) == ("http://e.org/a b", b"<p>one", 200, "")
    assert (second.url, second.content) == ("http://e.org/2", b"<p>two\n")
    assert first.metadata == {
        "WARC-Type": "response", "WARC-Target-URI": "http://e.org/a b", "WARC-IP-Address": "192.0.2.1",
        "WARC-Date": "2008-04-30T20:48:26Z", "Content-Type": "text/html", "Content-Length": str(len(PAGE) + 3),
    }  # fmt: skip
    assert second.metadata["WARC-Date"] == "2008", "a date that is not 14 digits stays as it is"
    assert notes == {"arc_header": 1}, "no length had to be repaired"
    assert count_documents(lambda: io.BytesIO(data), 10) == 2


@pytest.mark.parametrize("length", [3, 10_000])
def test_a_wrong_length_costs_no_record(length: int) -> None:
    notes: Counter[str] = Counter()
    data = HEADER + arc_record("http://e.org/1", PAGE + b"one", length=length) + arc_record("http://e.org/2", PAGE)
    assert [document.content for document in read(data, notes)] == [b"<p>one", b"<p>"]
    assert notes == {"arc_header": 1, "wrong_record_length": 1}


def test_bytes_between_records_are_taken_for_the_record_before() -> None:
    notes: Counter[str] = Counter()
    data = HEADER + b"lost bytes\n" + arc_record("http://e.org/1", PAGE + b"one")
    assert [document.content for document in read(data, notes)] == [b"<p>one"]
    assert notes == {"arc_header": 1, "wrong_record_length": 1}
