"""First places against their plain-Python twin."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tamis.kernels.dedup import first_places
from tamis.kernels.reference.dedup import first_places as twin

documents_of = st.lists(st.lists(st.integers(0, 3), max_size=12), max_size=8)


@settings(max_examples=150, deadline=None)
@given(documents_of, st.integers(1, 5), st.data())
def test_first_places_are_those_of_a_search(documents: list[list[int]], width: int, data: st.DataObject) -> None:
    sizes = np.cumsum([2, *map(len, documents)])
    tokens = np.array([9, 9, *(token for tokens in documents for token in tokens)], np.uint64)
    keys, offsets = np.zeros(len(tokens), np.uint64), np.zeros(len(documents) + 1, np.int64)
    first_places.window_keys(tokens, sizes, width, keys, offsets)
    runs = [twin.windows(document, width) for document in documents]
    assert np.diff(offsets).tolist() == [len(windows) for windows in runs]
    flat = [window for windows in runs for window in windows]
    keys = keys[: offsets[-1]]
    # Equal windows have equal hashes, and different ones different hashes.
    assert len(set(zip(keys.tolist(), flat, strict=True))) == len(set(flat)) == len(set(keys.tolist()))

    chosen = data.draw(st.sets(st.sampled_from(flat))) if flat else set()
    unknown = np.array([12345], np.uint64)
    wanted = np.unique(np.append(np.array([keys[flat.index(window)] for window in chosen], np.uint64), unknown))
    slots = np.full(len(wanted) + 1, -1)
    first_places.fill(slots, wanted)
    positions = np.arange(len(keys)) * 3
    shards, rows = np.arange(len(documents), dtype=np.int32) // 3, np.arange(len(documents)) % 3
    found = [np.full(len(wanted), -1) for _ in range(3)]
    noted = first_places.note_first(slots, wanted, keys, offsets, positions, shards, rows, *found)
    numbered = [
        (int(shards[d]), int(rows[d]), [(int(keys[at]), 3 * at) for at in range(offsets[d], offsets[d + 1])])
        for d in range(len(documents))
    ]
    expected = twin.first_places(wanted.tolist(), numbered)
    assert noted == len(expected) == len(chosen)
    places = dict(zip(wanted.tolist(), zip(*(values.tolist() for values in found), strict=True), strict=True))
    assert {key: place for key, place in places.items() if place[0] >= 0} == expected
