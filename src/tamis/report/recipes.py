"""The settings on which the recipes of a report's runs differ."""

from collections.abc import Sequence

from tamis.base.settings import differing_recipes
from tamis.report.collect import RunView
from tamis.report.experiment import setting_text
from tamis.report.formats import escape
from tamis.report.scores import as_dict
from tamis.report.tables import TableRow, table


def recipe_differences(runs: Sequence[RunView]) -> str:
    """A row per setting with its value in every run; '' for a single run, or recipes with the same settings. Runs of
    held-out pages are none of the recipes that are compared."""
    read = [run for run in runs if run.recipe and as_dict(run.recipe.get("pool")).get("part") != "heldout"]
    if len(read) < 2:
        return ""
    rows = []
    for name, values in differing_recipes([run.recipe for run in read]).items():
        cells = [setting_text(value) for value in values]
        marked = [f"<b>{cell}</b>" if cell != cells[0] else cell for cell in cells]
        rows.append(TableRow(cells=[f"<code>{escape(name)}</code>", *marked]))
    heads = ["Setting", *(run.label for run in read)]
    caption = "Settings that differ between the recipes"
    if not rows:
        return ""
    note = f'<p class="note">What differs from {escape(read[0].label)} is in bold; all other settings are equal.</p>\n'
    return note + table(caption, heads, rows, numeric_from=len(heads))
