"""Compressed files with members that are empty, torn or damaged: what lies behind them is read."""

import gzip
import io
import random
from collections import Counter

import lz4.frame
import pytest
import zstandard

from tamis.store.containers import decoded_chunks

NOISE = random.Random(1).randbytes(20_000)
PACKS = {"gzip": gzip.compress, "lz4": lz4.frame.compress, "zstd": zstandard.compress}


def parts(data: bytes, notes: Counter[str] | None = None) -> list[bytes]:
    """The decoded bytes between the gaps."""
    found = [b""]
    for chunk in decoded_chunks(lambda: io.BytesIO(data), Counter() if notes is None else notes):
        if chunk is None:
            found.append(b"")
        else:
            found[-1] += chunk
    return found


@pytest.mark.parametrize("pack", PACKS.values(), ids=PACKS)
@pytest.mark.parametrize("count", [1, 2, 3, 5000])
def test_empty_members_end_nothing(pack, count: int) -> None:  # type: ignore[no-untyped-def]
    assert parts(pack(b"before") + pack(b"") * count + pack(b"after") + pack(b"") * count) == [b"beforeafter"]


@pytest.mark.parametrize("cut", [11, 400, 9000, 19_000])
@pytest.mark.parametrize("followers", [1, 3, 200])
def test_a_torn_member_costs_no_member_behind_it(cut: int, followers: int) -> None:
    """A deflate block of random bytes takes in what follows it, here whole members."""
    notes: Counter[str] = Counter()
    later = [b"follower %d" % number + NOISE[: 90 * (number % 5)] for number in range(followers)]
    data = gzip.compress(b"before") + gzip.compress(NOISE)[:cut] + b"".join(map(gzip.compress, later))
    found = parts(data, notes)
    assert found[0].startswith(b"before")
    assert found[-1] == b"".join(later)
    assert notes["damaged_members"] >= 1


def test_a_wrong_checksum_costs_no_member_behind_it() -> None:
    """The decoder notices it after it handed on what it decoded, more than is decoded again."""
    wrong = bytearray(gzip.compress(bytes(10_000_000)))
    wrong[-6] ^= 1
    found = parts(gzip.compress(b"before") + bytes(wrong) + gzip.compress(b"after"))
    assert found[0].startswith(b"before\0") and found[-1] == b"after"


def test_a_file_that_is_cut_has_no_gap() -> None:
    for data in (gzip.compress(NOISE), gzip.compress(b"before") + gzip.compress(NOISE)):
        notes: Counter[str] = Counter()
        (found,) = parts(data[:-5000], notes)
        assert NOISE.startswith(found.removeprefix(b"before")) and len(found) > 10_000 and not notes


def test_the_work_on_damage_grows_with_the_size_and_no_faster() -> None:
    """Each of many torn members takes in all the others: what is read again is bounded."""

    class Counting(io.BytesIO):
        total = 0

        def read(self, size: int | None = -1) -> bytes:
            data = super().read(size)
            Counting.total += len(data)
            return data

    begin = gzip.compress(NOISE)[:20]
    data = (begin + b"x" * 30) * 20_000
    for _ in decoded_chunks(lambda: Counting(data), Counter()):
        pass
    assert Counting.total < 40 * len(data)
