"""Twin of `kernels.dedup.verify`: Python sets, and every document compared with every kept one of its group."""

from collections.abc import Sequence

from tamis.kernels.reference.text.ngrams import run_hashes


def shingle_set(units: Sequence[int], ngram: int) -> list[int]:
    """The distinct shingles of a document, in ascending order."""
    return sorted(set(run_hashes(units, min(ngram, len(units))))) if units else []


def resemblance(gone: Sequence[int], kept: Sequence[int], contained: bool) -> float:
    """The Jaccard similarity, or the share of `gone` that is in `kept`, 0 where `gone` is larger."""
    one, other = set(gone), set(kept)
    if not one or not other or (contained and len(one) > len(other)):
        return 0.0
    return len(one & other) / len(one if contained else one | other)


def settle(
    sets: Sequence[Sequence[int]], groups: Sequence[int], fixed: int, threshold: float, contained: bool
) -> tuple[list[int], list[float]]:
    """For every document the place of the first kept one of its group that passes the test, or its own, and the
    similarity of the two. If `fixed` is not 0, the first `fixed` documents are kept, and the others are compared with
    these alone."""
    keepers, similarity = list(range(len(sets))), [0.0] * len(sets)
    for document in range(fixed, len(sets)):
        for other in range(fixed or document):
            if groups[other] != groups[document] or keepers[other] != other:
                continue
            found = resemblance(sets[document], sets[other], contained)
            if found >= threshold:
                keepers[document], similarity[document] = other, found
                break
    return keepers, similarity
