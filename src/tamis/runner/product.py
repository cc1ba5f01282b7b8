"""A product: what is made from documents in one piece of work, as one artefact with one record in the ledger."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from tamis.base.events import Event
from tamis.runner.graph import Context, Node
from tamis.runner.ledger import (
    RECORD,
    DamagedError,
    Record,
    complete_record,
    describe_outputs,
    verify,
    write_record,
)
from tamis.store.location import Location
from tamis.store.locks import LOCK
from tamis.store.workspace import Workspace


class ProductNode(Node):
    """A node with one artefact."""

    read_when_done: ClassVar[tuple[str, ...]] = ()
    """Small files that are read wherever the artefact is found done, and so verified then."""

    resumes_from: ClassVar[tuple[str, ...]] = ()
    """Folders of the artefact in which interrupted work leaves what it goes on from."""

    @abstractmethod
    def identity(self, workspace: Workspace) -> str:
        """Fingerprint over all that decides the artefact's bytes. Asked only when all inputs are done."""

    @abstractmethod
    def make(self, folder: Location, context: Context) -> Sequence[Location]:
        """Do the work; returns the files that make up the artefact."""

    def artefacts(self, workspace: Workspace) -> list[str]:
        return [f"{self.kind}-{self.identity(workspace)[:20]}"]

    def folder(self, workspace: Workspace) -> Location:
        """Where the artefact lies. Asked only when all inputs are done."""
        return workspace.artefact(self.artefacts(workspace)[0])

    def is_done(self, workspace: Workspace) -> bool:
        folder = self.folder(workspace)
        if complete_record(folder, folder / RECORD, self.identity(workspace)) is None:
            return False
        try:
            verify(folder, folder / RECORD, self.read_when_done)
        except DamagedError:
            return False
        return True

    def verify(self, workspace: Workspace) -> None:
        """Compare what it made with the ledger. Raises DamagedError."""
        folder = self.folder(workspace)
        verify(folder, folder / RECORD)

    def run(self, context: Context) -> None:
        folder = self.folder(context.workspace)
        about = {"stage": self.label, "run": self.run_name}
        context.on_event(Event(kind="step_started", fields=about))
        if (folder / RECORD).exists():
            # It was finished and is not whole any more: what the damage is in is nothing to go on from.
            for name in self.resumes_from:
                (folder / name).delete_folder()
        files = self.make(folder, context)
        record = Record(fingerprint=self.identity(context.workspace), outputs=describe_outputs(folder, files))
        write_record(folder / RECORD, record)
        context.on_event(Event(kind="step_finished", fields=about))


def made_in(folder: Location) -> list[Location]:
    """All files of an artefact but those about it: its record, and the lock that is held while it is made, which on an
    object store is a folder."""
    return [place for place in folder.files() if place.relative_to(folder).partition("/")[0] not in (RECORD, LOCK)]
