"""Remembered digests: always those of the bytes, whatever is done to a file's dates."""

import os
import time
from pathlib import Path

import pytest

from tamis.store import digests
from tamis.store.digests import REMEMBERED_BYTES, input_digest
from tamis.store.shards import file_digest


@pytest.fixture
def reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that were read; a file counts as settled at once."""
    seen: list[Path] = []

    def digest(path: Path) -> str:
        seen.append(path)
        return file_digest(path)

    monkeypatch.setenv("TAMIS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(digests, "file_digest", digest)
    monkeypatch.setattr(digests, "_SETTLED_NS", 0)
    return seen


def write(path: Path, byte: bytes, size: int = REMEMBERED_BYTES) -> Path:
    """Write until the file system's clock has moved on: two changes within one of its ticks look like one."""
    before = path.stat().st_ctime_ns if path.exists() else 0
    path.write_bytes(byte * size)
    while path.stat().st_ctime_ns == before or time.time_ns() <= path.stat().st_ctime_ns:
        path.write_bytes(byte * size)
    return path


def test_an_unchanged_file_is_read_once_and_by_later_processes_not_at_all(tmp_path: Path, reads: list[Path]) -> None:
    path = write(tmp_path / "a\nname.warc", b"a")
    first = input_digest(path)
    assert first == input_digest(path) == file_digest(path) and reads == [path]
    digests._remembered.cache_clear()
    assert input_digest(path) == first and reads == [path]
    small = write(tmp_path / "small", b"s", REMEMBERED_BYTES - 1)
    assert input_digest(small) == input_digest(small) and reads == [path, small, small]


def test_other_bytes_of_the_same_size_and_date_are_noticed(tmp_path: Path, reads: list[Path]) -> None:
    path = write(tmp_path / "a", b"a")
    before, status = input_digest(path), path.stat()
    write(path, b"b")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert path.stat().st_mtime_ns == status.st_mtime_ns
    assert input_digest(path) == file_digest(path) != before
    other = write(tmp_path / "b", b"c")
    os.utime(other, ns=(status.st_atime_ns, status.st_mtime_ns))
    other.replace(path)
    assert input_digest(path) == file_digest(path)


def test_a_file_that_just_changed_is_not_remembered(
    tmp_path: Path, reads: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(digests, "_SETTLED_NS", 2_000_000_000)
    path = write(tmp_path / "a", b"a")
    assert input_digest(path) == input_digest(path) and len(reads) == 2


def test_a_broken_or_unwritable_memory_costs_nothing_but_time(tmp_path: Path, reads: list[Path]) -> None:
    path = write(tmp_path / "a", b"a")
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache/input-digests.txt").write_bytes(b"\xff\n0123 x\n" + b"0" * 32)
    assert input_digest(path) == file_digest(path)
    digests._remembered.cache_clear()
    assert input_digest(path) == file_digest(path)
    digests._remembered.cache_clear()
    (tmp_path / "cache/input-digests.txt").unlink()
    (tmp_path / "cache/input-digests.txt").mkdir()
    assert input_digest(path) == file_digest(path)
