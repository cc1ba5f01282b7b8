"""A part of a file as a stream of its own."""

import io
from typing import BinaryIO


class Slice(io.RawIOBase):
    """The bytes from `start` up to `stop` of a seekable stream, as a stream of their own."""

    def __init__(self, raw: BinaryIO, start: int, stop: int | None = None) -> None:
        self._raw, self.start = raw, start
        self._length = (raw.seek(0, io.SEEK_END) if stop is None else stop) - start
        self._pos = 0
        raw.seek(start)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._pos

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._pos = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._pos, io.SEEK_END: self._length}[whence]
        self._raw.seek(self.start + self._pos)
        return self._pos

    def read(self, size: int = -1) -> bytes:
        left = max(0, self._length - self._pos)
        data = self._raw.read(left if size is None or size < 0 else min(size, left))
        self._pos += len(data)
        return data

    def readinto(self, buffer: "bytearray | memoryview") -> int:  # type: ignore[override]
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self._raw.close()
        super().close()


def place_in_file(raw: BinaryIO) -> int:
    """Where in its file the first byte of a stream stands."""
    return raw.start if isinstance(raw, Slice) else 0
