"""The generic cut: remove documents by one column, whatever step measured it.

A given threshold becomes a Map. A share to keep becomes a Group, which computes the threshold from all values, overall
or in every group of documents with the same value of another column. A document without a value (null or NaN: it was
not measured) can be neither compared nor ranked. It is removed with a reason of its own, and does not count in any
share.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from tamis.base import columns
from tamis.base.errors import ConfigError, DataError
from tamis.base.lookup import as_text, check_kinds, check_test, kind_of, numbers_in, stored_column, values_in
from tamis.base.recipe import Recipe
from tamis.base.signals import MeasuredSignal, Rule, Signal
from tamis.base.stage import Corpus, Cost, Group, Map, Sketches, Stage, StageContext
from tamis.base.tokenizer_file import open_tokenizer
from tamis.stages.cut.config import BYTES, DOCUMENTS, TOKENS, CutConfig
from tamis.stages.cut.thresholds import ShareThreshold, find_threshold

LARGEST_SIZE = 2**53
"""Larger numbers are no counts, and their sums would not fit into 64 bits."""
VALUE, WEIGHT, GROUP = "value", "weight", "group"
MOST_SHOWN_GROUPS = 100
"""Largest number of groups whose thresholds are on the card, the largest groups first. The decision has all of them."""
BYTES_PER_DOCUMENT = 96
"""Bytes of memory per document while a threshold is computed: values, weights, groups and an order. Measured were 42 to
66, beside the table itself."""


class Cut(Map):
    """Removes documents for which `column op threshold` holds."""

    name: ClassVar[str] = "cut"
    version: ClassVar[int] = 1
    config: CutConfig

    def __init__(self, config: CutConfig, signal: Signal | None = None, source: str = "set in the recipe") -> None:
        super().__init__(config)
        assert config.op is not None and config.threshold is not None
        given = config.threshold
        threshold = tuple(given) if isinstance(given, list) else given
        check_test(config.op, threshold, self.name)
        rule = Rule(reason=config.removed_as, column=config.column, op=config.op, threshold=threshold, source=source)
        self.rules = (rule,)
        self.signals = (signal,) if signal is not None else ()

    def check_columns(self, present: Mapping[str, pa.DataType]) -> None:
        super().check_columns(present)
        assert self.config.op is not None
        check_kinds(self.config.column, self.config.op, self.config.threshold, present, self.name)
        self.signals = self.signals or _drawing(self.config.column, present)

    def apply(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        values = values_in(batch, self.config.column)
        return _drop(batch, self.config, values, self.rules[0].fires(values))


class ShareCut(Group):
    """Keeps a share of the documents, of their bytes or of their tokens: those whose values are the highest, or the
    lowest. Documents that tie with the last one inside the share are all kept, so more than the share can be kept."""

    name: ClassVar[str] = "cut"
    version: ClassVar[int] = 1
    compares_documents = False
    config: CutConfig

    def __init__(self, config: CutConfig, signal: Signal | None = None) -> None:
        super().__init__(config)
        self._sign = 1.0 if config.keep == "highest" else -1.0
        self.signals = (signal,) if signal is not None else ()
        self._weight_column: str | None = None
        if config.of not in (DOCUMENTS, BYTES):
            self._weight_column = None if config.tokenizer else columns.NUM_TOKENS if config.of == TOKENS else config.of

    def assets(self) -> dict[str, str]:
        return {"tokenizer": self.config.tokenizer} if self.config.tokenizer is not None else {}

    def check_columns(self, present: Mapping[str, pa.DataType]) -> None:
        super().check_columns(present)
        if kind_of(self.config.column, present, f"{self.name}.column") not in ("number", "any"):
            raise ConfigError(
                f"{self.name}.column: '{self.config.column}' holds no numbers, so no share of it is the highest"
            )
        if self.config.by is not None:
            kind_of(self.config.by, present, f"{self.name}.by")
        if self._weight_column == columns.NUM_TOKENS and columns.NUM_TOKENS not in present:
            raise ConfigError(
                f"{self.name}.of: tokens are not counted yet; name a tokenizer.json as {self.name}.tokenizer, or take "
                "a column of numbers such as `of: num_words`"
            )
        if self._weight_column is not None:
            kind = kind_of(self._weight_column, present, f"{self.name}.of")
            if kind not in ("number", "any"):
                raise ConfigError(
                    f"{self.name}.of: '{self._weight_column}' is a column of {kind}s; name one of numbers"
                )
        self.signals = self.signals or _drawing(self.config.column, present)

    def open(self, context: StageContext) -> None:
        self._tokenizer: Any = None
        if "tokenizer" in context.assets:
            self._tokenizer = open_tokenizer(context.assets["tokenizer"], f"{self.name}.tokenizer")

    def sketch(self, batch: pa.RecordBatch, rows: pa.Array) -> pa.Table:
        """One line per document: `value` and, where the settings need them, its `weight` and `group`.

        Raises DataError when a number cannot be the size of a document.
        """
        lines: dict[str, pa.Array] = {VALUE: pa.array(numbers_in(batch, self.config.column), pa.float64())}
        if self.config.of != DOCUMENTS:
            lines[WEIGHT] = pa.array(self._weights(batch), pa.int64())
        if self.config.by is not None:
            lines[GROUP] = pa.array(_groups(batch, self.config.by), pa.string())
        return pa.table(lines)

    def _weights(self, batch: pa.RecordBatch) -> list[int]:
        texts = batch.column(columns.TEXT) if self._weight_column is None else None
        if self._tokenizer is not None and texts is not None:
            pages = [text or "" for text in texts.to_pylist()]
            return [len(found.ids) for found in self._tokenizer.encode_batch(pages, add_special_tokens=False)]
        if texts is not None:
            return [len((text or "").encode("utf-8", "surrogatepass")) for text in texts.to_pylist()]
        assert self._weight_column is not None
        found = numbers_in(batch, self._weight_column)
        bad = np.flatnonzero((found < 0) | (found > LARGEST_SIZE))
        if bad.size:
            document = batch.column(columns.ID)[int(bad[0])].as_py()
            raise DataError(
                f"{self.name}.of: the document {document} has {found[bad[0]]:g} as its {self._weight_column}, which "
                f"cannot be a size. Name a column of sizes as {self.name}.of, or remove such documents by a rule of a "
                "`filter` step before this one."
            )
        return np.nan_to_num(found).round().astype(np.int64).tolist()

    def decide(self, bucket: int, sketches: Sketches, context: StageContext) -> pa.Table:
        """One line per group: `group` (null: all documents, or those without a value of `by`) and `threshold`.

        Raises DataError when no document has a value.
        """
        names = [VALUE, *([WEIGHT] if self.config.of != DOCUMENTS else []), *([GROUP] if self.config.by else [])]
        table = sketches.table(names)
        values = self._sign * table[VALUE].to_numpy()
        measured = ~np.isnan(values)
        if not measured.any():
            what = "no documents reached the cut; the stages before it removed every one"
            unmeasured = f"none of {len(values):,} documents has a value of '{self.config.column}'"
            raise DataError(f"{self.name}: {unmeasured if len(values) else what}")
        weights = table[WEIGHT].to_numpy() if WEIGHT in names else None
        found: list[tuple[str | None, ShareThreshold]] = []
        for group, rows in _rows_by_group(table, measured):
            kept = None if weights is None else weights[rows]
            assert self.config.keep_fraction is not None
            found.append((group, find_threshold(values[rows], kept, self.config.keep_fraction)))
        details = self._details(found, len(values) - int(measured.sum()))
        decided = pa.table(
            {
                GROUP: pa.array([group for group, _ in found], pa.string()),
                "threshold": pa.array([self._sign * each.threshold for _, each in found], pa.float64()),
            }
        )
        return decided.replace_schema_metadata({"details": json.dumps(details)})

    def _details(self, found: list[tuple[str | None, ShareThreshold]], num_unmeasured: int) -> dict[str, Any]:
        """For the card: the thresholds as rules, and what they keep."""
        shown = sorted(found, key=lambda item: -item[1].num_documents)[:MOST_SHOWN_GROUPS]
        details: dict[str, Any] = {
            "rules": [self._rule(group, each).to_dict() for group, each in shown],
            "num_measured": sum(each.num_documents for _, each in found),
            "num_unmeasured": num_unmeasured,
            "num_kept": sum(each.num_kept for _, each in found),
            "num_tied_at_threshold": sum(each.num_tied for _, each in found),
        }
        if self.config.by is None:
            details["threshold"] = self._sign * found[0][1].threshold
        else:
            details["num_groups"] = len(found)
        if self.config.of != DOCUMENTS:
            details[f"{self.config.of}_measured"] = sum(each.weight for _, each in found)
            details[f"{self.config.of}_kept"] = sum(each.kept_weight for _, each in found)
        return details

    def _rule(self, group: str | None, found: ShareThreshold) -> Rule:
        return Rule(
            reason=self.config.removed_as,
            column=self.config.column,
            op="<" if self._sign > 0 else ">",
            threshold=self._sign * found.threshold,
            source=f"keep_fraction {self.config.keep_fraction:g} of {found.weight} {self.config.of}",
            among=None if self.config.by is None else (self.config.by, group),
        )

    def mark(self, batch: pa.RecordBatch, rows: pa.Array, decisions: pa.Table) -> pa.RecordBatch:
        found = dict(zip(decisions[GROUP].to_pylist(), decisions["threshold"].to_pylist(), strict=True))
        groups = [None] * batch.num_rows if self.config.by is None else _groups(batch, self.config.by)
        thresholds = np.array([found.get(group, np.nan) for group in groups], np.float64)
        values = numbers_in(batch, self.config.column)
        return _drop(batch, self.config, values, self._sign * values < self._sign * thresholds)

    def cost(self, corpus: Corpus) -> Cost:
        lines = corpus.num_documents
        return Cost(memory_bytes=BYTES_PER_DOCUMENT * lines, sketch_bytes=(12 if self.config.by else 9) * lines)


def _drawing(name: str, present: Mapping[str, pa.DataType]) -> tuple[Signal, ...]:
    """The histogram of the column that is cut by, where it is a column of numbers."""
    if stored_column(name) != name or kind_of(name, present, "cut.column") != "number":
        return ()
    return (MeasuredSignal(column=name, label=name.replace("_", " ")),)


def _groups(batch: pa.RecordBatch, by: str) -> list[str | None]:
    return [as_text(value) for value in values_in(batch, by).tolist()]


def _rows_by_group(table: pa.Table, measured: np.ndarray) -> list[tuple[str | None, np.ndarray]]:
    """(value of `by`, line numbers) of every group that has a document with a value, sorted by name."""
    if GROUP not in table.schema.names:
        return [(None, np.flatnonzero(measured))]
    encoded = table[GROUP].combine_chunks().dictionary_encode(null_encoding="encode")
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.combine_chunks()
    names = encoded.dictionary.to_pylist()
    codes = encoded.indices.to_numpy(zero_copy_only=False)
    order = np.argsort(codes, kind="stable")
    ends = np.searchsorted(codes[order], np.arange(len(names) + 1))
    groups = [(name, np.sort(order[ends[k] : ends[k + 1]])) for k, name in enumerate(names)]
    live = [(name, rows[measured[rows]]) for name, rows in groups]
    return sorted(((n, r) for n, r in live if len(r)), key=lambda item: (item[0] is not None, item[0] or ""))


def _drop(batch: pa.RecordBatch, config: CutConfig, values: np.ndarray, gone: np.ndarray) -> pa.RecordBatch:
    """`batch` with the drop reasons of documents that are `gone` (bool[rows]), or have no value."""
    reasons = np.array(batch.column(columns.DROP_REASON).to_pylist(), object)
    reasons[gone] = config.removed_as
    reasons[[value is None or value != value for value in values.tolist()]] = config.unmeasured_as
    place = batch.schema.get_field_index(columns.DROP_REASON)
    return batch.set_column(place, pa.field(columns.DROP_REASON, pa.string()), pa.array(reasons.tolist(), pa.string()))


def make_cut(config: CutConfig, signal: Signal | None = None, source: str = "set in the recipe") -> Stage:
    """The stage of one cut. `signal` describes the histogram of the column, where the caller knows its range or
    label."""
    return ShareCut(config, signal) if config.keep_fraction is not None else Cut(config, signal, source)


def build(settings: dict[str, Any] | None, recipe: Recipe) -> Sequence[Stage]:
    """The stage of a recipe's `cut` step. Raises ConfigError for wrong settings."""
    return [make_cut(CutConfig.parse(settings, "cut"))]
