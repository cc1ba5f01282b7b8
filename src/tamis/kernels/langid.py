"""Scores of a langid.py model: byte n-grams found by an automaton, then naive Bayes over how often each occurs.

The automaton (39 MB) and the weights (57 MB) are far larger than a processor's near caches, so the time goes into
waiting for memory; four places of the page are read at once, and four rows of weights are added at once.
"""

import numpy as np

from tamis.kernels.jit import kernel

LANES = 4
LANGUAGES_MULTIPLE = 16
"""Columns of the weights are padded to a multiple of this, so that their sums fill vector registers."""


def automaton_depth(next_state: np.ndarray, state_row: np.ndarray) -> int:
    """Longest n-gram of the automaton: how many bytes decide its state, whatever came before them."""
    seen = np.zeros(len(state_row), np.bool_)
    seen[0] = True
    level = np.array([0])
    depth = 0
    by_row = next_state.reshape(-1, 256)
    while True:
        reached = np.zeros(len(state_row), np.bool_)
        reached[by_row[np.unique(state_row[level])]] = True
        level = np.flatnonzero(reached & ~seen)
        if len(level) == 0:
            return depth
        seen[level] = True
        depth += 1


@kernel
def _next(next_state: np.ndarray, state_row: np.ndarray, state: int, byte: int) -> int:
    return int(next_state[(np.int64(state_row[state]) << 8) + np.int64(byte)])


@kernel
def count_features(
    data: np.ndarray,
    next_state: np.ndarray,
    state_row: np.ndarray,
    feature_of_state: np.ndarray,
    depth: int,
    counts: np.ndarray,
    seen: np.ndarray,
) -> int:
    """Count in `counts` (int32[features], zero before) the features of `data` (uint8[bytes]) and list the distinct ones
    in `seen` (room for as many as there are bytes); returns how many are distinct.

    `next_state[state_row[state] * 256 + byte]` is the automaton, `feature_of_state` (int32) the feature that a state
    completes or -1, `depth` its `automaton_depth`.
    """
    lane_bytes = len(data) // LANES if len(data) > 8 * LANES * depth else 0
    states = np.zeros(LANES + 1, np.int64)
    for lane in range(1, LANES + 1 if lane_bytes else 1):
        for at in range(lane * lane_bytes - depth, lane * lane_bytes):
            states[lane] = _next(next_state, state_row, states[lane], data[at])
    distinct = 0
    for at in range(lane_bytes):
        for lane in range(LANES):
            states[lane] = _next(next_state, state_row, states[lane], data[lane * lane_bytes + at])
        for lane in range(LANES):
            distinct = _note(feature_of_state[states[lane]], counts, seen, distinct)
    state = states[LANES]
    for at in range(LANES * lane_bytes, len(data)):
        state = _next(next_state, state_row, state, data[at])
        distinct = _note(feature_of_state[state], counts, seen, distinct)
    return distinct


@kernel
def _note(feature: int, counts: np.ndarray, seen: np.ndarray, distinct: int) -> int:
    if feature < 0:
        return distinct
    counts[feature] += 1
    if counts[feature] == 1:
        seen[distinct] = feature
        return distinct + 1
    return distinct


@kernel
def add_weights(counts: np.ndarray, seen: np.ndarray, distinct: int, weights: np.ndarray, scores: np.ndarray) -> None:
    """Add log(1 + count) x weight of every feature seen to `scores` (float32[columns of weights]); clears `counts`."""
    share = np.empty(distinct + LANES, np.float32)
    for k in range(distinct):
        share[k] = np.log1p(np.float32(counts[seen[k]]))
        counts[seen[k]] = 0
    whole = distinct - distinct % LANES
    for k in range(0, whole, LANES):
        a, b, c, d = weights[seen[k]], weights[seen[k + 1]], weights[seen[k + 2]], weights[seen[k + 3]]
        x, y, z, w = share[k], share[k + 1], share[k + 2], share[k + 3]
        for language in range(len(scores)):
            scores[language] += (x * a[language] + y * b[language]) + (z * c[language] + w * d[language])
    for k in range(whole, distinct):
        row = weights[seen[k]]
        for language in range(len(scores)):
            scores[language] += share[k] * row[language]
