"""Merging near-duplicates: every paragraph of every document once, in order, and nothing of the survivor lost."""

from itertools import pairwise

import numpy as np
import pyarrow as pa
from groups import TableSketches
from hypothesis import given, settings
from hypothesis import strategies as st

from tamis.stages.dedup import merge
from tamis.stages.dedup.merge import add_merged, merge_texts, merged_texts, paragraphs

WORDS = [f"{a}{b}" for a in "bdfgklmnprst" for b in "aeiou"]


def sentence(number: int) -> str:
    """Eight words that no other number's sentence has two neighbours of."""
    return " ".join(f"{WORDS[(number * 7 + k * 11) % 60]}{number}" for k in range(8))


def lines_of(text: str) -> list[str]:
    return [line for line in text.split("\n") if line.strip()]


def is_subsequence(short: list[str], long: list[str]) -> bool:
    rest = iter(long)
    return all(line in rest for line in short)


numbers = st.lists(st.integers(0, 25), unique=True, min_size=1, max_size=12)


@given(st.lists(numbers, min_size=1, max_size=6), st.sampled_from(["\n", "\n\n", "\n \n"]))
@settings(max_examples=200, deadline=None)
def test_every_paragraph_of_every_document_exactly_once(documents: list[list[int]], separator: str) -> None:
    texts = [separator.join(map(sentence, document)) for document in documents]
    merged = lines_of(merge_texts(texts))
    assert sorted(merged) == sorted({sentence(n) for document in documents for n in document})
    assert is_subsequence(lines_of(texts[0]), merged)


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(1, 3)), unique_by=lambda pair: pair[0]))
@settings(max_examples=200, deadline=None)
def test_order_of_both_documents_is_kept_where_they_agree(tagged: list[tuple[int, int]]) -> None:
    tagged = sorted(tagged)
    first, second = ([sentence(n) for n, where in tagged if where & bit] for bit in (1, 2))
    merged = lines_of(merge_texts(["\n".join(first), "\n".join(second)]))
    assert is_subsequence(first, merged) and is_subsequence(second, merged)


@given(st.text(alphabet="ab \n\t\r\u2028", max_size=80), st.text(alphabet="ab \n\t\r", max_size=80))
@settings(max_examples=300, deadline=None)
def test_any_text_survives_and_is_left_alone_by_its_copy(text: str, other: str) -> None:
    found, tail = paragraphs(text)
    assert "".join(before + line for before, line in found) + tail == text
    assert merge_texts([text, text, text.upper(), ""]) == text
    merged = merge_texts([text, other])
    assert is_subsequence([line for _, line in found], [line for _, line in paragraphs(merged)[0]])


def test_new_paragraphs_come_after_what_they_follow_in_their_own_document() -> None:
    a, b, c, x, y, title = map(sentence, range(6))
    assert merge_texts([f"{a}\n{b}\n{c}\n", f"{a}\n\n{x}\n{b}\n{y}"]) == f"{a}\n\n{x}\n{b}\n{y}\n{c}\n"
    assert merge_texts([f"{a}\n{b}", f"{title}\n{a}"]) == f"{title}\n{a}\n{b}"
    assert merge_texts([f"{a}\n{b}", f"{title}\n{x}\n{title}\n{b}"]) == f"{a}\n{title}\n{x}\n{b}"
    assert merge_texts([f"{a}\n{b}\n", f"{x}\n{y}"]) == f"{a}\n{b}\n{x}\n{y}\n"
    assert merge_texts([f"{a}\n{b}\n{c}", f"{b}\n{x}\n{b}\n{y}"]) == f"{a}\n{b}\n{x}\n{y}\n{c}"
    assert merge_texts([f"{a}\n{a}\n{b}", f"{a}\n{x}"]) == f"{a}\n{x}\n{a}\n{b}"


def test_alike_counts_as_the_same() -> None:
    words = [f"word{n}" for n in range(40)]
    line = " ".join(words)
    changed = " ".join([*words[:-1], "other"])
    assert merge_texts([line, changed]) == line
    assert merge_texts([line, line.upper().replace(" ", "  ")]) == line
    assert merge_texts([line, " ".join(words[5:15])]) == line
    assert merge_texts([f"{' '.join(words[:20])}\n{' '.join(words[20:])}\nend", line]) == f"{line}\nend"
    far = " ".join(word if n % 4 else f"new{n}" for n, word in enumerate(words))
    assert merge_texts([line, far]) == f"{line}\n{far}"
    assert merge_texts(["word1 word2 word3", line]) == f"word1 word2 word3\n{line}"  # a heading is not part of it


def test_one_word_over_and_over_takes_no_time() -> None:
    page = "\n".join(f"a a a a a x{n}" for n in range(20_000))
    other = "\n".join(f"a a a a a y{n}" for n in range(20_000))
    merged = merge_texts([page, other])
    assert merged == f"{page}\n{other}"


def test_groups_bounds_and_sources() -> None:
    texts = [f"{sentence(0)}\n{sentence(n)}" for n in range(1, 151)] + ["alone", f"{sentence(200)}"] + [sentence(200)]
    table = pa.table({"id": [f"d{n}" for n in range(len(texts))], "text": texts})
    members = np.array([*range(150), 151, 152])
    keepers = np.array([3] * 150 + [152, 152])
    merged = merged_texts(TableSketches([table]), members, keepers)
    assert merged.lines.tolist() == [3, 152]
    sources = merged.table["merged_from"].to_pylist()
    assert sources[0][:4] == ["d3", "d0", "d1", "d2"] and len(sources[0]) == merge.MAX_MEMBERS
    assert sources[1] == ["d152", "d151"] and merged.table["text"][1].as_py() == sentence(200)
    assert merged.details["groups"] == 2 and merged.details["not_merged_whole"] == 1
    first = lines_of(merged.table["text"][0].as_py())
    assert len(first) == merge.MAX_MEMBERS + 1 and first[:2] == lines_of(texts[3])[:1] + first[1:2]
    decided = add_merged(pa.table({"row": np.arange(153)}), merged.lines, merged)
    assert decided["text"].null_count == 151 and decided["merged_from"][3].as_py()[0] == "d3"
    assert decided.schema.field("merged_from").type == pa.list_(pa.string())
    none = np.zeros(0, np.int64)
    assert add_merged(pa.table({"row": [1]}), none, merged_texts(TableSketches([table]), none, none)).num_rows == 1


def test_more_text_than_the_bound_is_left_out_and_told() -> None:
    huge = "\n".join(sentence(n) for n in range(40_000))
    table = pa.table({"id": ["a", "b", "c"], "text": [huge, huge[::-1], sentence(1)]})
    assert len(huge) < merge.MAX_BYTES < 2 * len(huge)
    merged = merged_texts(TableSketches([table]), np.arange(3), np.zeros(3, np.int64))
    assert merged.table["merged_from"][0].as_py() == ["a", "c"]
    assert merged.details["not_merged_whole"] == 1 and merged.table["text"][0].as_py() == huge


def test_the_same_whatever_the_batches() -> None:
    rng = np.random.default_rng(0)
    texts = ["\n".join(sentence(int(n)) for n in rng.permutation(30)[:12]) for _ in range(60)]
    table = pa.table({"id": [f"d{n}" for n in range(60)], "text": texts})
    members, keepers = np.arange(60), np.arange(60) // 5 * 5
    found = [merged_texts(TableSketches([table], size), members, keepers).table for size in (1, 7, 60)]
    assert all(one.equals(other) for one, other in pairwise(found))
