"""What the user sees while a run works: progress bars with rates and time left on a terminal, plain lines elsewhere."""

import time
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from tamis.base.events import Event

LINE_SECONDS = 5.0
"""Least time between two plain progress lines."""


class Display:
    """Turns events into bars or lines. Use as a context manager around a run; pass `on_event` to it."""

    def __init__(self, quiet: bool = False) -> None:
        self.console = Console(stderr=True, highlight=False)
        self._quiet = quiet
        self._live = self.console.is_terminal and not quiet
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=self.console,
        )
        self._bar: TaskID | None = None
        self._label = ""
        self._started = self._last_line = 0.0
        self._done = self._total = self._rows = self._rows_in_flight = 0

    def __enter__(self) -> "Display":
        if self._live:
            self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._bars.stop()

    def say(self, text: str) -> None:
        """One line for the user."""
        if not self._quiet:
            self.console.print(text, markup=False)

    def on_event(self, event: Event) -> None:
        """Show one event; kinds that say nothing to a user are passed over."""
        handler = getattr(self, f"_on_{event.kind}", None)
        if handler is not None and not self._quiet:
            handler(event.fields)

    def _on_pass_started(self, fields: dict[str, Any]) -> None:
        names = [name.partition("_")[2] or name for name in fields["stages"]]
        label = f"pass {fields['pass']}: {' + '.join(names)}"
        if fields["tasks"] == 0:
            self.say(f"{label}: nothing to do, {fields['skipped']} finished before")
            return
        self._begin(label, fields["tasks"])
        if fields["skipped"]:
            self.say(f"{label}: {fields['skipped']} shards finished before, {fields['tasks']} to do")

    def _begin(self, label: str, total: int) -> None:
        self._label, self._total, self._done, self._rows, self._rows_in_flight = label, total, 0, 0, 0
        self._started = self._last_line = time.monotonic()
        if self._live:
            self._bar = self._bars.add_task(label, total=total, rate="")
        else:
            self.say(f"{label}: started")

    def _on_task_finished(self, fields: dict[str, Any]) -> None:
        self._done += 1
        self._rows_in_flight = 0
        self._rows += fields.get("rows", 0)
        self._show()

    def _on_task_retried(self, fields: dict[str, Any]) -> None:
        self.say(f"{fields['shard']}: {fields['trouble']}")

    def _on_progress(self, fields: dict[str, Any]) -> None:
        if "stage" in fields:
            if self._label != fields["stage"]:
                self._begin(fields["stage"], fields.get("total", 0))
            self._model_progress(fields)
            return
        self._rows_in_flight = fields["rows"]
        self._show(quietly=True)

    def _show(self, quietly: bool = False) -> None:
        elapsed = max(time.monotonic() - self._started, 1e-9)
        rows = self._rows + self._rows_in_flight
        rate = f"{rows:,} documents, {rows / elapsed:,.0f}/s"
        if self._live and self._bar is not None:
            self._bars.update(self._bar, completed=self._done, rate=rate)
        elif (not quietly and self._done == self._total) or time.monotonic() - self._last_line > LINE_SECONDS:
            self._last_line = time.monotonic()
            left = elapsed / self._done * (self._total - self._done) if self._done else float("nan")
            remaining = f", about {left:.0f} s left" if self._done and self._done < self._total else ""
            self.say(f"{self._label}: {self._done}/{self._total} shards, {rate}{remaining}")

    def _on_note(self, fields: dict[str, Any]) -> None:
        self.say(fields["text"])

    def _on_step_started(self, fields: dict[str, Any]) -> None:
        self._begin(fields["stage"], 0)

    def _model_progress(self, fields: dict[str, Any]) -> None:
        done, total = fields.get("done", 0), fields.get("total", 0)
        elapsed = max(time.monotonic() - self._started, 1e-9)
        if self._live and self._bar is not None:
            self._bars.update(self._bar, completed=done, total=total, rate=fields.get("text", ""))
        elif time.monotonic() - self._last_line > LINE_SECONDS or done == total:
            self._last_line = time.monotonic()
            left = f", about {elapsed / done * (total - done):.0f} s left" if 0 < done < total else ""
            self.say(f"{self._label}: {done:,}/{total:,} {fields.get('unit', '')} {fields.get('text', '')}{left}")

    def _on_stage_finished(self, fields: dict[str, Any]) -> None:
        removed = ", ".join(f"{reason} {count:,}" for reason, count in largest(fields["removed"]))
        lost = ", ".join(f"{kind} {count:,}" for kind, count in largest(fields["quarantined"]))
        told = (f"; removed {removed}" if removed else "") + (f"; quarantined {lost}" if lost else "")
        self.say(f"  {fields['stage']}: {fields['in']:,} in, {fields['kept']:,} kept{told}")


def largest(counts: dict[str, int]) -> list[tuple[str, int]]:
    """The five largest counts, largest first."""
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:5]
