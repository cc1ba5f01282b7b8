"""A clock that is set by hand, and what a terminal shows after the bytes that were written to it."""

import io
import re

from rich.console import Console


class Clock:
    """Seconds that pass only when told to."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


def plain_console() -> Console:
    return Console(file=io.StringIO(), force_terminal=False, width=80)


def terminal_console() -> Console:
    return Console(file=io.StringIO(), force_terminal=True, width=160, height=40, color_system=None, _environ={})


def output(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def shown(text: str) -> list[str]:
    """The lines that a terminal shows: carriage returns, cursor up and erased lines are followed."""
    lines, row, column = [""], 0, 0
    for part in re.findall(r"\x1b\[[0-9;?]*[A-Za-z]|.|\n", text):
        if part == "\n":
            row, column = row + 1, 0
            lines += [""] * (row + 1 - len(lines))
        elif part == "\r":
            column = 0
        elif part.startswith("\x1b"):
            count, kind = re.sub(r"\D", "", part), part[-1]
            if kind == "A":
                row = max(0, row - int(count or 1))
            elif kind == "K":
                lines[row] = ""
        else:
            lines[row] = lines[row][:column].ljust(column) + part + lines[row][column + 1 :]
            column += 1
    return [line.rstrip() for line in lines if line.strip()]
