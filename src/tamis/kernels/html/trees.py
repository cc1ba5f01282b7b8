"""Sums of small decision trees, evaluated row by row."""

import numpy as np

from tamis.kernels.jit import kernel


@kernel
def predict(
    rows: np.ndarray, roots: np.ndarray, features: np.ndarray, thresholds: np.ndarray, lefts: np.ndarray,
    rights: np.ndarray, values: np.ndarray,
) -> np.ndarray:  # fmt: skip
    """float64[n]: for each row of float32[n, m], the sum over trees of the value of the leaf it falls into.

    Node k sends a row left when `row[features[k]] <= thresholds[k]` (float32). `lefts` and `rights` are node numbers,
    or leaf numbers as `-1 - leaf`, into `values`. `roots` are nodes, or leaves in the same way.
    """
    out = np.zeros(len(rows))
    for k in range(len(rows)):
        row = rows[k]
        total = 0.0
        for root in roots:
            node = root
            while node >= 0:
                node = lefts[node] if row[features[node]] <= thresholds[node] else rights[node]
            total += values[-1 - node]
        out[k] = total
    return out
