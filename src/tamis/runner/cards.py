"""Records of shards merged into the card of a step, and what a card that shows too much loss means."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from tamis import __version__
from tamis.base.cards import Card, Counts
from tamis.base.errors import BudgetError, DataError
from tamis.base.stage import Group, Stage
from tamis.runner.jobs import decision_details
from tamis.runner.ledger import Record, read_record, verify
from tamis.runner.plan import Plan, Step
from tamis.runner.rounds import rounds_of
from tamis.runner.source_accounts import source_accounts
from tamis.runner.split import EXAMPLES_PER_REASON
from tamis.runner.task import Task
from tamis.store.atomic import write_json
from tamis.store.rundir import StageDir, read_card


def write_card(plan: Plan, step: Step, tasks: Sequence[Task]) -> Card:
    """Merge the shards' records of one step into its card. Raises DamagedError."""
    folder = tasks[0].folder(step)
    accounting, notes, records = Counts(), Counter[str](), []
    for task in tasks:
        record = verify(folder.root, folder.task(task.index), ("sources/",))
        accounting.add(record.accounting)
        notes.update(record.notes)
        records.append(record)
    accounting.check(step.label)
    details: dict[str, Any] = {
        "rules": [rule.to_dict() for rule in step.stage.rules],
        "histograms": _merge_histograms(step.stage, records),
        "examples": _merge_examples(records),
        "notes": dict(sorted(notes.items())),
        "assets": dict(sorted(step.digests.items())),
        "columns": list(step.stage.adds.names),
        "sources": source_accounts(plan.shards, records, [folder.sources(task.index) for task in tasks], accounting),
    }
    if isinstance(step.stage, Group):
        _merge_decisions(folder, step, len(plan.shards), details)
    card = Card(
        kind="stage",
        name=step.stage.name,
        version=step.stage.version,
        fingerprint=plan.card_fingerprint(step),
        parents=plan.card_parents(step),
        config=step.stage.card_settings(),
        tamis_version=__version__,
        seed=plan.recipe.seed,
        accounting=accounting,
        details=details,
    )
    if not _stands(folder, card):
        write_json(folder.card, card.to_dict())
    return card


def has_card(folder: StageDir, fingerprint: str) -> bool:
    """Whether the artefact has its card, and it is of this work."""
    try:
        return read_card(folder.card).fingerprint == fingerprint
    except (FileNotFoundError, DataError):
        return False


def _stands(folder: StageDir, card: Card) -> bool:
    """Whether the artefact has this card from another run: what is finished is not written again, though this run may
    name the same pool in other words."""
    try:
        found = read_card(folder.card)
    except (FileNotFoundError, DataError):
        return False
    return found.fingerprint == card.fingerprint and found.accounting == card.accounting


def _merge_histograms(stage: Stage, records: list[Record]) -> dict[str, Any]:
    out = {}
    for signal in stage.signals:
        counts: list[int] = []
        for record in records:
            counts = signal.merge(counts, record.histograms.get(signal.column, []))
        out[signal.column] = signal.entry(counts)
    return out


def _merge_examples(records: list[Record]) -> list[dict[str, Any]]:
    by_reason: dict[str, list[dict[str, Any]]] = {}
    for record in records:
        for example in record.examples:
            by_reason.setdefault(example["reason"], []).append(example)
    best = [sorted(by_reason[r], key=lambda e: (e["rank"], e["id"]))[:EXAMPLES_PER_REASON] for r in sorted(by_reason)]
    return [{k: v for k, v in example.items() if k != "rank"} for group in best for example in group]


def _merge_decisions(folder: StageDir, step: Step, num_shards: int, details: dict[str, Any]) -> None:
    """Thresholds and other findings of a group's decision; rules it decided join the stage's own."""
    assert isinstance(step.stage, Group)
    for this in rounds_of(step.stage, num_shards):
        for bucket in this.buckets:
            found = decision_details(this.findings(folder, bucket))
            details["rules"] = details["rules"] + found.pop("rules", [])
            details.setdefault("decisions", {}).update(found)


def check_budget(plan: Plan, step: Step, card: Card, tasks: Sequence[Task]) -> None:
    """Raises BudgetError when more rows were quarantined than the recipe allows."""
    accounting = card.accounting
    assert accounting is not None
    lost, budget = accounting.quarantined.total(), plan.recipe.quarantine_budget
    if lost <= budget * accounting.rows_in:
        return
    kinds = ", ".join(f"{name} {count}" for name, count in accounting.quarantined.most_common(3))
    worst = max(tasks, key=lambda task: _quarantined(task, step))
    raise BudgetError(
        f"{step.label}: {lost} of {accounting.rows_in} rows were quarantined ({kinds}), more than the budget of "
        f"{budget:.1%}. The worst input is {worst.shard.uri}; its rows are in "
        f"{worst.folder(step).quarantine(worst.index)}. Mend the input, or raise quarantine_budget."
    )


def _quarantined(task: Task, step: Step) -> int:
    record = read_record(task.folder(step).task(task.index))
    assert record is not None, f"{task.folder(step).root}: task {task.index} left no record"
    return record.accounting.quarantined.total()


def nothing_left(step: Step, card: Card) -> DataError:
    """What to tell a user whose last document left at this step."""
    accounting = card.accounting
    assert accounting is not None
    if accounting.rows_in == 0:
        notes = ", ".join(f"{name} {count}" for name, count in card.details["notes"].items())
        seen = f" (skipped: {notes})" if notes else ""
        return DataError(f"{step.label}: the pool holds no documents{seen}. Check what pool.inputs points at.")
    reasons = accounting.removed + Counter({f"quarantined as {name}": n for name, n in accounting.quarantined.items()})
    told = ", ".join(f"{name} {count}" for name, count in reasons.most_common(4))
    if set(reasons) == {"not_held_out"}:
        return DataError(
            f"{step.label}: none of {accounting.rows_in} documents is in the held-out part: hosts are held out whole, "
            "and these are few. Raise pool.holdout_fraction, or set pool.holdout_by: url to hold out single pages (in "
            "an experiment: heldout.fraction, heldout.by)."
        )
    return DataError(
        f"{step.label}: no document is left of {accounting.rows_in}: {told}. "
        "Loosen the rule that removed most, or check that this recipe fits this pool."
    )
