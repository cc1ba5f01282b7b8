"""Files of an export: Parquet or JSON lines, published whole, with the size and checksum that others compare."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from tamis.store.atomic import Place, publish
from tamis.store.jsonl import compressed
from tamis.store.location import Location
from tamis.store.shards import ShardWriter


@dataclass(frozen=True)
class Measured:
    """A written file: its bytes, and their SHA-256 as hex digits."""

    num_bytes: int
    sha256: str


def write_lines(place: Place, chunks: Iterable[bytes]) -> Measured:
    """Write the chunks, compressed as the name of the file says (`.gz`, `.zst`); equal chunks give equal bytes."""
    with publish(place) as temporary:
        with compressed(temporary, Location(place).suffix) as write:
            for chunk in chunks:
                write(chunk)
        return _measure(temporary)


def write_parquet(place: Place, batches: Iterable[pa.RecordBatch]) -> Measured:
    """Write the batches, at least one and all of one schema, as a shard is written."""
    remaining = iter(batches)
    first = next(remaining)
    with publish(place) as temporary:
        with ShardWriter(temporary, first.schema) as writer:
            writer.write(first)
            for batch in remaining:
                writer.write(batch)
        return _measure(temporary)


def _measure(file: Path) -> Measured:
    with file.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return Measured(file.stat().st_size, digest)
