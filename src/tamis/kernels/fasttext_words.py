"""The words of a text as fastText reads them, byte for byte, and their places in a classifier's dictionary."""

from typing import NamedTuple

import numpy as np

from tamis.kernels.jit import kernel

FNV_START = np.uint32(2166136261)
FNV_PRIME = np.uint32(16777619)
LINE_END = b"</s>"
LABEL_PREFIX = b"__label__"
"""fastText does not store the prefix that labels had in training; it always reads this one."""

_PREFIX = np.frombuffer(LABEL_PREFIX, np.uint8)
_END_KEY = np.uint64(int.from_bytes(LINE_END, "little") << 32)
_END_HASH = np.uint32(3617362777)
"""Key and hash of `</s>`."""
_WORD, _BLANK, _LEAD_C2, _LEAD_E2 = 0, 1, 2, 3


def byte_classes(at_line_breaks: bool) -> np.ndarray:
    """uint8[256]: bytes that part words for fastText; with `at_line_breaks` those of `str.splitlines` as well, U+0085,
    U+2028 and U+2029 by their first bytes."""
    classes = np.zeros(256, np.uint8)
    classes[list(b" \n\r\t\v\f\0")] = _BLANK
    if at_line_breaks:
        classes[list(b"\x1c\x1d\x1e")] = _BLANK
        classes[0xC2], classes[0xE2] = _LEAD_C2, _LEAD_E2
    return classes


class Words(NamedTuple):
    """The dictionary as an open-addressing table."""

    slots: np.ndarray
    """uint64[2 * size]: of every slot the last 8 bytes of the word, then its length << 32 | its place + 1; 0 = free."""
    word_bytes: np.ndarray
    word_offsets: np.ndarray
    num_words: int
    """Entries from this one are labels."""


@kernel
def word_slots(word_bytes: np.ndarray, word_offsets: np.ndarray) -> np.ndarray:
    """The `slots` of `Words`, at most two thirds full."""
    size = 16
    while 2 * size < 3 * len(word_offsets):
        size *= 2
    slots = np.zeros(2 * size, np.uint64)
    for entry in range(len(word_offsets) - 1):
        start, end = word_offsets[entry], word_offsets[entry + 1]
        h, key = FNV_START, np.uint64(0)
        for at in range(start, end):
            h = hash_byte(h, word_bytes[at])
            key = _push(key, word_bytes[at])
        slot = np.int64(h) & (size - 1)
        while slots[2 * slot + 1] != 0:
            slot = (slot + 1) & (size - 1)
        slots[2 * slot] = key
        slots[2 * slot + 1] = (np.uint64(end - start) << np.uint64(32)) | np.uint64(entry + 1)
    return slots


@kernel
def hash_byte(h: np.uint32, byte: np.uint8) -> np.uint32:
    """One step of FNV-1a, with the byte as a signed char: fastText's models were trained that way."""
    return np.uint32((h ^ np.uint32(np.int32(np.int8(byte)))) * FNV_PRIME)


@kernel
def _push(key: np.uint64, byte: np.uint8) -> np.uint64:
    """The last eight bytes of a word; shorter words end in zero bytes, which no word contains."""
    return (key >> np.uint64(8)) | (np.uint64(byte) << np.uint64(56))


@kernel
def split_words(
    data: np.ndarray,
    at: int,
    end: int,
    classes: np.ndarray,
    starts: np.ndarray,
    ends: np.ndarray,
    hashes: np.ndarray,
    keys: np.ndarray,
) -> int:
    """Places (int64), hashes (uint32) and keys (uint64) of the words of the line `data[at:end]`; returns how many. The
    last one is always the line's end: after a `</s>` in the text nothing more is read.

    Every output has room for two words more than half of the bytes.
    """
    count = 0
    while at < end:
        kind = classes[data[at]]
        if kind != _WORD:
            blank = _break_bytes(data, at, end, kind)
            if blank:
                at += blank
                continue
        starts[count] = at
        h, key = FNV_START, np.uint64(0)
        while at < end:
            byte = data[at]
            if classes[byte] != _WORD and _break_bytes(data, at, end, classes[byte]):
                break
            h = hash_byte(h, byte)
            key = _push(key, byte)
            at += 1
        if key == _END_KEY:
            break
        ends[count] = at
        hashes[count] = h
        keys[count] = key
        count += 1
    starts[count] = ends[count] = end
    hashes[count] = _END_HASH
    keys[count] = _END_KEY
    return count + 1


@kernel
def find_words(
    data: np.ndarray,
    starts: np.ndarray,
    ends: np.ndarray,
    hashes: np.ndarray,
    keys: np.ndarray,
    slots: np.ndarray,
    word_bytes: np.ndarray,
    word_offsets: np.ndarray,
    num_words: int,
    places: np.ndarray,
) -> int:
    """Write the place of every word in the dictionary (int32, -1 for none) to `places`, in step with `starts`, `ends`
    and `hashes`, from which labels are removed; returns how many words are left."""
    mask = np.uint64((len(slots) >> 1) - 1)
    left = 0
    for i in range(len(starts)):
        start, end, h = starts[i], ends[i], hashes[i]
        length = np.uint64(max(end - start, 4 * (keys[i] == _END_KEY)))
        slot = np.uint64(h) & mask
        place = -1
        while True:
            entry = slots[2 * slot + np.uint64(1)]
            if entry == 0:
                break
            if slots[2 * slot] == keys[i] and entry >> np.uint64(32) == length:
                place = int(np.int64(entry & np.uint64(0xFFFFFFFF))) - 1
                if length <= 8 or _same(data, start, end - 8, word_bytes, word_offsets[place]):
                    break
                place = -1
            slot = (slot + np.uint64(1)) & mask
        if place >= num_words or (place < 0 and _starts_with(data, start, end, _PREFIX)):
            continue  # a label
        starts[left], ends[left], hashes[left], places[left] = start, end, h, place
        left += 1
    return left


@kernel
def _same(data: np.ndarray, start: int, end: int, word_bytes: np.ndarray, offset: int) -> bool:
    for at in range(start, end):  # noqa: SIM110 - Numba compiles loops, not generators
        if word_bytes[offset + at - start] != data[at]:
            return False
    return True


@kernel
def _starts_with(data: np.ndarray, start: int, end: int, prefix: np.ndarray) -> bool:
    if end - start < len(prefix):
        return False
    for i in range(len(prefix)):  # noqa: SIM110 - Numba compiles loops, not generators
        if data[start + i] != prefix[i]:
            return False
    return True


@kernel
def _break_bytes(data: np.ndarray, at: int, end: int, kind: int) -> int:
    """Bytes of the blank at `at`, whose first byte is of `kind`; 0 if it is none."""
    if kind == _BLANK:
        return 1
    if kind == _LEAD_C2:
        return 2 if at + 1 < end and data[at + 1] == 0x85 else 0
    is_break = at + 2 < end and data[at + 1] == 0x80 and (data[at + 2] == 0xA8 or data[at + 2] == 0xA9)
    return 3 if is_break else 0


@kernel
def strip(data: np.ndarray, start: int, end: int) -> tuple[int, int]:
    """`start` and `end` without the white space of `str.strip` at both ends of UTF-8 `data[start:end]`."""
    while start < end:
        used = _space_bytes(data, start, end)
        if used == 0:
            break
        start += used
    while start < end:
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
    byte = data[at]
    if byte == 32 or 9 <= byte <= 13 or 28 <= byte <= 31:
        return 1
    if byte == 0xC2 and at + 1 < end and (data[at + 1] == 0x85 or data[at + 1] == 0xA0):
        return 2
    if byte < 0xE1 or byte > 0xE3 or at + 2 >= end:
        return 0
    code = (np.int64(byte & 0x0F) << 12) | (np.int64(data[at + 1] & 0x3F) << 6) | np.int64(data[at + 2] & 0x3F)
    is_space = code == 0x1680 or 0x2000 <= code <= 0x200A or code == 0x2028 or code == 0x2029 or code == 0x202F
    return 3 if is_space or code == 0x205F or code == 0x3000 else 0
