"""Publishing files and folders: written under a temporary name, flushed to disk, then renamed; on an object store, one
upload per file.

A file that exists is whole, whichever process was killed when; so is a folder that holds its marker file.
"""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson

from tamis.base.errors import DataError
from tamis.store.location import Location
from tamis.store.writing import flush_to_disk, is_temporary, publish, storage_errors, temporary_name, upload

Place = Location | Path | str


@contextmanager
def publish_folder(place: Place, marker: str) -> Iterator[Path]:
    """Yield a local temporary folder; on success its files become the files of the folder at `place`, which is replaced
    where it is there; on failure they are deleted. `marker` names the file that is published last: where it exists, the
    folder is whole. Raises StorageError as `publish`, and AssertionError when `marker` was not written.
    """
    target = Location(place)
    if target.is_remote:
        with tempfile.TemporaryDirectory(prefix="tamis-upload-") as name:
            folder = Path(name)
            with storage_errors(folder):
                yield folder
            assert (folder / marker).is_file(), f"{target}: {marker} was not written"
            (target / marker).delete_file()
            target.delete_folder()
            for file in sorted(Location(folder).files(), key=lambda file: file.path == folder / marker):
                upload(file.path, str(target / file.relative_to(Location(folder))))
        return
    path = target.path
    temporary = temporary_name(path)
    with storage_errors(target):
        temporary.mkdir(parents=True)
        try:
            yield temporary
            assert (temporary / marker).is_file(), f"{target}: {marker} was not written"
            for inside in [*sorted(temporary.rglob("*")), temporary]:
                flush_to_disk(inside)
            # The old folder loses its marker first, so that it is never taken for whole while it is being deleted.
            (target / marker).delete_file()
            target.delete_folder()
            temporary.replace(path)
            flush_to_disk(path.parent)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def is_whole(folder: Location, marker: str) -> bool:
    """Whether `folder` is one that `publish_folder` finished."""
    return not is_temporary(folder.name) and (folder / marker).is_file()


def delete_leftovers(folder: Location) -> None:
    """Delete what killed processes of Tamis left unpublished in `folder`. Only for a folder that no other process of
    Tamis writes in now."""
    if folder.is_remote:
        return
    for path in folder.path.iterdir() if folder.path.is_dir() else ():
        if is_temporary(path.name):
            Location(path).delete_folder() if path.is_dir() else path.unlink(missing_ok=True)


def write_bytes(place: Place, data: bytes) -> None:
    with publish(place) as temporary:
        temporary.write_bytes(data)


def write_text(place: Place, text: str) -> None:
    write_bytes(place, text.encode())


def write_json(place: Place, data: Any) -> None:
    """Indented, with sorted keys: the same data gives the same bytes."""
    options = orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE
    write_bytes(place, orjson.dumps(data, option=options))


def read_json(place: Place) -> Any:
    """Raises FileNotFoundError, and DataError naming the file when it holds no JSON."""
    try:
        return orjson.loads(Location(place).read_bytes())
    except orjson.JSONDecodeError as error:
        raise DataError(f"{place}: no valid JSON ({error}). Delete the file and run the same command again.") from None
