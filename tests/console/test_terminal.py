"""Nothing that a page, a URL, a reason or a file name holds reaches the terminal as a command to it."""

import ast
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from screen import output, plain_console, terminal_console

from tamis.base.events import Event
from tamis.console import tables
from tamis.console.display import Display
from tamis.console.terminal import echo, echo_json, safe_console, safe_text

SRC = Path(__file__).parents[2] / "src" / "tamis"
EVIL = (
    "a\x1b]0;owned\x07b\x1b[2J\x1b[31mred\x9b1m\x7f\rover\x08\x00\u202edlrow\u202c\u2066x\u2069\u2028y\ud800"
    "[/bold][red]z:smile:"
)
CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def test_control_characters_are_written_out() -> None:
    assert safe_text(EVIL) == (
        r"a\x1b]0;owned\x07b\x1b[2J\x1b[31mred\x9b1m\x7f\x0dover\x08\x00\u202edlrow\u202c\u2066x\u2069\u2028y\ud800"
        "[/bold][red]z:smile:"
    )
    assert safe_text(safe_text(EVIL)) == safe_text(EVIL)
    harmless = "größe\t日本語\n👩\u200d👩 e\u0301 שלום [red] \\x1b"
    assert safe_text(harmless) == harmless


def test_what_is_echoed(capsys: pytest.CaptureFixture[str]) -> None:
    echo(EVIL)
    echo(EVIL, err=True, nl=False)
    found = capsys.readouterr()
    assert found.out == safe_text(EVIL) + "\n" and found.err == safe_text(EVIL)
    data = {EVIL: [EVIL, 1, None]}
    echo_json(data)
    shown = capsys.readouterr().out
    assert not CONTROL.search(shown.replace("\n", "")) and json.loads(shown) == data


def explanation() -> dict[str, Any]:
    test = {"reason": EVIL, "column": EVIL, "value": EVIL, "removes_if": EVIL, "fired": True}
    survivor = {"id": EVIL, "url": EVIL, "text": EVIL, "similarity": 0.5, "left": EVIL}
    step = {"stage": EVIL, "outcome": "removed", "reason": EVIL, "tests": [test], "survivor": survivor}
    return {"id": EVIL, "url": EVIL, "outcome": "removed", "text": EVIL, "steps": [step]}


def clusters(paragraphs: bool) -> dict[str, Any]:
    cluster = {"documents": 2, "survivor": {"id": EVIL, "url": EVIL, "text": EVIL}}
    return {
        "stage": EVIL, "counts": {"in": 2, "removed": {EVIL: 1}}, "num_clusters": 1,
        "clusters": [] if paragraphs else [cluster], "paragraphs": [{"documents": 2, "hosts": 1, "text": EVIL}],
    }  # fmt: skip


@pytest.mark.parametrize("what", ["why", "clusters", "paragraphs", "clean", "assets"])
def test_tables_and_explanations(what: str, capsys: pytest.CaptureFixture[str]) -> None:
    if what == "why":
        tables.print_explanation(explanation())
    elif what == "clean":
        item = {"artefact": EVIL, "kind": EVIL, "bytes": 5, "why": EVIL, "kept": EVIL}
        tables.print_table(tables.clean_table([item]))
    elif what == "assets":
        tables.print_table(tables.assets_table([{"name": EVIL, "cached": EVIL}]))
    else:
        tables.print_table(tables.clusters_table(clusters(what == "paragraphs")))
    shown = capsys.readouterr().out
    assert not CONTROL.search(shown)
    assert (r"a\x1b]0;owned" in shown and ":smile:" in shown.replace("\n", "").replace(" ", "")) or what != "why"


def test_a_table_on_a_terminal_has_no_codes_but_its_own() -> None:
    console = safe_console(file=io.StringIO(), force_terminal=True, width=200, color_system=None, _environ={})
    table = tables.assets_table([{"name": EVIL, "cached": EVIL}])
    console.print(table)
    console.print(EVIL)
    assert not CONTROL.search(re.sub(r"\x1b\[[0-9;]*m", "", output(console)))


EVENTS = (
    Event(kind="note", fields={"text": EVIL}),
    Event(kind="pass_started", fields={"stages": [EVIL], "reads": EVIL, "unit": EVIL, "tasks": 2, "skipped": 1}),
    Event(kind="task_retried", fields={"shard": EVIL, "trouble": EVIL}),
    Event(kind="progress", fields={"stage": EVIL, "done": 1, "total": 3, "unit": EVIL, "text": EVIL}),
    Event(kind="progress", fields={"stage": EVIL, "done": 2, "total": 3, "unit": EVIL, "text": EVIL}),
    Event(kind="stage_finished", fields={"stage": EVIL, "in": 2, "removed": {EVIL: 1}, "quarantined": {EVIL: 1}}),
    Event(kind="pass_finished", fields={}),
)


@pytest.mark.parametrize("make", [plain_console, terminal_console])
def test_progress(make: Any) -> None:
    console = make()
    with Display(console=console) as display:
        for event in EVENTS:
            display.on_event(event)
    shown = output(console)
    assert "owned" in shown and "\x1b]0" not in shown
    # What is left is of the bars: colours, and the movement of the cursor.
    assert not CONTROL.search(re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\r", "", shown))


def test_nothing_else_prints() -> None:
    """`print`, `typer.echo` and rich's Console stand in one module only, and in a script that is no part of a run."""
    allowed = [SRC / "console" / "terminal.py", SRC / "kernels" / "text" / "make_tables.py"]
    printing = ("print", "typer.echo", "click.echo", "typer.secho", "Console", "rich.print")
    wrong = []
    for path in sorted({*SRC.rglob("*.py")} - {*allowed}):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            called = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
            if called in printing:
                wrong.append(f"{path.relative_to(SRC)}:{node.lineno}: {called}")
    assert wrong == []
