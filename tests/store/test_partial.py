"""Files that arrive over several attempts: what is kept, and when it can be continued."""

import hashlib
from pathlib import Path

import pytest

from tamis.store.location import Location
from tamis.store.partial import PartialFile


@pytest.fixture
def file(tmp_path: Path) -> PartialFile:
    return PartialFile(Location(tmp_path / "folder" / "data.bin"))


def arrive(file: PartialFile, data: bytes, version: str | None, *, resume: bool = False) -> None:
    with file.writing(version, resume=resume) as stream:
        stream.write(data)


def test_what_arrives_is_continued_and_published(file: PartialFile, tmp_path: Path) -> None:
    assert (file.size(), file.version()) == (0, None)
    arrive(file, b"first ", "v1")
    assert (file.size(), file.version()) == (6, "v1")
    arrive(file, b"second", "v1", resume=True)
    assert file.size() == 12 and file.sha256() == hashlib.sha256(b"first second").hexdigest()
    file.publish()
    assert [path.name for path in (tmp_path / "folder").iterdir()] == ["data.bin"]
    assert (tmp_path / "folder" / "data.bin").read_bytes() == b"first second"
    assert (file.size(), file.version()) == (0, None)


def test_a_new_beginning_forgets_the_version_of_the_old_one(file: PartialFile) -> None:
    arrive(file, b"of the first version", "v1")
    arrive(file, b"of no known version", None)
    assert (file.size(), file.version()) == (19, None), "nobody can tell what would follow"


def test_a_file_without_a_version_is_published_and_discarded_all_the_same(file: PartialFile, tmp_path: Path) -> None:
    arrive(file, b"data", None)
    file.publish()
    assert (tmp_path / "folder" / "data.bin").read_bytes() == b"data"
    arrive(file, b"more", None)
    file.discard()
    file.discard()
    assert [path.name for path in (tmp_path / "folder").iterdir()] == ["data.bin"]


def test_a_version_without_bytes_continues_nothing(file: PartialFile, tmp_path: Path) -> None:
    arrive(file, b"data", "v1")
    (tmp_path / "folder" / "data.bin.part").unlink()
    assert (file.size(), file.version()) == (0, None)
    file.discard()
    assert list((tmp_path / "folder").iterdir()) == []


def test_the_bytes_are_on_the_disk_before_they_get_the_name(file: PartialFile, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed: list[tuple[str, bool]] = []
    target = file._target
    monkeypatch.setattr("tamis.store.partial.flush_to_disk", lambda path: flushed.append((path.name, target.exists())))
    arrive(file, b"data", "v1")
    file.publish()
    assert flushed == [("data.bin.part", False)]
