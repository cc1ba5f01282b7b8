"""Near-duplicate documents by MinHash with locality-sensitive hashing, over the whole corpus.

Each document is represented by the set of its word n-grams. A signature of bands x rows minima of that set becomes one
64-bit key per band; documents that share the key of any band are linked, and of every connected component one document
is kept. Two documents of Jaccard similarity J share a key with probability 1 - (1 - J^rows)^bands. Links are not
verified, as in the pipelines of RefinedWeb, DCLM and FineWeb. As links form chains, two documents of a component may be
less similar than two linked ones.

Every band is decided independently, and `num_parts` splits a band's keys further, so memory grows with documents /
parts.
"""

import json
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field

from tamis.base import columns
from tamis.base.config import Config
from tamis.base.errors import DataError
from tamis.base.seeds import named_rng
from tamis.base.stage import Corpus, Cost, Sketches, StageContext
from tamis.stages.dedup.merge import add_merged, merged_texts
from tamis.stages.dedup.planted import RATE, add_copies, plant, recall_by_rate
from tamis.stages.dedup.survivors import (
    FIRST,
    MERGED_FROM,
    RANK,
    DocumentDedup,
    Keep,
    choose,
    decision_table,
    pick,
)

JACCARD = "jaccard"
"""float32 sketch column: exact similarity of a planted copy to the document it was made from; null = a real one."""

REMOVED_FRACTION, MEMBERS_PER_REMOVED, LINKED_BANDS_FRACTION = 0.3, 1.5, 0.7
"""What `cost` assumes of web pages that passed quality filters: the share of documents that are removed, the number of
documents with a partner per removed one, and the share of bands in which a removed document is linked (FineWeb and
RefinedWeb report that a quarter to a half is removed)."""
DECIDE_BYTES, READING_BYTES, COMBINE_START_BYTES = 30, 12 << 20, 48 << 20
"""Bytes of memory per key (key and line, their order, sorted keys, marks), and those of the buffers of the files that
are read."""

MAX_LINES = 2**32 - 1
"""Lines are numbered in 32 bits; the last number means none."""


class MinHashConfig(Config):
    """Settings of `dedup` with `method: minhash`."""

    method: Literal["minhash"] = "minhash"
    bands: int = Field(default=14, ge=1, le=1024)
    """Keys per document; one in common links two documents. The defaults, 14 x 8, are FineWeb's (arXiv 2406.17557);
    DCLM's early experiments took 93 x 15, near RefinedWeb's 450 x 20."""
    rows: int = Field(default=8, ge=1, le=1024)
    """Minima that make one key: all must be equal."""
    ngram: int = Field(default=5, ge=1, le=1000)
    """Number of units in a shingle. A text of fewer units is one shingle; a text without units is never a duplicate."""
    unit: Literal["word", "character"] = "word"
    """The units of a shingle: words (lower-cased runs of letters and digits), or the characters of these words with one
    blank between words, for languages that are written without blanks; then `ngram` should be 15 to 25."""
    keep: str = "first"
    """Which copy is kept: first, longest, highest:COLUMN or lowest:COLUMN."""
    num_parts: int = Field(default=1, ge=1, le=4096)
    """Keys of a band are split into this many parts, decided in parallel: more parts, less memory each. The result does
    not depend on it."""
    merge: bool = False
    """Add to the survivor the paragraphs of the removed documents that it lacks. The sketches then hold the texts."""
    self_check: float = Field(default=0.0, ge=0, le=1)
    """Fraction of documents of which a near-copy is planted, to measure recall on this corpus; nothing is removed for
    it."""


def match_probability(similarity: np.ndarray, bands: int, rows: int) -> np.ndarray:
    """`float64[n]`: probability that documents of Jaccard `similarity` share a key, the S-curve of LSH banding."""
    return np.asarray(1 - (1 - np.asarray(similarity, np.float64) ** rows) ** bands)


class MinHashDedup(DocumentDedup):
    """Removes documents that are linked to one that is kept, as `near_duplicate`."""

    version: ClassVar[int] = 1
    kernels = ("minhash",)
    combines = True
    config: MinHashConfig

    def __init__(self, config: MinHashConfig) -> None:
        super().__init__(config, Keep(config.keep), "near_duplicate")
        self.reads = tuple(dict.fromkeys((*self.reads, columns.TEXT)))
        if config.merge:
            self.adds = self.adds.append(pa.field(MERGED_FROM, pa.list_(pa.string())))
        self.num_buckets = config.bands * config.num_parts
        self._band_names = [f"band_{band:02d}" for band in range(config.bands)]

    def open(self, context: StageContext) -> None:
        """Draws the hash functions from the run's seed."""
        from tamis.kernels.text import ngrams

        self._fold = ngrams.fold_table()
        self._seed = context.seed
        rng = named_rng(context.seed, "dedup", "minhash")
        drawn = rng.integers(0, 2**64, (2, self.config.bands * self.config.rows), np.uint64)
        self._multipliers, self._increments = drawn[0] | np.uint64(1), drawn[1]

    def sketch(self, batch: pa.RecordBatch, rows: pa.Array) -> pa.Table:
        """One line per document: `band_00`, `band_01`, ... (uint64; null = no word in it), `id`, `row`; and `rank`,
        where it decides which copy is kept. With `self_check` also `rate` and `jaccard`, and a planted copy's line
        after its document's."""
        ranks = self.keep.rank(batch)
        lines = self.keys(batch.column(columns.TEXT)) | {columns.ID: batch.column(columns.ID), "row": rows}
        if ranks is not None:
            lines[RANK] = ranks
        if self.config.merge:
            lines[columns.TEXT] = batch.column(columns.TEXT)
        return self._with_planted(batch, pa.table(lines)) if self.config.self_check else pa.table(lines)

    def keys(self, texts: pa.Array) -> dict[str, pa.Array]:
        """`uint64[n]` per band, by column name, for n texts; null = no word in it."""
        from tamis.kernels.dedup.minhash import band_keys

        units, offsets = self._units(texts)
        functions = (self._multipliers, self._increments, self.config.bands)
        keys, empty = band_keys(units, offsets, self.config.ngram, *functions)
        nulls = empty if empty.any() else None
        return {name: pa.array(keys[band], mask=nulls) for band, name in enumerate(self._band_names)}

    def _units(self, texts: pa.Array) -> tuple[np.ndarray, np.ndarray]:
        from tamis.kernels.dedup.minhash import character_hashes
        from tamis.kernels.text.decoding import views
        from tamis.kernels.text.ngrams import word_hashes

        hashes = word_hashes if self.config.unit == "word" else character_hashes
        found: tuple[np.ndarray, np.ndarray] = hashes(*views(texts), self._fold)
        return found

    def _with_planted(self, batch: pa.RecordBatch, lines: pa.Table) -> pa.Table:
        plants = plant(batch, self.config.self_check, self._seed)
        texts = pa.array(plants.texts, batch.schema.field(columns.TEXT).type)
        origins = batch.column(columns.TEXT).take(pa.array(plants.places))
        likeness = pa.array(self.jaccard(origins, texts))
        return add_copies(lines, plants, self.keys(texts) | {JACCARD: likeness})

    def jaccard(self, left: pa.Array, right: pa.Array) -> np.ndarray:
        """`float32[n]`: exact similarity of the shingle sets of each pair of texts; 0 where neither has any."""
        from tamis.kernels.text.ngrams import run_hashes

        likeness = np.zeros(len(left), np.float32)
        (units, starts), (other_units, other_starts) = self._units(left), self._units(right)
        for pair in range(len(left)):
            first = units[starts[pair] : starts[pair + 1]]
            other = other_units[other_starts[pair] : other_starts[pair + 1]]
            if len(first) and len(other):
                one, two = (np.unique(run_hashes(each, min(self.config.ngram, len(each)))) for each in (first, other))
                common = len(np.intersect1d(one, two, assume_unique=True))
                likeness[pair] = common / (len(one) + len(two) - common)
        return likeness

    def decide(self, bucket: int, sketches: Sketches, context: StageContext) -> pa.Table:
        """Links `line, first` (uint32) between lines that share this band's key: to the first real document with it."""
        if sketches.num_lines > MAX_LINES:
            raise DataError(
                f"dedup: {sketches.num_lines:,} documents; one minhash step takes {MAX_LINES:,}: split them"
            )
        band, part = divmod(bucket, self.config.num_parts)
        lines, keys, planted = self._bucket(self._band_names[band], part, sketches)
        order = np.argsort(keys)
        keys = keys[order]
        repeats = np.append(False, keys[1:] == keys[:-1])[: len(keys)]
        shared = repeats | np.append(repeats[1:], False)[: len(keys)]
        starts = np.flatnonzero(~repeats[shared])
        members = order[shared]
        del order, keys
        lines, planted = lines[members], planted[members] if len(planted) else np.zeros(len(members), np.bool_)
        none = np.uint32(MAX_LINES)
        first = np.minimum.reduceat(np.where(planted, none, lines), starts) if len(starts) else lines
        first = np.repeat(first, np.diff(starts, append=len(lines)))
        linked = np.flatnonzero((first != none) & (first != lines))
        linked = linked[np.argsort(lines[linked])]
        return pa.table({"line": pa.array(lines[linked]), "first": pa.array(first[linked])})

    def _bucket(self, name: str, part: int, sketches: Sketches) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """`(lines uint32[n], keys uint64[n], planted bool[n])` of one part of a band; `planted` empty without any."""
        checked = self.config.self_check > 0
        # The arrays are as long as the corpus, but the operating system gives memory only to the part that is written.
        lines, keys = np.empty(sketches.num_lines, np.uint32), np.empty(sketches.num_lines, np.uint64)
        planted = np.empty(sketches.num_lines if checked else 0, np.bool_)
        start = count = 0
        for batch in sketches.batches([name, RATE] if checked else [name]):
            found = batch.column(name).fill_null(0).to_numpy()
            mine = np.arange(len(found))
            if batch.column(name).null_count:
                mine = np.flatnonzero(batch.column(name).is_valid())
            if self.config.num_parts > 1:
                mine = mine[found[mine] % np.uint64(self.config.num_parts) == part]
            here = slice(count, count + len(mine))
            lines[here], keys[here] = mine + start, found[mine]
            if checked:
                planted[here] = batch.column(RATE).is_valid().to_numpy(zero_copy_only=False)[mine]
            start, count = start + len(found), here.stop
        return lines[:count], keys[:count], planted[:count]

    def combine(self, decided: Sequence[pa.Table], sketches: Sketches, context: StageContext) -> pa.Table:
        from tamis.kernels.dedup.components import flatten, join

        parents = np.arange(sketches.num_lines, dtype=np.uint32)
        copies, rates, likeness = self._planted(sketches)
        caught = np.zeros(len(copies), np.bool_)
        num_links = 0
        for table in decided:
            lines, first = table["line"].to_numpy(), table["first"].to_numpy()
            if len(copies):
                place = np.minimum(np.searchsorted(copies, lines), len(copies) - 1)
                hit = copies[place] == lines
                caught[place[hit]] = True
                lines, first = lines[~hit], first[~hit]
            join(parents, lines, first)
            num_links += len(lines)
        flatten(parents)
        removed = np.flatnonzero(parents != np.arange(len(parents), dtype=np.uint32))
        labels, sizes = np.unique(parents[removed], return_counts=True)
        members = np.sort(np.append(removed, labels.astype(np.int64)))
        ranks = pick(sketches, [RANK], members)[RANK].to_numpy() if self.keep.setting != FIRST else None
        keepers = choose(members, parents[members].astype(np.int64), ranks)
        table = decision_table(sketches, members, keepers)
        details: dict[str, Any] = {
            "components": len(labels),
            "largest_component": int(sizes.max()) + 1 if len(sizes) else 0,
            "duplicates": len(removed),
            "edges": num_links,
            "match_probability": self._curve(),
        }
        if self.config.self_check:
            details["self_check"] = self._recall(rates, likeness, caught)
        if self.config.merge:
            merged = merged_texts(sketches, members, keepers)
            table = add_merged(table, np.searchsorted(members, merged.lines), merged)
            details["merge"] = merged.details
        return table.replace_schema_metadata({"details": json.dumps(details)})

    def _planted(self, sketches: Sketches) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """`(lines int64[k] ascending, rates float32[k], similarities float32[k])` of planted copies."""
        parts, start = [(np.zeros(0, np.int64), np.zeros(0, np.float32), np.zeros(0, np.float32))], 0
        for batch in sketches.batches([RATE, JACCARD]) if self.config.self_check else []:
            rates, likeness = (batch.column(name).to_numpy(zero_copy_only=False) for name in (RATE, JACCARD))
            mine = np.flatnonzero(~np.isnan(rates))
            parts.append((mine + start, rates[mine], likeness[mine]))
            start += batch.num_rows
        lines, rates, likeness = map(np.concatenate, zip(*parts, strict=True))
        return lines, rates, likeness

    def _curve(self) -> dict[str, float]:
        """Similarity -> probability of a link, for the card."""
        at = np.array([0.5, 0.6, 0.7, 0.8, 0.9])
        chances = match_probability(at, self.config.bands, self.config.rows)
        return {f"{s:.1f}": round(float(chance), 4) for s, chance in zip(at, chances, strict=True)}

    def _recall(self, rates: np.ndarray, likeness: np.ndarray, caught: np.ndarray) -> list[dict[str, Any]]:
        """Per rate the recall on planted copies, and the recall that the S-curve predicts for copies of their
        similarity."""
        expected = match_probability(likeness, self.config.bands, self.config.rows)
        found = recall_by_rate(rates, caught)
        for entry in found:
            these = rates == np.float32(entry["rate"])
            entry["jaccard"] = round(float(likeness[these].mean()), 4)
            entry["expected_recall"] = round(float(expected[these].mean()), 4)
        return found

    def cost(self, corpus: Corpus) -> Cost:
        """Computed with the averages of web text for the number of links."""
        removed = int(REMOVED_FRACTION * corpus.num_documents)
        links = int(removed * LINKED_BANDS_FRACTION * self.config.bands)
        combine = combine_bytes(corpus.num_documents, int(removed * MEMBERS_PER_REMOVED), links)
        share = -(-corpus.num_documents // self.config.num_parts)
        line_bytes = 8.1 * self.config.bands + 22
        return Cost(
            memory_bytes=DECIDE_BYTES * share + READING_BYTES,
            combine_memory_bytes=combine,
            sketch_bytes=int(corpus.num_documents * line_bytes),
        )


def combine_bytes(num_documents: int, num_members: int, num_links: int) -> int:
    """Bytes of memory of `combine`: the union-find forest, the links of all buckets, and for documents that have a
    partner the choice and the ids."""
    return 8 * num_documents + 8 * num_links + 160 * num_members + COMBINE_START_BYTES
