"""Tables for the terminal: books, scores, comparisons, assets, and the way of one page through a run."""

import sys
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tamis.base.cards import Card
from tamis.console.display import largest

SCRIPT_WIDTH = 160
MOST_SIDES_IN_PAIRS = 3
"""Up to so many sides, a comparison shows every pair of them."""


def books_table(cards: list[tuple[str, Card]]) -> Table:
    """The accounting table of a run: per stage, documents in = kept + removed + quarantined."""
    table = _table("stage")
    for name in ("in", "kept", "removed", "quarantined"):
        table.add_column(name, justify="right")
    table.add_column("reasons")
    for folder, card in cards:
        books = card.books
        if books is None:
            continue
        reasons = [*largest(dict(books.removed)), *largest(dict(books.quarantined))]
        table.add_row(
            folder, f"{books.rows_in:,}", f"{books.kept:,}", f"{books.removed.total():,}",
            f"{books.quarantined.total():,}", ", ".join(f"{name} {count:,}" for name, count in reasons),
        )  # fmt: skip
    return table


def print_table(table: Table) -> None:
    """Print on standard output, wide enough for scripts when it is not a terminal."""
    _console().print(table)


def _console() -> Console:
    return Console(width=None if sys.stdout.isatty() else SCRIPT_WIDTH, highlight=False)


def _table(*names: str) -> Table:
    return Table(*names, box=None, pad_edge=False)


def scores_table(results: dict[str, Any]) -> Table:
    """One line per task: the value and its 95 % interval."""
    table = _table("task", "metric")
    for name in ("value", "low", "high", "items"):
        table.add_column(name, justify="right")
    for name, task in results["tasks"].items():
        numbers = [f"{task[key]:.4f}" for key in ("value", "low", "high")]
        table.add_row(name, task["metric"], *numbers, f"{task['num_items']:,}")
    return table


def comparison_table(result: dict[str, Any]) -> Table:
    """One line per task and pair of sides: both values, the difference b - a with its interval, and what it says.

    All pairs are shown where there are few, else those with the baseline.
    """
    table = _table("task", "metric", "a", "b")
    adjusted = len(result["sides"]) > 2
    for name in ("a's value", "b's value", "b - a", "low", "high", "adjusted p" if adjusted else "p"):
        table.add_column(name, justify="right")
    table.add_column("verdict")
    for name, task in result["tasks"].items():
        for pair in _shown_pairs(result, task):
            values = [f"{task['values'][pair[side]]['value']:.4f}" for side in ("a", "b")]
            interval = [f"{pair[key]:+.4f}" for key in ("difference", "low", "high")]
            table.add_row(
                name, task["metric"], escape(pair["a"]), escape(pair["b"]), *values, *interval,
                f"{pair['p_adjusted']:.2g}", escape(pair["verdict"]),
            )  # fmt: skip
    return table


def _shown_pairs(result: dict[str, Any], task: dict[str, Any]) -> list[dict[str, Any]]:
    few = len(result["sides"]) <= MOST_SIDES_IN_PAIRS
    return [pair for pair in task["differences"] if few or pair["a"] == result["baseline"]]


def print_comparison(result: dict[str, Any]) -> None:
    """Print a comparison and everything that its reader must know: one line per note, and whether pairs are hidden."""
    console = _console()
    console.print(comparison_table(result))
    hidden = sum(len(task["differences"]) - len(_shown_pairs(result, task)) for task in result["tasks"].values())
    notes = list(result["notes"])
    if hidden:
        notes.append(f"pairs without the baseline '{result['baseline']}' are not shown ({hidden}); --json has them")
    for note in notes:
        console.print(f"note: {note}", markup=False, soft_wrap=True)


def assets_table(rows: list[dict[str, Any]]) -> Table:
    """One line per downloadable asset."""
    table = _table(*rows[0])
    for row in rows:
        table.add_row(*("" if value is None else str(value) for value in row.values()))
    return table


def clusters_table(found: dict[str, Any]) -> Table:
    """The largest clusters of a dedup step; where it has none, the lines that stand in most documents."""
    if found["clusters"]:
        table = Table("documents", "survivor", "beginning", box=None, pad_edge=False, title=_dedup_title(found))
        for one in found["clusters"]:
            beginning = " ".join(one["survivor"]["text"][:200].split())[:70]
            table.add_row(f"{one['documents']:,}", one["survivor"]["id"], escape(beginning))
        return table
    table = Table("documents", "hosts", "line", box=None, pad_edge=False, title=_dedup_title(found))
    for one in found["paragraphs"]:
        table.add_row(f"{one['documents']:,}", f"{one['hosts']:,}", escape(one["text"][:100]))
    return table


def _dedup_title(found: dict[str, Any]) -> str:
    counts = found["counts"]
    removed = sum(counts["removed"].values())
    return f"{found['stage']}: {counts['in']:,} in, {removed:,} removed, {found['num_clusters']:,} clusters"


def print_story(story: dict[str, Any]) -> None:
    """The way of one page: per step its signals against the thresholds, then the text that was kept."""
    console = _console()
    console.print(f"{story['url'] or '(no URL)'}  id {story['id']}: {story['outcome']}", markup=False)
    for step in story["steps"]:
        reason = f": {step['reason']}" if step["reason"] else ""
        console.print(f"\n{step['stage']}: {step['outcome']}{reason}", markup=False)
        if step["tests"]:
            table = _table("  signal", "value", "removed if", "reason", "")
            for test in step["tests"]:
                value = f"{test['value']:.4g}" if isinstance(test["value"], float) else str(test["value"])
                mark = "<- removes it" if test["fired"] else ""
                table.add_row(f"  {test['column']}", value, test["removes_if"], test["reason"], mark)
            console.print(table)
    label = "text" if story["outcome"] == "kept" else "beginning of the text"
    console.print(f"\n{label}:\n{story['text']}", markup=False)
