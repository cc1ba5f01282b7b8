"""Decontamination: what must be found, what must not, the kernel against its twin, and files as published."""

import gzip
import json
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
from tamis.base.stage import Context
from tamis.kernels import ngrams, reference_ngrams
from tamis.kernels.text import views
from tamis.stages.decontaminate.reference import read_items
from tamis.stages.decontaminate.stage import Decontaminate, build, reference_runs

RECIPE = Recipe(name="test", stages=[])
PASSAGE = "The quick brown fox jumps over the lazy dog while seventeen other animals quietly watch from the hill."


def write_jsonl(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def apply(reference: Path | None, texts: list[str | None], **config: Any) -> list[tuple[str | None, int | None]]:
    (stage,) = build({"reference": [str(reference)] if reference else [], **config}, RECIPE)
    assert isinstance(stage, Decontaminate)
    stage.open(Context(seed=0, assets={"reference_000": reference} if reference else {}))
    batch = pa.RecordBatch.from_pydict(
        {"text": pa.array(texts, pa.string()), "drop_reason": pa.nulls(len(texts), pa.string())}
    )
    out = stage.apply(batch)
    assert out.num_rows == len(texts)
    assert out.schema.field("contaminated_ngrams").type == pa.int32()
    return list(zip(out["drop_reason"].to_pylist(), out["contaminated_ngrams"].to_pylist(), strict=True))


def test_a_page_with_a_run_of_thirteen_words_goes(tmp_path: Path) -> None:
    reference = write_jsonl(tmp_path / "r.jsonl", [{"text": PASSAGE}])
    words = PASSAGE.split()
    found = apply(
        reference,
        [
            "before " + PASSAGE.upper().replace(" ", " -- ") + " after",
            " ".join(words[:13]),
            " ".join(words[:12]) + " cat",
            "\n".join(words[3:17]),
            " ".join(reversed(words)),
        ],
    )
    assert found == [("contaminated", 6), ("contaminated", 1), (None, 0), ("contaminated", 2), (None, 0)]


def test_short_items_match_whole_and_shorter_ones_never(tmp_path: Path) -> None:
    rows = [
        {"query": "Which of these planets is the largest of all?", "choices": ["Mars", "Jupiter"]},
        {"text": "Is it so?"},
    ]
    reference = write_jsonl(tmp_path / "r.jsonl", rows)
    found = apply(
        reference,
        [
            "Quiz: which of these planets is the largest of all? Jupiter!",
            "Quiz: which of these planets is the largest of all? Saturn!",
            "Is it so? Is it so?",
        ],
    )
    assert found == [("contaminated", 1), (None, 0), (None, 0)]


def test_min_matches_and_ngram(tmp_path: Path) -> None:
    reference = write_jsonl(tmp_path / "r.jsonl", [{"text": PASSAGE}])
    assert apply(reference, [" ".join(PASSAGE.split()[:14])], min_matches=3) == [(None, 2)]
    assert apply(reference, ["a quick brown fox jumps"], ngram=3) == [("contaminated", 2)]


def test_without_reference_nothing_is_measured() -> None:
    (stage,) = build({}, RECIPE)
    assert stage.rules == () and stage.signals == () and stage.assets() == {}
    assert apply(None, [PASSAGE, ""]) == [(None, None), (None, None)]


def test_nasty_texts(tmp_path: Path) -> None:
    reference = write_jsonl(tmp_path / "r.jsonl", [{"text": PASSAGE}])
    texts = ["", None, "\0", "x" * (1 << 20), "word " * 200_000, "\U0001f600" * 20, PASSAGE.replace(" ", "\0")]
    assert [reason for reason, _ in apply(reference, texts)] == [None] * 6 + ["contaminated"]


def test_a_slice_of_a_batch_is_read_at_its_place(tmp_path: Path) -> None:
    reference = write_jsonl(tmp_path / "r.jsonl", [{"text": PASSAGE}])
    (stage,) = build({"reference": [str(reference)]}, RECIPE)
    assert isinstance(stage, Decontaminate)
    stage.open(Context(seed=0, assets={"reference_000": reference}))
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
    expected = [["q a", "q b"], ["c d"], ["x z", "y z"], ["c e"], ["t "], ["def f(): return 1"]]
    plain = write_jsonl(tmp_path / "r.jsonl", rows)
    (tmp_path / "gz").write_bytes(gzip.compress(plain.read_bytes()))
    (tmp_path / "zst").write_bytes(zstandard.compress(plain.read_bytes()))
    assert read_items(plain) == read_items(tmp_path / "gz") == read_items(tmp_path / "zst") == expected


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


def hashed(texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
    return ngrams.word_hashes(*views(pa.array(texts, pa.string())), ngrams.fold_table())


NASTY = st.sampled_from("aB1 _-'\n\0éÉßİΣſﬁ語٣\U0001d7ce")
TEXTS = st.lists(st.text(st.one_of(NASTY, st.characters(exclude_categories=["Cs", "Cn"]))), max_size=5)


@settings(max_examples=150, deadline=None)
@given(TEXTS, st.integers(1, 4))
def test_kernel_agrees_with_its_twin(texts: list[str], length: int) -> None:
    words, offsets = hashed(texts)
    expected = [reference_ngrams.word_hashes(text) for text in texts]
    assert [words[a:b].tolist() for a, b in pairwise(offsets)] == expected
    runs = [reference_ngrams.run_hashes(w, length) for w in expected]
    for place in range(len(texts)):
        mine = words[offsets[place] : offsets[place + 1]]
        assert ngrams.run_hashes(mine, length).tolist() == runs[place]
    known = {h for part in runs[::2] for h in part[::2]}
    table = ngrams.hash_set(np.array(sorted(known), np.uint64))
    counts = ngrams.count_known_runs(words, offsets, np.array([length], np.int64), table)
    assert counts.tolist() == [reference_ngrams.count_known_runs(text, [length], known) for text in texts]


def test_evaluation_data_finds_itself_and_not_web_like_text(shared_data: Path) -> None:
    path = shared_data / "data" / "eval" / "world_knowledge" / "arc_easy.jsonl.zst"
    items = read_items(path)
    assert len(items) == 2376
    texts = [text for item in items for text in item]
    lengths, table = reference_runs(texts, 13, 8)
    words, offsets = hashed(texts)
    counts = ngrams.count_known_runs(words, offsets, lengths, table)
    long_enough = np.diff(offsets) >= 8
    assert (counts[long_enough] > 0).all()
    assert long_enough.mean() > 0.9
