"""The ledger: completion records of tasks. A record is deleted before its task starts and written after its files."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tamis.base.cards import Counts
from tamis.store.atomic import read_json, write_json
from tamis.store.shards import file_digest


@dataclass(kw_only=True)
class Record:
    """What one step did to one shard. `outputs` are file names relative to the stage folder, with size and digest."""

    fingerprint: str
    shard: str
    books: Counts
    histograms: dict[str, list[int]] = field(default_factory=dict)
    examples: list[dict[str, Any]] = field(default_factory=list)
    notes: dict[str, int] = field(default_factory=dict)
    outputs: dict[str, dict[str, Any]] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        data = asdict(self)
        del data["books"]
        return data | self.books.to_dict()

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "Record":
        plain = {k: v for k, v in data.items() if k not in ("counts", "text_bytes")}
        return cls(books=Counts.from_dict(data), **plain)


def describe_outputs(folder: Path, paths: list[Path]) -> dict[str, dict[str, Any]]:
    """Size and digest of those `paths` that exist."""
    return {
        str(path.relative_to(folder)): {"bytes": path.stat().st_size, "blake2b": file_digest(path)}
        for path in sorted(paths)
        if path.exists()
    }


def write_record(path: Path, record: Record) -> None:
    write_json(path, record.to_dict())


def read_record(path: Path) -> Record | None:
    """The record at `path`, or None when the task has not finished."""
    return Record.from_dict(read_json(path)) if path.exists() else None


def is_complete(path: Path, fingerprint: str) -> bool:
    """True when the task's record has this fingerprint and every file it lists is there in the recorded size."""
    record = read_record(path)
    if record is None or record.fingerprint != fingerprint:
        return False
    folder = path.parent.parent
    return all(
        (folder / name).is_file() and (folder / name).stat().st_size == output["bytes"]
        for name, output in record.outputs.items()
    )
