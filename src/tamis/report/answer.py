"""The first section of the report, the answer: which recipe is best, by how much, with which confidence, and what
cannot be concluded."""

import math
from collections.abc import Sequence
from typing import Any

from tamis.report.charts import ForestRow, Mark, forest
from tamis.report.comparison import ComparedTask, Comparison, Gain
from tamis.report.formats import THIN, count, escape, fixed, places_for, plural, tick, words
from tamis.report.scores import HEADLINE_SET, as_dict, split_task
from tamis.report.tables import TableRow, disclosure, table


def answer(comparison: Comparison, heldout: dict[str, Any]) -> str:
    """`heldout`: the held-out sets of the experiment, {set: {recipe, ...}}; empty when nothing is known of them."""
    first = comparison.tasks[0]
    return (
        f'<p class="headline">{_headline(comparison)}</p>\n'
        f'<p class="basis">{_basis(comparison, first)}</p>\n'
        f"{_other_sets(comparison, heldout)}{_forests(comparison)}{_limits(comparison)}{_numbers(comparison)}"
    )


def unit(metric: str) -> str:
    return {"bpb": "bits per byte"}.get(metric, words(metric))


def task_label(task: str) -> str:
    """`documents, held-out set all` for `all/documents`."""
    heldout, name = split_task(task)
    return f"{words(name)}, held-out set {heldout}" if heldout else words(name)


def level_text(comparison: Comparison) -> str:
    """`95 %`."""
    return f"{tick(100 * comparison.level)}{THIN}%" if math.isfinite(comparison.level) else "confidence"


def gain_text(gain: Gain, signed: bool = False) -> str:
    """`+0.12 [0.10, 0.14]`, with as many decimal places as the width of the interval justifies, and enough that the
    interval of a clear difference is not rounded to one that touches zero."""
    places = places_for(gain.high - gain.low)
    apart = gain.low > 0 or gain.high < 0
    while apart and places < 6 and 0 in (round(gain.low, places), round(gain.high, places)):
        places += 1
    text = fixed(gain.gain, places, signed)
    if math.isfinite(gain.low) and math.isfinite(gain.high):
        text += f" [{fixed(gain.low, places)}, {fixed(gain.high, places)}]"
    return text


def value_text(value: float, low: float, high: float) -> str:
    """A score with its interval, with enough decimal places that two different scores look different."""
    places = min(4, max(2, places_for(high - low)))
    text = fixed(value, places)
    if math.isfinite(low) and math.isfinite(high):
        text += f" [{fixed(low, places)}, {fixed(high, places)}]"
    return text


def p_text(p_value: float) -> str:
    return "–" if math.isnan(p_value) else f"<{THIN}0.001" if p_value < 0.001 else fixed(p_value, 3)


def _headline(comparison: Comparison) -> str:
    first = comparison.tasks[0]
    name = escape(unit(first.metric))
    if len(comparison.sides) == 2:
        gain = first.gains[0]
        better, worse = escape(gain.better_of), escape(gain.over)
        if not gain.clear:
            numbers = f'<span class="numbers">{gain_text(gain, signed=True)}</span>'
            return f"<b>No clear difference</b> between {better} and {worse}: {numbers} {name}."
        gain = gain if gain.gain > 0 else gain.reversed()
        numbers = f'<span class="numbers">{gain_text(gain)}</span>'
        return f"<b>{escape(gain.better_of)}</b> is better than {escape(gain.over)} by {numbers} {name}."
    return _headline_of_many(comparison, first, name)


def _headline_of_many(comparison: Comparison, first: ComparedTask, name: str) -> str:
    """The best value, its gain over the baseline, and the other recipes from which it is not clearly different."""
    best, baseline = first.best, comparison.baseline
    others = [other for other in comparison.sides if other != best]
    unclear = [other for other in others if not _beats(first, best, other)]
    value = f'<span class="numbers">{_side_text(first, best)}</span>'
    if not unclear:
        text = f"<b>{escape(best)}</b> is the best of {len(comparison.sides)} recipes: {value} {name}"
    elif len(unclear) == len(others):
        return f"<b>No recipe is clearly the best</b> of {len(comparison.sides)}: {escape(best)} has {value} {name}."
    else:
        text = f"<b>{escape(best)}</b> has the best value of {len(comparison.sides)} recipes: {value} {name}"
    gain = first.between(best, baseline)
    if best != baseline and gain is not None:
        verb = "better than" if gain.clear else "not clearly different from"
        text += f', <span class="numbers">{gain_text(gain, signed=True)}</span> {verb} the baseline {escape(baseline)}'
    if unclear:
        others = [other for other in unclear if other != baseline] or unclear
        text += f". It is not clearly different from {_listed(others)}"
    return f"{text}."


def _beats(task: ComparedTask, side: str, other: str) -> bool:
    gain = task.between(side, other)
    return gain is not None and gain.winner == side


def _side_text(task: ComparedTask, side: str) -> str:
    value = task.values[side]
    return value_text(value.value, value.low, value.high)


def _listed(names: Sequence[str]) -> str:
    shown = [escape(name) for name in names]
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} or {shown[-1]}"


def _basis(comparison: Comparison, first: ComparedTask) -> str:
    """The basis of the headline: the pages, the seeds, and the kind of interval."""
    parts = [f"{escape(unit(first.metric).capitalize())} of {plural(first.num_items, 'held-out page')}"]
    parts[0] += f" of {escape(first.drawn)}" if first.drawn else ""
    heldout = split_task(first.task)[0]
    if heldout == HEADLINE_SET:
        parts[0] += ", selected by no compared recipe's rules"
    elif heldout:
        parts[0] += f", the set {escape(heldout)}"
    numbers = {comparison.num_seeds.get(name, 1) for name in comparison.sides}
    if len(numbers) == 1:
        parts.append(f"{plural(numbers.pop(), 'training seed')} per recipe")
    else:
        counted = (f"{escape(name)} {comparison.num_seeds.get(name, 1)}" for name in comparison.sides)
        parts.append(f"training seeds: {', '.join(counted)}")
    if len(comparison.sides) > 2:
        num_pairs = len(first.gains)
        parts.append(f"called clear after adjusting p for {plural(num_pairs, 'pair')}")
    better = "higher" if first.higher_is_better else "lower"
    return f"{' · '.join(parts)} · {level_text(comparison)} intervals · {better} is better"


def _other_sets(comparison: Comparison, heldout: dict[str, Any]) -> str:
    """The same gains on held-out pages that a recipe's rules selected, which show how much of a gain is due to that
    selection."""
    sets = [comparison.tasks[0], *comparison.on_other_sets()]
    if len(sets) < 2:
        return ""
    rows = []
    for side in comparison.others:
        gains = [task.between(side, comparison.baseline) for task in sets]
        cells = [escape(side), *(gain_text(gain, signed=True) if gain else "–" for gain in gains)]
        rows.append(TableRow(cells=cells))
    names = [split_task(task.task)[0] or "all" for task in sets]
    by = [_chosen_by(name, heldout) for name in names]
    caption = f"Gain over {comparison.baseline} on each held-out set"
    reading = "A recipe does well on pages that its own rules would have chosen."
    if names[0] == HEADLINE_SET:
        reading += (
            " The first column is free of that; what a later column shows beyond it can come from the choice of pages "
            "alone."
        )
    heads = ["Recipe", *(f"{name} ({chosen})" for name, chosen in zip(names, by, strict=True))]
    return (
        f"<h3>How much of the gain depends on which pages were held out</h3>\n"
        f"{table(caption, heads, rows)}"
        f'<p class="note">Gains over {escape(comparison.baseline)} in {escape(unit(sets[0].metric))}, with their '
        f"intervals. {reading}</p>\n"
    )


def _chosen_by(name: str, heldout: dict[str, Any]) -> str:
    recipe = str(as_dict(heldout.get(name)).get("recipe") or "")
    if name == HEADLINE_SET:
        return "no recipe's rules"
    return f"selected by the recipe {recipe}" if recipe else "selected by its recipe's rules"


def _forests(comparison: Comparison) -> str:
    """Every recipe's gain over the baseline. Two sides: a plot per metric with a line per task; more: a plot per task
    with a line per recipe."""
    out = []
    if len(comparison.sides) == 2:
        for metric in dict.fromkeys(task.metric for task in comparison.tasks):
            tasks = [task for task in comparison.tasks if task.metric == metric]
            rows = [_gain_row(task.gains[0], task_label(task.task)) for task in tasks]
            gain = tasks[0].gains[0]
            caption = f"Gain in {unit(metric)} <small>{escape(gain.better_of)} over {escape(gain.over)}, "
            out.append(_forest(comparison, rows, caption, unit(metric)))
        return "".join(out)
    for task in comparison.tasks:
        found = [(side, task.between(side, comparison.baseline)) for side in comparison.others]
        rows = [_gain_row(gain, side) for side, gain in found if gain is not None]
        if rows:
            name = f"{unit(task.metric)}: {task_label(task.task)}"
            caption = f"Gain in {escape(name)} <small>over {escape(comparison.baseline)}, "
            out.append(_forest(comparison, rows, caption, name))
    return out[0] + disclosure("Gains on the other tasks", "".join(out[1:])) if len(out) > 1 else "".join(out)


def _forest(comparison: Comparison, rows: Sequence[ForestRow], caption: str, name: str) -> str:
    spoken = "; ".join(f"{row.label}: {row.text}" for row in rows)
    chart = forest(
        rows, x_label="better →", x_left="← worse", zero=True,
        label=f"Gain over {comparison.baseline} in {name}. {spoken}",
    )  # fmt: skip
    heading = f"{caption}{level_text(comparison)} intervals</small>"
    return f'<figure class="wide"><figcaption>{heading}</figcaption>{chart}</figure>\n'


def _gain_row(gain: Gain, name: str) -> ForestRow:
    text = gain_text(gain, signed=True)
    kind = "unclear" if not gain.clear else "clear" if gain.gain > 0 else "worse"
    mark = Mark(kind=kind, value=gain.gain, low=gain.low, high=gain.high, title=f"{name}: {text}")
    return ForestRow(label=name, marks=[mark], text=text)


def _limits(comparison: Comparison) -> str:
    """An explanation of the intervals, and of what they do not include."""
    notes = "".join(f"<li>{escape(note[:1].upper() + note[1:])}.</li>" for note in comparison.notes)
    reading = (
        f'<p class="note">Intervals made this way cover the true difference in {level_text(comparison)} of '
        "experiments. One that crosses the dashed line at zero does not show which of the two is better.</p>\n"
    )
    return reading + (f'<div class="limits"><h3>What this cannot say</h3><ul>{notes}</ul></div>\n' if notes else "")


def _numbers(comparison: Comparison) -> str:
    """The numbers behind the plots: a line per task for two sides, a table of all pairs per task for more."""
    if len(comparison.sides) == 2:
        return _two_sides(comparison)
    tables = []
    for task in comparison.tasks:
        name = f"{task_label(task.task)} ({unit(task.metric)})"
        tables.append(f"<h4>{escape(name)}</h4>{_all_pairs(task, name)}")
    note = (
        '<p class="note">“Adjusted p” is Holm\'s correction for the number of pairs: a difference is called clear '
        "where it is below 1 minus the confidence and the interval leaves zero out. “Seed spread” is the standard "
        "deviation of the difference from one training seed to another.</p>\n"
    )
    few = len(comparison.sides) <= 4
    return disclosure("All pairs, on every task", "".join(tables) + note, open_=few)


def _all_pairs(task: ComparedTask, name: str) -> str:
    rows = []
    for gain in task.gains:
        verdict = f'<b class="good">{escape(gain.winner)}</b> is better' if gain.clear else "no difference seen"
        spread = fixed(gain.seed_spread, places_for(gain.seed_spread)) if math.isfinite(gain.seed_spread) else "–"
        rows.append(TableRow(cells=[
            f"{escape(gain.better_of)} <small>over {escape(gain.over)}</small>", verdict, gain_text(gain, signed=True),
            p_text(gain.p_value), p_text(gain.p_adjusted), spread,
        ]))  # fmt: skip
    heads = ["Recipe", "Verdict", "Gain [interval]", "p", "Adjusted p", "Seed spread"]
    return table(f"All pairs on {name}", heads, rows, numeric_from=2)


def _two_sides(comparison: Comparison) -> str:
    first = comparison.tasks[0].gains[0]
    rows = []
    for task in comparison.tasks:
        gain = task.gains[0]
        places = places_for(gain.high - gain.low)
        sides = [
            fixed(task.values[name].value, places) if name in task.values else "–"
            for name in (gain.over, gain.better_of)
        ]
        cells = [
            f"{escape(task_label(task.task))} <small>{escape(unit(task.metric))}</small>", *sides,
            gain_text(gain, signed=True), p_text(gain.p_value), count(task.num_items), escape(task.drawn) or "–",
        ]  # fmt: skip
        rows.append(TableRow(cells=cells))
    heads = ["Task", first.over, first.better_of, "Gain [interval]", "p", "Items", "Drawn by"]
    caption = f"{first.better_of} compared with {first.over}"
    return disclosure("The numbers", table(caption, heads, rows))
