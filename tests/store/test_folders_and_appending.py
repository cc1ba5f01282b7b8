"""Folders that appear whole, and files that grow: on a disk and on an object store, through failures and kills."""

import os
from pathlib import Path
from typing import Any

import pytest

from tamis.base.errors import StorageError
from tamis.store import append, atomic
from tamis.store.append import AppendFile
from tamis.store.atomic import delete_leftovers, is_whole, publish_folder, write_text
from tamis.store.location import Location, filesystem

MARKER = "config.json"


@pytest.fixture(params=["local", "memory"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Location:
    return Location(tmp_path / "folder" if request.param == "local" else f"memory:///{tmp_path.name}/folder")


def fill(folder: Path, text: str = "new") -> None:
    (folder / "part").mkdir()
    for name in (MARKER, "model.pt", "part/zeros"):
        (folder / name).write_text(text)


def content(place: Location) -> dict[str, str]:
    return {file.relative_to(place): file.read_text() for file in place.files()}


def test_a_folder_appears_whole_and_replaces_what_was_there(place: Location) -> None:
    write_text(place / "old", "old")
    with publish_folder(place, MARKER) as folder:
        fill(folder)
        assert not is_whole(place, MARKER) and content(place) == {"old": "old"}
    assert is_whole(place, MARKER)
    assert content(place) == {MARKER: "new", "model.pt": "new", "part/zeros": "new"}
    assert [child.name for child in place.parent.children()] == ["folder"]


def test_a_failure_leaves_what_was_there(place: Location) -> None:
    with publish_folder(place, MARKER) as folder:
        fill(folder, "old")
    with pytest.raises(KeyboardInterrupt), publish_folder(place, MARKER) as folder:
        (folder / MARKER).write_text("new")
        raise KeyboardInterrupt
    assert set(content(place).values()) == {"old"}
    assert [child.name for child in place.parent.children()] == ["folder"]


def test_a_folder_without_its_marker_is_a_defect(place: Location) -> None:
    with pytest.raises(AssertionError, match="written without its config"), publish_folder(place, MARKER) as folder:
        (folder / "model.pt").write_text("new")
    assert not place.exists()


def test_a_local_folder_is_on_the_disk_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A crash of the machine after the rename must find every byte: files, lists of names, and the new name itself."""
    target, flushed = tmp_path / "folder", []

    def flush(path: Path) -> None:
        flushed.append((path.relative_to(tmp_path).as_posix(), target.exists()))

    monkeypatch.setattr(atomic, "flush_to_disk", flush)
    with publish_folder(target, MARKER) as folder:
        fill(folder)
        name = folder.name
    inside = {f"{name}/{file}" for file in (MARKER, "model.pt", "part", "part/zeros")}
    assert {path for path, existed in flushed if not existed} == {name, *inside}
    assert flushed[-1] == (".", True)


def test_flushing_reaches_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: flushed.append(os.fstat(descriptor).st_ino))
    atomic.flush_to_disk(tmp_path)
    assert flushed == [tmp_path.stat().st_ino]


def test_an_upload_sends_the_marker_last_and_removes_the_old_one_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, fs = Location(f"memory:///{tmp_path.name}/folder"), filesystem("memory://")
    with publish_folder(place, MARKER) as folder:
        fill(folder, "old")
    put_file, uploaded = fs.put_file, []

    def put(local: str, target: str) -> None:
        assert not is_whole(place, MARKER), "until all is there, nothing is"
        uploaded.append(Location(target).name)
        put_file(local, target)

    monkeypatch.setattr(fs, "put_file", put)
    with publish_folder(place, MARKER) as folder:
        fill(folder)
    assert sorted(uploaded) == sorted([MARKER, "model.pt", "zeros"]) and uploaded[-1] == MARKER
    assert set(content(place).values()) == {"new"}


def test_what_a_killed_process_left_is_deleted_on_request(tmp_path: Path) -> None:
    folder = Location(tmp_path)
    write_text(folder / ".step_1.77.tmp" / MARKER, "half")
    write_text(folder / ".card.json.77.tmp", "half")
    write_text(folder / "card.json", "whole")
    assert not is_whole(folder / ".step_1.77.tmp", MARKER)
    delete_leftovers(folder)
    assert content(folder) == {"card.json": "whole"}
    delete_leftovers(folder / "absent")


def test_an_unwritable_place_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="a file is in the way"), publish_folder(tmp_path / "file" / "x", MARKER):
        pass


def test_a_file_grows_and_is_saved_when_asked(place: Location) -> None:
    write_text(place / "log", "before")
    with AppendFile(place / "log", b"start ") as file:
        file.write(b"one ")
        file.save()
        assert (place / "log").read_text() == "start one "
        file.write(b"two")
    assert (place / "log").read_text() == "start one two"
    assert content(place) == {"log": "start one two"}


def test_what_was_appended_before_a_failure_is_kept(place: Location) -> None:
    with pytest.raises(KeyboardInterrupt), AppendFile(place / "log", b"") as file:
        file.write(b"one")
        raise KeyboardInterrupt
    assert (place / "log").read_text() == "one"


def test_saving_flushes_the_appended_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed: list[int] = []
    with AppendFile(tmp_path / "log", b"start") as file:
        monkeypatch.setattr(append.os, "fsync", lambda descriptor: flushed.append(os.fstat(descriptor).st_ino))
        file.save()
        assert flushed == [(tmp_path / "log").stat().st_ino]


def test_a_full_disk_is_reported_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: Any) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(StorageError, match="the disk is full"), AppendFile(tmp_path / "log", b"") as file:
        monkeypatch.setattr(append.os, "fsync", full)
        file.write(b"one")
        file.save()
