"""Counts the documents of each source, a host or a language, that enter a step on one shard and that leave it there.

They are written beside the removed rows, as a small table of (by, name, reason, documents), and added up over all
shards for the card (`source_accounts`). At most `MOST_ROWS` documents are counted in memory: then the counts go to the
file, and begin anew. Where that happens depends on the order of the documents alone, so that the file is the same
however they were batched.
"""

from collections import Counter
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tamis.base import columns

HOST, LANGUAGE = "host", "language"
COUNTED = (HOST, LANGUAGE)
"""Kinds of source that documents of one shard differ in."""
MOST_ROWS = 1 << 17
TABLE = pa.schema([("by", pa.string()), ("name", pa.string()), ("reason", pa.string()), ("documents", pa.int64())])
"""`reason` is '' in the line of all documents that came in; another line says how many of them left for that reason."""
QUARANTINED = "quarantined: "
"""Begins the reason of a document that was quarantined; the kind of error follows."""


class SourceTally:
    """The counts of one step on one shard."""

    def __init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self._rows = 0
        self._came: dict[str, Counter[str]] = {by: Counter() for by in COUNTED}
        self._left: dict[str, Counter[tuple[str, str]]] = {by: Counter() for by in COUNTED}

    def add(self, hosts: np.ndarray, batch: pa.RecordBatch, gone: np.ndarray) -> Iterator[pa.RecordBatch]:
        """Count a batch as the stage returned it; `hosts` (object[rows]) are those of its documents, and `gone`
        (bool[rows]) is `is_gone` of it. Yields lines of the table that are complete."""
        languages = _languages(batch)
        gone_rows = np.flatnonzero(gone)
        reasons = np.array(_reasons(batch, gone_rows), object)
        start = 0
        while start < batch.num_rows:
            part = slice(start, min(batch.num_rows, start + MOST_ROWS - self._rows))
            first, last = np.searchsorted(gone_rows, [part.start, part.stop])
            self._count(
                hosts[part], None if languages is None else languages[part],
                gone_rows[first:last] - start, reasons[first:last],
            )  # fmt: skip
            start = part.stop
            if self._rows == MOST_ROWS:
                yield from self.flush()

    def _count(self, hosts: np.ndarray, languages: pa.Array | None, gone: np.ndarray, reasons: np.ndarray) -> None:
        """`gone` are the numbers of the rows that left, `reasons` why."""
        self._rows += len(hosts)
        self._came[HOST].update(hosts.tolist())
        self._left[HOST].update(zip(hosts[gone].tolist(), reasons.tolist(), strict=True))
        if languages is not None:
            self._came[LANGUAGE].update({v["values"]: v["counts"] for v in languages.value_counts().to_pylist()})
            self._left[LANGUAGE].update(zip(languages.take(pa.array(gone)).to_pylist(), reasons.tolist(), strict=True))

    def flush(self) -> Iterator[pa.RecordBatch]:
        """The lines of what was counted since the last ones."""
        lines = []
        for by in COUNTED:
            counts = {(name, ""): number for name, number in self._came[by].items()} | self._left[by]
            lines += [(by, *key, number) for key, number in sorted(counts.items())]
        self._begin()
        if lines:
            yield pa.RecordBatch.from_arrays(
                [pa.array(values, item.type) for values, item in zip(zip(*lines, strict=True), TABLE, strict=True)],
                schema=TABLE,
            )


def is_gone(batch: pa.RecordBatch) -> np.ndarray:
    """The rows (bool[rows]) that a stage removed or quarantined."""
    gone = pc.or_(pc.is_valid(batch.column(columns.DROP_REASON)), pc.is_valid(batch.column(columns.ERROR)))
    found: np.ndarray = gone.to_numpy(zero_copy_only=False)
    return found


def _reasons(batch: pa.RecordBatch, gone: np.ndarray) -> list[str]:
    """Why the rows with these numbers left."""
    if len(gone) == 0:
        return []
    rows = pa.array(gone)
    removed = batch.column(columns.DROP_REASON).take(rows).to_pylist()
    failed = batch.column(columns.ERROR).take(rows).to_pylist()
    return [
        reason if error is None else QUARANTINED + error.split(":", 1)[0]
        for reason, error in zip(removed, failed, strict=True)
    ]


def _languages(batch: pa.RecordBatch) -> pa.Array | None:
    """The language of each document, '' where none was detected; None where no step has asked for it."""
    place = batch.schema.get_field_index(LANGUAGE)
    if place < 0 or not pa.types.is_string(batch.schema.field(place).type):
        return None
    return pc.fill_null(batch.column(place), "")
