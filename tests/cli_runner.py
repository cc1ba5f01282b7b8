"""Calls the command line as a user does: another process, in a folder of its own."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

Tamis = Callable[..., "subprocess.CompletedProcess[str]"]


def tamis_in(place: Path) -> Tamis:
    """A function that runs `tamis ARGUMENTS…` in `place`, and checks that it succeeds, or `fails` without a traceback."""

    def call(*arguments: str, fails: bool = False) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "tamis", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, cwd=place, timeout=900, check=False)
        assert (done.returncode != 0) == fails, f"{arguments}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr, done.stderr
        return done

    return call
