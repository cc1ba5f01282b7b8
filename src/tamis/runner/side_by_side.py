"""Nodes that run in processes of their own, several at a time: as many as there are cores or GPUs for them.

Their progress comes back over a queue and is shown as one line: that of the slowest.
"""

import multiprocessing as mp
import os
import queue
from collections import deque
from collections.abc import Sequence
from multiprocessing.connection import Connection
from typing import Any

from tamis.base.errors import TamisError, UnexpectedError
from tamis.base.events import Event
from tamis.runner.graph import Context, Node
from tamis.runner.inline_engine import InlineEngine
from tamis.runner.lifeline import die_with_parent, without_interrupts
from tamis.store.system import visible_gpus
from tamis.store.workspace import Workspace

_POLL_SECONDS = 0.5


def run_side_by_side(nodes: Sequence[Node], context: Context) -> None:
    """Run all nodes, at most one per GPU, or, where there is none, one per core at a time. The first failure is raised
    when the others were stopped."""
    gpus: list[str | None] = [*visible_gpus()]
    slots = deque(gpus or [None] * context.num_workers)
    if context.workspace.root.is_in_memory or len(slots) == 1:
        for node in nodes:
            node.run(context)
        return
    spawn = mp.get_context("spawn")  # a fresh process: PyTorch does not survive a fork of its threads
    news = spawn.Queue()
    their_end, our_end = spawn.Pipe(duplex=False)  # ours is never written to: see `lifeline`
    waiting, running = deque(nodes), dict[str, Any]()
    taken: dict[str, str | None] = {}
    progress: dict[str, Event] = {}
    try:
        while waiting or running:
            while waiting and slots:
                node = waiting.popleft()
                taken[node.label] = slots.popleft()
                arguments = (node, context.workspace, news, their_end, taken[node.label])
                process = spawn.Process(target=_run_one, args=arguments, daemon=True)
                with without_interrupts():
                    process.start()
                running[node.label] = process
            if ended := _hear(news, running, progress, context):
                slots.append(taken.pop(ended))
    finally:
        for process in running.values():
            process.kill()
            process.join()
        our_end.close()
        their_end.close()


def _hear(news: Any, running: dict[str, Any], progress: dict[str, Event], context: Context) -> str | None:
    """Take one message; returns the label of a node that is done, and raises the error of one that failed."""
    try:
        label, kind, content = news.get(timeout=_POLL_SECONDS)
    except queue.Empty:
        for label, process in running.items():
            if not process.is_alive() and news.empty():
                raise TamisError(
                    f"{label}: its process died (exit code {process.exitcode}). Run again to go on."
                ) from None
        return None
    if kind == "failed":
        raise content
    if kind == "done":
        running.pop(label).join()
        progress.pop(label, None)
        return str(label)
    if content.kind == "progress":
        progress[label] = content
        slowest = min(progress.values(), key=lambda event: event.fields.get("done", 0))
        context.on_event(slowest)
    else:
        context.on_event(content)
    return None


def _run_one(node: Node, workspace: Workspace, news: Any, lifeline: Connection, gpu: str | None) -> None:
    """Body of the process; it sees no GPU but `gpu`, and takes one thread for what has no number of threads of its
    own."""
    die_with_parent(lifeline)
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # before PyTorch is loaded
    if gpu is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu

    def tell(event: Event) -> None:
        news.put((node.label, "event", event))

    try:
        node.run(Context(workspace=workspace, engine=InlineEngine(), num_workers=1, on_event=tell))
        news.put((node.label, "done", None))
    except TamisError as error:
        news.put((node.label, "failed", error))
    except BaseException as error:  # noqa: BLE001 - carried to the parent, which raises it there
        news.put((node.label, "failed", UnexpectedError.of(error)))
