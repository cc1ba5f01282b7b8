"""Inline engine: jobs run in the calling process, one after the other.

For workspaces that only this process can see (`memory://`). A page that hangs or kills the process is not survived.
"""

import time
from collections.abc import Sequence

from tamis.runner.calls import Heartbeat, Opened
from tamis.runner.engine import Engine, OnFinish, OnProgress, OnRetry, Worker
from tamis.runner.jobs import Job, run_job


class InlineEngine(Engine):
    """No workers at all."""

    def __init__(self) -> None:
        super().__init__(1)
        self._opened: Opened = {}

    def start(self) -> Worker:
        raise NotImplementedError

    def wait(self, busy: Sequence[Worker]) -> None:
        raise NotImplementedError

    def run(self, jobs: Sequence[Job], on_finish: OnFinish, on_retry: OnRetry, on_progress: OnProgress) -> None:
        for job in jobs:
            started = time.monotonic()
            result = run_job(job, self._opened, Heartbeat())
            on_finish(job, result, time.monotonic() - started)
