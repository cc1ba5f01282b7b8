"""JSONL: DCLM's records go through unharmed, and a bad line costs that line."""

import bz2
import gzip
import io
import json
import lzma
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pytest
import zstandard

from tamis.base import exact_json
from tamis.base.errors import FormatError
from tamis.base.recipe import Recipe
from tamis.stages.pool.stage import build
from tamis.store.jsonl import JsonDocument, count_documents, read_documents, write_jsonl

RECORDS = [
    {
        "text": "Grüße\n\n\u2028 𝄞 \u0000 end",
        "url": "https://e.org/a",
        "metadata": {"WARC-Record-ID": "<urn:uuid:1>", "WARC-Target-URI": "https://e.org/a", "Content-Length": "5"},
        "warcinfo": "isPartOf: CC-MAIN-2022-49\r\n",
        "language_id_whole_page_fasttext": {"en": 0.9812345678901234},
        "previous_word_count": 120,
        "fasttext_openhermes_reddit_eli5_vs_rw_v2_bigram_200k_train_prob": 0.018112,
        "nested": [{"a": None}, [1, 2.5, True]],
    },
    {"text": "no headers", "url": "https://e.org/b"},
    {"text": "odd metadata", "url": "https://e.org/c", "metadata": {"depth": 3}, "warcinfo": None},
    {"text": "", "url": "https://e.org/d", "id": "not ours", "metadata": {}},
]


def read(data: bytes, notes: Counter[str] | None = None) -> list[JsonDocument]:
    return list(read_documents(lambda: io.BytesIO(data), Counter() if notes is None else notes))


def lines(records: list[dict]) -> bytes:  # type: ignore[type-arg]
    return "".join(json.dumps(r) + "\n" for r in records).encode()


@pytest.mark.parametrize(("limit", "number"), [(1, 1), (2, 2), (4, 4), (5, 4)])
def test_records_are_counted_up_to_a_limit(limit: int, number: int) -> None:
    data = b"\n" + lines(RECORDS) + b"  \n"
    assert count_documents(lambda: io.BytesIO(data), limit) == number


@pytest.mark.parametrize("suffix", ["", ".gz", ".zst", ".zstd"])
def test_round_trip_is_exact(tmp_path: Path, suffix: str) -> None:
    source, target = tmp_path / "in.jsonl", tmp_path / f"out.jsonl{suffix}"
    source.write_bytes(lines(RECORDS))
    pool = build({"inputs": [str(source)]}, Recipe(name="x", stages=[]))
    (shard,) = pool.shards()
    assert write_jsonl(target, pool.read(shard)) == len(RECORDS)
    unpack = {".gz": gzip.decompress, "": bytes}.get(
        suffix, lambda d: zstandard.ZstdDecompressor().decompressobj().decompress(d)
    )
    data = unpack(target.read_bytes())
    assert [json.loads(line) for line in data.splitlines()] == RECORDS
    assert data.endswith(b"\n")
    again = build({"inputs": [str(target)]}, Recipe(name="x", stages=[]))
    assert [b.to_pydict() for b in again.read(again.shards()[0])] == [b.to_pydict() for b in pool.read(shard)]


def test_bad_lines_are_rows_that_name_their_line() -> None:
    data = b'{"text": "a"}\n\n{"text": \n[1]\n{"url": "u"}\n{"text": 5}\n\xff\n{"text": "z"}'
    documents = read(data)
    assert [(d.error or "ok").split(":")[0] for d in documents] == [
        "ok", "bad_json", "bad_json", "no_text_field", "no_text_field", "bad_json", "ok",
    ]  # fmt: skip
    assert [d.error.split("line ")[1][0] for d in documents if d.error] == ["3", "4", "5", "6", "7"]


def test_lone_surrogates_and_nan_are_read() -> None:
    notes: Counter[str] = Counter()
    a, b = read(b'{"text": "x\\ud800y", "k\\udfff": ["\\udc00"]}\n{"text": "\\ud834\\udd1e", "p": NaN}', notes)
    assert a.text == "x\ufffdy" and a.extra == '{"k\ufffd":["\ufffd"]}'
    assert b.text == "𝄞" and b.extra == '{"p":null}'
    assert notes == {"lone_surrogates": 1, "not_finite_numbers": 1}


def test_depth_bomb_is_one_bad_line() -> None:
    (bomb,) = read(b'{"text": ' + b"[" * 200_000)
    assert bomb.error is not None and bomb.error.startswith("bad_json")


@pytest.mark.parametrize("open_, close", [(b"[", b"]"), (b'{"k":', b"}")])
def test_the_limit_of_nesting_is_the_same_for_every_reader(tmp_path: Path, open_: bytes, close: bytes) -> None:
    """`orjson` reads 1,024 levels and writes 254; Python's parser gives up at a depth that depends on its caller."""

    def record(levels: int, beside: bytes) -> bytes:
        return b'{"text":"a",%s"x":%s0%s}' % (beside, open_ * (levels - 1), close * (levels - 1))

    for beside in (b"", b'"n":NaN,', b'"n":123456789012345678901234567890,'):
        for levels, error in (
            (254, None),
            (255, "deep"),
            (300, "deep"),
            (1000, "deep"),
            (1100, "deep"),
            (99_999, "deep"),
        ):
            (document,) = read(record(levels, beside))
            expected = "bad_json: line 1: nested deeper than 254 levels" if error else None
            assert document.error == expected
            assert (document.extra is None) == (error is not None)
    deepest = written(tmp_path, record(254, b""))
    assert deepest == [json.loads(record(254, b""))]


def written(folder: Path, data: bytes) -> list[object]:
    """The records of JSON lines that were read and written."""
    (folder / "in.jsonl").write_bytes(data)
    pool = build({"inputs": [str(folder / "in.jsonl")]}, Recipe(name="x", stages=[]))
    write_jsonl(folder / "out.jsonl", pool.read(pool.shards()[0]))
    return [json.loads(line) for line in (folder / "out.jsonl").read_bytes().splitlines()]


@pytest.mark.parametrize("number", [2**63, 2**64 - 1, 2**64, -(2**63), -(2**63) - 1, 10**30, -(10**30), 10**4299])
def test_integers_of_any_size_stay_what_they_are(tmp_path: Path, number: int) -> None:
    records = [
        {"text": "a", "n": number},
        {"text": "b", "n": [{"k": [number, 1.5, 1e300]}], "m": number + 1},
        {"text": "c", "url": number, "metadata": {"k": number}, "warcinfo": number, "id": number},
    ]
    assert written(tmp_path, lines(records)) == records
    documents = read(lines(records))
    assert [json.loads(document.extra or "")["n"] for document in documents[:1]] == [number]
    # As Python writes them, among what is no JSON.
    (document,) = read(b'{"text":"a","n":%d,"p":NaN,"s":"\\ud800"}' % number)
    assert json.loads(document.extra or "") == {"n": number, "p": None, "s": "\ufffd"}
    # In a string, digits are text.
    same = [{"text": str(number), "n": f"x:{number},1e300]"}]
    assert written(tmp_path, lines(same)) == same


def test_an_integer_that_python_would_not_read_is_one_bad_line() -> None:
    digits = b"1" * 5000
    long, nan, fine = read(b'{"text":"a","n":1%s}\n{"text":"a","p":NaN,"n":1%s}\n{"text":"b"}' % (digits, digits))
    assert fine.error is None
    # Beyond what a float can hold, or beside what is no JSON: both ways of reading give the same error.
    for number, document in enumerate((long, nan), start=1):
        assert document.error == f"bad_json: line {number}: an integer of 5001 characters; more than 4300 are not read"


@pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"-Infinity", b"1e999", b"-1e999", b"1" + b"0" * 400 + b".0"])
def test_numbers_that_no_float_can_hold_become_null_and_are_counted(number: bytes) -> None:
    notes: Counter[str] = Counter()
    (document,) = read(b'{"text":"a","x":[%s,%s],"n":12345678901234567890123}' % (number, number), notes)
    assert json.loads(document.extra or "") == {"x": [None, None], "n": 12345678901234567890123}
    assert notes == {"not_finite_numbers": 1}


def test_line_ends_and_byte_order_marks() -> None:
    data = b'\xef\xbb\xbf{"text":"a"}\r\n\r\n \n{"text":"b"}\n\xef\xbb\xbf{"text":"c"}\n\n{"text":"d"}'
    assert [document.text for document in read(data)] == ["a", "b", "c", "d"]


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-be"])
def test_lines_of_another_encoding_are_never_guessed(encoding: str) -> None:
    documents = read('{"text":"one"}\n{"text":"two"}\n{"text":"three"}'.encode(encoding))
    assert documents and all((document.error or "").startswith("bad_json") for document in documents)


@pytest.mark.parametrize(
    ("data", "name"),
    [
        ('\ufeff{"text":"a"}\n'.encode("utf-16-le"), "UTF-16"),
        (bz2.compress(b'{"text":"a"}\n'), "bzip2"),
        (lzma.compress(b'{"text":"a"}\n'), "xz"),
        (gzip.compress(b"WARC/1.0\r\n", mtime=0), "WARC"),
    ],
    ids=["UTF-16", "bzip2", "xz", "WARC"],
)
def test_a_file_of_another_format_is_refused_whole(data: bytes, name: str) -> None:
    with pytest.raises(FormatError, match=name):
        read(data)


def test_a_large_line_of_many_values_is_quarantined(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exact_json, "LARGE_BYTES", 1000)
    monkeypatch.setattr(exact_json, "MAX_LARGE_VALUES", 300)
    many, commas, small = read(lines([{"text": "a", "x": [[]] * 400}, {"text": 'a, \\"' * 400}, {"text": "a"}]))
    assert (many.error or "").startswith("too_large: line 1: ") and "300 at most" in (many.error or "")
    assert commas.error is None and small.error is None


def test_an_id_of_the_input_is_not_replaced_when_the_text_changes(tmp_path: Path) -> None:
    batch = pa.table({"id": ["0" * 32], "url": ["u"], "text": ["changed"], "extra": ['{"id":7}']}).to_batches()[0]
    write_jsonl(tmp_path / "x.jsonl", [batch])
    assert json.loads((tmp_path / "x.jsonl").read_bytes())["id"] == 7


def test_signals_are_written_and_ids_survive_a_change_of_text(tmp_path: Path) -> None:
    batch = pa.table(
        {
            "id": ["0" * 32], "url": ["u"], "text": ["changed"], "extra": ['{"a":1}'],
            "words": pa.array([7], pa.int32()), "ppl": pa.array([float("nan")]), "lang": ["en"],
            "drop_reason": pa.array([None], pa.string()),
        }
    ).to_batches()[0]  # fmt: skip
    path = tmp_path / "x.jsonl"
    write_jsonl(path, [batch])
    assert json.loads(path.read_bytes()) == {
        "text": "changed", "url": "u", "a": 1, "words": 7, "lang": "en", "id": "0" * 32,
    }  # fmt: skip
    assert read(path.read_bytes())[0].id == "0" * 32
