"""What can be known of the inputs before a run: whether their kind is readable, and whether any of them has texts.

What no record has is told once, in the first second and with the names of the fields that exist, and not as thousands
of quarantined rows.
"""

from collections.abc import Callable, Sequence
from itertools import islice

from tamis.base.errors import FormatError
from tamis.stages.pool import parquet, readers
from tamis.stages.pool.repositories import FILES
from tamis.stages.pool.shards import PoolShard
from tamis.store import jsonl
from tamis.store.fields import FieldNames, look_up, nested_names, told_names
from tamis.store.paths import has_readable_name

LOOKED_FILES = 32
"""So many files of a kind are looked at, until one has texts."""
LOOKED_RECORDS = 1000
"""So many records of a JSONL file are looked at, until one has a text."""

OpenerOf = Callable[[PoolShard], readers.Opener]
ColumnError = parquet.ColumnError


def look_over(files: Sequence[PoolShard], opener_of: OpenerOf, names: FieldNames, repositories: bool) -> list[str]:
    """Remarks for the user on the files of a pool. Raises FormatError for the mistakes that would make a whole pool
    unreadable: a file of another kind that was named outright, a single file that is no Parquet, and JSONL or Parquet
    files of which none has a field for the text."""
    for file in files:
        if not has_readable_name(file.uri):
            readers.kind_of(file.uri, opener_of(file))
    remarks: list[str] = []
    for kind in ("parquet", "jsonl"):
        found = [file for file in files if readers.kind_by_name(file.uri) == kind]

        def check(file: PoolShard, kind: str = kind) -> None:
            if kind == "parquet":
                parquet.check_file(file.uri, opener_of(file), names)
            else:
                check_lines(file, opener_of(file), names, repositories)

        remarks += _look(found, check, alone=len(files) == 1)
    return remarks


def _look(files: Sequence[PoolShard], check: Callable[[PoolShard], None], alone: bool) -> list[str]:
    """Look at files of one kind until one has texts. A file that cannot be read is quarantined when it is read."""
    without: list[ColumnError] = []
    for file in files[:LOOKED_FILES]:
        try:
            check(file)
        except ColumnError as error:
            without.append(error)
        except FormatError:
            if alone:
                raise
        else:
            return [_left_out(without)] if without else []
    if without:
        raise without[0]
    return []


def _left_out(without: Sequence[ColumnError]) -> str:
    more = f" The same holds for {len(without) - 1} more of the first files." if len(without) > 1 else ""
    return f"{str(without[0]).rstrip('.')}, or leave the file out: --set pool.exclude=[NAME].{more}"


def check_lines(file: PoolShard, opener: readers.Opener, names: FieldNames, repositories: bool) -> None:
    """Raises ColumnError where none of the first records of a JSONL file has a text."""
    seen: dict[str, None] = {}
    count = 0
    for record in islice(jsonl.first_records(opener), LOOKED_RECORDS):
        is_repository = repositories and isinstance(record.get(FILES), list)
        if is_repository or isinstance(look_up(record, names.text_field), str):
            return
        seen |= dict.fromkeys(nested_names(record))
        count += 1
    if count:
        raise ColumnError(
            f"{file.uri}: none of its first {count} records has a field '{names.text_field}' that holds a string (they "
            f"have: {told_names(seen)}). Name the field that holds the texts: --set pool.text_column=NAME"
        )
