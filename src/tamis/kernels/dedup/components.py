"""Connected components of line numbers by union-find: lines are in one component when they are linked, directly or
through others.

`parents` (uint32[n], at first 0, 1, ..., n - 1) is the forest. A root is joined under the smaller one, so that
parents[i] <= i always, and the label of a component is its smallest line, whatever the order of the edges.
"""

import numpy as np

from tamis.kernels.jit import kernel


@kernel
def join(parents: np.ndarray, left: np.ndarray, right: np.ndarray) -> None:
    """Link line `left[k]` with line `right[k]` (uint32, both below n) for every k. Paths are halved on the way."""
    for k in range(len(left)):
        left_root, right_root = left[k], right[k]
        while parents[left_root] != left_root:
            parents[left_root] = parents[parents[left_root]]
            left_root = parents[left_root]
        while parents[right_root] != right_root:
            parents[right_root] = parents[parents[right_root]]
            right_root = parents[right_root]
        if left_root < right_root:
            parents[right_root] = left_root
        else:
            parents[left_root] = right_root


@kernel
def flatten(parents: np.ndarray) -> None:
    """Make every line point at the label of its component."""
    for line in range(len(parents)):
        parents[line] = parents[parents[line]]


def warm() -> None:
    """Compile or load all of this module."""
    lines = np.zeros(1, np.uint32)
    join(lines, lines, lines)
    flatten(lines)
