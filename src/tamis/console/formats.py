"""The formats of sizes, durations, counts and names of work in the output of the command line, with one definition
each."""

from collections.abc import Mapping, Sequence

LARGEST = 5
"""Number of reasons that are shown by default."""


def size_text(num_bytes: float) -> str:
    """A number of bytes in decimal units, as `1.5 GB`."""
    units = ("B", "kB", "MB", "GB")
    position = 0
    while num_bytes >= 999.5 and position < len(units):
        num_bytes /= 1000
        position += 1
    unit = (*units, "TB")[position]
    return f"{num_bytes:.1f} {unit}" if position and num_bytes < 9.95 else f"{num_bytes:,.0f} {unit}"


def duration_text(seconds: float) -> str:
    """A duration, rounded for reading: `8 s`, `12 min`, `3.5 h`."""
    if seconds < 120:
        return f"{seconds:.0f} s" if seconds >= 1 or seconds == 0 else "1 s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:,.1f} h"


def count_text(number: int, noun: str) -> str:
    """`1 task`, `2 tasks`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def reasons_text(counts: Mapping[str, int], all_of_them: bool = False) -> str:
    """Names with their counts, largest first: the five largest and the number of others, or all."""
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    shown = ordered if all_of_them else ordered[:LARGEST]
    told = ", ".join(f"{name} {count:,}" for name, count in shown)
    left_out = len(ordered) - len(shown)
    return f"{told} and {left_out} more" if left_out else told


def work_label(stages: Sequence[str], reads: str | None) -> str:
    """The name of a pass, from the steps that it executes and the stored step that it reads, if any: `pool + extract`,
    or `filter, from stored extract`."""
    names = " + ".join(_stage_name(label) for label in stages) or "work"
    return f"{names}, from stored {_stage_name(reads)}" if reads else names


def _stage_name(label: str) -> str:
    """`03_filter` -> `filter`."""
    number, _, name = label.partition("_")
    return name if name and number.isdigit() else label
