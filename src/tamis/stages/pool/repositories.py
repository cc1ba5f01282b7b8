"""Records that are whole repositories (a list of files each) cut into rows of a few files, or of one.

The pool is the only step that may make several rows of one record: later steps keep the number of rows. DCLM's
`starcoder_v2_repo_splitter` does this inside its mappers, for repositories of more than 1,000 files.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from tamis.base import exact_json
from tamis.stages.pool.rows import MAX_ROW_BYTES, Row
from tamis.store.identity import document_id

FILES = "files"
FILE_NAME = "filename"
BETWEEN_FILES = "\n\n"


def accept(row: Row) -> None:
    """Accept a repository that has no `text` of its own, since its parts get their texts from the files.

    Where a repository has no URL and no id, its id is a hash of its other fields, or of its files if it has no other
    fields.
    """
    if row.text is None and _files(row.extra):
        row.text, row.error = "", None
        if row.id == document_id("", "", b""):
            fields = exact_json.loads(row.extra or "{}")
            named = {name: value for name, value in fields.items() if name != FILES} or fields
            row.id = document_id("", "", exact_json.dumps(named).encode())


def parts(row: Row, max_files: int) -> Iterator[Row]:
    """`row` itself where it is no repository, else one row for every `max_files` files, in order.

    The `text` of a part is that of its files, separated by a blank line. `extra` holds the list of them as `files` and,
    where it is a single file, its other fields (such as `filename`). URL, headers and removal are those of the whole
    repository. The id of a part is a hash of the id of the whole, the name of its first file and the files themselves,
    so it does not depend on the other files of the repository. A part with a file that has no text is quarantined.
    """
    files = _files(row.extra)
    if row.error is not None or not files:
        yield row
        return
    common = {name: value for name, value in exact_json.loads(row.extra or "{}").items() if name != FILES}
    repeated = (len(files) + max_files - 1) // max_files * _size_of(row, common)
    if repeated > MAX_ROW_BYTES:
        row.text, row.extra = None, None
        row.error = (
            f"too_large: the fields that each part repeats have {repeated} bytes in all parts together, of which "
            f"{MAX_ROW_BYTES} at most are written"
        )
        yield row
        return
    for first in range(0, len(files), max_files):
        chosen = files[first : first + max_files]
        own = {name: value for name, value in chosen[0].items() if name != "text"} if len(chosen) == 1 else {}
        name = str(chosen[0].get(FILE_NAME, ""))
        part = replace(
            row,
            id=document_id("", f"{row.id}/{name}", exact_json.dumps(chosen).encode()),
            extra=exact_json.dumps({**common, **own, FILES: chosen}),
        )
        missing = next((at for at, file in enumerate(chosen) if not isinstance(file.get("text"), str)), None)
        if missing is None:
            part.text = BETWEEN_FILES.join(file["text"] for file in chosen)
        else:
            part.text = None
            part.error = f"no_text_field: file {first + missing + 1} of the repository has no 'text' that is a string"
        yield part


def _size_of(row: Row, common: dict[str, Any]) -> int:
    """Bytes that each part of a repository repeats."""
    shared = replace(row, text=None, extra=exact_json.dumps(common))
    return shared.size_bytes()


def _files(extra: str | None) -> list[dict[str, Any]]:
    """The files of a record; empty where it is no repository."""
    if extra is None or f'"{FILES}"' not in extra:
        return []
    found = exact_json.loads(extra).get(FILES)
    if not isinstance(found, list) or not all(isinstance(file, dict) for file in found):
        return []
    return found
