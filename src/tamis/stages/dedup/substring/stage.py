"""Exact repeated spans (Lee et al. 2021, "ExactSubstr"; DCLM's `substr`): runs of 50 tokens or more that occur more
than once in the corpus are cut out of the text.

**What is cut.** Tokens are those of UAX-29 that are not white space, compared byte for byte. A window is `min_tokens`
tokens that follow one another in one document. With `keep: first` a window is repeated if the same tokens also start at
an earlier place of the corpus, in the order (shard, row, position); with `keep: none` if they start at any other place.
A token is cut if a repeated window covers it. Windows may overlap: in a page that repeats one word a thousand times,
the windows from the second on repeat the first, and one word is kept (`keep: first`) or none is. With `keep: first`,
the first occurrence of a window is not cut because of that window, but another repeated window that overlaps it may cut
a part of it.

**How.** `sketch` stores the tokens' 64-bit hashes; each bucket, one part of one group of shards, finds the token ranges
that its repeated windows cover (`rolling`, `suffixes`); `combine` joins the parts' ranges; `mark`
splits the texts concerned again and cuts.
"""

import importlib.util
import json
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from tamis.base import columns
from tamis.base.batches import replace_column, set_drop_reason
from tamis.base.config import Config
from tamis.base.errors import ConfigError
from tamis.base.signals import Signal
from tamis.base.stage import Corpus, Cost, Findings, Group, Sketches, StageContext
from tamis.stages.dedup.first_places import FIELD, SEARCH_BYTES, decide, places_of, rounds, without_default
from tamis.stages.dedup.planted import add_copies, plant
from tamis.stages.dedup.substring.ranges import (
    NUM_TOKENS,
    TOKENS,
    TokenLines,
    join_ranges,
    ranges_table,
    read_lines,
    token_column,
)

if TYPE_CHECKING:
    from tamis.stages.dedup.substring.places import SpanPlaces

REASON = "duplicate_substring"
FRACTION = "duplicate_token_fraction"
"""float32: share of the document's tokens that stand in repeated spans."""
SPANS = "duplicate_spans"
"""list<list<int64>>: the repeated spans as [start, end) in bytes of `text`."""

BYTES_PER_TOKEN = 4.8
"""UTF-8 bytes of text for one UAX-29 token: 4.82 on 2,000 pages of documentation and web, English for the most part."""
SKETCH_BYTES_PER_TOKEN = 1.8
"""Bytes on disk per token: its hash of eight bytes, compressed, since hashes repeat as words do."""
STREAM_BYTES = 128 << 20
"""Bytes of memory for reading the sketches, whatever their size: two row groups and their decoding."""


class SubstringConfig(Config):
    """Settings of `dedup` with `method: substring`."""

    method: Literal["substring"] = "substring"
    min_tokens: int = Field(default=50, ge=2, le=100_000)
    """Number of tokens that a run must have to be cut (Lee et al. 2021: 50 BPE tokens; DCLM's `substr`: 50 UAX-29
    tokens)."""
    algorithm: Literal["rolling", "suffix_array"] = "rolling"
    """`rolling`: a hash table of windows, out of core; `suffix_array`: the paper's, a group of shards in memory, needs
    the package pydivsufsort. Both cut the same."""
    keep: Literal["first", "none"] = "first"
    """`first`: the first occurrence of a run is kept. `none`: every occurrence is cut, as in Lee et al.'s released code
    ("completely striking them from the dataset", README of google-research/deduplicate-text-datasets)."""
    groups: int = Field(default=1, ge=1, le=4096)
    """Shard i belongs to group i modulo `groups`, and each group is deduplicated independently. Repeats across groups
    are kept."""
    num_parts: int = Field(default=1, ge=1, le=4096)
    """Windows of a group are split into this many parts by content, decided in parallel: more parts, less memory each,
    but each reads the group's sketches. The result does not depend on it. Only for `rolling`."""
    min_kept_tokens: int = Field(default=1, ge=1)
    """A document of which the cuts leave fewer tokens is removed as `duplicate_substring`."""
    annotate: bool = False
    """Change no text and remove nothing; write the spans to the column `duplicate_spans` instead."""
    name_first: bool = False
    """Tell, for each document of which text is cut, where in the corpus that text stands first."""
    self_check: float = Field(default=0, ge=0, le=1)
    """Fraction of documents of which copies with a few words replaced are planted, to measure how many would be cut."""


class SubstringDedup(Group):
    """Cuts repeated spans; removes documents of which (nearly) nothing is left."""

    name: ClassVar[str] = "dedup"
    version: ClassVar[int] = 1
    reads = (columns.ID, columns.TEXT)
    adds = pa.schema([(FRACTION, pa.float32())])
    kernels: tuple[str, ...] = ("spans",)
    combines = True
    signals = (Signal(column=FRACTION, label="share of tokens in repeated spans", low=0, high=1),)
    config: SubstringConfig

    def __init__(self, config: SubstringConfig) -> None:
        super().__init__(config)
        self.num_buckets = config.groups * config.num_parts
        if config.annotate:
            self.adds = self.adds.append(pa.field(SPANS, pa.list_(pa.list_(pa.int64()))))
        if config.name_first:
            self.adds, self.kernels = self.adds.append(FIELD), ("spans", "first_places")

    def resolved_settings(self) -> dict[str, Any]:
        return without_default(super().resolved_settings())

    def open(self, context: StageContext) -> None:
        self._seed = context.seed

    def sketch(self, batch: pa.RecordBatch, rows: pa.Array) -> pa.Table:
        """One line per document: `row, tokens` (binary, eight little-endian bytes of hash for each), `num_tokens`.

        With `self_check` also `rate, unchanged_tokens` and, right after its original, a line per planted copy.
        """
        lines = pa.table({"row": rows} | _token_columns(batch.column(columns.TEXT)))
        if not self.config.self_check:
            return lines
        from tamis.stages.dedup.substring.check import UNCHANGED, unchanged_tokens

        plants = plant(batch, self.config.self_check, self._seed)
        copies = pa.array(plants.texts, pa.string())
        unchanged = unchanged_tokens(
            batch.column(columns.TEXT).take(pa.array(plants.places)), copies, self.config.min_tokens
        )
        return add_copies(lines, plants, _token_columns(copies) | {UNCHANGED: pa.array(unchanged)})

    def decide(self, bucket: int, sketches: Sketches, context: StageContext) -> pa.Table:
        """`shard, row, start, end`: token ranges that the repeated windows of this bucket cover."""
        group, part = divmod(bucket, self.config.num_parts)
        shards = range(group, sketches.num_shards, self.config.groups)

        def stream() -> Iterator[TokenLines]:
            return read_lines(sketches.batches(["shard", "row", TOKENS], shards))

        keeps_first = self.config.keep == "first"
        if self.config.algorithm == "rolling":
            from tamis.stages.dedup.substring.rolling import find

            num_windows = self._count_windows(sketches, shards) if self.config.num_parts == 1 else None
            return find(stream, num_windows, self.config.min_tokens, keeps_first, self.config.num_parts, part)
        from tamis.stages.dedup.substring.suffixes import find_sorted

        return find_sorted(stream, self.config.min_tokens, keeps_first)

    def _count_windows(self, sketches: Sketches, shards: Sequence[int]) -> int:
        count = 0
        for batch in sketches.batches(["row", NUM_TOKENS], shards):
            windows = batch.column(NUM_TOKENS).to_numpy() - self.config.min_tokens + 1
            count += int(windows[(windows > 0) & (batch.column("row").to_numpy() >= 0)].sum(dtype=np.int64))
        return count

    def combine(self, decided: Sequence[pa.Table], sketches: Sketches, context: StageContext) -> pa.Table:
        """The joined ranges of all parts, in order and without overlaps. The card gets their totals."""
        shards, rows, starts, ends = join_ranges(decided)
        details = self._details(sketches, shards, rows, ends - starts)
        real = rows >= 0
        table = ranges_table(shards[real], rows[real], starts[real], ends[real])
        return table.replace_schema_metadata({b"details": json.dumps(details).encode()})

    def _details(self, sketches: Sketches, shards: np.ndarray, rows: np.ndarray, lengths: np.ndarray) -> dict[str, Any]:
        real = rows >= 0
        num_tokens = 0
        for batch in sketches.batches(["row", NUM_TOKENS]):
            real_lines = batch.column("row").to_numpy() >= 0
            num_tokens += int(batch.column(NUM_TOKENS).to_numpy()[real_lines].sum(dtype=np.int64))
        same = (np.diff(shards[real]) == 0) & (np.diff(rows[real]) == 0)
        details: dict[str, Any] = {
            "num_tokens": num_tokens,
            "num_duplicate_tokens": int(lengths[real].sum()),
            "num_duplicate_spans": int(real.sum()),
            "num_documents_with_duplicate_spans": int(real.sum() - same.sum()),
            "longest_duplicate_span_tokens": int(lengths[real].max(initial=0)),
        }
        if self.config.self_check:
            from tamis.stages.dedup.substring.check import planted_lines, self_check

            details["self_check"] = self_check(planted_lines(sketches), shards, rows, lengths)
        return details

    @cached_property
    def _places(self) -> "SpanPlaces":
        from tamis.stages.dedup.substring.places import SpanPlaces

        return SpanPlaces(self.config.min_tokens, self.config.groups, self.config.keep == "first")

    def later_rounds(self, num_shards: int) -> Sequence[tuple[str, int]]:
        return rounds(self.config.groups, num_shards) if self.config.name_first else ()

    def decide_later(
        self, round_number: int, job: int, findings: Findings, sketches: Sketches, context: StageContext
    ) -> pa.Table:
        return decide(round_number, job, findings, sketches, self._places)

    def mark(self, batch: pa.RecordBatch, rows: pa.Array, decisions: pa.Table) -> pa.RecordBatch:
        marked = self._cut(batch, rows, decisions)
        return marked.append_column(FIELD, places_of(rows, decisions)) if self.config.name_first else marked

    def _cut(self, batch: pa.RecordBatch, rows: pa.Array, decisions: pa.Table) -> pa.RecordBatch:
        from tamis.stages.dedup.substring.cut import Cuts, cut_text, list_spans

        text = batch.column(columns.TEXT)
        cuts = Cuts.of(text, rows.to_numpy(), decisions)
        shares = cuts.num_cut_tokens / np.maximum(cuts.num_tokens, 1)
        batch = batch.append_column(pa.field(FRACTION, pa.float32()), pa.array(shares.astype(np.float32)))
        if self.config.annotate:
            return batch.append_column(self.adds.field(SPANS), list_spans(cuts))
        kept = cuts.num_tokens - cuts.num_cut_tokens
        removed = pa.array((cuts.num_cut_tokens > 0) & (kept < self.config.min_kept_tokens))
        edited = pc.if_else(removed, text, cut_text(text, cuts))  # A removed row keeps its text.
        return set_drop_reason(replace_column(batch, columns.TEXT, edited), removed, REASON)

    def cost(self, corpus: Corpus) -> Cost:
        """Memory for the hash table or suffix array of the largest bucket and for reading; on disk eight bytes per
        token before compression. For the hash table, all windows are assumed to be different."""
        share = 1 + self.config.self_check
        num_tokens = int(corpus.text_bytes / BYTES_PER_TOKEN)
        sketch_bytes = int(num_tokens * share * SKETCH_BYTES_PER_TOKEN) + 8 * corpus.num_documents
        if self.config.algorithm == "rolling":
            from tamis.stages.dedup.substring.rolling import table_bytes

            num_windows = max(num_tokens - (self.config.min_tokens - 1) * corpus.num_documents, 0)
            needed = table_bytes(-(-num_windows // self.num_buckets))
        else:
            from tamis.stages.dedup.substring.suffixes import memory_bytes

            needed = memory_bytes(
                int(num_tokens * share) // self.config.groups, corpus.num_documents // self.config.groups
            )
        if self.config.name_first:
            needed = max(needed, SEARCH_BYTES)
        return Cost(memory_bytes=needed + STREAM_BYTES, sketch_bytes=sketch_bytes)


def _token_columns(text: pa.Array) -> dict[str, pa.Array]:
    from tamis.kernels.text.uax_tokens import uax_tokens

    tokens = uax_tokens(text)
    return {
        TOKENS: token_column(tokens.hashes, tokens.offsets),
        NUM_TOKENS: pa.array(np.diff(tokens.offsets).astype(np.int32)),
    }


def build_substring(config: SubstringConfig) -> SubstringDedup:
    """Raises ConfigError for settings that contradict each other, and when pydivsufsort is needed but not installed."""
    if config.algorithm == "suffix_array":
        if config.num_parts > 1:
            raise ConfigError("dedup.num_parts: a suffix array cannot be split; set dedup.groups instead")
        if importlib.util.find_spec("pydivsufsort") is None:
            raise ConfigError(
                "dedup.algorithm: suffix_array needs the package pydivsufsort: pip install 'tamis[suffix_array]' "
                "(or use algorithm: rolling, which cuts the same)"
            )
    return SubstringDedup(config)
