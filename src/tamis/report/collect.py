"""What a report needs to know of one run directory, read from its cards, events and results: never from its documents.

Reading is forgiving on purpose: a report of a failed or half-copied run is when one is needed most. Whatever cannot be
read is named in `RunView.problems`, and the page shows it.
"""

import json
import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tamis.base.errors import ConfigError
from tamis.report.scores import Score, as_dict, as_list, number, read_scores, whole


@dataclass(frozen=True, kw_only=True)
class Amount:
    """Documents, and bytes of their text."""

    rows: int = 0
    text_bytes: int = 0


@dataclass(kw_only=True)
class StageView:
    """One stage as its card tells it; `status` is done, broken (unreadable card), unfinished or missing."""

    name: str
    folder: str = ""
    status: str = "done"
    taken: Amount = Amount()
    kept: Amount = Amount()
    removed: dict[str, Amount] = field(default_factory=dict)
    quarantined: dict[str, Amount] = field(default_factory=dict)
    card: dict[str, Any] = field(default_factory=dict)
    manifest: dict[str, Any] = field(default_factory=dict)
    """Of its token shards, where it wrote any."""

    @property
    def details(self) -> dict[str, Any]:
        return as_dict(self.card.get("details"))

    @property
    def lost_rows(self) -> int:
        """Rows of `taken` that are in no other column: zero, or the books do not balance."""
        gone = [*self.removed.values(), *self.quarantined.values()]
        return self.taken.rows - self.kept.rows - sum(amount.rows for amount in gone)

    @property
    def edited_bytes(self) -> int:
        """Text that the stage added (positive) or cut (negative) inside the documents that it kept."""
        gone = [*self.removed.values(), *self.quarantined.values()]
        return self.kept.text_bytes - self.taken.text_bytes + sum(amount.text_bytes for amount in gone)


@dataclass(kw_only=True)
class Timing:
    """Work of one pass, group decision or model step. `task_seconds` adds up its tasks, which may run side by side."""

    name: str
    tasks: int = 0
    retries: int = 0
    wall_seconds: float = 0.0
    task_seconds: float = 0.0
    rows: int = 0
    input_bytes: int = 0
    peak_bytes: int = 0


@dataclass(kw_only=True)
class RunView:
    """Everything the page shows of one run."""

    path: Path
    label: str
    recipe: dict[str, Any]
    recipe_text: str
    provenance: dict[str, Any]
    stages: list[StageView]
    timings: list[Timing]
    status: str
    failure: str
    started: float
    wall_seconds: float
    losses: list[tuple[float, float]]
    loss_axis: str
    scores: list[Score]
    later: dict[str, str]
    """`train` and `evaluate` -> done, missing, unfinished; only those that the recipe asks for or that are there."""
    cards: dict[str, dict[str, Any]]
    problems: list[str]

    @property
    def pool(self) -> StageView | None:
        return next((stage for stage in self.stages if stage.status == "done"), None)

    @property
    def last(self) -> StageView | None:
        return next((stage for stage in reversed(self.stages) if stage.status == "done"), None)

    @property
    def tokens(self) -> int:
        """Tokens that the tokenize card counts; 0 when there is none."""
        return next((found for stage in reversed(self.stages) if (found := stage_tokens(stage))), 0)

    @property
    def bytes_per_token(self) -> float:
        """Measured where the run tokenized; NaN when it did not."""
        for stage in reversed(self.stages):
            if tokens := stage_tokens(stage):
                return stage.kept.text_bytes / tokens if stage.kept.text_bytes else math.nan
        return math.nan


def stage_tokens(stage: StageView) -> int:
    """Tokens that a stage's card or its token manifest counts; 0 when neither does."""
    return whole(stage.details.get("num_tokens")) or whole(stage.manifest.get("num_tokens"))


class Reader:
    """Reads the files of one run directory and remembers what was wrong with them."""

    def __init__(self, run: Path) -> None:
        self.run = run
        self.problems: list[str] = []

    def text(self, name: str) -> str | None:
        path = self.run / name
        try:
            return path.read_bytes().decode("utf-8", errors="replace") if path.is_file() else None
        except OSError as error:
            self.problems.append(f"{name}: {error.strerror}")
            return None

    def json(self, name: str) -> Any:
        """None when the file is absent; None and a problem when it is broken."""
        text = self.text(name)
        if text is None:
            return None
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            self.problems.append(f"{name}: not valid JSON")
            return None

    def lines(self, name: str) -> Iterator[dict[str, Any]]:
        """Objects of a JSON-lines file; broken lines (a killed run leaves one) are counted and passed over."""
        broken = 0
        for line in (self.text(name) or "").splitlines():
            if not line.strip():
                continue
            try:
                item = json.loads(line)
            except (ValueError, RecursionError):
                item = None
            if isinstance(item, dict):
                yield item
            else:
                broken += 1
        if broken:
            self.problems.append(f"{name}: {broken} unreadable line{'s' * (broken > 1)}")

    def yaml(self, name: str) -> tuple[dict[str, Any], str]:
        text = self.text(name)
        if text is None:
            self.problems.append(f"{name}: missing")
            return {}, ""
        try:
            return as_dict(yaml.safe_load(text)), text
        except yaml.YAMLError:
            self.problems.append(f"{name}: not valid YAML")
            return {}, text


def read_run(run: Path) -> RunView:
    """Raises ConfigError when `run` is no directory; anything less is told in `problems`."""
    if not run.is_dir():
        raise ConfigError(f"{run}: no such run directory. Runs are made by `tamis run RECIPE --output DIR`.")
    reader = Reader(run)
    recipe, recipe_text = reader.yaml("recipe.yaml")
    events = list(reader.lines("events.jsonl"))
    later_cards = {name: as_dict(reader.json(f"{name}/card.json")) for name in ("train", "evaluate")}
    axis, losses = _losses(reader.lines("train/metrics.jsonl"))
    status, failure = _status(events)
    times = [time for event in events if math.isfinite(time := number(event.get("time")))]
    return RunView(
        path=run, label=str(recipe.get("name") or run.name), recipe=recipe, recipe_text=recipe_text,
        provenance=as_dict(reader.json("provenance.json")), stages=_stages(reader, recipe, status),
        timings=_timings(events), status=status, failure=failure, started=times[0] if times else math.nan,
        wall_seconds=_wall(events), losses=losses, loss_axis=axis,
        scores=read_scores(reader.json("evaluate/results.json")),
        later=_later(run, recipe, later_cards), cards={k: v for k, v in later_cards.items() if v},
        problems=reader.problems,
    )  # fmt: skip


def label_apart(runs: Iterable[RunView]) -> None:
    """Give runs of the same recipe different labels, from the names of their directories."""
    runs = list(runs)
    labels = [run.label for run in runs]
    for run in runs:
        if labels.count(run.label) > 1:
            run.label = f"{run.label} ({run.path.name})"
    seen: dict[str, int] = {}
    for run in runs:
        seen[run.label] = seen.get(run.label, 0) + 1
        if seen[run.label] > 1:
            run.label = f"{run.label} #{seen[run.label]}"


def _stages(reader: Reader, recipe: dict[str, Any], status: str) -> list[StageView]:
    """Stage folders in order, then, unless the run finished, the recipe's steps that have none."""
    folders = sorted(p.name for p in reader.run.iterdir() if p.is_dir() and re.fullmatch(r"\d+_.+", p.name))
    stages = []
    for folder in folders:
        problems = len(reader.problems)
        card = reader.json(f"{folder}/card.json")
        manifest = as_dict(reader.json(f"{folder}/tokens/manifest.json"))
        stage = StageView(name=folder.split("_", 1)[1], folder=folder, manifest=manifest)
        if isinstance(card, dict) and isinstance(card.get("counts"), dict):
            _fill(stage, card)
        else:
            stage.status = "broken" if card is not None or len(reader.problems) > problems else "unfinished"
            if card is not None:
                reader.problems.append(f"{folder}/card.json: no counts")
        stages.append(stage)
    entries = as_list(recipe.get("stages"))
    steps = [str(name) for entry in entries for name in (entry if isinstance(entry, dict) else [entry])]
    names = [stage.name for stage in stages]
    missing = []
    for step in steps if status != "finished" else []:
        matches = [name for name in names if _belongs(name, step)]
        if matches:
            names.remove(matches[0])
        else:
            missing.append(StageView(name=step, status="missing"))
    return stages + missing


def _belongs(stage: str, step: str) -> bool:
    """Whether a stage came from this step of the recipe (a step may become several stages: `dedup_exact`, …)."""
    return stage == step or stage.startswith((f"{step}_", f"{step}-", f"{step}."))


def _fill(stage: StageView, card: dict[str, Any]) -> None:
    rows, text = as_dict(card.get("counts")), as_dict(card.get("text_bytes"))
    stage.card = card
    stage.name = str(card.get("name") or stage.name)
    stage.taken = Amount(rows=whole(rows.get("in")), text_bytes=whole(text.get("in")))
    stage.kept = Amount(rows=whole(rows.get("kept")), text_bytes=whole(text.get("kept")))
    for place, name in ((stage.removed, "removed"), (stage.quarantined, "quarantined")):
        counted, sized = as_dict(rows.get(name)), as_dict(text.get(name))
        for reason in sorted({*counted, *sized}, key=lambda r: (-whole(counted.get(r)), r)):
            place[reason] = Amount(rows=whole(counted.get(reason)), text_bytes=whole(sized.get(reason)))


def _later(run: Path, recipe: dict[str, Any], cards: dict[str, dict[str, Any]]) -> dict[str, str]:
    found = {}
    for name in ("train", "evaluate"):
        if cards[name]:
            found[name] = "done"
        elif (run / name).is_dir():
            found[name] = "unfinished"
        elif recipe.get(name):
            found[name] = "missing"
    return found


def _losses(lines: Iterable[dict[str, Any]]) -> tuple[str, list[tuple[float, float]]]:
    """The training loss against tokens seen where the log has them, against steps otherwise."""
    points: dict[str, list[tuple[float, float]]] = {"tokens": [], "step": []}
    for line in lines:
        loss = number(line.get("loss"))
        for axis in points:
            x = number(line.get(axis))
            if math.isfinite(loss) and math.isfinite(x):
                points[axis].append((x, loss))
    axis = "tokens" if points["tokens"] else "step"
    return axis, sorted(dict(points[axis]).items())


def _timings(events: list[dict[str, Any]]) -> list[Timing]:
    """Per pass, decision and model step, in order of first appearance, over all attempts."""
    found: dict[str, Timing] = {}
    started: dict[str, float] = {}
    for event in events:
        kind, time = str(event.get("kind")), number(event.get("time"))
        prefix, _, what = kind.partition("_")
        if prefix not in ("task", "pass", "step", "decide"):
            continue
        name = _work_name(event)
        if what == "started":
            started[name] = time
        timing = found.setdefault(name, Timing(name=name))
        if prefix != "task" and what == "finished":
            spent = time - started.pop(name, math.nan)
            timing.wall_seconds += spent if math.isfinite(spent) else 0.0
        if what == "retried":
            timing.retries += 1
        elif kind in ("task_finished", "task_failed"):
            timing.tasks += 1
            seconds = number(event.get("seconds"))
            timing.task_seconds += seconds if math.isfinite(seconds) else 0.0
            timing.rows += whole(event.get("rows"))
            timing.input_bytes += whole(event.get("input_bytes"))
        timing.peak_bytes = max(timing.peak_bytes, whole(event.get("peak_memory_bytes")))
    return [timing for timing in found.values() if timing.tasks or timing.wall_seconds or timing.retries]


def _work_name(event: dict[str, Any]) -> str:
    """`pool + extract + filter` for a pass over those stages, with its number when the event gives nothing better."""
    stages = [re.sub(r"^\d+_", "", str(name)) for name in as_list(event.get("stages"))]
    if stages:
        return " + ".join(stages)
    name = event.get("stage", event.get("pass"))
    return f"pass {name}" if isinstance(name, int) else re.sub(r"^\d+_", "", str(name or "run"))


def _status(events: list[dict[str, Any]]) -> tuple[str, str]:
    """(finished | failed | unfinished | unknown, message) of the latest attempt."""
    if not events:
        return "unknown", ""
    ends = [event for event in events if event.get("kind") in ("run_started", "run_finished", "run_failed")]
    last = ends[-1] if ends else {}
    if last.get("kind") == "run_failed":
        return "failed", str(last.get("error", ""))
    return ("finished", "") if last.get("kind") == "run_finished" else ("unfinished", "")


def _wall(events: list[dict[str, Any]]) -> float:
    """Seconds of all attempts, each from its start to its end; one that was killed ends at its last event."""
    total, start, latest = 0.0, math.nan, math.nan
    seen = False
    for event in events:
        kind, time = event.get("kind"), number(event.get("time"))
        if not math.isfinite(time):
            continue
        if kind == "run_started":
            total += latest - start if math.isfinite(start) else 0.0
            start, seen = time, True
        latest = time
        if kind in ("run_finished", "run_failed") and math.isfinite(start):
            total, start = total + time - start, math.nan
    total += latest - start if math.isfinite(start) else 0.0
    return total if seen else math.nan
