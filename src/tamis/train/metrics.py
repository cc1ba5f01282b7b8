"""metrics.jsonl: one line per optimizer step, each step exactly once, also across a crash and a resume."""

import os
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import orjson

from tamis.store.atomic import storage_errors, write_bytes


class MetricsLog:
    """Appends lines; opening it keeps the lines of the first `num_steps` steps and drops what came after them."""

    def __init__(self, path: Path, num_steps: int) -> None:
        self.path = path
        lines = [orjson.dumps(line) + b"\n" for line in read_metrics(path) if line["step"] <= num_steps]
        write_bytes(path, b"".join(lines))

    def __enter__(self) -> Self:
        with storage_errors(self.path):
            self._file = self.path.open("ab", buffering=0)
        return self

    def write(self, line: dict[str, Any]) -> None:
        with storage_errors(self.path):
            self._file.write(orjson.dumps(line) + b"\n")

    def flush_to_disk(self) -> None:
        """Called before a checkpoint is saved: no checkpoint may know of steps that the log has lost."""
        os.fsync(self._file.fileno())

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()


def read_metrics(path: Path) -> Iterable[dict[str, Any]]:
    """Lines of a metrics.jsonl in order; a last line cut off by a crash is passed over."""
    if not path.exists():
        return
    for line in path.read_bytes().splitlines(keepends=True):
        if line.endswith(b"\n"):
            yield orjson.loads(line)
