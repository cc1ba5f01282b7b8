"""Bad Parquet: columns of types that no text has, values that JSON lacks, and files that are torn or changed."""

import datetime
import decimal
import io
import random
import struct
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from corpus import Healthy, HostileFile, healthy_text


def files() -> list[HostileFile]:
    return [*_text_columns(), *_columns(), *_damaged(), *_no_parquet(), *_mutated()]


def written(table: pa.Table, **options: Any) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink, **options)
    return sink.getvalue()


def healthy_table(name: str, count: int, **columns: Any) -> tuple[pa.Table, tuple[Healthy, ...]]:
    """A table of healthy rows, with further columns beside them."""
    rows = [healthy_text(name, number) for number in range(count)]
    data = {"text": [row.text for row in rows], "url": [row.url for row in rows]}
    return pa.table(data | columns), tuple(rows)


def unchecked(values: list[bytes]) -> pa.Array:
    """A column of strings that nobody checked to be UTF-8."""
    given = pa.array(values, pa.binary())
    return pa.Array.from_buffers(pa.string(), len(values), given.buffers())


def _text_columns() -> list[HostileFile]:
    """Texts in columns of other types."""
    found = []
    kinds = {
        "binary": pa.binary(),
        "large-string": pa.large_string(),
        "dictionary": pa.dictionary(pa.int32(), pa.string()),
    }
    for what, kind in kinds.items():
        name = f"text-{what}.parquet"
        table, healthy = healthy_table(name, 3)
        table = table.set_column(0, "text", table["text"].combine_chunks().cast(kind))
        found.append(HostileFile(name=name, data=written(table), healthy=healthy))
    wrong = {
        "int": pa.array([1, 2]),
        "list": pa.array([["a"], ["b"]]),
        "null": pa.nulls(2),
        "struct": pa.array([{"a": "x"}, None]),
        "bytes": pa.array([b"\xff\xfe", b"\xed\xa0\x80"]),
        "utf8": unchecked([b"\xff", b"caf\xe9"]),
    }
    for what, column in wrong.items():
        table = pa.table({"text": column, "url": [f"https://bad.example/{what}/{n}" for n in range(2)]})
        found.append(HostileFile(name=f"text-{what}.parquet", data=written(table), quarantined=2))
    return found


def _columns() -> list[HostileFile]:
    """Columns beside healthy texts that JSON, or Arrow itself, has trouble with."""
    stamp = pa.array([0, 1, -(2**62)], pa.int64())
    deep = pa.array([{"a": 1}] * 3)
    for _ in range(30):
        deep = pa.StructArray.from_arrays([deep], ["a"])
    columns: dict[str, pa.Array] = {
        "nanoseconds": stamp.cast(pa.timestamp("ns")),
        "years": pa.array([2**62, -(2**62), 0]).cast(pa.timestamp("us")),
        "zoned": stamp.cast(pa.timestamp("us", "Europe/Berlin")),
        "nozone": stamp.cast(pa.timestamp("us", "Mars/Olympus")),
        "days": pa.array([2**30, -(2**30), 0], pa.int32()).cast(pa.date32()),
        "time": pa.array([0, 1, 2], pa.time64("ns")),
        "int-map": pa.array([[(1, "a"), (1, "b")], [], None], pa.map_(pa.int32(), pa.string())),
        "map-map": pa.array([[("a", [("b", 1)])]] * 3, pa.map_(pa.string(), pa.map_(pa.string(), pa.int64()))),
        "decimal": pa.array([decimal.Decimal("1e30")] * 3, pa.decimal256(60, 10)),
        "unsigned": pa.array([2**64 - 1] * 3, pa.uint64()),
        "floats": pa.array([float("nan"), float("inf"), 1e308]),
        "half": pa.array([1, 2, 3], pa.int16()).cast(pa.float16()),
        "bytes": pa.array([b"\xff", b"\0", None]),
        "duration": stamp.cast(pa.duration("ns")),
        "deep": deep,
        "id": pa.array(["../../x", "", "0" * 32]),
        "extra": pa.array(['{"text": "BAD"}', "no JSON", "{broken"]),
        "metadata": pa.array(["a", None, "b"]),
        "error": pa.array(["mine"] * 3),
        "drop_reason": pa.array(["mine"] * 3),
        "content": pa.array([b"mine"] * 3),
        "token_ids": pa.array([[1]] * 3),
        "date": pa.array([datetime.date(1, 1, 1)] * 3),
        "\x1b[31m\0": pa.array([1] * 3),
        "bad-strings": unchecked([b"\xff", b"ok", b"\xc0\xaf"]),
    }
    found = []
    for what, column in columns.items():
        name = f"column-{what if what.isprintable() else 'escape'}.parquet"
        table, healthy = healthy_table(name, 3, **{what: column})
        if what == "bad-strings":
            healthy = healthy[1:2]
        found.append(HostileFile(name=name, data=written(table), healthy=healthy))
    return found


def _damaged() -> list[HostileFile]:
    """A page of one row group is changed: the other groups arrive, every promised row is accounted for."""
    name = "damaged-page.parquet"
    table, healthy = healthy_table(name, 40)
    data = bytearray(written(table, row_group_size=10, compression="none", use_dictionary=False))
    group = pq.ParquetFile(io.BytesIO(bytes(data))).metadata.row_group(1).column(0)
    start = group.data_page_offset
    data[start : start + 12] = b"\xff" * 12
    torn, rows = healthy_table("cut.parquet", 40)
    whole = written(torn)
    return [
        HostileFile(name=name, data=bytes(data), healthy=healthy[:10] + healthy[20:], quarantined=10),
        HostileFile(name="cut.parquet", data=whole[: len(whole) // 2], quarantined=1),
        HostileFile(name="no-footer.parquet", data=whole[:-8], quarantined=1),
        HostileFile(
            name="long-footer.parquet", data=whole[:-8] + struct.pack("<I", 2**31 - 1) + b"PAR1", quarantined=1
        ),
        HostileFile(name="zero-footer.parquet", data=whole[:-8] + bytes(4) + b"PAR1", quarantined=1),
        HostileFile(name="trailing.parquet", data=whole + b"\n", quarantined=1),
        HostileFile(name="headless.parquet", data=bytes(4) + whole[4:], healthy=rows),
    ]


def _no_parquet() -> list[HostileFile]:
    twice = pa.Table.from_arrays([pa.array(["a"]), pa.array(["b"])], names=["text", "text"])
    return [
        HostileFile(name="only-magic.parquet", data=b"PAR1", quarantined=1),
        HostileFile(name="magics.parquet", data=b"PAR1" * 3, quarantined=1),
        HostileFile(name="encrypted.parquet", data=b"PARE" + bytes(40) + b"PARE", quarantined=1),
        HostileFile(name="html.parquet", data=b"<html>not found</html>", quarantined=1),
        HostileFile(name="noise.parquet", data=random.Random("p").randbytes(99_999), quarantined=1),
        HostileFile(name="no-text.parquet", data=written(pa.table({"body": ["x"]})), quarantined=1),
        HostileFile(name="no-columns.parquet", data=written(pa.table({})), quarantined=1),
        HostileFile(name="two-texts.parquet", data=written(twice), quarantined=1),
        HostileFile(
            name="no-rows.parquet",
            data=written(pa.table({"text": pa.array([], pa.string())})),
            noted=frozenset({"empty_files"}),
        ),
    ]


def _mutated() -> list[HostileFile]:
    """Bytes changed at random, in the data and in the footer: no row is promised, no file ends the run."""
    found = []
    for number in range(24):
        chance = random.Random(f"mutated parquet {number}")
        table, _ = healthy_table(f"mutated-{number}", 30, a=pa.array([[1, 2]] * 30), b=pa.array([{"c": "d"}] * 30))
        data = bytearray(written(table, row_group_size=10, compression=("none", "zstd", "snappy")[number % 3]))
        footer = struct.unpack("<I", data[-8:-4])[0]
        for _ in range(chance.choice((1, 2, 8))):
            low = len(data) - 8 - footer if number % 2 else 4
            data[chance.randrange(low, len(data) - 8)] = chance.randrange(256)
        found.append(HostileFile(name=f"mutated-{number}.parquet", data=bytes(data)))
    return found
