"""Scores of a langid.py model: byte n-grams found by an automaton, then naive Bayes over how often each occurs.

The automaton (39 MB) and the weights (28 MB) are far larger than a processor's near caches, so the time goes into
waiting for memory: eight places of the text are read at once, a step of the automaton is a single look into memory, and
weights are prefetched.
"""

from typing import NamedTuple

import numpy as np

from tamis.kernels.instructions import prefetch
from tamis.kernels.jit import kernel

LANES = 8
SEPARATOR = b"\xff"
"""Between texts: in UTF-8 it never occurs, so that no n-gram has it and the automaton begins anew after it."""
COUNT_LANES = 4
COLUMNS_MULTIPLE = 16
"""Columns of the weights are padded to a multiple of this, so that their sums fill vector registers."""
WEIGHT_SCALE = 512
"""Weights are 16-bit floats in (-16, -2], so whole multiples of 1/512, which 16-bit integers hold exactly."""
_AHEAD = 16
"""Number of rows between the prefetch of a row of weights and its use."""
_LINE = 32
"""Weights in one line of the processor's cache."""
_ROW = np.uint32(0xFFFF)
_WHICH, _BYTE = np.uint32(16), np.uint64(8)


class Automaton(NamedTuple):
    """The walk over the bytes. A state is written `row | which << 16`: its row of `steps`, and which of the states with
    that row it is."""

    steps: np.ndarray
    """uint32[rows * 256]: the state after `row * 256 + byte`."""
    first_state: np.ndarray
    """int32[rows]: where a row's states begin in `feature`."""
    feature: np.ndarray
    """int32[states]: the feature that a state completes; `num_features` where it completes none."""
    start: np.uint32
    depth: int
    """Longest n-gram: how many bytes decide the state, whatever came before them."""
    num_features: int


def automaton(
    next_state: np.ndarray, state_row: np.ndarray, feature_of_state: np.ndarray, num_features: int
) -> Automaton:
    """The automaton `next_state[state_row[state] * 256 + byte]`, whose states complete `feature_of_state` or -1.

    Raises ValueError when it has too many rows, or n-grams with the separator in them.
    """
    # Number the states of each row, so that row and number name a state.
    state_row = np.asarray(state_row, np.int64)
    next_of_row = np.asarray(next_state).reshape(-1, 256)
    by_row = np.argsort(state_row, kind="stable")
    first = np.searchsorted(state_row[by_row], np.arange(len(next_of_row) + 1))
    which = np.empty(len(state_row), np.int64)
    which[by_row] = np.arange(len(state_row)) - first[state_row[by_row]]
    # Both must fit into 16 bits each.
    if len(next_of_row) > 1 << 16 or which.max() >= 1 << 16:
        raise ValueError(f"{len(next_of_row)} rows for {len(state_row)} states are too many")
    # The separator must lead back to the start from everywhere.
    if (next_of_row[:, SEPARATOR[0]] != 0).any():
        raise ValueError("it has n-grams of bytes that are not UTF-8")
    # Steps hold packed states, and features stand in the order of rows.
    packed = (state_row | which << 16).astype(np.uint32)
    feature = np.asarray(feature_of_state, np.int32)[by_row]
    return Automaton(
        steps=packed[next_of_row].reshape(-1),
        first_state=first[:-1].astype(np.int32),
        feature=np.where(feature < 0, num_features, feature).astype(np.int32),
        start=packed[0],
        depth=_depth(next_of_row, state_row),
        num_features=num_features,
    )


def _depth(next_of_row: np.ndarray, state_row: np.ndarray) -> int:
    """The length of the longest path that reaches a new state."""
    # Breadth-first search from the start: as many levels as the longest n-gram has bytes.
    seen = np.zeros(len(state_row), np.bool_)
    seen[0] = True
    level = np.array([0])
    depth = 0
    while True:
        reached = np.zeros(len(state_row), np.bool_)
        reached[next_of_row[np.unique(state_row[level])]] = True
        # States met for the first time make up the next level.
        level = np.flatnonzero(reached & ~seen)
        if len(level) == 0:
            return depth
        seen[level] = True
        depth += 1


def integer_weights(weights: np.ndarray) -> np.ndarray:
    """int16[features, columns]: `weights` in units of 1 / WEIGHT_SCALE, with columns of 0 added.

    Raises ValueError when there are weights that it cannot hold exactly.
    """
    # Scale the weights and check that nothing was lost.
    out = np.zeros((len(weights), len(weights[0]) + -len(weights[0]) % COLUMNS_MULTIPLE), np.int16)
    scaled = np.asarray(weights, np.float32) * np.float32(WEIGHT_SCALE)
    out[:, : scaled.shape[1]] = scaled
    if not np.array_equal(out[:, : scaled.shape[1]], scaled):
        raise ValueError(f"its weights are no multiples of 1/{WEIGHT_SCALE} that fit into 16 bits")
    return out


def scores(texts: list[bytes], machine: Automaton, weights: np.ndarray, priors: np.ndarray) -> np.ndarray:
    """float32[texts, columns]: of every text in UTF-8, `priors` plus the sum over its features of log(1 + how often it
    occurs) x the feature's row of `weights` (`integer_weights`); NaN for a text without any feature."""
    # All texts in one array, a separator after each, padded so that all lanes are equally long.
    lengths = np.array([len(text) for text in texts], np.int64)
    offsets = np.concatenate([[0], np.cumsum(lengths + 1)])
    lane_bytes = -(-int(offsets[-1]) // LANES)
    data = SEPARATOR.join([*texts, SEPARATOR * (LANES * lane_bytes - int(offsets[-1]) + 1)])
    # Find the feature that ends at each byte, then add up the weights of each text.
    features = np.empty(LANES * lane_bytes, np.int32)
    walk(np.frombuffer(data, np.uint8), lane_bytes, machine, features)
    out = np.zeros((len(texts), weights.shape[1]), np.float32)
    out[:, : len(priors)] = np.asarray(priors, np.float32) * np.float32(WEIGHT_SCALE)
    add_up(features, offsets, machine, weights.reshape(-1), out)
    return out[:, : len(priors)] / np.float32(WEIGHT_SCALE)


@kernel
def _step(steps: np.ndarray, state: np.uint32, byte: np.uint8) -> np.uint32:
    """The state after `byte`."""
    return steps[np.uint64(state & _ROW) << _BYTE | np.uint64(byte)]


@kernel
def _feature(machine: Automaton, state: np.uint32) -> np.int32:
    """The feature that `state` completes."""
    return machine.feature[np.uint64(machine.first_state[np.uint64(state & _ROW)]) + np.uint64(state >> _WHICH)]


@kernel
def walk(data: np.ndarray, lane_bytes: int, machine: Automaton, features: np.ndarray) -> None:
    """Write the feature that ends at each byte of `data` (uint8[8 * lane_bytes]) to `features`; `num_features`: none.

    A lane begins as many bytes early as decide its state.
    """
    steps, n = machine.steps, np.uint64(lane_bytes)
    # Every lane but the first runs up to its beginning, so that it starts in the right state.
    states = np.full(LANES, machine.start, np.uint32)
    for lane in range(1, LANES):
        for at in range(max(0, lane * lane_bytes - machine.depth), lane * lane_bytes):
            states[lane] = _step(steps, states[lane], data[at])
    # Eight names in place of an array, because the compiler keeps no arrays in registers.
    a, b, c, d = states[0], states[1], states[2], states[3]
    e, f, g, h = states[4], states[5], states[6], states[7]
    # One step of each lane; the eight looks into memory do not wait for each other.
    for i in range(lane_bytes):
        at_a = np.uint64(i)
        at_b = at_a + n
        at_c = at_b + n
        at_d = at_c + n
        at_e = at_d + n
        at_f = at_e + n
        at_g = at_f + n
        at_h = at_g + n
        # The next state of every lane.
        a, b = _step(steps, a, data[at_a]), _step(steps, b, data[at_b])
        c, d = _step(steps, c, data[at_c]), _step(steps, d, data[at_d])
        e, f = _step(steps, e, data[at_e]), _step(steps, f, data[at_f])
        g, h = _step(steps, g, data[at_g]), _step(steps, h, data[at_h])
        # The feature that each lane has completed.
        features[at_a], features[at_b] = _feature(machine, a), _feature(machine, b)
        features[at_c], features[at_d] = _feature(machine, c), _feature(machine, d)
        features[at_e], features[at_f] = _feature(machine, e), _feature(machine, f)
        features[at_g], features[at_h] = _feature(machine, g), _feature(machine, h)


@kernel
def _count(features: np.ndarray, lane: int, counts: np.ndarray, seen: np.ndarray) -> int:
    """Count `features` in `counts` and list the distinct ones in `seen`; returns how many. The first four times `lane`
    are counted from four places in turn, as counting one feature twice in a row waits for memory."""
    # Write every feature into the list, and move on only when it is new: no branch.
    distinct = np.uint64(0)
    n = np.uint64(lane)
    for i in range(lane):
        at = np.uint64(i)
        for _ in range(COUNT_LANES):
            feature = np.uint64(features[at])
            seen[distinct] = feature
            distinct += np.uint64(counts[feature] == 0)
            counts[feature] += 1
            at += n
    # The rest, one after the other.
    for i in range(COUNT_LANES * lane, len(features)):
        feature = np.uint64(features[np.uint64(i)])
        seen[distinct] = feature
        distinct += np.uint64(counts[feature] == 0)
        counts[feature] += 1
    return int(np.int64(distinct))


@kernel
def add_up(features: np.ndarray, offsets: np.ndarray, machine: Automaton, weights: np.ndarray, out: np.ndarray) -> None:
    """Add to every row of `out` (float32[texts, columns], the priors before) the weights (int16[features * columns]) of
    the features at `offsets[text]` to `offsets[text + 1] - 1`; NaN where there is none."""
    # Scratch arrays with room for the longest text serve all of them.
    longest = 0
    for text in range(len(out)):
        longest = max(longest, offsets[text + 1] - offsets[text])
    seen, share = np.empty(longest + 1, np.int32), np.empty(longest + 1, np.float32)
    counts = np.zeros(machine.num_features + 1, np.int32)
    logs = np.log1p(np.arange(256).astype(np.float32))
    for text in range(len(out)):
        # Count each feature of the text; short texts are not worth splitting into lanes.
        start, end = offsets[text], offsets[text + 1] - 1
        lane = (end - start) // COUNT_LANES if end - start > 8 * COUNT_LANES * machine.depth else 0
        counts[machine.num_features] = 1  # The number that stands for no feature never counts as new.
        distinct = _count(features[start:end], lane, counts, seen)
        if distinct == 0:
            out[text] = np.nan
        for k in range(distinct):
            # The logarithm of the count comes from a table; set the count back for the next text.
            times = counts[np.uint64(seen[k])]
            share[k] = logs[np.uint64(times)] if times < len(logs) else np.log1p(np.float32(times))
            counts[np.uint64(seen[k])] = 0
        _add_weights(seen[:distinct], share, weights, out[text])


@kernel
def _add_weights(seen: np.ndarray, share: np.ndarray, weights: np.ndarray, out: np.ndarray) -> None:
    """Add `share` times the row of weights of every feature seen, four rows at a time."""
    width, whole = np.uint64(len(out)), len(seen) - len(seen) % 4
    for k in range(0, whole, 4):
        # Prefetch the rows that will be added next.
        for ahead in range(k + _AHEAD, min(k + _AHEAD + 4, len(seen))):
            for line in range(0, len(out), _LINE):
                prefetch(weights, np.int64(seen[ahead]) * len(out) + line)
        # Add four rows in one pass over the sums.
        a, b = np.uint64(seen[k]) * width, np.uint64(seen[k + 1]) * width
        c, d = np.uint64(seen[k + 2]) * width, np.uint64(seen[k + 3]) * width
        x, y, z, w = share[k], share[k + 1], share[k + 2], share[k + 3]
        for i in range(width):
            first = x * np.float32(weights[a + i]) + y * np.float32(weights[b + i])
            out[i] += first + (z * np.float32(weights[c + i]) + w * np.float32(weights[d + i]))
    # The last one to three rows, one by one.
    for k in range(whole, len(seen)):
        row = np.uint64(seen[k]) * width
        for i in range(width):
            out[i] += share[k] * np.float32(weights[row + i])


def warm() -> None:
    """Compile or load all of this module."""
    states, priors = np.zeros(256, np.uint32), np.zeros(1, np.float32)
    scores([b"a"], automaton(states, states[:1], np.zeros(1), 1), np.zeros((1, 16), np.int16), priors)
