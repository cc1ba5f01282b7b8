"""Mutated JSON lines and Parquet files: every row is read as an independent reader reads it, or quarantined."""

import io
import json
import math
import random
import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from cases import num_cases

from tamis.base.columns import POOL_SCHEMA
from tamis.base.recipe import Recipe
from tamis.stages.pool import stage
from tamis.stages.pool.stage import Pool, PoolShard, build
from tamis.store.jsonl import write_jsonl

Read = Callable[[str, bytes], list[dict[str, Any]]]
KINDS = {"bad_json", "no_text_field", "too_large", "unreadable_file", "damaged_row", "not_utf8", "bad_value"}
SURROGATE = re.compile("[\ud800-\udfff]")


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> Read:
    """Reads files that are in memory alone: thousands of them on a disk would take most of the time."""
    files: dict[str, bytes] = {}
    monkeypatch.setattr(stage, "open_input", lambda uri: io.BytesIO(files[uri]))
    pool = build({"inputs": ["unused"]}, Recipe(name="fuzz", stages=[]))

    def read_file(name: str, data: bytes) -> list[dict[str, Any]]:
        files[name] = data
        return checked_rows(pool, PoolShard(name=name, uri=name, size_bytes=len(data), fingerprint=""))

    return read_file


def checked_rows(pool: Pool, shard: PoolShard) -> list[dict[str, Any]]:
    """The rows of a file, all of them with either a text or a declared error."""
    rows: list[dict[str, Any]] = []
    for batch in pool.read(shard):
        assert batch.schema == POOL_SCHEMA
        rows += batch.to_pylist()
    for row in rows:
        assert (row["text"] is None) == (row["error"] is not None), row
        assert row["error"] is None or row["error"].split(":")[0] in KINDS, row
        assert row["extra"] is None or isinstance(json.loads(row["extra"]), dict)
    return rows


def mutate(noise: random.Random, data: bytes, tokens: tuple[bytes, ...]) -> bytes:
    """`data` with one to four changes: bytes flipped, deleted, doubled or cut off, or tokens put in."""
    changed = bytearray(data)
    for _ in range(noise.randint(1, 4)):
        at = noise.randrange(len(changed) + 1)
        length = min(len(changed) - at, 1 << noise.randrange(8))
        match noise.randrange(6):
            case 0 if at < len(changed):
                changed[at] ^= 1 << noise.randrange(8)
            case 1 if at < len(changed):
                changed[at] = noise.choice((0, 1, 0x7F, 0x80, 0xFF))
            case 2:
                del changed[at : at + length]
            case 3:
                changed[at:at] = changed[at : at + length]
            case 4 if noise.random() < 0.2:
                del changed[at:]
            case _:
                changed[at:at] = noise.choice(tokens)
    return bytes(changed)


# JSON lines.

TOKENS = (
    b"\n", b"\r\n", b"\n\n", b"\xef\xbb\xbf", b"\xff\xfe", b"\0", b"\xed\xa0\x80", b"\\ud800", b"\\udfff", b"\\u0000",
    b"\\ud834\\udd1e", b'"', b"\\", b"{", b"}", b"[", b"]", b",", b":", b"[" * 300, b'{"a":' * 300, b"[[]]", b"NaN",
    b"-Infinity", b"1e999", b"-1E-999", b"1" * 30, b"-9223372036854775809", b"18446744073709551616", b"1" * 5000,
    b"1.0e19",
    b'"text"', b'"id":', b'"url":', b'"metadata":{}', b'"text":"again",', b'"extra":{"text":"no"},', b"null", b"true",
    b" ", b"\t", b"\x0b", b"\x1f\x8b\x08", b"\x28\xb5\x2f\xfd",
)  # fmt: skip
RECORDS = (
    {"text": "Grüße \u2028 𝄞 \"quoted\"\n", "url": "https://e.org/a b", "metadata": {"WARC-Record-ID": "<urn:1>"}},
    {"text": "", "n": [1, 2.5, -7, None, True, {"a": {"b": []}}], "id": "0123456789abcdef" * 2},
    {"text": "x" * 60, "n": 10**40, "m": -(2**63) - 1, "o": 2**64, "p": [2**64 - 1, 1e300], "warcinfo": "w"},
    {"text": "numbers", "p": float("nan"), "q": [float("inf")], "long": 3**80, "metadata": {"depth": 3}},
    {"question": {"text": "no text"}, "url": 5},
    {"text": None, "extra": '{"text": "no"}'},
)  # fmt: skip


def oracle(line: bytes) -> dict[str, Any] | None:
    """The record on a line as Python's parser reads it, with what is repaired; None where there is none."""

    def number(digits: str) -> float | None:
        value = float(digits)
        return value if math.isfinite(value) else None

    try:
        found = json.loads(line.decode("utf-8-sig"), parse_constant=number, parse_float=number)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict):
        return None
    return json.loads(SURROGATE.sub("\ufffd", json.dumps(found, ensure_ascii=False)))


def check_line(row: dict[str, Any], line: bytes) -> None:
    expected = oracle(line)
    if row["error"] is not None:
        readable = expected is not None and isinstance(expected.get("text"), str)
        assert not readable or "nested deeper" in row["error"], (row, line)
        return
    assert expected is not None, (row, line)
    found = json.loads(row["extra"] or "{}") | {"text": row["text"]}
    for name in ("url", "warcinfo", "metadata", "id"):
        value = json.loads(row[name]) if name == "metadata" and row[name] is not None else row[name]
        if name in expected and name not in found:
            found[name] = value
    assert found == expected, line


def test_json_lines(read: Read) -> None:
    noise = random.Random(11)
    lines = [json.dumps(record, ensure_ascii=number % 2 == 0).encode() for number, record in enumerate(RECORDS)]
    for _ in range(num_cases()):
        chosen = noise.choices(lines, k=noise.randint(1, 4))
        data = mutate(noise, b"\n".join(chosen) + noise.choice((b"", b"\n", b"\r\n")), TOKENS)
        given = [line for line in data.split(b"\n") if line.strip()]
        rows = read("x.jsonl", data)
        if data.startswith((b"\x1f\x8b\x08", b"\x28\xb5\x2f\xfd")):
            continue  # nothing can be decoded, so that no one can count
        if len(rows) == 1 and rows[0]["error"] and rows[0]["error"].startswith("unreadable_file"):
            assert data.startswith(b"\xff\xfe"), data
            continue
        assert len(rows) == len(given), data
        for row, line in zip(rows, given, strict=True):
            check_line(row, line)


NUMBERS = (
    "0", "-0", "-0.0", "1.0", "1e18", "1e19", "1E400", "-9223372036854775808", "-9223372036854775809", "NaN",
    "Infinity", "18446744073709551615", "18446744073709551616", "123456789012345678901234567890",
    "1.7976931348623157e308",
    "5e-324", "0.1000000000000000055511151231257827", "9007199254740993", "1e16",
)  # fmt: skip
STRINGS = (
    '""', '"a"', '"\\u0000"', '"\\ud834\\udd1e"', '"\\ud800"', '"é "', '"1e19,"', '":-1.5e300]"', '"\\\\\\""', '"null"',
)  # fmt: skip
NAMES = ("text", "url", "id", "metadata", "warcinfo", "extra", "content", "error", "drop_reason", "n", "", "a.b", "é")


def random_value(noise: random.Random, depth: int) -> str:
    """JSON text, with what Python writes and JSON lacks."""
    match noise.randrange(6 if depth < 5 else 4):
        case 0 | 1:
            return noise.choice(NUMBERS)
        case 2:
            return noise.choice(STRINGS)
        case 3:
            return noise.choice(("null", "true", "false"))
        case 4:
            return f"[{', '.join(random_value(noise, depth + 1) for _ in range(noise.randrange(4)))}]"
        case _:
            return random_object(noise, depth + 1, ())


def random_object(noise: random.Random, depth: int, first: tuple[str, ...]) -> str:
    names = dict.fromkeys((*first, *noise.sample(NAMES, noise.randrange(4))))
    values = [random_value(noise, depth) if name not in first else noise.choice(STRINGS) for name in names]
    between = noise.choice((",", ", ", " ,\t"))
    return "{" + between.join(f"{json.dumps(name)}:{value}" for name, value in zip(names, values, strict=True)) + "}"


def test_what_is_read_of_json_lines_is_written_equal(tmp_path: Path) -> None:
    noise = random.Random(12)
    data = b"".join(random_object(noise, 0, ("text",)).encode() + b"\n" for _ in range(num_cases()))
    (tmp_path / "in.jsonl").write_bytes(data)
    pool = build({"inputs": [str(tmp_path / "in.jsonl")]}, Recipe(name="fuzz", stages=[]))
    assert write_jsonl(tmp_path / "out.jsonl", pool.read(pool.shards()[0])) == num_cases()
    written = (tmp_path / "out.jsonl").read_bytes().splitlines()
    for line, given in zip(written, data.splitlines(), strict=True):
        found, expected = json.loads(line), oracle(given)
        assert expected is not None
        # An empty URL is not written, and one that stands in the metadata alone is written as `url` too.
        assert {**expected, "url": url_of(expected)} == {**found, "url": found.get("url") or ""}, given


def url_of(record: dict[str, Any]) -> Any:
    if record.get("url"):
        return record["url"]
    metadata = record.get("metadata")
    headers = metadata if isinstance(metadata, dict) else {}
    urls = [headers.get(name) for name in ("WARC-Target-URI", "url")]
    return next((url for url in urls if isinstance(url, str) and url), "")


# Parquet.


@cache
def parquet_files() -> tuple[bytes, ...]:
    """Small files of every layout that writers use."""
    rows = 40
    table = pa.table({
        "text": [f"text {i} " + "ü" * (i % 7) for i in range(rows)],
        "url": [f"http://e.org/{i % 3}" for i in range(rows)],
        "metadata": pa.array([[("k", str(i))] for i in range(rows)], pa.map_(pa.string(), pa.string())),
        "n": pa.array([None if i % 5 == 0 else i for i in range(rows)], pa.int64()),
        "list": pa.array([[1.5] * (i % 3) for i in range(rows)], pa.list_(pa.float64())),
        "when": pa.array([i * 10**15 for i in range(rows)], pa.timestamp("ns", "UTC")),
        "raw": pa.array([bytes([i, 255]) for i in range(rows)], pa.binary()),
        "price": pa.array(list(range(rows)), pa.int32()).cast(pa.decimal128(12, 2)),
    })  # fmt: skip
    ours = pa.table({
        "id": [f"{i:032x}" for i in range(rows)], "url": ["u"] * rows, "text": ["t"] * rows,
        "metadata": [None, '{"k":"v"}'] * (rows // 2), "warcinfo": pa.nulls(rows, pa.string()),
        "extra": [json.dumps({"n": 10**30 + i, "deep": [[i]]}) for i in range(rows)],
    })  # fmt: skip
    layouts: list[tuple[pa.Table, dict[str, Any]]] = [
        (table, {"compression": "zstd", "row_group_size": 15}),
        (table, {"compression": "none", "use_dictionary": False, "write_page_checksum": True}),
        (table, {"compression": "snappy", "data_page_version": "2.0", "data_page_size": 64}),
        (table.select(["text", "n"]), {"compression": "gzip", "store_schema": False, "row_group_size": 7}),
        (ours, {"compression": "zstd", "store_schema": False}),
    ]
    files = []
    for content, options in layouts:
        target = io.BytesIO()
        pq.write_table(content, target, **options)
        files.append(target.getvalue())
    return tuple(files)


def mutated_parquet(noise: random.Random) -> Iterator[bytes]:
    tokens = (b"\0" * 8, b"\xff" * 8, b"PAR1", b"\x80" * 12 + b"\x01", b"\x15\x00", b"\xfe\xff\xff\xff\x0f", b"text")
    for _ in range(num_cases()):
        data = noise.choice(parquet_files())
        footer = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
        match noise.randrange(4):
            case 0:  # the pages, with the file as long as it was, so that the footer finds them
                changed = bytearray(data)
                for _ in range(noise.randint(1, 8)):
                    changed[noise.randrange(4, footer)] = noise.randrange(256)
                yield bytes(changed)
            case 1:  # the footer, its length in order
                description = mutate(noise, data[footer:-8], tokens)
                yield data[:footer] + description + len(description).to_bytes(4, "little") + b"PAR1"
            case 2:
                yield data[: noise.randrange(len(data))]
            case _:
                yield mutate(noise, data, tokens)


def promised_rows(data: bytes) -> int | None:
    """The number of rows that the footer promises; None where Arrow reads none, or there is no text in it."""
    try:
        with pq.ParquetFile(io.BytesIO(data)) as file:
            names = file.schema_arrow.names
            if "text" not in names or len(set(names)) < len(names):
                return None
            return sum(max(0, file.metadata.row_group(group).num_rows) for group in range(file.num_row_groups))
    except (pa.ArrowException, OSError, UnicodeDecodeError):
        return None


def test_parquet(read: Read) -> None:
    noise = random.Random(13)
    counted = 0
    for data in mutated_parquet(noise):
        rows = read("x.parquet", data)
        promised = promised_rows(data)
        if promised is None:
            assert len(rows) == 1 and rows[0]["error"].startswith("unreadable_file: x.parquet")
        elif promised < 1 << 20:
            assert len(rows) == promised
            counted += 1
    assert counted > num_cases() / 10
