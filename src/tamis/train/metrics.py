"""metrics.jsonl: one line per optimizer step, each step exactly once, also across a crash and a resume."""

from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Self

import orjson

from tamis.store.append import AppendFile
from tamis.store.location import Location

OnMetrics = Callable[[dict[str, Any]], None]
"""Called after every step with its line of metrics.jsonl and `total_steps`."""


class MetricsLog:
    """Appends lines; opening it keeps the lines of the first `num_steps` steps and drops what came after them."""

    def __init__(self, place: Location, num_steps: int) -> None:
        lines = [orjson.dumps(line) + b"\n" for line in read_metrics(place) if line["step"] <= num_steps]
        self._file = AppendFile(place, b"".join(lines))

    def __enter__(self) -> Self:
        self._file.__enter__()
        return self

    def write(self, line: dict[str, Any]) -> None:
        self._file.write(orjson.dumps(line) + b"\n")

    def save(self) -> None:
        """Write all lines to disk. This is called before a checkpoint is saved, so that no checkpoint is ahead of the
        log."""
        self._file.save()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.__exit__(kind, error, trace)


def read_metrics(place: Location) -> Iterator[dict[str, Any]]:
    """Lines of a metrics.jsonl in order; a last line cut off by a crash is left out."""
    if not place.exists():
        return
    for line in place.read_bytes().splitlines(keepends=True):
        if line.endswith(b"\n"):
            yield orjson.loads(line)


def damaged_metrics(place: Location) -> Location | None:
    """`place` when its lines are not those of the steps 1, 2, 3, …; None when they are."""
    try:
        steps = [line["step"] for line in read_metrics(place)]
    except (ValueError, KeyError, TypeError):
        return place
    return None if steps == list(range(1, len(steps) + 1)) else place
