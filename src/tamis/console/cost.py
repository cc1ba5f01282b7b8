"""`--dry-run`: what would be done, what is done already, and about how long and how much disk the rest takes."""

import json
from typing import Any

import typer

from tamis.base.stage import Group
from tamis.runner.estimate import GroupCost, group_cost, sampled_corpus
from tamis.runner.plan import Pass, Plan
from tamis.runner.task import Task
from tamis.store.rundir import RunDir

COMPRESSED_WARC_MB_PER_SECOND = 8.0
"""Gzipped WARC through extraction and the first pass, one core (bench/results/first_pass.md)."""
STORED_SHARD_MB_PER_SECOND = 12.0
"""Stored Parquet through a later pass, one core."""
TEXT_SHARE = 0.15
"""Size of a stored pass over the size of gzipped WARC input: extracted text is that much smaller than its HTML."""


def plan_cost(plan: Plan, run: RunDir, num_workers: int) -> dict[str, Any]:
    """The plan as data. Seconds and bytes are estimates from rates measured on the benchmark machine."""
    passes = [_pass_cost(plan, run, one, num_workers) for one in plan.passes]
    groups = _group_costs(plan, num_workers)
    return {
        "recipe": plan.recipe.name,
        "output": str(run.root),
        "shards": len(plan.shards),
        "input_bytes": sum(shard.size_bytes for shard in plan.shards),
        "workers": num_workers,
        "passes": passes,
        "groups": [group.to_dict() for group in groups],
        "estimated_seconds": round(sum(one["estimated_seconds"] for one in passes), 1),
        "estimated_disk_bytes": sum(one["estimated_disk_bytes"] for one in passes)
        + sum(group.cost.sketch_bytes for group in groups),
        "estimated_memory_bytes": max((group.memory_bytes for group in groups), default=0),
        "then": [name for name in ("train", "evaluate") if getattr(plan.recipe, name) is not None],
    }


def _group_costs(plan: Plan, num_workers: int) -> list[GroupCost]:
    """What the groups will take at most, from a sample of the pool sent through the first pass."""
    corpus = sampled_corpus(plan)
    if corpus is None:
        return []
    steps = [step for step in plan.steps if isinstance(step.stage, Group)]
    return [cost for step in steps if (cost := group_cost(step, corpus, num_workers)) is not None]


def _pass_cost(plan: Plan, run: RunDir, one: Pass, num_workers: int) -> dict[str, Any]:
    tasks = [Task(plan=plan, run=run, number=one.number, index=index) for index in range(len(plan.shards))]
    waiting = [task for task in tasks if not task.is_done()]
    num_bytes = sum(task.shard.size_bytes for task in waiting)
    first = one.reads_folder is None
    stored = num_bytes * TEXT_SHARE
    rate = COMPRESSED_WARC_MB_PER_SECOND if first else STORED_SHARD_MB_PER_SECOND
    copies = sum(step.stage.keeps_output or step is one.output for step in one.steps)
    return {
        "pass": one.number,
        "reads": one.reads_folder or "pool",
        "steps": [step.folder for step in one.steps],
        "then_decides": one.sketch.folder if one.sketch else None,
        "tasks": len(waiting),
        "done_before": len(tasks) - len(waiting),
        "estimated_seconds": round(
            (num_bytes if first else stored) / 1e6 / rate / max(1, min(num_workers, len(waiting))), 1
        ),
        "estimated_disk_bytes": int(stored * copies),
    }


def print_plan(plan: Plan, run: RunDir, num_workers: int, as_json: bool) -> None:
    cost = plan_cost(plan, run, num_workers)
    if as_json:
        typer.echo(json.dumps(cost, indent=2))
        return
    typer.echo(f"{cost['recipe']}: {cost['shards']} shards, {cost['input_bytes'] / 1e6:,.1f} MB -> {cost['output']}")
    for one in cost["passes"]:
        decides = f", then {one['then_decides']} decides over all shards" if one["then_decides"] else ""
        done = f" ({one['done_before']} finished before)" if one["done_before"] else ""
        typer.echo(f"  pass {one['pass']}: {' + '.join(one['steps'])}: {one['tasks']} tasks{done}{decides}")
    for group in cost["groups"]:
        times = f" ({group['decisions_at_once']} decisions at once)" if group["decisions_at_once"] > 1 else ""
        memory = _size(group["memory_bytes"])
        corpus = f"about {group['documents']:,} documents, {_size(group['text_bytes'])} of text"
        typer.echo(
            f"  {group['stage']}: {corpus}: {memory} of memory{times}, {_size(group['sketch_bytes'])} of sketches"
        )
    for name in cost["then"]:
        typer.echo(f"  {name}")
    typer.echo(
        f"about {cost['estimated_seconds']:,.0f} s on {num_workers} workers, "
        f"{_size(cost['estimated_disk_bytes'])} of disk; nothing was done"
    )


def _size(num_bytes: float) -> str:
    """Decimal units, two significant digits or more."""
    for unit in ("B", "kB", "MB"):
        if num_bytes < 1000:
            return f"{num_bytes:.0f} {unit}" if num_bytes >= 10 else f"{num_bytes:.1f} {unit}"
        num_bytes /= 1000
    return f"{num_bytes:,.1f} GB"
