"""Twin of `kernels.text.uax_tokens`."""

from itertools import pairwise

from tamis.kernels.reference.text.words import boundaries

_MASK = (1 << 64) - 1
_FIRST, _SECOND = 0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53


def mix(value: int) -> int:
    """MurmurHash3's 64-bit finaliser."""
    value ^= value >> 33
    value = value * _FIRST & _MASK
    value ^= value >> 33
    value = value * _SECOND & _MASK
    return value ^ (value >> 33)


def hash_bytes(data: bytes) -> int:
    """Whole 8-byte words stirred in one by one, the rest and the length at the end."""
    state = 0
    whole = len(data) // 8 * 8
    for at in range(0, whole, 8):
        state = (state ^ int.from_bytes(data[at : at + 8], "little")) * _FIRST & _MASK
        state ^= state >> 32
    length = len(data) * 0x9E3779B97F4A7C15 & _MASK
    return mix(state ^ int.from_bytes(data[whole:], "little") ^ length)


def is_white_space(text: str) -> bool:
    """Whether every character has Unicode's property White_Space."""
    return all(c.isspace() and not "\x1c" <= c <= "\x1f" for c in text)


def uax_tokens(text: str) -> list[tuple[int, int, int]]:
    """`(hash, start, end)` of each token, in bytes of the text."""
    tokens, at = [], 0
    for start, end in pairwise([0, *boundaries(text)]):
        piece = text[start:end].encode()
        if not is_white_space(text[start:end]):
            tokens.append((hash_bytes(piece), at, at + len(piece)))
        at += len(piece)
    return tokens
