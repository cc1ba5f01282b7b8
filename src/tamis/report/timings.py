"""Reads from events.jsonl how a run ended, and how long each pass, decision and model step took."""

import math
import re
from dataclasses import dataclass
from typing import Any

from tamis.report.scores import as_list, number, whole


@dataclass(kw_only=True)
class Timing:
    """Work of one pass, group decision or model step. `task_seconds` adds up its tasks, which may run side by side."""

    name: str
    tasks: int = 0
    retries: int = 0
    wall_seconds: float = 0.0
    task_seconds: float = 0.0
    rows: int = 0
    input_bytes: int = 0
    peak_bytes: int = 0


def timings_of(events: list[dict[str, Any]]) -> list[Timing]:
    """Per pass, decision and model step, in order of first appearance, over all attempts."""
    found: dict[str, Timing] = {}
    started: dict[str, float] = {}
    for event in events:
        kind, time = str(event.get("kind")), number(event.get("time"))
        prefix, _, what = kind.partition("_")
        if prefix not in ("task", "pass", "step", "decide"):
            continue
        name = _work_name(event)
        if what == "started":
            started[name] = time
        timing = found.setdefault(name, Timing(name=name))
        if prefix != "task" and what == "finished":
            spent = time - started.pop(name, math.nan)
            timing.wall_seconds += spent if math.isfinite(spent) else 0.0
        if what == "retried":
            timing.retries += 1
        elif kind in ("task_finished", "task_failed"):
            timing.tasks += 1
            seconds = number(event.get("seconds"))
            timing.task_seconds += seconds if math.isfinite(seconds) else 0.0
            timing.rows += whole(event.get("rows"))
            timing.input_bytes += whole(event.get("input_bytes"))
        timing.peak_bytes = max(timing.peak_bytes, whole(event.get("peak_memory_bytes")))
    return [timing for timing in found.values() if timing.tasks or timing.wall_seconds or timing.retries]


def _work_name(event: dict[str, Any]) -> str:
    """`pool + extract + filter` for a pass over those stages, with its number when the event gives nothing better."""
    stages = [re.sub(r"^\d+_", "", str(name)) for name in as_list(event.get("stages"))]
    if stages:
        return " + ".join(stages)
    name = event.get("stage", event.get("pass"))
    return f"pass {name}" if isinstance(name, int) else re.sub(r"^\d+_", "", str(name or "run"))


def wall_seconds(events: list[dict[str, Any]]) -> float:
    """Seconds of all attempts, each from its start to its end; one that was killed ends at its last event."""
    total, start, latest = 0.0, math.nan, math.nan
    seen = False
    for event in events:
        kind, time = event.get("kind"), number(event.get("time"))
        if not math.isfinite(time):
            continue
        if kind == "run_started":
            total += latest - start if math.isfinite(start) else 0.0
            start, seen = time, True
        latest = time
        if kind in ("run_finished", "run_failed") and math.isfinite(start):
            total, start = total + time - start, math.nan
    total += latest - start if math.isfinite(start) else 0.0
    return total if seen else math.nan
