"""Tokens of UAX 29 as hashes: the kernel against its twin, on generated and hostile text and on what is no text."""

from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hostile import texts
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tamis.kernels.reference.text import uax_tokens as twin
from tamis.kernels.text.decoding import from_buffers
from tamis.kernels.text.uax_tokens import uax_tokens

ASCII = st.text(st.sampled_from(" \t\n\r\v\f\x1c\x1fab9_.,':;\"-é’\u0301\u200d\u3000 א"), max_size=40) | st.text(
    st.sampled_from("azAZ{`@[ ."), max_size=60
)


def rows(column: pa.Array) -> list[list[tuple[int, int, int]]]:
    found = uax_tokens(column)
    flat = list(zip(found.hashes.tolist(), found.starts.tolist(), found.ends.tolist(), strict=True))
    return [flat[a:b] for a, b in zip(found.offsets[:-1].tolist(), found.offsets[1:].tolist(), strict=True)]


@settings(max_examples=400, deadline=None)
@given(st.lists(texts | ASCII, max_size=4))
@example([" \u0301", "  \u0301 a", "\t\u0301", "x\u3000 \u0301y", "a.\u0301b", "a'é", "1,é", "é  \u0301", "_.a", "a_"])
def test_as_the_twin(documents: list[str]) -> None:
    assert rows(pa.array(documents, pa.string())) == [twin.uax_tokens(text) for text in documents]


def test_tokens_are_words_and_marks() -> None:
    text = "Don't pay $3.50, e.g. 1,000 naïve\u00a0cafés — now\x1f!\n_x_ a:b 1:2"
    words = [text.encode()[a:b].decode() for _, a, b in rows(pa.array([text]))[0]]
    expected = "Don't|pay|$|3.50|,|e.g|.|1,000|naïve|cafés|—|now|\x1f|!|_x_|a:b|1|:|2"
    assert words == expected.split("|")


def test_slices_nulls_and_large_strings() -> None:
    column = pa.array(["not this", "a b", None, "", " \n\u2028", "a b"])
    sliced = rows(column.slice(1))
    assert sliced == [twin.uax_tokens("a b"), [], [], [], twin.uax_tokens("a b")]
    assert rows(column.cast(pa.large_string()).slice(1)) == sliced
    assert rows(pa.array([], pa.string())) == []
    with pytest.raises(TypeError, match="string"):
        uax_tokens(pa.array([1]))


def test_long_stretches_without_ascii() -> None:
    text = "漢字" * 5000 + " " + "größe für " * 2000
    assert rows(pa.array([text])) == [twin.uax_tokens(text)]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.binary(max_size=30) | st.sampled_from([b" ", b"\xf0\x9f", b"\xc3", b"a\xc3\xa9"]), max_size=8))
def test_bytes_that_are_no_text(pieces: list[bytes]) -> None:
    data = b"".join(pieces)
    column = from_buffers(np.frombuffer(data, np.uint8), np.array([0, len(data)], np.int64))
    (found,) = rows(column)
    spans = [span for _, *span in found]
    assert all(0 <= a < b <= len(data) for a, b in spans)
    assert all(b <= c for (_, b), (c, _) in pairwise(spans))
    text = data.decode("utf-8", "replace")
    words = [text.encode()[a:b].decode() for _, a, b in twin.uax_tokens(text)]
    assert [data[a:b].decode("utf-8", "replace") for a, b in spans] == words


def test_hashes_spread_over_all_bits() -> None:
    column = pa.array([" ".join(f"w{i}" for i in range(20000))])
    hashes = uax_tokens(column).hashes
    assert len(np.unique(hashes)) == 20000
    for bit in range(64):
        assert 0.48 < float(((hashes >> np.uint64(bit)) & np.uint64(1)).mean()) < 0.52
