"""Stops a run where a step took nearly all documents of a large source, unless the recipe allows that.

Nothing in the total of a step shows it: deduplication without verification left a leading laboratory 2 of the 859,092
documents of one source, and one English list of stop words takes every page in German. What the user's settings name (a
language, a host, a kind of URL) is left out of the count, because there the whole source is meant to go.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from tamis.base import columns
from tamis.base.cards import Card
from tamis.base.errors import BudgetError
from tamis.base.hosts import Hosts
from tamis.base.recipe import AllowedSources, SourceAlarm
from tamis.base.stage import Source
from tamis.runner.plan import Step
from tamis.runner.source_accounts import FOLDER, INPUT, SourceCount, folders_of
from tamis.runner.sources import HOST, LANGUAGE
from tamis.runner.task import Task
from tamis.store.shards import read_shard, schema_of

MOST_SHOWN = 10
NUM_EXAMPLES = 3


@dataclass(frozen=True, kw_only=True)
class Loss:
    """A large source of which a step took nearly all. `came` and `kept` leave out what settings name."""

    step: str
    by: str
    name: str
    came: int
    kept: int
    reason: str
    """The most frequent one."""


def losses_in(step: Step, card: Card, limits: SourceAlarm) -> list[Loss]:
    """The large sources of which a step took nearly all, allowed or not."""
    accounting = card.accounting
    assert accounting is not None
    if isinstance(step.stage, Source):
        return []  # it reads the pool; what it leaves out (the held-out part, files that are no pages) is chosen
    chosen = step.stage.chosen_reasons()
    came = accounting.rows_in - sum(accounting.removed[reason] for reason in chosen)
    found = []
    for by, accounts in card.details["sources"].items():
        for source in map(SourceCount.from_dict, accounts["largest"]):
            loss = _loss(step, by, source, chosen)
            large = loss.name and loss.came >= max(limits.min_documents, limits.min_share * came)
            if not large or loss.kept > (1 - limits.max_removed) * loss.came + 1e-9:
                continue
            rest_came, rest_kept = came - loss.came, accounting.kept - loss.kept
            fewer = rest_came >= limits.min_share * came and (
                loss.kept * limits.rest_factor * rest_came <= rest_kept * loss.came and rest_kept > 0
            )
            if step.stage.compares_documents or fewer:
                found.append(loss)
    return found


def _loss(step: Step, by: str, source: SourceCount, chosen: set[str]) -> Loss:
    gone = {reason: number for reason, number in source.gone.items() if reason not in chosen}
    most = min(gone, key=lambda reason: (-gone[reason], reason), default="")
    return Loss(
        step=step.label, by=by, name=source.name, came=source.kept + sum(gone.values()), kept=source.kept, reason=most
    )


def check_sources(steps: Sequence[tuple[Step, Card]], tasks: Sequence[Task]) -> None:
    """Raises BudgetError with a table of the large sources of which one of these steps of a pass took nearly all, and
    which the recipe does not allow to go."""
    recipe = tasks[0].plan.recipe
    if recipe.allow_sources == "all":
        return
    found = [
        (step, loss)
        for step, card in steps
        for loss in losses_in(step, card, recipe.source_alarm)
        if loss.name not in recipe.allow_sources
    ]
    if not found:
        return
    lines = [_line(step, loss, tasks) for step, loss in found[:MOST_SHOWN]]
    if len(found) > MOST_SHOWN:
        lines.append(f"  and {len(found) - MOST_SHOWN} more: tamis status RUN --by host, input, folder or language")
    raise BudgetError("\n".join([
        f"nearly all documents of {'a large source were' if len(found) == 1 else 'large sources were'} removed "
        f"({recipe.source_alarm.max_removed:.0%} or more, see source_alarm):",
        *lines,
        _remedy(recipe.allow_sources, [loss.name for _, loss in found]),
    ]))  # fmt: skip


def _line(step: Step, loss: Loss, tasks: Sequence[Task]) -> str:
    text = f"  {loss.step}: {loss.by} {loss.name}: {loss.came:,} in, {loss.kept:,} kept; most went as '{loss.reason}'"
    examples = list(_examples(step, loss, tasks))
    return text + (f", for example {', '.join(examples)}" if examples else "")


def _remedy(allowed: AllowedSources, lost: Iterable[str]) -> str:
    names = list(dict.fromkeys([*allowed, *lost]))
    listed = json.dumps(names, ensure_ascii=False, separators=(",", ":")).replace("'", "'\\''")
    return (
        "See with `tamis why ID --run RUN` why these documents went, and change the step. If the sources are meant to "
        "go, add "
        f"--set 'allow_sources={listed}' to the same command (or allow_sources=all): what is finished is kept."
    )


def _examples(step: Step, loss: Loss, tasks: Sequence[Task]) -> Iterator[str]:
    """Ids of some documents of the source that went for the most frequent reason: the first ones of the pool."""
    left = NUM_EXAMPLES
    folders = folders_of([task.shard.uri for task in tasks])
    inputs: dict[str, str] = {}
    for task, folder in zip(tasks, folders, strict=True):
        name = inputs.setdefault(task.shard.uri, task.shard.name)
        if loss.by in (INPUT, FOLDER) and loss.name != {INPUT: name, FOLDER: folder}[loss.by]:
            continue
        place = task.folder(step).removed(task.index)
        if not place.exists():
            continue
        wanted = [columns.ID, columns.URL, columns.DROP_REASON, *([LANGUAGE] if loss.by == LANGUAGE else [])]
        present = schema_of(place).names
        for batch in read_shard(place, [column for column in wanted if column in present]):
            rows = batch.filter(pc.equal(batch.column(columns.DROP_REASON), loss.reason))
            for identity in _ids_of(rows, loss)[:left]:
                yield identity
                left -= 1
            if left == 0:
                return


def _ids_of(rows: pa.RecordBatch, loss: Loss) -> list[Any]:
    ids = rows.column(columns.ID).to_pylist()
    if loss.by == HOST:
        names = Hosts().of(rows.column(columns.URL).to_pylist())
    elif loss.by == LANGUAGE and LANGUAGE in rows.schema.names:
        names = rows.column(LANGUAGE).to_pylist()
    else:
        return ids
    return [identity for identity, name in zip(ids, names, strict=True) if name == loss.name]
