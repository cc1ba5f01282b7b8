"""What `first_places` needs to know of a Bloom filter's n-grams: which were cut, and the tokens of a text."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tamis.base.stage import Sketches
from tamis.kernels.dedup.bloom_spans import unit_spans
from tamis.kernels.text.decoding import views
from tamis.kernels.text.uax_tokens import uax_tokens
from tamis.stages.dedup.bloom.judge import NGRAMS, UNIT_NGRAMS, UNIT_NUMBERS
from tamis.stages.dedup.bloom.lists import from_lists, ngram_lists
from tamis.stages.dedup.first_places import Asked, OwnPlace, TokenPlaces, WindowLines, document_keys

_REACH = 1 << 32
"""A number larger than the number of tokens of any document."""


class NgramPlaces:
    """The n-grams of the text that is cut: of units, or of spans of tokens where `spans` is True."""

    decision_round = 0
    own_place: OwnPlace = "none"

    def __init__(
        self, *, ngram: int, least: int, by_line: bool, spans: bool, groups: int, threshold: float
    ) -> None:  # fmt: skip
        self.groups, self._ngram, self._least, self._by_line = groups, ngram, least, by_line
        self._spans, self._threshold = spans, threshold

    def stream(self, sketches: Sketches, shards: Sequence[int]) -> Iterator[WindowLines]:
        for batch in sketches.batches(["shard", "row", NGRAMS, UNIT_NUMBERS, UNIT_NGRAMS], shards):
            batch = batch.filter(pc.greater_equal(batch.column("row"), 0))
            keys, offsets = from_lists(batch.column(NGRAMS))
            numbers, _ = from_lists(batch.column(UNIT_NUMBERS))
            sizes, unit_offsets = from_lists(batch.column(UNIT_NGRAMS))
            yield WindowLines(
                shards=batch.column("shard").to_numpy(), rows=batch.column("row").to_numpy(), keys=keys,
                offsets=offsets, positions=np.arange(len(keys)) + np.repeat(_shifts(offsets, unit_offsets), sizes),
                unit_offsets=unit_offsets, unit_keys=np.cumsum(sizes) - sizes, unit_numbers=numbers,
            )  # fmt: skip

    def asked(self, lines: WindowLines, decisions: pa.Table) -> Asked:
        decided = decisions.take(pc.index_in(pa.array(lines.rows), value_set=decisions["row"])).combine_chunks()
        removed, offsets = from_lists(pa.concat_arrays(decided["removed"].chunks))
        owners = np.repeat(np.arange(len(lines.rows)), np.diff(offsets))
        if self._spans:
            first = lines.offsets[owners[::2]] + removed[::2]
            last = lines.offsets[owners[::2]] + removed[1::2] - self._ngram + 1
            return Asked(lines=owners[::2], first=first, last=last, units=np.zeros(len(first), np.int64))
        of_unit = np.repeat(np.arange(len(lines.rows)), np.diff(lines.unit_offsets))
        whole = decided["duplicate_document"].to_numpy()
        wanted = np.isin(of_unit * _REACH + lines.unit_numbers, owners * _REACH + removed) | whole[of_unit]
        first = lines.unit_keys[wanted]
        last = np.append(lines.unit_keys, len(lines.keys))[1:][wanted]
        return Asked(lines=of_unit[wanted], first=first, last=last, units=lines.positions[first])

    def tokens(self, texts: pa.Array) -> TokenPlaces:
        tokens = uax_tokens(texts)
        _, number_lists, size_lists = ngram_lists(texts, self._ngram, self._least, self._by_line)
        numbers, unit_offsets = from_lists(number_lists)
        sizes, _ = from_lists(size_lists)
        of_unit = np.repeat(np.arange(len(texts)), np.diff(unit_offsets))
        data, text_offsets = views(texts)
        spans = np.empty((len(numbers), 2), np.int64)
        unit_spans(data, text_offsets, numbers, unit_offsets, spans)
        if not self._by_line:
            spans[:, 1] = np.diff(text_offsets)[of_unit]
        of_token = np.repeat(np.arange(len(texts)), np.diff(tokens.offsets)) * _REACH
        first = np.searchsorted(of_token + tokens.starts, of_unit * _REACH + spans[:, 0])
        last = np.searchsorted(of_token + tokens.starts, of_unit * _REACH + spans[:, 1])
        before = np.cumsum(sizes) - sizes
        ends = np.append(before, sizes.sum())
        begins = of_unit * _REACH + before + _shifts(ends[unit_offsets], unit_offsets)

        def range_of(
            documents: np.ndarray, positions: np.ndarray, windows: np.ndarray
        ) -> tuple[np.ndarray, np.ndarray]:
            asked = documents * _REACH + positions
            unit = np.searchsorted(begins, asked, side="right") - 1
            begin = first[unit] + asked - begins[unit]
            # The only n-gram of a short unit is as long as the unit.
            return begin, np.minimum(begin + windows - 1 + self._ngram, last[unit])

        return TokenPlaces(starts=tokens.starts, ends=tokens.ends, hashes=tokens.hashes, range_of=range_of)

    def details(self, pieces: pa.Table, decisions: pa.Table) -> dict[str, Any]:
        """How many n-grams of the cut text have no earlier place; where units are cut, how many of them were cut, and
        how many only because of false positives: so few of their n-grams have an earlier place."""
        windows = pieces["windows"].to_numpy()
        placed = np.where(pieces["document"].is_valid().to_numpy(), windows, 0)
        found = {"ngrams_cut": int(windows.sum()), "ngrams_without_place": int((windows - placed).sum())}
        if self._spans:
            return found
        keys = document_keys(pieces)
        whole = decisions.filter(decisions["duplicate_document"])
        units = np.where(np.isin(keys, document_keys(whole)), -1, pieces["unit"].to_numpy())
        _, which = np.unique(np.stack([keys, units]), axis=1, return_inverse=True)
        shares = np.bincount(which.ravel(), placed) / np.maximum(np.bincount(which.ravel(), windows), 1)
        return found | {"cuts": len(shares), "cuts_by_false_positives": int((shares <= self._threshold).sum())}


def _shifts(offsets: np.ndarray, unit_offsets: np.ndarray) -> np.ndarray:
    """int64 per unit: what is added to the number of an n-gram among all to get its position: its number in the
    document, and 1 for each unit of the document before its own. `offsets` and `unit_offsets` are those of documents,
    in n-grams and units."""
    counts = np.diff(unit_offsets)
    ordinals = np.arange(unit_offsets[-1]) - np.repeat(unit_offsets[:-1], counts)
    shifts: np.ndarray = ordinals - np.repeat(offsets[:-1], counts)
    return shifts
