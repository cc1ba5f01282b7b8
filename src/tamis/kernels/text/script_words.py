"""Words and sentence marks of any script: how rules by language split a document, where English splits at blanks.

A word is a token of Unicode Standard Annex 29 that starts with a letter or digit. Letters of scripts that are written
without blanks (Chinese, Japanese, Thai, Lao, Khmer, Burmese, ...) are tokens of their own there; from the start of a
run of them, every two (of Chinese and Japanese) or three are taken for one word, which is about the mean length of a
word in these languages. In Japanese a run of Hiragana starts a new word, and Chinese characters after it do. No
dictionary is needed, equal phrases have equal words when they start a run, and counts are in words as elsewhere. The
separator of Tibetan syllables belongs to the syllable before it, and a zero-width space separates like a blank.

Other characters that are not blank are marks; a run of them is one mark. Words and marks together are the tokens that
FineWeb2 counts. The twin is `reference.text.script_words`.
"""

import numpy as np

from tamis.kernels.jit import kernel
from tamis.kernels.text.unicode_tables import ALNUM, ALPHA, SPACE, WORD_BREAK_MASK
from tamis.kernels.text.words import OTHER, next_boundary

BY_BLANKS, BY_SCRIPT, BY_SCRIPT_WITHOUT_MARKS = range(3)
"""How a document is split into words and sentences: as published for English, by this module, or by this module where
sentences end without a mark (Thai, Lao)."""
BLANK, MARK, ANY_WORD = range(3)
"""Kinds of pieces that `next_piece` finds."""
ZERO_WIDTH_SPACE = 0x200B
IDEOGRAPHS_FROM = 0x2E80
LETTERS_OF_WORD = (2, 3)
"""Tokens that make a word in scripts without blanks: from IDEOGRAPHS_FROM on, and below it."""
SENTENCE_MARKS = "!.?\u037e։؝؞؟۔܀܁܂߹࠷࠹࠽࠾।॥།༎༏༐༑၊။።፧፨᙮᜵᜶។៕᠃᠉᥄᥅᪨᪩᪪᪫᭚᭛᭞᭟᰻᰼᱾᱿‼‽⁇⁈⁉…⸮⸼。꓿꘎꘏꛳꛷꡶꡷꣎꣏꤯꧈꧉꩝꩞꩟꫰꫱꯫﹒﹖﹗！．？｡"
"""Characters that end a sentence in some script: Sentence_Terminal of Unicode, the ellipsis, the Greek question mark
and the Tibetan shad."""
CLOSERS = "\"')]}»’”」』】）］｝〉》"
_MARKS = np.array(sorted(map(ord, SENTENCE_MARKS)), np.int32)
_CLOSERS = np.array(sorted(map(ord, CLOSERS)), np.int32)


@kernel
def _among(c: int, characters: np.ndarray) -> bool:
    """Whether `c` is one of `characters` (sorted)."""
    place = np.searchsorted(characters, c)
    return bool(place < len(characters) and characters[place] == c)


@kernel
def ends_sentence(c: int) -> bool:
    """Whether `c` is one of SENTENCE_MARKS."""
    return _among(c, _MARKS)


@kernel
def closes_sentence(c: int) -> bool:
    """Whether `c` can follow the mark of its sentence: a quotation mark or a closing bracket."""
    return _among(c, _CLOSERS)


@kernel
def _unspaced(c: int, word: int) -> int:
    """0 for what is no letter of a script without blanks; else 1 for Hiragana, 2 for other letters from IDEOGRAPHS_FROM
    on, and 3 for those below it."""
    if not word & ALPHA or word & WORD_BREAK_MASK != OTHER:
        return 0
    if c < IDEOGRAPHS_FROM:
        return 3
    return 1 if 0x3041 <= c <= 0x309F else 2


@kernel
def next_piece(code_points: np.ndarray, properties: np.ndarray, at: int, n: int) -> tuple[int, int]:
    """`(end, kind)` of the piece that starts at `at` (`at < n`): blanks up to the next piece, a run of marks, or one
    word."""
    end = next_boundary(properties, at, n)
    if properties[at] & SPACE or code_points[at] == ZERO_WIDTH_SPACE:
        return end, BLANK
    # A run of marks is one mark.
    if not properties[at] & ALNUM:
        while end < n and not properties[end] & (ALNUM | SPACE) and code_points[end] != ZERO_WIDTH_SPACE:
            end = next_boundary(properties, end, n)
        return end, MARK
    # Letters of a script without blanks: as many as make a word, of one kind.
    kind = _unspaced(code_points[at], properties[at])
    if kind:
        letters = 1
        most = LETTERS_OF_WORD[1] if kind == 3 else LETTERS_OF_WORD[0]
        while letters < most and end < n and _unspaced(code_points[end], properties[end]) == kind:
            end = next_boundary(properties, end, n)
            letters += 1
        return end, ANY_WORD
    # The tsheg of Tibetan belongs to the syllable that it ends.
    while end < n and (code_points[end] == 0x0F0B or code_points[end] == 0x0F0C):
        end = next_boundary(properties, end, n)
    return end, ANY_WORD


@kernel
def list_script_words(
    code_points: np.ndarray, properties: np.ndarray, n: int, starts: np.ndarray, ends: np.ndarray
) -> tuple[int, int]:
    """Write the words as `[starts[k], ends[k])`; returns how many words and how many marks there are."""
    words = 0
    marks = 0
    at = 0
    while at < n:
        start = at
        at, kind = next_piece(code_points, properties, start, n)
        if kind == ANY_WORD:
            starts[words] = start
            ends[words] = at
            words += 1
        elif kind == MARK:
            marks += 1
    return words, marks


@kernel
def count_script_words(code_points: np.ndarray, properties: np.ndarray, start: int, end: int) -> tuple[int, int]:
    """How many words and how many marks `[start, end)` has."""
    words = 0
    marks = 0
    at = start
    while at < end:
        at, kind = next_piece(code_points, properties, at, end)
        words += kind == ANY_WORD
        marks += kind == MARK
    return words, marks
