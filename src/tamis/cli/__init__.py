"""The command line: thin, with imports inside the commands so that `tamis --help` is instant."""

import sys

import typer

from tamis.base.errors import TamisError
from tamis.cli import runs, work
from tamis.cli.options import app

__all__ = ["app", "main", "runs", "work"]


def main() -> None:
    """Entry point: known errors become one message and an exit code, never a traceback."""
    try:
        app()
    except TamisError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(error.exit_code)
