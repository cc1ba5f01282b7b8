"""Seeded damage to bytes: what networks, disks and hostile authors do to them."""

import random

_INTERESTING = (b"\0", b"\xff", b"\r\n", b"\r\n\r\n", b"0", b"9" * 12, b"-1", b":", b" ", b"\x80", b"\xff\xff\xff\xff")


def mutated(rng: random.Random, data: bytes, start: int = 0, end: int | None = None) -> bytes:
    """`data` with one to eight changes, all of them within `data[start:end]`."""
    head, middle = data[:start], bytearray(data[start:end])
    tail = b"" if end is None else data[end:]
    for _ in range(rng.choice((1, 1, 1, 2, 3, 8))):
        place = rng.randrange(len(middle) + 1)
        change = rng.randrange(7)
        if change == 0 and middle:
            middle[place % len(middle)] = rng.randrange(256)
        elif change == 1 and middle:
            middle[place % len(middle)] ^= 1 << rng.randrange(8)
        elif change == 2:
            del middle[place : place + rng.choice((1, 2, 4, 50))]
        elif change == 3:
            middle[place:place] = rng.randbytes(rng.choice((1, 2, 4, 50)))
        elif change == 4:
            middle[place:place] = rng.choice(_INTERESTING)
        elif change == 5:
            other = rng.randrange(len(middle) + 1)
            middle[place:place] = middle[other : other + rng.choice((1, 8, 100))]
        elif change == 6 and not tail:
            del middle[place:]
    return head + bytes(middle) + tail
