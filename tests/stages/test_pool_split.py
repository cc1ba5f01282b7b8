"""Large files in parts: the same rows in the same order as the whole file, wherever and however it is divided."""

import gzip
import json
import random
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lz4.frame
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from tamis import commands, flow
from tamis.base.recipe import Recipe
from tamis.stages.pool.shards import PoolShard
from tamis.stages.pool.stage import Pool, build
from tamis.store import parts
from tamis.store.location import Location
from tamis.store.shards import read_shard
from tamis.store.warc_write import response_record, warcinfo_record
from tamis.store.workspace import open_workspace

DATE = "2026-01-01T00:00:00Z"


def pool(place: Path | str, split_bytes: int, **settings: Any) -> Pool:
    made = build({"inputs": [str(place)], **settings}, Recipe.parse({"name": "x", "stages": []}, ""))
    made.settings = made.settings.model_copy(update={"split_bytes": split_bytes})  # smaller than a recipe may say
    return made


def rows(made: Pool) -> list[dict[str, Any]]:
    """All rows; numbers of records and lines, which count within a part, are left out of the errors."""
    found: list[dict[str, Any]] = []
    for shard in made.shards():
        for batch in made.read(shard):
            found += batch.to_pylist()
    for row in found:
        if row["error"] is not None:
            row["error"] = re.sub(r"record \d+|line \d+| \(in .*, part .*\)", "", row["error"])
    return found


def compared(place: Path | str, split_bytes: int, **settings: Any) -> tuple[int, list[dict[str, Any]]]:
    """Number of parts, and the rows, which are the same for the whole file."""
    divided = pool(place, split_bytes, **settings)
    found = rows(divided)
    whole = rows(pool(place, 1 << 60, **settings))
    assert [row["id"] for row in found] == [row["id"] for row in whole]
    assert found == whole
    return len(divided.shards()), found


def pages(seed: int, count: int, size: int = 30_000) -> bytes:
    """Records of which zlib can make nothing smaller, so that they look like any other compressed bytes."""
    source = random.Random(seed)
    return b"".join(
        response_record(f"http://{seed}.org/{number}", source.randbytes(size), "text/html", DATE)
        for number in range(count)
    )


def test_a_warc_file_is_divided_between_members(tmp_path: Path) -> None:
    place = tmp_path / "a.warc.gz"
    place.write_bytes(warcinfo_record("a", {"software": "one"}, DATE) + pages(1, 60) + pages(2, 60))
    count, found = compared(place, 300_000)
    assert count > 5 and len(found) == 120
    assert all(row["warcinfo"] == "software: one" for row in found)
    names = [shard.name for shard in pool(place, 300_000).shards()]
    assert names[1] == f"a.warc.gz, part 2 of {count}" and len(set(names)) == count
    assert sum(shard.size_bytes for shard in pool(place, 300_000).shards()) == place.stat().st_size


def test_every_part_has_the_warcinfo_record_in_force(tmp_path: Path) -> None:
    """In the middle of a part, and where no record names it."""
    place = tmp_path / "a.warc.gz"
    pieces = [warcinfo_record(str(n), {"software": str(n)}, DATE) + pages(n, 35) for n in range(4)]
    place.write_bytes(pages(9, 20) + b"".join(pieces))
    count, found = compared(place, 400_000)
    assert count > 5
    assert Counter(row["warcinfo"] for row in found) == {None: 20} | {f"software: {n}": 35 for n in range(4)}


def test_records_that_name_their_warcinfo_are_believed(tmp_path: Path) -> None:
    place = tmp_path / "a.warc.gz"
    first = warcinfo_record("a", {"software": "one"}, DATE)
    own = re.search(rb"WARC-Record-ID: (\S+)", gzip.decompress(first))
    assert own is not None
    line = b"WARC/1.1\r\nWARC-Warcinfo-ID: " + own[1] + b"\r\n"
    members = [pages(n, 1) for n in range(60)]
    place.write_bytes(
        first + b"".join(gzip.compress(gzip.decompress(m).replace(b"WARC/1.1\r\n", line, 1)) for m in members)
    )
    shards = [shard for shard in pool(place, 300_000).shards() if isinstance(shard, PoolShard)]
    assert len(shards) > 3 and all(shard.part is not None and shard.part.warcinfo in (-1, 0) for shard in shards)
    assert {row["warcinfo"] for row in compared(place, 300_000)[1]} == {"software: one"}


def test_an_archive_in_a_payload_is_not_taken_for_the_file(tmp_path: Path) -> None:
    """A member that stores its content as it is holds whole members of the archive in its payload."""
    place = tmp_path / "a.warc.gz"
    small = b"".join(pages(n, 1, 900) for n in range(2000))
    holder = response_record("http://a.org/inner.warc.gz", small, "application/warc", DATE)
    inner = gzip.compress(gzip.decompress(holder), 0)
    assert any(pages(n, 1, 900) in inner for n in range(2000))
    place.write_bytes(
        warcinfo_record("a", {"software": "one"}, DATE) + inner + pages(7001, 40) + inner + pages(7002, 40)
    )
    count, found = compared(place, 200_000)
    assert count > 3 and len(found) == 82


def torn(data: bytes, source: random.Random) -> bytes:
    """Damage of a random kind at a random place."""
    at, kind = source.randrange(len(data)), source.randrange(4)
    if kind == 0:
        return data[:at] + source.randbytes(200) + data[at + 200 :]
    if kind == 1:
        return data[:at] + data[at + source.randrange(1, 50_000) :]
    if kind == 2:
        return data[:at] + b"\x1f\x8b\x08" + data[at:]
    return data[:at] + bytes(5000) + data[at:]


@pytest.mark.parametrize("seed", range(6))
def test_damage_anywhere_loses_and_doubles_nothing(tmp_path: Path, seed: int) -> None:
    source = random.Random(seed)
    data = warcinfo_record("a", {"software": "one"}, DATE) + pages(seed, 150, 20_000)
    for _ in range(3):
        data = torn(data, source)
    place = tmp_path / "a.warc.gz"
    place.write_bytes(data)
    count, found = compared(place, 250_000)
    assert count > 2 and len(found) > 100


def test_odd_files_of_others_give_the_same_in_parts(tmp_path: Path, shared_data: Path) -> None:
    """Every file with members, between pages enough that the file can be divided before and behind it."""
    files = sorted((shared_data / "data/robust").glob("*.gz"))
    files = [file for file in files if file.stat().st_size < 600_000]
    place = tmp_path / "all.warc.gz"
    pieces = [file.read_bytes() + pages(number, 30, 20_000) for number, file in enumerate(files)]
    place.write_bytes(pages(999, 5) + b"".join(pieces))
    count, found = compared(place, 200_000)
    assert count > len(files) // 2 and len(found) > 30 * len(files)


def plain_warcs(folder: Path) -> Iterator[Path]:
    whole = gzip.decompress(warcinfo_record("a", {"software": "one"}, DATE) + pages(1, 40, 3000))
    holder = gzip.decompress(response_record("http://b.org/x.warc", whole, "application/warc", DATE))
    for name, data in {
        "good": whole, "ends early": whole[:-5000],
        "wrong length": whole.replace(b"Content-Length: 3", b"Content-Length: 1", 3),
        "holds a file": holder + whole,
    }.items():  # fmt: skip
        place = folder / f"{name}.warc"
        place.write_bytes(data)
        yield place


def test_a_plain_warc_file_is_divided_between_records(tmp_path: Path) -> None:
    counts = {place.stem: compared(place, 10_000)[0] for place in plain_warcs(tmp_path)}
    assert counts["good"] > 10 and counts["holds a file"] > 5


@pytest.mark.parametrize("kind", ["zst", "lz4"])
def test_frames_of_other_formats_are_members_too(tmp_path: Path, kind: str) -> None:
    pack = zstandard.ZstdCompressor(write_checksum=True).compress if kind == "zst" else lz4.frame.compress
    count = 60 if kind == "zst" else 300  # a block of LZ4 has up to 4 MiB
    records = [warcinfo_record("a", {"software": "one"}, DATE), *(pages(n, 1) for n in range(count))]
    place = tmp_path / f"a.warc.{kind}"
    place.write_bytes(b"".join(pack(gzip.decompress(record)) for record in records))
    number, found = compared(place, 500_000 if kind == "zst" else 2_000_000)
    assert number > 2 and len(found) == count


def test_odd_plain_files_of_others_give_the_same_in_parts(shared_data: Path) -> None:
    for place in sorted((shared_data / "data/robust").glob("*.warc")):
        compared(place, 3_000)


RECORDS = [{"text": f"page {n} " + "é" * (n % 50), "url": f"http://a.org/{n}", "n": n} for n in range(400)]


def jsonl(records: list[dict[str, Any]]) -> bytes:
    return b"".join(json.dumps(record).encode() + b"\n" for record in records)


@pytest.mark.parametrize("split_bytes", [7, 64, 101, 1000, 20_000])
def test_plain_lines_are_divided_anywhere(tmp_path: Path, split_bytes: int) -> None:
    place = tmp_path / "a.jsonl"
    data = b"\xef\xbb\xbf" + jsonl(RECORDS[:40]) + b"\n\r\nno json\n" + b"x" * 500 + b"\n" + jsonl(RECORDS[40:60])
    for content in (data, data[:-1], data + b"\n\n"):
        place.write_bytes(content)
        count, found = compared(place, split_bytes)
        assert count == -(-len(content) // split_bytes) and len(found) == 62


@pytest.mark.parametrize("kind", ["gz", "zst"])
def test_members_that_end_inside_lines_are_divided(tmp_path: Path, kind: str) -> None:
    source = random.Random(3)
    data = jsonl([{"text": source.randbytes(600).hex(), "n": n} for n in range(4000)])
    pack = gzip.compress if kind == "gz" else zstandard.ZstdCompressor(write_checksum=True).compress
    pieces = [data[at : at + 10_007] for at in range(0, len(data), 10_007)]
    place = tmp_path / f"a.jsonl.{kind}"
    place.write_bytes(b"".join(pack(piece) for piece in pieces))
    count, found = compared(place, 400_000)
    assert count > 3 and len(found) == 4000 and not any(row["error"] for row in found)
    packed = bytearray(place.read_bytes())
    packed[len(packed) // 2 : len(packed) // 2 + 300] = bytes(300)
    place.write_bytes(packed)
    count, found = compared(place, 400_000)
    assert count > 2 and 3900 < len(found) < 4000


def test_a_file_in_one_piece_is_read_whole_and_told_so(tmp_path: Path) -> None:
    source = random.Random(3)
    lines = jsonl([{"text": source.randbytes(600).hex()} for _ in range(400)])
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(lines))
    (tmp_path / "b.warc.gz").write_bytes(gzip.compress(gzip.decompress(pages(1, 20))))
    pq.write_table(pa.table({"text": [source.randbytes(600).hex() for _ in range(400)]}), tmp_path / "c.parquet")
    made = pool(tmp_path, 50_000)
    assert [shard.name for shard in made.shards()] == ["a.jsonl.gz", "b.warc.gz", "c.parquet"]
    told = "\n".join(made.remarks())
    for name, why in {
        "a.jsonl.gz": "it was compressed in one piece", "c.parquet": "it has a single large row group",
        "b.warc.gz": "it is no WARC file with records that are compressed one by one",
    }.items():  # fmt: skip
        assert f"{name}: read by one worker, because {why}" in told
    assert len(rows(made)) == 820


def test_parquet_is_divided_between_row_groups(tmp_path: Path) -> None:
    source = random.Random(3)
    texts = [source.randbytes(600).hex() if n % 50 else None for n in range(2000)]
    place = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": texts, "n": range(2000)}), place, row_group_size=100, write_page_checksum=True)
    count, found = compared(place, 200_000)
    assert 3 < count < 20 and len(found) == 2000
    data = bytearray(place.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 400] = bytes(400)
    place.write_bytes(data)
    _, found = compared(place, 200_000)
    assert len(found) == 2000 and 40 < sum(row["error"] is not None for row in found) < 300


def test_what_is_small_or_counted_is_not_divided(tmp_path: Path) -> None:
    place = tmp_path / "a.jsonl"
    place.write_bytes(jsonl(RECORDS))
    assert len(pool(place, 1 << 20).shards()) == 1
    assert len(pool(place, 1000, pages=100).shards()) == 1 and len(rows(pool(place, 1000, pages=100))) == 100
    for number in range(40):
        (tmp_path / f"{number}.jsonl").write_bytes(jsonl(RECORDS))
    assert len(pool(tmp_path, 1000).shards()) == 41


def finished(folder: Path, inputs: str, split_bytes: int, workers: int) -> tuple[dict[str, Any], list[str], list[str]]:
    """Accounting of all steps of a run, its documents in order, and what was told before."""
    told: list[str] = []
    session = commands.Session(
        workspace=open_workspace(Location(folder / "workspace")), num_workers=workers,
        on_event=lambda event: told.append(event.fields["text"]) if event.kind == "note" else None,
    )  # fmt: skip
    stages = [
        {"dedup": {"method": "exact"}},
        {"cut": {"column": "extra.n", "op": "<", "threshold": 50, "reason": "low"}},
    ]
    raw = {"name": "mine", "pool": {"split_bytes": split_bytes}, "stages": stages}
    run = commands.run_recipe(session, flow.compile_run("mine", flow.resolve(raw, [inputs])))
    cards = run.cards()
    accounting = {step: card.to_dict()["counts"] for step, card in cards}
    shards = run.stage(cards[-1][0]).shards.children("*.parquet")
    ids = [row for shard in shards for batch in read_shard(shard, ["id"]) for row in batch.column("id").to_pylist()]
    return accounting, ids, told


def test_a_run_in_parts_gives_what_the_whole_file_gives(tmp_path: Path) -> None:
    source = random.Random(3)
    texts = [source.randbytes(5000).hex() for _ in range(350)]
    place = tmp_path / "a.jsonl"
    place.write_bytes(jsonl([{"text": texts[n % 350], "n": n} for n in range(400)]) + b"no json\n")
    whole = finished(tmp_path / "whole", str(place), 1 << 30, 1)
    one = finished(tmp_path / "one", str(place), 1 << 20, 1)
    two = finished(tmp_path / "two", str(place), 1 << 20, 2)
    assert whole[:2] == one[:2] == two[:2]
    assert whole[0]["01_pool"]["quarantined"] == {"bad_json": 1} and len(whole[1]) == 300
    assert whole[2] == [] and one[2] == two[2] == ["pool: large files are read in parts: a.jsonl in 4"]
    again = finished(tmp_path / "two", str(place), 1 << 20, 2)
    assert again[:2] == two[:2]


def test_an_error_names_the_part(tmp_path: Path) -> None:
    place = tmp_path / "a.jsonl"
    place.write_bytes(jsonl(RECORDS) + b"no json\n")
    made = pool(place, 2000)
    (error,) = [
        row["error"]
        for shard in made.shards()
        for batch in made.read(shard)
        for row in batch.to_pylist()
        if row["error"]
    ]
    count = len(made.shards())
    assert error.startswith("bad_json: line ") and error.endswith(f"(in a.jsonl, part {count} of {count})")


def test_the_first_rows_of_a_part_tell_its_share(tmp_path: Path) -> None:
    place = tmp_path / "a.jsonl"
    place.write_bytes(jsonl([{"text": "x" * 10_000, "n": n} for n in range(4000)]))
    made = pool(place, 20 << 20)
    for shard in made.shards():
        batches, share = made.sample(shard, 500)
        assert sum(batch.num_rows for batch in batches) >= 500 and 0.2 < share < 0.6


def test_what_is_between_two_places_is_found(tmp_path: Path) -> None:
    """Without enough whole members around it, no place is certain."""
    place = tmp_path / "a.warc.gz"
    place.write_bytes(pages(1, 30))
    size = place.stat().st_size
    with place.open("rb") as raw:
        (found,) = parts.member_places(raw, size, 2, parts.RECORD_LINE) or []
        assert found >= size // 2 + parts.BEFORE_BYTES
        raw.seek(found)
        assert raw.read(3) == b"\x1f\x8b\x08"
        assert parts.member_places(raw, size, 1, parts.RECORD_LINE) == []
    place.write_bytes(pages(1, 3))
    with place.open("rb") as raw:
        assert parts.member_places(raw, place.stat().st_size, 2, parts.RECORD_LINE) == []
