"""Makes `unicode_tables.npz`. Run with CPython 3.11 (Unicode 14.0.0) and uniseg 0.10.1 (Unicode 16.0.0) installed:

python -m tamis.kernels.make_tables
"""

import unicodedata

import numpy as np

from tamis.kernels import unicode_tables as tables

BLOCK = 128
NUM_CODE_POINTS = 0x110000


def string_predicates(character: str) -> int:
    """Property bits that follow from Python's `str` methods."""
    bits = 0
    for bit, holds in (
        (tables.SPACE, character.isspace()),
        (tables.ALPHA, character.isalpha()),
        (tables.ALNUM, character.isalnum()),
        (tables.DIGIT, character.isdigit()),
        (tables.UPPER, character.isupper()),
        (tables.DECIMAL, character.isdecimal()),
        (tables.LINE_BREAK, len(f"a{character}b".splitlines()) == 2),
        (tables.WORD, character.isalnum() or character == "_"),
    ):
        bits |= bit if holds else 0
    return bits


def build() -> tuple[np.ndarray, np.ndarray]:
    """Index and property blocks for every code point; equal blocks are stored once."""
    from uniseg.emoji import extended_pictographic
    from uniseg.wordbreak import word_break

    if unicodedata.unidata_version != "14.0.0":
        raise SystemExit(f"needs a Python with Unicode 14.0.0, this one has {unicodedata.unidata_version}")
    numbers = {name: number for number, name in enumerate(tables.WORD_BREAK_NAMES)}
    words = np.zeros(NUM_CODE_POINTS, np.uint16)
    for code_point in range(NUM_CODE_POINTS):
        character = chr(code_point)
        bits = numbers[word_break(character).value] | string_predicates(character)
        words[code_point] = bits | (tables.PICTOGRAPHIC if extended_pictographic(character) else 0)
    blocks, index = np.unique(words.reshape(-1, BLOCK), axis=0, return_inverse=True)
    return index.astype(np.uint16), np.ascontiguousarray(blocks).reshape(-1)


if __name__ == "__main__":
    index, properties = build()
    np.savez_compressed(tables.TABLE_FILE, index=index, properties=properties)
    print(f"{tables.TABLE_FILE.name}: {len(properties) // BLOCK} blocks, {tables.TABLE_FILE.stat().st_size} bytes")
