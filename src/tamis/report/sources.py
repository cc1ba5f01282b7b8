"""Languages in and out of every step, from the cards; and, for each step, the sources that it hit worst."""

from typing import Any

from tamis.report.collect import RunView, StageView
from tamis.report.formats import count, data, escape, percent, words
from tamis.report.scores import as_dict, as_list, whole
from tamis.report.tables import TableRow, disclosure, table

MOST_LANGUAGES = 8
"""Languages with a line of their own, per step; the others are one line."""
KINDS = ("host", "input", "folder")


def sources(run: RunView) -> str:
    """Two tables: languages per step, and the worst hit hosts, inputs and folders of the steps that removed any."""
    done = [stage for stage in run.stages if stage.status == "done"]
    languages = [line for stage in done for line in _language_lines(stage)]
    worst = [line for stage in done for kind in KINDS for line in _worst_lines(stage, kind)]
    out = ""
    if languages:
        caption = f"Languages of {run.label}: documents in and kept, for every step that removed some"
        heads = ["Language", "In", "Kept", "kept share", "of kept"]
        out += disclosure(f"Languages in and out of {escape(run.label)}", table(caption, heads, languages))
    if worst:
        caption = f"Sources of {run.label} that lost the largest share of their documents in a step"
        body = table(caption, ["Source", "Kind", "In", "Kept", "kept share", "most went as"], worst, numeric_from=2)
        out += disclosure(f"Sources of {escape(run.label)} that were hit worst", body)
    return out


def _accounts(stage: StageView, kind: str) -> dict[str, Any]:
    return as_dict(as_dict(stage.details.get("sources")).get(kind))


def _language_lines(stage: StageView) -> list[TableRow]:
    found = [as_dict(source) for source in as_list(_accounts(stage, "language").get("largest"))]
    if not found or stage.kept.rows == stage.taken.rows:
        return []
    shown = found[:MOST_LANGUAGES]
    rest_in = stage.taken.rows - sum(whole(source.get("in")) for source in shown)
    rest_kept = stage.kept.rows - sum(whole(source.get("kept")) for source in shown)
    lines = [
        _language_line(stage, str(source.get("name") or "not detected"), whole(source.get("in")),
                       whole(source.get("kept")), "")
        for source in shown
    ]  # fmt: skip
    if rest_in > 0:
        lines.append(_language_line(stage, "all others", rest_in, rest_kept, ""))
    return [_language_line(stage, words(stage.name), stage.taken.rows, stage.kept.rows, "stage-in"), *lines]


def _language_line(stage: StageView, name: str, came: int, kept: int, kind: str) -> TableRow:
    numbers = [data(came, count(came)), data(kept, count(kept)), percent(kept, came), percent(kept, stage.kept.rows)]
    return TableRow(cells=[escape(name), *numbers], kind=kind)


def _worst_lines(stage: StageView, kind: str) -> list[TableRow]:
    lines = []
    for source in map(as_dict, as_list(_accounts(stage, kind).get("worst"))[:3]):
        gone = {str(reason): whole(number) for reason, number in as_dict(source.get("gone")).items()}
        most = min(gone, key=lambda reason: (-gone[reason], reason), default="")
        came, kept = whole(source.get("in")), whole(source.get("kept"))
        name = str(source.get("name") or f"(no {kind})")
        cells = [
            f"{escape(name)} <small>{escape(words(stage.name))}</small>", kind, data(came, count(came)),
            data(kept, count(kept)), percent(kept, came), escape(words(most)),
        ]  # fmt: skip
        lines.append(TableRow(cells=cells))
    return lines
