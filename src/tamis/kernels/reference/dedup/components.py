"""Twin of `kernels.dedup.components`: components found by walking from every line to all that are linked to it."""

from collections.abc import Iterable


def labels(num_lines: int, edges: Iterable[tuple[int, int]]) -> list[int]:
    """For every line the smallest line of its component."""
    linked: list[set[int]] = [set() for _ in range(num_lines)]
    for one, other in edges:
        linked[one].add(other)
        linked[other].add(one)
    label = [-1] * num_lines
    for start in range(num_lines):
        reached = [start] if label[start] < 0 else []
        while reached:
            line = reached.pop()
            if label[line] < 0:
                label[line] = start
                reached += linked[line]
    return label
