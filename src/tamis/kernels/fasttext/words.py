"""The words of a text as fastText reads them, byte for byte, and their places in a classifier's dictionary."""

from typing import NamedTuple

import numpy as np

from tamis.kernels.instructions import load_word, trailing_zeros
from tamis.kernels.jit import kernel

FNV_START = np.uint32(2166136261)
FNV_PRIME = np.uint32(16777619)
LINE_END = b"</s>"
LABEL_PREFIX = b"__label__"
"""fastText does not store the prefix that labels had in training; it always reads this one."""

READ_AHEAD_BYTES = 64
"""How far behind the end of a text its bytes are looked at."""

_PREFIX = np.frombuffer(LABEL_PREFIX, np.uint8)
_END_KEY = np.uint64(int.from_bytes(LINE_END, "little"))
_PREFIX_KEY = np.uint64(int.from_bytes(LABEL_PREFIX[:8], "little"))
_END_HASH = np.uint32(3617362777)
"""Key and hash of `</s>`."""
# Constants of the table's hash, and masks over eight bytes at a time.
_MIX_1, _MIX_2 = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xD6E8FEB86659FD93)
_SLOT_SHIFT = np.uint64(32)
_ALL, _LOW_HALF = np.uint64(0xFFFFFFFFFFFFFFFF), np.uint64(0xFFFFFFFF)
_HIGH, _LOW = np.uint64(0x8080808080808080), np.uint64(0x7F7F7F7F7F7F7F7F)
_GATHER = np.uint64(0x0102040810204080)
"""Brings the lowest bits of eight bytes together in the highest byte of the product."""
_TO_33 = np.uint64(0x5F5F5F5F5F5F5F5F)
_C2, _E2 = np.uint64(0xC2C2C2C2C2C2C2C2), np.uint64(0xE2E2E2E2E2E2E2E2)
_WORD, _BLANK, _LEAD = 0, 1, 2


def byte_classes(at_line_breaks: bool) -> np.ndarray:
    """uint8[256]: bytes that separate words for fastText; with `at_line_breaks` those of `str.splitlines` as well,
    U+0085, U+2028 and U+2029 by their first bytes."""
    classes = np.zeros(256, np.uint8)
    # The separators of fastText itself.
    classes[list(b" \n\r\t\v\f\0")] = _BLANK
    # Line breaks of Python that have more than one byte are recognised by their first byte.
    if at_line_breaks:
        classes[list(b"\x1c\x1d\x1e")] = _BLANK
        classes[[0xC2, 0xE2]] = _LEAD
    return classes


class Words(NamedTuple):
    """The dictionary: an open-addressing table of places, and what is known of the word at every place."""

    slots: np.ndarray
    """uint64[2 ** k]: 32 bits of the mixed key << 32 | the word's place + 1; 0 = free. The k bits above say where the
    search starts."""
    known: np.ndarray
    """uint64[words + labels, 3]: first eight and, of longer words, last eight bytes; length in bytes << 32 | fastText's
    hash. Together, so that one look into memory answers all."""
    word_bytes: np.ndarray
    word_offsets: np.ndarray
    num_words: int
    """Entries from this one are labels."""


@kernel
def index_words(word_bytes: np.ndarray, word_offsets: np.ndarray, num_words: int) -> Words:
    """The table of a dictionary, at most two thirds full."""
    # A power of two, so that a mask takes the place of a division.
    size = 16
    while 2 * size < 3 * len(word_offsets):
        size *= 2
    n = len(word_offsets) - 1
    slots = np.zeros(size, np.uint64)
    known = np.zeros((n, 3), np.uint64)
    for place in range(n):
        # What a look-up compares stands together: both ends of the word, its length and its hash.
        start, end = word_offsets[place], word_offsets[place + 1]
        first, last = _keys(word_bytes, start, end)
        known[place, 0], known[place, 1] = first, last
        known[place, 2] = (np.uint64(end - start) << np.uint64(32)) | np.uint64(hash_word(word_bytes, start, end))
        # Put the word into the first free slot behind the one that its key names.
        mixed = _mix(first, last, end - start)
        slot = mixed >> _SLOT_SHIFT & np.uint64(size - 1)
        while slots[slot] != 0:
            slot = (slot + np.uint64(1)) & np.uint64(size - 1)
        slots[slot] = mixed << np.uint64(32) | np.uint64(place + 1)
    return Words(slots, known, word_bytes, word_offsets, num_words)


@kernel
def _mix(first: np.uint64, last: np.uint64, length: int) -> np.uint64:
    """A hash of the key of a word, for its slot in the table."""
    h = (first + last * _MIX_1 + np.uint64(length)) * _MIX_2
    return h ^ (h >> np.uint64(29))


@kernel
def _keys(data: np.ndarray, start: int, end: int) -> tuple[np.uint64, np.uint64]:
    """First and last eight bytes of the word `data[start:end]`; of a word of eight bytes or less, the word and 0."""
    # Byte by byte, since the word may stand at the end of its array.
    first, last = np.uint64(0), np.uint64(0)
    for i in range(min(8, end - start)):
        first |= np.uint64(data[start + i]) << np.uint64(8 * i)
        if end - start > 8:
            last |= np.uint64(data[end - 8 + i]) << np.uint64(8 * i)
    return first, last


@kernel
def _doubtful(word: np.uint64) -> np.uint64:
    """The highest bits of those of eight bytes that can be blanks: up to 32, or first of U+0085, U+2028, U+2029."""
    # The highest bit of each byte says whether it is above 32.
    is_word = (word & _LOW) + _TO_33 | word
    # The same for bytes that differ from the two lead bytes.
    not_c2 = ((word ^ _C2) & _LOW) + _LOW | (word ^ _C2)
    not_e2 = ((word ^ _E2) & _LOW) + _LOW | (word ^ _E2)
    return ~(is_word & not_c2 & not_e2) & _HIGH


@kernel
def _break_bytes(word: np.uint64, room: int) -> int:
    """Bytes of the line break that `word` starts with, of which `room` bytes are text; 0 if it is none."""
    # U+0085 has two bytes, U+2028 and U+2029 have three.
    if word & np.uint64(0xFFFF) == 0x85C2 and room >= 2:
        return 2
    three = word & np.uint64(0xFFFFFF)
    return 3 if (three == 0xA880E2 or three == 0xA980E2) and room >= 3 else 0


@kernel
def hash_byte(h: np.uint32, byte: np.uint8) -> np.uint32:
    """One step of FNV-1a, with the byte as a signed char: fastText's models were trained that way."""
    return np.uint32((h ^ np.uint32(np.int32(np.int8(byte)))) * FNV_PRIME)


@kernel
def hash_word(data: np.ndarray, start: int, end: int) -> np.uint32:
    """fastText's hash of `data[start:end]`."""
    h = FNV_START
    for at in range(start, end):
        h = hash_byte(h, data[at])
    return h


@kernel
def split_words(
    data: np.ndarray, at: int, end: int, classes: np.ndarray, starts: np.ndarray, ends: np.ndarray, keys: np.ndarray
) -> int:
    """Starts, ends (int64) and keys (uint64[..., 2]) of the words of the line `data[at:end]`; returns how many. The
    last one is always the line's end, from `end` to `end`: after a `</s>` in the text nothing more is read.

    `data` goes on for 64 bytes behind `end`; every output has room for two words more than half of the bytes.
    """
    count = np.uint64(0)
    for block in range(at, end, 64):
        # A bit for each of the next 64 bytes that may separate words.
        blanks = np.uint64(0)
        for i in range(8):
            doubtful = _doubtful(load_word(data, block + 8 * i))
            blanks |= (((doubtful >> np.uint64(7)) * _GATHER) >> np.uint64(56)) << np.uint64(8 * i)
        # Bytes behind the end of the text do not count.
        if end - block < 64:
            blanks &= (np.uint64(1) << np.uint64(end - block)) - np.uint64(1)
        while blanks:
            # Take the candidates in order; a lead byte separates only as part of a line break.
            stop = block + trailing_zeros(blanks)
            blanks &= blanks - np.uint64(1)
            width = 1
            if classes[data[np.uint64(stop)]] != _BLANK:
                width = 0
                if classes[data[np.uint64(stop)]] == _LEAD:
                    width = _break_bytes(load_word(data, stop), end - stop)
                if width == 0:
                    continue
            # What lies before the separator is a word, unless two separators stand side by side.
            length = stop - at
            if length > 0:
                first, last = load_word(data, at), load_word(data, max(at, stop - 8))
                first &= _ALL >> np.uint64(64 - 8 * min(length, 8))
                if first == _END_KEY and length == 4:
                    end = at
                    break
                starts[count], ends[count] = at, stop
                keys[count, 0], keys[count, 1] = first, last if length > 8 else np.uint64(0)
                count += np.uint64(1)
            at = max(at, stop + width)
        if end <= at:
            break
    # The last word ends with the text.
    if at < end:
        first, last = _keys(data, at, end)
        if first != _END_KEY or end - at != 4:
            starts[count], ends[count] = at, end
            keys[count, 0], keys[count, 1] = first, last
            count += np.uint64(1)
    # The line's end is an entry of its own.
    starts[count] = ends[count] = end
    keys[count, 0], keys[count, 1] = _END_KEY, np.uint64(0)
    return int(np.int64(count)) + 1


@kernel
def find_words(
    data: np.ndarray,
    starts: np.ndarray,
    ends: np.ndarray,
    keys: np.ndarray,
    words: Words,
    places: np.ndarray,
    hashes: np.ndarray,
) -> int:
    """Write the place in the dictionary (int32, -1 for none) and the hash (uint32) of every word that `split_words`
    found, in step with `starts` and `ends`, from which labels are removed; returns how many words are left."""
    slots, known, num_words = words.slots, words.known, words.num_words
    word_bytes, word_offsets = words.word_bytes, words.word_offsets
    mask = np.uint64(len(slots) - 1)
    left = 0
    for i in range(len(starts)):
        # The key of a word is its two ends and its length.
        start, end, first, last = starts[i], ends[i], keys[i, 0], keys[i, 1]
        length = end - start if end > start else len(LINE_END)
        mixed = _mix(first, last, length)
        slot = mixed >> _SLOT_SHIFT & mask
        place = -1
        while True:
            # Search from the key's slot; a free slot means that the word is unknown.
            entry = slots[slot]
            if entry == 0:
                break
            if (entry ^ mixed << np.uint64(32)) >> np.uint64(32) == 0:
                # The slot holds part of the key only: compare the rest, and the middle of long words.
                k = (entry & _LOW_HALF) - np.uint64(1)
                has_length = known[k, 2] >> np.uint64(32) == np.uint64(length)
                is_like = known[k, 0] == first and known[k, 1] == last and has_length
                if is_like and (length <= 16 or _same(data, start + 8, end - 8, word_bytes, word_offsets[k] + 8)):
                    place = int(np.int64(k))
                    break
            slot = (slot + np.uint64(1)) & mask
        if place >= num_words:
            continue  # a label
        # The hash of a known word is stored; that of an unknown one is computed.
        h = _END_HASH
        if place >= 0:
            h = np.uint32(known[np.uint64(place), 2] & _LOW_HALF)
        elif end > start:
            if first == _PREFIX_KEY and _starts_with(data, start, end, _PREFIX):
                continue  # a label that the model does not know
            h = hash_word(data, start, end)
        # Keep the word, in front of those that are labels.
        starts[left], ends[left], places[left], hashes[left] = start, end, place, h
        left += 1
    return left


@kernel
def _same(data: np.ndarray, start: int, end: int, word_bytes: np.ndarray, offset: int) -> bool:
    """Whether `data[start:end]` equals the bytes of the dictionary from `offset` on."""
    for at in range(start, end):  # noqa: SIM110 - Numba compiles loops, not generators
        if word_bytes[offset + at - start] != data[at]:
            return False
    return True


@kernel
def _starts_with(data: np.ndarray, start: int, end: int, prefix: np.ndarray) -> bool:
    """Whether `data[start:end]` starts with `prefix`."""
    if end - start < len(prefix):
        return False
    for i in range(len(prefix)):  # noqa: SIM110 - Numba compiles loops, not generators
        if data[start + i] != prefix[i]:
            return False
    return True


@kernel
def strip(data: np.ndarray, start: int, end: int) -> tuple[int, int]:
    """`start` and `end` without the white space of `str.strip` at both ends of UTF-8 `data[start:end]`."""
    # Skip white space at the start, one character at a time.
    while start < end:
        used = _space_bytes(data, start, end)
        if used == 0:
            break
        start += used
    while start < end:
        # At the end, step back to the first byte of the last character.
        lead = end - 1
        while lead > start and end - lead < 3 and data[lead] & 0xC0 == 0x80:
            lead -= 1
        if _space_bytes(data, lead, end) != end - lead:
            break
        end = lead
    return start, end


@kernel
def _space_bytes(data: np.ndarray, at: int, end: int) -> int:
    """Bytes of the white space character at `at`, 0 if it is none."""
    # One, two or three bytes; no white space has four.
    byte = data[at]
    if byte == 32 or 9 <= byte <= 13 or 28 <= byte <= 31:
        return 1
    if byte == 0xC2 and at + 1 < end and (data[at + 1] == 0x85 or data[at + 1] == 0xA0):
        return 2
    if byte < 0xE1 or byte > 0xE3 or at + 2 >= end:
        return 0
    # Decode the three bytes, and compare with the white space of that length.
    code = (np.int64(byte & 0x0F) << 12) | (np.int64(data[at + 1] & 0x3F) << 6) | np.int64(data[at + 2] & 0x3F)
    is_space = code == 0x1680 or 0x2000 <= code <= 0x200A or code == 0x2028 or code == 0x2029 or code == 0x202F
    return 3 if is_space or code == 0x205F or code == 0x3000 else 0
