"""Inputs of other tools: which field is the text, the URL and the id, and what becomes of names that are taken."""

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tamis import commands, flow
from tamis.base.errors import DataError
from tamis.base.recipe import Recipe
from tamis.stages.pool.stage import Pool, build
from tamis.store.identity import document_id
from tamis.store.jsonl import write_jsonl
from tamis.store.location import Location
from tamis.store.workspace import open_workspace

FINEWEB = {
    "text": ["A long page of text.", "Another long page.", "A third long page."],
    "id": ["<urn:uuid:1>", "<urn:uuid:2>", "<urn:uuid:3>"],
    "dump": ["CC-MAIN-2024-10"] * 3,
    "url": ["http://a.org/1", "http://b.org/2", "http://c.org/3"],
    "date": ["2024-02-20T21:09:55Z"] * 3,
    "file_path": ["s3://commoncrawl/x.warc.gz"] * 3,
    "language": ["en", "en", "de"],
    "language_score": [0.97, 0.61, 0.99],
    "token_count": [5, 700, 900],
}
"""The columns of FineWeb."""


def make(**settings: Any) -> Pool:
    return build(settings, Recipe.parse({"name": "x", "stages": []}, ""))


def rows(pool: Pool) -> list[dict[str, Any]]:
    return [row for shard in pool.shards() for batch in pool.read(shard) for row in batch.to_pylist()]


def lines(path: Path, *records: Any) -> str:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return str(path)


def curated(folder: Path, inputs: list[str], stages: list[Any], **pool: Any) -> tuple[list[dict[str, Any]], list[str]]:
    """The JSONL of a run, and what the user was told."""
    told: list[str] = []
    session = commands.Session(
        workspace=open_workspace(Location(folder / "workspace")), num_workers=1,
        on_event=lambda event: told.append(event.fields["text"]) if event.kind == "note" else None,
    )  # fmt: skip
    raw = {"name": "mine", "pool": pool, "stages": stages, "output": {"jsonl": "gz"}}
    run = commands.run_recipe(session, flow.compile_run("mine", flow.resolve(raw, inputs)))
    files = [place for place in run.stage(run.cards()[-1][0]).root.files() if place.name.endswith(".jsonl.gz")]
    return [json.loads(line) for file in files for line in gzip.decompress(file.read_bytes()).splitlines()], told


def test_fields_are_named_in_the_recipe(tmp_path: Path) -> None:
    record = {"body": {"raw": "The text."}, "link": "http://a.org/", "key": 7, "text": "a title", "url": "other"}
    (row,) = rows(make(
        inputs=[lines(tmp_path / "a.jsonl", record)], text_column="body.raw", url_column="link", id_column="key",
    ))  # fmt: skip
    assert (row["text"], row["url"], row["source_id"]) == ("The text.", "http://a.org/", "7")
    extra = {"body": {}, "link": "http://a.org/", "key": 7, "source_text": "a title", "source_url": "other"}
    assert json.loads(row["extra"]) == extra
    assert row["id"] == document_id("", "http://a.org/", b"The text.")


def test_a_field_whose_own_name_has_dots_comes_first(tmp_path: Path) -> None:
    (row,) = rows(make(inputs=[lines(tmp_path / "a.jsonl", {"a.b": "x", "a": {"b": "y"}})], text_column="a.b"))
    assert row["text"] == "x" and json.loads(row["extra"]) == {"a": {"b": "y"}}


def test_columns_of_parquet_are_named_in_the_same_way(tmp_path: Path) -> None:
    table = pa.table({"doc": [{"body": "The text.", "at": "http://a.org/"}], "key": [b"k1"], "n": [3]})
    pq.write_table(table, tmp_path / "a.parquet")
    (row,) = rows(make(
        inputs=[str(tmp_path / "a.parquet")], text_column="doc.body", url_column="doc.at", id_column="key",
    ))  # fmt: skip
    assert (row["text"], row["url"], row["source_id"]) == ("The text.", "http://a.org/", "k1")
    assert json.loads(row["extra"]) == {"doc": {"at": "http://a.org/"}, "key": "k1", "n": 3}


def test_dolma_and_datatrove_records_need_no_settings(tmp_path: Path) -> None:
    datatrove = {"text": "a", "id": "t/1", "metadata": {"url": "http://a.org/", "language_score": 0.9}}
    dolma = {"id": "d1", "text": "b", "source": "cc", "metadata": {"url": "http://b.org/", "length": 3}}
    dclm = {"text": "c", "metadata": {"WARC-Target-URI": "http://c.org/", "WARC-Record-ID": "<r>", "Content-Length": 5}}
    first, second, third = rows(make(inputs=[lines(tmp_path / "a.jsonl", datatrove, dolma, dclm)]))
    assert [row["url"] for row in (first, second, third)] == ["http://a.org/", "http://b.org/", "http://c.org/"]
    assert [row["source_id"] for row in (first, second, third)] == ["t/1", "d1", None]
    assert third["id"] == document_id("<r>", "", b"")
    assert json.loads(first["extra"]) == {"id": "t/1", "metadata": {"url": "http://a.org/", "language_score": 0.9}}


def test_what_is_written_is_read_with_the_same_ids(tmp_path: Path) -> None:
    records = [
        {"text": "a", "id": "t/1", "metadata": {"url": "http://a.org/", "n": 1}}, {"text": "b", "id": 5},
        {"text": "c", "metadata": {"url": "http://c.org/"}},
    ]  # fmt: skip
    pool = make(inputs=[lines(tmp_path / "a.jsonl", *records)])
    batches = [batch for shard in pool.shards() for batch in pool.read(shard)]
    write_jsonl(tmp_path / "b.jsonl", [batch.drop_columns(["drop_reason", "error"]) for batch in batches])
    again = rows(make(inputs=[str(tmp_path / "b.jsonl")]))
    for name in ("id", "url", "source_id", "text"):
        assert [row[name] for row in again] == [row[name] for row in rows(pool)]


def test_numbers_of_fineweb_are_tested_by_rules_and_clashing_columns_keep_both(tmp_path: Path) -> None:
    pq.write_table(pa.table(FINEWEB), tmp_path / "fineweb.parquet")
    rules = [
        {"column": "extra.token_count", "op": "<", "threshold": 100, "reason": "few_tokens"},
        {"column": "extra.language_score", "op": "<", "threshold": 0.7, "reason": "their_score"},
    ]
    settings = {"rules": "none", "keep_languages": ["en", "de"], "min_language_score": 0.0, "own_rules": rules}
    (kept,), _ = curated(tmp_path, [str(tmp_path / "fineweb.parquet")], [{"filter": settings}])
    assert kept["id"] == "<urn:uuid:3>" and kept["token_count"] == 900 and kept["dump"] == "CC-MAIN-2024-10"
    assert (kept["source_language"], kept["source_language_score"]) == ("de", 0.99)
    assert kept["language"] in ("en", "de") and 0 < kept["language_score"] <= 1


def test_a_name_that_is_taken_twice_gets_a_number(tmp_path: Path) -> None:
    record = {"text": "An English sentence of some words.", "language": "x", "source_language": "y"}
    settings = {"rules": "none", "keep_languages": ["en"], "min_language_score": 0.0}
    (kept,), _ = curated(tmp_path, [lines(tmp_path / "a.jsonl", record)], [{"filter": settings}])
    assert (kept["language"], kept["source_language"], kept["source_language_2"]) == ("en", "y", "x")


@pytest.mark.parametrize(("value", "source_id"), [
    ("doc", "doc"), (3, "3"), (2**70, str(2**70)), ("", None), (None, None), (1.5, None), (True, None), (["a"], None),
    ("f" * 32, None), ("\ud800", "\ufffd"),
])  # fmt: skip
def test_ids_of_any_type(tmp_path: Path, value: Any, source_id: str | None) -> None:
    (row,) = rows(make(inputs=[lines(tmp_path / "a.jsonl", {"text": "x", "id": value})]))
    assert row["source_id"] == source_id and row["error"] is None
    assert (row["id"] == value) == (value == "f" * 32)


def test_texts_that_are_no_strings_cost_their_rows(tmp_path: Path) -> None:
    values = ["fine", None, 5, {"a": 1}, ["b"], "half \ud800 a pair"]
    found = rows(make(inputs=[lines(tmp_path / "a.jsonl", *({"body": v, "n": 1} for v in values))], text_column="body"))
    assert [row["text"] for row in found] == ["fine", None, None, None, None, "half \ufffd a pair"]
    wanted = "no_text_field: line 3 has no field 'body' that holds a string (it has: body, n)"
    assert found[2]["error"] == wanted and found[1]["error"].startswith("no_text_field: line 2 ")


def test_a_text_column_that_no_file_has_is_refused_with_the_fields_that_exist(tmp_path: Path) -> None:
    file = lines(tmp_path / "a.jsonl", {"content": "a", "metadata": {"url": "u"}}, {"content": "b", "n": 2})
    message = r"a\.jsonl: none of its first 2 records has a field 'text' .*\(they have: content, metadata\.url, n\)"
    with pytest.raises(DataError, match=f"{message}.*--set pool.text_column=NAME"):
        make(inputs=[file]).shards()
    with pytest.raises(DataError, match=r"a field 'metadata\.body' that"):
        make(inputs=[file], text_column="metadata.body").shards()
    assert [row["text"] for row in rows(make(inputs=[file], text_column="content"))] == ["a", "b"]
    pq.write_table(pa.table({"content": ["a"], "meta": [{"body": "b"}]}), tmp_path / "a.parquet")
    with pytest.raises(DataError, match=r"no column 'contents' \(it has: content, meta\.body\)"):
        make(inputs=[str(tmp_path / "a.parquet")], text_column="contents").shards()


def test_one_file_without_texts_among_others_is_told_once(tmp_path: Path) -> None:
    for name in ("a", "b"):
        lines(tmp_path / f"{name}.jsonl", {"kind": "side file"})
    lines(tmp_path / "c.jsonl", *({"text": "a page"} for _ in range(3)))
    pool = make(inputs=[str(tmp_path)])
    assert len(rows(pool)) == 5
    (remark,) = pool.remarks()
    assert "a.jsonl: none of its first 1 records has a field 'text'" in remark and "1 more" in remark
    kept = make(inputs=[str(tmp_path)], exclude=["[ab].jsonl"])
    assert len(rows(kept)) == 3 and kept.remarks() == []
    assert [len(names) for names in kept.skipped_files().values()] == [2]


SIDE_FILES = (
    "README.md", "README", "_SUCCESS", ".part-0.jsonl.crc", "part-0.jsonl.crc", "metadata.json", "dataset_info.json",
    "LICENSE", ".gitattributes", "state.json",
)  # fmt: skip


def test_files_that_accompany_data_are_skipped(tmp_path: Path) -> None:
    for name in SIDE_FILES:
        (tmp_path / name).write_text('{"rows": 1}\n' if name.endswith("json") else "")
    lines(tmp_path / "part-0.jsonl", {"text": "a page"})
    outright = sorted(str(path) for path in tmp_path.iterdir())
    for inputs in ([str(tmp_path)], [str(tmp_path / "*")], outright):
        pool = make(inputs=inputs)
        assert [row["text"] for row in rows(pool)] == ["a page"]
        told = {Path(name).name for names in pool.skipped_files().values() for name in names}
        assert "README.md" in told and "dataset_info.json" in told
    records, told = curated(tmp_path / "run", outright, [{"dedup": {"method": "exact"}}])
    assert [record["text"] for record in records] == ["a page"] and any("README.md" in note for note in told)


def test_inputs_are_left_out_by_name_pattern_or_folder(tmp_path: Path) -> None:
    for place in ("a.jsonl", "b.jsonl", "drafts/c.jsonl", "deep/er/d.jsonl"):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        lines(tmp_path / place, {"text": place})

    def left(*exclude: str) -> list[str]:
        return [row["text"] for row in rows(make(inputs=[str(tmp_path)], exclude=list(exclude)))]

    assert left() == ["a.jsonl", "b.jsonl", "deep/er/d.jsonl", "drafts/c.jsonl"]
    assert left("drafts/") == left("drafts") == left("*/c.jsonl") == left("c.jsonl")
    assert left("drafts") == ["a.jsonl", "b.jsonl", "deep/er/d.jsonl"]
    assert left(str(tmp_path / "deep"), "[ab].jsonl") == ["drafts/c.jsonl"]
    with pytest.raises(DataError, match=r"the pool is empty.*that pool\.exclude leaves out"):
        left("*.jsonl")
    pool = make(inputs=[str(tmp_path)], exclude=["nothing.jsonl", "a.jsonl"])
    pool.shards()
    assert pool.remarks() == ["'nothing.jsonl' of pool.exclude matches no file"]
