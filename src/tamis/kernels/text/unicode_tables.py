"""Character properties that the kernels test, as one 16-bit word per code point, fixed to stated Unicode versions.

Word_Break and Extended_Pictographic are those of Unicode 16.0.0; the predicates of Python's `str` (`isspace`,
`isalpha`, ...) those of Unicode 14.0.0 (CPython 3.11). They come from a file made by `make_tables.py`, so that an
answer never depends on the Python that runs. Two-level: `properties[index[cp >> 7] << 7 | cp & 127]`.
"""

from functools import cache
from pathlib import Path

import numpy as np

TABLE_FILE = Path(__file__).with_name("unicode_tables.npz")

WORD_BREAK_NAMES = (
    "Other", "CR", "LF", "Newline", "Extend", "ZWJ", "Format", "Regional_Indicator", "Katakana", "Hebrew_Letter",
    "ALetter", "Single_Quote", "Double_Quote", "MidNumLet", "MidLetter", "MidNum", "Numeric", "ExtendNumLet",
    "WSegSpace",
)  # fmt: skip
"""Values of Word_Break (UAX #29 table 3); the low five bits of a property word are an index into this."""

WORD_BREAK_MASK = 0x1F
PICTOGRAPHIC = 1 << 5
"""Extended_Pictographic (UTS #51)."""
SPACE = 1 << 6
"""str.isspace; the same set that str.strip, str.split and regular-expression `\\s` use."""
ALPHA = 1 << 7
"""str.isalpha"""
ALNUM = 1 << 8
"""str.isalnum"""
DIGIT = 1 << 9
"""str.isdigit"""
UPPER = 1 << 10
"""str.isupper of the one character"""
DECIMAL = 1 << 11
"""str.isdecimal; regular-expression `\\d`"""
LINE_BREAK = 1 << 12
"""Where str.splitlines splits."""
WORD = 1 << 13
"""Regular-expression `\\w`: str.isalnum or underscore."""
CASED = 1 << 14
"""Cased and not case-ignorable: what makes a capital sigma at a word's end lower to the final form."""
CASE_IGNORABLE = 1 << 15
"""What that rule looks through."""


@cache
def load() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """`(index, properties, lower_index, lower_shift)`: uint16[8704], uint16[], uint16[8704], int32[].

    A code point's `lower_shift` added to it gives its lower-case form where that is one character.
    """
    with np.load(TABLE_FILE) as archive:
        return archive["index"], archive["properties"], archive["lower_index"], archive["lower_shift"]


def property_word(character: str) -> int:
    """Property word of one character."""
    index, properties = load()[:2]
    code_point = ord(character)
    return int(properties[(int(index[code_point >> 7]) << 7) | (code_point & 127)])
