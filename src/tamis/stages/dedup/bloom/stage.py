"""Deduplication by n-grams that occurred before, with a Bloom filter: DCLM's BFF, for paragraphs and documents.

Documents are read in the order of the pool. A paragraph is cut out when most of its n-grams occurred in earlier text;
the n-grams of paragraphs that stay are added to the filter. No pairs are compared, so it is not known which document a
paragraph was copied from.
"""

import json
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from tamis.base import columns
from tamis.base.config import Config
from tamis.base.errors import ConfigError
from tamis.base.signals import Rule, Signal
from tamis.base.stage import Corpus, Cost, Findings, Group, Sketches, StageContext
from tamis.stages.dedup.bloom import marks
from tamis.stages.dedup.bloom.filter import FilterShape, largest_filter, size_filter
from tamis.stages.dedup.bloom.judge import DECISION_SCHEMA, NGRAMS, UNIT_NGRAMS, UNIT_NUMBERS, Judge
from tamis.stages.dedup.bloom.lists import ngram_lists
from tamis.stages.dedup.first_places import FIELD, SEARCH_BYTES, decide, places_of, rounds, without_default
from tamis.stages.dedup.planted import RATE, add_copies, plant, recall_by_rate

if TYPE_CHECKING:
    from tamis.stages.dedup.bloom.places import NgramPlaces

OLD_BOTH, PARAGRAPH, DOCUMENT, SUBSTRING = "old-both", "paragraph", "document", "substring"
NUM_NGRAMS = "num_ngrams"
NGRAMS_PER_BYTE = {"line": 0.11, "document": 0.2}
"""N-grams of 13 tokens per byte of web text, by the unit that they may not cross. Measured on news, blogs and manuals:
0.10 to 0.12 and 0.17 to 0.20."""
SKETCH_BYTES_PER_NGRAM = 8.0
DECISION_BYTES = 40
STREAM_BYTES = 190_000_000
"""Measured bytes of memory: for one line of the decision, and for the sketches that are being read, whatever their
number."""


class BloomConfig(Config):
    """Settings of `dedup` with `method: bloom`; the defaults are those of DCLM-Baseline."""

    method: Literal["bloom"] = "bloom"
    mode: Literal["old-both", "paragraph", "document", "substring"] = "old-both"
    """What is removed. `paragraph`: lines in which more than `threshold` of the n-grams were seen before. `document`:
    whole documents by the same test. `old-both`: lines, and then the document if more than `threshold` of all its
    n-grams were seen. `substring`: spans of at least `substring_tokens` tokens that consist of n-grams seen before."""
    ngram: int = Field(default=13, ge=1, le=1000)
    """Tokens in an n-gram. Tokens are the words of Unicode's annex 29, not normalised, without white space."""
    min_ngram: int | None = Field(default=None, ge=1)
    """A unit with fewer tokens than `ngram`, but at least as many as this, is compared as one n-gram; shorter ones are
    never removed. Default: the value of `ngram`. Not used in substring mode."""
    threshold: float = Field(default=0.8, gt=0, le=1)
    """Share of seen n-grams above which a unit is removed; in substring mode the share of tokens that joined spans
    need."""
    fp_rate: float = Field(default=0.01, ge=1e-9, le=0.5)
    """False-positive rate: the share of new n-grams that are taken for seen ones when the filter holds all n-grams."""
    shards: int = Field(default=1, ge=1, le=4096)
    """Shard i of the pool belongs to group i mod `shards`; each group has a filter of its own and is decided
    independently, in parallel. Duplicates in different groups stay. 1 = all documents are compared with each other."""
    expected_ngrams: int | None = Field(default=None, ge=1, le=10**15)
    """Number of n-grams per group for which the filter is sized. Default: the actual number, which is counted first."""
    max_memory_gb: float | None = Field(default=None, gt=0)
    """Largest size of a group's filter in 10^9 bytes. Where more is needed, the run stops and reports how much."""
    allow_undersized: bool = False
    """Continue with a filter that is too small for its n-grams: more than `fp_rate` of the new n-grams will be taken
    for seen ones."""
    substring_tokens: int = Field(default=50, ge=1)
    """Smallest length, in tokens, of a span that substring mode removes."""
    annotate: bool = False
    """Remove and change nothing, but write into columns what would have been removed."""
    name_first: bool = False
    """Tell, for each document of which text is cut or that is removed, where in the corpus that text stands first."""
    self_check: float = Field(default=0, ge=0, le=1)
    """Share of documents of which near-copies are planted, to measure how many of them are detected; nothing is removed
    for them."""

    @property
    def least_ngram(self) -> int:
        return self.ngram if self.min_ngram is None or self.mode == SUBSTRING else self.min_ngram

    @property
    def by_line(self) -> bool:
        return self.mode in (OLD_BOTH, PARAGRAPH)

    @property
    def judges_documents(self) -> bool:
        return self.mode in (OLD_BOTH, DOCUMENT)


class BloomDedup(Group):
    """Cuts duplicate paragraphs out of documents. Removes duplicate documents, as `duplicate_ngrams`, and documents
    that are empty after the cuts, as `duplicate_paragraphs` or `duplicate_substrings`.

    Source: the rules are those of BFF in DCLM (Li et al. 2024); here they are applied in a fixed order, so that the
    result is reproducible.
    """

    name: ClassVar[str] = "dedup"
    version: ClassVar[int] = 1
    kernels: tuple[str, ...] = ("bloom",)
    config: BloomConfig

    def __init__(self, config: BloomConfig) -> None:
        super().__init__(config)
        self.num_buckets = config.shards
        self.reads = (columns.ID, columns.TEXT) if config.self_check or config.name_first else (columns.TEXT,)
        self.adds = marks.added_columns(config.mode == SUBSTRING, config.annotate)
        if config.name_first:
            self.adds, self.kernels = self.adds.append(FIELD), ("bloom", "first_places")
        self.signals = (Signal(column=marks.FRACTION, label="n-grams seen before (share)", low=0, high=1),)
        if config.judges_documents and not config.annotate:
            source = f"DCLM, BFF {config.mode}"
            self.rules = (
                Rule(
                    reason=marks.NGRAMS_REASON, column=marks.FRACTION, op=">", threshold=config.threshold, source=source
                ),
            )

    def resolved_settings(self) -> dict[str, Any]:
        return without_default(super().resolved_settings())

    def open(self, context: StageContext) -> None:
        self._seed = context.seed

    def sketch(self, batch: pa.RecordBatch, rows: pa.Array) -> pa.Table:
        """One line per document with n-grams, followed by that of its planted copy if it has one: the hashes of the
        n-grams, and how many each unit has."""
        texts = batch.column(columns.TEXT)
        lines = pa.table({"row": rows} | self._ngram_columns(texts))
        if self.config.self_check:
            plants = plant(batch, self.config.self_check, self._seed)
            lines = add_copies(lines, plants, self._ngram_columns(pa.array(plants.texts, texts.type)))
        return lines.filter(pc.greater(lines[NUM_NGRAMS], 0))

    def _ngram_columns(self, texts: pa.Array) -> dict[str, pa.Array]:
        config = self.config
        ngrams, units, sizes = ngram_lists(texts, config.ngram, config.least_ngram, config.by_line)
        return {NGRAMS: ngrams, NUM_NGRAMS: pc.list_value_length(ngrams), UNIT_NUMBERS: units, UNIT_NGRAMS: sizes}

    def decide(self, bucket: int, sketches: Sketches, context: StageContext) -> pa.Table:
        """One line per document with n-grams, of the group of shards number `bucket`. Raises ConfigError when the
        filter would be too small."""
        shards = range(bucket, sketches.num_shards, self.config.shards)
        check = [RATE] if self.config.self_check else []
        num_ngrams = 0
        for batch in sketches.batches([NUM_NGRAMS, *check], shards):
            real = batch.filter(pc.is_null(batch.column(RATE))) if check else batch
            num_ngrams += pc.sum(real.column(NUM_NGRAMS)).as_py() or 0
        shape = self.filter_shape(num_ngrams)
        config = self.config
        judge = Judge(
            table=self._table(shape, num_ngrams), per_word=shape.per_word, threshold=config.threshold,
            whole=config.judges_documents, ngram=config.ngram, one_unit=config.mode == DOCUMENT,
            least_tokens=config.substring_tokens if config.mode == SUBSTRING else None,
        )  # fmt: skip
        names = ["shard", "row", NGRAMS, UNIT_NUMBERS, UNIT_NGRAMS, *check]
        parts = []
        for batch in sketches.batches(names, shards):
            parts.append(judge.decide(batch))
            del batch  # Otherwise it would stay in memory until the next batch has been read.
            pa.default_memory_pool().release_unused()
        found: dict[str, Any] = {
            "num_ngrams": num_ngrams,
            "filter_bytes": shape.num_bytes,
            "filter_bits_set_fraction": round(judge.filled_fraction(), 4),
            "predicted_fp_rate": round(shape.false_positive_rate(num_ngrams), 6),
            **judge.counts,
        }
        if check:
            found["self_check"] = recall_by_rate(judge.rates, np.array(judge.caught, np.bool_))
        details = found if config.shards == 1 else {f"group {bucket}": found}
        schema = DECISION_SCHEMA.with_metadata({"details": json.dumps(details)})
        return pa.Table.from_batches(parts, schema=DECISION_SCHEMA).cast(schema)

    @cached_property
    def _places(self) -> "NgramPlaces":
        from tamis.stages.dedup.bloom.places import NgramPlaces

        config = self.config
        return NgramPlaces(
            ngram=config.ngram, least=config.least_ngram, by_line=config.by_line, spans=config.mode == SUBSTRING,
            groups=config.shards, threshold=config.threshold,
        )  # fmt: skip

    def later_rounds(self, num_shards: int) -> Sequence[tuple[str, int]]:
        return rounds(self.config.shards, num_shards) if self.config.name_first else ()

    def decide_later(
        self, round_number: int, job: int, findings: Findings, sketches: Sketches, context: StageContext
    ) -> pa.Table:
        return decide(round_number, job, findings, sketches, self._places)

    def filter_shape(self, num_ngrams: int) -> FilterShape:
        """The filter for a group's `num_ngrams`. Raises ConfigError where the settings make it too small."""
        config = self.config
        needed = size_filter(num_ngrams, config.fp_rate)
        needs = (
            f"a group has {num_ngrams} n-grams, which need {needed.num_bytes / 1e9:.3g} GB at fp_rate {config.fp_rate}"
        )
        shape = needed
        if config.expected_ngrams is not None:
            if num_ngrams > config.expected_ngrams and not config.allow_undersized:
                raise ConfigError(
                    f"dedup.expected_ngrams: {config.expected_ngrams}, but {needs}. Leave expected_ngrams out, or set "
                    "allow_undersized: true if new text may be taken for seen"
                )
            shape = size_filter(config.expected_ngrams, config.fp_rate)
        if config.max_memory_gb is not None and shape.num_bytes > config.max_memory_gb * 1e9:
            if not config.allow_undersized:
                raise ConfigError(
                    f"dedup.max_memory_gb: {config.max_memory_gb}, but {needs}. Raise max_memory_gb, split the pool "
                    "with more shards, or set allow_undersized: true if new text may be taken for seen"
                )
            shape = largest_filter(int(config.max_memory_gb * 1e9), num_ngrams)
        return shape

    def _table(self, shape: FilterShape, num_ngrams: int) -> np.ndarray:
        """The empty filter. Raises ConfigError where this machine has not that much memory."""
        try:
            return shape.empty()
        except MemoryError:
            raise ConfigError(
                f"dedup: the filter for {num_ngrams} n-grams at fp_rate {self.config.fp_rate:g} takes "
                f"{shape.num_bytes / 1e9:,.0f} GB, which this machine does not have. Raise fp_rate, split the pool "
                "with more shards, or set max_memory_gb with allow_undersized: true"
            ) from None

    def mark(self, batch: pa.RecordBatch, rows: pa.Array, decisions: pa.Table) -> pa.RecordBatch:
        marked = marks.mark(batch, rows, decisions, self.config.mode, self.config.annotate)
        return marked.append_column(FIELD, places_of(rows, decisions)) if self.config.name_first else marked

    def cost(self, corpus: Corpus) -> Cost:
        """Memory for the filter, the decision per document and a few batches of sketches. On disk 8 bytes per n-gram,
        because hashes do not compress, and a few per paragraph. The number of n-grams per byte is that of English web
        text."""
        per_byte = NGRAMS_PER_BYTE["line" if self.config.by_line else "document"]
        num_ngrams = int(corpus.text_bytes * per_byte)
        shards = self.config.shards
        shape = size_filter(self.config.expected_ngrams or -(-num_ngrams // shards), self.config.fp_rate)
        limit = self.config.max_memory_gb
        filter_bytes = shape.num_bytes if limit is None else min(shape.num_bytes, int(limit * 1e9))
        lines = -(-corpus.num_documents // shards)
        memory = filter_bytes + DECISION_BYTES * lines + STREAM_BYTES
        if self.config.name_first:
            memory = max(memory, SEARCH_BYTES)
        return Cost(memory_bytes=memory, sketch_bytes=int(SKETCH_BYTES_PER_NGRAM * num_ngrams))
