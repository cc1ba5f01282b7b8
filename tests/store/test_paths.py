"""Inputs: what a user types becomes a stable list of files, and mistakes say what to type next."""

from pathlib import Path

import pytest

from tamis.base.errors import ConfigError, DataError
from tamis.store.paths import expand, open_input, passed_over


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("b.jsonl", "a/x.warc.gz", "a/y.parquet", "notes.txt", "_SUCCESS.jsonl", ".hidden.jsonl"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(name)
    return tmp_path


def test_folder_glob_and_file_agree(folder: Path) -> None:
    files = expand([str(folder)])
    assert [f.name for f in files] == ["a/x.warc.gz", "a/y.parquet", "b.jsonl"]
    assert [f.uri for f in expand([f"{folder}/**/*"])] == [f.uri for f in files]
    (one,) = expand([str(folder / "b.jsonl")])
    assert one.fingerprint == files[2].fingerprint and one.size_bytes == 7
    # A file named outright may have any name.
    assert expand([str(folder / "notes.txt")])[0].name == "notes.txt"


def test_what_is_not_read_is_told(folder: Path) -> None:
    assert passed_over([str(folder)]) == [str(folder / "notes.txt")]
    assert passed_over([f"{folder}/**/*"]) == [str(folder / "notes.txt")]
    assert passed_over([str(folder / "notes.txt"), "s3://bucket/folder"]) == []


def test_each_file_once_and_each_name_once(folder: Path) -> None:
    (folder / "a/b.jsonl").write_text("other")
    files = expand([str(folder / "b.jsonl"), str(folder / "a/b.jsonl"), str(folder / "b.jsonl")])
    assert [f.name for f in files] == ["b.jsonl", "b.jsonl-2"]


def test_fingerprint_follows_the_bytes_not_the_place(folder: Path) -> None:
    before = expand([str(folder / "b.jsonl")])[0]
    moved = folder / "moved"
    moved.mkdir()
    (folder / "b.jsonl").rename(moved / "b.jsonl")
    after = expand([str(moved)])[0]
    assert (after.name, after.fingerprint) == (before.name, before.fingerprint)
    (moved / "b.jsonl").write_text("changed")
    assert expand([str(moved)])[0].fingerprint != before.fingerprint


def test_mistakes_say_what_to_do(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"does not exist.*--pool"):
        expand([str(folder / "c.jsonl")])
    with pytest.raises(ConfigError, match="matches no file"):
        expand([f"{folder}/*.warc"])
    (folder / "empty").mkdir()
    with pytest.raises(DataError, match=r"pool is empty.*jsonl"):
        expand([str(folder / "empty")])
    with pytest.raises(ConfigError, match="Known are"):
        expand(["nosuch://x/y"])
    with pytest.raises(DataError, match="cannot be opened"):
        open_input(str(folder / "gone.jsonl"))


def test_uris_go_through_fsspec() -> None:
    import fsspec

    fs = fsspec.filesystem("memory")
    for name in ("b.jsonl", "sub/a.jsonl.gz", "sub/readme.md"):
        fs.pipe(f"/pool/{name}", name.encode())
    files = expand(["memory://pool"])
    assert [f.name for f in files] == ["b.jsonl", "sub/a.jsonl.gz"]
    assert open_input(files[0].uri).read() == b"b.jsonl"
    assert expand(["memory://pool/sub/*.gz"])[0].fingerprint == files[1].fingerprint
    with pytest.raises(ConfigError, match="does not exist"):
        expand(["memory://pool/none.jsonl"])
