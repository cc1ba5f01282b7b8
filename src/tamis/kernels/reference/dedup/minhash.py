"""Twin of `kernels.dedup.minhash`: shingles as a set, minima by `min`."""

from collections.abc import Sequence

from tamis.kernels.reference.text.ngrams import run_hashes, words_of

_ONES = 2**64 - 1


def character_hashes(text: str) -> list[int]:
    """One hash per character of the text's words, joined by single blanks."""
    return [_character_hash(ord(c)) for c in " ".join(word for word in words_of(text) if word)]


def _character_hash(code_point: int) -> int:
    h = (code_point + 0x9E3779B97F4A7C15) * 0xBF58476D1CE4E5B9 & _ONES
    h = (h ^ (h >> 30)) * 0x94D049BB133111EB & _ONES
    return h ^ (h >> 31)


def band_keys(
    units: Sequence[int], ngram: int, multipliers: Sequence[int], increments: Sequence[int], num_bands: int
) -> list[int] | None:
    """The key of each band of a document whose units have these hashes; None where there is no unit."""
    shingles = set(run_hashes(units, min(ngram, len(units)))) if units else set()
    if not shingles:
        return None
    functions = zip(multipliers, increments, strict=True)
    minima = [min((a * x + b) & _ONES for x in shingles) for a, b in functions]
    rows = len(minima) // num_bands
    keys: list[int] = []
    for start in range(0, len(minima), rows):
        key = 0x9E3779B97F4A7C15
        for least in minima[start : start + rows]:
            key = (key ^ least) * 0xD6E8FEB86659FD93 & _ONES
            key ^= key >> 32
        keys.append(key)
    return keys


def digest(units: Sequence[int], ngram: int) -> int:
    """The sum of the hashes of all shingles."""
    return sum(run_hashes(units, min(ngram, len(units)))) & _ONES if units else 0
