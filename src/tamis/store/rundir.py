"""The run directory: where each kind of file of a run lives. `ls` tells the story in order.

recipe.yaml  provenance.json  events.jsonl
01_pool/ 02_extract/ …   one numbered folder per stage: card.json shards/ removed/ quarantine/ tasks/
                         (and sketches/ decisions/ where a stage needs the whole corpus)
train/  evaluate/  report.html
"""

import fcntl
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from tamis.base.cards import Card
from tamis.base.errors import ConfigError
from tamis.base.events import Event
from tamis.store.atomic import read_json, storage_errors

STAGE_FOLDER = re.compile(r"^(\d\d)_([a-z][a-z0-9_]*)$")


@dataclass(frozen=True)
class StageDir:
    """Paths of one stage's files; `index` is the shard's position in the pool."""

    root: Path

    @property
    def card(self) -> Path:
        return self.root / "card.json"

    @property
    def tokens(self) -> Path:
        return self.root / "tokens"

    def shard(self, index: int) -> Path:
        return self.root / "shards" / f"{index:05d}.parquet"

    def jsonl(self, index: int, compression: str) -> Path:
        return self.root / "jsonl" / f"{index:05d}.jsonl.{compression}"

    def token_shard(self, index: int) -> Path:
        return self.tokens / f"{index:05d}.bin"

    def removed(self, index: int) -> Path:
        return self.root / "removed" / f"{index:05d}.parquet"

    def quarantine(self, index: int) -> Path:
        return self.root / "quarantine" / f"{index:05d}.parquet"

    def sketch(self, index: int) -> Path:
        return self.root / "sketches" / f"{index:05d}.parquet"

    def task(self, index: int) -> Path:
        return self.root / "tasks" / f"{index:05d}.json"

    def sketch_task(self, index: int) -> Path:
        return self.root / "tasks" / f"sketch-{index:05d}.json"

    def decisions(self, bucket: int) -> Path:
        return self.root / "decisions" / f"{bucket:05d}.parquet"

    def decide_task(self, bucket: int) -> Path:
        return self.root / "tasks" / f"decide-{bucket:05d}.json"

    @property
    def combined(self) -> Path:
        return self.root / "decisions" / "combined.parquet"

    @property
    def combine_task(self) -> Path:
        return self.root / "tasks" / "combine.json"


@dataclass(frozen=True)
class RunDir:
    """One execution of a recipe."""

    root: Path

    @property
    def recipe(self) -> Path:
        return self.root / "recipe.yaml"

    @property
    def provenance(self) -> Path:
        return self.root / "provenance.json"

    @property
    def events(self) -> Path:
        return self.root / "events.jsonl"

    @property
    def train(self) -> Path:
        return self.root / "train"

    @property
    def evaluate(self) -> Path:
        return self.root / "evaluate"

    @property
    def report(self) -> Path:
        return self.root / "report.html"

    def stage(self, folder: str) -> StageDir:
        return StageDir(self.root / folder)

    def stage_folders(self) -> list[str]:
        """Names of the stage folders present, in story order."""
        if not self.root.is_dir():
            return []
        return sorted(p.name for p in self.root.iterdir() if p.is_dir() and STAGE_FOLDER.match(p.name))

    def cards(self) -> list[tuple[str, Card]]:
        """(folder, card) of every finished stage, in story order."""
        found = ((folder, self.stage(folder).card) for folder in self.stage_folders())
        return [(folder, Card.from_dict(read_json(path))) for folder, path in found if path.exists()]

    def prepare(self, folders: list[str]) -> None:
        """Create the directory; delete what an interrupted writer or a recipe with other stages left behind."""
        with storage_errors(self.root):
            self.root.mkdir(parents=True, exist_ok=True)
            self.sweep()
            for folder in self.stage_folders():
                if folder not in folders:
                    shutil.rmtree(self.root / folder)

    def sweep(self) -> None:
        """Delete unfinished files of writers that are gone."""
        for stale in self.root.rglob(".*.tmp"):
            stale.unlink(missing_ok=True)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the directory for one writer. Raises ConfigError when another run is working in it."""
        with storage_errors(self.root):
            self.root.mkdir(parents=True, exist_ok=True)
            handle = (self.root / ".lock").open("w")
        with handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ConfigError(
                    f"{self.root}: another run is working here. Wait for it, or choose another --output."
                ) from None
            yield

    def log(self, event: Event) -> None:
        with storage_errors(self.events), self.events.open("ab") as handle:
            handle.write(orjson.dumps(event.to_dict()) + b"\n")

    def read_events(self) -> list[dict[str, Any]]:
        """Events in order; a line cut off by a crash is passed over."""
        if not self.events.exists():
            return []
        out = []
        for line in self.events.read_bytes().splitlines():
            try:
                out.append(orjson.loads(line))
            except orjson.JSONDecodeError:
                continue
        return out


def open_run(path: Path) -> RunDir:
    """The run at `path`. Raises ConfigError when there is none."""
    if not (path / "recipe.yaml").exists():
        raise ConfigError(
            f"{path}: no run here (recipe.yaml is missing). Runs are made by `tamis run RECIPE --output DIR`."
        )
    return RunDir(path)
