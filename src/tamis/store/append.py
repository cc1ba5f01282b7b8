"""Files that grow: bytes are appended as they come, and the file can be made durable at chosen moments.

A local file is appended to in place. An object store cannot append: there the file grows in a temporary folder of this
machine and is uploaded, whole, at each `save`.
"""

import os
import tempfile
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from tamis.base.errors import StorageError
from tamis.store.atomic import Place, storage_errors, write_bytes
from tamis.store.location import Location


class AppendFile:
    """Replaces the file at `place` by one with the bytes `start`, then appends to it until the block ends."""

    def __init__(self, place: Place, start: bytes) -> None:
        self.place = Location(place)
        self._start = start

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            if self.place.is_remote:
                folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="tamis-append-"))
                self._local = Path(folder, self.place.name)
            else:
                self._local = self.place.path
            write_bytes(self._local, self._start)
            with storage_errors(self.place):
                self._file = stack.enter_context(self._local.open("ab", buffering=0))
            self._stack = stack.pop_all()
        return self

    def write(self, data: bytes) -> None:
        with storage_errors(self.place):
            self._file.write(data)

    def save(self) -> None:
        """Returns when all that was written would survive a crash of this machine."""
        if not self.place.is_remote:
            with storage_errors(self.place):
                os.fsync(self._file.fileno())
            return
        write_bytes(self.place, self._local.read_bytes())

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._stack:
            # After a refusal to write, one more attempt would hide the reason.
            if not isinstance(error, OSError | StorageError):
                self.save()
