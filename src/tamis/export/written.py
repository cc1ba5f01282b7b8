"""What is known of the files of an export once they are written."""

from dataclasses import dataclass, field

from tamis.export.schema import Kind
from tamis.store.location import Location


@dataclass(kw_only=True)
class WrittenFile:
    """What a finished file holds."""

    name: str
    documents: int = 0
    text_bytes: int = 0
    bytes: int = 0
    sha256: str = ""
    languages: dict[str, int] = field(default_factory=dict)
    fields: dict[str, Kind] = field(default_factory=dict)
    """Of JSON records: the kind of every field."""


@dataclass(frozen=True, kw_only=True)
class Exported:
    """A finished export."""

    folder: Location
    files: list[WrittenFile]
    written: int
    """Files that this command wrote; the others were there."""

    @property
    def documents(self) -> int:
        return sum(file.documents for file in self.files)

    @property
    def text_bytes(self) -> int:
        return sum(file.text_bytes for file in self.files)

    @property
    def bytes(self) -> int:
        return sum(file.bytes for file in self.files)
