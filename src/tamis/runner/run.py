"""Run a plan: pass by pass, task by task, skipping what is done; then merge records into cards and check the books."""

from collections import Counter
from collections.abc import Callable
from typing import Any, Literal

from tamis import __version__
from tamis.base.cards import Card, Counts
from tamis.base.errors import BudgetError, DataError
from tamis.base.events import Event
from tamis.base.stage import Group, Stage
from tamis.runner.engine import Engine
from tamis.runner.estimate import group_cost, measured_corpus, memory_warning
from tamis.runner.jobs import ALL, Decide, Job, decision_details
from tamis.runner.ledger import Record, read_record
from tamis.runner.local_engine import LocalEngine
from tamis.runner.plan import Pass, Plan, Step
from tamis.runner.split import EXAMPLES_PER_REASON
from tamis.runner.task import Task
from tamis.store.atomic import write_json
from tamis.store.rundir import RunDir
from tamis.store.tokens import write_manifest

OnEvent = Callable[[Event], None]
EngineName = Literal["local", "ray"]


def run_plan(plan: Plan, run: RunDir, num_workers: int, on_event: OnEvent, engine: EngineName = "local") -> None:
    """Do everything of `plan` that is not done yet; afterwards every stage folder has its card.

    Raises DataError (unreadable input, nothing left), BudgetError (too many quarantined rows), StorageError.
    """
    with _engine(engine, plan, num_workers) as opened:
        for one in plan.passes:
            _run_pass(plan, run, one, opened, on_event)
    run.sweep()  # workers that were stopped leave unfinished files


def _engine(name: EngineName, plan: Plan, num_workers: int) -> Engine:
    if name == "ray":
        from tamis.runner.ray_engine import RayEngine

        return RayEngine(plan, num_workers)
    return LocalEngine(plan, num_workers)


def _run_pass(plan: Plan, run: RunDir, one: Pass, engine: Engine, on_event: OnEvent) -> None:
    tasks = [Task(plan=plan, run=run, number=one.number, index=index) for index in range(len(plan.shards))]
    _run_jobs(tasks, one, engine, on_event)
    for step in one.steps:
        card = _write_card(plan, run, step, tasks)
        on_event(Event(kind="stage_finished", fields={"stage": step.folder, **card.to_dict()["counts"]}))
        _check_budget(plan, run, step, card)
        if card.books is not None and card.books.kept == 0:
            raise _nothing_left(step, card)
    if run.stage(one.output.folder).tokens.is_dir():
        write_manifest(run.stage(one.output.folder).tokens, one.output.assets)
    if one.sketch is not None:
        assert isinstance(one.sketch.stage, Group)
        _tell_cost(one.sketch, card, engine.num_workers, on_event)
        buckets = range(one.sketch.stage.num_buckets)
        jobs = [Decide(plan=plan, run=run, number=one.number, bucket=bucket) for bucket in buckets]
        _run_jobs(jobs, one, engine, on_event)
        if one.sketch.stage.combines:
            _run_jobs([Decide(plan=plan, run=run, number=one.number, bucket=ALL)], one, engine, on_event)


def _tell_cost(group: Step, card: Card, num_workers: int, on_event: OnEvent) -> None:
    """What the group's decisions will take, now that their input is known; a warning where that is too much."""
    assert card.books is not None
    predicted = group_cost(group, measured_corpus(card.books), num_workers)
    if predicted is None:
        return
    on_event(Event(kind="cost_predicted", fields=predicted.to_dict()))
    if warning := memory_warning(predicted):
        on_event(Event(kind="note", fields={"text": warning}))


def _run_jobs(jobs: list[Any], one: Pass, engine: Engine, on_event: OnEvent) -> None:
    """Run the jobs that are not done, reporting each as an event."""
    waiting = [job for job in jobs if not job.is_done()]
    stages = [step.folder for step in one.steps]
    if jobs and not isinstance(jobs[0], Task):
        verb = "combine" if jobs[0].combines else "decide"
        stages = [f"{jobs[0].step.folder} ({verb})"]
    about = {"pass": one.number, "stages": stages}
    total_bytes = sum(job.shard.size_bytes for job in waiting if isinstance(job, Task))
    fields = {"tasks": len(waiting), "skipped": len(jobs) - len(waiting), "input_bytes": total_bytes}
    on_event(Event(kind="pass_started", fields=about | fields))

    def finish(job: Job, answer: dict[str, Any], seconds: float) -> None:
        on_event(Event(kind="task_finished", fields=about | _describe(job) | answer | {"seconds": round(seconds, 3)}))

    def retry(job: Job, trouble: str) -> None:
        on_event(Event(kind="task_retried", fields=about | _describe(job) | {"trouble": trouble}))

    def progress(rows_in_flight: int) -> None:
        on_event(Event(kind="progress", fields={"rows": rows_in_flight}))

    engine.run(waiting, finish, retry, progress)
    on_event(Event(kind="pass_finished", fields=about))


def _describe(job: Job) -> dict[str, Any]:
    if not isinstance(job, Task):
        return {"bucket": "all" if job.combines else job.bucket}
    return {"shard": job.shard.name, "input_bytes": job.shard.size_bytes}


def _write_card(plan: Plan, run: RunDir, step: Step, tasks: list[Task]) -> Card:
    """Merge the shards' records of one step into its card."""
    folder = run.stage(step.folder)
    books, notes, records = Counts(), Counter[str](), []
    for task in tasks:
        record = read_record(folder.task(task.index))
        assert record is not None, f"{folder.root}: task {task.index} left no record"
        books.add(record.books)
        notes.update(record.notes)
        records.append(record)
    books.check(step.folder)
    details: dict[str, Any] = {
        "rules": [rule.to_dict() for rule in step.stage.rules],
        "histograms": _merge_histograms(step.stage, records),
        "examples": _merge_examples(records),
        "notes": dict(sorted(notes.items())),
        "assets": {name: path.name for name, path in step.assets.items()},
    }
    if isinstance(step.stage, Group):
        _merge_decisions(run, step, details)
    card = Card(
        kind="stage",
        name=step.stage.name,
        version=step.stage.version,
        fingerprint=plan.card_fingerprint(step),
        parents=plan.card_parents(step),
        config=step.stage.resolved_settings(),
        tamis_version=__version__,
        seed=plan.recipe.seed,
        books=books,
        details=details,
    )
    write_json(folder.card, card.to_dict())
    return card


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


def _merge_decisions(run: RunDir, step: Step, details: dict[str, Any]) -> None:
    """Thresholds and other findings of a group's decision; rules it decided join the stage's own."""
    assert isinstance(step.stage, Group)
    folder, group = run.stage(step.folder), step.stage
    paths = [folder.decisions(bucket) for bucket in range(group.num_buckets)]
    for path in [*paths, folder.combined] if group.combines else paths:
        found = decision_details(path)
        details["rules"] = details["rules"] + found.pop("rules", [])
        details.setdefault("decisions", {}).update(found)


def _check_budget(plan: Plan, run: RunDir, step: Step, card: Card) -> None:
    books = card.books
    assert books is not None
    lost, budget = books.quarantined.total(), plan.recipe.quarantine_budget
    if lost <= budget * books.rows_in:
        return
    kinds = ", ".join(f"{name} {count}" for name, count in books.quarantined.most_common(3))
    worst = max(range(len(plan.shards)), key=lambda index: _quarantined(run, step, index))
    raise BudgetError(
        f"{step.folder}: {lost} of {books.rows_in} rows were quarantined ({kinds}), more than the budget of "
        f"{budget:.1%}. The worst input is {plan.shards[worst].uri}; its rows are in "
        f"{run.stage(step.folder).quarantine(worst)}. Mend the input, or raise quarantine_budget."
    )


def _quarantined(run: RunDir, step: Step, index: int) -> int:
    record = read_record(run.stage(step.folder).task(index))
    return record.books.quarantined.total() if record else 0


def _nothing_left(step: Step, card: Card) -> DataError:
    books = card.books
    assert books is not None
    if books.rows_in == 0:
        notes = ", ".join(f"{name} {count}" for name, count in card.details["notes"].items())
        seen = f" (passed over: {notes})" if notes else ""
        return DataError(f"{step.folder}: the pool holds no documents{seen}. Check what pool.inputs points at.")
    reasons = books.removed + Counter({f"quarantined as {name}": n for name, n in books.quarantined.items()})
    told = ", ".join(f"{name} {count}" for name, count in reasons.most_common(4))
    return DataError(
        f"{step.folder}: no document is left of {books.rows_in}: {told}. "
        "Loosen the rule that removed most, or check that this recipe fits this pool."
    )
