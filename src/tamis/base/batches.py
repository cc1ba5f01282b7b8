"""Changes to record batches that every kind of stage makes: one column replaced, rows marked for removal."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tamis.base import columns


def replace_column(batch: pa.RecordBatch, name: str, values: pa.Array) -> pa.RecordBatch:
    """`batch` with the values of the existing column `name` replaced. The column keeps its position and its field."""
    place = batch.schema.get_field_index(name)
    return batch.set_column(place, batch.schema.field(name), values)


def with_reason(reasons: pa.Array, mask: np.ndarray | pa.Array, reason: str) -> pa.Array:
    """`reasons` (string) with `reason` in every row where `mask` (bool) holds; other rows keep their value."""
    mask = mask if isinstance(mask, pa.Array) else pa.array(mask, pa.bool_())
    return pc.if_else(mask, pa.scalar(reason, pa.string()), reasons)


def set_drop_reason(batch: pa.RecordBatch, mask: np.ndarray | pa.Array, reason: str) -> pa.RecordBatch:
    """Mark the rows where `mask` (bool) holds for removal with `reason`; the other rows keep their drop reason."""
    reasons = with_reason(batch.column(columns.DROP_REASON), mask, reason)
    return replace_column(batch, columns.DROP_REASON, reasons)
