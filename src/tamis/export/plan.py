"""What an export consists of, known before anything is written: the stage, its shards, and the documents of every file.

The completion records of a stage say how many documents each shard has, so that files of a given number of documents
can be written one by one, in any order and at the same time, and an interrupted export is continued with the files that
are missing.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from tamis.base import columns
from tamis.base.cards import Card
from tamis.base.errors import ConfigError, DataError, did_you_mean
from tamis.export.layouts import Layout, layout_of
from tamis.runner.ledger import read_record
from tamis.store.location import Location
from tamis.store.rundir import RunDir, StageDir
from tamis.store.shards import schema_of

VERSION = 1
"""Bumped whenever the files of an export can change for the same documents and options."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """How a run is exported, as the user asks for it."""

    layout: str
    stage: str | None = None
    compression: str | None = None
    documents_per_file: int | None = None
    licence: str | None = None


@dataclass(frozen=True)
class Part:
    """Consecutive documents of one shard: `count` of them, after the first `skip`."""

    shard: int
    skip: int
    count: int


@dataclass(frozen=True)
class PlannedFile:
    """One file of an export: its path below the folder, and the documents in it."""

    name: str
    parts: tuple[Part, ...]

    @property
    def num_documents(self) -> int:
        return sum(part.count for part in self.parts)


@dataclass(frozen=True, kw_only=True)
class ExportPlan:
    """Everything about an export but the folder. `step` is the stage whose documents are exported, as `06_cut`."""

    run: RunDir
    step: str
    card: Card
    stage: StageDir
    layout: Layout
    files: tuple[PlannedFile, ...]
    options: Options
    source: str
    """The name of the run, which Dolma's records name as their source."""
    columns: tuple[str, ...]

    @property
    def num_documents(self) -> int:
        return sum(file.num_documents for file in self.files)

    def identity(self) -> dict[str, Any]:
        """All that decides the bytes of the files."""
        return {
            "version": VERSION,
            "run": self.source,
            "stage": self.step,
            "fingerprint": self.card.fingerprint,
            "format": self.layout.name,
            "compression": self.options.compression or next(iter(self.layout.endings)),
            "documents_per_file": self.options.documents_per_file,
        }


def make_plan(run: RunDir, options: Options) -> ExportPlan:
    """Raises ConfigError for a stage that the run does not have, did not finish or did not store, and for options that
    contradict each other; DataError where the accounting does not balance."""
    layout = layout_of(options.layout)
    ending = layout.ending(options.compression)
    step, card = _finished_step(run, options.stage)
    stage = run.stage(step)
    counts = _counts(run, step, stage)
    assert card.accounting is not None
    if sum(counts) != card.accounting.kept:
        raise DataError(
            f"{stage.root}: its records count {sum(counts)} documents, its card {card.accounting.kept}. Type: "
            f"tamis verify {run.workspace.root} ; and then run the recipe again."
        )
    first = next((index for index, count in enumerate(counts) if count), None)
    names = schema_of(stage.shard(first)).names if first is not None else []
    if columns.CONTENT in names or (names and columns.TEXT not in names):
        later = [name for name in stored_steps(run) if name > step]
        raise ConfigError(
            f"--stage {options.stage or step}: the text of its documents is not extracted yet. "
            + (f"Type: --stage {later[-1]}" if later else "Run a recipe with the stage 'extract'.")
        )
    groups = _grouped(counts, options.documents_per_file)
    files = tuple(
        PlannedFile(layout.file_name(number, len(groups), ending), group) for number, group in enumerate(groups)
    )
    return ExportPlan(
        run=run, step=step, card=card, stage=stage, layout=layout, files=files, options=options, source=run.root.name,
        columns=tuple(names),
    )  # fmt: skip


def stored_steps(run: RunDir) -> list[str]:
    """The finished steps that stored their documents, in order."""
    return [step for step, _ in run.cards() if run.stage(step).shards.is_folder()]


def run_again(run: RunDir) -> str:
    """The command that goes on with a run, or with the experiment that it belongs to."""
    experiment = run.root.parent / "experiment.yaml"
    if experiment.exists():
        return f"tamis experiment {experiment} --workspace {run.workspace.root}"
    return f"tamis run {run.recipe} --workspace {run.workspace.root} --name {run.root.name}"


def _finished_step(run: RunDir, wanted: str | None) -> tuple[str, Card]:
    """The step whose documents are exported: the last of the run, which always stores them, or the one that the user
    names, as `filter` or `03_filter`."""
    steps, cards = list(run.steps()), dict(run.cards())
    again = run_again(run)
    stored = stored_steps(run)
    instead = f" ; or export what is stored: --stage {stored[-1]}" if stored else ""
    if wanted is None:
        if len(cards) < len(steps) or not steps:
            raise ConfigError(f"{run.root}: this run is not finished. To go on, type: {again}{instead}")
        return steps[-1], cards[steps[-1]]
    # Of a stage that stands in the recipe several times, the last is meant.
    found = [step for step in steps if wanted in (step, step.partition("_")[2])]
    if not found:
        names = [step.partition("_")[2] for step in steps]
        raise ConfigError(f"--stage {wanted}: this run has no such stage{did_you_mean(wanted, names)}")
    step = found[-1]
    if step not in cards:
        raise ConfigError(f"--stage {wanted}: {step} is not finished. To go on, type: {again}{instead}")
    if step not in stored:
        raise ConfigError(
            f"--stage {wanted}: {step} did not store its documents, because the next step read them as they came. To "
            f"store them, type: {again} --until {step.partition('_')[2]}{instead}"
        )
    return step, cards[step]


def _counts(run: RunDir, step: str, stage: StageDir) -> list[int]:
    """Documents of every shard."""
    counts: dict[int, int] = {}
    for place in (stage.root / "tasks").children("[0-9]*.json"):
        record = read_record(place)
        if record is None or not record.stored:
            raise ConfigError(
                f"{run.root}: {step} has to be made again ({place} is not a valid record). Type: {run_again(run)}"
            )
        counts[int(place.stem)] = record.accounting.kept
    return [counts.get(index, 0) for index in range(max(counts, default=-1) + 1)]


def _grouped(counts: Sequence[int], documents_per_file: int | None) -> list[tuple[Part, ...]]:
    """The documents of every file: those of a shard, or a given number of them."""
    if documents_per_file is None:
        return [(Part(shard, 0, count),) for shard, count in enumerate(counts) if count]
    groups: list[tuple[Part, ...]] = []
    current: list[Part] = []
    room = documents_per_file
    for shard, count in enumerate(counts):
        skip = 0
        while skip < count:
            taken = min(room, count - skip)
            current.append(Part(shard, skip, taken))
            skip, room = skip + taken, room - taken
            if room == 0:
                groups.append(tuple(current))
                current, room = [], documents_per_file
    return groups + ([tuple(current)] if current else [])


def shard_places(plan: ExportPlan, file: PlannedFile) -> Iterator[tuple[Part, Location, Location]]:
    """The parts of a file, with the shard that each is read from, and the record of that shard."""
    for part in file.parts:
        yield part, plan.stage.shard(part.shard), plan.stage.task(part.shard)
