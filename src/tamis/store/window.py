"""The decoded bytes of a file around the place that is being read, with as much loaded ahead as is asked for.

Every byte is copied a bounded number of times, however often and however far a reader looks ahead.
"""

import re
from collections.abc import Iterator

MAX_LINE_BYTES = 1 << 16
"""Bytes of overlap between two stretches that are searched one after the other."""
_END = object()


class Window:
    """`data[pos:]` is what comes next; a gap in the chunks (None) ends the window until `next_part`."""

    def __init__(self, chunks: Iterator[bytes | None]) -> None:
        self._chunks = chunks
        self.part_ended = False
        """Whether all bytes of this part are loaded."""
        self.data = b""
        self.pos = 0
        self._loaded = 0

    def offset(self) -> int:
        """Number of bytes of the whole file before the position."""
        return self._loaded - self.left()

    def left(self) -> int:
        """Number of loaded bytes after the position."""
        return len(self.data) - self.pos

    def have(self, num_bytes: int) -> bool:
        """Load until `num_bytes` lie after the position; False when the part ends before."""
        left = self.left()
        if left >= num_bytes or self.part_ended:
            return left >= num_bytes
        # What is there already is copied. At least a quarter as much is therefore loaded with it, so that all copies
        # together take a time that grows with the size of the file alone.
        missing = max(num_bytes - left, left // 4)
        pieces = [self.data[self.pos :]]
        while missing > 0 and not self.part_ended:
            chunk = next(self._chunks, None)
            if chunk is None:
                self.part_ended = True
            else:
                pieces.append(chunk)
                missing -= len(chunk)
                self._loaded += len(chunk)
        self.data, self.pos = b"".join(pieces), 0
        return len(self.data) >= num_bytes

    def find(self, pattern: re.Pattern[bytes], limit: int) -> re.Match[bytes] | None:
        """First match after the position, for which about `limit` bytes are loaded and no more."""
        start, size = 0, 4096
        while True:
            complete = not self.have(min(size, limit))
            match = pattern.search(self.data, self.pos + start)
            # A match at the very edge may be the beginning of a longer one.
            if match and (complete or match.end() < len(self.data)):
                return match
            if complete or size >= limit:
                return match
            start = max(0, self.left() - MAX_LINE_BYTES)
            size = 2 * max(size, self.left())

    def next_part(self) -> bool:
        """Go on after a gap; False at the end of the file. (`None` from an ended iterator looks like a gap, too: then
        the part after it is empty.)"""
        self.part_ended = False
        chunk = next(self._chunks, _END)
        if isinstance(chunk, bytes):
            self.data, self.pos = chunk, 0
            self._loaded += len(chunk)
            return True
        if chunk is None:
            self.data, self.pos, self.part_ended = b"", 0, True
            return True
        return False
