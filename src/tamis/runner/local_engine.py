"""Local engine: workers are processes of this machine, which die with their parent."""

import multiprocessing as mp
import os
import pickle
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection, wait
from typing import Any

from tamis.runner import worker
from tamis.runner.engine import POLL_SECONDS, Engine, Lost, Pulse, Worker
from tamis.runner.jobs import Job, dump_job
from tamis.runner.lifeline import without_interrupts
from tamis.store.system import resident_bytes


class LocalWorker(Worker):
    """A process, the pipe to it, and shared memory in which it tells its progress."""

    def __init__(self, process: Any, pipe: Connection, lifeline: Connection, state: worker.SharedState) -> None:
        self._process, self.pipe, self._lifeline, self._state = process, pipe, lifeline, state
        self._plan_key = ""

    def give(self, job: Job) -> bool:
        if not self._process.is_alive():
            return False
        try:
            if self._plan_key != job.plan.key:
                self.pipe.send(("plan", pickle.dumps(job.plan)))
                self._plan_key = job.plan.key
            self._state.clear()
            self.pipe.send(("job", dump_job(job)))
        except OSError:  # the pipe is broken: it has died since
            return False
        return True

    def answer(self) -> tuple[str, Any] | Lost | None:
        if not self.pipe.poll():
            return None
        try:
            kind, answer = self.pipe.recv()
        except (EOFError, OSError):
            return Lost(how="the worker died")
        return kind, answer

    def pulse(self) -> Pulse:
        rows_done, since = self._state.get()
        # Starting the process and loading a model are no part of the time that a page may take.
        age = time.monotonic() - since if since else 0.0
        return Pulse(
            begun=since > 0, rows_done=rows_done, age_seconds=age, resident_bytes=resident_bytes(self._process.pid)
        )

    def stop(self) -> None:
        self._process.kill()
        self._process.join()
        self.pipe.close()
        self._lifeline.close()


class LocalEngine(Engine):
    """Processes started by a fork server that holds no threads and no open files of ours."""

    def __init__(self, num_workers: int) -> None:
        super().__init__(num_workers)
        self._context = mp.get_context("forkserver")
        self._context.set_forkserver_preload(["tamis.runner.worker"])

    def start(self) -> LocalWorker:
        ours, theirs = self._context.Pipe()
        end, lifeline = self._context.Pipe(duplex=False)
        state = worker.SharedState(self._context)
        arguments = (theirs, end, state, dict(os.environ))
        process = self._context.Process(target=worker.main, args=arguments)  # no daemon: those have no sandboxes
        with without_interrupts():
            process.start()
        theirs.close()
        end.close()
        return LocalWorker(process, ours, lifeline, state)

    def wait(self, busy: Sequence[LocalWorker]) -> None:
        wait([one.pipe for one in busy], timeout=POLL_SECONDS)
