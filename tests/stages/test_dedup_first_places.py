"""The first places of cut text, against a search through the whole corpus in plain Python."""

import random
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from groups import drive

from tamis.base.recipe import Recipe
from tamis.base.stage import Group
from tamis.kernels.text.uax_tokens import uax_tokens
from tamis.stages.dedup import first_places
from tamis.stages.dedup.stage import build

RECIPE = Recipe(name="test", stages=[])
WORDS = ["one", "two", "трава", "naïve", "日", "été", "x", "don't", ",", "🙂"]


def stage(method: str, **settings: Any) -> Group:
    (built,) = build({"method": method, "name_first": True} | settings, RECIPE)
    assert isinstance(built, Group)
    return built


def corpus(seed: int) -> list[list[dict[str, Any]]]:
    """Shards of documents of random lines, of which many are whole or partial copies of earlier ones."""
    rng = random.Random(seed)
    lines: list[str] = []

    def line() -> str:
        if lines and rng.random() < 0.5:
            copied = rng.choice(lines).split(" ")
            start = rng.randrange(len(copied))
            return " ".join([*rng.choices(WORDS, k=rng.randrange(3)), *copied[start : start + rng.randrange(1, 30)]])
        lines.append(" ".join(rng.choices(WORDS, k=rng.randrange(1, 25))))
        return lines[-1]

    documents = [
        {"id": f"é{number}", "text": rng.choice([None, ""]) if rng.random() < 0.1 else text}
        for number in range(40)
        for text in ["".join(line() + rng.choice(["\n", " \n\n", "  "]) for _ in range(rng.randrange(1, 6)))]
    ]
    documents[20]["text"] = documents[3]["text"]
    return [documents[:9], documents[9:10], documents[10:30], documents[30:]]


def tokens_of(text: str | None, by_line: bool) -> list[list[tuple[str, int, int]]]:
    """Per unit of a text its tokens: string, first byte, end."""
    raw = (text or "").encode()
    found = uax_tokens(pa.array([text or ""]))
    units: dict[int, list[tuple[str, int, int]]] = {}
    for start, end in zip(found.starts.tolist(), found.ends.tolist(), strict=True):
        number = raw[:start].count(b"\n") if by_line else 0
        units.setdefault(number, []).append((raw[start:end].decode(), start, end))
    return list(units.values())


def windows_of(text: str | None, width: int, by_line: bool) -> list[tuple[int, tuple[str, ...], int, int]]:
    """Unit, tokens, first byte and end of every window of a text, in order."""
    return [
        (number, tuple(token for token, _, _ in unit[at : at + width]), unit[at][1], unit[at + width - 1][2])
        for number, unit in enumerate(tokens_of(text, by_line))
        for at in range(len(unit) - width + 1)
    ]


Places = dict[tuple[str, ...], tuple[int, str, int, int]]


def search(documents: list[dict[str, Any]], width: int, by_line: bool) -> Places:
    """Of every window of a corpus its first place: number of the document, its id, unit and byte."""
    places: Places = {}
    for number, document in enumerate(documents):
        for unit, window, start, _ in windows_of(document["text"], width, by_line):
            places.setdefault(window, (number, document["id"], unit, start))
    return places


def check_pieces(text: str, pieces: list[dict[str, Any]], by_id: dict[str, str]) -> None:
    """A piece with a place has the tokens that stand there."""
    for piece in pieces:
        assert (piece["document"] is None) == (piece["offset"] is None)
        if piece["document"] is not None:
            mine = [token for unit in tokens_of(text.encode()[piece["start"] : piece["end"]].decode(), False)
                    for token, _, _ in unit]  # fmt: skip
            there = by_id[piece["document"]].encode()[piece["offset"] :].decode()
            assert [token for token, _, _ in tokens_of(there, False)[0]][: len(mine)] == mine


def covered(pieces: list[dict[str, Any]], windows: list[tuple[int, tuple[str, ...], int, int]]) -> dict[int, Any]:
    """First byte of each window in a piece -> the piece's place, moved on to that window."""
    return {
        start: (piece, start)
        for piece in pieces
        for _, _, start, end in windows
        if piece["start"] <= start and end <= piece["end"]
    }


@pytest.mark.parametrize("keep", ["first", "none"])
@pytest.mark.parametrize("algorithm", ["rolling", "suffix_array"])
@pytest.mark.parametrize("seed", range(4))
def test_repeated_spans_name_the_first_place_of_each_window(seed: int, keep: str, algorithm: str) -> None:
    if algorithm == "suffix_array":
        pytest.importorskip("pydivsufsort")
    shards, width = corpus(seed), 5
    documents = [document for shard in shards for document in shard]
    plain = {"method": "substring", "min_tokens": width, "keep": keep, "algorithm": algorithm}
    rows, details = drive(stage(**plain), shards)
    (without,) = build(plain, RECIPE)
    assert isinstance(without, Group)
    assert [{k: v for k, v in row.items() if k != "first_places"} for row in rows] == drive(without, shards)[0]
    places = search(documents, width, by_line=False)
    by_id = {document["id"]: document["text"] for document in documents}
    counts: dict[tuple[str, ...], int] = {}
    for document in documents:
        for _, window, _, _ in windows_of(document["text"], width, by_line=False):
            counts[window] = counts.get(window, 0) + 1
    num_pieces = 0
    for number, (document, row) in enumerate(zip(documents, rows, strict=True)):
        pieces = row["first_places"] or []
        assert bool(pieces) == (row["duplicate_token_fraction"] > 0)
        num_pieces += len(pieces)
        check_pieces(document["text"] or "", pieces, by_id)
        named = [(p["start"], p["document"], p["offset"]) for p in pieces]
        for _, window, start, end in windows_of(document["text"], width, by_line=False):
            first, name, _, offset = places[window]
            if keep == "first" and (first, offset) == (number, start):
                assert (start, name, offset) not in named
            elif counts[window] > 1:
                # It lies in a piece; where the piece begins with it, the place is the window's.
                holding = [p for p in pieces if p["start"] <= start and end <= p["end"]]
                assert holding
                assert any(p["start"] < start or (p["document"], p["offset"]) == (name, offset) for p in holding)
        for piece in pieces:
            begun = [w for w in windows_of(document["text"], width, False) if w[2] == piece["start"]]
            assert (piece["document"], piece["offset"]) == (places[begun[0][1]][1], places[begun[0][1]][3])
    assert details["first_places"]["pieces"] == num_pieces > 0
    assert details["first_places"]["pieces_without_place"] == 0
    assert details["first_places"]["documents"] == sum(bool(row["first_places"]) for row in rows)


@pytest.mark.parametrize("mode", ["old-both", "paragraph", "document", "substring"])
@pytest.mark.parametrize("seed", range(4))
def test_n_grams_that_were_cut_name_their_first_place(seed: int, mode: str) -> None:
    shards, width = corpus(seed), 4
    documents = [document for shard in shards for document in shard]
    settings = {"mode": mode, "ngram": width, "threshold": 0.5, "fp_rate": 1e-6, "substring_tokens": 6}
    rows, details = drive(stage("bloom", **settings), shards)
    (without,) = build({"method": "bloom", **settings}, RECIPE)
    assert isinstance(without, Group)
    plain = [{k: v for k, v in row.items() if k != "first_places"} for row in rows]
    assert repr(plain) == repr(drive(without, shards)[0])
    by_line = mode in ("old-both", "paragraph")
    places = search(documents, width, by_line)
    by_id = {document["id"]: document["text"] for document in documents}
    cut = unplaced = 0
    for number, (document, row) in enumerate(zip(documents, rows, strict=True)):
        pieces = row["first_places"] or []
        removed = row["drop_reason"] == "duplicate_ngrams"
        assert bool(pieces) == (removed or row.get("removed_paragraphs", row.get("removed_substrings")) > 0)
        check_pieces(document["text"] or "", pieces, by_id)
        windows = windows_of(document["text"], width, by_line)
        inside = [w for w in windows if any(p["start"] <= w[2] and w[3] <= p["end"] for p in pieces)]
        assert not removed or inside == windows
        for unit, window, start, end in inside:
            first, name, first_unit, offset = places[window]
            piece = max((p for p in pieces if p["start"] <= start and end <= p["end"]), key=lambda p: p["start"])
            if (first, first_unit) == (number, unit):
                assert piece["document"] is None
                unplaced += 1
            elif piece["start"] == start:
                assert (piece["document"], piece["offset"]) == (name, offset)
            else:
                assert piece["document"] == name
            cut += 1
    found = details["first_places"]
    assert (found["ngrams_cut"], found["ngrams_without_place"]) == (cut, unplaced) and cut > 0
    assert found["pieces"] == sum(len(row["first_places"] or []) for row in rows)
    assert found["pieces_without_place"] == sum(
        piece["document"] is None for row in rows for piece in row["first_places"] or []
    )
    assert found.get("cuts_by_false_positives", 0) == 0


def test_cuts_by_false_positives_are_counted() -> None:
    rng = random.Random(5)
    documents = [
        {"id": str(number), "text": " ".join(f"w{rng.randrange(10**9)}" for _ in range(6))} for number in range(300)
    ]
    rows, details = drive(
        stage("bloom", mode="document", ngram=3, threshold=0.2, expected_ngrams=50, allow_undersized=True), [documents]
    )
    removed = [row for row in rows if row["drop_reason"] is not None]
    assert removed and all(place["document"] is None for row in removed for place in row["first_places"])
    found = details["first_places"]
    assert found["cuts"] == found["cuts_by_false_positives"] == len(removed)
    assert found["ngrams_without_place"] == found["ngrams_cut"] == 4 * len(removed)


def test_units_shorter_than_an_n_gram() -> None:
    documents = [{"id": "a", "text": "x y\nété là z\nend"}, {"id": "b", "text": "here\nété là z\nand there"}]
    rows, _ = drive(stage("bloom", mode="paragraph", ngram=5, min_ngram=2, fp_rate=1e-6), [documents])
    assert rows[0]["first_places"] is None
    assert rows[1]["first_places"] == [{"start": 5, "end": 16, "document": "a", "offset": 4}]
    assert rows[1]["text"] == "here\nand there"


@pytest.mark.parametrize("method", ["bloom", "substring"])
@pytest.mark.parametrize("groups", [1, 2])
def test_slices_batches_and_planted_copies_change_nothing(
    method: str, groups: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    shards = corpus(11)
    small = (
        {"ngram": 4, "fp_rate": 1e-6, "shards": groups} if method == "bloom" else {"min_tokens": 5, "groups": groups}
    )
    rows = [row["first_places"] for row in drive(stage(method, **small), shards)[0]]
    assert any(rows)
    assert [
        row["first_places"] for row in drive(stage(method, self_check=0.5, **small), shards, batch_rows=3)[0]
    ] == rows
    assert [row["first_places"] for row in drive(stage(method, annotate=True, **small), shards)[0]] == rows
    monkeypatch.setattr(first_places, "MOST_WINDOWS", 20)
    assert [row["first_places"] for row in drive(stage(method, **small), shards)[0]] == rows
    documents = [document["id"] for number, shard in enumerate(shards) for document in shard if number % groups == 0]
    for row, document in zip(rows, (d["id"] for s in shards for d in s), strict=True):
        for place in row or []:
            same = (place["document"] in documents) == (document in documents)
            assert groups == 1 or place["document"] is None or same


def test_equal_hashes_of_unequal_text_name_no_place(monkeypatch: pytest.MonkeyPatch) -> None:
    from tamis.kernels.dedup import first_places as kernels
    from tamis.stages.dedup.substring import places

    def all_equal(tokens: Any, offsets: Any, width: int, keys: np.ndarray, key_offsets: np.ndarray) -> None:
        kernels.window_keys(tokens, offsets, width, keys, key_offsets)
        keys[: key_offsets[-1]] = 7

    notice = "a b c d e f"
    documents = [{"id": "0", "text": "1 2 3 4 5 6 7"}, {"id": "1", "text": notice}, {"id": "2", "text": notice}]
    (piece,) = drive(stage("substring", min_tokens=6), [documents])[0][2]["first_places"]
    assert piece == {"start": 0, "end": 11, "document": "1", "offset": 0}
    monkeypatch.setattr(places, "window_keys", all_equal)
    rows, details = drive(stage("substring", min_tokens=6), [documents])
    assert rows[2]["first_places"] == [{"start": 0, "end": 11, "document": None, "offset": None}]
    assert details["first_places"]["pieces_without_place"] == 1


@pytest.mark.parametrize("method", ["bloom", "substring"])
def test_without_it_nothing_about_a_stage_changes(method: str) -> None:
    (plain,), (named,) = build({"method": method}, RECIPE), build({"method": method, "name_first": True}, RECIPE)
    assert "name_first" not in plain.resolved_settings() and "first_places" not in plain.adds.names
    assert build(plain.resolved_settings(), RECIPE)[0].identity() == plain.identity()
    assert build(named.resolved_settings(), RECIPE)[0].identity() == named.identity() != plain.identity()
    assert "first_places" in named.adds.names
