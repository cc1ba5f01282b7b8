"""The sections made from stored rows: languages, hosts and lengths before and after, and pages that were kept or lie
next to a threshold.

Numbers by source that cards carry for every document belong here too, before the tables of the sample.
"""

import math
from collections import Counter
from typing import Any

from tamis.report.charts import Histogram, histogram
from tamis.report.collect import RunView
from tamis.report.documents import DocumentsView, Side
from tamis.report.formats import THIN, count, escape, percent, plural, size, words
from tamis.report.scores import number, whole
from tamis.report.signals import article, limit, shown, sign
from tamis.report.tables import TableRow, disclosure, table

MOST_LANGUAGES, MOST_HOSTS = 12, 12
MOST_BORDERS = 10
"""Largest number of rules whose borders are shown: those that removed most."""
LENGTH_BINS, LEAST_BYTES, MOST_BYTES = 36, 10.0, 1e7
NEAREST = 3
"""Number of rules that are shown of a page that was kept: those with the nearest thresholds."""


def contents(run: RunView) -> str:
    """Languages, hosts and lengths of one run before and after; '' when its rows were not read."""
    view = run.documents
    if view is None or not view.before.documents:
        return ""
    before, after = view.before, view.after
    note = (
        f'<p class="note">Every document of {count(view.shards)} of {plural(view.of_shards, "shard")}, evenly spread: '
        f"{count(before.documents)} that entered the run, {count(after.documents)} that it kept. Languages are those "
        "that the run measured; documents that were removed before have none.</p>\n"
    )
    out = _lengths(view)
    if before.languages:
        out += _shares("Languages", "Language", before, after, "languages", MOST_LANGUAGES)
    out += _shares("Hosts", "Host", before, after, "hosts", MOST_HOSTS)
    return note + out


def _shares(caption: str, head: str, before: Side, after: Side, name: str, most: int) -> str:
    """The largest groups of documents before and after, and the share of each group that was kept."""
    entered: Counter[str] = getattr(before, name)
    kept: Counter[str] = getattr(after, name)
    ordered = sorted(entered, key=lambda group: (-entered[group], group))
    rows = [_share_row(escape(group), entered[group], kept[group], before, after) for group in ordered[:most]]
    if others := ordered[most:]:
        gone = sum(entered[group] for group in others), sum(kept[group] for group in others)
        rows.append(_share_row(f"{count(len(others))} others", *gone, before, after))
    heads = [head, "Before", "of all", "After", "of all", "Kept"]
    return f"<h4>{caption} <small>{count(len(entered))}</small></h4>{table(caption, heads, rows)}"


def _share_row(name: str, entered: int, kept: int, before: Side, after: Side) -> TableRow:
    cells = [
        name, count(entered), percent(entered, before.documents), count(kept), percent(kept, after.documents),
        percent(kept, entered),
    ]  # fmt: skip
    return TableRow(cells=cells)


def _lengths(view: DocumentsView) -> str:
    """Histograms of the lengths of texts, and their quantiles."""
    sides = [(f"text after {words(view.text_from.partition('_')[2])}", view.before.lengths)] if view.text_from else []
    sides.append(("text that was kept", view.after.lengths))
    sides = [(name, sorted(lengths)) for name, lengths in sides if lengths]
    if not sides:
        return ""
    figures, rows = "", []
    for name, lengths in sides:
        chart = Histogram(label=name, low=LEAST_BYTES, high=MOST_BYTES, log=True, counts=_binned(lengths))
        figures += (
            f'<figure><figcaption><span class="title">{escape(name)}</span> <small>bytes, log axis</small></figcaption>'
            f"{histogram(chart)}</figure>"
        )
        places = [lengths[min(len(lengths) - 1, int(share * len(lengths)))] for share in (0.1, 0.5, 0.9)]
        cells = [size(value) for value in (*places, sum(lengths) / len(lengths))]
        rows.append(TableRow(cells=[escape(name), count(len(lengths)), *cells]))
    heads = ["Length", "Documents", "tenth percentile", "median", "ninetieth", "mean"]
    return f'<h4>Lengths</h4><div class="multiples">{figures}</div>\n{table("Lengths of texts", heads, rows)}'


def _binned(lengths: list[int]) -> list[int]:
    """Counts below the range, in its bins, and above it."""
    counts = [0] * (LENGTH_BINS + 2)
    for length in lengths:
        share = math.log(length / LEAST_BYTES) / math.log(MOST_BYTES / LEAST_BYTES) if length else -1.0
        counts[0 if share < 0 else min(LENGTH_BINS + 1, 1 + int(share * LENGTH_BINS))] += 1
    return counts


def kept_examples(run: RunView) -> str:
    """Pages that the run kept, drawn at random; '' when its rows were not read."""
    view = run.documents
    if view is None or not view.kept:
        return ""
    items = "".join(article(page["url"], page["text"], _nearest(page)) for page in view.kept)
    summary = f"kept <small>{count(len(view.kept))} of {count(view.after.documents)} shown, drawn at random</small>"
    return disclosure(summary, f'<div class="examples">{items}</div>', kind="example-group", open_=True)


def _nearest(page: dict[str, Any]) -> list[str]:
    """The rules whose thresholds are nearest to a page's values, relative to the threshold."""
    found = []
    for test in (test for step in page["steps"] for test in step["tests"]):
        op, _, against = test["removes_if"].partition(" ")
        if op in ("<", "<=", ">", ">=") and math.isfinite(value := number(test["value"])):
            bound = number(float(against))
            fact = f"{escape(test['column'])}{THIN}={THIN}{shown(value)} (removed where {sign(op)}{THIN}{limit(bound)})"
            found.append((abs(value - bound) / (abs(bound) or 1.0), fact))
    return [fact for _, fact in sorted(found)[:NEAREST]]


def border_examples(run: RunView) -> str:
    """Pages next to the thresholds of the rules that removed most; '' when its rows were not read."""
    view = run.documents
    if view is None or not view.borders:
        return ""
    removed = {(stage.folder, reason): amount.rows for stage in run.stages for reason, amount in stage.removed.items()}
    ordered = sorted(view.borders, key=lambda rule: -whole(removed.get((rule["step"], rule["reason"]), 0)))
    return "".join(_border(rule, removed.get((rule["step"], rule["reason"]), 0)) for rule in ordered[:MOST_BORDERS])


def _border(rule: dict[str, Any], removed: int) -> str:
    items = ""
    for side in ("removed", "kept"):
        for page in rule[side]:
            fact = f"<b>{side}: {escape(rule['column'])}{THIN}={THIN}{limit(page['value'])}</b>"
            items += article(page["url"], page["text"], [fact])
    test = f"{escape(rule['column'])} {sign(rule['op'])}{THIN}{limit(rule['threshold'])}"
    if "among" in rule:
        test += f" ({escape(rule['among'][0])} {limit(rule['among'][-1])})"
    summary = f"{escape(words(rule['reason']))} <small>removed where {test} · {count(removed)} removed</small>"
    return disclosure(summary, f'<div class="examples">{items}</div>', kind="example-group")
