"""Repeated windows and cuts against their plain-Python twins, on token arrays and texts meant to break them."""

import numpy as np
import pyarrow as pa
import pytest
from hostile import texts
from hypothesis import given, settings
from hypothesis import strategies as st

from tamis.kernels.dedup import spans, suffixes
from tamis.kernels.reference.dedup import spans as twin
from tamis.kernels.text.decoding import from_buffers, views
from tamis.kernels.text.uax_tokens import mix, uax_tokens

corpora = st.lists(
    st.tuples(st.lists(st.integers(0, 2), max_size=40), st.sampled_from([False, False, True])), min_size=1, max_size=8
)


def flat(documents: list[list[int]]) -> tuple[np.ndarray, np.ndarray]:
    offsets = np.cumsum([0] + [len(tokens) for tokens in documents]).astype(np.int64)
    values = np.array([token for tokens in documents for token in tokens], np.uint64)
    return np.array([mix(value + np.uint64(1)) for value in values], np.uint64), offsets


def rolled(
    documents: list[list[int]], planted: list[bool], width: int, keeps_first: bool, num_parts: int
) -> list[twin.TokenRanges]:
    """What each part finds."""
    tokens, offsets = flat(documents)
    marks = np.array(planted)
    found = []
    for part in range(num_parts):
        size = spans.count_windows(tokens, offsets, marks, width, num_parts, part) + 1
        table = np.zeros(size, np.uint64)
        out = [np.zeros(len(tokens) // width + 1, np.int64) for _ in range(3)]
        for mode in [spans.FIRST] if keeps_first else [spans.COUNT, spans.ASK]:
            count = spans.find_runs(tokens, offsets, marks, width, num_parts, part, table, mode, *out)
        found.append(list(zip(*(column[:count].tolist() for column in out), strict=True)))
    return found


def sorted_suffixes(documents: list[list[int]], planted: list[bool], width: int, keeps_first: bool) -> twin.TokenRanges:
    """The same from a suffix array made by plain sorting."""
    text = np.array([code for d, tokens in enumerate(documents) for code in (*tokens, 100 + d)], np.uint32)
    offsets = np.cumsum([0] + [len(tokens) + 1 for tokens in documents]).astype(np.int64)
    order = np.array(sorted(range(len(text)), key=lambda at: text[at:].tolist()), np.int32)
    lengths, flags = np.zeros(len(text), np.int32), np.zeros(len(text), np.bool_)
    suffixes.common_prefixes(text, order, np.zeros_like(order), width, lengths)
    suffixes.flag_windows(order, lengths, width, keeps_first, np.repeat(planted, np.diff(offsets)), flags)
    out = [np.zeros(len(text) // width + 1, np.int64) for _ in range(3)]
    count = suffixes.runs_of_flags(flags, offsets, width, *out)
    return list(zip(*(column[:count].tolist() for column in out), strict=True))


@settings(max_examples=300, deadline=None)
@given(corpora, st.integers(1, 12), st.booleans(), st.integers(1, 4))
def test_both_algorithms_find_what_repeats(
    corpus: list[tuple[list[int], bool]], width: int, keeps_first: bool, num_parts: int
) -> None:
    documents, planted = [tokens for tokens, _ in corpus], [mark for _, mark in corpus]
    wanted = twin.covered_runs(twin.repeated_windows(documents, width, keeps_first, planted), width)
    parts = rolled(documents, planted, width, keeps_first, num_parts)
    tokens = {(d, token) for part in parts for d, start, end in part for token in range(start, end)}
    assert tokens == {(d, token) for d, start, end in wanted for token in range(start, end)}
    if num_parts == 1:
        assert parts[0] == wanted
    assert sorted_suffixes(documents, planted, width, keeps_first) == wanted


def test_windows_that_follow_one_another_mostly_share_a_part() -> None:
    tokens = np.random.default_rng(0).integers(0, 2**63, 100_000).astype(np.uint64)
    parts, grams = np.zeros(len(tokens), np.int32), np.zeros(len(tokens), np.uint64)
    windows = spans.window_parts(tokens, 0, len(tokens), 50, 7, grams, parts)
    assert windows == len(tokens) - 49
    changes = np.count_nonzero(np.diff(parts[:windows]))
    assert changes < windows / 20
    assert np.bincount(parts[:windows]).min() > windows / 7 * 0.9
    again = np.zeros(len(tokens), np.int32)
    spans.window_parts(tokens, 777, len(tokens), 50, 7, grams, again)
    assert np.array_equal(again[: windows - 777], parts[777:windows]), "the part depends on the window alone"


def test_suffix_array_of_bytes_becomes_that_of_items() -> None:
    order = np.array([8, 1, 4, 3, 0, 9, 12], np.int32)
    assert suffixes.keep_aligned(order, 4) == 4
    assert order[:4].tolist() == [2, 1, 0, 3]


@settings(max_examples=200, deadline=None)
@given(st.lists(texts, min_size=1, max_size=4), st.randoms(use_true_random=False))
def test_cuts(documents: list[str], random: object) -> None:
    column = pa.array(documents)
    data, offsets = views(column)
    tokens = uax_tokens(column)
    cuts: list[tuple[int, int, int]] = []
    for d in range(len(documents)):
        count = int(tokens.offsets[d + 1] - tokens.offsets[d])
        edges = sorted(random.sample(range(count + 1), min(count + 1, 6)))  # type: ignore[attr-defined]
        cuts += [(d, start, end) for start, end in zip(edges[::2], edges[1::2], strict=False)]
    where, starts, ends = (np.array([cut[i] for cut in cuts], np.int64) for i in range(3))
    out_starts, out_ends = np.zeros(len(cuts), np.int64), np.zeros(len(cuts), np.int64)
    bridged = np.zeros(len(cuts), np.bool_)
    places = (tokens.starts, tokens.ends, tokens.offsets)
    spans.byte_spans(data, offsets, *places, where, starts, ends, out_starts, out_ends, bridged)
    out, out_offsets = np.zeros(len(data), np.uint8), np.zeros(len(offsets), np.int64)
    used = spans.cut(data, offsets, where, out_starts, out_ends, bridged, out, out_offsets)
    kept = from_buffers(out[:used], out_offsets).to_pylist()
    for d, document in enumerate(documents):
        mine = slice(tokens.offsets[d], tokens.offsets[d + 1])
        pairs = list(zip(tokens.starts[mine].tolist(), tokens.ends[mine].tolist(), strict=True))
        wanted = [twin.byte_span(document.encode(), pairs, start, end) for at, start, end in cuts if at == d]
        found = zip(out_starts[where == d], out_ends[where == d], bridged[where == d], strict=True)
        assert [(int(s), int(e), bool(b)) for s, e, b in found] == wanted
        assert kept[d].encode() == twin.cut(document.encode(), wanted)


@pytest.mark.parametrize(
    ("text", "start", "end", "wanted"),
    [
        ("a b c d", 1, 3, "a d"), ("a b c", 0, 2, "c"), ("a b c", 1, 3, "a"), (" a b\n", 0, 2, " \n"),
        ("a b.\n\nc", 1, 3, "a\n\nc"), ("a\nb c", 1, 2, "a\nc"), ("a,b c", 1, 3, "a c"), ("a,b", 1, 2, "a b"),
        ("a, b,c", 2, 4, "a, c"), ("漢字カ", 1, 2, "漢 カ"),
    ],
)  # fmt: skip
def test_what_is_left_is_not_glued(text: str, start: int, end: int, wanted: str) -> None:
    tokens = uax_tokens(pa.array([text]))
    pairs = list(zip(tokens.starts.tolist(), tokens.ends.tolist(), strict=True))
    assert twin.cut(text.encode(), [twin.byte_span(text.encode(), pairs, start, end)]).decode() == wanted


def test_warm_compiles_what_a_run_calls() -> None:
    spans.warm()
    compiled = len(spans.find_runs.dispatcher.signatures)
    tokens = np.frombuffer(bytes(8), np.uint64)
    out = [np.zeros(1, np.int64) for _ in range(3)]
    spans.find_runs(tokens, np.array([0, 1]), np.zeros(1, np.bool_), 50, 1, 0, np.zeros(9, np.uint64), 2, *out)
    assert len(spans.find_runs.dispatcher.signatures) == compiled
