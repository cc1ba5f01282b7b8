"""The workspace: one folder, local or on an object store, that holds every artefact and every run made from them.

WORKSPACE/workspace.json          marks the folder as a workspace
          artefacts/NAME-HASH/    one folder per artefact: what it is, and the hash of all that decides its bytes
          RUN/                    one folder per run: which artefacts belong to it, its recipe and events
          EXPERIMENT/RUN/         the same for the runs of an experiment

Artefacts are shared: a run that needs what another run finished finds it here. No run deletes one; `tamis clean` does.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from tamis.base.errors import ConfigError, DataError
from tamis.store.atomic import read_json, storage_errors, write_json
from tamis.store.location import Location
from tamis.store.remote import check_spelling, filesystem

FORMAT = {"format": "tamis workspace", "version": 1}
MARKER, ARTEFACTS, EVENTS = "workspace.json", "artefacts", "events.jsonl"
_READ_ONLY = ("http", "https", "hf")


@dataclass(frozen=True)
class Workspace:
    """An existing workspace; make one with `open_workspace`."""

    root: Location

    def artefact(self, name: str) -> Location:
        return self.root / ARTEFACTS / name

    def artefacts(self, pattern: str = "*") -> list[Location]:
        """Folders of all artefacts, or of those whose names match."""
        return (self.root / ARTEFACTS).children(pattern)

    def find_own(self, uris: Iterable[str]) -> str | None:
        """The first of these files that lies where runs of this workspace write: among the artefacts, or in the folder
        of a run or experiment."""
        folders: dict[str, bool] = {}
        for uri in uris:
            folder, _, _ = uri.rpartition("/")
            if folder not in folders:
                folders[folder] = self._is_own(Location(folder or "."))
            if folders[folder]:
                return uri
        return None

    def _is_own(self, folder: Location) -> bool:
        # Links lead to one place by many names.
        root, folder = (
            (self.root, folder)
            if self.root.is_remote or folder.is_remote
            else (Location(self.root.path.resolve()), Location(folder.path.resolve()))
        )
        if not f"{folder}/".startswith(f"{root}/"):
            return False
        first, *more = f"{folder}/".removeprefix(f"{root}/").split("/")
        places = [root / first, root / first / more[0]] if first and more and more[0] else [root / first]
        return first == ARTEFACTS or (first != "" and any((place / EVENTS).exists() for place in places))

    def views(self, marker: str) -> Iterator[Location]:
        """Folders of runs or experiments, at most two levels down: those that hold a file called `marker`."""
        for folder in self.root.children():
            if folder.name == ARTEFACTS:
                continue
            for place in (folder, *folder.children()):
                if (place / marker).is_file():
                    yield place


def open_workspace(place: Location) -> Workspace:
    """The workspace at `place`; an empty or absent folder becomes one. Raises ConfigError as `planned_workspace`, and
    StorageError when it cannot be written."""
    workspace = planned_workspace(place)
    if not (workspace.root / MARKER).exists():
        with storage_errors(workspace.root):
            write_json(workspace.root / MARKER, FORMAT)
    return workspace


def planned_workspace(place: Location) -> Workspace:
    """The workspace that is at `place`, or that could be made there; nothing is written. Raises ConfigError for a place
    that can be no folder, and for a folder that is not empty and not Tamis's own, which is never written into."""
    _check_place(place)
    place = place.absolute()
    if (place / MARKER).exists():
        _check_format(place)
        return Workspace(place)
    with storage_errors(place):
        found = place.children()
    if found:
        raise ConfigError(
            f"{place}: this folder is not empty and no Tamis workspace (it holds {found[0].name}). Choose a new or "
            "empty folder: --workspace FOLDER."
        )
    return Workspace(place)


def _check_place(place: Location) -> None:
    """Raises ConfigError for a place that can be no folder, or no folder to write into."""
    check_spelling(str(place), "--workspace")
    if place.is_remote:
        protocol = str(place).partition("://")[0]
        if protocol in _READ_ONLY:
            raise ConfigError(
                f"--workspace: {place} can be read, but no workspace can be made there. Name a folder of this machine, "
                "or s3://BUCKET/FOLDER or gs://BUCKET/FOLDER."
            )
        filesystem(str(place))
        if place.is_file():
            raise ConfigError(f"--workspace: {place} is a file. Name a folder: --workspace FOLDER.")
        return
    for path in (place.path, *place.path.parents):
        try:
            if path.is_file():
                raise ConfigError(f"--workspace: {path} is a file. Name a folder: --workspace FOLDER.")
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            raise ConfigError(f"--workspace: {path} can be no folder ({reason}). Name another.") from None


def existing_workspace(place: Location) -> Workspace:
    """The workspace at `place`. Raises ConfigError when there is none; nothing is created."""
    place = place.absolute()
    if not (place / MARKER).is_file():
        raise ConfigError(f"{place}: no Tamis workspace here ({MARKER} is missing).")
    _check_format(place)
    return Workspace(place)


def workspace_of(place: Location) -> Workspace:
    """The workspace that a run or experiment lies in. Raises ConfigError when it lies in none."""
    folder = place.absolute()
    for _ in range(3):
        if (folder / MARKER).is_file():
            _check_format(folder)
            return Workspace(folder)
        folder = folder.parent
    raise ConfigError(
        f"{place}: no run here. Runs lie in a workspace and are made by: tamis run RECIPE --workspace FOLDER."
    )


def _check_format(place: Location) -> None:
    try:
        found = read_json(place / MARKER)
    except DataError:
        raise ConfigError(
            f"{place / MARKER}: damaged. Write this line into it, and nothing else: {json.dumps(FORMAT)}"
        ) from None
    if found != FORMAT:
        raise ConfigError(
            f"{place}: this workspace was made by another version of Tamis ({found}). Choose another folder: "
            "--workspace FOLDER."
        )
