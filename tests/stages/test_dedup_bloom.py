"""Bloom dedup does what BFF does: against a plain twin with exact sets, and by hand; nothing depends on batches."""

import io
import json
import time
from pathlib import Path
from typing import Any

import pytest
import zstandard
from groups import TableSketches, decide_all, drive, sketch_all
from hypothesis import given, settings
from hypothesis import strategies as st

from tamis.base.errors import ConfigError
from tamis.base.recipe import Recipe
from tamis.base.stage import Corpus, StageContext
from tamis.kernels.reference.dedup.bloom import Bff, Mode
from tamis.stages.dedup.bloom.marks import WHITE_SPACE
from tamis.stages.dedup.bloom.stage import BloomDedup
from tamis.stages.dedup.stage import build

RECIPE = Recipe(name="test", stages=[])
SMALL = {"ngram": 3, "fp_rate": 1e-6}


def stage(**changes: Any) -> BloomDedup:
    (made,) = build({"method": "bloom", **changes}, RECIPE)
    assert isinstance(made, BloomDedup)
    return made


def docs(*texts: str | None) -> list[dict[str, Any]]:
    return [{"id": f"d{i}", "text": text} for i, text in enumerate(texts)]


def run(pool: list[list[dict[str, Any]]], **changes: Any) -> list[dict[str, Any]]:
    return drive(stage(**changes), pool)[0]


def test_paragraphs_and_documents_go() -> None:
    line = "one two three four five six"
    rows = run([docs(f"{line}\nseven eight nine", f"ten eleven twelve\n{line}\nend", f"{line}\n{line}", line)], **SMALL)
    assert [r["text"] for r in rows[:2]] == [f"{line}\nseven eight nine", "ten eleven twelve\nend"]
    assert [r["drop_reason"] for r in rows] == [None, None, "duplicate_ngrams", "duplicate_ngrams"]
    assert [r["removed_paragraphs"] for r in rows] == [0, 1, 2, 1]
    assert [(r["contained_ngrams"], r["total_ngrams"]) for r in rows] == [(0, 5), (4, 5), (8, 8), (4, 4)]
    assert rows[2]["text"] == f"{line}\n{line}"
    rows = run([docs(f"{line}\n{line}", line + "\n\n")], mode="paragraph", **SMALL)
    assert [(r["text"], r["drop_reason"]) for r in rows] == [(line, None), (line + "\n\n", "duplicate_paragraphs")]


def test_threshold_is_strict_and_short_units_stay() -> None:
    rows = run([docs("a b c d e f g", "a b c d e f x", "a b", "a b", "", None, " \n ")], threshold=0.8, **SMALL)
    assert [r["drop_reason"] for r in rows] == [None] * 7
    assert (rows[1]["contained_ngrams"], rows[1]["total_ngrams"]) == (4, 5)
    assert rows[2]["total_ngrams"] == 0 and rows[2]["contained_fraction"] != rows[2]["contained_fraction"]
    assert [r["text"] for r in rows[4:]] == ["", None, " \n "]
    rows = run([docs("a b", "a b")], min_ngram=2, **SMALL)
    assert [r["drop_reason"] for r in rows] == [None, "duplicate_ngrams"]


PIECES = [
    "a",
    "b",
    "c",
    "a b c a",
    "b c",
    "a b c d e f g h",
    "\n",
    "\n",
    "\n\n",
    "é",
    "“a”",
    " ",
    ". ",
    "x\u3000",
    "\r\n",
]
texts = st.lists(st.sampled_from(PIECES), max_size=30).map(" ".join)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(texts, min_size=1, max_size=6), st.sampled_from(["old-both", "paragraph", "document", "substring"]),
    st.sampled_from([(1, 1), (2, 2), (3, 1), (4, 4)]), st.sampled_from([0.3, 0.5, 0.8, 1.0]), st.booleans(),
)  # fmt: skip
def test_as_the_twin(
    documents: list[str], mode: Mode, sizes: tuple[int, int], threshold: float, annotate: bool
) -> None:
    size, least = sizes
    bff = Bff(mode=mode, size=size, least=least, threshold=threshold, least_tokens=4)
    expected = [bff.judge(text) for text in documents]
    rows = run(
        [docs(*documents)], mode=mode, ngram=size, min_ngram=least, threshold=threshold, substring_tokens=4,
        fp_rate=1e-9, annotate=annotate,
    )  # fmt: skip
    for text, row, verdict in zip(documents, rows, expected, strict=True):
        assert (row["contained_ngrams"], row["total_ngrams"]) == (verdict.contained, verdict.total)
        left, at = b"", 0
        for start, end in verdict.spans:
            left, at = left + text.encode()[at:start], end
        remaining = (left + text.encode()[at:]).decode()
        if mode == "substring" and verdict.spans:
            remaining = remaining.strip(WHITE_SPACE)
        reason = "duplicate_substrings" if mode == "substring" else "duplicate_paragraphs"
        reason = reason if verdict.spans and not remaining.strip(WHITE_SPACE) else None
        reason = "duplicate_ngrams" if verdict.duplicate else reason
        assert row["duplicate_reason" if annotate else "drop_reason"] == reason
        assert row["text"] == (text if annotate or reason else remaining)
        if annotate:
            assert row["drop_reason"] is None
            assert row["duplicate_spans"] == [list(span) for span in verdict.spans]


def test_annotate_keeps_every_field() -> None:
    documents = [{"id": f"d{i}", "url": f"u{i}", "text": "a b c d\ne f", "score": i / 2} for i in range(3)]
    rows = run([documents], annotate=True, **SMALL)
    assert [{k: r[k] for k in documents[0]} for r in rows] == documents
    assert [r["duplicate_reason"] for r in rows] == [None, "duplicate_ngrams", "duplicate_ngrams"]
    assert [r["duplicate_spans"] for r in rows] == [[], [[0, 7]], [[0, 7]]]
    rows = run([documents], annotate=True, mode="document", **SMALL)
    assert [r["duplicate_spans"] for r in rows] == [[], [[0, 11]], [[0, 11]]]


def some_documents() -> list[dict[str, Any]]:
    texts = [f"w{i % 7} x{i % 5} y{i % 3} z\nq{i} r{i % 11} s t u\nv w" for i in range(60)]
    return docs(*texts)


@pytest.mark.parametrize("mode", ["old-both", "substring"])
def test_batches_do_not_matter(mode: str) -> None:
    documents = some_documents()
    settings = {"mode": mode, "self_check": 0.5, "substring_tokens": 4, **SMALL}
    first = drive(stage(**settings), [documents[:30], documents[30:]], batch_rows=7)
    again = drive(stage(**settings), [documents[:30], documents[30:]], batch_rows=100)
    assert repr(first) == repr(again)
    without = drive(stage(**(settings | {"self_check": 0})), [documents[:30], documents[30:]])
    assert repr(without[0]) == repr(first[0])


def test_groups_of_shards_are_independent() -> None:
    documents = some_documents()
    shards = [documents[i : i + 10] for i in range(0, 60, 10)]
    together = run(shards, shards=3, **SMALL)
    for group in range(3):
        alone = run(shards[group::3], **SMALL)
        mine = [row for shard in range(group, 6, 3) for row in together[10 * shard : 10 * shard + 10]]
        assert repr(alone) == repr(mine)
    assert repr(run(shards, **SMALL)) != repr(together)


def test_a_filter_too_small_is_refused() -> None:
    documents = docs(*(f"a{i} b{i} c{i} d{i} e{i} f{i}" for i in range(2000)))
    with pytest.raises(ConfigError, match=r"expected_ngrams: 100, but a group has 8000 n-grams, which need .* GB"):
        run([documents], expected_ngrams=100, ngram=3)
    with pytest.raises(ConfigError, match=r"max_memory_gb: 1e-06, but a group has 8000 n-grams.*allow_undersized"):
        run([documents], max_memory_gb=1e-6, ngram=3)
    rows, details = drive(stage(max_memory_gb=1e-6, allow_undersized=True, ngram=3), [documents])
    assert details["filter_bytes"] <= 1000 and details["predicted_fp_rate"] > 0.9
    assert sum(r["drop_reason"] is not None for r in rows) > 800
    assert not any(r["drop_reason"] for r in run([documents], expected_ngrams=8000, ngram=3))


def test_a_filter_that_no_machine_has_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"dedup\.fp_rate: .* 0\.000000001 \(got 1e-30\)"):
        stage(fp_rate=1e-30)
    with pytest.raises(ConfigError, match=r"dedup\.expected_ngrams"):
        stage(expected_ngrams=10**400)
    with pytest.raises(ConfigError, match=r"takes [0-9,]+ GB, which this machine does not have\. Raise fp_rate"):
        run([docs("a b c d")], fp_rate=1e-9, expected_ngrams=10**14, ngram=3)


def test_hostile_corpora() -> None:
    assert run([[]]) == []
    assert len(run([[], docs("a"), []], shards=5)) == 1
    same = " ".join(f"w{i}" for i in range(20))
    began = time.process_time()  # of the processor: other programs do not count
    rows = drive(stage(), [docs(*[same] * 50_000)], batch_rows=10_000)[0]
    assert [r["drop_reason"] for r in rows[:2]] == [None, "duplicate_ngrams"]
    assert sum(r["drop_reason"] is None for r in rows) == 1 and time.process_time() - began < 60
    large = "\n".join(f"line {i} of a very large document that goes on and on, {i * 7}" for i in range(100_000))
    rows = run([docs(large, large)])
    assert [r["drop_reason"] for r in rows] == [None, "duplicate_ngrams"]


def test_self_check_reports_recall() -> None:
    documents = docs(*(" ".join(f"t{i}x{j}" for j in range(100)) for i in range(80)))
    _, details = drive(stage(self_check=1.0), [documents])
    recall = {entry["rate"]: entry["recall"] for entry in details["self_check"]}
    assert recall[0.0] == 1 and recall[0.4] == 0
    assert details["documents_with_ngrams"] == 80


def test_cost_is_that_of_the_filter_made(shared_data: Path) -> None:
    with (shared_data / "data" / "dups" / "dups-dev.jsonl.zst").open("rb") as handle:
        lines = io.TextIOWrapper(zstandard.ZstdDecompressor().stream_reader(handle), encoding="utf-8")
        documents = [json.loads(line) for line, _ in zip(lines, range(600), strict=False)]
    made = stage(mode="document")
    made.open(StageContext(seed=0))
    sketches, _ = sketch_all(made, [documents], 200)
    assert isinstance(sketches, TableSketches)
    _, details = decide_all(made, sketches, StageContext(seed=0))
    num_bytes = sum(len(d["text"].encode()) for d in documents)
    cost = made.cost(Corpus(num_documents=600, text_bytes=num_bytes))
    assert cost.sketch_bytes == pytest.approx(8 * details["num_ngrams"], rel=0.2)
    assert details["filter_bytes"] <= 1.2 * cost.memory_bytes
    capped = stage(max_memory_gb=0.5).cost(Corpus(num_documents=10, text_bytes=10**12))
    assert capped.memory_bytes < 0.7e9


def test_wrong_settings_are_named() -> None:
    with pytest.raises(ConfigError, match=r"dedup\.mode"):
        stage(mode="both")
    with pytest.raises(ConfigError, match=r"dedup\.threshold"):
        stage(threshold=1.5)
