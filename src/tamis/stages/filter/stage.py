"""The filter step: measure every document, edit its text, and remove it for the first rule of a table that it breaks.

Each phase of the table is one pass over the text: first the edits that DCLM makes before it detects the language, then
all signals, then line edits, which are only made on rows that are still kept. A removed row keeps its original text, so
that users can see why it was removed.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tamis.base import columns
from tamis.base.lookup import check_kinds, kind_of, stored_column, values_in
from tamis.base.recipe import Recipe
from tamis.base.signals import MeasuredSignal, Rule
from tamis.base.stage import Asset, Map, Stage, StageContext
from tamis.base.tokenizer_file import open_tokenizer
from tamis.kernels.text.decoding import choose
from tamis.kernels.text.sentences import split_sentences
from tamis.stages.filter import records, urls
from tamis.stages.filter.by_language import LANGUAGE_RULES, LanguageRules, is_english
from tamis.stages.filter.detectors import PACKAGES, PY3LANGID, labels_kept, open_detector
from tamis.stages.filter.language import Detector, detect_all
from tamis.stages.filter.own import as_rule, effective_table, own_thresholds
from tamis.stages.filter.own_signals import own_signals
from tamis.stages.filter.pii import MaskPii
from tamis.stages.filter.programs import PhaseRun, TablePrograms
from tamis.stages.filter.resolved import resolved_settings
from tamis.stages.filter.settings import FilterConfig, check, kernel_columns
from tamis.stages.filter.signals import LETTERS_PER_TOKEN, SIGNALS, drawing
from tamis.stages.filter.sources_arxiv import ARXIV_EDITS
from tamis.stages.filter.tables import Check

NO_TEXT = "no_text"
WRONG_LANGUAGE = "wrong_language"
UNSURE_LANGUAGE = "unsure_language"
LANGUAGE = "language"
LANGUAGE_SCORE = "language_score"
SENTENCE_LANGUAGES = "sentence_languages"


class Filter(Map):
    """Signals, edits and rules of one table."""

    name = "filter"
    version = 5
    kernels = ("rules", "language")
    config: FilterConfig

    def __init__(self, config: FilterConfig, mode: str = "fixed") -> None:
        super().__init__(config)
        check(config)
        self.mode = mode
        self.reads = (columns.URL, columns.TEXT, *records.columns_read(config))
        self.detects_language = bool(config.languages)
        self.labels = labels_kept(config.languages, config.language_model)
        self.by_language = self._language_rules_of(self.labels)
        self.table = effective_table(config, by_language=self.by_language is not None)
        measured = self._measured_by_kernels()
        self.own_signals = own_signals(config.signals, [name for name, _ in measured])
        self.adds = pa.schema([*measured, *((own.column, own.type) for own in self.own_signals)])
        self._sort_rules()
        tested = {rule.column for rule in self.rules} - {LANGUAGE}
        names = [name for name, _ in measured if name in SIGNALS or name in tested]
        drawn = [own.drawing() for own in self.own_signals]
        self.signals = (*map(drawing, names), *(signal for signal in drawn if signal is not None))

    def _language_rules_of(self, labels: Sequence[str]) -> LanguageRules | None:
        """The rules by language; None where the published ones hold for every page that is kept."""
        published = self.mode == "paper" or not self.config.by_language or all(map(is_english, labels))
        if published and not (self.config.keeps_any and self.mode != "paper" and self.config.by_language):
            return None
        return LanguageRules(labels, own_thresholds(self.config))

    def _sort_rules(self) -> None:
        """The rules by the time at which they are tested: on columns of the input, on signals that a phase measures,
        and on the final text."""
        skipped = set(self.config.skip_rules)
        checks = [check for phase in self.table.phases for check in phase.checks]
        self.checks = tuple(check for check in checks if check.rule.reason not in skipped)
        shown = [[check.rule] if self.by_language is None else self.by_language.shown(check) for check in self.checks]
        kernel = kernel_columns(self.config)
        others = [as_rule(own) for own in self.config.own_rules if own.column not in kernel]
        self.last_rules = tuple(rule for rule in others if rule.column in self.adds.names)
        self.first_rules = tuple(rule for rule in others if rule.column not in self.adds.names)
        of_phases = (*self._language_rules(), *(rule for rules in shown for rule in rules))
        self.rules = (*self.first_rules, *of_phases, *self.last_rules)

    def _language_rules(self) -> list[Rule]:
        if not self.detects_language or self.config.keeps_any:
            return []
        model = PY3LANGID if self.config.language_model is None else self.config.language_model.rsplit("/")[-1]
        source = (
            f"DCLM, Li et al. 2024, dclm_baseline_refinedweb.yaml; detected by {model} (DCLM uses fastText lid.176)"
        )
        kept, score = tuple(self.labels), self.config.min_language_score
        return [
            Rule(reason=WRONG_LANGUAGE, column=LANGUAGE, op="not_in", threshold=kept, source=source),
            Rule(reason=UNSURE_LANGUAGE, column=LANGUAGE_SCORE, op="<=", threshold=score, source=source),
        ]

    def _measured_by_kernels(self) -> list[tuple[str, pa.DataType]]:
        """The columns that the filter writes, except for the recipe's own signals."""
        own = [(LANGUAGE, pa.string()), (LANGUAGE_SCORE, pa.float64())] if self.detects_language else []
        if self.config.sentence_languages:
            own.append((SENTENCE_LANGUAGES, pa.string()))
        if self.by_language is not None:
            own.append((LANGUAGE_RULES, pa.string()))
        return own + [(name, pa.float64()) for name in TablePrograms(self.table, paper=self.mode == "paper").columns]

    def check_columns(self, present: Mapping[str, pa.DataType]) -> None:
        """Also completes `signals`: a column of numbers of the input gets a histogram where a rule tests it."""
        super().check_columns(present)
        after = {**present, **{field.name: field.type for field in self.adds}}
        after |= {name: pa.float64() for name in kernel_columns(self.config)}
        for number, own in enumerate(self.config.own_rules):
            check_kinds(own.column, own.op, own.threshold, after, f"filter.own_rules.{number}")
        tested = dict.fromkeys(rule.column for rule in self.first_rules)
        drawn = {signal.column for signal in self.signals}
        self.signals += tuple(
            MeasuredSignal(column=name, label=name.replace("_", " "))
            for name in tested
            if name not in drawn and stored_column(name) == name and kind_of(name, present, self.name) == "number"
        )

    def plan_notes(self) -> list[str]:
        if self.by_language is None:
            return []
        depending = [check.rule.reason for check in self.checks if self.by_language.depends(check)]
        without = self.by_language.without
        if not depending or not without:
            return []
        return [
            f"no thresholds and stop words are known for {', '.join(without)}: for these languages the rules that "
            f"depend on a language are skipped ({', '.join(dict.fromkeys(depending))}); the others hold"
        ]

    def resolved_settings(self) -> dict[str, Any]:
        return resolved_settings(self.config, self.table, [own.plugin for own in self.own_signals])

    def chosen_reasons(self) -> set[str]:
        return super().chosen_reasons() | {*urls.REASONS, *(rule.reason for rule in self.config.url_rules)}

    def identity(self) -> list[Any]:
        settings = {k: v for k, v in self.settings_without_paths().items() if k not in ("mask_pii", "signals")}
        return [self.name, self.version, settings, [own.plugin.identity() for own in self.own_signals], self.mode]

    def assets(self) -> dict[str, str]:
        named = ("language_model", "banned_domains", "banned_words", "tokenizer")
        found = {name: path for name in named if (path := getattr(self.config, name)) not in (None, *PACKAGES)}
        if self.config.banlists is not None:
            folder = self.config.banlists.rstrip("/")
            found |= {f"banlist_{name}": f"{folder}/{file}" for name, file in _WORD_LISTS.items()}
        return found

    def open(self, context: StageContext) -> None:
        self._seed = context.seed
        paper = self.mode == "paper"
        self.banlists = urls.BanLists(
            **{name: _read(context.assets.get(f"banlist_{name}"), "banlists") for name in _WORD_LISTS},
            domains=urls.read_hosts(context.assets.get("banned_domains")),
            reserved=urls.reserved_hosts() if self.config.reserved_hosts else None,
            tests=[urls.UrlTest(**rule.model_dump()) for rule in self.config.url_rules],
            paper=paper,
        )
        self.detector: Detector | None = None
        if self.detects_language:
            asset = context.assets.get("language_model")
            self.detector = open_detector(self.config.language_model, asset, paper=paper)
            self.labels = labels_kept(self.config.languages, self.config.language_model, self.detector.labels)
            self.by_language = self._language_rules_of(self.labels) if self.by_language is not None else None
        self.tokenizer: Any = None
        if "tokenizer" in context.assets:
            self.tokenizer = open_tokenizer(context.assets["tokenizer"], "filter.tokenizer")
        banned = _read(context.assets.get("banned_words"), "banned_words") or []
        own = [word.lower() for word in self.config.own_banned_words]
        stop_words = [()] if self.by_language is None else self.by_language.stop_words
        self.programs = TablePrograms(self.table, paper=paper, banned_words=[*banned, *own], stop_words=stop_words)

    def apply(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        reasons = np.full(batch.num_rows, None, object)
        text = records.assemble(batch, self.config, self._seed)
        live = ~text.is_null().to_numpy(zero_copy_only=False)
        records.remove(batch, self.config, self._seed, reasons)
        if not self.banlists.empty:
            addresses = batch.column(columns.URL).to_pylist()
            for row in np.flatnonzero(live & _open(reasons)):
                reasons[row] = self.banlists.reason(addresses[row] or "")
        for rule in self.first_rules:
            reasons[live & _open(reasons) & rule.fires(values_in(batch, rule.column))] = rule.reason
        added: dict[str, pa.Array] = {}
        reasons[live & _open(reasons) & _is_empty(text)] = NO_TEXT
        tables = np.zeros(batch.num_rows, np.int64)
        for phase in self.programs.phases:
            text = self._phase(phase, text, live, reasons, tables, added)
        errors = self._measure_own(text, live, reasons, added)
        return self._finish(batch, text, reasons, errors, added)

    def _measure_own(self, text: pa.Array, live: np.ndarray, reasons: np.ndarray, added: dict[str, pa.Array]) -> Any:
        """Errors of the recipe's own signals by row (object[rows]); signals and reasons are written into `added` and
        `reasons`."""
        errors = np.full(len(text), None, object)
        if not self.own_signals and not self.last_rules:
            return errors
        texts = text.to_pylist() if self.own_signals else []
        rows = live & _open(reasons)
        for own in self.own_signals:
            added[own.column] = own.measure(texts, rows, errors)
        measured = pa.RecordBatch.from_pydict({rule.column: added[rule.column] for rule in self.last_rules})
        for rule in self.last_rules:
            reasons[rows & _open(reasons) & rule.fires(values_in(measured, rule.column))] = rule.reason
        return errors

    def _phase(
        self,
        phase: PhaseRun,
        text: pa.Array,
        live: np.ndarray,
        reasons: np.ndarray,
        tables: np.ndarray,
        added: dict[str, pa.Array],
    ) -> pa.Array:
        """The text after one phase. Reasons, signals and the number of each page's table (`LanguageRules`) are written
        into `reasons`, `added` and `tables`."""
        if phase.plain is not None:
            text = self._edit_each(phase, text, live & _open(reasons))
            reasons[live & _open(reasons) & _is_empty(text)] = phase.plain.emptied_reason
            return text
        rows = live & _open(reasons)
        gate = self.programs.link_gate(text, rows) if phase.removes_links else None
        outcome = phase.program.run(text, rows, gate, phase.manners(self.by_language, tables))
        text = outcome.text()
        for reason, emptied in phase.emptied(outcome).items():
            reasons[emptied] = reason
        if phase.language and self.detector is not None:
            self._check_language(text, live, reasons, tables, added)
        values = phase.values(outcome)
        if self.by_language is not None:
            self.by_language.hide_unmeasured(values, tables)
        phase.complete(values, added)
        if LETTERS_PER_TOKEN in phase.derived:
            values[LETTERS_PER_TOKEN] = self._letters_per_token(text, values, live & _open(reasons))
            added[LETTERS_PER_TOKEN] = pa.array(values[LETTERS_PER_TOKEN])
        for test in self.checks:
            if test.rule.column in values:
                reasons[_open(reasons) & self._fires(test, values[test.rule.column], tables)] = test.rule.reason
        return text

    def _fires(self, check: Check, values: np.ndarray, tables: np.ndarray) -> np.ndarray:
        """Whether the rule removes each page (bool[rows])."""
        if self.by_language is None:
            return check.rule.fires(values)
        return self.by_language.fires(check, values, tables)

    def _edit_each(self, phase: PhaseRun, text: pa.Array, rows: np.ndarray) -> pa.Array:
        assert phase.plain is not None
        edit = ARXIV_EDITS[phase.plain.kind]
        texts = text.to_pylist()
        for row in np.flatnonzero(rows):
            texts[row] = edit(texts[row], self.mode == "paper")
        return pa.array(texts, text.type)

    def _letters_per_token(self, text: pa.Array, values: dict[str, np.ndarray], rows: np.ndarray) -> np.ndarray:
        """Letters of a document per token of the configured tokenizer (float64); NaN where a row is not measured."""
        out = np.full(len(text), np.nan)
        pages = text.filter(pa.array(rows)).to_pylist()
        counts = np.array([len(found.ids) for found in self.tokenizer.encode_batch(pages, add_special_tokens=False)])
        letters = next(array for name, array in values.items() if name.startswith("num_letters"))
        with np.errstate(divide="ignore", invalid="ignore"):
            out[rows] = letters[rows] / counts
        return out

    def _check_language(
        self,
        text: pa.Array,
        live: np.ndarray,
        reasons: np.ndarray,
        tables: np.ndarray,
        added: dict[str, pa.Array],
    ) -> None:
        assert self.detector is not None
        wanted = live & _open(reasons)
        pages = text.filter(pa.array(wanted)).to_pylist()
        languages = np.full(len(text), None, object)
        scores = np.full(len(text), np.nan)
        found, scores[wanted] = detect_all(self.detector, pages)
        languages[wanted] = found
        if not self.config.keeps_any:
            kept = np.isin(languages.astype(str), self.labels)
            reasons[wanted & ~kept] = WRONG_LANGUAGE
            reasons[wanted & kept & (scores <= self.config.min_language_score)] = UNSURE_LANGUAGE
        if self.by_language is not None:
            tables[:] = self.by_language.table_numbers(languages.tolist())
            names = np.where(wanted & _open(reasons), self.by_language.names[tables], None)
            added[LANGUAGE_RULES] = pa.array(names, pa.string())
        if self.config.sentence_languages:
            each = np.full(len(text), None, object)
            each[wanted] = [by_sentence(self.detector, page) for page in pages]
            added[SENTENCE_LANGUAGES] = pa.array(each, pa.string())
        added[LANGUAGE] = pa.array(languages, pa.string())
        added[LANGUAGE_SCORE] = pa.array(scores, pa.float64())

    def _finish(
        self, batch: pa.RecordBatch, text: pa.Array, reasons: np.ndarray, errors: np.ndarray, added: dict[str, pa.Array]
    ) -> pa.RecordBatch:
        arrays = {name: batch.column(name) for name in batch.schema.names}
        before = arrays[columns.TEXT]
        arrays[columns.TEXT] = choose(_open(reasons), text, before).cast(before.type)
        arrays[columns.DROP_REASON] = pa.array(reasons, pa.string())
        if not _open(errors).all():
            arrays[columns.ERROR] = pa.array(
                np.where(_open(errors), arrays[columns.ERROR].to_pylist(), errors), pa.string()
            )
        for field in self.adds:
            arrays[field.name] = added[field.name].cast(field.type)
        return pa.RecordBatch.from_pydict(arrays)


def by_sentence(detector: Detector, page: str) -> str:
    """JSON object: language -> `average_probability` and `number_of_sentences`, of the sentences of a page."""
    scores: dict[str, list[float]] = {}
    for language, score in map(detector.detect, split_sentences(page)):
        if language:
            scores.setdefault(language, []).append(score)
    found = {
        language: {"average_probability": sum(each) / len(each), "number_of_sentences": len(each)}
        for language, each in scores.items()
    }
    return json.dumps(found)


def _is_empty(text: pa.Array) -> np.ndarray:
    """The rows (bool[rows]) whose text is empty."""
    return pc.equal(pc.binary_length(text), 0).fill_null(False).to_numpy(zero_copy_only=False)


_WORD_LISTS = {"strict": urls.STRICT, "hard": urls.HARD, "soft": urls.SOFT}


def _read(file: Asset | None, setting: str) -> list[str] | None:
    return None if file is None else urls.read_list(file, setting)


def _open(reasons: np.ndarray) -> np.ndarray:
    """The rows (bool[rows]) that no rule has removed so far."""
    nothing: Any = None
    return np.equal(reasons, nothing).astype(np.bool_)


def build(settings: dict[str, Any] | None, recipe: Recipe) -> Sequence[Stage]:
    """The stages of a recipe's `filter` step: one Map, and a second one where personal data are masked. Raises
    ConfigError for an unknown table, rule or setting."""
    config = FilterConfig.parse(settings, "filter")
    stages: list[Stage] = [Filter(config, recipe.mode)]
    return [*stages, MaskPii(config)] if config.mask_pii else stages
