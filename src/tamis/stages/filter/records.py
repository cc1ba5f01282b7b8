"""What the filter reads from a record's own fields: the text of records in several parts, file names, and the
sampling."""

import json
from typing import Any

import numpy as np
import pyarrow as pa

from tamis.base import columns
from tamis.base.seeds import unit_hash
from tamis.stages.filter.settings import FilterConfig
from tamis.stages.filter.sources_records import REDPAJAMA_EXTENSIONS, repository_text, stackexchange_text

NOT_SAMPLED = "not_sampled"
WRONG_FILE_EXTENSION = "wrong_file_extension"


def columns_read(config: FilterConfig) -> tuple[str, ...]:
    """Columns needed beside `url` and `text`."""
    from_fields = config.text_from != "text" or config.file_extensions is not None
    sampled = config.keep_probability < 1 or config.text_from == "repository"
    return (*([columns.ID] if sampled else []), *([columns.EXTRA] if from_fields else []))


def assemble(batch: pa.RecordBatch, config: FilterConfig, seed: int) -> pa.Array:
    """The texts: the column as it came, or texts built from the fields of records that have several parts."""
    text = batch.column(columns.TEXT)
    if config.text_from == "text":
        return text
    texts = text.to_pylist()
    ids = batch.column(columns.ID).to_pylist() if config.text_from == "repository" else [""] * len(texts)
    for row, record in enumerate(_fields(batch)):
        if config.text_from == "stackexchange":
            built = stackexchange_text(record)
        else:
            built = repository_text(record, ids[row], config.file_name_probability, seed)
        texts[row] = texts[row] if built is None else built
    return pa.array(texts, pa.string())


def remove(batch: pa.RecordBatch, config: FilterConfig, seed: int, reasons: np.ndarray) -> None:
    """Write NOT_SAMPLED and WRONG_FILE_EXTENSION into `reasons` where they apply."""
    if config.keep_probability < 1:
        for row, name in enumerate(batch.column(columns.ID).to_pylist()):
            if unit_hash(name, salt=f"filter-{seed}") >= config.keep_probability:
                reasons[row] = NOT_SAMPLED
    if config.file_extensions is not None:
        named = [REDPAJAMA_EXTENSIONS if end == "redpajama" else (end,) for end in config.file_extensions]
        ends = tuple(end for group in named for end in group)
        for row, record in enumerate(_fields(batch)):
            if reasons[row] is None and not str(record.get("filename", "")).endswith(ends):
                reasons[row] = WRONG_FILE_EXTENSION


def _fields(batch: pa.RecordBatch) -> list[dict[str, Any]]:
    return [json.loads(extra) if extra else {} for extra in batch.column(columns.EXTRA).to_pylist()]
