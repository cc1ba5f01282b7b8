"""Applies a Bloom filter's decision to documents: it cuts text out and removes documents, or only writes both into
columns."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tamis.base import columns
from tamis.base.batches import replace_column, with_reason
from tamis.kernels.dedup.bloom_spans import unit_spans
from tamis.kernels.text.decoding import views
from tamis.kernels.text.uax_tokens import uax_tokens
from tamis.stages.dedup.bloom.lists import from_lists
from tamis.stages.dedup.cutting import without_spans
from tamis.stages.dedup.survivors import taken

CONTAINED, TOTAL, FRACTION = "contained_ngrams", "total_ngrams", "contained_fraction"
"""int32: n-grams of the document that were in the filter; int32: all its n-grams; float64: their ratio, NaN where there
are none."""
PARAGRAPHS, SUBSTRINGS = "removed_paragraphs", "removed_substrings"
"""int32: units or spans that were cut out, also of documents that were removed as a whole."""
SPANS, VERDICT = "duplicate_spans", "duplicate_reason"
"""Columns that are written with `annotate`. list<list<int64>>: [start, end) in bytes of the text that would have been
cut; string, nullable: the reason for which the document would have been removed."""

NGRAMS_REASON, PARAGRAPHS_REASON, SUBSTRINGS_REASON = (
    "duplicate_ngrams", "duplicate_paragraphs", "duplicate_substrings",
)  # fmt: skip

WHITE_SPACE = "".join(c for c in map(chr, [*range(0x3001)]) if c.isspace() and not "\x1c" <= c <= "\x1f")
"""Characters with Unicode's property White_Space."""


def added_columns(substring: bool, annotate: bool) -> pa.Schema:
    fields = [(CONTAINED, pa.int32()), (TOTAL, pa.int32()), (FRACTION, pa.float64())]
    fields.append((SUBSTRINGS if substring else PARAGRAPHS, pa.int32()))
    if annotate:
        fields += [(SPANS, pa.list_(pa.list_(pa.int64()))), (VERDICT, pa.string())]
    return pa.schema(fields)


def mark(batch: pa.RecordBatch, rows: pa.Array, decisions: pa.Table, mode: str, annotate: bool) -> pa.RecordBatch:
    """`batch` with the columns of `added_columns`, its `text` cut and `drop_reason` set unless `annotate`.

    A removed document keeps its text, so that users can inspect it. A document from which nothing is cut is not changed
    by a byte. In substring mode, as in BFF, a text that is cut also loses white space at both ends.
    """
    substring = mode == "substring"
    decided = decisions.combine_chunks()
    found = pc.index_in(rows, value_set=decided["row"])
    contained, total = (pc.fill_null(taken(decided, name, found), 0) for name in (CONTAINED, TOTAL))
    duplicate = pc.fill_null(taken(decided, "duplicate_document", found), False)
    removed = taken(decided, "removed", found)
    lengths = _numpy(pc.fill_null(pc.list_value_length(removed), 0))
    places = np.flatnonzero((lengths > 0) & (annotate | ~_numpy(duplicate)))
    texts, lists = batch.column(columns.TEXT).take(pa.array(places)), removed.take(pa.array(places))
    spans, offsets = _token_spans(texts, lists) if substring else _line_spans(texts, lists)
    which = np.repeat(np.arange(len(texts)), np.diff(offsets))
    remaining = without_spans(texts, which, spans[:, 0], spans[:, 1]).to_pylist()
    remaining = [text.strip(WHITE_SPACE) for text in remaining] if substring else remaining
    empty = np.array([not text.strip(WHITE_SPACE) for text in remaining], np.bool_)
    nothing_left = np.zeros(batch.num_rows, np.bool_)
    nothing_left[places] = empty
    emptied = SUBSTRINGS_REASON if substring else PARAGRAPHS_REASON
    reasons = with_reason(batch.column(columns.DROP_REASON), nothing_left, emptied)
    reasons = with_reason(reasons, duplicate, NGRAMS_REASON)
    with np.errstate(invalid="ignore"):
        fraction = pa.array(_numpy(contained) / _numpy(total))
    added = [contained, total, fraction, pa.array((lengths // (2 if substring else 1)).astype(np.int32))]
    if annotate:
        added += [_span_lists(batch, places, spans, offsets, duplicate if mode == "document" else None), reasons]
    else:
        batch = replace_column(batch, columns.DROP_REASON, reasons)
        edited = np.zeros(batch.num_rows, np.bool_)
        edited[places] = ~empty
        batch = replace_column(batch, columns.TEXT, _replaced(batch.column(columns.TEXT), edited, remaining, empty))
    for kind, column in zip(added_columns(substring, annotate), added, strict=True):
        batch = batch.append_column(kind, column)
    return batch


def _line_spans(texts: pa.Array, removed: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """`(spans int64[n, 2], offsets int64[len + 1])` in bytes, of the units that each document loses."""
    data, text_offsets = views(texts)
    numbers, offsets = from_lists(removed)
    spans = np.empty((len(numbers), 2), np.int64)
    unit_spans(data, text_offsets, numbers, offsets, spans)
    return spans, offsets


def _token_spans(texts: pa.Array, removed: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """As `_line_spans`, for spans of tokens: from the first token to the beginning of the token after the last one."""
    _, text_offsets = views(texts)
    tokens = uax_tokens(texts)
    ends, offsets = from_lists(removed)
    places = np.append(tokens.starts, 0)
    documents = np.repeat(np.arange(len(texts)), np.diff(offsets))
    which = tokens.offsets[documents] + ends
    last = which == tokens.offsets[documents + 1]
    spans = np.where(last, np.diff(text_offsets)[documents], places[which])
    return spans.reshape(-1, 2), offsets // 2


def _replaced(texts: pa.Array, edited: np.ndarray, remaining: list[str], empty: np.ndarray) -> pa.Array:
    kept = pa.array([text for text, gone in zip(remaining, empty, strict=True) if not gone], texts.type)
    return pc.replace_with_mask(texts, pa.array(edited), kept) if len(kept) else texts


def _span_lists(
    batch: pa.RecordBatch, places: np.ndarray, spans: np.ndarray, offsets: np.ndarray, whole: pa.Array | None
) -> pa.Array:
    """list<list<int64>> per document of the batch: its spans, or the whole text where the document is a duplicate
    (`whole`)."""
    lists: list[list[list[int]]] = [[] for _ in range(batch.num_rows)]
    for place, first, last in zip(places.tolist(), offsets[:-1].tolist(), offsets[1:].tolist(), strict=True):
        lists[place] = spans[first:last].tolist()
    if whole is not None:
        lengths = _numpy(pc.fill_null(pc.binary_length(batch.column(columns.TEXT)), 0))
        for place in np.flatnonzero(_numpy(whole)):
            lists[place] = [[0, int(lengths[place])]]
    return pa.array(lists, pa.list_(pa.list_(pa.int64())))


def _numpy(column: pa.Array) -> np.ndarray:
    values: np.ndarray = column.to_numpy(zero_copy_only=False)
    return values
