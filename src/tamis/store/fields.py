"""Which field of a record is its text, its URL and its id: as a recipe names them, or as the common formats call them.

DCLM has `text`, `url` and the WARC headers in `metadata`; Dolma and datatrove have `text`, `id` and `metadata.url`. A
name with dots is the way to a nested field (`metadata.url`), unless the record has a field with that very name.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from tamis.base import columns

TARGET_URI = "WARC-Target-URI"
RECORD_ID = "WARC-Record-ID"
NAMES_SHOWN = 20
SOURCE_PREFIX = "source_"
"""Begins the name of an input's field whose own name belongs to something else: see `free_name`."""


@dataclass(frozen=True, kw_only=True)
class FieldNames:
    """The fields that a recipe names; '' where the usual ones are looked for."""

    text: str = ""
    url: str = ""
    id: str = ""

    @property
    def text_field(self) -> str:
        """What messages call the field that holds the text."""
        return self.text or columns.TEXT


USUAL = FieldNames()


def look_up(record: Mapping[str, Any], name: str) -> Any:
    """The value of a field, which may be nested; None where there is none."""
    if name in record:
        return record[name]
    value: Any = record
    for part in name.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return None
        value = value[part]
    return value


def take_text(record: dict[str, Any], name: str) -> str | None:
    """The text in the field `name`, which is taken out of the record; None, with the record as it was, where the field
    holds no string."""
    text = look_up(record, name)
    if not isinstance(text, str):
        return None
    if name in record:
        del record[name]
    else:
        *outer, last = name.split(".")
        holder = record
        for part in outer:
            holder = holder[part]
        del holder[last]
    return text


def give_way(record: dict[str, Any], name: str) -> None:
    """Rename the field `name`, if the record has it, because another field was chosen to be what it is called."""
    if name in record:
        value = record.pop(name)
        record[free_name(name, record)] = value


def free_name(name: str, taken: Mapping[str, Any]) -> str:
    """The name under which a field of the input goes on whose own name is taken: `source_NAME`, with a number where
    the input has a field of that name too."""
    wanted = f"{SOURCE_PREFIX}{name}"
    found, number = wanted, 1
    while found in taken:
        number += 1
        found = f"{wanted}_{number}"
    return found


def chosen_url(record: Mapping[str, Any], names: FieldNames) -> str | None:
    """The URL in the field that the recipe names, '' where a record has none there; None where it names no field."""
    if not names.url:
        return None
    url = look_up(record, names.url)
    return url if isinstance(url, str) else ""


def header(metadata: Any, name: str) -> str:
    """A header in `metadata`, '' where there is none."""
    value = metadata.get(name) if isinstance(metadata, Mapping) else None
    return value if isinstance(value, str) else ""


def usual_url(url: str | None, metadata: Any) -> str:
    """The URL of a record: its field `url`, else what its metadata say."""
    return url or header(metadata, TARGET_URI) or header(metadata, columns.URL)


def source_id(record: Mapping[str, Any], names: FieldNames) -> str | None:
    """The id that the input gave to the record: a string, or the digits of a whole number."""
    value = look_up(record, names.id or columns.ID)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return value if isinstance(value, str) and value else None


def told_names(names: Iterable[str], what: str = "field") -> str:
    """The fields of a record, or the columns of a file, as messages show them."""
    found = list(names)
    shown = ", ".join(repr(name)[1:-1] for name in found[:NAMES_SHOWN]) or f"no {what} at all"
    return shown + (", …" if len(found) > NAMES_SHOWN else "")


def nested_names(record: Mapping[str, Any], before: str = "") -> list[str]:
    """The names of all fields that hold a value, nested ones with dots."""
    found: list[str] = []
    for name, value in record.items():
        if isinstance(value, Mapping) and value:
            found += nested_names(value, f"{before}{name}.")
        else:
            found.append(f"{before}{name}")
    return found
