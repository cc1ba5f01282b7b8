"""Near-duplicate documents by MinHash with locality-sensitive hashing, over the whole corpus.

Each document is represented by the set of its word n-grams. A signature of bands x rows minima of that set becomes one
64-bit key per band; documents that share the key of any band are linked. Two documents of Jaccard similarity J share a
key with probability 1 - (1 - J^rows)^bands, so that links are candidates only: `verified` compares the sets of linked
documents, and one leaves only for a kept document that it really resembles. With `verify: none`, as in the pipelines of
RefinedWeb, DCLM and FineWeb, one document of every connected component is kept; as links form chains, two documents of
a component may be less similar than two linked ones.

Every band is decided independently, and `num_parts` splits a band's keys further, so memory grows with documents /
parts.
"""

import json
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tamis.base import columns
from tamis.base.errors import DataError
from tamis.base.seeds import named_rng
from tamis.base.signals import Rule, Signal
from tamis.base.stage import Corpus, Cost, Findings, Sketches, StageContext
from tamis.stages.dedup import verified
from tamis.stages.dedup.merge import add_merged, merged_texts
from tamis.stages.dedup.minhash_config import MinHashConfig, describe_curve, expected_curve, match_probability
from tamis.stages.dedup.planted import RATE, add_copies, plant, recall_by_rate
from tamis.stages.dedup.survivors import (
    MERGED_FROM,
    SIMILARITY,
    DocumentDedup,
    Keep,
    choose,
    decision_table,
    pick,
    taken,
)

REASON = "near_duplicate"
DIGEST, UNITS = "digest", "units"
"""uint64 and int32 sketch columns: the sum of the hashes of all shingles, and the number of units."""
JACCARD = "jaccard"
"""float32 sketch column: exact similarity of a planted copy to the document it was made from, by the measure that is
verified; null = a real one."""

REMOVED_FRACTION, MEMBERS_PER_REMOVED, LINKED_BANDS_FRACTION = 0.3, 1.5, 0.7
"""What `cost` assumes of web pages that passed quality filters: the share of documents that are removed, the number of
documents with a partner per removed one, and the share of bands in which a removed document is linked (FineWeb and
RefinedWeb report that a quarter to a half is removed)."""
DECIDE_BYTES, READING_BYTES, COMBINE_START_BYTES = 30, 12 << 20, 48 << 20
"""Bytes of memory per key (key and line, their order, sorted keys, marks), and those of the buffers of the files that
are read."""
SHINGLES_PER_BYTE, VERIFY_BYTES, CANDIDATE_BYTES = 1 / 6, 24, 120
"""Shingles per byte of text; bytes of memory per shingle of a block while it is verified, and per document with a
partner while candidates are sorted."""

MAX_LINES = 2**32 - 1
"""Lines are numbered in 32 bits; the last number means none."""


class MinHashDedup(DocumentDedup):
    """Removes documents that resemble one that is kept, as `near_duplicate`."""

    version: ClassVar[int] = 2
    kernels = ("minhash",)
    combines = True
    config: MinHashConfig

    def __init__(self, config: MinHashConfig) -> None:
        super().__init__(config, Keep(config.keep), REASON)
        self.verifies = config.verify != "none"
        self.reads = tuple(dict.fromkeys((*self.reads, columns.TEXT)))
        if self.verifies:
            self.adds = self.adds.append(pa.field(SIMILARITY, pa.float32()))
            source = f"{config.verify} similarity of shingles to the document that is kept"
            self.rules = (
                Rule(reason=REASON, column=SIMILARITY, op=">=", threshold=config.min_similarity, source=source),
            )
            self.signals = (Signal(column=SIMILARITY, label="similarity to the document kept", low=0, high=1.0001),)
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
        """One line per document: `band_00`, `band_01`, ... (uint64; null = no word in it), `id`, `row`; `digest` and
        `units`, where candidates are verified; and ranks, where they decide which copy is kept. With `self_check` also
        `rate` and `jaccard`, and a planted copy's line after its document's."""
        lines = self.keys(batch.column(columns.TEXT)) | {columns.ID: batch.column(columns.ID), "row": rows}
        lines |= self.keep.ranks(batch)
        if self.config.merge:
            lines[columns.TEXT] = batch.column(columns.TEXT)
        return self._with_planted(batch, pa.table(lines)) if self.config.self_check else pa.table(lines)

    def keys(self, texts: pa.Array) -> dict[str, pa.Array]:
        """`uint64[n]` per band, by column name, for n texts; null = no word in it. Where candidates are verified, also
        the `digest` and the number of `units`."""
        from tamis.kernels.dedup.minhash import band_keys

        units, offsets = self._units(texts)
        functions = (self._multipliers, self._increments, self.config.bands)
        keys, empty, digests = band_keys(units, offsets, self.config.ngram, *functions)
        nulls = empty if empty.any() else None
        found = {name: pa.array(keys[band], mask=nulls) for band, name in enumerate(self._band_names)}
        if self.verifies:
            found |= {DIGEST: pa.array(digests), UNITS: pa.array(np.diff(offsets), pa.int32())}
        return found

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
        likeness = pa.array(self.likeness(origins, texts))
        return add_copies(lines, plants, self.keys(texts) | {JACCARD: likeness})

    def sets(self, texts: pa.Array) -> tuple[np.ndarray, np.ndarray]:
        """The sorted sets of shingles of texts, as they are compared: `(uint64[k], int64[n + 1])`."""
        from tamis.kernels.dedup.verify import shingle_sets

        found: tuple[np.ndarray, np.ndarray] = shingle_sets(
            *self._units(texts), self.config.verify_ngram or self.config.ngram
        )
        return found

    def likeness(self, left: pa.Array, right: pa.Array) -> np.ndarray:
        """`float32[n]`: exact similarity of each pair of texts, by the measure that is verified (Jaccard, where none
        is); 0 where neither has a shingle."""
        from tamis.kernels.dedup.verify import resemblance

        likeness, contained = np.zeros(len(left), np.float32), self.config.verify == "contained"
        (kept, starts), (gone, other_starts) = self.sets(left), self.sets(right)
        for pair in range(len(left)):
            one, other = kept[starts[pair] : starts[pair + 1]], gone[other_starts[pair] : other_starts[pair + 1]]
            likeness[pair] = max(0.0, resemblance(other, one, 0.0, contained))
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
        details: dict[str, Any] = {
            "components": len(labels),
            "largest_component": int(sizes.max()) + 1 if len(sizes) else 0,
            "edges": num_links,
            "match_probability": self._curve(),
        }
        if self.config.self_check:
            details["self_check"] = self._recall(rates, likeness, caught)
        if self.verifies:
            return self._candidates(sketches, members, parents[members].astype(np.int64), details)
        ranks = [column.to_numpy() for column in pick(sketches, self.keep.rank_names, members)]
        keepers = choose(members, parents[members].astype(np.int64), ranks)
        return self._decision(sketches, members, keepers, details | {"duplicates": len(removed)})

    def _candidates(
        self, sketches: Sketches, members: np.ndarray, groups: np.ndarray, details: dict[str, Any]
    ) -> pa.Table:
        known = pick(sketches, ["shard", "row", DIGEST, UNITS, *self.keep.rank_names], members)
        linked = verified.Members(
            lines=members,
            groups=groups,
            ranks=[known[name].to_numpy() for name in self.keep.rank_names],
            digests=known[DIGEST].to_numpy(),
            units=known[UNITS].to_numpy().astype(np.int64),
        )
        table = verified.candidates(linked, known, self._parts)
        return table.replace_schema_metadata(table.schema.metadata | {b"details": json.dumps(details).encode()})

    def _decision(
        self, sketches: Sketches, members: np.ndarray, keepers: np.ndarray, details: dict[str, Any]
    ) -> pa.Table:
        table = decision_table(sketches, members, keepers)
        if self.config.merge:
            merged = merged_texts(sketches, members, keepers)
            table = add_merged(table, np.searchsorted(members, merged.lines), merged)
            details["merge"] = merged.details
        return table.replace_schema_metadata({"details": json.dumps(details)})

    @property
    def _parts(self) -> int:
        return verified.PARTS * self.config.num_parts

    def later_rounds(self, num_shards: int) -> Sequence[tuple[str, int]]:
        return (("collect", num_shards), ("verify", self._parts), ("conclude", 1)) if self.verifies else ()

    def decide_later(
        self, round_number: int, job: int, findings: Findings, sketches: Sketches, context: StageContext
    ) -> pa.Table:
        if round_number == 2:
            return verified.collect(job, findings, sketches, self.sets)
        if round_number == 3:
            return verified.verify(job, findings, self.config)
        settled = verified.conclude(findings)
        removed = settled.keepers != settled.lines
        stays = np.isin(settled.lines, settled.keepers[removed])
        members = settled.lines[removed | stays]
        sizes = np.unique(settled.keepers[removed], return_counts=True)[1]
        details = {
            "duplicates": int(removed.sum()),
            "groups": len(sizes),
            "largest_group": int(sizes.max()) + 1 if len(sizes) else 0,
            "linked_but_kept": len(settled.lines) - int(removed.sum()) - len(sizes),
            "compared": settled.num_compared,
            "not_compared_with_all": settled.num_limited,
        }
        table = self._decision(sketches, members, settled.keepers[removed | stays], details)
        likeness = settled.similarity[removed | stays]
        return table.append_column(
            pa.field(SIMILARITY, pa.float32()), pa.array(likeness, mask=np.isnan(likeness), type=pa.float32())
        )

    def mark(self, batch: pa.RecordBatch, rows: pa.Array, decisions: pa.Table) -> pa.RecordBatch:
        marked = super().mark(batch, rows, decisions)
        if not self.verifies:
            return marked
        decided = decisions.combine_chunks()
        found = pc.index_in(rows, value_set=decided["row"])
        return marked.append_column(decided.schema.field(SIMILARITY), taken(decided, SIMILARITY, found))

    def expectation(self) -> str:
        return describe_curve(self.config)

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

    def _passes(self, likeness: np.ndarray) -> np.ndarray:
        """bool: whether documents that are as alike would be taken for duplicates, once they are linked."""
        return likeness >= np.float32(self.config.min_similarity) if self.verifies else np.ones(len(likeness), bool)

    def _curve(self) -> dict[str, float]:
        """Similarity -> probability of a link, for the card."""
        at = np.array([0.5, 0.6, 0.7, 0.8, 0.9])
        chances = match_probability(at, self.config.bands, self.config.rows)
        return {f"{s:.1f}": round(float(chance), 4) for s, chance in zip(at, chances, strict=True)}

    def _recall(self, rates: np.ndarray, likeness: np.ndarray, caught: np.ndarray) -> list[dict[str, Any]]:
        """Per rate the recall on planted copies, and the recall that the S-curve predicts for copies of their
        similarity."""
        caught, expected = self._passes(likeness) & caught, expected_curve(self.config, likeness)
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
        memory, line_bytes, members = DECIDE_BYTES * share, 8.1 * self.config.bands + 22, REMOVED_FRACTION
        members *= MEMBERS_PER_REMOVED
        collected = 0
        if self.verifies:
            collected = int(members * corpus.text_bytes * SHINGLES_PER_BYTE)
            memory = max(memory, VERIFY_BYTES * min(collected, 2 * verified.MAX_BLOCK))
            combine += int(CANDIDATE_BYTES * members * corpus.num_documents)
            line_bytes += 11
        return Cost(
            memory_bytes=memory + READING_BYTES,
            combine_memory_bytes=combine,
            sketch_bytes=int(corpus.num_documents * line_bytes) + 8 * collected,
        )


def combine_bytes(num_documents: int, num_members: int, num_links: int) -> int:
    """Bytes of memory of `combine`: the union-find forest, the links of all buckets, and for documents that have a
    partner the choice and the ids."""
    return 8 * num_documents + 8 * num_links + 160 * num_members + COMBINE_START_BYTES
