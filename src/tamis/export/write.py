"""Writes the files of an export, several at a time, each whole or not at all, and continues an interrupted export.

FOLDER/data/…              the documents
       README.md           the dataset card
       SHA256SUMS          checksums, for `sha256sum --check SHA256SUMS`
       tamis-export.json   what was exported, written last: where it is, the export is finished
       .tamis-export/      while it is not finished: what is exported, and what every finished file holds
"""

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from tamis.base import columns
from tamis.base.errors import ConfigError, DataError
from tamis.export.card import card_text, checksums_text
from tamis.export.layouts import portable, records
from tamis.export.plan import ExportPlan, PlannedFile, run_again, shard_places
from tamis.export.schema import kind_of, merged_fields, readable
from tamis.export.written import Exported, WrittenFile
from tamis.runner.ledger import DamagedError, verify
from tamis.store.atomic import delete_leftovers, read_json, write_json, write_text
from tamis.store.exported import Measured, write_lines, write_parquet
from tamis.store.location import Location
from tamis.store.locks import lock
from tamis.store.shards import read_shard

STATE, MANIFEST = ".tamis-export", "tamis-export.json"
LANGUAGE = "language"
"""The column that the language rule of `filter` writes."""

OnProgress = Callable[[int, int], None]
"""Called with the number of finished files, and of all."""


class _StoppedError(Exception):
    """Another file failed, or the user interrupted."""


def export(plan: ExportPlan, folder: Location, num_workers: int, on_progress: OnProgress) -> Exported:
    """Write what is missing of an export into `folder`. A finished export is found, and nothing is done.

    Raises ConfigError where the folder holds anything else, DataError where a stored shard is damaged, or what was
    written does not balance with the accounting of the stage, StorageError.
    """
    check_folder(plan, folder)
    identity = plan.identity()
    with lock(folder / STATE):
        for place in (folder, folder / plan.layout.folder):
            delete_leftovers(place)
        if not (folder / STATE / "identity.json").exists():
            write_json(folder / STATE / "identity.json", identity)
        known = _known(plan, folder)
        missing = [file for file in plan.files if file.name not in known]
        (folder / MANIFEST).delete_file() if missing else None
        for number, file in enumerate(_written(plan, folder, missing, num_workers)):
            known[file.name] = file
            on_progress(len(plan.files) - len(missing) + number + 1, len(plan.files))
        done = Exported(folder=folder, files=[known[file.name] for file in plan.files], written=len(missing))
        _check(plan, done)
        _describe(plan, done)
    (folder / STATE).delete_folder()
    return done


def check_folder(plan: ExportPlan, folder: Location) -> None:
    """Raises ConfigError where `folder` lies in the workspace, is a file, or holds anything but this export."""
    root = plan.run.workspace.root
    if f"{folder}/".startswith(f"{root}/"):
        raise ConfigError(
            f"--output {folder}: this folder lies in the workspace {root}, which holds only what runs make. Name a "
            "folder outside it: --output FOLDER"
        )
    if folder.is_file():
        raise ConfigError(f"--output {folder}: this is a file. Name a folder: --output FOLDER")
    found = _identity_at(folder)
    if found is None:
        others = [place.name for place in folder.children() if place.name != STATE]
        if others:
            raise ConfigError(
                f"--output {folder}: this folder is not empty (it holds {others[0]}). Name a new or an empty folder: "
                "--output FOLDER"
            )
        return
    wanted = plan.identity()
    if differing := [name for name in wanted if found.get(name) != wanted[name]]:
        name = differing[0]
        raise ConfigError(
            f"--output {folder}: this folder holds another export ({name}: {found.get(name)}, not {wanted[name]}). "
            "Name another folder: --output FOLDER"
        )


def _identity_at(folder: Location) -> dict[str, Any] | None:
    """What is exported in a folder, finished or not; None where nothing is."""
    for place in (folder / MANIFEST, folder / STATE / "identity.json"):
        try:
            found = read_json(place)
        except FileNotFoundError:
            continue
        except DataError:
            return {}
        if isinstance(found, dict):
            identity = found.get("export", found) if place.name == MANIFEST else found
            return identity if isinstance(identity, dict) else {}
        return {}
    return None


def _known(plan: ExportPlan, folder: Location) -> dict[str, WrittenFile]:
    """The files that are finished: those that are there in the size that was recorded."""
    entries: list[Any] = []
    for place in ((folder / MANIFEST), *(folder / STATE).children("file-*.json")):
        try:
            found = read_json(place)
            entries += found["files"] if place.name == MANIFEST else [found]
        except (FileNotFoundError, DataError, KeyError, TypeError):
            continue
    planned = {file.name: file for file in plan.files}
    known: dict[str, WrittenFile] = {}
    for entry in entries:
        try:
            file = WrittenFile(**entry)
            if file.name in planned and (folder / file.name).size() == file.bytes:
                known[file.name] = file
        except (TypeError, FileNotFoundError):
            continue
    return known


def _written(plan: ExportPlan, folder: Location, missing: list[PlannedFile], num_workers: int) -> Iterator[WrittenFile]:
    """Write files in threads: compression, which most of the time is spent on, leaves Python to the others."""
    troubles: list[BaseException] = []

    def write(file: PlannedFile) -> WrittenFile:
        try:
            found = _write_file(plan, folder, file, lambda: bool(troubles))
            write_json(folder / STATE / f"file-{plan.files.index(file):05d}.json", asdict(found))
            return found
        except BaseException as error:
            troubles.append(error)
            raise

    with ThreadPoolExecutor(num_workers) as pool:
        futures = [pool.submit(write, file) for file in missing]
        try:
            for future in futures:
                yield future.result()
        except BaseException as error:  # noqa: BLE001 - it is raised again, or what came before it
            troubles.append(error)
            for future in futures:
                future.cancel()
            raise troubles[0] from None  # what stopped the others


def _write_file(plan: ExportPlan, folder: Location, file: PlannedFile, is_stopped: Callable[[], bool]) -> WrittenFile:
    found = WrittenFile(name=file.name)
    languages: Counter[str] = Counter()

    def batches() -> Iterator[pa.RecordBatch]:
        for batch in _read(plan, file):
            if is_stopped():
                raise _StoppedError
            found.documents += batch.num_rows
            found.text_bytes += pc.sum(pc.binary_length(batch.column(columns.TEXT))).as_py() or 0
            if LANGUAGE in batch.schema.names:
                counted = pc.value_counts(batch.column(LANGUAGE).cast(pa.string()))
                languages.update({item["values"].as_py() or "": item["counts"].as_py() for item in counted})
            yield batch

    def lines() -> Iterator[bytes]:
        for batch in batches():
            written = []
            for record in records(batch, plan.layout, plan.source):
                record, data = readable(record)
                found.fields = merged_fields(found.fields, {name: kind_of(value) for name, value in record.items()})
                written.append(data)
            yield b"".join(written)

    place = folder / file.name
    measured: Measured
    if plan.layout.record is None:
        measured = write_parquet(place, (portable(batch) for batch in batches()))
    else:
        measured = write_lines(place, lines())
    found.bytes, found.sha256 = measured.num_bytes, measured.sha256
    found.languages = dict(sorted(languages.items()))
    return found


def _read(plan: ExportPlan, file: PlannedFile) -> Iterator[pa.RecordBatch]:
    """The documents of a file, from shards that are compared with their digests. Raises DataError."""
    for part, shard, record in shard_places(plan, file):
        try:
            verify(plan.stage.root, record, (shard.relative_to(plan.stage.root),))
        except DamagedError as error:
            damaged = ", ".join(damage.file for damage in error.damages)
            workspace = plan.run.workspace.root
            raise DataError(
                f"{damaged}: damaged since it was written. To make it anew, type: tamis verify {workspace} ; then: "
                f"{run_again(plan.run)}"
            ) from None
        left = part.count
        for batch in read_shard(shard, skip=part.skip):
            yield batch.slice(0, left)
            left -= min(left, batch.num_rows)
            if left == 0:
                break


def _check(plan: ExportPlan, done: Exported) -> None:
    """Raises DataError unless the files hold exactly the documents that the stage kept."""
    accounting = plan.card.accounting
    assert accounting is not None
    if (done.documents, done.text_bytes) != (accounting.kept, accounting.kept_bytes):
        raise DataError(
            f"{done.folder}: the accounting does not balance: {plan.step} kept {accounting.kept} documents with "
            f"{accounting.kept_bytes} bytes of text, the files hold {done.documents} with {done.text_bytes}. Type: "
            f"tamis verify {plan.run.workspace.root} ; then delete the folder and export again."
        )


def _describe(plan: ExportPlan, done: Exported) -> None:
    """Write the card, the checksums and, last, the list of files; nothing is written that is there already."""
    card = card_text(plan, done.files)
    manifest = {"export": plan.identity(), "files": [asdict(file) for file in done.files]}
    sums = checksums_text(done.files)
    for name, text in (("README.md", card), ("SHA256SUMS", sums)):
        place = done.folder / name
        if not place.exists() or place.read_bytes() != text.encode():
            write_text(place, text)
    if done.written or not (done.folder / MANIFEST).exists():
        write_json(done.folder / MANIFEST, manifest)
