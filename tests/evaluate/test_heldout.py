"""The held-out set: what is chosen, what an item looks like, and that nothing depends on shards."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from evaluate_fakes import write_shards

from tamis.base.errors import ConfigError, DataError
from tamis.evaluate.heldout import build_heldout, open_heldout


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_same_bytes_for_any_number_of_shards_and_any_order(tmp_path: Path, pages: list[dict[str, str]]) -> None:
    one = build_heldout(write_shards(tmp_path / "one", pages), tmp_path / "a", 3, num_items=40, max_documents=20)
    many = build_heldout(
        write_shards(tmp_path / "many", pages[::-1], 7), tmp_path / "b", 3, num_items=40, max_documents=20
    )
    assert one.fingerprint == many.fingerprint
    for name in ("documents.jsonl", "continuation.jsonl", "card.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    other = build_heldout(tmp_path / "one", tmp_path / "c", 4, num_items=40, max_documents=20)
    assert other.fingerprint != one.fingerprint


def test_items_hold_the_true_continuation_and_false_ones_of_other_pages(
    tmp_path: Path, pages: list[dict[str, str]]
) -> None:
    card = build_heldout(write_shards(tmp_path / "in", pages), tmp_path / "out", 0, num_items=150)
    items = read(tmp_path / "out" / "continuation.jsonl")
    assert len(items) == 150 == card.details["num_items"] and len({item["id"] for item in items}) == 150
    texts = {page["id"]: page["text"] for page in pages}
    for item in items:
        page = texts[item["id"].split("#")[0]]
        assert f"{item['query']} {item['choices'][item['gold']]}" in page
        assert len(item["query"].split()) == 64 and len(item["choices"]) == 4 == len(set(item["choices"]))
        for number, choice in enumerate(item["choices"]):
            assert len(choice.split()) == 16
            assert number == item["gold"] or choice not in page
            assert number == item["gold"] or any(f" {choice}" in text for text in texts.values())
    places = Counter(item["gold"] for item in items)
    assert all(20 <= places[place] <= 56 for place in range(4)), places
    per_page = Counter(item["id"].split("#")[0] for item in items)
    assert max(per_page.values()) - min(per_page.values()) <= 1 and len(per_page) == 60


def test_duplicate_pages_never_give_a_distractor_equal_to_the_truth(
    tmp_path: Path, pages: list[dict[str, str]]
) -> None:
    copies = [{**page, "id": page["id"][::-1], "text": page["text"].upper()} for page in pages]
    exact = [{**page, "id": f"copy-{page['id']}"} for page in pages]
    card = build_heldout(write_shards(tmp_path / "in", [*pages, *copies, *exact]), tmp_path / "out", 0, num_items=300)
    assert card.details["num_item_pages"] == 120  # exact copies count once
    for item in read(tmp_path / "out" / "continuation.jsonl"):
        assert len({choice.casefold() for choice in item["choices"]}) == 4


def test_documents_are_capped_in_number_and_bytes(tmp_path: Path, pages: list[dict[str, str]]) -> None:
    pages = [*pages, {"id": "long", "url": "", "text": "é" * 9_999}, {"id": "blank", "url": "", "text": " \n"}]
    folder = write_shards(tmp_path / "in", pages)
    build_heldout(folder, tmp_path / "all", 0, max_document_bytes=1_001)
    texts = {row["id"]: row["text"] for row in read(tmp_path / "all" / "documents.jsonl")}
    assert len(texts) == 61 and texts["long"] == "é" * 500
    originals = {page["id"]: page["text"] for page in pages}
    for page_id, text in texts.items():
        rest = originals[page_id][len(text) :]
        assert len(text.encode()) <= 1_001 and originals[page_id].startswith(text)
        assert page_id == "long" or not rest or rest[0].isspace()
    build_heldout(folder, tmp_path / "few", 0, max_documents=5)
    build_heldout(folder, tmp_path / "small", 0, max_bytes=10_000)
    few, small = (read(tmp_path / name / "documents.jsonl") for name in ("few", "small"))
    assert len(few) == 5
    assert 1 <= len(small) < 10 and sum(len(row["text"].encode()) for row in small) <= 10_000
    assert [row["id"] for row in small][:5] == [row["id"] for row in few][: len(small)]


def test_tables_and_encoded_data_give_no_items(tmp_path: Path, pages: list[dict[str, str]]) -> None:
    junk = [{"id": f"t{n}", "url": "", "text": "0 | " * 500 if n % 2 else ("QUJD" * 30 + " ") * 200} for n in range(20)]
    card = build_heldout(write_shards(tmp_path / "in", [*pages, *junk]), tmp_path / "out", 0)
    assert card.details["num_item_pages"] == 60


def test_too_few_pages(tmp_path: Path, pages: list[dict[str, str]]) -> None:
    folder = write_shards(tmp_path / "in", [*pages[:3], {"id": "x", "url": "", "text": "short page"}])
    with pytest.raises(DataError, match="only 3 pages have 80 words"):
        build_heldout(folder, tmp_path / "out", 0)
    with pytest.raises(ConfigError, match="Parquet shards"):
        build_heldout(tmp_path / "nowhere", tmp_path / "out", 0)


def test_a_changed_file_is_noticed(tmp_path: Path, pages: list[dict[str, str]]) -> None:
    build_heldout(write_shards(tmp_path / "in", pages), tmp_path / "out", 0)
    assert open_heldout(tmp_path / "out").kind == "heldout"
    path = tmp_path / "out" / "documents.jsonl"
    path.write_text(path.read_text().replace("river", "rivet", 1))
    with pytest.raises(DataError, match="not those its card was written for"):
        open_heldout(tmp_path / "out")
    with pytest.raises(ConfigError, match="not a held-out set"):
        open_heldout(tmp_path)
