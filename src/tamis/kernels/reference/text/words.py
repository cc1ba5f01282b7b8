"""Twin of `kernels.text.words`: the rules of UAX #29 one after the other, as the annex lists them."""

from itertools import pairwise

from tamis.kernels.text.unicode_tables import PICTOGRAPHIC, WORD_BREAK_MASK, WORD_BREAK_NAMES, property_word

_NEWLINES = {"CR", "LF", "Newline"}
_IGNORED = {"Extend", "Format", "ZWJ"}
_LETTERS = {"ALetter", "Hebrew_Letter"}
_LETTER_MIDDLES = {"MidLetter", "MidNumLet", "Single_Quote"}
_NUMBER_MIDDLES = {"MidNum", "MidNumLet", "Single_Quote"}


def word_break(character: str) -> str:
    """Word_Break property value."""
    return WORD_BREAK_NAMES[property_word(character) & WORD_BREAK_MASK]


def _joins(kinds: list[str], at: int) -> bool:
    """WB5-WB16: whether `kinds[at - 1]` and `kinds[at]` stay together; ignored characters are already out."""
    last, kind = kinds[at - 1], kinds[at]
    before = kinds[at - 2] if at >= 2 else ""
    following = kinds[at + 1] if at + 1 < len(kinds) else ""
    regional = 0
    while regional < at and kinds[at - 1 - regional] == "Regional_Indicator":
        regional += 1
    wordlike = _LETTERS | {"Numeric", "Katakana"}
    return (
        (last in _LETTERS and kind in _LETTERS)
        or (last in _LETTERS and kind in _LETTER_MIDDLES and following in _LETTERS)
        or (before in _LETTERS and last in _LETTER_MIDDLES and kind in _LETTERS)
        or (last == "Hebrew_Letter" and kind == "Single_Quote")
        or (last == "Hebrew_Letter" and kind == "Double_Quote" and following == "Hebrew_Letter")
        or (before == "Hebrew_Letter" and last == "Double_Quote" and kind == "Hebrew_Letter")
        or (last == "Numeric" and kind == "Numeric")
        or (last in _LETTERS and kind == "Numeric")
        or (last == "Numeric" and kind in _LETTERS)
        or (before == "Numeric" and last in _NUMBER_MIDDLES and kind == "Numeric")
        or (last == "Numeric" and kind in _NUMBER_MIDDLES and following == "Numeric")
        or (last == "Katakana" and kind == "Katakana")
        or (last in wordlike | {"ExtendNumLet"} and kind == "ExtendNumLet")
        or (last == "ExtendNumLet" and kind in wordlike)
        or (kind == "Regional_Indicator" and regional % 2 == 1)
    )


def boundaries(text: str) -> list[int]:
    """All word boundaries but 0, ascending."""
    kinds = [word_break(c) for c in text]
    solid = [i for i, kind in enumerate(kinds) if kind not in _IGNORED]
    solid_kinds = [kinds[i] for i in solid]
    place = {i: k for k, i in enumerate(solid)}
    found = []
    for i in range(1, len(text)):
        last, kind = kinds[i - 1], kinds[i]
        if last == "CR" and kind == "LF":  # WB3
            continue
        if last in _NEWLINES or kind in _NEWLINES:  # WB3a, WB3b
            found.append(i)
            continue
        if last == "ZWJ" and property_word(text[i]) & PICTOGRAPHIC:  # WB3c
            continue
        if last == kind == "WSegSpace":  # WB3d
            continue
        if kind in _IGNORED:  # WB4
            continue
        if place[i] == 0 or not _joins(solid_kinds, place[i]):
            found.append(i)
    return [*found, len(text)] if text else []


def unicode_words(text: str) -> list[str]:
    """Tokens between boundaries whose first character is a letter or digit."""
    edges = [0, *boundaries(text)]
    pieces = [text[start:end] for start, end in pairwise(edges)]
    return [piece for piece in pieces if piece[0].isalnum()]
