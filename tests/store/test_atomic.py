"""Publishing: a file that exists is whole, on a disk, in memory and on an object store."""

import errno
import os
import tempfile
from pathlib import Path

import pytest

from tamis.base.errors import ConfigError, DataError, StorageError
from tamis.store.atomic import publish, publish_folder, read_json, storage_errors, write_bytes, write_json, write_text
from tamis.store.location import Location
from tamis.store.remote import filesystem


def names(folder: str | Path) -> list[str]:
    """What lies in a folder, temporary files included."""
    return sorted(path.name for path in Path(folder).iterdir())


class Calls:
    """What was asked of the operating system, in order: ('fsync', file) and ('replace', file)."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seen: list[tuple[str, str]] = []
        fsync, replace = os.fsync, Path.replace

        def noted_fsync(descriptor: int) -> None:
            self.seen.append(("fsync", str(Path(f"/proc/self/fd/{descriptor}").readlink())))
            fsync(descriptor)

        def noted_replace(source: Path, target: Path) -> Path:
            self.seen.append(("replace", str(source)))
            return replace(source, target)

        monkeypatch.setattr(os, "fsync", noted_fsync)
        monkeypatch.setattr(Path, "replace", noted_replace)


def test_a_file_appears_with_its_whole_content(place: str) -> None:
    file = Location(place) / "deep/folder/x.bin"
    with publish(file) as temporary:
        temporary.write_bytes(b"part one, ")
        assert not file.exists() and Location(place).files() == []
        with temporary.open("ab") as stream:
            stream.write(b"part two")
    assert file.read_bytes() == b"part one, part two"
    assert not temporary.exists() and Location(place).files() == [file]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_failing_block_leaves_what_was_there(place: str, error: type[BaseException]) -> None:
    new, old = Location(place) / "new", Location(place) / "old"
    write_bytes(old, b"as it was")
    for file in (new, old):
        with pytest.raises(error), publish(file) as temporary:
            temporary.write_bytes(b"half of it")
            raise error
        assert not temporary.exists()
    assert Location(place).files() == [old] and old.read_bytes() == b"as it was"
    if not old.is_remote:
        assert names(place) == ["old"]


def test_a_block_that_writes_nothing_is_noticed(place: str) -> None:
    with pytest.raises(FileNotFoundError), publish(Location(place) / "x"):
        pass
    assert Location(place).files() == []


def test_bytes_are_on_the_disk_before_the_name_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = Calls(monkeypatch)
    with publish(tmp_path / "x") as temporary:
        temporary.write_bytes(b"x")
    assert calls.seen == [("fsync", str(temporary)), ("replace", str(temporary))]


def test_writers_of_one_file_do_not_share_a_temporary_name(tmp_path: Path) -> None:
    with publish(tmp_path / "x") as first, publish(tmp_path / "x") as second:
        assert first != second
        first.write_bytes(b"first")
        second.write_bytes(b"second")
    assert (tmp_path / "x").read_bytes() == b"first" and names(tmp_path) == ["x"]


def test_an_upload_that_fails_leaves_what_was_there(s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    file, fs = Location(s3) / "x", filesystem(s3)
    write_bytes(file, b"as it was")

    def cut(path: str, uri: str) -> None:
        raise ConnectionResetError("cut")

    with monkeypatch.context() as patch:
        patch.setattr(fs, "put_file", cut)
        with pytest.raises(StorageError, match=r"/x: the server gave no usable answer .cut."):
            write_bytes(file, b"new")
    assert file.read_bytes() == b"as it was"


# Folders.


def test_a_folder_appears_whole_with_its_marker_last(place: str) -> None:
    target = Location(place) / "checkpoints/step_1"
    for round_number in (b"1", b"2"):
        with publish_folder(target, "config.json") as folder:
            for name in ("a.bin", "config.json", "z.bin"):
                (folder / name).write_bytes(round_number)
            (folder / "sub").mkdir()
            (folder / f"sub/only-{round_number.decode()}").touch()
            if round_number == b"1":
                assert not (target / "config.json").exists()
    assert [file.relative_to(target) for file in target.files()] == ["a.bin", "config.json", "sub/only-2", "z.bin"]
    assert (target / "a.bin").read_bytes() == b"2"


def test_a_folder_that_fails_leaves_the_old_one(place: str) -> None:
    target = Location(place) / "step_1"
    with publish_folder(target, "config.json") as folder:
        (folder / "config.json").touch()
    with pytest.raises(RuntimeError), publish_folder(target, "config.json") as folder:
        (folder / "a.bin").touch()
        raise RuntimeError
    with pytest.raises(AssertionError, match=r"config.json was not written"), publish_folder(target, "config.json"):
        pass
    assert Location(place).files() == [target / "config.json"]
    if not target.is_remote:
        assert names(place) == ["step_1"]


def test_a_folder_is_on_the_disk_before_its_name_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = Calls(monkeypatch)
    with publish_folder(tmp_path / "folder", "marker") as folder:
        (folder / "a").touch()
        (folder / "marker").touch()
    inside = [("fsync", str(folder / "a")), ("fsync", str(folder / "marker")), ("fsync", str(folder))]
    assert calls.seen == [*inside, ("replace", str(folder)), ("fsync", str(tmp_path))]


def test_the_marker_of_a_folder_is_uploaded_last(s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    target, fs = Location(s3) / "step_1", filesystem(s3)
    uploaded: list[str] = []
    put_file = fs.put_file
    monkeypatch.setattr(fs, "put_file", lambda path, uri: (uploaded.append(uri), put_file(path, uri)))
    with publish_folder(target, "config.json") as folder:
        for name in ("z", "config.json", "a"):
            (folder / name).touch()
    assert uploaded == [str(target / name) for name in ("a", "z", "config.json")]


# Errors.


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (errno.ENOSPC, r"the disk is full. Free some space, or choose another place with --workspace"),
        (errno.EDQUOT, "the disk is full"),
        (errno.EACCES, r"not writable \(.*\)\. Choose another place with --workspace"),
        (errno.EROFS, r"not writable"),
        (errno.EEXIST, r"a file is in the way"),
        (errno.ENOTDIR, r"a file is in the way"),
    ],
)
def test_refusals_to_write_are_one_message(code: int, message: str) -> None:
    with pytest.raises(StorageError, match=f"^/data/x: {message}"), storage_errors("/data/x"):
        raise OSError(code, os.strerror(code))


def test_other_errors_go_through(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="Input/output"), storage_errors(tmp_path):
        raise OSError(errno.EIO, os.strerror(errno.EIO))
    with pytest.raises(ConfigError, match="mine"), storage_errors("s3://b/x"):
        raise ConfigError("mine")


def test_an_error_of_a_file_that_the_block_reads_is_not_blamed_on_the_target(tmp_path: Path, place: str) -> None:
    (tmp_path / "source").mkdir()
    with pytest.raises(FileNotFoundError, match="missing"), publish(Location(place) / "x"):
        (tmp_path / "source/missing").read_bytes()
    with pytest.raises(PermissionError), publish(Location(place) / "x"):
        raise PermissionError(errno.EACCES, "Permission denied", str(tmp_path / "source/secret"))


def test_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder/x").mkdir(parents=True)
    for name in ("file/x", "file/deep/x", "folder"):
        with pytest.raises(StorageError, match=rf"{name}: a file is in the way"):
            write_bytes(tmp_path / name, b"")


def test_the_remedy_names_what_decides_the_place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    full = OSError(errno.ENOSPC, "No space left on device")
    monkeypatch.setenv("TAMIS_CACHE", str(tmp_path))
    with pytest.raises(StorageError, match="TAMIS_CACHE"), storage_errors(tmp_path / "remote/x"):
        raise full
    with pytest.raises(StorageError, match="TMPDIR"), storage_errors(Path(tempfile.gettempdir(), "tamis-upload-1/x")):
        raise full


def test_a_full_temporary_folder_is_named_when_uploading(s3: str) -> None:
    with pytest.raises(StorageError, match=r"disk is full.*TMPDIR"), publish(Location(s3) / "x"):
        raise OSError(errno.ENOSPC, "No space left on device")


# JSON.


def test_json_is_the_same_bytes_for_the_same_data(place: str) -> None:
    file = Location(place) / "x.json"
    write_json(file, {"b": [1, 2.5, None], "a": "ü"})
    assert file.read_text() == '{\n  "a": "ü",\n  "b": [\n    1,\n    2.5,\n    null\n  ]\n}\n'
    assert read_json(file) == {"a": "ü", "b": [1, 2.5, None]}
    write_text(file, "{")
    with pytest.raises(DataError, match=r"x\.json: no valid JSON .*Delete the file"):
        read_json(file)
    with pytest.raises(FileNotFoundError):
        read_json(Location(place) / "none.json")


def test_a_folder_in_place_of_a_json_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "record.json").mkdir()
    with pytest.raises(DataError, match="this is a folder, where a file is needed"):
        read_json(tmp_path / "record.json")
