"""Records of fixed size, split by a number into parts that fit into memory: on the disk where there are several."""

import numpy as np

from tamis.store.atomic import storage_errors
from tamis.store.scratch import TemporaryFolder

CHUNK_BYTES = 64 << 20
"""Records wait in memory up to this size before they are written to their parts."""


class Spill:
    """Records of `dtype` in `num_parts` parts. A single part stays in memory."""

    def __init__(self, folder: TemporaryFolder, name: str, dtype: np.dtype, num_parts: int) -> None:
        self._folder, self._name, self._dtype, self.num_parts = folder, name, dtype, num_parts
        self._waiting: list[tuple[np.ndarray, np.ndarray]] = []
        self._bytes = 0

    def add(self, records: np.ndarray, numbers: np.ndarray) -> None:
        """`numbers` (uint64[n]) decide which part each record goes to: equal numbers to the same."""
        self._waiting.append((records, numbers % np.uint64(self.num_parts)))
        self._bytes += records.nbytes
        if self.num_parts > 1 and self._bytes >= CHUNK_BYTES:
            self._write()

    def _write(self) -> None:
        if not self._waiting:
            return
        records, parts = (np.concatenate(each) for each in zip(*self._waiting, strict=True))
        order = np.argsort(parts, kind="stable")
        ends = np.searchsorted(parts[order], np.arange(self.num_parts + 1))
        for part in range(self.num_parts):
            mine = records[order[ends[part] : ends[part + 1]]]
            path = self._folder.path(f"{self._name}-{part}")
            if len(mine):
                with storage_errors(path), path.open("ab") as stream:
                    stream.write(mine.tobytes())
        self._waiting, self._bytes = [], 0

    def read(self, part: int) -> np.ndarray:
        """All records of one part, in the order in which they were added. Nothing can be added after this."""
        if self.num_parts == 1:
            return np.concatenate([np.empty(0, self._dtype), *(records for records, _ in self._waiting)])
        self._write()
        path = self._folder.path(f"{self._name}-{part}")
        return np.frombuffer(path.read_bytes() if path.exists() else b"", self._dtype)
