"""Events: what happened and when, one JSON line each in events.jsonl. The console output and the report are made from
them."""

import time
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Event:
    """`kind` is one of run_started, pass_started, task_started, task_finished, task_skipped, task_failed,
    task_retried, decide_started, decide_finished, stage_finished, file_damaged, run_finished, run_failed, note."""

    kind: str
    fields: dict[str, Any] = field(default_factory=dict)
    time: float = field(default_factory=time.time)

    def to_dict(self) -> dict[str, Any]:
        return {"time": round(self.time, 3), "kind": self.kind, **self.fields}
