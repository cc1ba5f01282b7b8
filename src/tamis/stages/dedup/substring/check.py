"""The self-check of substring deduplication: how much of planted copies would be cut, and how much must at least be
cut."""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tamis.base.stage import Sketches
from tamis.base.words import WORD
from tamis.kernels.text.uax_tokens import uax_tokens
from tamis.stages.dedup.planted import RATE, RATES, recall_by_rate
from tamis.stages.dedup.substring.ranges import NUM_TOKENS

UNCHANGED = "unchanged_tokens"
"""int32 sketch column: number of tokens of a planted copy in unchanged runs of `min_tokens` or more."""


def unchanged_tokens(originals: pa.Array, copies: pa.Array, min_tokens: int) -> np.ndarray:
    """`int32[n]`: number of tokens of each copy in runs of `min_tokens` or more that contain no replaced word.

    A copy has as many words as its original, one for one.
    """
    tokens = uax_tokens(copies)
    found = np.zeros(len(copies), np.int32)
    for d, (original, copy) in enumerate(zip(originals.to_pylist(), copies.to_pylist(), strict=True)):
        here = slice(tokens.offsets[d], tokens.offsets[d + 1])
        changed = _changed_bytes(original, copy)
        after = np.searchsorted(tokens.starts[here], changed[:, 1])
        before = np.searchsorted(tokens.ends[here], changed[:, 0], side="right")
        edges = np.concatenate([[0], np.stack([before, after], axis=1).ravel(), [here.stop - here.start]])
        runs = edges[1::2] - edges[::2]
        found[d] = runs[runs >= min_tokens].sum()
    return found


def _changed_bytes(original: str, copy: str) -> np.ndarray:
    """`int64[k, 2]`: start and end in bytes of the replaced words of `copy`."""
    places, byte, last = [], 0, 0
    for here, there in zip(WORD.finditer(copy), WORD.finditer(original), strict=True):
        if here.group() != there.group():
            byte += len(copy[last : here.start()].encode())
            last = here.end()
            places.append((byte, byte + len(here.group().encode())))
            byte = places[-1][1]
    return np.array(places, np.int64).reshape(-1, 2)


def planted_lines(sketches: Sketches) -> pa.Table:
    """`shard, row, num_tokens, rate, unchanged_tokens` of all planted copies."""
    names = ["shard", "row", NUM_TOKENS, RATE, UNCHANGED]
    parts = [batch.filter(pc.less(batch.column("row"), 0)) for batch in sketches.batches(names)]
    return pa.Table.from_batches(parts, schema=None if parts else sketches.schema(names))


def self_check(planted: pa.Table, shards: np.ndarray, rows: np.ndarray, lengths: np.ndarray) -> list[dict[str, Any]]:
    """For the card, per rate: `planted` copies, those `caught` (more than half of their tokens would be cut), their
    share `recall`, the share of all their tokens that would be cut, and the share that stands in long unchanged runs,
    which is the least that must be cut. `shards, rows, lengths` are the ranges that were found."""
    cut_tokens: dict[tuple[int, int], int] = {}
    for shard, row, length in zip(*(a[rows < 0].tolist() for a in (shards, rows, lengths)), strict=True):
        cut_tokens[shard, row] = cut_tokens.get((shard, row), 0) + length
    places = zip(planted["shard"].to_pylist(), planted["row"].to_pylist(), strict=True)
    cuts = np.array([cut_tokens.get(place, 0) for place in places], np.int64)
    totals, unchanged = planted[NUM_TOKENS].to_numpy(), planted[UNCHANGED].to_numpy()
    rates = planted[RATE].to_numpy()
    shares = {}
    for rate in RATES:
        these = rates == np.float32(rate)
        total = max(int(totals[these].sum()), 1)
        shares[rate] = {
            "cut_token_fraction": round(int(cuts[these].sum()) / total, 4),
            "unchanged_token_fraction": round(int(unchanged[these].sum()) / total, 4),
        }
    return [line | shares[line["rate"]] for line in recall_by_rate(rates, cuts > totals / 2)]
