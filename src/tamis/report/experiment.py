"""The section about an experiment: what was compared, how each recipe differs from the one it is based on, and the
graph."""

import math
from dataclasses import dataclass
from typing import Any

from tamis.report.formats import count, escape, plural, size, threshold, words
from tamis.report.graph import draw_graph
from tamis.report.scores import HEADLINE_SET, as_dict, as_list, number, whole
from tamis.report.tables import TableRow, disclosure, table


@dataclass(frozen=True, kw_only=True)
class ChangedSetting:
    """A setting of one recipe whose value differs from that in the recipe it is based on."""

    setting: str
    base: Any
    here: Any

    @property
    def effect(self) -> str:
        """Whether the change keeps more or fewer pages, where the name of the setting shows it: a limit of a rule, or
        the share that is kept."""
        step, _, name = self.setting.rpartition(".")
        if name == "keep_fraction":
            direction = 1
        elif step.startswith("filter") and name.startswith(("max_", "min_")):
            direction = 1 if name.startswith("max_") else -1
        else:
            return ""
        base, here = (_limit_value(value, direction) for value in (self.base, self.here))
        if math.isnan(base) or math.isnan(here) or base == here:
            return ""
        return "keeps more" if (here - base) * direction > 0 else "keeps fewer"


def _limit_value(value: Any, direction: int) -> float:
    """A limit as a number. A rule that is switched off has the limit that keeps everything."""
    return direction * math.inf if value is None else number(value)


def experiment_section(experiment: dict[str, Any]) -> str:
    """The whole section as HTML."""
    recipes = {str(name): as_dict(entry) for name, entry in as_dict(experiment.get("recipes")).items()}
    description = str(experiment.get("description") or "")
    out = [f'<p class="lead">{escape(description)}</p>\n' if description else ""]
    out.append(_settings(experiment, recipes))
    out.append(_recipes(recipes, str(experiment.get("baseline") or "")))
    out.append(_changes(recipes))
    out.append(_heldout(as_dict(experiment.get("heldout"))))
    graph = draw_graph([as_dict(node) for node in as_list(experiment.get("graph"))])
    out.append(f'<h3 class="after">What was computed</h3>\n{graph}' if graph else "")
    if file := str(experiment.get("file") or ""):
        shown = f'<div class="scroll" tabindex="0"><pre><code>{escape(file)}</code></pre></div>'
        out.append(disclosure("The experiment file", shown))
    return "".join(out)


def _settings(experiment: dict[str, Any], recipes: dict[str, dict[str, Any]]) -> str:
    seeds = experiment.get("seeds")
    parts = [plural(len(recipes), "recipe")] if recipes else []
    if isinstance(seeds, list):
        parts.append(f"training seeds {', '.join(map(str, seeds))}" if len(seeds) > 1 else "one training seed")
    elif whole(seeds):
        parts.append(plural(whole(seeds), "training seed"))
    if experiment.get("scale"):
        parts.append(f"scale {experiment['scale']}")
    return f'<p class="basis">{escape(" · ".join(parts))}</p>\n' if parts else ""


def _changed(entry: dict[str, Any]) -> list[ChangedSetting]:
    found = [
        ChangedSetting(setting=str(item.get("setting")), base=item.get("base"), here=item.get("here"))
        for item in map(as_dict, as_list(entry.get("differences")))
    ]
    return sorted(found, key=lambda change: (change.effect == "", change.setting))


def _recipes(recipes: dict[str, dict[str, Any]], baseline: str) -> str:
    rows = []
    for name, entry in recipes.items():
        changes = _changed(entry)
        more = sum(change.effect == "keeps more" for change in changes)
        fewer = sum(change.effect == "keeps fewer" for change in changes)
        said = [f"{count(more)} {'keeps' if more == 1 else 'keep'} more"] if more else []
        said += [f"{count(fewer)} {'keeps' if fewer == 1 else 'keep'} fewer"] if fewer else []
        other = len(changes) - more - fewer
        said += [f"{count(other)} other" if said else count(other)] if other else []
        role = " <small>baseline</small>" if name == baseline else ""
        summary = f"<b>{count(len(changes))} changed</b>: {', '.join(said)}" if changes else "as shipped"
        rows.append(TableRow(cells=[escape(name) + role, escape(entry.get("recipe") or "–"), summary]))
    heads = ["Recipe", "Based on", "Settings"]
    return table("The recipes compared", heads, rows, numeric_from=3) if rows else ""


def _changes(recipes: dict[str, dict[str, Any]]) -> str:
    """Every changed setting of every recipe, beside its value in the recipe that it is based on."""
    out = []
    for name, entry in recipes.items():
        changes = _changed(entry)
        if not changes:
            continue
        base = str(entry.get("recipe") or "its base")
        rows = [
            TableRow(
                cells=[
                    f"<code>{escape(change.setting)}</code>", setting_text(change.base),
                    f"<b>{setting_text(change.here)}</b>", change.effect,
                ],
                kind={"keeps more": "wider", "keeps fewer": "stricter"}.get(change.effect, ""),
            )
            for change in changes
        ]  # fmt: skip
        heads = ["Setting", f"in {base}", "Here", "Effect"]
        more = sum(change.effect == "keeps more" for change in changes)
        said = f"{plural(len(changes), 'setting')} changed"
        said += f", {count(more)} of them so that more pages pass" if more else ""
        out.append(
            f'<h3 class="after">{escape(name)} is {escape(base)} with {said}</h3>\n'
            f"{table(f'Settings of {name} that differ from {base}', heads, rows)}"
        )
    return "".join(out)


def setting_text(value: Any) -> str:
    """A value as it is written in a recipe."""
    if value is None:
        return '<span class="quiet">not set</span>'
    if isinstance(value, bool):
        return "yes" if value else "no"
    if math.isfinite(number(value)):
        return threshold(number(value))
    if isinstance(value, list):
        return escape(", ".join(map(str, value)) or "none")
    return escape(value)


def _heldout(sets: dict[str, Any]) -> str:
    rows = []
    for name in sorted(sets, key=lambda name: (name != HEADLINE_SET, name)):
        entry = as_dict(sets[name])
        recipe = escape(entry.get("recipe") or "–")
        by = "no compared recipe's rules" if name == HEADLINE_SET else f"the rules of the recipe {recipe}"
        rows.append(TableRow(cells=[
            escape(words(name)), by, count(whole(entry.get("pages"))), count(whole(entry.get("hosts"))),
            size(whole(entry.get("bytes"))),
        ]))  # fmt: skip
    if not rows:
        return ""
    heads = ["Held-out set", "Pages selected by", "Pages", "Hosts", "Text"]
    return '<h3 class="after">Held-out pages</h3>\n' + table("Held-out sets", heads, rows, numeric_from=2)
