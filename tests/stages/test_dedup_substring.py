"""Substring dedup: what is cut from whom, the same for both algorithms, any sharding and any number of parts."""

import importlib.util
import io
import json
import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import zstandard
from groups import drive, to_batch
from hypothesis import given, settings
from hypothesis import strategies as st

from tamis.base.errors import ConfigError
from tamis.base.recipe import Recipe
from tamis.base.stage import Corpus, Group, StageContext
from tamis.stages.dedup.stage import build
from tamis.store.shards import ShardWriter

RECIPE = Recipe(name="test", stages=[])
needs_divsufsort = pytest.mark.skipif(
    importlib.util.find_spec("pydivsufsort") is None, reason="pydivsufsort, an optional extra, is not installed"
)


def stage(**given: Any) -> Group:
    (built,) = build({"method": "substring"} | given, RECIPE)
    assert isinstance(built, Group)
    return built


def run(shards: list[list[dict[str, Any]]], **given: Any) -> list[dict[str, Any]]:
    return drive(stage(**given), shards)[0]


def docs(*texts: str | None) -> list[dict[str, Any]]:
    return [{"id": f"d{i}", "text": text} for i, text in enumerate(texts)]


def words(first: int, count: int) -> str:
    return " ".join(f"w{i}" for i in range(first, first + count))


def texts(rows: list[dict[str, Any]]) -> list[str | None]:
    return [row["text"] for row in rows]


def test_later_occurrences_are_cut_and_nothing_else() -> None:
    notice = words(0, 50)
    documents = docs(f"{notice}\nfirst page", f"second {notice}\n\npage", f"short {words(0, 49)} of it", notice)
    rows = run([documents[:2], documents[2:]])
    assert texts(rows) == [f"{notice}\nfirst page", "second\n\npage", f"short {words(0, 49)} of it", notice]
    assert [row["drop_reason"] for row in rows] == [None, None, None, "duplicate_substring"]
    assert [round(row["duplicate_token_fraction"], 3) for row in rows] == [0, 0.962, 0, 1]
    rows = run([documents], keep="none")
    assert texts(rows)[:3] == ["first page", "second\n\npage", f"short {words(0, 49)} of it"]
    assert [row["drop_reason"] for row in rows] == [None, None, None, "duplicate_substring"]


def test_a_page_that_repeats_itself() -> None:
    page = "a " * 200
    assert texts(run([docs(page, "b " + page)])) == ["a ", "b "]
    assert [row["drop_reason"] for row in run([docs(page)], keep="none")] == ["duplicate_substring"]


def test_few_tokens_left() -> None:
    documents = docs(words(0, 60), f"three more words {words(0, 60)}", "short")
    assert [row["drop_reason"] for row in run([documents], min_kept_tokens=3)] == [None] * 3
    rows = run([documents], min_kept_tokens=4)
    assert [row["drop_reason"] for row in rows] == [None, "duplicate_substring", None]
    assert texts(rows) == [document["text"] for document in documents]


def test_annotate_changes_nothing() -> None:
    documents = docs(words(0, 60), f"ä {words(0, 60)} and {words(5, 50)} end", None, words(0, 60))
    rows = run([documents], annotate=True)
    assert texts(rows) == texts(documents) and not any(row["drop_reason"] for row in rows)
    assert [row["duplicate_spans"] and len(row["duplicate_spans"]) for row in rows] == [[], 2, [], 1]
    data = documents[1]["text"].encode()
    for start, end in reversed(rows[1]["duplicate_spans"]):
        data = data[:start] + data[end:]
    assert data.decode() == "ä and end" == run([documents])[1]["text"]


def test_hostile_texts() -> None:
    long = " ".join(f"w{i}" for i in range(200_000))
    rows = run([[], docs("", None, " \n", "\0", long, "\0", "", long)])
    assert [row["drop_reason"] for row in rows] == [None] * 7 + ["duplicate_substring"]
    assert texts(rows) == ["", None, " \n", "\0", long, "\0", "", long]
    assert run([[]]) == [] and run([[], []], groups=2, self_check=1.0) == []


def test_many_documents_the_same() -> None:
    same = [{"id": "x", "text": words(0, 51)} for _ in range(200_000)]
    (built,) = build({"method": "substring"}, RECIPE)
    assert isinstance(built, Group)
    rows, details = drive(built, [same], batch_rows=20_000)
    assert sum(row["drop_reason"] == "duplicate_substring" for row in rows) == 199_999 and not rows[0]["drop_reason"]
    assert details["num_duplicate_spans"] == 199_999 and details["num_tokens"] == 51 * 200_000


corpora = st.lists(st.lists(st.sampled_from("ab"), max_size=30).map(" ".join), min_size=1, max_size=12)


@needs_divsufsort
@settings(max_examples=60, deadline=None)
@given(corpora, st.integers(2, 9), st.sampled_from(["first", "none"]), st.integers(1, 3), st.integers(1, 3))
def test_both_algorithms_cut_the_same(corpus: list[str], width: int, keep: str, groups: int, parts: int) -> None:
    given: dict[str, Any] = {"min_tokens": width, "keep": keep, "annotate": True, "groups": groups, "self_check": 0.5}
    documents = docs(*corpus)
    shards = [documents[i::4] for i in range(4)]
    rolled, rolled_details = drive(stage(**given, num_parts=parts), shards)
    by_suffix, suffix_details = drive(stage(**given, algorithm="suffix_array"), shards, batch_rows=2)
    assert rolled == by_suffix
    assert rolled_details == suffix_details


@needs_divsufsort
@pytest.mark.parametrize("keep", ["first", "none"])
def test_real_pages(shared_data: Path, keep: str) -> None:
    documents, truth = load(shared_data)
    documents = documents[:900]
    shards = [documents[i : i + 300] for i in range(0, 900, 300)]
    rolled, details = drive(stage(keep=keep, num_parts=3), shards, batch_rows=100)
    by_suffix, suffix_details = drive(stage(keep=keep, algorithm="suffix_array"), [documents], batch_rows=900)
    assert rolled == by_suffix and details == suffix_details
    gone = {row["id"] for row in rolled if row["drop_reason"]}
    copies: dict[str, list[str]] = {}
    for document in documents:
        known = truth[document["id"]]
        if known["kind"] in ("base", "exact") and known["words"] >= 50:
            copies.setdefault(known["base_id"] or known["id"], []).append(document["id"])
    repeated = [ids[1:] if keep == "first" else ids for ids in copies.values() if len(ids) > 1]
    assert len(repeated) > 5 and gone >= {copy for ids in repeated for copy in ids}


def load(shared_data: Path) -> tuple[list[dict[str, Any]], dict[str, dict[str, Any]]]:
    folder = shared_data / "data" / "dups"
    with (folder / "dups-dev.jsonl.zst").open("rb") as handle:
        lines = io.TextIOWrapper(zstandard.ZstdDecompressor().stream_reader(handle), encoding="utf-8")
        documents = [json.loads(line) for line in lines]
    truth = [json.loads(line) for line in (folder / "dups-dev.truth.jsonl").read_text().splitlines()]
    return documents, {t["id"]: t for t in truth}


def test_self_check_counts_copies_and_changes_no_decision() -> None:
    rng = random.Random(0)
    documents = docs(*(" ".join(f"v{rng.randrange(5_000)}" for _ in range(800)) for _ in range(300)))
    shards = [documents[:100], documents[100:]]
    for keep in ("first", "none"):
        checked, details = drive(stage(self_check=0.5, keep=keep), shards)
        assert checked == run(shards, keep=keep)
        assert [line["rate"] for line in details["self_check"]] == [0, 0.01, 0.05, 0.1, 0.2, 0.4]
        for line in details["self_check"]:
            assert line["cut_token_fraction"] >= line["unchanged_token_fraction"]
        recall = {line["rate"]: line["recall"] for line in details["self_check"]}
        assert recall[0.0] == 1 and recall[0.01] > 0.9 and recall[0.2] == recall[0.4] == 0
        assert drive(stage(self_check=0.5, keep=keep, num_parts=3), shards, batch_rows=1)[1] == details


def test_groups_are_apart() -> None:
    text = words(0, 80)
    rows = run([docs(text), docs(text), docs(text), docs(text)], groups=2, num_parts=3)
    assert [row["drop_reason"] for row in rows] == [None, None, "duplicate_substring", "duplicate_substring"]


def test_wrong_settings_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"dedup\.num_parts.*groups"):
        stage(algorithm="suffix_array", num_parts=2)
    with pytest.raises(ConfigError, match=r"dedup\.min_tokens"):
        stage(min_tokens=0)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install .*suffix_array"):
        stage(algorithm="suffix_array")


def test_cost_follows_the_settings() -> None:
    corpus = Corpus(num_documents=10_000, text_bytes=10**9)
    whole, parts = stage().cost(corpus), stage(num_parts=8).cost(corpus)
    assert whole is not None and parts is not None
    assert whole.sketch_bytes == parts.sketch_bytes and whole.memory_bytes > 4 * parts.memory_bytes


def test_sketches_take_what_was_said(shared_data: Path, tmp_path: Path) -> None:
    documents = load(shared_data)[0][:1500]
    built = stage()
    built.open(StageContext(seed=0))
    batch = to_batch(documents)
    lines = built.sketch(batch, pa.array(range(len(documents)), pa.int64()))
    with ShardWriter(tmp_path / "sketch.parquet", lines.schema) as writer:
        for part in lines.to_batches():
            writer.write(part)
    text_bytes = sum(len(document["text"].encode()) for document in documents)
    cost = built.cost(Corpus(num_documents=len(documents), text_bytes=text_bytes))
    assert cost is not None
    assert (tmp_path / "sketch.parquet").stat().st_size == pytest.approx(cost.sketch_bytes, rel=0.2)


def test_shared_paragraphs_go_and_own_text_stays(shared_data: Path) -> None:
    documents, truth = load(shared_data)
    groups = json.loads((shared_data / "data" / "dups" / "dups-dev.boilerplate.json").read_text())
    paragraphs = {group["group"]: [p for p in group["paragraphs"] if len(p.split()) >= 50] for group in groups}
    sharers = [document for document in documents if truth[document["id"]]["kind"] == "boilerplate"]
    seen: set[str] = set()
    own_bytes = kept_bytes = 0
    for before, after in zip(sharers, run([sharers]), strict=True):
        expected = before["text"]
        for paragraph in paragraphs[truth[before["id"]]["bp_group"]]:
            if paragraph in seen:
                assert paragraph not in after["text"]
                expected = expected.replace(paragraph, "")
            elif paragraph in expected:
                assert paragraph in after["text"]
                seen.add(paragraph)
        own_bytes += len(expected)
        kept_bytes += len(after["text"])
    assert len(seen) > 5 and 0.9 < kept_bytes / own_bytes <= 1
