"""Deduplication within one page: later copies of a line or paragraph are deleted, whatever other documents contain."""

from typing import ClassVar, Literal

import pyarrow as pa
import pyarrow.compute as pc

from tamis.base import columns
from tamis.base.batches import replace_column
from tamis.base.config import Config
from tamis.base.stage import Map, StageContext
from tamis.kernels.rules.program import Program


class WithinPageConfig(Config):
    """Settings of `dedup` with `method: within_page`."""

    method: Literal["within_page"] = "within_page"
    unit: Literal["line", "paragraph"] = "line"
    """What is compared: lines, or paragraphs, which are separated by an empty line. Case and outer blanks are ignored
    (DCLM's `within_page_dedup`); empty units are kept."""


class WithinPageDedup(Map):
    """Deletes every unit that occurs earlier in the same page. No page is removed, not even a page of blanks alone."""

    name: ClassVar[str] = "dedup"
    version: ClassVar[int] = 1
    reads = (columns.TEXT,)
    kernels = ("rules",)
    config: WithinPageConfig

    def open(self, context: StageContext) -> None:
        program = Program()
        by_line = self.config.unit == "line"
        self._program = program.drop_repeated_lines() if by_line else program.drop_repeated_paragraphs()

    def apply(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        text = batch.column(columns.TEXT)
        edited = self._program.run(text).text()
        edited = pc.cast(pc.if_else(pc.is_valid(edited), edited, text), text.type)
        return replace_column(batch, columns.TEXT, edited)
