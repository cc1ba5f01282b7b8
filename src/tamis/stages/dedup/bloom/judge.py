"""The decision of one group: the n-grams of each sketch, in order, are looked up in the filter, and those of text that
stays are added to it."""

from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tamis.kernels.dedup.bloom import judge_units
from tamis.kernels.dedup.bloom_spans import judge_substrings
from tamis.stages.dedup.bloom.lists import from_lists, to_lists
from tamis.stages.dedup.planted import RATE

NGRAMS, UNIT_NUMBERS, UNIT_NGRAMS = "ngrams", "unit_numbers", "unit_ngrams"
"""Sketch columns: the hashes of the n-grams (list<uint64>), and of each unit that has n-grams its number and how many
it has (two list<int32>)."""

DECISION_SCHEMA = pa.schema(
    [
        ("shard", pa.int32()),
        ("row", pa.int64()),
        ("contained_ngrams", pa.int32()),
        ("total_ngrams", pa.int32()),
        ("duplicate_document", pa.bool_()),
        ("removed", pa.list_(pa.int32())),
    ]
)
"""`removed`: the numbers of the units that are removed; in substring mode the start and the end of each removed span in
tokens, alternately."""


@dataclass(kw_only=True)
class Judge:
    """Decides batches of sketches one after the other with one filter, and counts what it found.

    `whole`: whole documents are decided as well, by all their n-grams. `one_unit`: the document is the only unit. Where
    `least_tokens` is given, spans of at least that many tokens are looked for instead of units.
    """

    table: np.ndarray
    per_word: int
    threshold: float
    ngram: int
    whole: bool
    one_unit: bool
    least_tokens: int | None
    counts: dict[str, int] = field(default_factory=dict)
    rates: list[float] = field(default_factory=list)
    caught: list[bool] = field(default_factory=list)

    def decide(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Decisions on the real documents of `batch`, as `DECISION_SCHEMA`."""
        planted = np.zeros(batch.num_rows, np.bool_)
        if RATE in batch.schema.names:
            planted = batch.column(RATE).is_valid().to_numpy(zero_copy_only=False)
        contained = np.zeros(batch.num_rows, np.int32)
        judge = self._units if self.least_tokens is None else self._substrings
        removed, share = judge(batch, ~planted, contained)
        totals = pc.list_value_length(batch.column(NGRAMS)).to_numpy(zero_copy_only=False)
        duplicate = self.whole & (contained / totals > self.threshold)
        if planted.any():
            self.rates += batch.column(RATE).drop_null().to_pylist()
            self.caught += np.where(self.whole, duplicate, share > 0.5)[planted].tolist()
        columns = [
            batch.column("shard"),
            batch.column("row"),
            pa.array(contained),
            pa.array(totals),
            pa.array(duplicate),
            removed,
        ]
        decided = pa.RecordBatch.from_arrays(columns, schema=DECISION_SCHEMA)
        decided = decided.filter(pa.array(~planted)) if planted.any() else decided
        self._count(decided)
        return decided

    def _units(self, batch: pa.RecordBatch, inserts: np.ndarray, contained: np.ndarray) -> tuple[pa.Array, np.ndarray]:
        """The numbers of the units that are removed, and the share of a document's n-grams in them."""
        ngrams, _ = from_lists(batch.column(NGRAMS))
        sizes, offsets = from_lists(batch.column(UNIT_NGRAMS))
        numbers, _ = from_lists(batch.column(UNIT_NUMBERS))
        removed = np.zeros(len(sizes), np.bool_)
        judge_units(self.table, ngrams, sizes, offsets, self.threshold, self.per_word, inserts, contained, removed)
        lost = _sums(np.where(removed, sizes, 0), offsets) / np.maximum(_sums(sizes, offsets), 1)
        if self.one_unit:
            removed[:] = False
        ends = np.concatenate([[0], np.cumsum(removed)])[offsets]
        return to_lists(numbers[removed], ends), lost

    def _substrings(
        self, batch: pa.RecordBatch, inserts: np.ndarray, contained: np.ndarray
    ) -> tuple[pa.Array, np.ndarray]:
        """The spans that are removed, and the share of a document's tokens in them."""
        ngrams, offsets = from_lists(batch.column(NGRAMS))
        spans, ends = np.empty(2 * len(ngrams), np.int32), np.empty(len(offsets), np.int64)
        assert self.least_tokens is not None
        judge_substrings(
            self.table, ngrams, offsets, self.ngram, self.least_tokens, self.threshold, self.per_word, inserts,
            contained, spans, ends,
        )  # fmt: skip
        spans = spans[: ends[-1]].copy()
        lost = _sums(spans[1::2] - spans[::2], ends // 2) / (np.diff(offsets) + self.ngram - 1)
        return to_lists(spans, ends), lost

    def _count(self, decided: pa.RecordBatch) -> None:
        found = {
            "documents_with_ngrams": decided.num_rows,
            "contained_ngrams": pc.sum(decided.column("contained_ngrams")).as_py() or 0,
            "duplicate_documents": pc.sum(decided.column("duplicate_document")).as_py() or 0,
            "edited_documents": pc.sum(pc.greater(pc.list_value_length(decided.column("removed")), 0)).as_py() or 0,
        }
        self.counts = {name: self.counts.get(name, 0) + int(count) for name, count in found.items()}

    def filled_fraction(self) -> float:
        """Share of the filter's bits that are set."""
        set_bits = sum(int(np.bitwise_count(part).sum()) for part in np.array_split(self.table, 64))
        return set_bits / (64 * len(self.table))


def _sums(values: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Sum of `values[offsets[i]:offsets[i + 1]]` for every i."""
    running = np.concatenate([[0], np.cumsum(values, dtype=np.int64)])
    return np.diff(running[offsets])
