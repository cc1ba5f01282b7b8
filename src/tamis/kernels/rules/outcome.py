"""What a program of `rules.program` gives back: measured columns and edited texts of a batch of documents."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from tamis.kernels.text import decoding

NOT_EMPTIED = -1


@dataclass
class Outcome:
    """What a program measured (`values` float64[rows, columns], NaN where a row was not live or was emptied before)
    and made of the text; `emptied[row]` is the number of the step that left no text, or NOT_EMPTIED."""

    columns: list[str]
    values: np.ndarray
    emptied: np.ndarray
    changed: np.ndarray
    data: np.ndarray
    offsets: np.ndarray
    source: pa.Array

    def column(self, name: str) -> np.ndarray:
        """Float64 values of one measured column."""
        return self.values[:, self.columns.index(name)]

    def text(self) -> pa.Array:
        """The edited texts; the source array itself when nothing changed, for which there are no `data`."""
        # The kernel makes no output when no document has changed.
        if not self.changed.any():
            return self.source
        return decoding.from_buffers(self.data, self.offsets, self.source.is_null() if self.source.null_count else None)
