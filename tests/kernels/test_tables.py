"""The generated tables: what they hold for every code point, and Unicode's own word-break test."""

import unicodedata
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hostile import plain, texts
from hypothesis import given, settings
from hypothesis import strategies as st

from tamis.kernels import reference
from tamis.kernels.text import decoding, unicode_tables, words
from tamis.kernels.text.bits import READ_AHEAD

PREDICATES = {
    unicode_tables.SPACE: str.isspace,
    unicode_tables.ALPHA: str.isalpha,
    unicode_tables.ALNUM: str.isalnum,
    unicode_tables.DIGIT: str.isdigit,
    unicode_tables.UPPER: str.isupper,
    unicode_tables.DECIMAL: str.isdecimal,
}
WORD_BREAK_TEST = Path("/usr/share/unicode/auxiliary/WordBreakTest.txt")


def all_characters() -> list[str]:
    return [chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000]


def decoded(value: str) -> tuple[np.ndarray, np.ndarray, int]:
    """Code points, properties and length, as the kernels see `value`."""
    data = np.frombuffer(value.encode(), np.uint8)
    room = len(data) + READ_AHEAD
    code_points, properties = np.empty(room, np.int32), np.empty(room, np.uint16)
    tables = unicode_tables.load()
    return code_points, properties, decoding.decode(data, 0, len(data), tables[0], tables[1], code_points, properties)


def kernel_boundaries(value: str) -> list[int]:
    _, properties, n = decoded(value)
    out = np.empty(n, np.int64)
    return out[: words.boundaries(properties, n, out)].tolist()


def kernel_words(value: str) -> list[str]:
    _, properties, n = decoded(value)
    starts, ends = np.empty(n, np.int64), np.empty(n, np.int64)
    count = words.list_words(properties, n, starts, ends)
    return [value[start:end] for start, end in zip(starts[:count], ends[:count], strict=True)]


@pytest.mark.skipif(unicodedata.unidata_version != "14.0.0", reason="the tables are Unicode 14, as in Python 3.11")
def test_predicates_are_those_of_str() -> None:
    characters = all_characters()
    code_points, properties, n = decoded("".join(characters))
    assert code_points[:n].tolist() == [ord(c) for c in characters]
    for bit, predicate in PREDICATES.items():
        assert ((properties[:n] & bit) != 0).tolist() == [predicate(c) for c in characters], predicate


@pytest.mark.skipif(unicodedata.unidata_version != "14.0.0", reason="the tables are Unicode 14, as in Python 3.11")
def test_lower_shift() -> None:
    _, _, index, shifts = unicode_tables.load()
    for c in all_characters():
        lowered = chr(ord(c) + int(shifts[(int(index[ord(c) >> 7]) << 7) | (ord(c) & 127)]))
        assert lowered == c.lower() or c == "İ"


def test_lower_case_changes_no_word_character() -> None:
    """The counter kernel tests `\\w` before lower case, its twin after."""
    for c in all_characters():
        if c != "İ":
            assert c.isalnum() == c.lower().isalnum()


def test_round_trip() -> None:
    value = "".join(all_characters())
    code_points, _, n = decoded(value)
    out = np.empty(4 * n, np.uint8)
    assert out[: decoding.encode(code_points, n, out, 0)].tobytes().decode() == value


def test_unicode_word_break_test() -> None:
    """Unicode's conformance cases, as Debian's package unicode-data installs them."""
    if not WORD_BREAK_TEST.exists():
        pytest.skip(f"needs {WORD_BREAK_TEST} (Debian package unicode-data)")
    cases = 0
    for line in WORD_BREAK_TEST.read_text("utf-8").splitlines():
        marks = line.split("#")[0].split()
        if not marks:
            continue
        value = "".join(chr(int(mark, 16)) for mark in marks[1::2])
        wanted = [k for k, mark in enumerate(marks[0::2]) if mark == "÷" and k > 0]
        assert kernel_boundaries(value) == wanted, line
        assert reference.boundaries(value) == wanted, line
        assert kernel_words(value) == reference.unicode_words(value), line
        cases += 1
    assert cases > 1500


@pytest.mark.parametrize(
    ("value", "tokens"),
    [
        ("can’t 3.14 a_b x:y", ["can’t", "3.14", "a_b", "x:y"]),
        ("e\u0301te\u0301 \u05d0\u05f4\u05d1", ["e\u0301te\u0301", "\u05d0\u05f4\u05d1"]),
        ("漢字カタカナ", ["漢", "字", "カタカナ"]),
        ("", []),
    ],
)
def test_words(value: str, tokens: list[str]) -> None:
    assert reference.unicode_words(value) == tokens
    assert kernel_words(value) == tokens


@settings(max_examples=300, deadline=None)
@given(st.one_of(plain, texts, st.tuples(plain, texts, plain).map("".join)))
def test_words_of_long_texts(value: str) -> None:
    assert kernel_words(value) == reference.unicode_words(value)


def test_views_of_sliced_and_empty_columns() -> None:
    data, offsets = decoding.views(pa.array(["ab", None, "cde", ""])[1:])
    assert [data[a:b].tobytes() for a, b in pairwise(offsets)] == [b"", b"cde", b""]
    assert decoding.views(pa.array([], pa.string()))[1].tolist() == [0]
    with pytest.raises(TypeError, match="int64"):
        decoding.views(pa.array([1]))
