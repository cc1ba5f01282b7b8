"""Exact dedup: every copy found and nothing else, the same for any sharding and any number of buckets."""

import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import zstandard

from tamis.base.errors import ConfigError
from tamis.base.recipe import Recipe
from tamis.base.stage import Context, Group
from tamis.stages.dedup.stage import build, normalize_text, normalize_url

RECIPE = Recipe(name="test", stages=[])


def to_batch(documents: list[dict[str, Any]]) -> pa.RecordBatch:
    return pa.RecordBatch.from_pydict(
        {
            "id": pa.array([d["id"] for d in documents], pa.string()),
            "url": pa.array([d.get("url", "") for d in documents], pa.string()),
            "text": pa.array([d["text"] for d in documents], pa.string()),
            "drop_reason": pa.nulls(len(documents), pa.string()),
        }
    )


def drive(stage: Group, shards: list[list[dict[str, Any]]], batch_rows: int = 7) -> list[dict[str, Any]]:
    """What the runner does with a Group: sketch per shard, decide per bucket, mark per shard."""
    context = Context(seed=0)
    pieces: list[pa.Table] = []
    batches: list[tuple[int, int, pa.RecordBatch]] = []
    for shard, documents in enumerate(shards):
        for start in range(0, len(documents), batch_rows):
            batch = to_batch(documents[start : start + batch_rows])
            batches.append((shard, start, batch))
            sketch = stage.sketch(batch)
            assert sketch.num_rows == batch.num_rows
            sketch = sketch.append_column("shard", pa.array([shard] * batch.num_rows, pa.int32()))
            rows = pa.array(range(start, start + batch.num_rows), pa.int64())
            pieces.append(sketch.append_column("row", rows))
    sketches = pa.concat_tables(pieces)
    decisions = []
    for bucket in range(stage.num_buckets):
        if stage.num_buckets > 1:
            mask = pa.compute.equal(sketches["bucket"], bucket)
            decisions.append(stage.decide(bucket, sketches.filter(mask), context))
        else:
            decisions.append(stage.decide(bucket, sketches, context))
    decided = pa.concat_tables(decisions)
    out: list[dict[str, Any]] = []
    for shard, start, batch in batches:
        mine = decided.filter(pa.compute.equal(decided["shard"], shard))
        rows = pa.array(range(start, start + batch.num_rows), pa.int64())
        marked = stage.mark(batch, rows, mine)
        assert marked.num_rows == batch.num_rows
        assert marked.schema.field("duplicate_of").type == pa.string()
        out += marked.to_pylist()
    return out


def run(settings: dict[str, Any], shards: list[list[dict[str, Any]]]) -> list[dict[str, Any]]:
    (stage,) = build(settings, RECIPE)
    assert isinstance(stage, Group)
    return drive(stage, shards)


def docs(*texts: str | None) -> list[dict[str, Any]]:
    return [{"id": f"d{i}", "text": text} for i, text in enumerate(texts)]


def test_first_copy_stays_and_is_named() -> None:
    rows = run({}, [docs("one", "two", "one", "ONE \n", "three")])
    assert [r["drop_reason"] for r in rows] == [None, None, "duplicate_text", "duplicate_text", None]
    assert [r["duplicate_of"] for r in rows] == [None, None, "d0", "d0", None]
    assert [r["text"] for r in rows] == ["one", "two", "one", "ONE \n", "three"]


def test_without_normalisation_only_equal_bytes_are_equal() -> None:
    rows = run({"normalize": False}, [docs("one", "ONE", "one ", "one")])
    assert [r["duplicate_of"] for r in rows] == [None, None, None, "d0"]


def test_url_key_ignores_documents_without_address() -> None:
    urls = ["http://A.org/x", "", "http://a.org/x#top", "", "http://a.org/X", "http://[bad", "http://[bad"]
    documents = [{"id": f"d{i}", "url": url, "text": "same"} for i, url in enumerate(urls)]
    rows = run({"key": "url"}, [documents])
    assert [r["duplicate_of"] for r in rows] == [None, None, "d0", None, None, None, "d5"]
    assert {r["drop_reason"] for r in rows} == {None, "duplicate_url"}


@pytest.mark.parametrize("num_buckets", [1, 8])
def test_any_sharding_keeps_the_same_documents(num_buckets: int) -> None:
    documents = [{"id": f"d{i:03}", "text": f"text {i * i % 41}"} for i in range(200)]
    whole = run({"num_buckets": num_buckets}, [documents])
    split = run({"num_buckets": num_buckets}, [documents[i : i + 40] for i in range(0, 200, 40)])
    assert split == whole
    kept = [r["text"] for r in whole if r["drop_reason"] is None]
    assert sorted(kept) == sorted({d["text"] for d in documents})


def test_nasty_texts() -> None:
    long_line = "x" * (1 << 20)
    rows = run({}, [docs("", "\0", long_line, "", None, None, "\0", long_line, " \n\t")])
    assert [r["duplicate_of"] for r in rows] == [None, None, None, "d0", None, None, "d1", "d2", "d0"]


def test_every_document_the_same() -> None:
    rows = run({"num_buckets": 4}, [docs(*["same"] * 30), [{"id": "other", "text": "same"}], []])
    assert [r["drop_reason"] for r in rows] == [None] + ["duplicate_text"] * 30
    assert {r["duplicate_of"] for r in rows[1:]} == {"d0"}


def test_no_documents_at_all() -> None:
    (stage,) = build({}, RECIPE)
    assert isinstance(stage, Group)
    empty = stage.sketch(to_batch([]))
    empty = empty.append_column("shard", pa.array([], pa.int32())).append_column("row", pa.array([], pa.int64()))
    decided = stage.decide(0, empty, Context(seed=0))
    assert decided.num_rows == 0
    marked = stage.mark(to_batch(docs("a")), pa.array([0], pa.int64()), decided)
    assert marked.column("drop_reason").to_pylist() == [None]


def test_all_exact_copies_of_the_known_set_and_no_other(shared_data: Path) -> None:
    folder = shared_data / "data" / "dups"
    with (folder / "dups-dev.jsonl.zst").open("rb") as handle:
        lines = io.TextIOWrapper(zstandard.ZstdDecompressor().stream_reader(handle), encoding="utf-8")
        documents = [json.loads(line) for line in lines]
    truth = [json.loads(line) for line in (folder / "dups-dev.truth.jsonl").read_text().splitlines()]
    base_of = {t["id"]: t["base_id"] if t["kind"] == "exact" else t["id"] for t in truth}
    copies = {t["id"] for t in truth if t["kind"] == "exact"}
    rows = run({"normalize": False}, [documents[i : i + 700] for i in range(0, len(documents), 700)])
    removed = [r for r in rows if r["drop_reason"]]
    # Documents are not ordered by kind: where a copy comes before its base, the base is the one removed.
    assert len(copies) == len(removed) == 200
    assert all(base_of[r["id"]] == base_of[r["duplicate_of"]] for r in removed)
    kept = [base_of[r["id"]] for r in rows if not r["drop_reason"]]
    assert len(kept) == len(set(kept)) == len(truth) - 200
    normalized = run({}, [documents])
    assert sum(r["drop_reason"] == "duplicate_text" for r in normalized) == 200


def test_normal_forms() -> None:
    assert normalize_text(" A\tb \u00a0C\r\n") == "a b c"
    assert normalize_url(" HTTP://Example.ORG/Path?Q=A#frag ") == "http://example.org/Path?Q=A"


def test_wrong_settings_are_named() -> None:
    with pytest.raises(ConfigError, match=r"dedup\.method"):
        build({"method": "fuzzy"}, RECIPE)
    with pytest.raises(ConfigError, match=r"dedup\.num_buckets"):
        build({"num_buckets": 0}, RECIPE)
