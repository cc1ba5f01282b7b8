"""Repeated windows out of core: one hash table per part, filled as the tokens stream by.

The table holds 63 bits for every window of the part; where they stand is given by 64 independent bits. A search looks
at six entries at most, on average, so that a window is taken for a repeat of a different one with a probability of
6 / 2^63: less than once in 10^12 windows, a thousand times over. Two different tokens have the same hash with a
probability of 2^-64 a pair.
"""

import numpy as np
import pyarrow as pa

from tamis.kernels.dedup.spans import ASK, COUNT, FIRST, count_windows, find_runs
from tamis.stages.dedup.substring.ranges import Ranges, Stream, TokenLines

LOAD = 0.7
"""Share of the table's places that are taken if all windows differ; a search then looks at six entries at most, on
average (Knuth, vol. 3, 6.4: (1 + 1 / (1 - load)^2) / 2)."""


def table_bytes(num_windows: int) -> int:
    """Bytes of the hash table for so many windows."""
    return 8 * (int(num_windows / LOAD) + 64)


def find(stream: Stream, num_windows: int | None, width: int, keeps_first: bool, num_parts: int, part: int) -> pa.Table:
    """The token ranges that the repeated windows of `part` cover, as `ranges_table`. `num_windows` of the part are
    counted if not known; planted ones are none of them."""
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
