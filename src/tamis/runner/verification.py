"""What a worker checks before it trusts a stage's files: those that the graph made, and those of the user."""

from tamis.base.errors import DataError
from tamis.runner.ledger import RECORD, verify
from tamis.runner.plan import ARTEFACT_SCHEME, Step
from tamis.store.digests import input_mark
from tamis.store.workspace import Workspace


def check_made_assets(step: Step, workspace: Workspace) -> None:
    """Compare what other nodes of the graph made for a step with their records. Raises DamagedError."""
    for text in step.assets.values():
        if text.startswith(ARTEFACT_SCHEME):
            artefact, _, file = text.removeprefix(ARTEFACT_SCHEME).partition("/")
            folder = workspace.artefact(artefact)
            verify(folder, folder / RECORD, (file,))


def check_given_assets(step: Step) -> None:
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
