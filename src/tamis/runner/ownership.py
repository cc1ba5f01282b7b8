"""Which artefacts of a workspace, and which files in them, Tamis made: nothing else is ever deleted."""

import re

from tamis.runner.ledger import RECORD, read_record
from tamis.store.location import Location
from tamis.store.locks import LOCK

_STAGE = re.compile(r".+-[0-9a-f]{12}-[0-9a-f]{8}")
_PRODUCT = re.compile(r".+-[0-9a-f]{20}")
_STAGE_FILE = re.compile(
    r"card\.json|(shards|removed|quarantine|sources|sketches)/\d{5,}\.parquet|"
    r"decisions/((round\d-)?\d{5,}|combined)\.parquet|"
    r"tasks/((sketch-|decide-|decide-round\d-)?\d{5,}|combine)\.json|jsonl/\d{5,}\.jsonl\.\w+|"
    r"tokens/(\d{5,}\.(bin|offsets)|manifest\.json|tokenizer\.json)"
)
"""The files that `StageDir` names."""


def is_artefact(folder: Location) -> bool:
    """Whether a folder among the artefacts has a name that Tamis gives."""
    return bool(_STAGE.fullmatch(folder.name) or _PRODUCT.fullmatch(folder.name))


def foreign_files(folder: Location) -> list[str]:
    """Files in an artefact that Tamis did not make, in sorted order: those with names that no stage gives, and those
    that the record of a product does not list. Nobody lists the files of a product that was never finished: they are
    all taken for its own."""
    names = [name for name in (place.relative_to(folder) for place in folder.files()) if name.partition("/")[0] != LOCK]
    if not _PRODUCT.fullmatch(folder.name):
        return [name for name in names if not _STAGE_FILE.fullmatch(name)]
    record = read_record(folder / RECORD)
    if record is None or not record.fingerprint:
        return []
    return [name for name in names if name not in record.outputs and name != RECORD]
