"""Sections that show what a run measured: signals and their cut-offs, examples of removed pages, loss, scores."""

import math
from collections.abc import Sequence
from typing import Any

from tamis.report.charts import Cut, ForestRow, Histogram, Line, Mark, forest, histogram, lines
from tamis.report.collect import RunView, StageView
from tamis.report.formats import (
    THIN,
    count,
    escape,
    fixed,
    places_for,
    plural,
    real,
    safe_link,
    threshold,
    tick,
    words,
)
from tamis.report.scores import Comparison, Difference, Score, as_dict, as_list, number, whole
from tamis.report.tables import Row, disclosure, table

LOSS_TAIL = 0.05
"""Share of the last training steps whose mean loss is quoted; one batch is too noisy a number."""


def signals(run: RunView) -> str:
    """Histograms of every stage of one run, and the rules that have none; '' when no stage measured anything."""
    out = []
    for stage in run.stages:
        rules = [as_dict(rule) for rule in as_list(stage.details.get("rules"))]
        figures, drawn = [], set()
        for column, entry in as_dict(stage.details.get("histograms")).items():
            chart = read_histogram(column, as_dict(entry), rules)
            if chart is not None:
                drawn.add(column)
                figures.append(_histogram_figure(chart, column, rules, stage))
        if figures:
            out.append(f'<h4>{escape(words(stage.name))}</h4><div class="multiples">{"".join(figures)}</div>\n')
        if rules:
            summary = f"All rules of {escape(words(stage.name))} <small>{len(rules)}</small>"
            out.append(disclosure(summary, _rules_table(stage, rules)))
    return "".join(out)


def read_histogram(column: str, entry: dict[str, Any], rules: Sequence[dict[str, Any]]) -> Histogram | None:
    """None when the card's entry cannot be drawn."""
    low, high, counts = number(entry.get("low")), number(entry.get("high")), as_list(entry.get("counts"))
    log = bool(entry.get("log"))
    if not (math.isfinite(low) and math.isfinite(high) and low < high and len(counts) >= 3) or (log and low <= 0):
        return None
    cuts = [
        Cut(op=str(rule.get("op")), threshold=number(rule.get("threshold")), reason=str(rule.get("reason")))
        for rule in rules
        if rule.get("column") == column and math.isfinite(number(rule.get("threshold")))
    ]
    return Histogram(
        label=str(entry.get("label") or words(column)), low=low, high=high, log=log,
        counts=[max(0, whole(value)) for value in counts], cuts=cuts,
    )  # fmt: skip


def _histogram_figure(chart: Histogram, column: str, rules: Sequence[dict[str, Any]], stage: StageView) -> str:
    says = []
    for cut in chart.cuts:
        amount = stage.removed.get(cut.reason)
        gone = f": {count(amount.rows)}" if amount else ""
        says.append(f"<span class=\"cut-text\">{escape(cut.op)}{THIN}{threshold(cut.threshold)}</span> "
                    f"{escape(words(cut.reason))}{gone}")  # fmt: skip
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
        limit = rule.get("threshold")
        shown = threshold(number(limit)) if math.isfinite(number(limit)) else escape(limit)
        test = f"{escape(rule.get('column'))} {escape(rule.get('op'))} {shown}"
        amount = stage.removed.get(reason)
        gone = count(amount.rows) if amount else "0"
        cells = [escape(reason), f"<code>{test}</code>", escape(rule.get("source") or ""), gone]
        rows.append(Row(cells=cells))
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
    deciding = [
        as_dict(r) for r in as_list(stage.details.get("rules")) if as_dict(r).get("reason") == item.get("reason")
    ]
    measured = as_dict(item.get("signals"))
    tests = {str(rule.get("column")): rule for rule in deciding}
    names = [name for name in measured if name in tests] + [name for name in measured if name not in tests]
    facts = []
    for name in names:
        value = measured[name]
        shown = real(number(value)) if math.isfinite(number(value)) else escape(value)
        rule = tests.get(name)
        if rule is None:
            facts.append(f"<span>{escape(name)}{THIN}={THIN}{shown}</span>")
        else:
            limit = number(rule.get("threshold"))
            against = threshold(limit) if math.isfinite(limit) else escape(rule.get("threshold"))
            test = f"{escape(rule.get('op'))}{THIN}{against}"
            facts.append(f"<b>{escape(name)}{THIN}={THIN}{shown} <small>({test})</small></b>")
    excerpt = str(item.get("excerpt") or "")
    quoted = (
        f'<blockquote dir="auto">{escape(excerpt)}</blockquote>' if excerpt.strip() else '<p class="quiet">no text</p>'
    )
    signals_line = f'<p class="under facts-line">{" ".join(facts)}</p>' if facts else ""
    return f'<article><p class="url">{safe_link(str(item.get("url") or ""))}</p>{quoted}{signals_line}</article>'


def losses(runs: Sequence[RunView], kinds: dict[str, str]) -> str:
    """Training loss of all runs on one chart; '' when none has trained."""
    axis = "tokens" if any(run.losses and run.loss_axis == "tokens" for run in runs) else "step"
    trained = [run for run in runs if run.losses and run.loss_axis == axis]
    finite = [run for run in trained if any(math.isfinite(y) for _, y in run.losses)]
    if not finite:
        return ""
    curves = [
        Line(label=run.label, kind=kinds[run.label], points=[p for p in run.losses if math.isfinite(p[1])])
        for run in finite
    ]
    keys = "".join(
        f'<li class="{curve.kind}">{escape(curve.label)} <b>{fixed(_tail(curve), 3)}</b></li>' for curve in curves
    )
    spoken = "; ".join(f"{curve.label} ends at {fixed(_tail(curve), 3)}" for curve in curves)
    x_label = "tokens seen" if axis == "tokens" else "optimizer steps"
    chart = lines(curves, x_label=x_label, y_label="nats per token", label=f"Training loss. {spoken}")
    return (
        f'<figure class="wide"><figcaption>Training loss <small>mean of the last {round(100 * LOSS_TAIL)}{THIN}% in '
        f"bold</small></figcaption>"
        f'<ul class="keys">{keys}</ul>{chart}</figure>\n'
        '<p class="note">Each run is measured on its own training data: a lower curve means easier data as much as a '
        "better model. Compare runs by their scores on held-out pages.</p>\n"
    )


def _tail(curve: Line) -> float:
    tail = curve.points[-max(1, round(len(curve.points) * LOSS_TAIL)) :]
    return sum(y for _, y in tail) / len(tail)


def comparison_plot(comparison: Comparison) -> str:
    """Forest plots, one per metric, of how much better the candidate is."""
    out = []
    for metric in dict.fromkeys(d.metric for d in comparison.differences):
        chosen = [d for d in comparison.differences if d.metric == metric]
        rows = [_difference_row(d) for d in chosen]
        spoken = "; ".join(f"{row.label}: {row.text}" for row in rows)
        chart = forest(
            rows, x_label=f"{comparison.candidate} better →", x_left=f"← {comparison.baseline} better", zero=True,
            label=f"Gain of {comparison.candidate} over {comparison.baseline} in {unit(metric)}. {spoken}",
        )  # fmt: skip
        names = f"{escape(comparison.candidate)} over {escape(comparison.baseline)}, {level_text(comparison)} interval"
        caption = f"Gain in {escape(unit(metric))} <small>{names}</small>"
        out.append(f'<figure class="wide"><figcaption>{caption}</figcaption>{chart}</figure>\n')
    return "".join(out)


def level_text(comparison: Comparison) -> str:
    """`95 %`."""
    return f"{tick(100 * comparison.level)}{THIN}%" if math.isfinite(comparison.level) else "confidence"


def comparison_table(comparison: Comparison) -> str:
    """The numbers behind the forest plot."""
    rows = []
    for entry in comparison.differences:
        p_value = (
            "–" if math.isnan(entry.p_value) else f"<{THIN}0.001" if entry.p_value < 0.001 else fixed(entry.p_value, 3)
        )
        places = places_for(entry.high - entry.low)
        cells = [
            f"{escape(words(entry.task))} <small>{escape(unit(entry.metric))}</small>",
            fixed(entry.baseline, places), fixed(entry.candidate, places), gain_text(entry, signed=True), p_value,
            count(entry.num_items), escape(entry.drawn) or "–",
        ]  # fmt: skip
        rows.append(Row(cells=cells))
    heads = ["Task", comparison.baseline, comparison.candidate, "Gain [interval]", "p", "Items", "Drawn by"]
    caption = f"{comparison.candidate} compared with {comparison.baseline}"
    return disclosure("The numbers", table(caption, heads, rows))


def _difference_row(difference: Difference) -> ForestRow:
    text = gain_text(difference, signed=True)
    kind = "clear" if difference.clear and difference.gain > 0 else "worse" if difference.clear else "unclear"
    name = words(difference.task) or unit(difference.metric)
    mark = Mark(kind=kind, value=difference.gain, low=difference.low, high=difference.high, title=f"{name}: {text}")
    return ForestRow(label=name, marks=[mark], text=text)


def gain_text(difference: Difference, signed: bool = False) -> str:
    """`+0.12 [0.10, 0.14]`, all with the decimal places that the interval deserves."""
    places = places_for(difference.high - difference.low)
    text = fixed(difference.gain, places, signed)
    if math.isfinite(difference.low) and math.isfinite(difference.high):
        text += f" [{fixed(difference.low, places)}, {fixed(difference.high, places)}]"
    return text


def unit(metric: str) -> str:
    return {"bpb": "bits per byte"}.get(metric, words(metric))


def scores(runs: Sequence[RunView], kinds: dict[str, str]) -> str:
    """Every score of every run: plots by metric, then one table; '' when nothing was evaluated."""
    scored = [run for run in runs if run.scores]
    if not scored:
        return ""
    keys = "".join(f'<li class="{kinds[run.label]}">{escape(run.label)}</li>' for run in scored)
    out = [f'<ul class="keys">{keys}</ul>']
    for metric in dict.fromkeys(score.metric for run in scored for score in run.scores):
        tasks = dict.fromkeys(s.task for run in scored for s in run.scores if s.metric == metric)
        rows = [_score_row(task, metric, scored, kinds) for task in tasks]
        higher = next(s.higher_is_better for run in scored for s in run.scores if s.metric == metric)
        better = "higher is better →" if higher else "← lower is better"
        spoken = "; ".join(f"{row.label}: " + ", ".join(mark.title for mark in row.marks) for row in rows)
        chart = forest(rows, x_label=f"{unit(metric)}, {better}", label=f"{unit(metric)}. {spoken}", zero=False)
        out.append(
            f'<figure class="wide"><figcaption>{escape(unit(metric).capitalize())}</figcaption>{chart}</figure>\n'
        )
    return "".join(out) + _score_table(scored)


def _score_row(task: str, metric: str, runs: Sequence[RunView], kinds: dict[str, str]) -> ForestRow:
    marks = []
    for run in runs:
        for score in run.scores:
            if score.task == task and score.metric == metric:
                title = f"{run.label} {_score_text(score)}"
                value = fixed(score.value, min(4, places_for(score.high - score.low)))
                marks.append(Mark(
                    kind=kinds[run.label], value=score.value, low=score.low, high=score.high, title=title, text=value,
                ))  # fmt: skip
    return ForestRow(label=words(task), marks=marks)


def _score_text(score: Score) -> str:
    places = min(4, places_for(score.high - score.low))
    text = fixed(score.value, places)
    if math.isfinite(score.low) and math.isfinite(score.high):
        text += f" [{fixed(score.low, places)}, {fixed(score.high, places)}]"
    return text


def _score_table(runs: Sequence[RunView]) -> str:
    found = {(score.task, score.metric): score for run in runs for score in run.scores}
    chance = any(math.isfinite(score.chance) for score in found.values())
    rows = []
    for (task, metric), any_score in found.items():
        cells = [f"{escape(words(task))} <small>{escape(unit(metric))}</small>"]
        for run in runs:
            own = [s for s in run.scores if (s.task, s.metric) == (task, metric)]
            cells.append(_score_text(own[0]) if own else "–")
        if chance:
            cells.append(fixed(any_score.chance, 2) if math.isfinite(any_score.chance) else "–")
        sizes = [s.num_items for run in runs for s in run.scores if (s.task, s.metric) == (task, metric)]
        cells.append(count(max(sizes)) if max(sizes) else "–")
        rows.append(Row(cells=cells))
    heads = ["Task", *(run.label for run in runs), *(["Chance"] if chance else []), "Items"]
    names = plural(len(runs), "run")
    return table(f"Scores with intervals of {names}", heads, rows)
