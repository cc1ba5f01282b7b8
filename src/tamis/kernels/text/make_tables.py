"""Makes `unicode_tables.npz`. Run with CPython 3.11 (Unicode 14.0.0) and uniseg 0.10.1 (Unicode 16.0.0) installed:

python -m tamis.kernels.text.make_tables
"""

import unicodedata

import numpy as np

from tamis.kernels.text import matching
from tamis.kernels.text import unicode_tables as tables

BLOCK = 128
NUM_CODE_POINTS = 0x110000


def string_predicates(character: str) -> int:
    """Property bits that follow from Python's `str` methods."""
    bits = 0
    cased = f"{character}Σ".lower().endswith("ς")
    for bit, holds in (
        (tables.SPACE, character.isspace()),
        (tables.ALPHA, character.isalpha()),
        (tables.ALNUM, character.isalnum()),
        (tables.DIGIT, character.isdigit()),
        (tables.UPPER, character.isupper()),
        (tables.DECIMAL, character.isdecimal()),
        (tables.LINE_BREAK, len(f"a{character}b".splitlines()) == 2),
        (tables.WORD, character.isalnum() or character == "_"),
        (tables.CASED, cased),
        (tables.CASE_IGNORABLE, not cased and f"a{character}Σ".lower().endswith("ς")),
    ):
        bits |= bit if holds else 0
    return bits


def two_level(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Index `uint16[8704]` and the distinct blocks, flat."""
    blocks, index = np.unique(values.reshape(-1, BLOCK), axis=0, return_inverse=True)
    return index.astype(np.uint16).reshape(-1), np.ascontiguousarray(blocks).reshape(-1)


def lower_shifts() -> np.ndarray:
    """int32[0x110000]: distance to the lower-case form, 0 where that is not one character (U+0130)."""
    lowered = [chr(code_point).lower() for code_point in range(NUM_CODE_POINTS)]
    return np.array([ord(s) - c if len(s) == 1 else 0 for c, s in enumerate(lowered)], np.int32)


def property_words() -> np.ndarray:
    """uint16[0x110000]"""
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
    return words


def matching_folds() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """What `matching` folds characters to, where that is not the plain lower-case form: code points, folds, and the
    offsets and expansions of those that become several."""
    from tamis.kernels.reference.text.matching import folded, shows_nothing
    from tamis.kernels.text.matching import EXPANDS, IGNORED
    from tamis.kernels.text.ngrams import fold_table

    plain, code_points, folds, expansions, offsets = fold_table(), [], [], [], [0]
    for code_point in range(NUM_CODE_POINTS):
        if 0xD800 <= code_point < 0xE000:
            continue
        left = [0 if part == " " else ord(part) for part in folded(chr(code_point))]
        if len(left) == 1:
            value = left[0]
        elif shows_nothing(chr(code_point)):
            value = int(IGNORED)
        else:
            value = int(EXPANDS) + len(offsets) - 1
            expansions += left
            offsets.append(len(expansions))
        if value != plain[code_point]:
            code_points.append(code_point)
            folds.append(value)
    return (
        np.array(code_points, np.uint32),
        np.array(folds, np.uint32),
        np.array(offsets, np.int64),
        np.array(expansions, np.uint32),
    )


if __name__ == "__main__":
    index, properties = two_level(property_words())
    lower_index, lower_shift = two_level(lower_shifts())
    np.savez_compressed(
        tables.TABLE_FILE, index=index, properties=properties, lower_index=lower_index, lower_shift=lower_shift
    )
    code_points, folds, offsets, expansions = matching_folds()
    np.savez_compressed(
        matching.FOLDS_FILE, code_points=code_points, folds=folds, offsets=offsets, expansions=expansions
    )
    print(f"{tables.TABLE_FILE.name}: {len(properties) // BLOCK} blocks, {tables.TABLE_FILE.stat().st_size} bytes")
