"""Outcomes of training: loss curves, scores with intervals, and the comparison of two runs."""

import math
from collections.abc import Sequence

from tamis.report.charts import ForestRow, Line, Mark, forest, lines
from tamis.report.collect import RunView
from tamis.report.formats import THIN, count, escape, fixed, places_for, plural, short_count, tick, words
from tamis.report.scores import Comparison, Difference, Score, as_dict, whole
from tamis.report.tables import Row, disclosure, table

LOSS_TAIL = 0.05
"""Share of the last training steps whose mean loss is quoted; one batch is too noisy a number."""


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
        "better model. Compare runs by their scores on held-out pages. The first steps may lie above the picture.</p>\n"
    )


def models(runs: Sequence[RunView]) -> str:
    """What was trained, from the cards of the checkpoints; '' when nothing was."""
    rows = []
    for run in runs:
        details = as_dict(as_dict(run.cards.get("train")).get("details"))
        tokens, available = whole(details.get("tokens")), whole(details.get("dataset_tokens"))
        if not details:
            continue
        cells = [
            escape(run.label), escape(details.get("scale", "–")), short_count(whole(details.get("num_params"))),
            count(whole(details.get("steps"))), short_count(tokens), short_count(available),
            fixed(tokens / available, 2) if available else "–",
        ]  # fmt: skip
        rows.append(Row(cells=cells))
    heads = ["Model", "Scale", "Parameters", "Steps", "Tokens seen", "Tokens of its data", "Epochs"]
    return table("Models that were trained", heads, rows, numeric_from=2) if rows else ""


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
    """`+0.12 [0.10, 0.14]`, with the decimal places that the interval deserves, and those that keep a clear difference
    from reading as one that touches zero."""
    places = places_for(difference.high - difference.low)
    while difference.clear and places < 6 and 0 in (round(difference.low, places), round(difference.high, places)):
        places += 1
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
    note = (
        '<p class="note">These intervals hold how much easier or harder other pages would have been for both runs, '
        "and may overlap where the paired difference is clear: to compare two runs, read their difference.</p>\n"
    )
    return "".join(out) + (note if len(scored) > 1 else "") + _score_table(scored)


def _score_row(task: str, metric: str, runs: Sequence[RunView], kinds: dict[str, str]) -> ForestRow:
    marks = []
    for run in runs:
        for score in run.scores:
            if score.task == task and score.metric == metric:
                title = f"{run.label} {_score_text(score)}"
                value = fixed(score.value, _places(score))
                marks.append(Mark(
                    kind=kinds[run.label], value=score.value, low=score.low, high=score.high, title=title, text=value,
                ))  # fmt: skip
    return ForestRow(label=words(task), marks=marks)


def _places(score: Score) -> int:
    """Decimal places of a score: never so few that two runs read the same at a glance."""
    return min(4, max(2, places_for(score.high - score.low)))


def _score_text(score: Score) -> str:
    places = _places(score)
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
