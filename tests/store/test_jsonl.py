"""JSONL: DCLM's records go through unharmed, and a bad line costs that line."""

import gzip
import io
import json
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pytest
import zstandard

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
    assert a.text == "x\ufffdy" and a.extra == {"k\ufffd": ["\ufffd"]}
    assert b.text == "𝄞" and b.extra["p"] != b.extra["p"]
    assert notes == {"lone_surrogates": 1}


def test_depth_bomb_is_one_bad_line() -> None:
    (bomb,) = read(b'{"text": ' + b"[" * 200_000)
    assert bomb.error is not None and bomb.error.startswith("bad_json")


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
