"""Executes a graph: nodes in the order of their inputs, skipping what the ledger knows to be done.

A node that finds a stored file damaged stops; the record of that file is withdrawn, and the graph is gone through
again: what made the file is not done any more, and all else still is.
"""

from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from functools import partial

from tamis.base.errors import DataError
from tamis.base.events import Event
from tamis.runner.graph import Context, Node, in_order
from tamis.runner.ledger import Damage, DamagedError, withdraw
from tamis.runner.side_by_side import run_side_by_side
from tamis.store.location import Location
from tamis.store.locks import lock

OnStart = Callable[[Node], None]
OnDone = Callable[[Node], None]


def execute(targets: Iterable[Node], context: Context, on_start: OnStart, on_done: OnDone) -> None:
    """Finish `targets` and all that they need.

    A node that another process is working on is waited for. Nodes with a process of their own run side by side as far
    as their inputs allow. `on_start` is called before a node is looked at, `on_done` when it is known to be done.
    """
    targets, mended = list(targets), set[str]()
    while True:
        try:
            _go_through(targets, context, on_start, on_done)
            return
        except DamagedError as error:
            for damage in error.damages:
                _mend(damage, mended, context)


def _mend(damage: Damage, mended: set[str], context: Context) -> None:
    """Withdraw the record of a damaged file. Raises DataError when that was done before, and did not help."""
    if damage.file in mended:
        raise DataError(
            f"{damage.file}: it is damaged, and could not be made anew. Where another command made it (tamis run, "
            "tokenizer, heldout, train, eval), run that again; else check the disk."
        )
    mended.add(damage.file)
    withdraw(Location(damage.record))
    text = f"{damage.file}: damaged since it was written; it is made anew"
    context.on_event(Event(kind="file_damaged", fields={"file": damage.file, "text": text}))


def _go_through(targets: Iterable[Node], context: Context, on_start: OnStart, on_done: OnDone) -> None:
    waiting = in_order(targets)
    done: set[int] = set()
    while waiting:
        ready = [node for node in waiting if all(id(other) in done for other in node.inputs)]
        assert ready, "the graph has a circle"
        group = _next_group(ready)
        for node in group:
            on_start(node)
        _finish(group, context)
        for node in group:
            done.add(id(node))
            waiting.remove(node)
            on_done(node)


def _next_group(ready: Sequence[Node]) -> list[Node]:
    """The first node that works in this process; where there is none, all of the first kind, for they go together."""
    here = [node for node in ready if not node.own_process]
    return here[:1] or [node for node in ready if node.kind == ready[0].kind]


def _finish(group: list[Node], context: Context) -> None:
    """Run those nodes of a group that are not done."""
    workspace = context.workspace
    todo = [node for node in group if not node.is_done(workspace)]
    with ExitStack() as held:
        # In one order everywhere, so that two runs never wait for each other.
        for name in sorted({name for node in todo for name in node.artefacts(workspace)}):
            held.enter_context(lock(workspace.artefact(name), partial(context.note, _busy(name))))
        # Two nodes that make the same artefact, as models of equal data do, are one piece of work.
        by_artefact = {tuple(node.artefacts(workspace)): node for node in todo if not node.is_done(workspace)}
        todo = list(by_artefact.values())
        for node in todo:
            node.verify_inputs(workspace)
        if len(todo) > 1:
            run_side_by_side(todo, context)
        elif todo:
            todo[0].run(context)
    for node in group:
        node.check(workspace)


def _busy(name: str) -> str:
    return f"{name}: another run is working on it; waiting until it is done"
