"""Documents for the tests of the library, and runs of one step on them in the memory of this process."""

import json
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from tamis import flow
from tamis.commands import Session, run_recipe
from tamis.stages.quality.positives import python_topics
from tamis.stages.tokenize.bpe import train_tokenizer
from tamis.store.identity import document_id
from tamis.store.location import Location
from tamis.store.workspace import open_workspace

GERMAN = "Der Hund und die Katze gehen an einem schönen Tag in den Wald, und dort treffen sie einen Bären. "
MAIL = "Write to anna.bell@example.com, or call +1 415 555 2671 between nine and five. "


def texts() -> list[str]:
    """Good prose, exact copies, near copies, shared passages, German, a menu, personal data, an empty text."""
    prose = [text for text in python_topics() if len(text.split()) > 120][:24]
    near = [text.replace(" the ", " the very ", 1) for text in prose[:5]]
    shared = [f"{prose[7]}\n\n{' '.join(prose[number].split()[:80])}" for number in (8, 9)]
    return [*prose, *prose[2:6], *near, *shared, GERMAN * 8, "Home\nMenu\nLogin", MAIL * 12, "", "…"]


def records() -> list[dict[str, str]]:
    """The documents with the URLs and the ids that they have in a pool."""
    found = []
    for number, text in enumerate(texts()):
        url = f"https://site{number % 5}.example/{number}"
        found.append({"id": document_id("", url, text.encode()), "url": url, "text": text})
    return found


def table() -> pa.Table:
    return pa.Table.from_pylist(records())


def write_pool(folder: Path) -> Path:
    pool = folder / "pool.jsonl"
    pool.write_text("".join(json.dumps(record) + "\n" for record in records()), encoding="utf-8")
    return pool


def write_tokenizer(folder: Path) -> Path:
    place = folder / "tokenizer.json"
    place.write_bytes(train_tokenizer(texts(), 400))
    return place


def run_step(stages: Sequence[Any], pool: Path, workspace: str | None = None) -> str:
    """Run a recipe of these stages in a workspace, by default one in memory; the path or URI of the run."""
    opened = open_workspace(Location(workspace or f"memory://{uuid.uuid4()}"))
    session = Session(workspace=opened, num_workers=1, on_event=lambda event: None)
    raw = {"name": "run", "stages": list(stages), "quarantine_budget": 1.0}
    run_recipe(session, flow.compile_run("run", flow.resolve(raw, [str(pool)])))
    return str(opened.root / "run")
