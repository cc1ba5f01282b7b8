"""Workspaces: an empty place becomes one, and nothing of a user's is ever written into."""

from pathlib import Path

import pytest

from tamis.base.errors import ConfigError, StorageError
from tamis.store.atomic import read_json, write_bytes, write_json
from tamis.store.location import Location, temporary_name
from tamis.store.workspace import FORMAT, open_workspace, workspace_of


def test_an_empty_or_absent_folder_becomes_a_workspace(place: str) -> None:
    for root in (Location(place), Location(place) / "deep/er"):
        workspace = open_workspace(root)
        assert workspace.root == root and read_json(root / "workspace.json") == FORMAT
        assert open_workspace(root) == workspace
        write_bytes(root / "anything", b"")
        assert open_workspace(root) == workspace


def test_artefacts_and_runs_are_found(place: str) -> None:
    workspace = open_workspace(Location(place))
    for name in ("filter-1", "filter-2", "pool-1"):
        write_json(workspace.artefact(name) / "card.json", {})
    for name in ("run/run.json", "experiment/a/run.json", "experiment/b/run.json", "notes/readme.txt"):
        write_json(workspace.root / name, {})
    assert [folder.name for folder in workspace.artefacts("filter-*")] == ["filter-1", "filter-2"]
    assert len(workspace.artefacts()) == 3
    views = [folder.relative_to(workspace.root) for folder in workspace.views("run.json")]
    assert views == ["experiment/a", "experiment/b", "run"]
    assert workspace_of(workspace.root / "experiment/a") == workspace_of(workspace.root) == workspace


def test_a_folder_of_someone_else_is_refused(place: str) -> None:
    write_bytes(Location(place) / "thesis.tex", b"mine")
    with pytest.raises(ConfigError, match=r"not empty and no Tamis workspace \(it holds thesis.tex\).*--workspace"):
        open_workspace(Location(place))
    assert [file.name for file in Location(place).files()] == ["thesis.tex"]


def test_what_a_killed_writer_left_does_not_make_a_folder_foreign(tmp_path: Path) -> None:
    temporary_name(tmp_path / "workspace.json").touch()
    open_workspace(Location(tmp_path))


@pytest.mark.parametrize("below", ["", "/folder", "/deep/folder"])
def test_a_file_is_refused(tmp_path: Path, below: str) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ConfigError, match=rf"{tmp_path}/file is a file. Name a folder: --workspace FOLDER"):
        open_workspace(Location(f"{tmp_path}/file{below}"))
    assert (tmp_path / "file").read_text() == "mine"


def test_an_object_is_refused(s3: str) -> None:
    write_bytes(Location(s3) / "file", b"mine")
    with pytest.raises(ConfigError, match="/file is a file"):
        open_workspace(Location(s3) / "file")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("s3:", "after 's3:' two slashes must follow. Write: s3://BUCKET/FOLDER"),
        ("s3:bucket", "Write: s3://bucket"),
        ("s3://", "names no bucket"),
        ("nosuch://x/y", "Protocol not known: nosuch"),
        ("hf://datasets/a/b", "can be read, but no workspace can be made there"),
        ("https://example.org/x", "can be read, but no workspace can be made there"),
    ],
)
def test_a_place_that_can_hold_no_workspace_is_refused(
    text: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=message):
        open_workspace(Location(text))
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_or_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, *args: object, **kwargs: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    for name in ("mkdir", "iterdir"):
        with monkeypatch.context() as patch:
            patch.setattr(Path, name, refuse)
            with pytest.raises(StorageError, match=r"not writable \(Permission denied\)\. Choose another place"):
                open_workspace(Location(tmp_path))


def test_a_missing_bucket_is_named(s3: str) -> None:
    with pytest.raises(StorageError, match="aws s3 mb s3://tamis-no-such-bucket"):
        open_workspace(Location("s3://tamis-no-such-bucket/w"))


@pytest.mark.parametrize("content", [b'{"format": "tamis workspace", "version": 99}', b"[]"])
def test_another_format_is_refused(place: str, content: bytes) -> None:
    write_bytes(Location(place) / "workspace.json", content)
    with pytest.raises(ConfigError, match="made by another version of Tamis"):
        open_workspace(Location(place))
    assert (Location(place) / "workspace.json").read_bytes() == content


def test_a_place_outside_any_workspace_is_no_run(place: str) -> None:
    with pytest.raises(ConfigError, match=r"no run here.*tamis run RECIPE --workspace FOLDER"):
        workspace_of(Location(place) / "a/b")
