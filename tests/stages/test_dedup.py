"""Exact dedup: every copy found and nothing else, the same for any sharding and any number of buckets."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
import zstandard
from groups import drive, to_batch

from tamis.base.errors import ConfigError
from tamis.base.recipe import Recipe
from tamis.base.stage import Group, Map, StageContext
from tamis.base.words import normalize
from tamis.stages.dedup.exact import normalize_url
from tamis.stages.dedup.stage import build

RECIPE = Recipe(name="test", stages=[])


def run(settings: dict[str, Any], shards: list[list[dict[str, Any]]]) -> list[dict[str, Any]]:
    (stage,) = build(settings, RECIPE)
    assert isinstance(stage, Group)
    return drive(stage, shards)[0]


def docs(*texts: str | None) -> list[dict[str, Any]]:
    return [{"id": f"d{i}", "text": text} for i, text in enumerate(texts)]


def test_first_copy_stays_and_is_named() -> None:
    rows = run({}, [docs("one", "two", "one", "ONE \n", "three")])
    assert [r["drop_reason"] for r in rows] == [None, None, "duplicate_text", "duplicate_text", None]
    assert [r["duplicate_of"] for r in rows] == [None, None, "d0", "d0", None]
    assert [r["text"] for r in rows] == ["one", "two", "one", "ONE \n", "three"]


def test_without_normalisation_only_equal_bytes_are_equal() -> None:
    rows = run({"normalize": "none"}, [docs("one", "ONE", "one ", "one")])
    assert [r["duplicate_of"] for r in rows] == [None, None, None, "d0"]


def test_url_key_ignores_documents_without_address() -> None:
    urls = ["http://A.org/x", "", "http://a.org/x#top", "", "http://a.org/X", "http://[bad", "http://[bad"]
    documents = [{"id": f"d{i}", "url": url, "text": "same"} for i, url in enumerate(urls)]
    rows = run({"key": "url"}, [documents])
    assert [r["duplicate_of"] for r in rows] == [None, None, "d0", None, None, None, "d5"]
    assert {r["drop_reason"] for r in rows} == {None, "duplicate_url"}


@pytest.mark.parametrize("num_buckets", [1, 8])
def test_any_sharding_keeps_the_same_documents(num_buckets: int) -> None:
    documents = [{"id": f"d{i:03}", "text": f"text {i * i % 41}"} for i in range(200)]
    whole = run({"num_buckets": num_buckets}, [documents])
    split = run({"num_buckets": num_buckets}, [documents[i : i + 40] for i in range(0, 200, 40)])
    assert split == whole
    kept = [r["text"] for r in whole if r["drop_reason"] is None]
    assert sorted(kept) == sorted({d["text"] for d in documents})


def test_nasty_texts() -> None:
    long_line = "x" * (1 << 20)
    rows = run({}, [docs("", "\0", long_line, "", None, None, "\0", long_line, " \n\t")])
    assert [r["duplicate_of"] for r in rows] == [None, None, None, "d0", None, None, "d1", "d2", "d0"]


def test_every_document_the_same() -> None:
    rows = run({"num_buckets": 4}, [docs(*["same"] * 30), [{"id": "other", "text": "same"}], []])
    assert [r["drop_reason"] for r in rows] == [None] + ["duplicate_text"] * 30
    assert {r["duplicate_of"] for r in rows[1:]} == {"d0"}


def test_no_documents_at_all() -> None:
    assert run({}, [[]]) == []
    assert [r["drop_reason"] for r in run({}, [[], docs("a"), []])] == [None]


def test_survivors_are_chosen_and_counted() -> None:
    documents = [
        {"id": "a", "text": "Same text", "score": 0.1},
        {"id": "b", "text": "same  text", "score": 0.9},
        {"id": "c", "text": "same text ", "score": None},
        {"id": "d", "text": "other", "score": 0.0},
    ]
    kept = {
        keep: [r["id"] for r in run({"keep": keep}, [documents]) if not r["drop_reason"]]
        for keep in ("first", "longest", "highest:score", "lowest:score")
    }
    assert kept == {"first": ["a", "d"], "longest": ["b", "d"], "highest:score": ["b", "d"], "lowest:score": ["a", "d"]}
    rows = run({"keep": "highest:score"}, [documents[:2], documents[2:]])
    assert [r["duplicate_of"] for r in rows] == ["b", None, "b", None]
    assert [r["num_copies"] for r in rows] == [1, 3, 1, 1]


def test_normalisers_of_dclm() -> None:
    rows = run({"normalize": "dclm"}, [docs(" One  two", "one  TWO ", "one two")])
    assert [r["duplicate_of"] for r in rows] == [None, "d0", None]
    urls = ["http://www.a.org/x/?utm_source=1", "https://a.org/x", "a.org/x?ref=2", "a.org/X"]
    documents = [{"id": f"d{i}", "url": url, "text": "same"} for i, url in enumerate(urls)]
    assert [r["duplicate_of"] for r in run({"key": "url", "normalize": "dclm"}, [documents])] == [
        None,
        "d0",
        "d0",
        None,
    ]
    rows = run({"normalize": "ccnet"}, [docs("Café, 12 “apples”…", "cafe, 99 apples", "cafe 99 apples")])
    assert [r["duplicate_of"] for r in rows] == [None, "d0", None]


def test_within_page() -> None:
    (stage,) = build({"method": "within_page"}, RECIPE)
    assert isinstance(stage, Map)
    stage.open(StageContext(seed=0))
    text = stage.apply(to_batch(docs("a\n\n A \nb\n\na", None, ""))).column("text").to_pylist()
    assert text == ["a\n\nb\n", None, ""]
    (stage,) = build({"method": "within_page", "unit": "paragraph"}, RECIPE)
    assert isinstance(stage, Map)
    stage.open(StageContext(seed=0))
    assert stage.apply(to_batch(docs("a\nb\n\nc\n\nA\nB"))).column("text").to_pylist() == ["a\nb\n\nc"]


def test_all_exact_copies_of_the_known_set_and_no_other(shared_data: Path) -> None:
    folder = shared_data / "data" / "dups"
    with (folder / "dups-dev.jsonl.zst").open("rb") as handle:
        lines = io.TextIOWrapper(zstandard.ZstdDecompressor().stream_reader(handle), encoding="utf-8")
        documents = [json.loads(line) for line in lines]
    truth = [json.loads(line) for line in (folder / "dups-dev.truth.jsonl").read_text().splitlines()]
    base_of = {t["id"]: t["base_id"] if t["kind"] == "exact" else t["id"] for t in truth}
    copies = {t["id"] for t in truth if t["kind"] == "exact"}
    rows = run({"normalize": "none"}, [documents[i : i + 700] for i in range(0, len(documents), 700)])
    removed = [r for r in rows if r["drop_reason"]]
    # Documents are not ordered by kind: where a copy comes before its base, the base is the one removed.
    assert len(copies) == len(removed) == 200
    assert all(base_of[r["id"]] == base_of[r["duplicate_of"]] for r in removed)
    kept = [base_of[r["id"]] for r in rows if not r["drop_reason"]]
    assert len(kept) == len(set(kept)) == len(truth) - 200
    normalized = run({}, [documents])
    assert sum(r["drop_reason"] == "duplicate_text" for r in normalized) == 200


def test_normal_forms() -> None:
    assert normalize(" A\tb \u00a0C\r\n") == "a b c"
    assert normalize_url(" HTTP://Example.ORG/Path?Q=A#frag ") == "http://example.org/Path?Q=A"


def test_wrong_settings_are_named() -> None:
    with pytest.raises(ConfigError, match=r"dedup\.method"):
        build({"method": "fuzzy"}, RECIPE)
    with pytest.raises(ConfigError, match=r"dedup\.num_buckets"):
        build({"num_buckets": 0}, RECIPE)
    with pytest.raises(ConfigError, match=r"dedup\.keep.*highest:COLUMN"):
        build({"keep": "best"}, RECIPE)
    with pytest.raises(ConfigError, match=r"dedup\.normalize"):
        build({"key": "url", "normalize": "ccnet"}, RECIPE)
