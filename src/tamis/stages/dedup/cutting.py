"""Cuts spans of bytes out of documents, for every method that removes parts of texts."""

import numpy as np
import pyarrow as pa

from tamis.kernels.dedup.spans import cut
from tamis.kernels.text.decoding import from_buffers, views


def without_spans(
    text: pa.Array, documents: np.ndarray, starts: np.ndarray, ends: np.ndarray, bridged: np.ndarray | None = None
) -> pa.Array:
    """`text` (string or large_string) without the bytes `starts[k]:ends[k]` (int64) of document `documents[k]`. The
    spans are in order and do not overlap. A blank replaces every span that is `bridged` (bool; None = no span is)."""
    if not len(documents):
        return text
    data, offsets = views(text)
    out, out_offsets = np.empty(int(offsets[-1] - offsets[0]), np.uint8), np.empty(len(offsets), np.int64)
    bridged = np.zeros(len(documents), np.bool_) if bridged is None else bridged
    spans = (np.ascontiguousarray(starts), np.ascontiguousarray(ends))
    used = cut(data, offsets, documents, *spans, bridged, out, out_offsets)
    return from_buffers(out[:used], out_offsets, text.is_null()).cast(text.type)
