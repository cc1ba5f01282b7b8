"""Temporary folders, for libraries that read and write files only."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tamis.store.atomic import storage_errors


class TemporaryFolder:
    """A folder of this machine that is deleted when the block of `scratch` ends. Names are file names in it."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def path(self, name: str) -> Path:
        """Where the file `name` lies, or is to be written by a library."""
        return self._root / name

    def write_text(self, name: str, text: str) -> None:
        """Write UTF-8 with newlines as they are."""
        with storage_errors(self.path(name)):
            self.path(name).write_text(text, encoding="utf-8", newline="")

    def read_bytes(self, name: str) -> bytes:
        return self.path(name).read_bytes()


@contextmanager
def scratch() -> Iterator[TemporaryFolder]:
    """An empty folder for the length of the block. Raises StorageError when the disk is full or not writable."""
    with tempfile.TemporaryDirectory(prefix="tamis-") as folder:
        root = Path(folder)
        with storage_errors(root / "files"):
            yield TemporaryFolder(root)


def keep_text(prefix: str, text: str) -> Path:
    """A new file with `text` in the folder for temporary files, which stays. Raises StorageError."""
    with storage_errors(Path(tempfile.gettempdir()) / prefix):
        descriptor, name = tempfile.mkstemp(prefix=prefix, suffix=".txt")
        os.close(descriptor)
        Path(name).write_text(text, encoding="utf-8", errors="replace")
    return Path(name)
