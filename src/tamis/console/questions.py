"""The output of `tamis sample` and `tamis diff`: pages with the signals that decided, and two runs side by side."""

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from tamis.console.formats import count_text, reasons_text
from tamis.console.tables import plain_table, print_survivor, value_text, wide_console

BEGINNING = 240
"""Characters of a page's text that are shown."""
NEAREST = 3
"""Number of rules that are shown of a page that was kept: those with the nearest thresholds."""


def print_samples(groups: Sequence[dict[str, Any]]) -> None:
    """The groups of `tamis sample`, each under its outcome, step and reason."""
    console = wide_console()
    for group in groups:
        what = f"{group['step']}: {group['reason']}" if group["reason"] else f"kept by the run ({group['step']})"
        shown = f"{len(group['pages']):,} of {count_text(group['total'], 'page')}"
        console.print(f"\n{what}: {shown}", soft_wrap=True)
        for page in group["pages"]:
            _print_page(console, page)


def print_borderline(rules: Sequence[dict[str, Any]]) -> None:
    """The pages nearest to each threshold, those that were removed before those that were kept."""
    console = wide_console()
    for rule in rules:
        among = f" ({rule['among'][0]} {rule['among'][1]})" if "among" in rule else ""
        test = f"{rule['column']} {rule['op']} {value_text(rule['threshold'])}{among}"
        console.print(f"\n{rule['step']}: {rule['reason']} removes where {test}", soft_wrap=True)
        for side in ("removed", "kept"):
            for page in rule[side]:
                console.print(f"  {side}, {rule['column']} = {value_text(page['value'])}", soft_wrap=True)
                _print_address(console, page)


def _print_page(console: Console, page: dict[str, Any]) -> None:
    _print_address(console, page)
    last = page["steps"][-1]
    tests = last["tests"] if page["outcome"] == "removed" else [t for step in page["steps"] for t in step["tests"]]
    decided = [test for test in tests if test["fired"]] if page["outcome"] == "removed" else _nearest(tests)
    for test in decided:
        mark = " <- removes it" if test["reason"] == last["reason"] else ""
        console.print(
            f"    {test['column']} = {value_text(test['value'])}, {test['reason']} where {test['removes_if']}{mark}",
            soft_wrap=True,
        )
    if page["outcome"] == "quarantined":
        console.print(f"    {last['reason']}", soft_wrap=True)
    if last.get("survivor"):
        print_survivor(console, last["survivor"])


def _print_address(console: Console, page: dict[str, Any]) -> None:
    address = " ".join(page["url"].split()) or "(no URL)"  # on one line, whatever it holds
    console.print(f"  {address}  id {page['id']}", soft_wrap=True)
    beginning = " ".join(page["text"][: 4 * BEGINNING].split())[:BEGINNING]
    console.print(f"    {beginning or '(no text)'}", soft_wrap=True)


def _nearest(tests: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rules whose thresholds are nearest to the values of a page, relative to the threshold."""
    found = []
    for test in tests:
        op, _, limit = test["removes_if"].partition(" ")
        if op in ("<", "<=", ">", ">=") and isinstance(test["value"], int | float):
            distance = abs(test["value"] - float(limit)) / (abs(float(limit)) or 1.0)
            found.append((distance, test["reason"], test))
    return [test for _, _, test in sorted(found, key=lambda item: item[:2])[:NEAREST]]


def print_diff(found: dict[str, Any]) -> None:
    """What `tamis diff` found: settings, versions, accounting, and the pages that only one run kept."""
    console, names = wide_console(), found["names"]
    if not found["same_pool"]:
        console.print(
            "The runs are of different pools, or of different parts of one: pages are matched by id, else by URL.",
            soft_wrap=True,
        )
    if found["settings"]:
        console.print(_values_table("setting", names, found["settings"], "setting"))
    else:
        console.print("The recipes have the same settings.")
    if found["versions"]:
        console.print()
        console.print(_values_table("version of", names, found["versions"], "what"))
    console.print()
    console.print(_steps_table(names, found["steps"]))
    console.print()
    console.print(_pages_table(names, found["pages"]))
    for side, keeper, loser in (("lost", *names), ("gained", *reversed(names))):
        total = sum(each["pages"] for each in found[side])
        console.print(f"\nkept by {keeper}, not by {loser}: {count_text(total, 'page')}", soft_wrap=True)
        if found[side]:
            console.print(_taken_table(loser, keeper, found[side]))
        for each in found[side]:
            for page in each["samples"]:
                console.print(f"\n  {each['step']}: {each['reason']}", soft_wrap=True)
                _print_page(console, page)


def _values_table(head: str, names: Sequence[str], rows: Sequence[dict[str, Any]], key: str) -> Table:
    table = plain_table(head, *names)
    for row in rows:
        table.add_row(row[key], *(_setting_text(value) for value in row["values"]))
    return table


def _setting_text(value: Any) -> str:
    if value is None:
        return "not set"
    if isinstance(value, bool):
        return "true" if value else "false"
    return ", ".join(map(str, value)) if isinstance(value, list) and value else str(value)


def _steps_table(names: Sequence[str], steps: Sequence[dict[str, Any]]) -> Table:
    """Per step what came in, was kept and removed, in both runs; `same` where they share the work."""
    table = plain_table("step")
    for name in names:
        for what in ("in", "kept", "removed"):
            table.add_column(f"{name}: {what}", justify="right")
    table.add_column("reasons that differ")
    for step in steps:
        cells = []
        for side in step["sides"]:
            cells += ["-"] * 3 if side is None else [f"{side['in']:,}", f"{side['kept']:,}", f"{_gone(side):,}"]
        table.add_row(step["name"], *cells, "the same work" if step["same"] else _differing(step["sides"]))
    return table


def _gone(side: dict[str, Any]) -> int:
    return int(side["in"] - side["kept"])


def _differing(sides: Sequence[dict[str, Any] | None]) -> str:
    """Reasons whose numbers differ, with both numbers, the largest difference first."""
    counts = [({**side["removed"], **side["quarantined"]} if side else {}) for side in sides]
    pairs = {name: tuple(each.get(name, 0) for each in counts) for name in dict.fromkeys([*counts[0], *counts[1]])}
    changed = {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}
    ordered = sorted(changed, key=lambda name: (-abs(changed[name][0] - changed[name][1]), name))
    shown = [f"{name} {changed[name][0]:,} / {changed[name][1]:,}" for name in ordered[:5]]
    return ", ".join(shown) + (f" and {len(ordered) - 5} more" if len(ordered) > 5 else "")


def _pages_table(names: Sequence[str], pages: dict[str, Any]) -> Table:
    table = plain_table("pages")
    table.add_column("number", justify="right")
    table.add_row("in both pools", f"{pages['by_id'] + pages['by_url']:,}")
    if pages["by_url"]:
        table.add_row("  of these, matched by URL", f"{pages['by_url']:,}")
    table.add_row("kept by both", f"{pages['kept_by_both']:,}")
    table.add_row(f"kept by {names[0]} alone", f"{pages['only_in_first']:,}")
    table.add_row(f"kept by {names[1]} alone", f"{pages['only_in_second']:,}")
    table.add_row("kept by none", f"{pages['kept_by_none']:,}")
    for name, alone in zip(names, pages["not_in_other_pool"], strict=True):
        if alone["pages"]:
            table.add_row(f"only in the pool of {name} (kept)", f"{alone['pages']:,} ({alone['kept']:,})")
    return table


def _taken_table(loser: str, keeper: str, taken: Sequence[dict[str, Any]]) -> Table:
    table = plain_table(f"step of {loser}", "reason")
    for name in ("pages", "by this rule alone", "not all measured"):
        table.add_column(name, justify="right")
    for name in ("removed where", f"in {keeper}", "other rules that hold as well"):
        table.add_column(name)
    for each in taken:
        there = each["rule_there"]
        same = "the same" if there and there == each["rule"] else there or ("no such rule" if each["rule"] else "")
        alone = f"{each['alone']:,}" if each["rule"] else ""
        unsure = f"{each['unsure']:,}" if each["rule"] else ""
        table.add_row(
            each["step"], each["reason"], f"{each['pages']:,}", alone, unsure, each["rule"], same,
            reasons_text(each["others"]),
        )  # fmt: skip
    return table
