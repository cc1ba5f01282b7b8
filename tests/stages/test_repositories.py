"""Repositories cut into rows by the pool: what a part holds, stable ids, one hold-out for all, the accounting."""

import json
from pathlib import Path
from typing import Any

import pytest
from test_filter import make as make_filter
from test_pool import make, rows

FILES = [{"filename": f"src/{n}.py", "text": f"x = {n}\n", "stars": n} for n in range(5)]


def repositories(path: Path, *records: dict[str, Any]) -> str:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return str(path)


def test_a_row_per_file(tmp_path: Path) -> None:
    source = repositories(tmp_path / "a.jsonl", {"repo_name": "me/it", "files": FILES}, {"text": "no repository"})
    found = rows(make(inputs=[source], repository_files=1))
    assert [row["text"] for row in found] == [file["text"] for file in FILES] + ["no repository"]
    assert all(row["error"] is None for row in found) and len({row["id"] for row in found}) == 6
    extra = json.loads(found[2]["extra"])
    assert extra == {"repo_name": "me/it", "filename": "src/2.py", "stars": 2, "files": [FILES[2]]}


def test_without_the_setting_nothing_is_cut(tmp_path: Path) -> None:
    source = repositories(tmp_path / "a.jsonl", {"text": "whole", "files": FILES}, {"files": FILES})
    found = rows(make(inputs=[source]))
    assert [row["text"] for row in found] == ["whole", None]
    assert found[1]["error"].startswith("no_text_field")


def test_parts_of_several_files_and_stable_ids(tmp_path: Path) -> None:
    record = {"text": "all of it", "url": "http://e.org/it", "files": FILES}
    two = rows(make(inputs=[repositories(tmp_path / "a.jsonl", record)], repository_files=2))
    assert [row["text"].count("x = ") for row in two] == [2, 2, 1]
    assert two[0]["text"] == "x = 0\n\n\nx = 1\n" and "filename" not in json.loads(two[0]["extra"])
    assert {row["url"] for row in two} == {"http://e.org/it"}
    whole = rows(make(inputs=[str(tmp_path / "a.jsonl")], repository_files=9))
    assert len(whole) == 1 and whole[0]["text"].count("x = ") == 5
    longer = {**record, "files": [*FILES, {"filename": "z", "text": "z"}]}
    again = rows(make(inputs=[repositories(tmp_path / "b.jsonl", longer)], repository_files=2))
    assert [row["id"] for row in again[:2]] == [row["id"] for row in two[:2]]


def test_a_file_without_text_is_quarantined_alone(tmp_path: Path) -> None:
    source = repositories(tmp_path / "a.jsonl", {"files": [FILES[0], {"filename": "b"}, FILES[1]]})
    found = rows(make(inputs=[source], repository_files=1))
    assert [row["error"] is None for row in found] == [True, False, True]
    assert "file 2 of the repository" in found[1]["error"]


def test_what_is_no_list_of_files_stays(tmp_path: Path) -> None:
    source = repositories(tmp_path / "a.jsonl", {"text": "a", "files": []}, {"text": "b", "files": ["x"]},
                          {"text": "c", "files": 3})  # fmt: skip
    assert [row["text"] for row in rows(make(inputs=[source], repository_files=1))] == ["a", "b", "c"]


@pytest.mark.parametrize("holdout_by", ["host", "url"])
def test_all_parts_are_held_out_or_none(tmp_path: Path, holdout_by: str) -> None:
    records = [{"repo_name": f"r{n}", "files": [dict(file, repository=n) for file in FILES]} for n in range(40)]
    pool = make(inputs=[repositories(tmp_path / "a.jsonl", *records)], repository_files=1, holdout_fraction=0.5,
                holdout_by=holdout_by)  # fmt: skip
    fates: dict[str, set[Any]] = {}
    for row in rows(pool):
        fates.setdefault(json.loads(row["extra"])["repo_name"], set()).add(row["drop_reason"])
    assert len(fates) == 40 and all(len(fate) == 1 for fate in fates.values())
    assert {reason for fate in fates.values() for reason in fate} == {None, "held_out"}


def test_the_first_pages_are_records(tmp_path: Path) -> None:
    source = repositories(tmp_path / "a.jsonl", *({"repo_name": str(n), "files": FILES} for n in range(4)))
    assert len(rows(make(inputs=[source], repository_files=1, pages=3))) == 15


def test_the_filter_reads_parts(tmp_path: Path) -> None:
    record = {"repo_name": "me/it", "files": [FILES[0], {"filename": "b.exe", "text": "x"}]}
    pool = make(inputs=[repositories(tmp_path / "a.jsonl", record)], repository_files=1)
    (batch,) = pool.read(pool.shards()[0])
    stage = make_filter(rules="none", keep_languages=[], file_extensions=["redpajama"], text_from="repository",
                        file_name_probability=1.0)  # fmt: skip
    out = stage.apply(batch.select(["id", "url", "text", "extra", "drop_reason"]))
    assert out["drop_reason"].to_pylist() == [None, "wrong_file_extension"]
    assert out["text"][0].as_py() == "<repo_name>me/it<file_sep>src/0.py\nx = 0\n"
