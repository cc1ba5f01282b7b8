"""Settings of `cut`, and of the cut inside `quality`."""

import re
from typing import Literal, Self

from pydantic import Field, model_validator

from tamis.base.config import Config

BYTES, DOCUMENTS, TOKENS = "bytes", "documents", "tokens"


class CutConfig(Config):
    """Settings of `cut`: one column, and either `op` with `threshold`, or `keep_fraction`."""

    column: str
    """Any column of numbers (for `op`, of strings too), or `extra.NAME`, a field that came with the data."""
    op: str | None = None
    """With `threshold`: documents are removed where `column op threshold` holds, as in a rule of `filter`."""
    threshold: float | bool | str | list[float | str] | None = None
    keep_fraction: float | None = Field(default=None, gt=0, le=1)
    """Keep this share of the documents, those with the highest values; the threshold is computed from the values of the
    whole corpus."""
    of: str = DOCUMENTS
    """What `keep_fraction` is a share of: `documents`, `bytes` (UTF-8, of the texts), `tokens`, or the sum of a column
    of numbers such as `num_words`."""
    tokenizer: str | None = None
    """With `of: tokens`: the tokenizer.json that counts them; null = the column `num_tokens`."""
    by: str | None = None
    """With `keep_fraction`: a column such as `language`; the share is kept of every group of documents with the same
    value of it, and each group has a threshold of its own. Documents without a value are a group too."""
    keep: Literal["highest", "lowest"] = "highest"
    reason: str | None = Field(default=None, pattern=r"^[a-z][a-z0-9_]*$")
    """The reason for which documents are removed; null = `cut_<column>`."""

    @model_validator(mode="after")
    def _one_kind_of_cut(self) -> Self:
        if (self.threshold is None) == (self.keep_fraction is None):
            raise ValueError("give either `op` and `threshold`, or `keep_fraction`")
        if (self.threshold is None) != (self.op is None):
            raise ValueError("`op` and `threshold` go together, as in {op: '<', threshold: 0.5}")
        shares = sorted({"of", "tokenizer", "by", "keep"} & self.model_fields_set)
        if self.keep_fraction is None and shares:
            raise ValueError(f"{', '.join(shares)}: only with `keep_fraction`; a threshold is the same for all")
        if self.tokenizer is not None and self.of != TOKENS:
            raise ValueError("`tokenizer` counts for `of: tokens` alone")
        return self

    @property
    def removed_as(self) -> str:
        """The reason of documents on the wrong side of the threshold."""
        return self.reason or f"cut_{self._plain_column}"

    @property
    def unmeasured_as(self) -> str:
        """The reason of documents that have no value."""
        return f"no_{self._plain_column}"

    @property
    def _plain_column(self) -> str:
        return re.sub(r"[^a-z0-9]+", "_", self.column.lower()).strip("_")
