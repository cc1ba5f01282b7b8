"""The filter step: measure every document, edit its text, and remove it for the first rule of a table that it breaks.

One pass over the text per phase of the table: the edits that DCLM makes before asking for the language, then all
signals, then line edits, which removed rows are spared. A removed row keeps the text it came with, so that one can see
what removed it.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tamis.base import columns
from tamis.base.recipe import Recipe
from tamis.base.signals import Rule, Signal
from tamis.base.stage import Context, Map, Stage
from tamis.stages.filter import urls
from tamis.stages.filter.language import Detector, FastTextDetector, LangidDetector, detect_all
from tamis.stages.filter.plan import Plan
from tamis.stages.filter.settings import FilterConfig, check
from tamis.stages.filter.tables import RULES, SIGNALS, TABLES

NO_TEXT = "no_text"
WRONG_LANGUAGE = "wrong_language"
UNSURE_LANGUAGE = "unsure_language"
LANGUAGE = "language"
LANGUAGE_SCORE = "language_score"


class Filter(Map):
    """Signals, edits and rules of one table."""

    name = "filter"
    version = 1
    compiles = True
    reads = (columns.URL, columns.TEXT)
    config: FilterConfig

    def __init__(self, config: FilterConfig, mode: str = "fixed") -> None:
        super().__init__(config)
        check(config)
        self.mode = mode
        self.table = TABLES[config.rules]
        self.checks = [rule for phase in self.table.phases for rule in phase.checks]
        self.detects_language = bool(config.keep_languages) and any(phase.language for phase in self.table.phases)
        self.rules = tuple(self._rules())
        self.adds = pa.schema(self._added())
        self.signals = tuple(self._signals())

    def _rules(self) -> list[Rule]:
        language_rules = []
        if self.detects_language:
            model = "py3langid" if self.config.language_model is None else self.config.language_model.rsplit("/")[-1]
            source = (
                f"DCLM, Li et al. 2024, dclm_baseline_refinedweb.yaml; asked of {model} (DCLM asks fastText lid.176)"
            )
            kept, score = ",".join(self.config.keep_languages), self.config.min_language_score
            language_rules = [
                Rule(reason=WRONG_LANGUAGE, column=LANGUAGE, op="!=", threshold=kept, source=source),
                Rule(reason=UNSURE_LANGUAGE, column=LANGUAGE_SCORE, op="<=", threshold=score, source=source),
            ]
        skipped = set(self.config.skip_rules)
        return language_rules + [
            Rule(
                reason=RULES[rule.setting].reason,
                column=RULES[rule.setting].column,
                op=RULES[rule.setting].op,
                threshold=self.config.threshold(rule.setting, rule.threshold),
                source=rule.source,
            )
            for rule in self.checks
            if RULES[rule.setting].reason not in skipped
        ]

    def _added(self) -> list[tuple[str, pa.DataType]]:
        own: list[tuple[str, pa.DataType]] = []
        if self.detects_language:
            own = [(LANGUAGE, pa.string()), (LANGUAGE_SCORE, pa.float64())]
        return own + [(name, pa.float64()) for name in Plan.columns_of(self.table)]

    def _signals(self) -> list[Signal]:
        return [SIGNALS[name] for name in self.adds.names if name in SIGNALS]

    def identity(self) -> list[Any]:
        return [*super().identity(), self.mode]

    def assets(self) -> dict[str, str]:
        found = {}
        if self.config.language_model is not None:
            found["language_model"] = self.config.language_model
        if self.config.banned_domains is not None:
            found["banned_domains"] = self.config.banned_domains
        if self.config.banlists is not None:
            folder = self.config.banlists.rstrip("/")
            found |= {f"banlist_{name}": f"{folder}/{file}" for name, file in _WORD_LISTS.items()}
        return found

    def open(self, context: Context) -> None:
        lists = {name: _read(context.assets.get(f"banlist_{name}")) for name in _WORD_LISTS}
        paper = self.mode == "paper"
        self.banlists = urls.BanLists(**lists, domains=_read(context.assets.get("banned_domains")), paper=paper)
        self.detector: Detector | None = None
        if self.detects_language:
            model = context.assets.get("language_model")
            self.detector = LangidDetector() if model is None else FastTextDetector(model, glue_lines=paper)
        self.plan = Plan(self.table, paper=paper)

    def apply(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        reasons = np.full(batch.num_rows, None, object)
        text = batch.column(columns.TEXT)
        live = ~text.is_null().to_numpy(zero_copy_only=False)
        for row, url in enumerate(batch.column(columns.URL).to_pylist()):
            if live[row]:
                reasons[row] = self.banlists.reason(url or "")
        added: dict[str, pa.Array] = {}
        gate = self.plan.link_gate(text, live & _open(reasons))
        reasons[live & _open(reasons) & _is_empty(text)] = NO_TEXT
        for phase in self.plan.phases:
            outcome = phase.program.run(text, live & _open(reasons), gate)
            text = outcome.text()
            for reason, emptied in phase.emptied(outcome).items():
                reasons[emptied] = reason
            if phase.language and self.detector is not None:
                self._check_language(text, live, reasons, added)
            self._check(phase.values(outcome, added), reasons)
        return self._finish(batch, text, reasons, added)

    def _check(self, values: dict[str, np.ndarray], reasons: np.ndarray) -> None:
        """Write the reason of the first rule that fires, in the order of the table."""
        for rule in self.rules:
            if rule.column in values:
                reasons[_open(reasons) & rule.fires(values[rule.column])] = rule.reason

    def _check_language(
        self, text: pa.Array, live: np.ndarray, reasons: np.ndarray, added: dict[str, pa.Array]
    ) -> None:
        assert self.detector is not None
        wanted = live & _open(reasons)
        pages = text.filter(pa.array(wanted)).to_pylist()
        languages = np.full(len(text), None, object)
        scores = np.full(len(text), np.nan)
        found, scores[wanted] = detect_all(self.detector, pages)
        languages[wanted] = found
        kept = np.isin(languages.astype(str), self.config.keep_languages)
        reasons[wanted & ~kept] = WRONG_LANGUAGE
        reasons[wanted & kept & (scores <= self.config.min_language_score)] = UNSURE_LANGUAGE
        added[LANGUAGE] = pa.array(languages, pa.string())
        added[LANGUAGE_SCORE] = pa.array(scores, pa.float64())

    def _finish(
        self, batch: pa.RecordBatch, text: pa.Array, reasons: np.ndarray, added: dict[str, pa.Array]
    ) -> pa.RecordBatch:
        kept = pa.array(_open(reasons))
        arrays = {name: batch.column(name) for name in batch.schema.names}
        before = arrays[columns.TEXT]
        arrays[columns.TEXT] = pc.if_else(kept, text.cast(before.type), before)
        arrays[columns.DROP_REASON] = pa.array(reasons, pa.string())
        for field in self.adds:
            arrays[field.name] = added[field.name].cast(field.type)
        return pa.RecordBatch.from_pydict(arrays)


def _is_empty(text: pa.Array) -> np.ndarray:
    """Rows with a text of no bytes (bool[rows])."""
    return pc.equal(pc.binary_length(text), 0).fill_null(False).to_numpy(zero_copy_only=False)


_WORD_LISTS = {"strict": urls.STRICT, "hard": urls.HARD, "soft": urls.SOFT}


def _read(path: Path | None) -> list[str] | None:
    return None if path is None else urls.read_list(path)


def _open(reasons: np.ndarray) -> np.ndarray:
    """Rows that no rule has removed so far."""
    return np.array([reason is None for reason in reasons], np.bool_)


def build(settings: dict[str, Any] | None, recipe: Recipe) -> list[Stage]:
    """One Map. Raises ConfigError on an unknown table, rule or setting."""
    return [Filter(FilterConfig.parse(settings, "filter"), recipe.mode)]
