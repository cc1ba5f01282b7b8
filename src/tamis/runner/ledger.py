"""The ledger: one completion record per piece of work, in the artefact that it made, written after its files.

"Is it done?" is asked here and nowhere else, for a shard of a stage, a decision, a tokenizer, a model, a comparison.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from tamis.base.cards import Counts
from tamis.store.atomic import read_json, write_json
from tamis.store.location import Location
from tamis.store.shards import file_digest


@dataclass(kw_only=True)
class Record:
    """What one piece of work did. `outputs` are file names relative to the artefact, with size and digest."""

    fingerprint: str
    shard: str = ""
    """Which shard of the pool, for per-document work."""
    accounting: Counts = field(default_factory=Counts)
    stored: bool = True
    """Whether the documents that were kept are stored: in the middle of a pass they need not be."""
    histograms: dict[str, list[int]] = field(default_factory=dict)
    examples: list[dict[str, Any]] = field(default_factory=list)
    notes: dict[str, int] = field(default_factory=dict)
    outputs: dict[str, dict[str, Any]] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        data = asdict(self)
        del data["accounting"]
        return data | self.accounting.to_dict()

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "Record":
        plain = {k: v for k, v in data.items() if k not in ("counts", "text_bytes")}
        return cls(accounting=Counts.from_dict(data), **plain)


def describe_outputs(folder: Location, places: Iterable[Location]) -> dict[str, dict[str, Any]]:
    """Size and digest of those `places` that exist."""
    return {
        place.relative_to(folder): {"bytes": place.size(), "blake2b": file_digest(place)}
        for place in sorted(places)
        if place.exists()
    }


def write_record(place: Location, record: Record) -> None:
    write_json(place, record.to_dict())


def read_record(place: Location) -> Record | None:
    """The record at `place`, or None when the work has not been finished."""
    try:
        return Record.from_dict(read_json(place))
    except FileNotFoundError:
        return None


def complete_record(folder: Location, place: Location, fingerprint: str) -> Record | None:
    """The record at `place` if it has this fingerprint and every file that it lists is in `folder` in its size."""
    record = read_record(place)
    if record is None or record.fingerprint != fingerprint:
        return None
    for name, output in record.outputs.items():
        try:
            if (folder / name).size() != output["bytes"]:
                return None
        except FileNotFoundError:
            return None
    return record
