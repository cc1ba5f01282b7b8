"""Reads files of a pool, each in a process of its own whose time and memory are bounded, and tells what came out.

Called as `python reader.py CPU_SECONDS MEMORY_BYTES FILE…`; prints one JSON object per file. A file's rows go through
the pool, the extraction and the measures of every published rule set, so that the bounds hold for what is done to a
page. Time is that of the processor, so that other work on the machine changes nothing; a page that needs too much is
ended by the kernel.
"""

import hashlib
import json
import os
import resource
import sys
import tempfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from tamis.base import columns
from tamis.base.errors import TamisError
from tamis.base.recipe import Recipe
from tamis.base.stage import Map, StageContext
from tamis.flow import build_stage
from tamis.stages.pool.stage import PoolShard, build

RULE_SETS = ("gopher", "c4", "refinedweb", "fineweb")


def stages() -> list[tuple[Map, bool]]:
    """The maps that are tried, and whether the next one gets what they made: edits of one rule set do not reach the
    next."""
    recipe = Recipe(name="reader", stages=[])
    made = build_stage("extract", {}, recipe)
    found = [(stage, True) for stage in made if isinstance(stage, Map)]
    for rules in RULE_SETS:
        found += [(stage, False) for stage in build_stage("filter", {"rules": rules}, recipe) if isinstance(stage, Map)]
    for stage, _ in found:
        stage.open(StageContext(seed=0))
    return found


def read(path: str, maps: list[tuple[Map, bool]]) -> dict[str, Any]:
    """Rows, notes and errors of one file; `raised` says which stage raised what."""
    recipe = Recipe(name="reader", stages=[])
    pool = build({"inputs": [path]}, recipe)
    shard = PoolShard(name=Path(path).name, uri=path, size_bytes=Path(path).stat().st_size, fingerprint="")
    rows: list[dict[str, Any]] = []
    raised: list[str] = []
    try:
        for batch in pool.read(shard):
            rows += map(summary, batch.to_pylist())
            live = batch.filter(pc.and_(pc.is_null(batch["error"]), pc.is_null(batch["drop_reason"])))
            if live.num_rows:
                raised += apply_all(live, maps)
    except TamisError as error:
        raised.append(f"pool: {error}")
    return {"rows": rows, "notes": pool.notes(), "raised": raised}


def apply_all(batch: pa.RecordBatch, maps: list[tuple[Map, bool]]) -> list[str]:
    raised = []
    for stage, goes_on in maps:
        try:
            out = stage.apply(batch)
        except (
            ValueError,
            TypeError,
            IndexError,
            KeyError,
            OverflowError,
            ArithmeticError,
            MemoryError,
            OSError,
        ) as error:
            raised.append(f"{stage.name}: {error!r}")
            continue
        if goes_on:
            batch = out.filter(pc.is_null(out["error"]))
    return raised


def summary(row: dict[str, Any]) -> dict[str, Any]:
    """A row with its content and text as digests."""
    return {
        "id": row[columns.ID],
        "url": row[columns.URL],
        "error": row[columns.ERROR],
        "drop_reason": row[columns.DROP_REASON],
        "content": digest(row[columns.CONTENT]),
        "text": digest((row[columns.TEXT] or "").encode()),
        "extra": row[columns.EXTRA] if len(row[columns.EXTRA] or "") < 10_000 else None,
    }


def digest(data: bytes | None) -> str:
    return hashlib.sha256(data or b"").hexdigest()


def bounded(path: str, maps: list[tuple[Map, bool]], cpu_seconds: int, memory_bytes: int) -> dict[str, Any]:
    """What `read` finds in a child process, with the resources that it took, or the signal that ended it."""
    with tempfile.TemporaryFile("w+") as answer:
        child = os.fork()
        if child == 0:
            resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds))
            resource.setrlimit(resource.RLIMIT_DATA, (memory_bytes, memory_bytes))
            json.dump(read(path, maps), answer)
            answer.flush()
            os._exit(0)
        _, status, used = os.wait4(child, 0)
        answer.seek(0)
        text = answer.read()
    code = os.waitstatus_to_exitcode(status)
    found = json.loads(text) if code == 0 else {"rows": [], "notes": {}, "raised": []}
    return found | {"exit": code, "cpu_seconds": used.ru_utime + used.ru_stime, "memory_bytes": used.ru_maxrss << 10}


def main() -> None:
    cpu_seconds, memory_bytes = int(sys.argv[1]), int(sys.argv[2])
    maps = stages()
    warm_up(maps)
    for path in sys.argv[3:]:
        print(json.dumps(bounded(path, maps, cpu_seconds, memory_bytes)), flush=True)


def warm_up(maps: list[tuple[Map, bool]]) -> None:
    """Load every kernel in the parent, so that no file is charged for it."""
    text = "<p>The first page of all, with a few words that mean nothing.</p>"
    row = {name: [None] for name in columns.POOL_SCHEMA.names}
    row |= {
        "id": ["0" * 32],
        "url": ["https://warm.example/"],
        "content": [text.encode()],
        "content_type": ["text/html"],
    }
    raised = apply_all(pa.RecordBatch.from_pydict(row, schema=columns.POOL_SCHEMA), maps)
    assert not raised, raised


if __name__ == "__main__":
    main()
