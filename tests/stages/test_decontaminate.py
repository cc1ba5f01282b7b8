"""Decontamination: what must be found, what must not, the kernel against its twin, and files as published."""

import gzip
import json
import unicodedata
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from tamis.base.errors import ConfigError, DataError
from tamis.base.recipe import Recipe
from tamis.base.stage import StageContext
from tamis.kernels.reference.text import matching as twin
from tamis.kernels.reference.text import ngrams as reference_ngrams
from tamis.kernels.text import matching, ngrams
from tamis.kernels.text.decoding import views
from tamis.stages.decontaminate.index import LEAST_ANCHOR_WORDS, RunIndex
from tamis.stages.decontaminate.reference import Item, read_items
from tamis.stages.decontaminate.stage import Decontaminate, build
from tamis.store.location import Location

RECIPE = Recipe(name="test", stages=[])
PASSAGE = "The quick brown fox jumps over the lazy dog while seventeen other animals quietly watch from the hill."


def write_jsonl(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def apply(
    reference: Path | None, texts: list[str | None], **config: Any
) -> list[tuple[str | None, int | None, float | None]]:
    (stage,) = build({"reference": [str(reference)] if reference else [], **config}, RECIPE)
    assert isinstance(stage, Decontaminate)
    stage.open(StageContext(seed=0, assets={"reference_000": Location(reference)} if reference else {}))
    batch = pa.RecordBatch.from_pydict(
        {"text": pa.array(texts, pa.string()), "drop_reason": pa.nulls(len(texts), pa.string())}
    )
    out = stage.apply(batch)
    assert out.num_rows == len(texts)
    assert out.schema.field("contaminated_ngrams").type == pa.int32()
    assert out.schema.field("contaminated_fraction").type == pa.float32()
    fractions = [f if f is None else round(f, 4) for f in out["contaminated_fraction"].to_pylist()]
    return list(zip(out["drop_reason"].to_pylist(), out["contaminated_ngrams"].to_pylist(), fractions, strict=True))


def test_a_page_that_holds_most_of_a_text_goes(tmp_path: Path) -> None:
    reference = write_jsonl(tmp_path / "r.jsonl", [{"text": PASSAGE}])
    words = PASSAGE.split()
    found = apply(
        reference,
        [
            "before " + PASSAGE.upper().replace(" ", " -- ") + " after",
            " ".join(words[:13]),
            " ".join(words[:12]) + " cat",
            "\n".join(words[2:17]),
            "\n".join(words[1:17]) + " twice " + " ".join(words[1:17]),
            " ".join(reversed(words)),
        ],
    )
    assert found == [
        ("contaminated", 6, 1.0),
        (None, 1, 0.1667),
        (None, 0, 0.0),
        (None, 3, 0.5),
        ("contaminated", 4, 0.6667),
        (None, 0, 0.0),
    ]


def test_shares_are_of_one_text_and_do_not_add_up(tmp_path: Path) -> None:
    one, two = PASSAGE.split(), [f"other{i}" for i in range(18)]
    reference = write_jsonl(tmp_path / "r.jsonl", [{"text": " ".join(one)}, {"text": " ".join(two)}])
    assert apply(reference, [" ".join(one[:14] + two[:14])]) == [(None, 4, 0.3333)]


def test_short_items_match_whole_and_shorter_ones_never(tmp_path: Path) -> None:
    question = {"query": "Which of these planets is the largest of all?", "choices": ["Mars", "Jupiter"]}
    reference = write_jsonl(tmp_path / "r.jsonl", [question, {"text": "Is it so?"}])
    found = apply(
        reference,
        [
            "Quiz: which of these planets is the largest of all? Jupiter!",
            "Quiz: which of these planets is the largest of all? Saturn!",
            "Is it so? Is it so?",
        ],
    )
    assert found == [("contaminated", 2, 1.0), (None, 1, 0.5), (None, 0, 0.0)]


def test_settings_move_the_test(tmp_path: Path) -> None:
    reference = write_jsonl(tmp_path / "r.jsonl", [{"text": PASSAGE}])
    fourteen = " ".join(PASSAGE.split()[:14])
    assert apply(reference, [fourteen, "nothing"], max_overlap_fraction=0.0) == [
        ("contaminated", 2, 0.3333),
        (None, 0, 0.0),
    ]
    assert apply(reference, ["a quick brown fox jumps"], ngram=3)[0][:2] == (None, 2)
    (stage,) = build({"reference": [str(reference)], "max_overlap_fraction": 0.25}, RECIPE)
    (rule,) = stage.rules
    assert (rule.reason, rule.column, rule.op, rule.threshold) == ("contaminated", "contaminated_fraction", ">", 0.25)


def test_without_reference_nothing_is_measured() -> None:
    (stage,) = build({}, RECIPE)
    assert stage.rules == () and stage.signals == () and stage.assets() == {}
    assert apply(None, [PASSAGE, ""]) == [(None, None, None)] * 2


def test_nasty_texts(tmp_path: Path) -> None:
    reference = write_jsonl(tmp_path / "r.jsonl", [{"text": PASSAGE}])
    texts = ["", None, "\0", "x" * (1 << 20), "word " * 200_000, "\U0001f600" * 20, PASSAGE.replace(" ", "\0")]
    assert [row[0] for row in apply(reference, texts)] == [None] * 6 + ["contaminated"]


def test_a_slice_of_a_batch_is_read_at_its_place(tmp_path: Path) -> None:
    reference = write_jsonl(tmp_path / "r.jsonl", [{"text": PASSAGE}])
    (stage,) = build({"reference": [str(reference)]}, RECIPE)
    assert isinstance(stage, Decontaminate)
    stage.open(StageContext(seed=0, assets={"reference_000": Location(reference)}))
    batch = pa.RecordBatch.from_pydict(
        {"text": ["other é text", PASSAGE, "more"], "drop_reason": pa.nulls(3, pa.string())}
    )
    assert stage.apply(batch.slice(1, 2))["drop_reason"].to_pylist() == ["contaminated", None]


def test_published_layouts(tmp_path: Path) -> None:
    rows = [
        {"query": "q", "choices": ["a", "b"], "gold": 0},
        {"context": "c", "continuation": "d"},
        {"context_options": ["x", "y"], "continuation": "z", "gold": 1},
        {"context": "c", "answer": "e", "aliases": ["f"]},
        {"text": "t", "id": 3},
        {"prompt": "def f():", "canonical_solution": "return 1"},
    ]
    expected = [("q", "a"), ("q", "b"), ("c", "d"), ("x", "z"), ("y", "z"), ("c", "e"), ("t", "")]
    expected += [("def f():", "return 1")]
    plain = write_jsonl(tmp_path / "r.jsonl", rows)
    (tmp_path / "gz").write_bytes(gzip.compress(plain.read_bytes()))
    (tmp_path / "zst").write_bytes(zstandard.compress(plain.read_bytes()))
    for path in (plain, tmp_path / "gz", tmp_path / "zst"):
        assert read_items(Location(path)) == expected


def test_bad_references_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="line 2: expected an object with one of"):
        apply(write_jsonl(tmp_path / "a.jsonl", [{"text": PASSAGE}, {"txt": "x"}]), [""])
    (tmp_path / "b.jsonl").write_text("{nope\n")
    with pytest.raises(DataError, match="line 1: not JSON"):
        apply(tmp_path / "b.jsonl", [""])
    with pytest.raises(DataError, match="none of its 1 texts"):
        apply(write_jsonl(tmp_path / "c.jsonl", [{"text": "too short"}]), [""])
    (tmp_path / "d.jsonl").write_text("")
    with pytest.raises(DataError, match="none of its 0 texts"):
        apply(tmp_path / "d.jsonl", [""])
    with pytest.raises(ConfigError, match=r"decontaminate\.reference"):
        build({"reference": "one.jsonl"}, RECIPE)


def test_contents_count_and_not_paths() -> None:
    (here,) = build({"reference": ["/a/x.jsonl"]}, RECIPE)
    (there,) = build({"reference": ["/b/x.jsonl"]}, RECIPE)
    assert here.identity() == there.identity()
    assert here.assets() == {"reference_000": "/a/x.jsonl"}


QUESTIONS: list[dict[str, Any]] = [
    {"query": "Which of these planets is the largest of all?", "choices": ["Mars", "Jupiter"]},
    {
        "context": "A man pours water into a tall glass",
        "continuation": "and drinks all of it before he leaves us.",
    },
    {"context": "What did she say next?", "answer": "She said that nobody had ever seen the valley in such a light."},
    {"context": PASSAGE, "continuation": "They applauded."},
]
PAGES = [
    "{0} {1}",
    "Question: {0} Answer: {1}",
    "Q: {0}\n\nA) one thing\nB) another thing\nC) {1}\n",
    "{0} (the answer is: {1})",
]


def quoted(item: dict[str, Any], page: str, other: str = "") -> str:
    """A page with the item's question and its last answer, or another one."""
    stem, answers = item.values()
    answer = answers[-1] if isinstance(answers, list) else answers
    return f"Some words before. {page.format(stem, other or answer)} And some words after it."


@pytest.mark.parametrize("page", PAGES)
def test_an_item_is_found_with_words_between_its_parts(tmp_path: Path, page: str) -> None:
    reference = write_jsonl(tmp_path / "r.jsonl", QUESTIONS)
    found = apply(reference, [quoted(item, page) for item in QUESTIONS])
    assert [reason for reason, _, _ in found] == ["contaminated"] * len(QUESTIONS)


def test_a_short_part_alone_or_far_away_is_nothing(tmp_path: Path) -> None:
    reference = write_jsonl(tmp_path / "r.jsonl", QUESTIONS[:3])
    far = "word " * (twin.NEAR + 1)
    pages = [
        quoted(QUESTIONS[0], "{0} {1}", "Saturn"),
        quoted(QUESTIONS[0], "{1} {0}"),
        quoted(QUESTIONS[0], "{0} " + far + "{1}"),
        "The answer is Jupiter. " * 5,
        quoted(QUESTIONS[2], "{1} {0}"),
        quoted(QUESTIONS[2], "{1}"),
    ]
    assert [reason for reason, _, _ in apply(reference, pages)] == [None] * len(pages)
    near = "word " * twin.NEAR
    pages = [quoted(QUESTIONS[0], "{0} " + near + "{1}"), quoted(QUESTIONS[0], "{0} or else {0}: {1}")]
    assert [reason for reason, _, _ in apply(reference, pages)] == ["contaminated"] * 2


def full_width(text: str) -> str:
    return "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in text)


def bold(text: str) -> str:
    return "".join(chr(ord(c) - 97 + 0x1D41A) if "a" <= c <= "z" else c for c in text)


DISGUISES: dict[str, Callable[[str], str]] = {
    "soft hyphens": "\u00ad".join,
    "full width": full_width,
    "zero-width spaces": lambda text: text.replace("e", "e\u200b"),
    "variation selectors": lambda text: text.replace("n", "n\ufe0f"),
    "capitals": str.upper,
    "bold": bold,
    "accents": lambda text: text.replace("e", "\u00e9"),
    "combining accents": lambda text: text.replace("e", "e\u0301"),
    "directions": lambda text: f"\u202d{text}\u202c",
}


@pytest.mark.parametrize("name", DISGUISES)
def test_a_disguised_item_is_found(tmp_path: Path, name: str) -> None:
    office = {"text": "The efficient waffle at the ﬁne office, ½ of it."}
    reference = write_jsonl(tmp_path / "r.jsonl", [*QUESTIONS, office])
    texts = [DISGUISES[name](quoted(item, page)) for item in QUESTIONS for page in PAGES[:2]]
    texts.append(DISGUISES[name]("the efficient waffle at the fine office 1/2 of it"))
    texts.append("the eﬃcient waffle at the fine office 1/2 of it")
    assert [reason for reason, _, _ in apply(reference, texts)] == ["contaminated"] * len(texts)


def hashed(texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
    return matching.matching_hashes(*views(pa.array(texts, pa.string())), *matching.folds())


@pytest.mark.skipif(unicodedata.unidata_version != "14.0.0", reason="the folds are Unicode 14, as in Python 3.11")
def test_every_character_is_folded_as_the_twin_says() -> None:
    characters = [chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000]
    words, offsets = hashed(characters)
    for character, (start, end) in zip(characters, pairwise(offsets.tolist()), strict=True):
        assert words[start:end].tolist() == twin.matching_hashes(character), hex(ord(character))


NASTY = st.sampled_from("aB1 _-'\n\0éÉßİΣſﬁ語٣\U0001d7ce\u00ad\u200b\u0301ﷺ½Ａ가ﾊﾞ\ufe0f\u3164")
TEXTS = st.lists(st.text(st.one_of(NASTY, st.characters(exclude_categories=["Cs", "Cn"]))), max_size=5)


PIECES = st.lists(st.sampled_from(["a", "b", "C", "é"]), max_size=12).map(" ".join)


@settings(max_examples=150, deadline=None)
@given(TEXTS, st.integers(1, 4))
def test_kernel_agrees_with_its_twin(texts: list[str], length: int) -> None:
    words, offsets = hashed(texts)
    expected = [twin.matching_hashes(text) for text in texts]
    assert [words[a:b].tolist() for a, b in pairwise(offsets)] == expected
    runs = [reference_ngrams.run_hashes(w, length) for w in expected]
    for place in range(len(texts)):
        mine = words[offsets[place] : offsets[place + 1]]
        assert ngrams.run_hashes(mine, length).tolist() == runs[place]


def items_of(reference: list[tuple[str, str]], ngram: int, least: int, most: float) -> list[twin.TwinItem]:
    """What `RunIndex` should index, said with the twin's words."""
    items = []

    def runs(words: list[int]) -> list[int]:
        return reference_ngrams.run_hashes(words, min(ngram, len(words)))

    for stem, ending in ([*map(twin.matching_hashes, item)] for item in reference):
        if len(stem) + len(ending) < least:
            continue
        joined = runs(stem + ending)
        items.append(twin.TwinItem({*joined}))
        within = sum(max(0, len(part) - ngram + 1) for part in (stem, ending))
        if not stem or not ending or within / len(joined) > most:
            continue
        if min(len(stem), len(ending)) >= least:
            items.append(twin.TwinItem({*runs(stem), *runs(ending)}))
            continue
        is_after = len(stem) >= len(ending)
        anchor, part = (stem, ending) if is_after else (ending, stem)
        if len(anchor) >= min(LEAST_ANCHOR_WORDS, least):
            found = runs(anchor)
            items.append(twin.TwinItem({*found}, found[-1 if is_after else 0], part, is_after, len({*found})))
    return items


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(PIECES, PIECES), max_size=4), st.lists(PIECES, max_size=4), st.integers(1, 4), st.integers(1, 6)
)
def test_overlaps_agree_with_their_twin(
    reference: list[tuple[str, str]], texts: list[str], ngram: int, least: int
) -> None:
    try:
        index = RunIndex([Item(*item) for item in reference], ngram, least, 0.5)
    except DataError:
        return
    items = items_of(reference, ngram, min(ngram, least), 0.5)
    counts, fractions = index.overlaps(pa.array(texts, pa.string()))
    expected = [twin.overlaps(twin.matching_hashes(text), index.lengths.tolist(), items) for text in texts]
    assert counts.tolist() == [count for count, _ in expected]
    assert fractions.tolist() == [float(np.float32(fraction)) for _, fraction in expected]


def test_evaluation_data_finds_itself_and_not_other_text(shared_data: Path) -> None:
    folder = shared_data / "data" / "eval" / "world_knowledge"
    items = read_items(Location(folder / "arc_easy.jsonl.zst"))
    texts = [" ".join(item) for item in items]
    index = RunIndex(items, 13, 8, 0.5)
    own = pa.array(texts, pa.string())
    long_enough = np.diff(hashed(texts)[1]) >= 8
    assert long_enough.mean() > 0.9
    assert (index.overlaps(own)[1][long_enough] == 1).all()
    apart = pa.array([f"Question: {stem}\nAnswer: {ending}" for stem, ending in items], pa.string())
    assert (index.overlaps(apart)[1][long_enough] > 0.5).all()
    other = [" ".join(item) for item in read_items(Location(folder / "jeopardy_all.jsonl.zst"))]
    assert (index.overlaps(pa.array(other, pa.string()))[1] > 0.5).mean() < 0.001
