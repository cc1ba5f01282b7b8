"""Calls the command line as a user does: another process, in a folder of its own."""

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

Tamis = Callable[..., "subprocess.CompletedProcess[str]"]


def tamis_in(place: Path, environment: Mapping[str, str] | None = None) -> Tamis:
    """A function that runs `tamis ARGUMENTS…` in `place`, and checks that it succeeds, or `fails` without a traceback.
    `environment` has variables to set besides those of the test."""

    def call(*arguments: str, fails: bool = False) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "tamis", *arguments]
        variables = os.environ | (environment or {})
        done = subprocess.run(
            command, capture_output=True, text=True, cwd=place, timeout=900, check=False, env=variables
        )
        assert (done.returncode != 0) == fails, f"{arguments}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr, done.stderr
        return done

    return call


def the_error(done: "subprocess.CompletedProcess[str]") -> str:
    """The one error message of a command that failed, to its end; nothing is left for a user to guess."""
    lines = done.stderr.splitlines()
    starts = [number for number, line in enumerate(lines) if line.startswith("error: ")]
    assert len(starts) == 1, done.stderr
    assert done.stdout == ""
    return "\n".join(lines[starts[0] :])


def artefact_files(workspace: Path) -> dict[str, int]:
    """Time of the last change of every file of every artefact of a workspace: what is computed again changes one."""
    folder = workspace / "artefacts"
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != ".lock"]
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in files}


def new_artefacts(before: Mapping[str, int], after: Mapping[str, int]) -> list[str]:
    """Kinds of the artefacts that are new, after checking that no old file was touched."""
    assert {name: after.get(name) for name in before} == before, "a finished artefact was written or deleted"
    names = {name.split("/")[0] for name in after} - {name.split("/")[0] for name in before}
    return sorted(name.split("-")[0] for name in names)
