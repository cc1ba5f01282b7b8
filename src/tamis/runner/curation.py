"""Nodes of curation: a pass over all shards, and a group's decision. The engine does their jobs, the ledger skips."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

from tamis.base import columns
from tamis.base.cards import Card
from tamis.base.errors import ConfigError
from tamis.base.events import Event
from tamis.base.stage import Group
from tamis.runner.cards import check_budget, has_card, nothing_left, write_card
from tamis.runner.engine import Engine
from tamis.runner.estimate import group_cost, measured_corpus, memory_warning
from tamis.runner.graph import Context, Node, OnEvent
from tamis.runner.inline_engine import InlineEngine
from tamis.runner.jobs import DAMAGED, Decide, Job
from tamis.runner.ledger import Damage, DamagedError, read_record, verify, write_record
from tamis.runner.local_engine import LocalEngine
from tamis.runner.plan import ARTEFACT_SCHEME, Pass, Plan, Step, asset_location
from tamis.runner.rounds import ALL, rounds_of
from tamis.runner.source_alarm import check_sources
from tamis.runner.task import FALLBACK, Task, first_step_to_do, stored_input
from tamis.store.atomic import delete_leftovers
from tamis.store.rundir import RunDir, StageDir, read_card
from tamis.store.tokens import has_manifest, write_manifest
from tamis.store.workspace import Workspace

EngineName = Literal["local", "ray"]


def make_engine(name: EngineName, num_workers: int, workspace: Workspace) -> Engine:
    """The engine asked for; in a workspace that only this process can see, the inline one."""
    if workspace.root.is_in_memory:
        return InlineEngine()
    if name == "ray":
        from tamis.runner.ray_engine import RayEngine

        return RayEngine(num_workers)
    return LocalEngine(num_workers)


class PassNode(Node):
    """Every shard of the pool through one pass of a plan."""

    kind: ClassVar[str] = "pass"

    def __init__(self, run_name: str, plan: Plan, this_pass: Pass, inputs: Sequence[Node]) -> None:
        names = " + ".join(step.stage.name for step in this_pass.steps)
        super().__init__(run_name, names, inputs)
        self.plan, self.this_pass = plan, this_pass

    def artefacts(self, workspace: Workspace) -> list[str]:
        return [
            step.artefact
            for step in (*self.this_pass.steps, *([self.this_pass.sketch] if self.this_pass.sketch else []))
        ]

    def tasks(self, workspace: Workspace) -> list[Task]:
        return [
            Task(plan=self.plan, workspace=workspace, number=self.this_pass.number, index=index)
            for index in range(len(self.plan.shards))
        ]

    def is_done(self, workspace: Workspace) -> bool:
        return self._is_described(workspace) and all(task.is_done() for task in self.tasks(workspace))

    def _is_described(self, workspace: Workspace) -> bool:
        """Whether the cards of all steps are there, and the manifest of the tokens."""
        for step in self.this_pass.steps:
            folder = StageDir(workspace.artefact(step.artefact))
            if not has_card(folder, self.plan.card_fingerprint(step)):
                return False
            if _makes_tokens(step) and folder.tokens.is_folder() and not has_manifest(folder.tokens):
                return False
        return True

    def run(self, context: Context) -> None:
        """Raises DataError (unreadable input, nothing left), BudgetError (see `check`), StorageError."""
        tasks = self.tasks(context.workspace)
        for step in self.this_pass.steps:
            if not step.needs_corpus:
                adopt_shards(tasks, step, context.workspace)
        _run_jobs(tasks, self.this_pass, context)
        output = tasks[0].folder(self.this_pass.output)
        if _makes_tokens(self.this_pass.output) and output.tokens.is_folder():
            # Before the cards: where they are, the artefact is whole.
            tokenizer = asset_location(self.this_pass.output.assets["tokenizer"], context.workspace)
            write_manifest(output.tokens, tokenizer, _token_digests(tasks, output))
        for step in self.this_pass.steps:
            card = write_card(self.plan, step, tasks)
            context.on_event(Event(kind="stage_finished", fields={"stage": step.label, **card.to_dict()["counts"]}))
        self.check(context.workspace)
        for step in (*self.this_pass.steps, *([self.this_pass.sketch] if self.this_pass.sketch else [])):
            root = tasks[0].folder(step).root
            for kind in (root, *root.children()):
                delete_leftovers(kind)  # of workers that were stopped; the lock says that nobody else writes here
        if self.this_pass.sketch is not None:
            _tell_cost(self.this_pass.sketch, card, context)

    def check(self, workspace: Workspace) -> None:
        """Raises BudgetError (too many quarantined rows, or nearly all of a large source removed), DataError (no
        document is left)."""
        tasks = self.tasks(workspace)
        cards = [(step, read_card(tasks[0].folder(step).card)) for step in self.this_pass.steps]
        for step, card in cards:
            check_budget(self.plan, step, card, tasks)
            if card.accounting is not None and card.accounting.kept == 0:
                raise nothing_left(step, card)
        check_sources(cards, tasks)


def _makes_tokens(step: Step) -> bool:
    return columns.TOKEN_IDS in step.stage.adds.names


def _token_digests(tasks: Sequence[Task], output: StageDir) -> dict[str, str]:
    """Name of each token file -> its digest, of which it is certain that the file has it. Raises DamagedError."""
    found = {}
    for task in tasks:
        for name, entry in verify(output.root, output.task(task.index), ("tokens/",)).outputs.items():
            if name.startswith("tokens/"):
                found[name.removeprefix("tokens/")] = str(entry["blake2b"])
    return found


class DecideNode(Node):
    """The decision of the group that a pass feeds: one job per bucket, then, for some, one over all findings."""

    kind: ClassVar[str] = "decision"

    def __init__(self, run_name: str, plan: Plan, this_pass: Pass, inputs: Sequence[Node]) -> None:
        assert this_pass.sketch is not None
        super().__init__(run_name, f"{this_pass.sketch.stage.name} (decide)", inputs)
        self.plan, self.this_pass, self.step = plan, this_pass, this_pass.sketch

    def artefacts(self, workspace: Workspace) -> list[str]:
        return [self.step.artefact]

    def jobs(self, workspace: Workspace) -> list[list[Decide]]:
        """Jobs in rounds: those of a round can be done at once."""
        assert isinstance(self.step.stage, Group)
        number = self.this_pass.number
        return [
            [
                Decide(plan=self.plan, workspace=workspace, number=number, bucket=bucket, round_number=this.number)
                for bucket in this.buckets
            ]
            for this in rounds_of(self.step.stage, len(self.plan.shards))
        ]

    def is_done(self, workspace: Workspace) -> bool:
        return all(job.is_done() for jobs in self.jobs(workspace) for job in jobs)

    def run(self, context: Context) -> None:
        """Raises DataError when a decision fails twice, StorageError."""
        for jobs in self.jobs(context.workspace):
            _run_jobs(jobs, self.this_pass, context)


def plan_nodes(run_name: str, plan: Plan, makers: dict[str, Node]) -> dict[str, Node]:
    """Nodes of a plan in order, by the label of the step after which its documents are there. `makers`: the nodes of
    the graph that make assets, by artefact."""
    before: list[Node] = []
    found: dict[str, Node] = {}
    for this_pass in plan.passes:
        names = [name for step in this_pass.steps for name in _bound_artefacts(step)]
        node: Node = PassNode(run_name, plan, this_pass, [*before, *(makers[name] for name in names if name in makers)])
        found |= dict.fromkeys((step.label for step in this_pass.steps), node)
        before = [node]
        if this_pass.sketch is not None:
            names = _bound_artefacts(this_pass.sketch)
            before = [
                DecideNode(run_name, plan, this_pass, [node, *(makers[name] for name in names if name in makers)])
            ]
    return found


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """The documents that a step stores, as what other nodes are made from; `node` makes them, where the graph does."""

    artefact: str
    fingerprint: str
    node: Node | None

    @classmethod
    def of(cls, plan: Plan, step: Step, node: Node | None) -> "Dataset":
        return cls(artefact=step.artefact, fingerprint=plan.card_fingerprint(step), node=node)

    @classmethod
    def of_run(cls, run: RunDir) -> "Dataset":
        """What came out of the last stage of a finished run. Raises ConfigError when it is not finished."""
        cards, steps = run.cards(), run.steps()
        if len(cards) < len(steps) or not cards:
            raise ConfigError(f"{run.root}: this run is not finished. Run it again to go on: tamis run {run.recipe}")
        step, card = cards[-1]
        return cls(artefact=steps[step], fingerprint=card.fingerprint, node=None)

    @property
    def inputs(self) -> list[Node]:
        return [self.node] if self.node is not None else []

    def folder(self, workspace: Workspace) -> StageDir:
        return StageDir(workspace.artefact(self.artefact))

    def verify(self, workspace: Workspace, part: Literal["shards/", "tokens/"]) -> None:
        """Compare its stored documents or tokens with the ledger. Raises DamagedError."""
        folder, damages = self.folder(workspace), list[Damage]()
        for place in (folder.root / "tasks").children("[0-9]*.json"):
            try:
                verify(folder.root, place, (part,))
            except DamagedError as error:
                damages += error.damages
        if damages:
            raise DamagedError(damages)


def _bound_artefacts(step: Step) -> list[str]:
    bound = (text for text in step.assets.values() if text.startswith(ARTEFACT_SCHEME))
    return [text.removeprefix(ARTEFACT_SCHEME).partition("/")[0] for text in bound]


def adopt_shards(tasks: Sequence[Task], step: Step, workspace: Workspace) -> None:
    """Take over what was done to the same shards in another pool: the same step, fed by the same file, gives the same
    files. They are linked, so that no page is read twice because the pool has grown."""
    missing = [task for task in tasks if read_record(task.folder(step).task(task.index)) is None]
    prefix = step.artefact.rpartition("-")[0]
    others = [folder for folder in workspace.artefacts(f"{prefix}-*") if folder.name != step.artefact]
    if not missing or not others:
        return
    known = {}
    for folder in others:
        for place in (folder / "tasks").children("[0-9]*.json"):
            if record := read_record(place):
                known[record.fingerprint] = place
    for task in missing:
        found = known.get(task.plan.task_fingerprint(step, task.shard))
        if found is not None:
            _adopt(StageDir(found.parent.parent), int(found.stem), task.folder(step), task.index)


def _adopt(source: StageDir, theirs: int, target: StageDir, ours: int) -> None:
    record = read_record(source.task(theirs))
    if record is None:
        return
    outputs = {}
    for name, output in record.outputs.items():
        renamed = name.replace(f"{theirs:05d}", f"{ours:05d}")
        if not (source.root / name).exists():
            return
        (source.root / name).copy_to(target.root / renamed)
        outputs[renamed] = output
    record.outputs = outputs
    write_record(target.task(ours), record)


def _tell_cost(group: Step, card: Card, context: Context) -> None:
    """What the group's decisions will take, now that their input is known; a warning where that is too much."""
    assert card.accounting is not None
    predicted = group_cost(group, measured_corpus(card.accounting), context.num_workers)
    if predicted is None:
        return
    context.on_event(Event(kind="cost_predicted", fields=predicted.to_dict()))
    if warning := memory_warning(predicted):
        context.note(warning)


def _run_jobs(jobs: Sequence[Task] | Sequence[Decide], this_pass: Pass, context: Context) -> None:
    """Run the jobs that are not done, reporting each as an event. Raises DamagedError with all that they found damaged
    of their inputs, when the others are done."""
    waiting: list[Job] = [job for job in jobs if not job.is_done()]
    starts = {job.index: first_step_to_do(job) for job in waiting if isinstance(job, Task)}
    about = {"pass": this_pass.number} | _about(jobs, list(starts.values()), this_pass)
    total_bytes = sum(job.shard.size_bytes for job in waiting if isinstance(job, Task))
    fields = {"tasks": len(waiting), "skipped": len(jobs) - len(waiting), "input_bytes": total_bytes}
    tell: OnEvent = context.on_event
    tell(Event(kind="pass_started", fields=about | fields))
    reads = {
        job.index: str(job.folder(stored).shard(job.index))
        for job in waiting
        if isinstance(job, Task) and (stored := stored_input(job, starts[job.index])) is not None
    }
    damages, told = list[Damage](), set[str]()

    def finish(job: Job, answer: dict[str, Any], seconds: float) -> None:
        if DAMAGED in answer:
            damages.extend(answer[DAMAGED])
            return
        if isinstance(job, Task) and job.index in reads:
            context.verified.add(reads[job.index])
        if FALLBACK in answer and not told:
            told.add(answer[FALLBACK])
            context.note(f"{this_pass.output.label}: {answer[FALLBACK]}")
        tell(Event(kind="task_finished", fields=about | _describe(job) | answer | {"seconds": round(seconds, 3)}))

    def retry(job: Job, trouble: str) -> None:
        tell(Event(kind="task_retried", fields=about | _describe(job) | {"trouble": trouble}))

    def progress(rows_in_flight: int) -> None:
        tell(Event(kind="progress", fields={"rows": rows_in_flight}))

    given: list[Job] = [
        replace(job, verified=reads.get(job.index) in context.verified) if isinstance(job, Task) else job
        for job in waiting
    ]
    if given:
        context.engine.run(given, finish, retry, progress)
    if damages:
        raise DamagedError(damages)
    tell(Event(kind="pass_finished", fields=about))


def _about(jobs: Sequence[Task] | Sequence[Decide], starts: Sequence[int], this_pass: Pass) -> dict[str, Any]:
    """The steps that are really done (a pass begins after what is stored already: `starts` are positions of first
    steps), and what a job is called."""
    first = jobs[0]
    if isinstance(first, Decide):
        return {
            "stages": [f"{first.step.label} ({first.round.name})"],
            "unit": "decisions",
            "rows_are": "sketched rows",
        }
    steps = this_pass.steps[min(starts, default=0) :] or this_pass.steps[-1:]
    reads = (
        this_pass.steps[min(starts) - 1].label
        if starts and min(starts) > 0
        else this_pass.reads.label
        if this_pass.reads
        else None
    )
    return {"stages": [step.label for step in steps], "reads": reads, "unit": "shards", "rows_are": "documents"}


def _describe(job: Job) -> dict[str, Any]:
    if not isinstance(job, Task):
        return {"bucket": "all" if job.bucket == ALL else job.bucket}
    return {"shard": job.shard.name, "input_bytes": job.shard.size_bytes}
