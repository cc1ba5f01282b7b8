"""Finds repeated windows without the corpus in memory: one hash table per part is filled while the tokens are streamed.

The table holds a hash of 63 bits for every window of the part; its position is given by 64 independent bits. A search
reads six entries at most, on average, so that a window is taken for a repeat of a different one with a probability of 6
/ 2^63, which is less than 10^-18. Two different tokens have the same hash with a probability of 2^-64 per pair.
"""

import numpy as np
import pyarrow as pa

from tamis.kernels.dedup.spans import ASK, COUNT, FIRST, count_windows, find_runs
from tamis.stages.dedup.substring.ranges import Ranges, Stream, TokenLines

LOAD = 0.7
"""The load factor: share of the table's entries that are used if all windows differ. A search then reads six entries at
most, on average (Knuth, vol. 3, 6.4: (1 + 1 / (1 - load)^2) / 2)."""


def table_bytes(num_windows: int) -> int:
    """Bytes of the hash table for `num_windows` windows."""
    return 8 * (int(num_windows / LOAD) + 64)


def find(stream: Stream, num_windows: int | None, width: int, keeps_first: bool, num_parts: int, part: int) -> pa.Table:
    """The token ranges that the repeated windows of `part` cover, as `ranges_table`. `num_windows` of the part are
    counted if they are not given; windows of planted copies are not included."""
    if num_windows is None:
        counts = (count_windows(r.tokens, r.offsets, r.planted, width, num_parts, part) for r in stream())
        num_windows = sum(map(int, counts))
    table = np.zeros(table_bytes(num_windows) // 8, np.uint64)
    if not keeps_first:
        for lines in stream():
            _search(lines, width, num_parts, part, table, COUNT)
    ranges = Ranges()
    for lines in stream():
        ranges.add(lines, *_search(lines, width, num_parts, part, table, FIRST if keeps_first else ASK))
    return ranges.table()


def _search(
    lines: TokenLines, width: int, num_parts: int, part: int, table: np.ndarray, mode: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    room = int(lines.offsets[-1] - lines.offsets[0]) // width + 1
    documents, starts, ends = (np.empty(room, np.int64) for _ in range(3))
    count = find_runs(
        lines.tokens, lines.offsets, lines.planted, width, num_parts, part, table, mode, documents, starts, ends
    )
    return documents[:count], starts[:count], ends[:count]
