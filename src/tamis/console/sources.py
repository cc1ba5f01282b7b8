"""What each step took of each source (host, input, folder of inputs, language), as `tamis status` shows it."""

from collections.abc import Iterable, Sequence
from typing import Any

from rich.table import Table

from tamis.base.cards import Card
from tamis.base.errors import ConfigError, did_you_mean
from tamis.console.formats import LARGEST

KINDS = ("host", "input", "folder", "language")
NO_NAME = {"host": "(no host)", "language": "(not detected)"}
"""What is shown in place of an empty name."""
MARK = "worst hit"


def check_kind(by: str) -> str:
    """Raises ConfigError for a kind of source that there is not."""
    if by not in KINDS:
        raise ConfigError(f"--by {by}: no such kind of source{did_you_mean(by, KINDS)}")
    return by


def sources_table(cards: Iterable[tuple[str, Card]], by: str, everything: bool) -> Table | None:
    """A line for each step and source: the largest, then the worst hit among the others, then the rest. Steps that took
    nothing are left out, unless `everything` is asked for. None where no step has such sources."""
    table = Table("stage", by, box=None, pad_edge=False)
    for name in ("in", "kept", "kept share"):
        table.add_column(name, justify="right")
    table.add_column("most went as")
    table.add_column("")
    for step, card in cards:
        accounts = card.details.get("sources", {}).get(by)
        if accounts is None or card.accounting is None:
            continue
        if everything or card.accounting.kept < card.accounting.rows_in:
            for cells in _lines(accounts, by, everything):
                table.add_row(step, *cells)
    return table if table.row_count else None


def _lines(accounts: dict[str, Any], by: str, everything: bool) -> list[Sequence[str]]:
    largest = accounts["largest"] if everything else accounts["largest"][:LARGEST]
    shown = {source["name"] for source in largest}
    worst = [source for source in accounts["worst"] if source["name"] not in shown]
    worst = worst if everything else worst[:LARGEST]
    lines = [_line(source, by, "") for source in largest] + [_line(source, by, MARK) for source in worst]
    left_out = [source for source in accounts["largest"][len(largest) :] if source not in worst]
    small = [source for source in worst if source not in accounts["largest"]]
    rest = {
        key: accounts["rest"][key] + sum(s[key] for s in left_out) - sum(s[key] for s in small)
        for key in ("in", "kept")
    }
    if rest["in"]:
        lines.append(("(all others)", *_numbers(rest), "", "" if everything else "(--all shows more)"))
    return lines


def _line(source: dict[str, Any], by: str, mark: str) -> Sequence[str]:
    gone = source["gone"]
    most = min(gone, key=lambda reason: (-gone[reason], reason), default="")
    told = f"{most} {gone[most]:,}" if most else ""
    return (source["name"] or NO_NAME.get(by, ""), *_numbers(source), told, mark)


def _numbers(counts: dict[str, int]) -> Sequence[str]:
    share = f"{counts['kept'] / counts['in']:.1%}" if counts["in"] else ""
    return f"{counts['in']:,}", f"{counts['kept']:,}", share
