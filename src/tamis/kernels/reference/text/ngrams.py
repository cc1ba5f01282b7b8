"""What `ngrams` computes, in plain Python: the specification its parity tests hold it to."""

from collections.abc import Sequence

_ONES = 2**64 - 1


def words_of(text: str) -> list[str]:
    """Maximal runs of letters and digits, lower-cased character by character (a character whose lower-case form is
    several, U+0130 alone, stays)."""
    lowered = (c.lower() if len(c.lower()) == 1 else c for c in text)
    return "".join(c if c.isalnum() else " " for c in lowered).split(" ") if text else []


def _mix(h: int) -> int:
    h = (h ^ (h >> 30)) * 0xBF58476D1CE4E5B9 & _ONES
    h = (h ^ (h >> 27)) * 0x94D049BB133111EB & _ONES
    return h ^ (h >> 31)


def word_hash(word: str) -> int:
    h = 0x9E3779B97F4A7C15
    for character in word:
        h = (h ^ ord(character)) * 0xD6E8FEB86659FD93 & _ONES
        h ^= h >> 32
    return _mix(h)


def word_hashes(text: str) -> list[int]:
    return [word_hash(word) for word in words_of(text) if word]


def run_hashes(words: Sequence[int], length: int) -> list[int]:
    """Hash of every run of `length` word hashes, each computed afresh."""
    out = []
    for start in range(len(words) - length + 1):
        h = 0
        for word in words[start : start + length]:
            h = (h * 0xA0761D6478BD642F + word) & _ONES
        out.append(_mix((h + length) & _ONES) or 1)
    return out
