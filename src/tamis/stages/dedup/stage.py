"""Exact deduplication over the whole corpus: of every set of equal documents the first one stays.

A document's key is a 128-bit hash of its text or its address; the first document by (shard, row) keeps the key, and
every later one carries the id of that kept copy, so that `tamis why` can say which page stood in for a removed one.
"""

import hashlib
from typing import Any, ClassVar, Literal
from urllib.parse import urlsplit, urlunsplit

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from tamis.base import columns
from tamis.base.config import Config
from tamis.base.recipe import Recipe
from tamis.base.stage import Context, Group, Stage

DUPLICATE_OF = "duplicate_of"
"""string, nullable, written by dedup: id of the kept document that this one repeats; null = not a duplicate."""

_KEY_BYTES = 16


class DedupConfig(Config):
    """Settings of `dedup`."""

    method: Literal["exact"] = "exact"
    """How two documents are recognised as the same; `exact` = equal keys."""
    key: Literal["text", "url"] = "text"
    """What is compared."""
    normalize: bool = True
    """Compare texts lower-cased and with white space squeezed, and URLs with lower-case scheme and host and without
    fragment. The documents themselves are not changed. False = compare byte for byte."""
    num_buckets: int = Field(default=1, ge=1, le=4096)
    """Keys are split into this many parts decided one after the other or in parallel: more parts, less memory each.
    The result does not depend on it."""


def normalize_text(text: str) -> str:
    """`text` lower-cased, with every run of white space as one space and none at the ends."""
    return " ".join(text.lower().split())


def normalize_url(url: str) -> str:
    """`url` with scheme and host in lower case and without fragment: forms that always name the same page (RFC 3986,
    section 6.2.2.1). Paths and queries keep their case. What is no URL is only stripped."""
    url = url.strip()
    try:
        parts = urlsplit(url)
    except ValueError:
        return url
    return urlunsplit((parts.scheme, parts.netloc.lower(), parts.path, parts.query, ""))


class ExactDedup(Group):
    """Removes documents whose key an earlier document has, as `duplicate_text` or `duplicate_url`.

    Documents without a key (null text, empty URL) are never duplicates; documents with empty text are equal texts.
    Sketches take 16 bytes of key and the id per document.
    """

    name: ClassVar[str] = "dedup"
    version: ClassVar[int] = 1
    adds = pa.schema([(DUPLICATE_OF, pa.string())])

    config: DedupConfig

    def __init__(self, config: DedupConfig) -> None:
        super().__init__(config)
        self.column = columns.TEXT if config.key == "text" else columns.URL
        self.reads = (columns.ID, self.column)
        self.num_buckets = config.num_buckets
        self.reason = f"duplicate_{config.key}"

    def sketch(self, batch: pa.RecordBatch) -> pa.Table:
        """One line per row: `key` (16 bytes, null = none), `id`, and `bucket` when there are several."""
        keys = [self._key(value) for value in batch.column(self.column).to_pylist()]
        table = {"key": pa.array(keys, pa.binary(_KEY_BYTES)), columns.ID: batch.column(columns.ID)}
        if self.num_buckets > 1:
            buckets = [0 if key is None else int.from_bytes(key[:4], "little") % self.num_buckets for key in keys]
            table["bucket"] = pa.array(buckets, pa.int32())
        return pa.table(table)

    def _key(self, value: str | None) -> bytes | None:
        if value is None or (value == "" and self.config.key == "url"):
            return None
        if self.config.normalize:
            value = normalize_text(value) if self.config.key == "text" else normalize_url(value)
        return hashlib.blake2b(value.encode(), digest_size=_KEY_BYTES).digest()

    def decide(self, bucket: int, sketches: pa.Table, context: Context) -> pa.Table:
        """One line per duplicate: `shard`, `row`, `duplicate_of`."""
        keyed = sketches.filter(pc.is_valid(sketches["key"])).combine_chunks()
        codes = pc.dictionary_encode(keyed["key"]).combine_chunks().indices.to_numpy(zero_copy_only=False)
        order = np.arange(len(codes))
        first = np.zeros(len(codes), dtype=np.int64)
        first[codes[::-1]] = order[::-1]  # numpy keeps the last write to a place, here the earliest document
        kept = first[codes]
        duplicate = np.flatnonzero(kept != order)
        return pa.table(
            {
                "shard": keyed["shard"].take(duplicate),
                "row": keyed["row"].take(duplicate),
                DUPLICATE_OF: keyed[columns.ID].take(kept[duplicate]),
            }
        )

    def mark(self, batch: pa.RecordBatch, rows: pa.Array, decisions: pa.Table) -> pa.RecordBatch:
        decided = decisions.combine_chunks()
        found = pc.index_in(rows, value_set=decided["row"])
        originals = decided[DUPLICATE_OF].take(found)
        originals = pa.chunked_array(originals.chunks, pa.string()).combine_chunks()
        reasons = pc.if_else(pc.is_valid(originals), self.reason, batch.column(columns.DROP_REASON))
        batch = batch.append_column(pa.field(DUPLICATE_OF, pa.string()), originals)
        place = batch.schema.get_field_index(columns.DROP_REASON)
        return batch.set_column(place, pa.field(columns.DROP_REASON, pa.string()), reasons)


_METHODS: dict[str, type[ExactDedup]] = {"exact": ExactDedup}


def build(settings: dict[str, Any], recipe: Recipe) -> list[Stage]:
    """The stages of a recipe's `dedup` step. Raises ConfigError for wrong settings."""
    config = DedupConfig.parse(settings, "dedup")
    return [_METHODS[config.method](config)]
