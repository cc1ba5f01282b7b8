"""Repeated windows from a suffix array, as Lee et al. (2021) find them: exact, with all tokens of a group in memory.

Hashes of tokens are replaced by 32-bit numbers. Every document ends with a number of its own, so that no window reaches
into the next document. libdivsufsort sorts the suffixes of the numbers' big-endian bytes; those of them that begin at a
whole number are in the order of the suffixes of tokens.
"""

import numpy as np
import pyarrow as pa

from tamis.base.errors import DataError
from tamis.kernels.dedup.suffixes import common_prefixes, flag_windows, keep_aligned, runs_of_flags
from tamis.stages.dedup.substring.ranges import Ranges, Stream

ITEM_BYTES = 4
MOST_ITEMS = np.iinfo(np.int32).max // ITEM_BYTES
"""Up to this number of tokens and documents libdivsufsort's table has 4 bytes per byte, and beyond it 8."""


def memory_bytes(num_tokens: int, num_documents: int) -> int:
    """Peak memory for a group: the numbers, the suffix array of their bytes and two flags per token. Later steps need
    no more."""
    items = num_tokens + num_documents
    return items * (ITEM_BYTES + ITEM_BYTES * (4 if items <= MOST_ITEMS else 8) + 2)


def find_sorted(stream: Stream, width: int, keeps_first: bool) -> pa.Table:
    """The token ranges that repeated windows cover, as `ranges_table`. Raises DataError for a group with more distinct
    tokens and documents than 32 bits can number."""
    from pydivsufsort import divsufsort

    vocabulary, num_items = np.zeros(0, np.uint64), 0
    for lines in stream():
        hashes = lines.tokens[lines.offsets[0] : lines.offsets[-1]]
        vocabulary = np.union1d(vocabulary, hashes)
        num_items += len(hashes) + len(lines.rows)
    if not num_items:
        return Ranges().table()
    text, planted = _numbered(stream, vocabulary, num_items)
    del vocabulary
    work = divsufsort(text.view(np.uint8))
    flags = np.zeros(num_items, np.bool_)
    keep_aligned(work, ITEM_BYTES)
    order, places, lengths = (work[k * num_items : (k + 1) * num_items] for k in range(3))
    common_prefixes(text.view(np.uint32), order, places, width, lengths)
    flag_windows(order, lengths, width, keeps_first, planted, flags)
    return _ranges(stream, flags, width)


def _numbered(stream: Stream, vocabulary: np.ndarray, num_items: int) -> tuple[np.ndarray, np.ndarray]:
    """A big-endian uint32 per token and, after each document, one that occurs nowhere else; and which numbers are
    planted copies'."""
    text, planted = np.empty(num_items, ">u4"), np.zeros(num_items, np.bool_)
    at, separator = 0, len(vocabulary)
    for lines in stream():
        begin = lines.offsets[0]
        distinct, which = np.unique(lines.tokens[begin : lines.offsets[-1]], return_inverse=True)
        numbers = np.searchsorted(vocabulary, distinct)[which]
        count = len(lines.rows)
        if separator + count > np.iinfo(np.uint32).max:
            raise DataError(
                "dedup: too many distinct tokens for one suffix array. Set dedup.groups to a higher number."
            )
        here = text[at : at + len(numbers) + count]
        closing = lines.offsets[1:] - begin + np.arange(count)
        is_token = np.ones(len(here), np.bool_)
        is_token[closing] = False
        here[is_token] = numbers
        here[closing] = separator + np.arange(count)
        planted[at : at + len(here)] = np.repeat(lines.planted, np.diff(lines.offsets) + 1)
        at += len(here)
        separator += count
    return text, planted


def _ranges(stream: Stream, flags: np.ndarray, width: int) -> pa.Table:
    ranges, at = Ranges(), 0
    for lines in stream():
        offsets = lines.offsets - lines.offsets[0] + np.arange(len(lines.offsets))
        here = flags[at : at + offsets[-1]]
        documents, starts, ends = (np.empty(len(here) // width + 1, np.int64) for _ in range(3))
        count = runs_of_flags(here, offsets, width, documents, starts, ends)
        ranges.add(lines, documents[:count], starts[:count], ends[:count])
        at += len(here)
    return ranges.table()
