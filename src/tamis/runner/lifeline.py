"""Processes that end with the one that started them, however it ends, and leave an interrupt at the keyboard to it.

A terminal sends an interrupt to every process of its group. Only the process that the user started answers it: it stops
the others.
"""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection


@contextmanager
def without_interrupts() -> Iterator[None]:
    """Processes started in the block never get an interrupt, not even while they start. One that comes in the meantime
    reaches this process at the end of the block."""
    resource_tracker.ensure_running()  # it would let interrupts through again when the first process starts it
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def die_with_parent(lifeline: Connection) -> None:
    """End this process when the other end of `lifeline`, which only the parent holds and never writes to, is closed: as
    it is when the parent dies, however it dies."""
    threading.Thread(target=_watch, args=(lifeline,), daemon=True).start()


def _watch(lifeline: Connection) -> None:
    try:
        lifeline.recv_bytes()
    except (EOFError, OSError):
        os._exit(1)
