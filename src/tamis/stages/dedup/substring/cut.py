"""Cuts token ranges out of texts."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import pyarrow as pa

from tamis.kernels.dedup.spans import byte_spans
from tamis.kernels.text.decoding import views
from tamis.kernels.text.uax_tokens import uax_tokens
from tamis.stages.dedup.cutting import without_spans


@dataclass(frozen=True, kw_only=True)
class Cuts:
    """The spans that are cut from a batch. Per span, in order: `documents` (int64: place in the batch), `starts`,
    `ends` (int64: bytes in the document), `bridged` (bool: whether a blank replaces it). Per document: `num_tokens` (0
    where nothing is cut) and `num_cut_tokens` (int64)."""

    documents: np.ndarray
    starts: np.ndarray
    ends: np.ndarray
    bridged: np.ndarray
    num_tokens: np.ndarray
    num_cut_tokens: np.ndarray

    @classmethod
    def of(cls, text: pa.Array, rows: np.ndarray, ranges: pa.Table) -> Self:
        """The cuts for the token `ranges` (`row, start, end`, ordered by row; those of one row do not touch) of the
        `rows` (int64, ascending), whose texts are `text`."""
        asked = ranges["row"].to_numpy()
        first, last = np.searchsorted(asked, rows[:1]), np.searchsorted(asked, rows[-1:], side="right")
        mine = slice(int(first[0]), int(last[0])) if len(rows) else slice(0, 0)
        asked, token_starts, token_ends = (
            column[mine].astype(np.int64) for column in (asked, ranges["start"].to_numpy(), ranges["end"].to_numpy())
        )
        num_tokens, num_cut = np.zeros(len(text), np.int64), np.zeros(len(text), np.int64)
        if not len(asked):
            none = np.zeros(0, np.int64)
            return cls(
                documents=none, starts=none, ends=none, bridged=none, num_tokens=num_tokens, num_cut_tokens=num_cut
            )
        order = np.lexsort((token_starts, asked))
        asked, token_starts, token_ends = asked[order], token_starts[order], token_ends[order]
        documents = np.searchsorted(rows, asked)
        concerned, which = np.unique(documents, return_inverse=True)
        texts = text.take(pa.array(concerned))
        tokens = uax_tokens(texts)
        data, offsets = views(texts)
        starts, ends, bridged = (np.empty(len(asked), kind) for kind in (np.int64, np.int64, np.bool_))
        places = (tokens.starts, tokens.ends, tokens.offsets)
        byte_spans(data, offsets, *places, which, token_starts, token_ends, starts, ends, bridged)
        num_tokens[concerned] = np.diff(tokens.offsets)
        np.add.at(num_cut, documents, token_ends - token_starts)
        return cls(
            documents=documents,
            starts=starts,
            ends=ends,
            bridged=bridged,
            num_tokens=num_tokens,
            num_cut_tokens=num_cut,
        )


def cut_text(text: pa.Array, cuts: Cuts) -> pa.Array:
    """`text` (string or large_string) after the cuts."""
    return without_spans(text, cuts.documents, cuts.starts, cuts.ends, cuts.bridged)


def list_spans(cuts: Cuts) -> pa.Array:
    """`list<list<int64>>`: per document its cuts as [start, end) in bytes."""
    pairs = np.stack([cuts.starts, cuts.ends], axis=1).ravel()
    inner = pa.ListArray.from_arrays(pa.array(np.arange(0, len(pairs) + 1, 2), pa.int32()), pa.array(pairs, pa.int64()))
    outer = np.searchsorted(cuts.documents, np.arange(len(cuts.num_tokens) + 1)).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(outer), inner)
