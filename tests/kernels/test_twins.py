"""Every kernel against its plain-Python twin, on hostile text."""

import unicodedata
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest
from hostile import plain, repetitive, texts
from hypothesis import given, settings
from hypothesis import strategies as st

from tamis.kernels import reference
from tamis.kernels.rules import lines, phrases, program
from tamis.kernels.rules.program import Manners, Program
from tamis.kernels.text import script_words
from tamis.kernels.text.sentences import split_sentences

pytestmark = pytest.mark.skipif(
    unicodedata.unidata_version != "14.0.0", reason="the twins use this Python's str; the tables are Unicode 14"
)
DOMAINS = ["com", "co", "org", "it", "in", "рф", "中国", "a", "b", "cc"]
GROUPS = {
    program.CHARACTERS: reference.characters,
    program.WORDS: lambda text: reference.words(text) | reference.tokens(text),
    program.TOKENS: reference.tokens,
    program.LINES: reference.lines,
    program.REPETITION: reference.repetition,
    program.LINE_ENDS: reference.line_ends,
    program.SENTENCES: lambda text: {
        "num_sentences": len(reference.sentences(text)),
        "num_line_sentences": sum(len(reference.sentences(line)) for line in text.split("\n")),
    },
}
MEASURE_ALL = Program()
for group in GROUPS:
    MEASURE_ALL.measure(group, " of tokens" if group == program.TOKENS else "")

SCRIPTS = st.lists(
    st.sampled_from([
        "の", "に", "東", "京", "々", "カ", "タ", "ー", "ไ", "ท", "ย", "่", "ะ", "ກ", "ក", "្", "ខ", "ြ", "བ", "ོ", "་",
        "༌", "།", "\u200b", " ", "\n", "。", "」", "।", "؟", "(", "a", "b1", "é", "\u0301", "한", "क", "ा", "-", "_",
        "'", ". ", "!", "…", "no. ", "J. ", "#",
    ]),
    max_size=40,
).map("".join)  # fmt: skip
STOP_WORDS = ["の", "a", "b1", "क", "का", "ไ", "l'", "東京", "é", "འ་"]
BY_SCRIPT: dict[int, Callable[[str], dict[str, float]]] = {
    program.WORDS: lambda text: (
        reference.words_by_script(text, STOP_WORDS, phrases.SPELLED_WORDS) | reference.tokens(text, by_script=True)
    ),
    program.REPETITION: lambda text: reference.repetition(text, by_script=True),
    program.LINE_ENDS: lambda text: reference.line_ends(text, by_script=True),
    program.SENTENCES: lambda text: {
        "num_sentences": len(reference.sentences(text, by_script=True)),
        "num_line_sentences": sum(len(reference.sentences(line, by_script=True)) for line in text.split("\n")),
    },
}
MEASURE_BY_SCRIPT = Program()
for group in BY_SCRIPT:
    MEASURE_BY_SCRIPT.measure(group)
MEASURE_BY_SCRIPT.measure_phrases(["a", "東"], phrases.SUBSTRINGS, phrases.ANYWHERE, "count", "share")

EDITS: dict[str, tuple[Program, Callable[[str], str]]] = {
    "links": (
        Program().remove_links(DOMAINS, bare=True),
        lambda text: reference.remove_links(text, DOMAINS, bare=True),
    ),
    "marked links": (
        Program().remove_links(DOMAINS, bare=False),
        lambda text: reference.remove_links(text, DOMAINS, bare=False),
    ),
    "newlines": (Program().collapse_newlines(2), lambda text: reference.collapse_newlines(text, 2)),
    "strip": (Program().strip(), str.strip),
    "uppercase": (
        Program().drop_lines(lines.UPPERCASE_LINES, 0, 0.5),
        lambda text: reference.drop_uppercase_lines(text, 0.5),
    ),
    "numeric": (
        Program().drop_lines(lines.NUMERIC_LINES, 0, 0.999999),
        lambda text: reference.drop_numeric_lines(text, 0.999999),
    ),
    "counter": (Program().drop_lines(lines.COUNTER_LINES), reference.drop_counter_lines),
    "short": (
        Program().drop_lines(lines.SHORT_LINES, 2, 5),
        lambda text: reference.drop_short_lines(text, 2, 5),
    ),
    "punctuated": (
        Program().drop_lines(lines.UNPUNCTUATED_LINES),
        lambda text: reference.drop_unpunctuated_lines(text, drop_ellipses=False),
    ),
    "punctuated without ellipses": (
        Program().drop_lines(lines.UNFINISHED_LINES),
        lambda text: reference.drop_unpunctuated_lines(text, drop_ellipses=True),
    ),
    "long tokens": (
        Program().drop_lines(lines.LONG_TOKEN_LINES, 0, 6),
        lambda text: reference.drop_long_word_lines(text, 6, by_split=False),
    ),
    "long words": (
        Program().drop_lines(lines.LONG_WORD_LINES, 0, 6),
        lambda text: reference.drop_long_word_lines(text, 6, by_split=True),
    ),
    "citations": (Program().remove_citations(), reference.remove_citations),
    "repeated lines": (Program().drop_repeated_lines(), lambda text: reference.drop_repeated_pieces(text, "\n")),
    "repeated paragraphs": (
        Program().drop_repeated_paragraphs(),
        lambda text: reference.drop_repeated_pieces(text, "\n\n"),
    ),
}
LINK_PARTS = [
    " ", "\n", "http://", "https://", "ftp://", "s://", "www.", "w", "a", "xy", ".com", ".co", ".", ".рф", ".中国",
    "é", "/", "(", "1.2.3.4", "12", "1.1.1.", "x" * 254, "_", " " * 9, ":", "\u3000",
]  # fmt: skip
PHRASES = [
    ("items in cart", lines.ANYWHERE, 10, ""),
    ("read more...", lines.SUFFIX, 10, "."),
    ("read more...", lines.SUFFIX, 10, ""),
    ("sign-in", lines.PREFIX, 3, ""),
]


SENTENCE_PARTS = [
    " ", " ", "\n", "\u3000", ".", ".", "!", "?", "...", "…", "。", "！", '"', "'", ")", "»", "”", "A", "b", "Mr",
    "e.g", "no", "approx", "approxx", "Ⓐ", "ǅ", "ʰ", "9", "ß", "漢", "\u0301", "_",
]  # fmt: skip
LIST = ["a", "b", "ab", "the", "ΑΣ", "İ", "ß", "!", "!a", "#", "漢", "🇩", "of and", "a.", ". . .", "x", "\u0301"]


def run_one(steps: Program, text: str) -> str:
    (edited,) = steps.run(pa.array([text], pa.string())).text().to_pylist()
    return edited


@settings(max_examples=300, deadline=None)
@given(st.one_of(texts, repetitive, plain))
def test_signals(text: str) -> None:
    outcome = MEASURE_ALL.run(pa.array([text], pa.string()))
    wanted = {name: value for twin in GROUPS.values() for name, value in twin(text).items()}
    wanted |= {f"{name} of tokens": value for name, value in reference.tokens(text).items()}
    assert dict(zip(outcome.columns, outcome.values[0].tolist(), strict=True)) == wanted


def by_script(steps: Program, way: int = script_words.BY_SCRIPT, kind: int = phrases.SPELLED_WORDS) -> Manners:
    """Every row of a batch of one page read by its script."""
    stop_list = steps.stop_words(STOP_WORDS)
    return Manners(np.full(1, way, np.uint8), np.full(1, stop_list, np.int32), np.full(1, kind, np.uint8))


@settings(max_examples=400, deadline=None)
@given(st.one_of(texts, plain, SCRIPTS))
def test_signals_by_script(text: str) -> None:
    outcome = MEASURE_BY_SCRIPT.run(pa.array([text], pa.string()), manners=by_script(MEASURE_BY_SCRIPT))
    wanted = {name: value for twin in BY_SCRIPT.values() for name, value in twin(text).items()}
    listed = reference.phrases(text, ["a", "東"], phrases.SUBSTRINGS, phrases.ANYWHERE, by_script=True)
    wanted |= dict(zip(("count", "share"), listed, strict=True))
    assert dict(zip(outcome.columns, outcome.values[0].tolist(), strict=True)) == wanted
    tokens = Program().measure(program.TOKENS).run(pa.array([text], pa.string()), manners=by_script(MEASURE_BY_SCRIPT))
    assert tokens.column("num_words")[0] == wanted["num_words"]


@settings(max_examples=200, deadline=None)
@given(st.one_of(texts, SCRIPTS))
def test_stop_words_inside_of_words(text: str) -> None:
    steps = Program().measure(program.WORDS)
    outcome = steps.run(pa.array([text], pa.string()), manners=by_script(steps, kind=phrases.SUBSTRINGS))
    wanted = reference.words_by_script(text, STOP_WORDS, phrases.SUBSTRINGS)
    assert outcome.column("num_stop_words")[0] == wanted["num_stop_words"]
    assert outcome.column("num_distinct_stop_words")[0] == wanted["num_distinct_stop_words"]


@settings(max_examples=200, deadline=None)
@given(st.one_of(texts, SCRIPTS))
def test_line_edits_by_script(text: str) -> None:
    def run(steps: Program, way: int = script_words.BY_SCRIPT) -> str:
        (edited,) = steps.run(pa.array([text], pa.string()), manners=by_script(steps, way)).text().to_pylist()
        return edited

    short = Program().drop_lines(lines.SHORT_LINES, 2, 5)
    assert run(short) == reference.drop_short_lines(text, 2, 5, by_script=True)
    unended, unfinished = Program().drop_lines(lines.UNPUNCTUATED_LINES), Program().drop_lines(lines.UNFINISHED_LINES)
    assert run(unended) == reference.drop_unpunctuated_lines(text, drop_ellipses=False, by_script=True)
    assert run(unfinished) == reference.drop_unpunctuated_lines(text, drop_ellipses=True, by_script=True)
    assert run(unfinished, script_words.BY_SCRIPT_WITHOUT_MARKS) == text


@pytest.mark.parametrize("name", EDITS)
@settings(max_examples=150, deadline=None)
@given(text=st.one_of(texts, repetitive, plain))
def test_edits(name: str, text: str) -> None:
    steps, twin = EDITS[name]
    assert run_one(steps, text) == twin(text)


@pytest.mark.parametrize(("phrase", "place", "most", "wildcard"), PHRASES)
@settings(max_examples=150, deadline=None)
@given(text=texts)
def test_phrases(phrase: str, place: int, most: int, wildcard: str, text: str) -> None:
    steps = Program().remove_phrase(phrase, place, most, wildcard)
    assert run_one(steps, text) == reference.remove_phrase(text, phrase, place, most, wildcard).strip()


@pytest.mark.parametrize("place", [phrases.ANYWHERE, phrases.PREFIX, phrases.SUFFIX])
@pytest.mark.parametrize("kind", [phrases.SUBSTRINGS, phrases.WHOLE_WORDS, phrases.BOUNDED, phrases.SPELLED_WORDS])
@settings(max_examples=100, deadline=None)
@given(text=st.one_of(texts, repetitive), entries=st.lists(st.sampled_from(LIST), max_size=6))
def test_phrase_lists(kind: int, place: int, text: str, entries: list[str]) -> None:
    measured = Program().measure_phrases(entries, kind, place, "count", "share").run(pa.array([text], pa.string()))
    assert tuple(measured.values[0]) == reference.phrases(text, entries, kind, place)
    dropped = Program().drop_phrase_lines(entries, kind, place, 3)
    assert run_one(dropped, text) == reference.drop_phrase_lines(text, entries, kind, place, 3)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(SENTENCE_PARTS), max_size=25).map("".join))
def test_sentences(text: str) -> None:
    outcome = Program().measure(program.SENTENCES).run(pa.array([text], pa.string()))
    assert outcome.column("num_sentences")[0] == len(reference.sentences(text))
    assert split_sentences(text) == reference.sentences(text)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(LINK_PARTS), max_size=25).map("".join))
def test_links(text: str) -> None:
    for name in ("links", "marked links"):
        steps, twin = EDITS[name]
        assert run_one(steps, text) == twin(text)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.one_of(st.binary(max_size=4), texts.map(str.encode)), max_size=8).map(b"".join))
def test_bytes_that_are_not_utf8(data: bytes) -> None:
    """They read as U+FFFD, as `bytes.decode("utf-8", "replace")` has it; texts without an edit keep their bytes."""
    offsets = np.array([0, len(data)], np.int32)
    column = pa.Array.from_buffers(pa.string(), 1, [None, pa.py_buffer(offsets), pa.py_buffer(data)])
    text = data.decode("utf-8", "replace")
    outcome = Program().measure(program.CHARACTERS).collapse_newlines(1).run(column)
    assert dict(zip(outcome.columns, outcome.values[0].tolist(), strict=True)) == reference.characters(text)
    edited = bytes(outcome.text().cast(pa.binary())[0].as_py())
    collapsed = reference.collapse_newlines(text, 1)
    assert edited == (data if collapsed == text else collapsed.encode())


def test_one_line_of_ten_megabytes() -> None:
    line = "word " * 2_000_000
    outcome = MEASURE_ALL.run(pa.array([line], pa.string()))
    measured = dict(zip(outcome.columns, outcome.values[0].tolist(), strict=True))
    assert measured["num_words"] == measured["num_unicode_words"] == 2_000_000
    assert measured["max_line_characters"] == 10_000_000
    assert measured["duplicate_10gram_fraction"] == 1.0
    assert measured["top_2gram_fraction"] == 2 * 1_999_999 / 2_000_000
    unbroken = "x" * 10_000_000
    assert run_one(EDITS["links"][0], unbroken) == unbroken
    assert run_one(EDITS["long words"][0], unbroken) == ""
