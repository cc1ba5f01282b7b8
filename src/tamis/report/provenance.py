"""The provenance of the runs of a report: what they share, what is specific to each, fingerprints and resolved
recipes."""

from collections.abc import Sequence
from typing import Any

from tamis.report.collect import RunView
from tamis.report.formats import escape, words
from tamis.report.tables import TableRow, definitions, disclosure, run_heading, table


def _common(runs: Sequence[RunView]) -> list[tuple[str, Any]]:
    """Provenance that all runs share; empty when there is only one run."""
    if len(runs) < 2:
        return []
    return [pair for pair in sorted(_flat(runs[0].provenance)) if all(pair in _flat(run.provenance) for run in runs)]


def provenances(runs: Sequence[RunView]) -> str:
    """The provenance that all runs share, once, and then that of each run."""
    common = _common(runs)
    shared = f'<div class="run"><h3>All runs</h3>\n{_pairs(common)}</div>\n' if common else ""
    own = "".join(
        f'<div class="run">{run_heading(run.label, len(runs))}{_provenance(run, common)}</div>\n' for run in runs
    )
    return shared + own


def _pairs(pairs: Sequence[tuple[str, Any]]) -> str:
    return definitions([(words(name), _value(value)) for name, value in pairs])


def _provenance(run: RunView, common: Sequence[tuple[str, Any]]) -> str:
    own = [pair for pair in sorted(_flat(run.provenance)) if pair not in common]
    out = _pairs([("run", run.run.root.name), *own])
    prints = [_fingerprint(stage.folder, stage.artefact, stage.card) for stage in run.stages if stage.status == "done"]
    prints += [_fingerprint(f"model, seed {model.seed}", model.artefact, model.card) for model in run.trained.models]
    prints += [
        _fingerprint(f"evaluation, seed {evaluation.seed}", evaluation.artefact, evaluation.card)
        for evaluation in run.trained.evaluations
    ]
    caption = f"Fingerprints of {run.label}"
    cards = table(caption, ["Made by", "Artefact", "Fingerprint", "Version"], prints, numeric_from=3) if prints else ""
    if cards:
        out += disclosure("Fingerprints", cards)
    if run.recipe_text:
        recipe = f'<div class="scroll" tabindex="0"><pre><code>{escape(run.recipe_text)}</code></pre></div>'
        out += disclosure("Resolved recipe", recipe)
    return out


def _fingerprint(name: str, artefact: str, card: dict[str, Any]) -> TableRow:
    cells = [
        escape(name), f"<code>{escape(artefact)}</code>", f"<code>{escape(card.get('fingerprint') or '–')}</code>",
        escape(card.get("version", "–")),
    ]  # fmt: skip
    return TableRow(cells=cells)


def _flat(data: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """Nested provenance as dotted names."""
    out: list[tuple[str, Any]] = []
    for name, value in data.items():
        if isinstance(value, dict):
            out += _flat(value, f"{prefix}{name}.")
        else:
            out.append((f"{prefix}{name}", value))
    return out


def _value(value: Any) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return f"<code>{escape(text)}</code>" if " " in text or "/" in text or len(text) > 24 else escape(text)
