"""The ledger: one completion record per piece of work, in the artefact that it made, written after its files.

"Is it done?" is asked here and nowhere else, for a shard of a stage, a decision, a tokenizer, a model, a comparison.
The answer looks at sizes alone, so that finding a finished run costs next to nothing. Whoever reads a stored file
compares its bytes with the recorded digest before (`verify`); where they differ, its record is withdrawn, and the work
is done again.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import orjson

from tamis.base.cards import Counts
from tamis.base.errors import DataError
from tamis.store.atomic import read_json, write_json
from tamis.store.digests import is_intact
from tamis.store.location import Location
from tamis.store.shards import file_digest

RECORD = "record.json"
"""The record of an artefact that is one piece of work."""
_DIGEST = "digest"
"""Field of a stored record: digest of all others. A record that was changed or damaged counts as none."""


@dataclass(kw_only=True)
class Record:
    """What one piece of work did. `outputs` are file names relative to the artefact, with size and digest."""

    fingerprint: str
    """Of the work; '' in a record that was withdrawn."""
    shard: str = ""
    """Which shard of the pool, for per-document work."""
    files: list[str] = field(default_factory=list)
    """In the record of the source: the files that the shard consists of, where they are several."""
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


@dataclass(frozen=True, order=True)
class Damage:
    """A stored file whose bytes are not those that its record lists. Both are texts of locations."""

    file: str
    record: str


class DamagedError(DataError):
    """Stored files that a piece of work needs are damaged: what made them has to be done again."""

    def __init__(self, damages: Iterable[Damage]) -> None:
        self.damages = sorted(set(damages))
        super().__init__(
            f"{', '.join(damage.file for damage in self.damages)}: damaged since it was written. Run the same command "
            "again to make it anew."
        )


def describe_outputs(folder: Location, places: Iterable[Location]) -> dict[str, dict[str, Any]]:
    """Size and digest of those `places` that exist."""
    return {
        place.relative_to(folder): {"bytes": place.size(), "blake2b": file_digest(place)}
        for place in sorted(places)
        if place.exists()
    }


def write_record(place: Location, record: Record) -> None:
    data = record.to_dict()
    write_json(place, data | {_DIGEST: _digest(data)})


def read_record(place: Location) -> Record | None:
    """The record at `place`, or None when the work has not been finished, or its record is not as it was written."""
    try:
        data = read_json(place)
        if not isinstance(data, dict) or data.pop(_DIGEST, None) != _digest(data):
            return None
        return Record.from_dict(data)
    except (FileNotFoundError, DataError, KeyError, TypeError, AttributeError):
        return None


def _digest(data: dict[str, Any]) -> str:
    return hashlib.blake2b(orjson.dumps(data, option=orjson.OPT_SORT_KEYS), digest_size=16).hexdigest()


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


def withdraw(place: Location) -> None:
    """Make the record at `place` say that its work is not done. It stays there, so that nothing is taken over from
    another pool in its stead: that may be the same damaged file."""
    write_record(place, Record(fingerprint=""))


def verify(folder: Location, place: Location, wanted: Sequence[str] = ("",)) -> Record:
    """Compare the files that the record at `place` lists with their digests, and return it; `wanted` are the beginnings
    of their names. A file is read once per process as long as it does not change.

    Raises DamagedError where a file, or the record itself, is not as it was written.
    """
    record = read_record(place)
    if record is None or not record.fingerprint:
        raise DamagedError([Damage(str(place), str(place))])
    damaged = [
        Damage(str(folder / name), str(place))
        for name, output in record.outputs.items()
        if name.startswith(tuple(wanted)) and not is_intact(folder / name, str(output["blake2b"]))
    ]
    if damaged:
        raise DamagedError(damaged)
    return record
