"""The display: every kind of event, whole or with fields missing, as plain lines and as bars, without any waiting."""

from typing import Any

import pytest
from rich.console import Console
from screen import Clock, output, plain_console, shown, terminal_console

from tamis.base.events import Event
from tamis.console.display import Display

ABOUT: dict[str, Any] = {"pass": 1, "stages": ["01_pool", "02_extract"], "reads": None, "unit": "shards",
                         "rows_are": "documents"}  # fmt: skip
DECIDES: dict[str, Any] = {"pass": 1, "stages": ["04_dedup (decide)"], "unit": "decisions", "rows_are": "sketched rows"}

EVENTS: list[tuple[str, dict[str, Any]]] = [
    ("run_started", {"recipe": "gopher", "output": "w/gopher"}),
    ("pass_started", {**ABOUT, "tasks": 2, "skipped": 1, "input_bytes": 10}),
    ("task_finished", {**ABOUT, "shard": "a.warc", "input_bytes": 5, "rows": 150, "seconds": 1.0}),
    ("task_retried", {**ABOUT, "shard": "b.warc", "input_bytes": 5, "trouble": "died: trying it row by row"}),
    ("progress", {"rows": 20}),
    ("pass_finished", dict(ABOUT)),
    ("stage_finished", {"stage": "02_extract", "in": 9, "kept": 7, "removed": {"empty": 1}, "quarantined": {"bad": 1}}),
    ("cost_predicted", {"stage": "04_dedup", "documents": 9, "memory_bytes": 1}),
    ("pass_started", {**DECIDES, "tasks": 3, "skipped": 0, "input_bytes": 0}),
    ("task_retried", {**DECIDES, "bucket": 2, "trouble": "died: deciding once more"}),
    ("task_retried", {**DECIDES, "bucket": "all", "trouble": "died: deciding once more"}),
    ("task_finished", {**DECIDES, "bucket": 2, "rows": 159, "seconds": 0.1}),
    ("progress", {"stage": "train", "done": 3, "total": 10, "unit": "steps", "text": "loss 3.2"}),
    ("note", {"text": "compiling [once]"}),
    ("run_failed", {"error": "DataError: no"}),
    ("run_finished", {"output": "w/gopher"}),
    ("never_heard_of", {"rows": 1}),
]


def make(console: Console) -> tuple[Display, Clock]:
    clock = Clock()
    return Display(console=console, clock=clock), clock


def send(display: Display, kind: str, **fields: Any) -> None:
    display.on_event(Event(kind=kind, fields=fields))


def lines(display: Display) -> list[str]:
    return output(display.console).splitlines()


def variants(fields: dict[str, Any]) -> list[dict[str, Any]]:
    """The event whole, with each field missing, with each field null or of another type, and with no field."""
    found = [fields, {}]
    for name in fields:
        found += [{k: v for k, v in fields.items() if k != name}, {**fields, name: None}, {**fields, name: [object()]}]
    return found


@pytest.mark.parametrize("console", [plain_console, terminal_console], ids=["plain", "terminal"])
@pytest.mark.parametrize("open_work", [False, True], ids=["alone", "within a pass"])
@pytest.mark.parametrize(("kind", "fields"), EVENTS, ids=[kind for kind, _ in EVENTS])
def test_no_event_ends_the_run_that_is_shown(kind: str, fields: dict[str, Any], open_work: bool, console: Any) -> None:
    for variant in variants(fields):
        display, clock = make(console())
        with display:
            if open_work:
                send(display, "pass_started", **ABOUT, tasks=5, skipped=0)
            for _ in range(2):
                send(display, kind, **variant)
                clock.now += 10
        assert "Traceback" not in output(display.console)


def test_a_retried_decision_names_its_bucket() -> None:
    display, _ = make(plain_console())
    send(display, "pass_started", **DECIDES, tasks=3, skipped=0)
    for bucket in (2, "all"):
        send(display, "task_retried", **DECIDES, bucket=bucket, trouble="died: deciding once more")
    send(display, "task_retried", **ABOUT, shard="b.warc", trouble="batch 3 took longer than 5 seconds")
    assert lines(display)[1:] == [
        "dedup (decide), bucket 2: died: deciding once more",
        "dedup (decide), all buckets: died: deciding once more",
        "b.warc: batch 3 took longer than 5 seconds",
    ]


def test_decisions_are_counted_as_decisions_and_not_as_documents() -> None:
    display, clock = make(plain_console())
    send(display, "pass_started", **DECIDES, tasks=14, skipped=0)
    for bucket in range(14):
        clock.now += 1
        send(display, "task_finished", **DECIDES, bucket=bucket, rows=159)
    send(display, "pass_finished", **DECIDES)
    assert lines(display)[-1] == "dedup (decide): 14/14 decisions, 14 s"
    assert not any("documents" in line or "shards" in line for line in lines(display))


def test_the_label_says_what_is_done_and_from_what_stored_step() -> None:
    display, _ = make(plain_console())
    fields = ABOUT | {"stages": ["03_filter"], "reads": "02_extract"}
    send(display, "pass_started", **fields, tasks=4, skipped=0)
    send(display, "pass_started", **fields, tasks=1, skipped=3)
    send(display, "pass_started", **fields, tasks=0, skipped=4)
    send(display, "pass_started", **ABOUT, tasks=4, skipped=0)
    started = [line for line in lines(display) if "0/" not in line]
    assert started == [
        "filter, from stored extract: 4 shards to do",
        "filter, from stored extract: 3 shards done before, 1 to do",
        "filter, from stored extract: nothing to do, 4 shards done before",
        "pool + extract: 4 shards to do",
    ]


def test_a_rate_needs_time_and_documents() -> None:
    display, clock = make(plain_console())
    send(display, "pass_started", **ABOUT, tasks=1, skipped=0)
    clock.now += 1e-9
    send(display, "task_finished", **ABOUT, shard="a", rows=5000)
    send(display, "pass_finished", **ABOUT)
    assert lines(display)[-1] == "pool + extract: 1/1 shards, 5,000 documents"
    send(display, "pass_started", **ABOUT, tasks=2, skipped=0)
    clock.now += 10
    send(display, "task_finished", **ABOUT, shard="a", rows=99)
    assert lines(display)[-1] == "pool + extract: 1/2 shards, 99 documents, about 10 s left"
    clock.now += 10
    send(display, "progress", rows=301)
    assert lines(display)[-1] == "pool + extract: 1/2 shards, 400 documents, 20/s, about 20 s left"


def test_documents_never_count_down() -> None:
    display, clock = make(plain_console())
    send(display, "pass_started", **ABOUT, tasks=2, skipped=0)
    for rows in (300, 0):
        clock.now += 10
        send(display, "progress", rows=rows)
    assert [line.split(", ")[1] for line in lines(display)[1:]] == ["300 documents"] * 2


def test_plain_lines_come_at_most_every_five_seconds_and_are_not_wrapped() -> None:
    display, clock = make(plain_console())
    send(display, "pass_started", **ABOUT, tasks=100, skipped=0)
    for _ in range(20):
        clock.now += 1
        send(display, "task_finished", **ABOUT, shard="a", rows=10)
    assert len(lines(display)) == 1 + 4
    send(display, "note", text="word " * 50 + "[red]end[/red]")
    assert lines(display)[-1].endswith("[red]end[/red]")


def test_what_an_earlier_run_did_is_no_part_of_the_rate() -> None:
    display, clock = make(plain_console())
    send(display, "progress", stage="train", done=900, total=1000, unit="steps", text="loss 3.0")
    clock.now += 10
    send(display, "progress", stage="train", done=910, total=1000, unit="steps", text="loss 2.9")
    assert lines(display) == ["train: 910/1,000 steps, loss 2.9, about 90 s left"]
    clock.now += 90
    send(display, "progress", stage="train", done=1000, total=1000, unit="steps", text="loss 2.5")
    assert lines(display)[-1] == "train: 1,000/1,000 steps, loss 2.5, 100 s"


def test_trainings_side_by_side_share_one_line() -> None:
    """The events are those of the slowest: it goes back when the next ones begin, and the last may be told twice."""
    display, clock = make(plain_console())
    for done in (10, 40, 0, 20):
        clock.now += 6
        send(display, "progress", stage="train", done=done, total=50, unit="steps", text="loss 3.0")
    assert lines(display)[-1] == "train: 20/50 steps, loss 3.0, about 9 s left"
    for _ in range(2):
        send(display, "progress", stage="train", done=50, total=50, unit="steps", text="loss 2.0")
    assert [line for line in lines(display) if "50/50" in line] == ["train: 50/50 steps, loss 2.0, 18 s"]
    send(display, "progress", stage="evaluate", done=1, total=9, unit="items", text="hellaswag")
    clock.now += 6
    send(display, "progress", stage="evaluate", done=2, total=9, unit="items", text="hellaswag")
    assert lines(display)[-1].startswith("evaluate: 2/9 items, hellaswag")


def test_the_five_largest_reasons_and_how_many_more() -> None:
    display, _ = make(plain_console())
    removed = {f"reason_{number}": number for number in range(1, 8)}
    send(display, "stage_finished", stage="03_filter", **{"in": 30, "kept": 1}, removed=removed, quarantined={"bad": 1})
    assert lines(display) == [
        "  03_filter: 30 in, 1 kept; removed reason_7 7, reason_6 6, reason_5 5, reason_4 4, reason_3 3 and 2 more; "
        "quarantined bad 1"
    ]


def test_a_bar_on_a_terminal_has_amounts_rate_and_time_left_and_ends_as_a_line() -> None:
    display, clock = make(terminal_console())
    with display:
        send(display, "pass_started", **ABOUT, tasks=4, skipped=0)
        clock.now += 10
        send(display, "task_finished", **ABOUT, shard="a", rows=1000)
        display._bars.refresh()
        (bar,) = [line for line in shown(output(display.console)) if "━" in line]
        assert bar.startswith("pool + extract ━")
        assert "1/4 shards, 1,000 documents, 100/s, about 30 s left" in bar
        for _ in range(3):
            send(display, "task_finished", **ABOUT, shard="b", rows=1000)
        send(display, "pass_finished", **ABOUT)
    assert shown(output(display.console)) == ["pool + extract: 4/4 shards, 4,000 documents, 400/s, 10 s"]


@pytest.mark.parametrize("stage", [False, True], ids=["pass", "training"])
def test_ctrl_c_leaves_no_half_drawn_bar(stage: bool) -> None:
    display, _ = make(terminal_console())
    with pytest.raises(KeyboardInterrupt), display:
        if stage:
            send(display, "progress", stage="train", done=1, total=4, unit="shards")
        else:
            send(display, "pass_started", **ABOUT, tasks=4, skipped=0)
            send(display, "task_finished", **ABOUT, shard="a", rows=0)
        display._bars.refresh()
        assert any("━" in line for line in shown(output(display.console)))
        raise KeyboardInterrupt
    name = "train" if stage else "pool + extract"
    assert shown(output(display.console)) == [f"{name}: stopped at 1/4 shards"]


def test_results_reach_standard_output_while_a_bar_is_drawn(capsys: pytest.CaptureFixture[str]) -> None:
    display, _ = make(terminal_console())
    with display:
        send(display, "pass_started", **ABOUT, tasks=4, skipped=0)
        print("the result")
    assert capsys.readouterr().out == "the result\n"


def test_quiet_says_nothing() -> None:
    display = Display(quiet=True, console=plain_console(), clock=Clock())
    with display:
        for kind, fields in EVENTS:
            send(display, kind, **fields)
        display.say("hello")
    assert output(display.console) == ""
