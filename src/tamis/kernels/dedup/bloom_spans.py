"""Spans of documents: runs of known n-grams as BFF joins them, and lines as bytes. `spans.cut` cuts both out."""

import numpy as np
import pyarrow as pa

from tamis.kernels.dedup.bloom import NEWLINE, WORDS_PER_BLOCK, contains, fetch_ahead, hash_ngrams, insert, judge_units
from tamis.kernels.dedup.spans import cut
from tamis.kernels.jit import kernel
from tamis.kernels.text.decoding import views
from tamis.kernels.text.uax_tokens import uax_tokens


@kernel
def _runs(found: np.ndarray, num_ngrams: int, size: int, starts: np.ndarray, ends: np.ndarray) -> int:
    """Tokens covered by n-grams that are `found`, as disjoint spans; returns how many."""
    count = 0
    for at in range(num_ngrams):
        # An n-gram that touches the run before it extends that run; otherwise it starts another.
        if found[at]:
            if count and ends[count - 1] >= at:
                ends[count - 1] = at + size
            else:
                starts[count], ends[count] = at, at + size
                count += 1
    return count


@kernel
def _joined(starts: np.ndarray, ends: np.ndarray, count: int, threshold: float) -> int:
    """Join spans, in place, to the one before, gap included, as long as at least `threshold` of the whole is covered by
    spans; then the same from the last one backward. Returns how many there are now.

    As BFF does it, going backward ends with the first gap that is too wide.
    """
    # First find out how far a walk from the last span backward would join.
    low, high, covered = starts[count - 1], ends[count - 1], ends[count - 1] - starts[count - 1]
    for at in range(count - 2, -1, -1):
        # The first gap that is too wide ends the walk.
        covered += ends[at] - starts[at]
        if covered < (high - starts[at]) * threshold:
            break
        low = starts[at]
    # Then walk forward, and join each span to the one before where enough is covered.
    made, covered = 1, ends[0] - starts[0]
    for at in range(1, count):
        start, end = starts[at], ends[at]
        covered += end - start
        if covered >= (end - starts[made - 1]) * threshold:
            ends[made - 1] = end
        else:
            starts[made], ends[made], covered = start, end, end - start
            made += 1
    # Join what the backward walk has reached.
    while made > 1 and ends[made - 2] >= low:
        made -= 1
        ends[made - 1] = high
    starts[made - 1] = min(starts[made - 1], low)
    return made


@kernel
def judge_substrings(
    table: np.ndarray, ngrams: np.ndarray, ngram_offsets: np.ndarray, size: int, least: int, threshold: float,
    per_word: int, inserts: np.ndarray, contained: np.ndarray, spans: np.ndarray, span_offsets: np.ndarray,
) -> None:  # fmt: skip
    """Each document's spans of tokens that are duplicates: runs of n-grams that the filter has, joined over short gaps
    if `threshold` < 1, of at least `least` tokens. The n-grams between them are added to the filter if `inserts` is
    True.

    Writes `spans` (int32: start, end, start, end...; room for 2 per n-gram), `span_offsets` (int64) and `contained`.
    """
    num_blocks = np.uint64(len(table) // WORDS_PER_BLOCK)
    count = 0
    span_offsets[0] = 0
    for document in range(len(contained)):
        # Look up every n-gram before any n-gram of this document is added.
        first, last = ngram_offsets[document], ngram_offsets[document + 1]
        found = np.empty(last - first, np.bool_)
        total = 0
        for at in range(first, last):
            fetch_ahead(table, num_blocks, ngrams, at)
            found[at - first] = contains(table, num_blocks, ngrams[at], per_word)
            total += found[at - first]
        contained[document] = total
        begin = count
        if total:
            # Join the n-grams that were found into spans, and keep those that are long enough.
            starts, ends = np.empty(total, np.int64), np.empty(total, np.int64)
            made = _runs(found, last - first, size, starts, ends)
            made = _joined(starts, ends, made, threshold)
            for at in range(made):
                if ends[at] - starts[at] >= least:
                    spans[count], spans[count + 1] = starts[at], ends[at]
                    count += 2
        span_offsets[document + 1] = count
        # Add the n-grams that lie between the spans.
        if inserts[document]:
            at = 0
            for span in range(begin, count + 1, 2):
                end = spans[span] if span < count else last - first + size - 1
                for gram in range(at, end - size + 1):
                    insert(table, num_blocks, ngrams[first + gram], per_word)
                at = spans[span + 1] if span < count else end


@kernel
def unit_spans(
    data: np.ndarray, offsets: np.ndarray, numbers: np.ndarray, number_offsets: np.ndarray, spans: np.ndarray
) -> None:
    """Byte span in the document of each unit in `numbers` (int32, ascending within a document) into `spans`
    (int64[units, 2]). A newline belongs to the unit after it; unit 0 starts at 0."""
    for document in range(len(offsets) - 1):
        start, unit, at = 0, 0, offsets[document]
        for which in range(number_offsets[document], number_offsets[document + 1]):
            # Walk from unit to unit up to the one that is wanted.
            while unit <= numbers[which]:
                start = at - offsets[document]
                if unit:
                    at += 1
                # A unit ends before the next newline, or with the document.
                while at < offsets[document + 1] and data[at] != NEWLINE:
                    at += 1
                unit += 1
            spans[which, 0], spans[which, 1] = start, at - offsets[document]


def warm() -> None:
    """Compile the kernels of Bloom dedup, or load them from the cache, for the types it calls them with."""
    # Arrays of the types that the stage hands over.
    texts = pa.array(["a b"])
    (data, offsets), tokens = views(texts), uax_tokens(texts)
    ngrams, ints, longs = np.zeros(2, np.uint64), np.zeros(4, np.int32), np.zeros(2, np.int64)
    places = (tokens.hashes, tokens.starts, tokens.ends, tokens.offsets)
    hash_ngrams(data, offsets, *places, 2, 2, True, ngrams, longs, ints, ints.copy(), longs.copy())
    table, flags = np.zeros(WORDS_PER_BLOCK, np.uint64), np.zeros(1, np.bool_)
    # Arrays that come from Arrow are read-only.
    stored, numbers, ends = pa.array(ngrams[:0]).to_numpy(), pa.array(ints[:0]).to_numpy(), np.zeros(2, np.int64)
    judge_substrings(table, stored, ends, 2, 2, 0.8, 1, flags, ints[:1], ints, ends.copy())
    judge_units(table, stored, numbers, ends, 0.8, 1, flags, ints[:1], flags.copy())
    spans = np.zeros((0, 2), np.int64)
    unit_spans(data, offsets, numbers, ends, spans)
    one = np.zeros(1, np.int64)
    cut(data, offsets, one, one.copy(), one + 1, np.zeros(1, np.bool_), np.zeros(8, np.uint8), ends.copy())
