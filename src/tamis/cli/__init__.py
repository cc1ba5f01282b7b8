"""The command line: thin, with imports inside the commands so that `tamis --help` is instant."""

import sys

from tamis.base.errors import TamisError
from tamis.cli import runs, work
from tamis.cli.options import app
from tamis.console.terminal import echo

__all__ = ["app", "main", "runs", "work"]


def main() -> None:
    """Entry point: known errors become one message and an exit code, never a traceback."""
    try:
        app()
    except TamisError as error:
        echo(f"error: {error}", err=True)
        sys.exit(error.exit_code)
