"""Decontamination by long word n-grams: a page that holds a run of words of the evaluation data does not train.

DCLM published no decontamination code; its paper counts the tokens of an example that long n-gram matches with the
training data cover. This is the training side of that test: any shared run of 13 words (the length of GPT-3's test,
arXiv 2005.14165, appendix C) removes the document.
"""

from itertools import pairwise
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from tamis.base import columns
from tamis.base.config import Config
from tamis.base.errors import DataError
from tamis.base.recipe import Recipe
from tamis.base.signals import Rule, Signal
from tamis.base.stage import Context, Map, Stage
from tamis.stages.decontaminate.reference import read_items

CONTAMINATED_NGRAMS = "contaminated_ngrams"
"""int32, written by decontaminate: runs of words that the reference has too; null = no reference was given."""


class DecontaminateConfig(Config):
    """Settings of `decontaminate`."""

    reference: list[str] = Field(default_factory=list)
    """JSONL files (plain, gzip or zstd) with the text that must not be trained on: documents (`text`) or evaluation
    items (`query`/`choices`, `context`/`continuation`/`answer`, `context_options`, `prompt`/`canonical_solution`).
    Empty: nothing is measured and nothing removed."""
    ngram: int = Field(default=13, ge=2)
    """Words in a run that counts as a match. Words are lower-cased runs of letters and digits."""
    min_item_words: int = Field(default=8, ge=1)
    """Reference texts of fewer than `ngram` words match as a whole if they have at least this many; shorter ones are
    left out, since everyday sentences would match them."""
    min_matches: int = Field(default=1, ge=1)
    """Remove documents with at least this many matching runs."""


class Decontaminate(Map):
    """Counts the word runs that a document shares with the reference; drops it as `contaminated`."""

    name: ClassVar[str] = "decontaminate"
    version: ClassVar[int] = 1
    reads = (columns.TEXT,)
    adds = pa.schema([(CONTAMINATED_NGRAMS, pa.int32())])

    config: DecontaminateConfig

    def __init__(self, config: DecontaminateConfig) -> None:
        super().__init__(config)
        if config.reference:
            self.signals = (
                Signal(
                    column=CONTAMINATED_NGRAMS, label="word runs shared with the reference", low=1, high=1e4, log=True
                ),
            )
            source = f"runs of {config.ngram} words shared with {len(config.reference)} reference file(s)"
            rule = Rule(
                reason="contaminated", column=CONTAMINATED_NGRAMS, op=">=", threshold=config.min_matches, source=source
            )
            self.rules = (rule,)

    def assets(self) -> dict[str, str]:
        return {f"reference_{place:03d}": path for place, path in enumerate(self.config.reference)}

    def identity(self) -> list[Any]:
        """Without the paths: the files' contents are covered as assets."""
        return [self.name, self.version, self.config.model_dump(mode="json", exclude={"reference"})]

    def open(self, context: Context) -> None:
        """Hash the reference. Raises DataError when it is not readable or holds no text long enough to match."""
        if self.config.reference:
            items = [item for name in sorted(self.assets()) for item in read_items(context.assets[name])]
            self._lengths, self._table = reference_runs(
                [text for item in items for text in item], self.config.ngram, self.config.min_item_words
            )

    def apply(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        field = self.adds.field(0)
        if not self.config.reference:
            return batch.append_column(field, pa.nulls(batch.num_rows, pa.int32()))
        from tamis.kernels.ngrams import count_known_runs, fold_table, word_hashes
        from tamis.kernels.text import views

        words, word_offsets = word_hashes(*views(batch.column(columns.TEXT)), fold_table())
        counts = count_known_runs(words, word_offsets, self._lengths, self._table)
        dropped = pa.array(counts >= self.config.min_matches)
        reasons = pc.if_else(dropped, "contaminated", batch.column(columns.DROP_REASON))
        place = batch.schema.get_field_index(columns.DROP_REASON)
        batch = batch.set_column(place, pa.field(columns.DROP_REASON, pa.string()), reasons)
        return batch.append_column(field, pa.array(counts, pa.int32()))


def reference_runs(texts: list[str], ngram: int, min_item_words: int) -> tuple[np.ndarray, np.ndarray]:
    """`(lengths int64[], hash set uint64[])` of the runs that documents are searched for.

    `lengths` are `ngram` and those of the shorter texts that match as a whole. Raises DataError when no text is long
    enough to match.
    """
    from tamis.kernels.ngrams import fold_table, hash_set, run_hashes, word_hashes
    from tamis.kernels.text import views

    words, offsets = word_hashes(*views(pa.array(texts, pa.large_string())), fold_table())
    runs: list[np.ndarray] = []
    lengths: set[int] = set()
    for start, end in pairwise(offsets):
        length = min(ngram, int(end - start))
        if length >= min(min_item_words, ngram):
            lengths.add(length)
            runs.append(run_hashes(words[start:end], length))
    if not runs:
        raise DataError(
            f"decontaminate.reference: none of its {len(texts)} texts has the {min_item_words} words that a match needs"
        )
    return np.array(sorted(lengths), np.int64), hash_set(np.unique(np.concatenate(runs)))


def build(settings: dict[str, Any], recipe: Recipe) -> list[Stage]:
    """The stage of a recipe's `decontaminate` step. Raises ConfigError for wrong settings."""
    return [Decontaminate(DecontaminateConfig.parse(settings, "decontaminate"))]
