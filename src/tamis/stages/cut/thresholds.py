"""Exact thresholds for a share to keep: from all values, with ties kept, and in exact arithmetic."""

from dataclasses import dataclass
from fractions import Fraction
from math import ceil

import numpy as np


@dataclass(frozen=True, kw_only=True)
class ShareThreshold:
    """The threshold of one group: documents with a value of at least `threshold` are kept. Counts are of documents,
    `weight` and `kept_weight` are sums of the quantity that the share is of."""

    threshold: float
    num_documents: int
    num_kept: int
    num_tied: int
    weight: int
    kept_weight: int


def find_threshold(values: np.ndarray, weights: np.ndarray | None, fraction: float) -> ShareThreshold:
    """The greatest threshold that keeps at least `fraction` of the documents (of the sum of `weights` where given) and
    at least one document. `values` float64[n] with n > 0 and no NaN; `weights` int64[n], none negative.

    Documents that tie with the last one inside the share are all kept. `fraction` is taken as the decimal number that
    it was written as: 0.07 of 100 documents are 7, where 0.07 * 100 is 7.000000000000001.
    """
    exact = Fraction(repr(float(fraction)))
    size = len(values)
    if weights is None:
        place = size - max(1, ceil(exact * size))
        threshold = float(np.partition(values, place)[place])
    else:
        order = np.argsort(-values, kind="stable")
        reached = np.cumsum(weights[order])
        wanted = ceil(exact * int(reached[-1]))
        threshold = float(values[order[min(int(np.searchsorted(reached, wanted)), size - 1)]])
    kept = values >= threshold
    return ShareThreshold(
        threshold=threshold,
        num_documents=size,
        num_kept=int(np.count_nonzero(kept)),
        num_tied=int(np.count_nonzero(values == threshold)),
        weight=size if weights is None else int(weights.sum()),
        kept_weight=int(np.count_nonzero(kept)) if weights is None else int(weights[kept].sum()),
    )
