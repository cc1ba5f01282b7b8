"""How an export is loaded in other programs: the examples of its dataset card, for its format and its files."""

from collections.abc import Iterator

from tamis.export.plan import ExportPlan

_DATASETS = """\
import os

from datasets import load_dataset

dataset = load_dataset(os.getcwd(), split="train")
print(dataset[0]["text"])
"""
_POLARS = """\
import polars

frame = polars.{read}("{files}"{options})
print(frame["text"].str.len_bytes().sum())
"""
_DUCKDB = """\
import duckdb

print(duckdb.sql("SELECT count(*), sum(strlen(text)) FROM {read}('{files}'{options})").fetchall())
"""
_DATATROVE = """\
from datatrove.pipeline.readers import JsonlReader

for document in JsonlReader("{folder}")():
    print(document.id, document.metadata.get("url"))
    break
"""


def examples(plan: ExportPlan) -> Iterator[str]:
    """Python that runs in the folder of the export: `datasets`, polars, DuckDB and, where it reads the format,
    datatrove."""
    layout = plan.layout
    is_parquet = layout.record is None
    files = f"{layout.folder}/train-*"
    yield _DATASETS
    if is_parquet:
        yield _POLARS.format(read="read_parquet", files=files, options="")
        yield _DUCKDB.format(read="read_parquet", files=files, options="")
        return
    yield _POLARS.format(read="read_ndjson", files=files, options=", infer_schema_length=None")
    yield _DUCKDB.format(read="read_json", files=files, options=", sample_size=-1, format='newline_delimited'")
    yield _DATATROVE.format(folder=layout.folder)
