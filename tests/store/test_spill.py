"""Records split into parts: all of them come back, in order, equal numbers in one part, from memory and from disk."""

import numpy as np
import pytest

from tamis.store import spill
from tamis.store.scratch import scratch
from tamis.store.spill import Spill

RECORD = np.dtype([("name", "S4"), ("size", "u4")])


@pytest.mark.parametrize("chunk_bytes", [1, 100, 1 << 20])
@pytest.mark.parametrize("num_parts", [1, 3])
def test_records_come_back(num_parts: int, chunk_bytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spill, "CHUNK_BYTES", chunk_bytes)
    records = np.array([(b"n%d" % (number % 7), number) for number in range(50)], RECORD)
    with scratch() as folder:
        made = Spill(folder, "some", RECORD, num_parts)
        for start in range(0, 50, 8):
            part = records[start : start + 8]
            made.add(part, part["size"].astype(np.uint64) % 7)
        found = [made.read(part) for part in range(num_parts)]
        assert [made.read(part).tolist() for part in range(num_parts)] == [part.tolist() for part in found]
    assert sorted(record for part in found for record in part.tolist()) == sorted(records.tolist())
    for number, part in enumerate(found):
        assert all(size % 7 % num_parts == number for size in part["size"].tolist())
        assert part["size"].tolist() == sorted(part["size"].tolist())


def test_no_records() -> None:
    with scratch() as folder:
        assert [Spill(folder, "none", RECORD, parts).read(0).tolist() for parts in (1, 4)] == [[], []]
