"""Signals with their cut-offs, and examples of what the cut-offs removed, to judge whether a threshold is good."""

import math
from collections.abc import Sequence
from typing import Any

from tamis.report.charts import CutOff, Histogram, histogram
from tamis.report.collect import RunView, StageView
from tamis.report.formats import THIN, count, escape, measured, safe_link, threshold, words
from tamis.report.scores import as_dict, as_list, number, whole
from tamis.report.tables import TableRow, definitions, disclosure, table

SIGNS = {"<=": "≤", ">=": "≥", "!=": "≠", "==": "=", "not_in": "not in"}
MOST_OTHER_SIGNALS = 6
"""Number of signals that are shown of an example whose reason is not a rule on a signal."""


def signals(run: RunView) -> str:
    """Histograms, decisions and rules of every stage of one run; '' when there are none."""
    out = []
    for stage in run.stages:
        rules = [as_dict(rule) for rule in as_list(stage.details.get("rules"))]
        charts = [
            (column, chart)
            for column, entry in as_dict(stage.details.get("histograms")).items()
            if (chart := read_histogram(column, as_dict(entry), rules)) is not None
        ]
        charts.sort(key=lambda item: (-_removed(item[1], stage), not item[1].cuts, item[0]))
        figures = "".join(_histogram_figure(chart, column, stage) for column, chart in charts)
        body = f'<div class="multiples">{figures}</div>\n' if figures else ""
        decided = as_dict(stage.details.get("decisions"))
        facts = [
            (words(name.removeprefix("num_")), limit(value))
            for name, value in sorted(decided.items())
            if _is_plain(value)
        ]
        body += definitions(facts) if facts else ""
        if rules:
            summary = f"All rules of {escape(words(stage.name))} <small>{len(rules)}</small>"
            body += disclosure(summary, _rules_table(stage, rules))
        if body:
            out.append(f"<h4>{escape(words(stage.name))}</h4>{body}")
    if not out:
        return ""
    note = (
        '<p class="note">Every document that entered the stage; what removed most comes first. Heights grow with the '
        "square root of the count, so that tails can be seen. Shaded: what the rule removes.</p>\n"
    )
    return note + "".join(out)


def _removed(chart: Histogram, stage: StageView) -> int:
    return sum(stage.removed[cut.reason].rows for cut in chart.cuts if cut.reason in stage.removed)


def _is_plain(value: Any) -> bool:
    return isinstance(value, str | int | float) and not isinstance(value, bool)


def shown(value: Any) -> str:
    """A number of a card, formatted for reading; any other value as escaped text."""
    return measured(number(value)) if math.isfinite(number(value)) else escape(value)


def limit(value: Any) -> str:
    """A rule's threshold without rounding: a number, a text, or a list of these."""
    if isinstance(value, list):
        return ", ".join(map(limit, value))
    return threshold(number(value)) if math.isfinite(number(value)) else escape(value)


def sign(op: Any) -> str:
    return escape(SIGNS.get(str(op), op))


def read_histogram(column: str, entry: dict[str, Any], rules: Sequence[dict[str, Any]]) -> Histogram | None:
    """None when the card's entry cannot be drawn."""
    low, high, counts = number(entry.get("low")), number(entry.get("high")), as_list(entry.get("counts"))
    log = bool(entry.get("log"))
    if not (math.isfinite(low) and math.isfinite(high) and low < high and len(counts) >= 3) or (log and low <= 0):
        return None
    cuts = [
        CutOff(op=str(rule.get("op")), threshold=number(rule.get("threshold")), reason=str(rule.get("reason")))
        for rule in rules
        if rule.get("column") == column and math.isfinite(number(rule.get("threshold")))
    ]
    return Histogram(
        label=str(entry.get("label") or words(column)), low=low, high=high, log=log,
        counts=[max(0, whole(value)) for value in counts], cuts=cuts,
    )  # fmt: skip


def _histogram_figure(chart: Histogram, column: str, stage: StageView) -> str:
    says = []
    for cut in chart.cuts:
        amount = stage.removed.get(cut.reason)
        gone = f": {count(amount.rows)}" if amount else ""
        test = f'<span class="cut-text">{sign(cut.op)}{THIN}{threshold(cut.threshold)}</span>'
        says.append(f"{test} {escape(words(cut.reason))}{gone}")
    under = "removed " + "; ".join(says) if says else "no rule on this signal"
    title = f'<span class="title">{escape(chart.label)}</span>'
    axis = " <small>log axis</small>" if chart.log else ""
    return (
        f'<figure title="{escape(column)}"><figcaption>{title}{axis}</figcaption>{histogram(chart)}'
        f'<p class="under">{under}</p></figure>'
    )


def _rules_table(stage: StageView, rules: Sequence[dict[str, Any]]) -> str:
    rows = []
    for rule in rules:
        reason = str(rule.get("reason"))
        test = f"{escape(rule.get('column'))} {sign(rule.get('op'))} {limit(rule.get('threshold'))}"
        if among := as_list(rule.get("among")):
            test += f" ({escape(among[0])} {limit(among[-1])})"
        amount = stage.removed.get(reason)
        gone = count(amount.rows) if amount else "0"
        rows.append(TableRow(cells=[escape(reason), f"<code>{test}</code>", escape(rule.get("source") or ""), gone]))
    return table(f"Rules of {stage.name}", ["Reason", "Removed where", "Source", "Removed"], rows, numeric_from=3)


def examples(run: RunView) -> str:
    """Removed pages by stage and reason; '' when the cards hold none."""
    out = []
    for stage in run.stages:
        by_reason: dict[str, list[dict[str, Any]]] = {}
        for item in map(as_dict, as_list(stage.details.get("examples"))):
            by_reason.setdefault(str(item.get("reason") or "removed"), []).append(item)
        order = list(stage.removed)
        for reason in sorted(by_reason, key=lambda r: (order.index(r) if r in order else len(order), r)):
            amount = stage.removed.get(reason) or stage.quarantined.get(reason)
            total = f" of {count(amount.rows)}" if amount else ""
            items = "".join(_example(item, stage) for item in by_reason[reason])
            summary = (
                f"{escape(words(reason))} <small>{escape(words(stage.name))} · "
                f"{len(by_reason[reason])}{total} shown</small>"
            )
            out.append(disclosure(summary, f'<div class="examples">{items}</div>', kind="example-group"))
    return "".join(out)


def _example(item: dict[str, Any], stage: StageView) -> str:
    """Address, excerpt, and the signals that decided (or, where none did, the first few)."""
    rules = [as_dict(rule) for rule in as_list(stage.details.get("rules"))]
    tests = {str(rule.get("column")): rule for rule in rules if rule.get("reason") == item.get("reason")}
    values = as_dict(item.get("signals"))
    facts = [
        f"<b>{escape(name)}{THIN}={THIN}{limit(values[name])}</b> (removed where "
        f"{sign(rule.get('op'))}{THIN}{limit(rule.get('threshold'))})"
        for name, rule in tests.items()
        if name in values
    ]
    if not facts:
        facts = [f"{escape(name)}{THIN}={THIN}{shown(values[name])}" for name in list(values)[:MOST_OTHER_SIGNALS]]
    return article(str(item.get("url") or ""), str(item.get("excerpt") or ""), facts)


def article(url: str, excerpt: str, facts: Sequence[str]) -> str:
    """One page: its address, the beginning of its text, and facts about it, which are HTML."""
    line = "".join(f"<span>{fact}</span>" for fact in facts)
    quoted = f'<blockquote dir="auto">{escape(excerpt)}</blockquote>'
    quoted = quoted if excerpt.strip() else '<p class="under quiet">no text</p>'
    decided = f'<p class="under facts-line">{line}</p>' if line else ""
    return f'<article><p class="url">{safe_link(url)}</p>{quoted}{decided}</article>'
