"""The pool: every kind of input, the hold-out, the first N pages, and pages of a crawl over HTTP."""

import gzip
import json
import pickle
import random
import re
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tamis.base.columns import POOL_SCHEMA
from tamis.base.errors import ConfigError, DataError
from tamis.base.hosts import host_of
from tamis.base.recipe import Recipe
from tamis.stages.pool.holdout import is_held_out
from tamis.stages.pool.mime import is_page
from tamis.stages.pool.stage import Pool, build


def make(mode: str = "fixed", **settings: Any) -> Pool:
    return build(settings, Recipe.parse({"name": "x", "stages": [], "mode": mode}, ""))


def rows(pool: Pool) -> list[dict[str, Any]]:
    out: list[dict[str, Any]] = []
    for shard in pickle.loads(pickle.dumps(list(pool.shards()))):
        for batch in pickle.loads(pickle.dumps(pool)).read(shard):
            assert batch.schema == POOL_SCHEMA and 0 < batch.num_rows <= 512
            assert batch.num_rows == 1 or batch.nbytes < 20 << 20
            batch.validate(full=True)
            out += batch.to_pylist()
    return out


def response(url: str, body: bytes, status: str = "200 OK", content_type: str = "text/html", number: int = 0) -> bytes:
    block = f"HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\n\r\n".encode() + body
    head = (f"WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: {url}\r\nWARC-Record-ID: <urn:{url}#{number}>\r\n"
            f"Content-Length: {len(block)}\r\n\r\n")  # fmt: skip
    return gzip.compress(head.encode() + block + b"\r\n\r\n")


@pytest.fixture
def warc(tmp_path: Path) -> Path:
    path = tmp_path / "x.warc.gz"
    path.write_bytes(b"".join((
        response("http://a.org/1", b"<p>good"), response("http://a.org/2", b"gone", "404 Not Found"),
        response("http://a.org/3", b"%PDF-1.4", content_type="application/pdf"),
        response("http://a.org/4", b"%PDF-1.4"),
        response("http://b.org/1", b"<html>sniffed", content_type=""),
        response("http://b.org/2", b"\0\1", content_type=""),
    )))  # fmt: skip
    return path


def test_status_and_kind_decide_only_in_fixed_mode(warc: Path) -> None:
    fixed = rows(make(inputs=[str(warc)]))
    assert [row["drop_reason"] for row in fixed] == [None, "http_error", "not_html", "not_html", None, "not_html"]
    assert fixed[0]["content"] == b"<p>good" and fixed[0]["content_type"] == "text/html" and fixed[0]["text"] is None
    assert json.loads(fixed[0]["metadata"])["WARC-Type"] == "response"
    assert all(row["content"] is None for row in fixed if row["drop_reason"])
    any_status = rows(make(inputs=[str(warc)], http_status="any"))
    assert any_status[1]["drop_reason"] is None
    paper = rows(make(mode="paper", inputs=[str(warc)]))
    assert [row["drop_reason"] for row in paper] == [None] * 6
    assert [row["id"] for row in paper] == [row["id"] for row in fixed]
    assert len({row["id"] for row in fixed}) == 6 and re.fullmatch("[0-9a-f]{32}", fixed[0]["id"])


def test_hold_out_splits_hosts_whole_and_both_parts_together_are_the_pool(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    urls = [f"https://{'www.' if i % 3 else ''}host{i % 200}.org/{i}" for i in range(2000)]
    path.write_text("".join(json.dumps({"text": "t", "url": url}) + "\n" for url in urls))
    train = rows(make(inputs=[str(path)], holdout_fraction=0.2))
    heldout = rows(make(inputs=[str(path)], holdout_fraction=0.2, part="heldout"))
    assert {row["drop_reason"] for row in train} == {None, "held_out"}
    assert {row["drop_reason"] for row in heldout} == {None, "not_held_out"}
    assert all((a["drop_reason"] is None) != (b["drop_reason"] is None) for a, b in zip(train, heldout, strict=True))
    hosts = {host_of(row["url"]) for row in heldout if row["drop_reason"] is None}
    assert hosts.isdisjoint(host_of(row["url"]) for row in train if row["drop_reason"] is None)
    assert 0.1 < len(hosts) / 200 < 0.3
    # A larger hold-out contains the smaller one.
    assert all(is_held_out(u, "", 0.3, "host") for u in urls if is_held_out(u, "", 0.2, "host"))


def test_host_of() -> None:
    assert host_of("https://WWW.Example.org:8080/x") == host_of("http://user@example.org./y") == "example.org"
    assert host_of("nonsense") == host_of("http://[bad") == ""


def test_text_sources_agree(tmp_path: Path) -> None:
    records = [
        {"text": f"text {i}", "url": f"http://e.org/{i}", "metadata": {"WARC-Record-ID": f"<{i}>"}, "score": i / 7}
        for i in range(700)
    ]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(r) + "\n" for r in records))
    pq.write_table(pa.Table.from_pylist(records), tmp_path / "b.parquet")
    from_jsonl = rows(make(inputs=[str(tmp_path / "a.jsonl")]))
    from_parquet = rows(make(inputs=[str(tmp_path / "b.parquet")]))
    assert from_jsonl == from_parquet
    assert from_jsonl[3]["text"] == "text 3" and json.loads(from_jsonl[3]["extra"]) == {"score": 3 / 7}
    pq.write_table(pa.Table.from_pylist([{"content": "x"}]), tmp_path / "c.parquet")
    with pytest.raises(DataError, match="no column 'text'"):
        rows(make(inputs=[str(tmp_path / "c.parquet")]))


def test_pool_rows_written_as_parquet_are_read_back_as_they_were(tmp_path: Path) -> None:
    source = tmp_path / "a.jsonl"
    source.write_text('{"text": "t", "url": "u", "metadata": {"k": "v"}, "extra_field": [1]}\n')
    pool = make(inputs=[str(source)])
    pq.write_table(pa.Table.from_batches(pool.read(pool.shards()[0])).drop_columns(["content"]), tmp_path / "b.parquet")
    assert rows(make(inputs=[str(tmp_path / "b.parquet")])) == rows(pool)


@pytest.mark.parametrize(("pages", "expected"), [(1, 1), (5, 5), (6, 6), (9, 9), (50, 12)])
def test_first_pages_of_the_whole_pool(warc: Path, tmp_path: Path, pages: int, expected: int) -> None:
    other = tmp_path / "y.jsonl"
    other.write_text('{"text": "t"}\n' * 6)
    inputs = [str(warc), str(other)]
    whole = rows(make(inputs=inputs))
    part = make(inputs=inputs, pages=pages)
    assert rows(part) == whole[:expected]
    fingerprints = [s.fingerprint for s in part.shards()], [s.fingerprint for s in make(inputs=inputs).shards()]
    assert (fingerprints[0] == fingerprints[1]) == (pages >= 12)
    assert len(make(inputs=inputs, max_shards=1).shards()) == 1


def test_kind_by_first_bytes(warc: Path, tmp_path: Path) -> None:
    odd = tmp_path / "download"
    odd.write_bytes(warc.read_bytes())
    assert len(rows(make(inputs=[str(odd)]))) == 6
    odd.write_bytes(b"hello")
    with pytest.raises(DataError, match="neither its name nor its first bytes"):
        rows(make(inputs=[str(odd)]))


def test_notes_are_of_the_last_read(shared_data: Path) -> None:
    pool = make(inputs=[str(shared_data / "data/robust/warcio__example.warc.gz")])
    for _ in range(2):
        list(pool.read(pool.shards()[0]))
        assert pool.notes() == {"request": 2, "revisit": 1, "warcinfo": 2}


def test_contradictions_are_config_errors() -> None:
    for settings, message in (
        ({}, "--pool FILES"),
        ({"crawl": "CC-MAIN-2022-49"}, "pool.pages"),
        ({"inputs": ["x"], "part": "heldout"}, "holdout_fraction"),
        ({"inputs": ["x"], "holdout_fraction": 1.0}, "holdout_fraction"),
        ({"inputs": ["x"], "holdout": 0.1}, "did you mean"),
        ({"crawl": "nonsense", "pages": 1}, "pool.crawl"),
    ):
        with pytest.raises(ConfigError, match=re.escape(message)):
            make(**settings)


def test_is_page() -> None:
    assert (
        is_page("text/html; charset=utf-8", b"")
        and is_page("TEXT/PLAIN", b"hello")
        and is_page("", b" <!DOCTYPE html>")
    )
    assert is_page("application/octet-stream", b"<html>") and not is_page("", b"hello")
    assert not is_page("application/json", b"<html>") and not is_page("text/html", b"\x89PNG\r\n")


CRAWL = "CC-MAIN-2099-01"


class Server(BaseHTTPRequestHandler):
    files: dict[str, bytes] = {}  # noqa: RUF012 - set once per test
    asked: list[tuple[str, int, int]] = []  # noqa: RUF012
    busy = 0

    def do_GET(self) -> None:
        data = self.files.get(self.path)
        if data is None:
            self.send_error(404)
            return
        if type(self).busy > 0:
            type(self).busy -= 1
            self.send_error(503)
            return
        first, last = map(int, re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers["Range"]).groups())  # type: ignore[union-attr]
        part = data[first : last + 1]
        self.asked.append((self.path, first, len(part)))
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {first}-{first + len(part) - 1}/{len(data)}")
        self.send_header("Content-Length", str(len(part)))
        self.send_header("ETag", '"e1"')
        self.end_headers()
        self.wfile.write(part)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[str]:
    noise = random.Random(0)
    path = f"crawl-data/{CRAWL}/segments/1/warc/first.warc.gz"
    pages = (
        response(f"http://h{i}.org/", b"<p>" + noise.randbytes(10_000).hex().encode(), number=i) for i in range(600)
    )
    listing = gzip.compress(f"{path}\ncrawl-data/other.warc.gz\n".encode())
    Server.files = {f"/{path}": b"".join(pages), f"/crawl-data/{CRAWL}/warc.paths.gz": listing}
    Server.asked, Server.busy = [], 0
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    thread = threading.Thread(target=httpd.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{httpd.server_port}/"
    httpd.shutdown()
    httpd.server_close()


def test_crawl_reads_no_further_than_its_pages(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    Server.busy = 2
    got = rows(make(crawl=CRAWL, pages=50, base_url=server))
    assert [row["url"] for row in got] == [f"http://h{i}.org/" for i in range(50)]
    assert all(row["error"] is None and row["drop_reason"] is None for row in got)
    asked = Counter({path: sum(n for p, _, n in Server.asked if p == path) for path in Server.files})
    warc_path = next(path for path in Server.files if path.endswith("first.warc.gz"))
    assert asked[warc_path] < len(Server.files[warc_path]) / 3
    first = make(crawl=CRAWL, pages=50, base_url=server).shards()[0].fingerprint
    assert first != make(crawl=CRAWL, pages=51, base_url=server).shards()[0].fingerprint


def test_crawl_larger_than_its_file_gives_the_file(server: str) -> None:
    assert len(rows(make(crawl=CRAWL, pages=10_000, base_url=server))) == 600


def test_unknown_crawl_and_no_network_say_how_to_go_on(server: str) -> None:
    with pytest.raises(ConfigError, match=r"index\.commoncrawl\.org"):
        make(crawl="CC-MAIN-1999-01", pages=1, base_url=server).shards()
    with pytest.raises(DataError, match=r"(?s)connect.*--pool FILES"):
        make(crawl=CRAWL, pages=1, base_url="http://127.0.0.1:9/").shards()


def test_identical_records_twice_keep_one_id(warc: Path) -> None:
    warc.write_bytes(warc.read_bytes() * 2)
    ids = [row["id"] for row in rows(make(inputs=[str(warc)]))]
    assert ids[:6] == ids[6:]
