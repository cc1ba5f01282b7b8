"""Extraction: DCLM's text in paper mode, every encoding in fixed mode, and hostile pages cost a row."""

import codecs
import json
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import zstandard

from tamis.base.columns import POOL_SCHEMA
from tamis.base.recipe import Recipe
from tamis.base.stage import StageContext
from tamis.stages.extract.charsets import LABELS, codec_name
from tamis.stages.extract.encoding import decode_html
from tamis.stages.extract.page_limits import MAX_ATTRIBUTES, excess_work, nesting_depth
from tamis.stages.extract.stage import Extract, build
from tamis.stages.pool.stage import build as build_pool

BODY = "<html><body><main><p>" + "Ein längerer Satz über Bücher, Öl und Straßen. " * 5 + "</p></main></body></html>"


def make(mode: str = "fixed", **settings: Any) -> Extract:
    (stage,) = build(settings, Recipe.parse({"name": "x", "stages": [], "mode": mode}, ""))
    stage.open(StageContext(seed=0))
    return stage


def apply(stage: Extract, *pages: bytes | None, content_type: str = "text/html") -> list[dict[str, Any]]:
    rows = [{"id": str(i), "url": "", "content": page, "content_type": content_type, "text": "given"}
            for i, page in enumerate(pages)]  # fmt: skip
    out = stage.apply(pa.RecordBatch.from_pylist(rows, schema=POOL_SCHEMA))
    assert out.num_rows == len(pages)
    assert not {"content", "content_type"} & set(out.schema.names)
    assert out.schema.field("charset").type == out.schema.field("charset_source").type == pa.string()
    return out.to_pylist()


@pytest.mark.parametrize("name", ["web", "docs"])
def test_paper_mode_is_dclms_text(shared_data: Path, name: str) -> None:
    golden: dict[str, str] = {}
    with zstandard.open(shared_data / f"golden/{name}-dev.rules.jsonl.zst", "rt", encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            golden[row["url"]] = row["text"]
    recipe = Recipe(name="x", stages=[], mode="paper")
    pool = build_pool({"inputs": [str(shared_data / f"data/{name}/{name}-dev.warc.gz")]}, recipe)
    stage = make("paper")
    compared, removed = 0, 0
    for number, batch in enumerate(pool.read(pool.shards()[0])):
        if number % 3:
            continue
        for row in stage.apply(batch).to_pylist():
            if row["drop_reason"]:
                assert row["drop_reason"] == "not_utf8" and row["text"] is None
                removed += 1
            elif row["url"] in golden:
                assert row["text"] == golden[row["url"]], row["url"]
                compared += 1
    assert compared > 50
    assert (removed > 0) == (name == "web")


def test_decoding_agrees_with_the_truth(shared_data: Path) -> None:
    lines = (shared_data / "data/web/web-dev.truth.jsonl").read_text().splitlines()
    truth = {row["url"]: row for row in map(json.loads, lines)}
    pool = build_pool({"inputs": [str(shared_data / "data/web/web-dev.warc.gz")]}, Recipe(name="x", stages=[]))
    wrong = []
    for batch in pool.read(pool.shards()[0]):
        for row in batch.select(["url", "content", "content_type"]).to_pylist():
            expected = truth[row["url"]]
            decoded = decode_html(row["content"], row["content_type"])
            # Three pages declare UTF-8 and hold a few stray bytes, four are ASCII under another name: the text decides.
            if decoded.text != row["content"].decode(expected["charset_real"], "replace").removeprefix("\ufeff"):
                wrong.append((row["url"], decoded[1:], expected["charset_real"], expected["charset_declared"]))
    assert len(truth) == 752 and not wrong


@pytest.mark.parametrize(
    ("page", "content_type", "charset", "source"),
    [
        (BODY.encode(), "text/html; charset=utf-8", "utf-8", "header"),
        (BODY.encode("latin-1"), "text/html; charset=ISO-8859-1", "cp1252", "header"),
        (b"\xef\xbb\xbf" + BODY.encode(), "text/html; charset=latin-1", "utf-8", "bom"),
        (b"\xff\xfe" + BODY.encode("utf-16-le"), "text/html", "utf-16-le", "bom"),
        (b"<meta charset='windows-1252'>" + BODY.encode("cp1252"), "text/html", "cp1252", "meta"),
        (b"<!--" + b"x" * 5000 + b"--><meta charset=windows-1252>" + BODY.encode("cp1252"), "", "cp1252", "meta"),
        (BODY.encode(), "text/html", "utf-8", "utf8"),
        (BODY.encode(), "text/html; charset=iso-8859-1", "utf-8", "utf8"),
        (BODY.encode("cp1252"), "text/html; charset=utf-8", "cp1252", "detected"),
        (BODY.encode("cp1252"), "text/html; charset=base64", "cp1252", "detected"),
        (BODY.encode("utf-8").replace(b".", b".\xff", 1), "text/html; charset=utf-8", "utf-8", "header"),
    ],
)
def test_evidence_of_the_charset(page: bytes, content_type: str, charset: str, source: str) -> None:
    decoded = decode_html(page, content_type)
    assert (decoded.charset, decoded.source) == (charset, source)
    assert "längerer Satz über Bücher, Öl und Straßen" in decoded.text.replace("\ufffd", "")


@pytest.mark.parametrize(
    "codec", ["shift_jis", "euc_jp", "iso2022_jp", "gb2312", "big5", "euc_kr", "koi8-r", "windows-1251"]
)
def test_declared_encodings_round_trip(codec: str) -> None:
    text = {
        "euc_kr": "한국어 문장",
        "koi8-r": "Русский текст",
        "windows-1251": "Русский текст",
        "big5": "繁體中文",
    }.get(codec, "日本" if codec != "gb2312" else "中文")
    assert decode_html(f"<p>{text}".encode(codec), f"text/html; charset={codec}").text == f"<p>{text}"
    assert codec_name("no-such-charset") is None and codec_name("rot13") is None


def test_rows_with_text_pass_and_empty_pages_are_removed() -> None:
    given, empty, plain = (
        apply(make(), None)[0], apply(make(), b"<html><script>x</script></html>")[0],
        apply(make(), b"a  <  b\n\n  c", content_type="text/plain")[0],
    )  # fmt: skip
    assert given["text"] == "given" and given["charset"] is None and given["drop_reason"] is None
    assert empty["drop_reason"] == "no_text"
    assert plain["text"] == "a  <  b\n\n  c"
    paper = apply(make("paper"), b"<html></html>", b"\xff")
    assert [row["drop_reason"] for row in paper] == [None, "not_utf8"] and paper[0]["text"] == ""


HOSTILE = {
    "deep_divs": b"<div>" * 1_000_000, "deep_closed": b"<div>" * 300_000 + b"x" + b"</div>" * 300_000,
    "huge_attribute": b'<p a="' + b"x" * 15_000_000 + b'">hello</p>', "nuls": b"\0" * 5_000_000,
    "open_comment": b"<!--" * 1_000_000, "less_than": b"<" * 1_000_000,
    "unclosed_script": b"<script>" + b"x" * 5_000_000,
    "deep_spans": b"<span>" * 500_000, "too_large": b"x" * (17 << 20), "no_charset_noise": bytes(range(256)) * 1000,
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(HOSTILE))
def test_a_hostile_page_costs_a_row(name: str) -> None:
    begin = time.process_time()  # of the processor: other programs do not count
    row, good = apply(make(), HOSTILE[name], BODY.encode())
    assert time.process_time() - begin < 60
    if name.startswith(("deep", "too_large")):
        assert row["error"].split(":")[0] == ("too_large" if name == "too_large" else "too_deep")
    assert good["error"] is None and "längerer Satz" in good["text"]


def test_an_exception_is_a_quarantined_row(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = make()

    def fail(html: str, **settings: Any) -> str:
        raise ValueError("boom")

    monkeypatch.setattr(stage._engine, "extract", fail)
    (row,) = apply(stage, b"<p>x")
    assert row["error"] == "extraction_failed: ValueError: boom" and row["drop_reason"] is None


def test_drawings_are_not_deep() -> None:
    drawing = b"<svg>" + b'<path d="M1 2"/>' * 5000 + b"</svg>"
    assert nesting_depth(drawing * 2, 2048) <= 2048
    assert nesting_depth(drawing + b"<div/>" * 3000, 2048) > 2048
    assert nesting_depth(b"<svg>" + b"<g>" * 3000, 2048) > 2048


def test_only_the_encodings_of_the_standard_are_charsets() -> None:
    assert len(LABELS) == 225 and all(codecs.lookup(codec_name(label) or "") for label in LABELS)
    healthy = "<p>" + "Grüße. " * 20
    for label in ("punycode", "idna", "unicode_escape", "raw_unicode_escape", "undefined", "utf-7", "hex", "rot13"):
        assert codec_name(label) is None
        assert decode_html(healthy.encode(), f"text/html; charset={label}").text == healthy
        (row,) = apply(make(), healthy.encode(), content_type=f"text/html; charset={label}")
        assert row["error"] is None and "Grüße" in row["text"]
    # Ways to write them that browsers do not know.
    assert [codec_name(label) for label in (" UTF8 ", "latin-1", "EUC_JP", "utf_8")] == [
        "utf-8",
        "cp1252",
        "euc_jp",
        "utf-8",
    ]
    assert codec_name("x" * 1_000_000) is None


def test_long_white_space_in_a_declaration_is_searched_once() -> None:
    space = " " * 400_000
    page = b"<meta charset=" + space.encode() + b">" + BODY.encode()
    assert decode_html(page, "text/html; charset =" + space + ";").text == page.decode()
    assert decode_html(b"<meta charset = ' windows-1252'>\xfc", "").charset == "cp1252"


def many(pattern: str, number: int) -> bytes:
    return "".join(pattern.format(i) for i in range(number)).encode()


COSTLY = {
    "attributes": b"<p " + many("a{} ", 300_000) + b">hello",
    "attributes with values": b"<p " + many("a{}='<p>'", 300_000) + b">hello",
    "attributes of many body tags": many("<body a{}></body>", 100_000),
    "options": b"<select>" + b"<option>x" * 300_000,
    "depth that closing tags hide": b"<div></x>" * 100_000,
    "many elements at a depth": b"<div>" * 2000 + b"<p>x</p>" * 200_000,
    "formatting": b"<div>" + many("<b a{}>", 1000) + b"</div>" + b"<p>x</p>" * 5000,
}


@pytest.mark.parametrize("name", sorted(COSTLY))
def test_a_page_that_costs_a_parser_minutes_is_quarantined(name: str) -> None:
    row, good = apply(make(), COSTLY[name], BODY.encode())
    assert row["error"] is not None and row["error"].startswith("too_complex: ") and row["text"] is None
    assert good["error"] is None and "längerer Satz" in good["text"]


def test_pages_with_much_of_everything_are_not_costly() -> None:
    table = many("<tr><td class='a{0}' id=b><b><a href='/{0}'>cell</a></b></td></tr>", 20_000)
    script = b"<script>" + b"if (a<b && c>d) e = '<p f g>'; " * 20_000 + b"</script>"
    lists = b"<select>" + b"<option value=1>x</option>" * 5_000 + b"</select>"
    assert excess_work(b"<table>" + table + b"</table>" + script + lists) == ""
    assert excess_work(b"<p " + many("a{} ", MAX_ATTRIBUTES) + b">" + b"x" * 300_000) == ""
