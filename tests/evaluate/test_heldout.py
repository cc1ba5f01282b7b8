"""The held-out set: what is chosen, what an item looks like, and that nothing depends on shards."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from evaluate_fakes import make_heldout, make_pages, write_shards

from tamis.base.cards import Card
from tamis.base.errors import ConfigError, DataError
from tamis.evaluate.heldout import MIN_HOSTS, MIN_PAGES, check_held_out, open_heldout, page_ids, too_small
from tamis.store.location import Location
from tamis.store.workspace import open_workspace


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_same_bytes_for_any_number_of_shards_and_any_order(tmp_path: Path, pages: list[dict[str, str]]) -> None:
    one = make_heldout(write_shards(tmp_path / "one", pages), tmp_path / "a", 3, num_items=40, max_documents=20)
    many = make_heldout(
        write_shards(tmp_path / "many", pages[::-1], 7), tmp_path / "b", 3, num_items=40, max_documents=20
    )
    assert one.fingerprint == many.fingerprint
    for name in ("documents.jsonl", "continuation.jsonl", "card.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    other = make_heldout(Location(tmp_path / "one"), tmp_path / "c", 4, num_items=40, max_documents=20)
    assert other.fingerprint != one.fingerprint


def test_items_hold_the_true_continuation_and_false_ones_of_other_pages(
    tmp_path: Path, pages: list[dict[str, str]]
) -> None:
    card = make_heldout(write_shards(tmp_path / "in", pages), tmp_path / "out", 0, num_items=150)
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
    card = make_heldout(write_shards(tmp_path / "in", [*pages, *copies, *exact]), tmp_path / "out", 0, num_items=300)
    assert card.details["num_item_pages"] == 120  # exact copies count once
    for item in read(tmp_path / "out" / "continuation.jsonl"):
        assert len({choice.casefold() for choice in item["choices"]}) == 4


def test_documents_are_capped_in_number_and_bytes(tmp_path: Path, pages: list[dict[str, str]]) -> None:
    pages = [*pages, {"id": "long", "url": "", "text": "é" * 9_999}, {"id": "blank", "url": "", "text": " \n"}]
    folder = write_shards(tmp_path / "in", pages)
    make_heldout(folder, tmp_path / "all", 0, max_document_bytes=1_001)
    texts = {row["id"]: row["text"] for row in read(tmp_path / "all" / "documents.jsonl")}
    assert len(texts) == 61 and texts["long"] == "é" * 500
    originals = {page["id"]: page["text"] for page in pages}
    for page_id, text in texts.items():
        rest = originals[page_id][len(text) :]
        assert len(text.encode()) <= 1_001 and originals[page_id].startswith(text)
        assert page_id == "long" or not rest or rest[0].isspace()
    make_heldout(folder, tmp_path / "few", 0, max_documents=5)
    make_heldout(folder, tmp_path / "small", 0, max_bytes=10_000)
    few, small = (read(tmp_path / name / "documents.jsonl") for name in ("few", "small"))
    assert len(few) == 5
    assert 1 <= len(small) < 10 and sum(len(row["text"].encode()) for row in small) <= 10_000
    assert [row["id"] for row in small][:5] == [row["id"] for row in few][: len(small)]


def test_tables_and_encoded_data_give_no_items(tmp_path: Path, pages: list[dict[str, str]]) -> None:
    junk = [{"id": f"t{n}", "url": "", "text": "0 | " * 500 if n % 2 else ("QUJD" * 30 + " ") * 200} for n in range(20)]
    card = make_heldout(write_shards(tmp_path / "in", [*pages, *junk]), tmp_path / "out", 0)
    assert card.details["num_item_pages"] == 60


def test_too_few_pages(tmp_path: Path, pages: list[dict[str, str]]) -> None:
    folder = write_shards(tmp_path / "in", [*pages[:3], {"id": "x", "url": "", "text": "short page"}])
    with pytest.raises(DataError, match="only 3 pages have 80 words"):
        make_heldout(folder, tmp_path / "out", 0)
    with pytest.raises(ConfigError, match="Parquet shards"):
        make_heldout(Location(tmp_path / "nowhere"), tmp_path / "out", 0)


def test_a_changed_file_is_noticed(tmp_path: Path, pages: list[dict[str, str]]) -> None:
    make_heldout(write_shards(tmp_path / "in", pages), tmp_path / "out", 0)
    assert open_heldout(Location(tmp_path / "out")).kind == "heldout"
    path = tmp_path / "out" / "documents.jsonl"
    path.write_text(path.read_text().replace("river", "rivet", 1))
    with pytest.raises(DataError, match="not those its card was written for"):
        open_heldout(Location(tmp_path / "out"))
    with pytest.raises(ConfigError, match="not a held-out set"):
        open_heldout(Location(tmp_path))


def test_a_small_set_is_told(tmp_path: Path) -> None:
    def card(name: str, num_pages: int, num_hosts: int) -> Card:
        return make_heldout(write_shards(tmp_path / f"in-{name}", make_pages(num_pages, num_hosts)), tmp_path / name)

    assert too_small(card("enough", MIN_PAGES, MIN_HOSTS)) == ""
    text = too_small(card("hosts", MIN_PAGES, MIN_HOSTS - 1))
    assert f"only {MIN_PAGES} pages of {MIN_HOSTS - 1} hosts" in text and "pool.holdout_fraction" in text
    assert f"only {MIN_PAGES - 1} pages" in too_small(card("pages", MIN_PAGES - 1, MIN_HOSTS))


def test_ids_of_the_pages_of_a_set(tmp_path: Path, pages: list[dict[str, str]]) -> None:
    """Those of documents and those of items, whatever characters an id has."""
    for page in pages[:30]:
        page["id"] = f"https://a.example/x#{page['id']}"
    dataset = write_shards(tmp_path / "in", pages)
    make_heldout(dataset, tmp_path / "all", num_items=150)
    assert page_ids(Location(tmp_path / "all")) == {page["id"] for page in pages}
    make_heldout(dataset, tmp_path / "few", num_items=10, max_documents=8)
    few = page_ids(Location(tmp_path / "few"))
    documents = {row["id"] for row in read(tmp_path / "few" / "documents.jsonl")}
    assert documents < few < {page["id"] for page in pages}
    assert few - documents <= {row["id"].rpartition("#")[0] for row in read(tmp_path / "few" / "continuation.jsonl")}


def test_held_out_pages_in_the_training_data_are_refused(tmp_path: Path, pages: list[dict[str, str]]) -> None:
    """With how many there are, wherever in the data they lie."""
    workspace = open_workspace(Location(tmp_path / "workspace"))
    sets = {name: Location(tmp_path / name) for name in ("near", "far")}
    make_heldout(write_shards(tmp_path / "in-near", pages[:20]), sets["near"])
    make_heldout(write_shards(tmp_path / "in-far", pages[20:40]), sets["far"])

    def check(name: str, training: list[dict[str, str]]) -> None:
        write_shards(workspace.artefact(name) / "shards", training, num_shards=3)
        check_held_out(workspace.artefact(name) / "shards", sets, "mine")

    check("tokenize-clean", pages[40:])
    with pytest.raises(ConfigError, match=r"mine: 3 of 40 held-out pages are in the training data") as caught:
        check("tokenize-mixed", [*pages[40:], *pages[37:40]])
    assert "set 'far'" in str(caught.value) and "pool.holdout_fraction" in str(caught.value)
    assert any(page["id"] in str(caught.value) for page in pages[37:40])
    with pytest.raises(ConfigError, match=r"mine: 40 of 40 held-out pages"):
        check("tokenize-all", pages)
