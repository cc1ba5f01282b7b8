"""Hashes of words as a comparison with evaluation data needs them: differences that a reader does not see do not count.

Characters are folded one by one to what is left of them after Unicode's compatibility decomposition (NFKD), case
folding, and removal of combining marks and of characters that show nothing (soft hyphens, zero-width spaces, variation
selectors). So full-width letters, ligatures, accents and hidden characters do not separate a page from the item that
it quotes. A word is a maximal run of letters and digits; everything else separates words. The folds come from a file
made by `make_tables.py` (Unicode 14.0.0).
"""

from functools import cache
from pathlib import Path

import numpy as np

from tamis.kernels.jit import kernel
from tamis.kernels.text.ngrams import decode_character, finish_word, fold_table, join_word, start_word

FOLDS_FILE = Path(__file__).with_name("matching_folds.npz")
IGNORED = np.uint32(0xFFFFFFFF)
"""Fold of a character that is skipped without ending a word."""
EXPANDS = np.uint32(0x80000000)
"""Added to the place in the expansions, of a character that becomes several."""

Folds = tuple[np.ndarray, np.ndarray, np.ndarray]


@cache
def folds() -> Folds:
    """`(fold uint32[0x110000], offsets int64[], expansions uint32[])`: of a code point what it is folded to: 0 (it
    separates words), IGNORED, a code point, or EXPANDS + k for `expansions[offsets[k]:offsets[k + 1]]`."""
    # The file holds only what differs from the plain lower-case forms.
    with np.load(FOLDS_FILE) as archive:
        fold = fold_table().copy()
        fold[archive["code_points"]] = archive["folds"]
        return fold, archive["offsets"], archive["expansions"]


@kernel
def matching_hashes(
    data: np.ndarray, offsets: np.ndarray, fold: np.ndarray, expansion_offsets: np.ndarray, expansions: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """`(hashes uint64[num_words], word_offsets int64[n + 1])` of n documents in `data` (uint8) at `offsets` (int64).

    The last three are `folds()`.
    """
    # A character of three bytes can become four words; no other is worse.
    num_documents = len(offsets) - 1
    num_bytes = offsets[num_documents] - offsets[0]
    hashes = np.empty(num_bytes + num_bytes // 2 + num_documents + 1, np.uint64)
    word_offsets = np.zeros(num_documents + 1, np.int64)
    count = 0
    for document in range(num_documents):
        at, end = offsets[document], offsets[document + 1]
        h = start_word()
        while at < end:
            code_point, used = decode_character(data, at)
            at += used
            folded = fold[code_point]
            # Most characters are one letter, or a separator.
            if folded < EXPANDS:
                if folded:
                    h = join_word(h, folded)
                elif h != start_word():
                    hashes[count] = finish_word(h)
                    count += 1
                    h = start_word()
            # Some become several, of which some can be separators; ignored ones become none.
            elif folded != IGNORED:
                place = folded - EXPANDS
                for k in range(expansion_offsets[place], expansion_offsets[place + 1]):
                    if expansions[k]:
                        h = join_word(h, expansions[k])
                    elif h != start_word():
                        hashes[count] = finish_word(h)
                        count += 1
                        h = start_word()
        # The last word ends with the document.
        if h != start_word():
            hashes[count] = finish_word(h)
            count += 1
        word_offsets[document + 1] = count
    return hashes[:count], word_offsets


def warm() -> None:
    """Compile or load all of this module."""
    matching_hashes(np.frombuffer(b"a", np.uint8), np.array([0, 1]), *folds())
