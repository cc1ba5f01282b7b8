"""Repeated windows of tokens, and the cutting of what they cover.

A window is `width` tokens that follow one another in one document. `find_runs` streams documents through a hash table
and says which tokens repeated windows cover; `byte_spans` and `cut` turn that into an edited text. Twins are in
`reference.dedup.spans`.

A window is known by two independent 64-bit hashes: one says where in the table it belongs, 63 bits of the other stand
there. A false match needs equal bits in one of the few entries that a search reads, which has a probability of about
1e-18 per window.
"""

import numpy as np

from tamis.kernels.jit import kernel
from tamis.kernels.text.rolling import append, drop, power
from tamis.kernels.text.uax_tokens import mix

FIRST, COUNT, ASK = range(3)
"""What `find_runs` does: find windows that occurred earlier, and add all windows; only add windows, and mark those that
occur twice; find windows that occur anywhere else, in a complete table."""
MINIMIZER_TOKENS = 8
"""A window's part depends on the n-gram of this many tokens in it that has the least hash."""

_BASES = tuple(np.uint64(value) for value in (0x5851F42D4C957F2D, 0xD1342543DE82EF95))
"""Both are 5 modulo 8: b^k - 1 is then divisible by 4 k at most, so that windows whose tokens only stand elsewhere have
hashes that differ in nearly all bits."""
# One base for the slot, the other for the mark.
_BASE, _OTHER_BASE = _BASES
# The lowest bit of an entry says whether its window came twice; a mark is never 0 or 1.
_REPEATED, _TWO = np.uint64(1), np.uint64(2)
_BLOCK = 64


@kernel
def window_parts(
    tokens: np.ndarray, start: int, end: int, width: int, num_parts: int, grams: np.ndarray, parts: np.ndarray
) -> int:
    """Part (0..num_parts - 1) of each window of `tokens[start:end]` into `parts[:windows]`; returns their number.

    Equal windows get equal parts. Windows that follow one another mostly share the n-gram that decides, and so the
    part (minimizers: Roberts et al. 2004), which keeps runs of repeated windows whole. `grams` is scratch, uint64, as
    long as there are tokens.
    """
    # A window shorter than the n-gram is its own n-gram.
    size = min(MINIMIZER_TOKENS, width)
    windows = end - start - width + 1
    if windows <= 0:
        return 0
    # Hash every n-gram of the document.
    weight = power(_BASE, size)
    state = np.uint64(0)
    for at in range(end - start):
        state = append(state, _BASE, tokens[start + at])
        if at >= size:
            state = drop(state, weight, tokens[start + at - size])
        if at >= size - 1:
            grams[at - size + 1] = mix(state)
    # Slide the window, and keep the place of the least n-gram in it.
    span = width - size + 1
    least = -1
    for window in range(windows):
        # The least has left the window: look through all of it again.
        if least < window:
            least = window
            for at in range(window + 1, window + span):
                if grams[at] <= grams[least]:
                    least = at
        # Otherwise only the n-gram that has entered can be less.
        elif grams[window + span - 1] <= grams[least]:
            least = window + span - 1
        parts[window] = mix(grams[least]) % np.uint64(num_parts)
    return windows


@kernel
def count_windows(
    tokens: np.ndarray, offsets: np.ndarray, planted: np.ndarray, width: int, num_parts: int, part: int
) -> int:
    """Windows of part `part` in all documents that are not planted."""
    # Scratch arrays with room for the longest document serve all of them.
    longest = np.diff(offsets).max() if len(offsets) > 1 else 0
    grams, parts = np.empty(longest, np.uint64), np.empty(longest, np.int32)
    count = 0
    for document in range(len(planted)):
        # Count the windows that belong to this part.
        if not planted[document]:
            windows = window_parts(tokens, offsets[document], offsets[document + 1], width, num_parts, grams, parts)
            for window in range(windows):
                count += parts[window] == part
    return count


@kernel
def _place(table: np.ndarray, slot: int, mark: np.uint64) -> int:
    """Where `mark` stands in the table, or the empty place where it would."""
    # Step over entries of other windows, around the end of the table.
    while table[slot] != 0 and table[slot] & ~_REPEATED != mark:
        slot += 1
        if slot == len(table):
            slot = 0
    return slot


@kernel
def _repeats(table: np.ndarray, slot: int, mark: np.uint64, mode: int, planted: bool) -> bool:
    """Whether the window repeats another; adds it to the table, as `mode` says. A planted one is never added."""
    # Find the window, or the place where it would stand.
    slot = _place(table, slot, mark)
    known = table[slot] != 0
    # The table is complete: a real window always finds itself, and repeats another if it is marked.
    if mode == ASK:
        return known and (planted or table[slot] & _REPEATED != 0)
    # The table is being filled: add the window, or mark it as repeated.
    if not planted:
        if not known:
            table[slot] = mark
        elif mode == COUNT:
            table[slot] |= _REPEATED
    return known and mode == FIRST


@kernel
def _keys(
    tokens: np.ndarray,
    first: int,
    windows: tuple[int, int],
    width: int,
    weights: tuple[np.uint64, np.uint64],
    states: tuple[np.uint64, np.uint64],
    size: int,
    slots: np.ndarray,
    marks: np.ndarray,
) -> tuple[np.uint64, np.uint64]:
    """Slot and mark of windows `windows[0]` to `windows[1]` of the document that starts at token `first`, from the two
    hashes of the window before; returns those of the last one."""
    state, other = states
    for window in range(windows[0], windows[1]):
        # Move both hashes on by one token.
        entering = tokens[first + window + width - 1]
        state = append(state, _BASE, entering)
        other = append(other, _OTHER_BASE, mix(entering))
        if window > 0:
            # The token before the window leaves both hashes.
            leaving = tokens[first + window - 1]
            state = drop(state, weights[0], leaving)
            other = drop(other, weights[1], mix(leaving))
        # The mark must not look like an empty place.
        mark = mix(other) & ~_REPEATED
        slots[window - windows[0]] = np.int64(mix(state) % np.uint64(size))
        marks[window - windows[0]] = mark if mark != 0 else _TWO
    return state, other


@kernel
def find_runs(
    tokens: np.ndarray,
    offsets: np.ndarray,
    planted: np.ndarray,
    width: int,
    num_parts: int,
    part: int,
    table: np.ndarray,
    mode: int,
    documents: np.ndarray,
    starts: np.ndarray,
    ends: np.ndarray,
) -> int:
    """Look every window of part `part` up in `table`; write which tokens the repeated ones cover.

    `tokens` (uint64) of document d are `tokens[offsets[d]:offsets[d + 1]]`. `planted` (bool per document) marks planted
    copies, which are looked up but never added to the table. `table` (uint64, zeros at first) must have more places
    than there are distinct windows. Token ranges that do not touch, in order, go to `documents, starts, ends` (int64;
    room for one per `width` tokens); returns their number.
    """
    # Scratch arrays: parts of a document, and one block of windows.
    longest = np.diff(offsets).max() if len(offsets) > 1 and num_parts > 1 else 0
    grams, parts = np.empty(longest, np.uint64), np.empty(longest, np.int32)
    slots, marks, touched = np.empty(_BLOCK, np.int64), np.empty(_BLOCK, np.uint64), np.empty(_BLOCK, np.uint64)
    weights = power(_BASE, width), power(_OTHER_BASE, width)
    count = 0
    for document in range(len(planted)):
        # Find out which windows belong to this part.
        first, last = offsets[document], offsets[document + 1]
        windows = last - first - width + 1
        if num_parts > 1:
            window_parts(tokens, first, last, width, num_parts, grams, parts)
        # Begin both hashes with all but the last token of the first window.
        state, other = np.uint64(0), np.uint64(0)
        for at in range(first, min(first + width - 1, last)):
            state = append(state, _BASE, tokens[at])
            other = append(other, _OTHER_BASE, mix(tokens[at]))
        run_end = -1
        for begin in range(0, windows, _BLOCK):
            # Work out where a block of windows belongs before looking any of them up.
            end = min(begin + _BLOCK, windows)
            state, other = _keys(tokens, first, (begin, end), width, weights, (state, other), len(table), slots, marks)
            for k in range(end - begin):  # These reads are independent, so that many are in flight at a time.
                if num_parts == 1 or parts[begin + k] == part:
                    touched[k] = table[slots[k]]
            for window in range(begin, end):
                # Skip windows of other parts.
                if num_parts > 1 and parts[window] != part:
                    continue
                if _repeats(table, slots[window - begin], marks[window - begin], mode, planted[document]):
                    # A window that does not touch the run before it starts another.
                    if window > run_end:
                        documents[count], starts[count] = document, window
                        count += 1
                    run_end = window + width
                    ends[count - 1] = run_end
    return count


@kernel
def _line_breaks(data: np.ndarray, start: int, end: int) -> int:
    """How many newlines stand in `data[start:end]`."""
    count = 0
    for at in range(start, end):
        count += data[at] == 0x0A
    return count


@kernel
def byte_spans(
    data: np.ndarray,
    offsets: np.ndarray,
    token_starts: np.ndarray,
    token_ends: np.ndarray,
    token_offsets: np.ndarray,
    documents: np.ndarray,
    starts: np.ndarray,
    ends: np.ndarray,
    span_starts: np.ndarray,
    span_ends: np.ndarray,
    bridged: np.ndarray,
) -> None:
    """Bytes to cut, within the document, for every token range `starts[k]:ends[k]` of document `documents[k]`.

    Of the white space at the two sides of a cut, the one with more line breaks is kept, or the one before the cut if
    both have the same number; at the beginning or end of a document, the inner one is cut. Where there is none at
    either side, `bridged` (bool) is set: a blank must replace the cut.
    """
    for k in range(len(documents)):
        # The cut reaches at least from its first token to its last.
        base = token_offsets[documents[k]]
        count = token_offsets[documents[k] + 1] - base
        first, last = base + starts[k], base + ends[k] - 1
        span_starts[k], span_ends[k], bridged[k] = token_starts[first], token_ends[last], False
        # A cut of everything takes all tokens and leaves the white space around them.
        if starts[k] == 0 and ends[k] == count:
            continue
        # At the start of the document the white space after the cut is cut as well.
        if starts[k] == 0:
            span_ends[k] = token_starts[last + 1]
            continue
        # At the end of the document the white space before it is cut as well.
        before = token_ends[first - 1]
        if ends[k] == count:
            span_starts[k] = before
            continue
        after = token_starts[last + 1]
        # White space at only one side is kept; where there is none, a blank must replace the cut.
        no_before, no_after = before == span_starts[k], after == span_ends[k]
        if no_before or no_after:
            bridged[k] = no_before and no_after
            continue
        # With white space at both sides, that with fewer line breaks is cut as well.
        text = offsets[documents[k]]
        if _line_breaks(data, text + span_ends[k], text + after) > _line_breaks(
            data, text + before, text + span_starts[k]
        ):
            span_starts[k] = before
        else:
            span_ends[k] = after


@kernel
def cut(
    data: np.ndarray,
    offsets: np.ndarray,
    documents: np.ndarray,
    starts: np.ndarray,
    ends: np.ndarray,
    bridged: np.ndarray,
    out: np.ndarray,
    out_offsets: np.ndarray,
) -> int:
    """All documents without the bytes `starts[k]:ends[k]` of document `documents[k]` (ascending, apart), a blank for
    each that is `bridged`, into `out` (room for all bytes) and `out_offsets`; returns the number of bytes."""
    # `to` is the end of the output, `k` the next cut.
    to, k = 0, 0
    out_offsets[0] = 0
    for document in range(len(offsets) - 1):
        base, end = offsets[document], offsets[document + 1]
        at = base
        while k < len(documents) and documents[k] == document:
            # Copy what stands before the cut, and go on behind it.
            stop = base + starts[k]
            out[to : to + stop - at] = data[at:stop]
            to += stop - at
            if bridged[k]:
                out[to] = 0x20
                to += 1
            at = base + ends[k]
            k += 1
        # Copy the rest of the document.
        out[to : to + end - at] = data[at:end]
        to += end - at
        out_offsets[document + 1] = to
    return to


def warm() -> None:
    """Compile these kernels for the arrays they get: views of Arrow buffers, which are read-only, and plain ones."""
    tokens, data = np.frombuffer(bytes(16), np.uint64), np.frombuffer(bytes(2), np.uint8)
    offsets, planted = np.array([0, 2]), np.zeros(1, np.bool_)
    documents, starts, ends = (np.zeros(2, np.int64) for _ in range(3))
    size = count_windows(tokens, offsets, planted, 2, 2, 0) + 8
    find_runs(tokens, offsets, planted, 2, 1, 0, np.zeros(size, np.uint64), FIRST, documents, starts, ends)
    one, bridged, out = np.zeros(1, np.int64), np.zeros(1, np.bool_), np.zeros(3, np.uint8)
    places = (np.array([0, 1]), np.array([1, 2]), offsets)
    byte_spans(data, offsets, *places, one, one, one + 1, starts[:1], ends[:1], bridged)
    cut(data, offsets, one, starts[:1], ends[:1], bridged, out, np.zeros(2, np.int64))
