"""A run: which artefacts of its workspace belong to one execution of a recipe, and what happened in it.

RUN/recipe.yaml  run.json  provenance.json  events.jsonl  report.html

`run.json` lists the artefacts in the order of the story. The artefact of a stage holds card.json, shards/, removed/,
quarantine/, sources/, tasks/ (and sketches/, decisions/ where a stage needs the whole corpus; tokens/ after tokenize).
"""

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import orjson

from tamis.base.cards import Card
from tamis.base.errors import ConfigError, DataError
from tamis.base.events import Event
from tamis.base.yaml_text import read_yaml
from tamis.store.atomic import read_json, storage_errors, write_bytes, write_json
from tamis.store.location import Location
from tamis.store.workspace import EVENTS, Workspace, workspace_of

RUN_FILE = "run.json"


@dataclass(frozen=True)
class StageDir:
    """Locations of one stage's files; `index` is the shard's position in the pool."""

    root: Location

    @property
    def card(self) -> Location:
        return self.root / "card.json"

    @property
    def tokens(self) -> Location:
        return self.root / "tokens"

    @property
    def shards(self) -> Location:
        return self.root / "shards"

    def shard(self, index: int) -> Location:
        return self.shards / f"{index:05d}.parquet"

    def jsonl(self, index: int, compression: str) -> Location:
        return self.root / "jsonl" / f"{index:05d}.jsonl.{compression}"

    def token_shard(self, index: int) -> Location:
        return self.tokens / f"{index:05d}.bin"

    def removed(self, index: int) -> Location:
        return self.root / "removed" / f"{index:05d}.parquet"

    def quarantine(self, index: int) -> Location:
        return self.root / "quarantine" / f"{index:05d}.parquet"

    def sources(self, index: int) -> Location:
        """Documents of a shard by host and language: in, and gone by reason."""
        return self.root / "sources" / f"{index:05d}.parquet"

    def sketch(self, index: int) -> Location:
        return self.root / "sketches" / f"{index:05d}.parquet"

    def sketch_errors(self, index: int) -> Location:
        """Rows of a shard that could not be sketched."""
        return self.root / "sketches" / f"{index:05d}.errors.parquet"

    def task(self, index: int) -> Location:
        return self.root / "tasks" / f"{index:05d}.json"

    def sketch_task(self, index: int) -> Location:
        return self.root / "tasks" / f"sketch-{index:05d}.json"

    def decisions(self, bucket: int) -> Location:
        return self.root / "decisions" / f"{bucket:05d}.parquet"

    def decide_task(self, bucket: int) -> Location:
        return self.root / "tasks" / f"decide-{bucket:05d}.json"

    def later_decision(self, round_number: int, job: int) -> Location:
        """The findings of a job of a round after `combine`."""
        return self.root / "decisions" / f"round{round_number}-{job:05d}.parquet"

    def later_task(self, round_number: int, job: int) -> Location:
        return self.root / "tasks" / f"decide-round{round_number}-{job:05d}.json"

    @property
    def combined(self) -> Location:
        return self.root / "decisions" / "combined.parquet"

    @property
    def combine_task(self) -> Location:
        return self.root / "tasks" / "combine.json"


@dataclass(frozen=True)
class Product:
    """An artefact made from a finished run: `kind` is model or evaluation, `settings` tells it from its siblings."""

    kind: str
    artefact: str
    settings: dict[str, Any]


class EventLog:
    """events.jsonl of a run or experiment: a line per event. An object store cannot append: there the file is written
    anew, at most every few seconds and at the end. One process writes it: the one that holds the lock of the run."""

    FLUSH_SECONDS = 5.0

    def __init__(self, place: Location) -> None:
        self.place = place
        self._pending: list[bytes] = []
        self._flushed = -math.inf
        self._continues = False

    def write(self, event: Event) -> None:
        line = orjson.dumps(event.to_dict()) + b"\n"
        if not self.place.is_remote:
            with storage_errors(self.place):
                self.place.parent.make_folder()
                with self.place.path.open("ab") as handle:
                    handle.write(line if self._continues else self._line_end() + line)
            self._continues = True
            return
        self._pending.append(line)
        if event.time - self._flushed >= self.FLUSH_SECONDS or event.kind in ("run_finished", "run_failed"):
            self.flush()
            self._flushed = event.time

    def _line_end(self) -> bytes:
        """What is missing of the last line, which a killed process may have left unfinished."""
        with self.place.open_read() as stream:
            if stream.seek(0, io.SEEK_END) == 0:
                return b""
            stream.seek(-1, io.SEEK_END)
            return b"" if stream.read(1) == b"\n" else b"\n"

    def flush(self) -> None:
        """Write what is not yet in the file. Call it when nothing follows."""
        if self._pending:
            before = self._line_end().join((self.place.read_bytes(), b"")) if self.place.exists() else b""
            write_bytes(self.place, before + b"".join(self._pending))
            self._pending.clear()


def read_events(place: Location) -> list[dict[str, Any]]:
    """Events in order; what is no event, as a line cut off by a crash, is left out."""
    if not place.exists():
        return []
    out = []
    for line in place.read_bytes().splitlines():
        try:
            event = orjson.loads(line)
        except orjson.JSONDecodeError:
            continue
        if isinstance(event, dict) and isinstance(event.get("kind"), str):
            out.append(event)
    return out


def _is_run(state: Any) -> bool:
    """Whether the content of a run.json has the form that `RunDir` writes."""
    try:
        steps, uses, products = state["steps"], state["uses"], state["products"]
        names = [*(item["artefact"] for item in (*steps, *products)), *uses]
        return (
            all(isinstance(part, list) for part in (steps, uses, products))
            and all(isinstance(name, str) and name.strip(".") and "/" not in name for name in names)
            and all(isinstance(item["step"], str) for item in steps)
            and all(item.keys() == {"kind", "artefact", "settings"} for item in products)
            and all(isinstance(item["settings"]["seed"], int) for item in products)
        )
    except (KeyError, TypeError, AttributeError, IndexError):
        return False


def read_card(place: Location) -> Card:
    """The card at `place`. Raises FileNotFoundError, and DataError when it is not as it was written."""
    data = read_json(place)
    try:
        card = Card.from_dict(data)
        if all(isinstance(part, str) for part in (card.fingerprint, card.name, *card.parents)) and isinstance(
            card.details, dict
        ):
            return card
    except (KeyError, TypeError, AttributeError, ValueError):
        pass
    raise DataError(f"{place}: this card is damaged. Run the recipe that made it again: its work is not done again.")


class RunDir:
    """One run. Reading needs nothing but the workspace it lies in."""

    def __init__(self, root: "Location | str") -> None:
        self.root = Location(root)

    def __repr__(self) -> str:
        return f"RunDir({str(self.root)!r})"

    @cached_property
    def workspace(self) -> Workspace:
        return workspace_of(self.root)

    @property
    def recipe(self) -> Location:
        return self.root / "recipe.yaml"

    @property
    def provenance(self) -> Location:
        return self.root / "provenance.json"

    @property
    def report(self) -> Location:
        return self.root / "report.html"

    @cached_property
    def log(self) -> EventLog:
        return EventLog(self.root / EVENTS)

    def read_events(self) -> list[dict[str, Any]]:
        return read_events(self.root / EVENTS)

    def state(self) -> tuple[str, str]:
        """(finished | failed | unfinished, message): what the newest event says of a failure, else what the artefacts
        say. A run of an experiment can be finished by work that another run did."""
        kinds = ("run_started", "run_finished", "run_failed")
        ends = (event for event in reversed(self.read_events()) if event.get("kind") in kinds)
        last: dict[str, Any] = next(ends, {})
        if last.get("kind") == "run_failed":
            return "failed", str(last.get("error", ""))
        steps = self.steps()
        return ("finished" if steps and len(self.cards()) == len(steps) else "unfinished"), ""

    def read_recipe(self) -> dict[str, Any]:
        """The recipe as it was resolved. Raises DataError when it is missing or damaged."""
        try:
            found = read_yaml(self.recipe.read_text(), "recipe.yaml")
            if isinstance(found, dict) and isinstance(found.get("name"), str):
                return found
            reason = "it is no recipe"
        except (ConfigError, DataError) as error:
            reason = str(error)
        except FileNotFoundError:
            reason = "missing"
        raise DataError(
            f"{self.recipe}: damaged ({reason}). Type the command that made the run again, which writes it anew."
        )

    def has_recipe(self) -> bool:
        try:
            return bool(self.read_recipe())
        except DataError:
            return False

    @property
    def name(self) -> str:
        return str(self.read_recipe()["name"])

    # Which artefacts belong to it.

    def _state(self) -> dict[str, Any]:
        place = self.root / RUN_FILE
        if not place.exists():
            return {"steps": [], "uses": [], "products": []}
        try:
            state = read_json(place)
            if _is_run(state):
                return dict(state)
        except DataError:
            pass
        raise DataError(
            f"{place}: this file is damaged. Delete it, and type the commands that made the run again (tamis run, "
            "train, eval): what is finished is found, not made again."
        )

    def steps(self) -> dict[str, str]:
        """Step, as `03_filter`, -> name of its artefact, in story order."""
        return {item["step"]: item["artefact"] for item in self._state()["steps"]}

    def uses(self) -> list[str]:
        """Artefacts that its steps use and that are no steps: a tokenizer, held-out sets."""
        return list(self._state()["uses"])

    def record_steps(self, steps: dict[str, str], uses: Sequence[str]) -> bool:
        """Write which artefacts the run consists of; what was made from it stays listed. A run that was cut short (as
        by `--until`) and agrees with what is listed changes nothing, and the answer is False."""
        state, new = self._state(), [{"step": step, "artefact": name} for step, name in steps.items()]
        if state["steps"][: len(new)] == new:
            return False
        write_json(self.root / RUN_FILE, state | {"steps": new, "uses": list(uses)})
        return True

    def products(self, kind: str) -> list[Product]:
        """What was made from this run, or from an earlier state of it, in the order in which it was made."""
        return [Product(**item) for item in self._state()["products"] if item["kind"] == kind]

    def add_product(self, product: Product) -> None:
        state = self._state()
        others = [item for item in state["products"] if item["artefact"] != product.artefact]
        write_json(self.root / RUN_FILE, state | {"products": [*others, vars(product)]})

    def stage(self, step: str) -> StageDir:
        """The artefact of a step such as `03_filter`."""
        return StageDir(self.workspace.artefact(self.steps()[step]))

    def cards(self) -> list[tuple[str, Card]]:
        """(step, card) of every finished stage, in story order."""
        found = ((step, StageDir(self.workspace.artefact(name)).card) for step, name in self.steps().items())
        return [(step, read_card(place)) for step, place in found if place.exists()]

    def dataset(self) -> StageDir | None:
        """The last finished stage that stored its documents."""
        for step, _ in reversed(self.cards()):
            if self.stage(step).shards.is_folder():
                return self.stage(step)
        return None

    def tokens(self) -> Location | None:
        """Folder of the token shards of the run as it is now; None when it has none, or is not finished."""
        steps = self.cards()
        if len(steps) < len(self.steps()):
            return None
        for step, _ in reversed(steps):
            folder = self.stage(step).tokens
            if (folder / "manifest.json").exists():
                return folder
        return None


def open_run(place: "Location | str") -> RunDir:
    """The run at `place`. Raises ConfigError when there is none."""
    run = RunDir(Location(place).absolute())
    if not (run.root / RUN_FILE).exists():
        raise ConfigError(
            f"{place}: no run here ({RUN_FILE} is missing). Runs are made by: tamis run RECIPE; `ls` shows those of a "
            "workspace."
        )
    return run
