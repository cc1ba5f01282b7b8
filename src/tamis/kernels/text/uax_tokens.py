"""UAX-29 tokens as 64-bit hashes: what n-gram and shingle deduplication compare.

A token is what lies between two word boundaries (Unicode Standard Annex 29, as `words`) and is not only white space;
punctuation marks are tokens. White space is Unicode's property White_Space, as in Rust's `char::is_whitespace`;
Python's `isspace` also takes U+001C to U+001F.

Text that is ASCII is split by a table of byte classes, letters by eight bytes at once. A token that touches another
byte goes, with all up to the next ASCII blank that follows an ASCII character, through the full rules: at such a blank
there is a boundary whatever surrounds it.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from tamis.kernels.instructions import load_word
from tamis.kernels.jit import kernel
from tamis.kernels.text.decoding import _multibyte, views
from tamis.kernels.text.unicode_tables import SPACE, load
from tamis.kernels.text.words import next_boundary

OTHER, BLANK, LINE_END, TAB, NON_ASCII = range(5)
LETTER_MIDDLE, NUMBER_MIDDLE, ANY_MIDDLE = 5, 6, 7
UNDERSCORE, DIGIT, LETTER = 8, 9, 10
"""Byte classes; those from UNDERSCORE on join with each other, middles join two letters, two digits or either."""


def _classes() -> np.ndarray:
    """`uint8[256]`"""
    table = np.full(256, OTHER, np.uint8)
    # Everything that is not named here is a token of its own, or left to the full rules.
    table[0x80:] = NON_ASCII
    for characters, kind in (
        ("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", LETTER), ("0123456789", DIGIT), ("_", UNDERSCORE),
        (".'", ANY_MIDDLE), (":", LETTER_MIDDLE), (",;", NUMBER_MIDDLE), (" ", BLANK), ("\t", TAB),
        ("\n\v\f\r", LINE_END),
    ):  # fmt: skip
        table[list(characters.encode())] = kind
    return table


_CLASSES = _classes()
_MIXERS = tuple(np.uint64(value) for value in (0x9E3779B97F4A7C15, 0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53))
# The constants are part of the hashes that are stored, and must not change.
_GOLDEN, _FIRST, _SECOND = _MIXERS
_SHIFT, _HALF, _BYTE = np.uint64(33), np.uint64(32), np.uint64(8)
_ONE, _SEVEN, _FIFTY_SIX = np.uint64(1), np.uint64(7), np.uint64(56)
_EACH = 0x0101010101010101
# Masks with the same byte in each of the eight places of a word.
_CASE, _LOW_BITS, _HIGH_BITS = np.uint64(0x20 * _EACH), np.uint64(0x7F * _EACH), np.uint64(0x80 * _EACH)
_FROM_A, _ABOVE_Z = np.uint64(0x1F * _EACH), np.uint64(0x05 * _EACH)
"""Added to a byte below 0x80 they set its highest bit from `a` on, and above `z`."""
_PLACES = np.uint64(0x0001020304050607)
"""256**k times this has k in the highest byte."""


@kernel
def mix(value: np.uint64) -> np.uint64:
    """Every bit of the result depends on every bit of `value`, one to one (MurmurHash3's 64-bit finaliser)."""
    # Shifts and multiplications by odd numbers can be undone, so that no two values collide.
    value ^= value >> _SHIFT
    value *= _FIRST
    value ^= value >> _SHIFT
    value *= _SECOND
    return value ^ (value >> _SHIFT)


@kernel
def hash_bytes(data: np.ndarray, start: int, end: int) -> np.uint64:
    """64-bit hash of `data[start:end]`: one to one for up to 8 bytes of the same length. Stable: stored in sketches."""
    # Eight bytes a step.
    length = np.uint64(end - start) * _GOLDEN
    state = np.uint64(0)
    while end - start >= 8:
        state = (state ^ load_word(data, start)) * _FIRST
        state ^= state >> _HALF
        start += 8
    # The last bytes one by one, since a load of eight could run past the end.
    word, shift = np.uint64(0), np.uint64(0)
    for at in range(start, end):
        word |= np.uint64(data[at]) << shift
        shift += _BYTE
    return mix(state ^ word ^ length)


@kernel
def _letters(data: np.ndarray, start: int, limit: int) -> tuple[int, np.uint64]:
    """`(end, hash)` of the ASCII letters at `start`, of which there is at least one. No eight bytes are loaded from
    `limit` on; end 0 where that would be needed."""
    state, at = np.uint64(0), start
    while at < limit:
        # Mark every byte that is no letter, by additions that set its highest bit.
        word = load_word(data, at)
        low = (word | _CASE) & _LOW_BITS
        other = ~((low + _FROM_A) & ~(low + _ABOVE_Z) & ~word) & _HIGH_BITS
        # Eight letters: add them to the hash and go on.
        if other == 0:
            state = (state ^ word) * _FIRST
            state ^= state >> _HALF
            at += 8
            continue
        # Otherwise the number of letters before the first mark gives the end of the token.
        first = (other & (~other + _ONE)) >> _SEVEN  # 1 in the lowest bit of the first byte that is no letter
        length = at - start + int((first * _PLACES) >> _FIFTY_SIX)
        return start + length, mix(state ^ (word & (first - _ONE)) ^ (np.uint64(length) * _GOLDEN))
    return 0, state


@kernel
def _ascii_end(data: np.ndarray, start: int, end: int) -> int:
    """End of the token that starts with the ASCII byte at `start`, neither blank nor line end; -1 where a byte that is
    not ASCII has a say."""
    at = start + 1
    if _CLASSES[data[start]] >= UNDERSCORE:
        while True:
            # Letters, digits and underscores join each other.
            while at < end and _CLASSES[data[at]] >= UNDERSCORE:
                at += 1
            if at >= end - 1:
                break
            # A middle between two letters or two digits may join them.
            middle, last = _CLASSES[data[at]], _CLASSES[data[at - 1]]
            following = _CLASSES[data[at + 1]]
            if middle < LETTER_MIDDLE or last == UNDERSCORE:
                break
            # What follows is not ASCII: the full rules must decide.
            if following == NON_ASCII:
                return -1
            # The middle must suit its two neighbours, which must be of one kind.
            wrong = NUMBER_MIDDLE if last == LETTER else LETTER_MIDDLE
            if following != last or middle == wrong:
                break
            at += 2
    # A neighbour that is not ASCII could extend the token.
    return -1 if at < end and data[at] >= 0x80 else at


@kernel
def _segment_end(data: np.ndarray, start: int, end: int) -> int:
    """First sure boundary after the first byte from `start` on that is not ASCII."""
    at = start
    # Find the first byte that is not ASCII, then a place where a boundary is certain.
    while at < end and data[at] < 0x80:
        at += 1
    while at < end:
        byte = data[at]
        if byte == 0x0A or (byte == 0x20 and data[at - 1] < 0x80 and data[at - 1] != 0x20):
            return at
        at += 1
    return end


@kernel
def _decode(
    data: np.ndarray, start: int, end: int, tables: tuple[np.ndarray, np.ndarray], out: tuple[np.ndarray, np.ndarray]
) -> int:
    """Property word and byte position of each character of `data[start:end]` into `out`; returns their number."""
    index, table = tables
    properties, places = out
    n, at = 0, start
    while at < end:
        # Note where each character starts, and look up its properties.
        places[n] = at
        code_point, used = int(data[at]), 1
        if data[at] >= 0x80:
            code_point, used = _multibyte(data, at, end)
        properties[n] = table[(np.int64(index[code_point >> 7]) << 7) | (code_point & 127)]
        at += used
        n += 1
    places[n] = end
    return n


@kernel
def _blank(data: np.ndarray, properties: np.ndarray, places: np.ndarray, first: int, last: int) -> bool:
    """Whether characters `first` to `last` (exclusive) are all White_Space."""
    # Python counts U+001C to U+001F as white space, Unicode does not.
    while first < last and properties[first] & SPACE and not 0x1C <= data[places[first]] <= 0x1F:
        first += 1
    return first == last


@kernel
def _ascii_tokens(
    data: np.ndarray, base: int, at: int, end: int, hashes: np.ndarray, starts: np.ndarray, ends: np.ndarray, count: int
) -> tuple[int, int]:
    """Write tokens from `at` on, until a byte that is not ASCII has a say; `(where that token or the blanks before it
    start or `end`, tokens so far)`. `base` is where the document starts."""
    # Eight bytes are loaded at once only where the array has them.
    limit = min(end, len(data) - 7)
    while at < end:
        kind = _CLASSES[data[at]]
        if kind == LETTER:
            # The usual case: letters up to a blank or a line end.
            stop, value = _letters(data, at, limit)
            if 0 < stop < end and _CLASSES[data[stop]] <= TAB:
                hashes[count], starts[count], ends[count] = value, at - base, stop - base
                count += 1
                at = stop
                continue
        stop = at + 1
        # Blanks form one token, which is not written; a character behind them may take part.
        if kind == BLANK:
            while stop < end and data[stop] == 0x20:
                stop += 1
            if stop < end and data[stop] >= 0x80:
                return at, count
        # Everything else, by the rules for ASCII.
        elif kind != LINE_END:
            stop = _ascii_end(data, at, end) if kind != NON_ASCII else -1
            if stop < 0:
                return at, count
            # A tab is white space, too.
            if kind != TAB:
                hashes[count], starts[count], ends[count] = hash_bytes(data, at, stop), at - base, stop - base
                count += 1
        at = stop
    return end, count


@kernel
def _segment_tokens(
    data: np.ndarray,
    base: int,
    at: int,
    stop: int,
    tables: tuple[np.ndarray, np.ndarray],
    scratch: tuple[np.ndarray, np.ndarray],
    hashes: np.ndarray,
    starts: np.ndarray,
    ends: np.ndarray,
    count: int,
) -> int:
    """Write the tokens of `data[at:stop]`, whose ends are boundaries, by the full rules; returns the tokens so far."""
    # Decode the segment and go from boundary to boundary.
    properties, places = scratch
    n = _decode(data, at, stop, tables, scratch)
    first = 0
    while first < n:
        last = next_boundary(properties, first, n)
        if not _blank(data, properties, places, first, last):
            start, end = places[first], places[last]
            hashes[count], starts[count], ends[count] = hash_bytes(data, start, end), start - base, end - base
            count += 1
        first = last
    return count


@kernel
def tokenise(
    data: np.ndarray,
    offsets: np.ndarray,
    tables: tuple[np.ndarray, np.ndarray],
    hashes: np.ndarray,
    starts: np.ndarray,
    ends: np.ndarray,
    token_offsets: np.ndarray,
) -> int:
    """Fill the outputs (as in `Tokens`, room for one token per byte); returns the number of tokens."""
    scratch = np.empty(4096, np.uint16), np.empty(4097, np.int64)
    count = 0
    token_offsets[0] = 0
    for document in range(len(offsets) - 1):
        base, end = offsets[document], offsets[document + 1]
        at = base
        while at < end:
            # Go on with ASCII as far as it reaches, then take one segment with other characters.
            at, count = _ascii_tokens(data, base, at, end, hashes, starts, ends, count)
            if at < end:
                stop = _segment_end(data, at, end)
                # The scratch arrays grow with the longest segment.
                if stop - at > len(scratch[0]):
                    scratch = np.empty(2 * (stop - at), np.uint16), np.empty(2 * (stop - at) + 1, np.int64)
                count = _segment_tokens(data, base, at, stop, tables, scratch, hashes, starts, ends, count)
                at = stop
        token_offsets[document + 1] = count
    return count


@dataclass(frozen=True, kw_only=True)
class Tokens:
    """Tokens of a batch of documents, one document after the other: hash of the UTF-8 bytes as they are (uint64[t]),
    byte positions within the document (int64[t]), and document d's tokens at `offsets[d]:offsets[d + 1]` (int64)."""

    hashes: np.ndarray
    starts: np.ndarray
    ends: np.ndarray
    offsets: np.ndarray


def uax_tokens(column: pa.Array) -> Tokens:
    """The tokens of every document of a string or large_string column; a null has none. Bytes that are not UTF-8 count
    as U+FFFD, but are hashed as they are. Raises TypeError for another Arrow type."""
    data, offsets = views(column)
    room = int(offsets[-1] - offsets[0])
    hashes, starts, ends = np.empty(room, np.uint64), np.empty(room, np.int64), np.empty(room, np.int64)
    token_offsets = np.zeros(len(offsets), np.int64)
    index, table = load()[:2]
    count = tokenise(data, offsets, (index, table), hashes, starts, ends, token_offsets) if room else 0
    return Tokens(hashes=hashes[:count], starts=starts[:count], ends=ends[:count], offsets=token_offsets)
