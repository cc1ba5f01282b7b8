"""Files that grow: what is on the disk or on the object store after each save, and after a failure."""

import os
from pathlib import Path
from typing import Any

import pytest

from tamis.base.errors import StorageError
from tamis.store import append
from tamis.store.append import AppendFile
from tamis.store.atomic import write_text
from tamis.store.location import Location


def test_a_file_grows_and_is_saved_when_asked(place: str) -> None:
    log = Location(place) / "log"
    write_text(log, "before")
    with AppendFile(log, b"start ") as file:
        file.write(b"one ")
        file.save()
        assert (log).read_text() == "start one "
        file.write(b"two")
    assert (log).read_text() == "start one two"
    assert Location(place).files() == [log]


def test_what_was_appended_before_a_failure_is_kept(place: str) -> None:
    log = Location(place) / "log"
    with pytest.raises(KeyboardInterrupt), AppendFile(log, b"") as file:
        file.write(b"one")
        raise KeyboardInterrupt
    assert (log).read_text() == "one"


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
