"""What `first_places` needs to know of repeated spans: their windows, and the tokens of a text."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from tamis.base.stage import Sketches
from tamis.kernels.dedup.first_places import window_keys
from tamis.kernels.text.uax_tokens import uax_tokens
from tamis.stages.dedup.first_places import Asked, OwnPlace, TokenPlaces, WindowLines, document_keys
from tamis.stages.dedup.substring.ranges import TOKENS, read_lines


class SpanPlaces:
    """The windows of `width` tokens that were found repeated, of shards in `groups`."""

    decision_round = 1

    def __init__(self, width: int, groups: int, keeps_first: bool) -> None:
        self.groups, self._width = groups, width
        # Where the first place stays, no window is cut because it is its own first place.
        self.own_place: OwnPlace = "skipped" if keeps_first else "named"

    def stream(self, sketches: Sketches, shards: Sequence[int]) -> Iterator[WindowLines]:
        for lines in read_lines(sketches.batches(["shard", "row", TOKENS], shards)):
            keys = np.empty(int(lines.offsets[-1] - lines.offsets[0]), np.uint64)
            offsets = np.zeros(len(lines.offsets), np.int64)
            window_keys(lines.tokens, lines.offsets, self._width, keys, offsets)
            counts = np.diff(offsets)
            is_real = np.repeat(~lines.planted, counts)
            positions = (np.arange(offsets[-1]) - np.repeat(offsets[:-1], counts))[is_real]
            starts = np.concatenate([[0], np.cumsum(counts[~lines.planted])])
            yield WindowLines(
                shards=lines.shards[~lines.planted], rows=lines.rows[~lines.planted],
                keys=keys[: offsets[-1]][is_real], offsets=starts, positions=positions,
                unit_offsets=np.arange(len(starts)), unit_keys=starts[:-1], unit_numbers=np.zeros(len(starts) - 1),
            )  # fmt: skip

    def asked(self, lines: WindowLines, decisions: pa.Table) -> Asked:
        rows, starts, ends = (decisions[name].to_numpy().astype(np.int64) for name in ("row", "start", "end"))
        here = np.isin(rows, lines.rows)
        rows, starts, ends = rows[here], starts[here], ends[here]
        places = np.searchsorted(lines.rows, rows)
        begins = lines.offsets[places]
        return Asked(lines=places, first=begins + starts, last=begins + ends - self._width + 1, units=starts)

    def tokens(self, texts: pa.Array) -> TokenPlaces:
        tokens = uax_tokens(texts)

        def range_of(
            documents: np.ndarray, positions: np.ndarray, windows: np.ndarray
        ) -> tuple[np.ndarray, np.ndarray]:
            begins = tokens.offsets[documents] + positions
            return begins, begins + windows - 1 + self._width

        return TokenPlaces(starts=tokens.starts, ends=tokens.ends, hashes=tokens.hashes, range_of=range_of)

    def details(self, pieces: pa.Table, decisions: pa.Table) -> dict[str, Any]:
        """The number of documents of which a piece is told."""
        return {"documents": len(np.unique(document_keys(pieces)))}
