"""The display of progress during a run: bars with rates and time left on a terminal, plain lines elsewhere.

Events are data from other modules, and an error in the display must not stop the run, so every field is optional here,
and an unknown kind of event is ignored.
"""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Integral
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from tamis.base.events import Event
from tamis.console.formats import duration_text, reasons_text, work_label

LINE_SECONDS = 5.0
"""Smallest number of seconds between two plain progress lines of one piece of work."""
RATE_SECONDS = 2.0
"""Seconds of elapsed time below which no rate and no time left are shown."""
RATE_ROWS = 100
"""Number of documents below which no rate is shown."""
DOCUMENTS = "documents"


@dataclass(kw_only=True)
class Work:
    """One piece of work in progress: `done` of `total`, counted in `unit`; total 0 means that it is not known."""

    label: str
    unit: str
    total: int
    started: float
    counts_documents: bool = False
    """Whether `rows` are documents, each counted once. Decisions of a group read the same rows again and again."""
    done: int = 0
    measured_from: float
    done_before: int = 0
    """Rates are computed from the work since `measured_from` beyond `done_before`, so that the work of an earlier run
    is not included."""
    rows: int = 0
    rows_in_flight: int = 0
    rows_shown: int = 0
    text: str = ""
    bar: TaskID | None = None
    last_line: float = 0.0

    def status(self, now: float) -> str:
        """Amounts, rate and time left. What is not reliable yet is left out."""
        total = f"/{self.total:,}" if self.total else ""
        told = [f"{self.done:,}{total} {self.unit}".rstrip()]
        elapsed = now - self.measured_from
        # Rows in flight are counted anew when a shard is retried; a count that goes down would only confuse.
        self.rows_shown = max(self.rows_shown, self.rows + self.rows_in_flight)
        if self.counts_documents and self.rows_shown:
            told.append(f"{self.rows_shown:,} {DOCUMENTS}")
            if elapsed >= RATE_SECONDS and self.rows_shown >= RATE_ROWS:
                told.append(f"{self.rows_shown / elapsed:,.0f}/s")
        told += [self.text] if self.text else []
        done_now = self.done - self.done_before
        if elapsed >= RATE_SECONDS and done_now > 0 and self.done < self.total:
            told.append(f"about {duration_text(elapsed / done_now * (self.total - self.done))} left")
        return ", ".join(told)


class Display:
    """Turns events into bars or lines. Use as a context manager around a run; pass `on_event` to it."""

    def __init__(
        self, quiet: bool = False, console: Console | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.console = console or Console(stderr=True, highlight=False)
        self._quiet, self._clock = quiet, clock
        self._live = self.console.is_terminal and not self.console.is_dumb_terminal and not quiet
        self._bars = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=20),
            TextColumn("{task.fields[status]}", markup=False),
            TimeElapsedColumn(),
            console=self.console,
            get_time=clock,
            redirect_stdout=sys.stdout.isatty(),  # Results that go to a file or a pipe must not be redirected.
        )
        self._work: Work | None = None
        self._finished: tuple[str, int, str] | None = None

    def __enter__(self) -> "Display":
        if self._live:
            self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._work is not None:
            self._end_work("" if kind is None else "stopped at ")
        if self._live:
            self._bars.stop()

    def say(self, text: str) -> None:
        """One line for the user; above the bar where there is one."""
        if not self._quiet:
            self.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def on_event(self, event: Event) -> None:
        """Show one event. Kinds of events that are of no interest to a user are ignored."""
        handler = getattr(self, f"_on_{event.kind}", None)
        if handler is not None and not self._quiet:
            handler(event.fields)

    # One handler per kind of event.

    def _on_note(self, fields: dict[str, Any]) -> None:
        if text := _text(fields, "text"):
            self.say(text)

    def _on_file_damaged(self, fields: dict[str, Any]) -> None:
        self._on_note(fields)

    def _on_pass_started(self, fields: dict[str, Any]) -> None:
        stages = fields.get("stages")
        names = [name for name in stages if isinstance(name, str)] if isinstance(stages, list | tuple) else []
        label = work_label(names, _text(fields, "reads") or None)
        unit, waiting, skipped = _text(fields, "unit"), _number(fields, "tasks"), _number(fields, "skipped")
        if waiting == 0:
            self.say(f"{label}: nothing to do, {skipped:,} {unit} done before")
            return
        self._begin(label, unit, waiting, 0)
        assert self._work is not None
        self._work.counts_documents = _text(fields, "rows_are") == DOCUMENTS
        if skipped:
            self.say(f"{label}: {skipped:,} {unit} done before, {waiting:,} to do")
        elif not self._live:
            self.say(f"{label}: {waiting:,} {unit} to do")

    def _on_task_finished(self, fields: dict[str, Any]) -> None:
        if self._work is not None:
            self._work.done += 1
            self._work.rows_in_flight = 0
            self._work.rows += _number(fields, "rows")
            self._show(self._work)

    def _on_task_retried(self, fields: dict[str, Any]) -> None:
        """`shard` names a shard of the pool; a decision has `bucket` instead: a number, or 'all'."""
        what = _text(fields, "shard")
        if not what and (bucket := fields.get("bucket")) is not None:
            what = "all buckets" if bucket == "all" else f"bucket {bucket}"
        if not what or "bucket" in fields:
            label = self._work.label if self._work is not None else ""
            what = ", ".join(part for part in (label, what) if part) or "work"
        self.say(f"{what}: {_text(fields, 'trouble') or 'failed; trying again'}")

    def _on_progress(self, fields: dict[str, Any]) -> None:
        """Progress of the shards that are being processed (`rows`), or of work that reports its own amounts (`stage`,
        `done`, `total`)."""
        if stage := _text(fields, "stage"):
            self._show_stage(stage, fields)
        elif self._work is not None:
            self._work.rows_in_flight = _number(fields, "rows")
            self._show(self._work)

    def _on_pass_finished(self, fields: dict[str, Any]) -> None:
        if self._work is not None:
            self._end_work()

    def _on_stage_finished(self, fields: dict[str, Any]) -> None:
        removed, lost = reasons_text(_counts(fields, "removed")), reasons_text(_counts(fields, "quarantined"))
        told = (f"; removed {removed}" if removed else "") + (f"; quarantined {lost}" if lost else "")
        stage = _text(fields, "stage") or "stage"
        self.say(f"  {stage}: {_number(fields, 'in'):,} in, {_number(fields, 'kept'):,} kept{told}")

    # Work in progress.

    def _show_stage(self, stage: str, fields: dict[str, Any]) -> None:
        """Parallel pieces of work share one line: the events are those of the slowest, so `done` can decrease when
        others begin."""
        done, total, text = _number(fields, "done"), _number(fields, "total"), _text(fields, "text")
        work = self._work
        if work is None or work.label != stage:
            if self._finished == (stage, total, text) and done >= total:
                return
            self._begin(stage, _text(fields, "unit"), total, done)
            work = self._work
            assert work is not None
        elif done < work.done:
            work.measured_from, work.done_before = self._clock(), done
        work.done, work.total, work.text = done, total, text
        if total and done >= total:
            self._end_work()
            self._finished = (stage, total, text)
        else:
            self._show(work)

    def _begin(self, label: str, unit: str, total: int, done: int) -> None:
        if self._work is not None:
            self._end_work()
        now = self._clock()
        self._work = Work(
            label=label,
            unit=unit,
            total=total,
            started=now,
            last_line=now,
            measured_from=now,
            done=done,
            done_before=done,
        )
        self._finished = None
        if self._live:
            self._work.bar = self._bars.add_task(label, total=total or None, completed=done, status="")

    def _show(self, work: Work) -> None:
        now = self._clock()
        if work.bar is not None:
            self._bars.update(work.bar, completed=work.done, total=work.total or None, status=work.status(now))
        elif now - work.last_line >= LINE_SECONDS:
            work.last_line = now
            self.say(f"{work.label}: {work.status(now)}")

    def _end_work(self, how: str = "") -> None:
        """Replace the bar by a permanent line, so that a long run does not fill the screen with bars."""
        work, self._work = self._work, None
        assert work is not None
        if work.bar is not None:
            self._bars.remove_task(work.bar)
        now = self._clock()
        work.rows_in_flight = 0
        took = f", {duration_text(now - work.started)}" if now - work.started >= 1 else ""
        self.say(f"{work.label}: {how}{work.status(now)}{took}")


def _text(fields: dict[str, Any], name: str) -> str:
    value = fields.get(name)
    return value if isinstance(value, str) else ""


def _number(fields: dict[str, Any], name: str) -> int:
    value = fields.get(name)
    return int(value) if isinstance(value, Integral) else 0


def _counts(fields: dict[str, Any], name: str) -> dict[str, int]:
    value = fields.get(name)
    found = value if isinstance(value, dict) else {}
    return {str(key): int(count) for key, count in found.items() if isinstance(count, Integral)}
