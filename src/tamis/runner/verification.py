"""What is checked before stored files are trusted: by a worker those of its stages, made by the graph or given by the
user; and all files of a workspace at once, when the user asks."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tamis.base.errors import DataError
from tamis.runner.ledger import RECORD, read_record, verify, withdraw
from tamis.runner.plan import ARTEFACT_SCHEME, Step
from tamis.store.digests import input_mark, is_intact
from tamis.store.location import Location
from tamis.store.tokens import MANIFEST, TOKENIZER, has_manifest
from tamis.store.workspace import Workspace


@contextmanager
def verified_assets(step: Step, workspace: Workspace) -> Iterator[None]:
    """Around the opening of a stage. Raises DamagedError, DataError as the checks below."""
    _check_made(step, workspace)
    try:
        yield
    finally:
        _check_given(step)  # where a file has changed, that is what there is to say of any error


def _check_made(step: Step, workspace: Workspace) -> None:
    """Compare what other nodes of the graph made for a step with their records. Raises DamagedError."""
    for text in step.assets.values():
        if text.startswith(ARTEFACT_SCHEME):
            artefact, _, file = text.removeprefix(ARTEFACT_SCHEME).partition("/")
            folder = workspace.artefact(artefact)
            verify(folder, folder / RECORD, (file,))


def _check_given(step: Step) -> None:
    """Called when a stage has read its files. Raises DataError when one is not what it was when the run was planned:
    what was made with it would be stored as the work of another file."""
    for name, mark in step.asset_marks.items():
        text = step.assets[name]
        try:
            changed = input_mark(text) != mark
        except OSError:
            changed = True
        if changed:
            raise DataError(
                f"{step.stage.name}.{name}: the file {text} was changed or replaced while the run was using it. Run "
                "the same command again; what it makes with the new file is kept apart."
            )


DELETABLE = ("sketches/", "decisions/")
"""What a user may delete of a finished artefact; a file that is missing there is no damage."""


@dataclass(frozen=True)
class Checked:
    """A file of an artefact, its size, and what is wrong with it: '' or a phrase."""

    file: Location
    num_bytes: int
    fault: str


def check_artefact(folder: Location) -> Iterator[Checked]:
    """Read every file of an artefact that has a record, and compare it with its digest.

    The record of a file that is not as it was written is withdrawn: the next run that needs the file makes it anew. A
    record that is damaged itself counts as none already.
    """
    places = [folder / RECORD, *(folder / "tasks").children("*.json")]
    for place in (place for place in places if place.exists()):
        record = read_record(place)
        if record is None:
            yield Checked(place, place.size(), "the record is not as it was written")
            continue
        found = [_check_file(folder, name, output) for name, output in sorted(record.outputs.items())]
        if any(checked.fault for checked in found):
            withdraw(place)
        yield from found
    tokens = folder / "tokens"
    if (tokens / MANIFEST).exists():
        whole = has_manifest(tokens)
        for place in (tokens / MANIFEST, tokens / TOKENIZER):
            size = place.size() if place.exists() else 0
            yield Checked(place, size, "" if whole else "the manifest and the tokenizer do not fit each other")


def _check_file(folder: Location, name: str, output: dict[str, Any]) -> Checked:
    file, size = folder / name, int(output["bytes"])
    if not file.exists():
        return Checked(file, size, "" if name.startswith(DELETABLE) else "the file is missing")
    return Checked(file, size, "" if is_intact(file, str(output["blake2b"])) else "the file is not as it was written")
