"""Whether the numbers of a run can be trusted: what its quality classifier learned, and whether held-out text is among
the training data."""

import math
from collections.abc import Sequence
from typing import Any

from tamis.report.charts import Curve, lines
from tamis.report.collect import RunView, StageView
from tamis.report.formats import count, escape, fixed, percent, plural, words
from tamis.report.scores import as_dict, as_list, number, whole
from tamis.report.tables import TableRow, definitions, table

SHOWN_SHARES = (0.01, 0.05, 0.1, 0.2, 0.5)
"""Shares of the pool for which it is told how many good documents a cut there would keep."""
GUESSING = 0.5
CONTAMINATED = "contaminated_fraction"
OVERLAPS = (0.025, 0.1, 0.25, 0.5, 0.9)


def classifiers(run: RunView) -> str:
    """The classifiers that a run trained, tested on documents that they were not trained on; '' when it trained
    none."""
    out = []
    for stage in run.stages:
        decided = as_dict(stage.details.get("decisions"))
        if "held_out_precision_at_1" in decided:
            out.append(f"<h4>{escape(words(stage.name))}</h4>{_classifier(decided)}")
    return "".join(out)


def _classifier(decided: dict[str, Any]) -> str:
    held, right = whole(decided.get("num_held_out")), number(decided.get("held_out_precision_at_1"))
    auc = [number(value) for value in as_list(decided.get("held_out_auc"))]
    curve = [[number(value) for value in as_list(point)] for point in as_list(decided.get("held_out_curve"))]
    curve = [point for point in curve if len(point) == 4 and all(map(math.isfinite, point))]
    facts = [
        ("trained on", f"{count(whole(decided.get('num_train_positives')))} good documents and "
                       f"{count(whole(decided.get('num_train_negatives')))} of the pool"),
        ("tested on", f"{plural(held, 'document')} held out of training"),
        ("classified correctly", percent(right, 1) if math.isfinite(right) else "–"),
    ]  # fmt: skip
    if len(auc) == 3 and all(map(math.isfinite, auc)):
        clear = "" if auc[1] > GUESSING else "; guessing (0.5) is within its interval"
        facts.append(("area under the curve", f"{fixed(auc[0], 3)} [{fixed(auc[1], 3)}, {fixed(auc[2], 3)}]{clear}"))
    out = definitions(facts)
    if not curve:
        return out
    points = sorted({(0.0, 0.0), *((point[1], point[2]) for point in curve)})
    chart = lines(
        [Curve(label="good documents kept", kind="run1", points=points),
         Curve(label="guessing", kind="run0", points=[(0.0, 0.0), (1.0, 1.0)])],
        x_label="share of the pool's held-out documents that a cut keeps", y_label="share of the good ones",
        label="Share of good documents kept, by share of the pool kept", height=200, y_range=(0.0, 1.0),
    )  # fmt: skip
    return (
        f'{out}<figure class="wide"><figcaption>What a cut by its score keeps <small>held-out documents; the grey line '
        f"is guessing</small></figcaption>{chart}</figure>\n{_cuts(curve)}"
        '<p class="note">Precision is among equally many good documents and documents of the pool. The latter '
        "count as not good here, though some are, so a classifier can be better than this.</p>\n"
    )


def _cuts(curve: Sequence[Sequence[float]]) -> str:
    """At some shares of the pool: the score, the share of good documents kept, the precision."""
    rows: list[TableRow] = []
    for share in SHOWN_SHARES:
        fitting = [point for point in curve if point[1] <= share]
        point = max(fitting, key=lambda point: (point[1], point[2]), default=None)
        if point is not None and all(row.cells[1] != f"{point[0]:.6g}" for row in rows):
            cells = [f"at most {percent(share, 1)}", f"{point[0]:.6g}", percent(point[1], 1), percent(point[2], 1),
                     percent(point[3], 1)]  # fmt: skip
            rows.append(TableRow(cells=cells))
    heads = ["Of the pool", "Score at least", "Pool kept", "Good kept", "Precision"]
    return table("Cuts of the classifier", heads, rows) if rows else ""


def leaks(run: RunView, heldout: dict[str, Any]) -> str:
    """Held-out text among the training data of one run: compared by id before each evaluation, and by runs of words
    where the recipe decontaminates; '' when the run has neither. `heldout` are the held-out sets of an experiment."""
    stages = [stage for stage in run.stages if CONTAMINATED in as_dict(stage.details.get("histograms"))]
    evaluated = bool(run.trained.evaluations)
    if not stages and not evaluated:
        return ""
    facts = []
    if evaluated:
        sizes = [
            f"{count(whole(as_dict(entry).get('pages')))} of the set {escape(name)}" for name, entry in heldout.items()
        ]
        told = f" ({', '.join(sizes)})" if sizes else ""
        facts.append(("the same page, by id", f"none of the held-out pages{told} is in the training data"))
    if not stages:
        facts.append(("the same text", "not measured: the recipe has no decontaminate step with a reference"))
    out = definitions(facts) if facts else ""
    return out + "".join(_overlap(stage) for stage in stages)


def _overlap(stage: StageView) -> str:
    """How many documents contain how much of any one reference text, and which were removed."""
    entry = as_dict(as_dict(stage.details.get("histograms")).get(CONTAMINATED))
    low, high = number(entry.get("low")), number(entry.get("high"))
    counts = [whole(value) for value in as_list(entry.get("counts"))]
    bins = len(counts) - 2
    if bins < 1 or not (math.isfinite(low) and math.isfinite(high) and low < high):
        return ""
    rows = []
    for share in OVERLAPS:
        first = math.ceil((share - low) / (high - low) * bins - 1e-3)
        found = sum(counts[1 + first :])
        rows.append(TableRow(cells=[f"more than {percent(share, 1)}", count(found), percent(found, sum(counts))]))
    removed = sum(amount.rows for amount in stage.removed.values())
    said = f"{plural(removed, 'document')} of {count(stage.taken.rows)} removed as contaminated"
    heads = ["Of one held-out text, a document contains", "Documents", "Share"]
    return (
        f"{definitions([('the same text, in ' + words(stage.name), escape(said))])}"
        f"{table('Documents that contain held-out text', heads, rows)}"
    )
