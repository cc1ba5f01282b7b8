"""Decontamination by long word n-grams: removes pages that contain items of the evaluation data from the training data.

DCLM published no decontamination code. Its paper measures for every evaluation example which share of its tokens is
covered by long n-gram matches with the training data, and calls an example with more than 80 % dirty. Here the test is
applied to documents: for every document, the largest share of any one reference text's runs of 13 words that the
document contains. A test on the number of shared runs (GPT-3, arXiv 2005.14165, appendix C) would remove pages for
common phrases.
"""

from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from pydantic import Field

from tamis.base import columns
from tamis.base.batches import set_drop_reason
from tamis.base.config import Config
from tamis.base.recipe import Recipe
from tamis.base.signals import Rule, Signal
from tamis.base.stage import Map, Stage, StageContext
from tamis.stages.decontaminate.index import RunIndex
from tamis.stages.decontaminate.reference import read_items

CONTAMINATED_NGRAMS = "contaminated_ngrams"
"""int32, written by decontaminate: number of distinct runs of words that are also in the reference; null = no reference
given."""

CONTAMINATED_FRACTION = "contaminated_fraction"
"""float32, written by decontaminate: largest share of one reference text's runs that the document contains; null = no
reference given."""


class DecontaminateConfig(Config):
    """Settings of `decontaminate`."""

    reference: list[str] = Field(default_factory=list)
    """JSONL files (plain, gzip, LZ4 or zstd) with the text that must not be trained on: documents (`text`) or
    evaluation items (`query`/`choices`, `context`/`continuation`/`answer`, `context_options`,
    `prompt`/`canonical_solution`).
    Empty: nothing is measured and nothing removed."""
    ngram: int = Field(default=13, ge=2)
    """Words in a run that counts as a match. Words are runs of letters and digits, without accents, case, hidden
    characters and the differences between full-width and ordinary letters."""
    min_item_words: int = Field(default=8, ge=1)
    """Reference texts of fewer than `ngram` words match as a whole if they have at least this many; shorter ones are
    left out, since everyday sentences would match them."""
    max_overlap_fraction: float = Field(default=0.5, ge=0, lt=1)
    """Remove documents that contain more than this share of the runs of any reference text. One changed word changes
    `ngram` runs, so a document with half of the runs contains most of the text. 0 = one shared run is enough."""


class Decontaminate(Map):
    """Measures how much of the reference a document contains, and removes it as `contaminated`."""

    name: ClassVar[str] = "decontaminate"
    version: ClassVar[int] = 2
    kernels = ("ngrams", "matching")
    reads = (columns.TEXT,)
    adds = pa.schema([(CONTAMINATED_NGRAMS, pa.int32()), (CONTAMINATED_FRACTION, pa.float32())])

    config: DecontaminateConfig

    def __init__(self, config: DecontaminateConfig) -> None:
        super().__init__(config)
        if config.reference:
            label = "largest share of a reference text in the document"
            self.signals = (Signal(column=CONTAMINATED_FRACTION, label=label, low=0.0, high=1.0001),)
            rule = Rule(
                reason="contaminated",
                column=CONTAMINATED_FRACTION,
                op=">",
                threshold=config.max_overlap_fraction,
                source=f"runs of {config.ngram} words of {len(config.reference)} reference file(s)",
            )
            self.rules = (rule,)

    def assets(self) -> dict[str, str]:
        return {f"reference_{place:03d}": path for place, path in enumerate(self.config.reference)}

    def identity(self) -> list[Any]:
        """Leaves out the paths, because the contents of the files are covered as assets."""
        return [self.name, self.version, self.config.model_dump(mode="json", exclude={"reference"})]

    def open(self, context: StageContext) -> None:
        """Hash the reference. Raises DataError when it is not readable or holds no text long enough to match."""
        if self.config.reference:
            items = [item for name in sorted(self.assets()) for item in read_items(context.assets[name])]
            config = self.config
            self._index = RunIndex(items, config.ngram, config.min_item_words, config.max_overlap_fraction)

    def apply(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        if not self.config.reference:
            for field in self.adds:
                batch = batch.append_column(field, pa.nulls(batch.num_rows, field.type))
            return batch
        counts, fractions = self._index.overlaps(batch.column(columns.TEXT))
        dropped = fractions.astype(np.float64) > self.config.max_overlap_fraction
        batch = set_drop_reason(batch, dropped, "contaminated")
        batch = batch.append_column(self.adds.field(0), pa.array(counts, pa.int32()))
        return batch.append_column(self.adds.field(1), pa.array(fractions, pa.float32()))


def build(settings: dict[str, Any], recipe: Recipe) -> list[Stage]:
    """The stage of a recipe's `decontaminate` step. Raises ConfigError for wrong settings."""
    return [Decontaminate(DecontaminateConfig.parse(settings, "decontaminate"))]
