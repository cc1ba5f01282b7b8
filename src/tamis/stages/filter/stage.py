"""The filter step: measure every document, edit its text, and remove it for the first rule of a table that it breaks.

One pass over the text per phase of the table: the edits that DCLM makes before asking for the language, then all
signals, then line edits, which removed rows are spared. A removed row keeps the text it came with, so that one can see
what removed it.
"""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tamis.base import columns
from tamis.base.recipe import Recipe
from tamis.base.signals import Rule, Signal
from tamis.base.stage import Asset, Context, Map, Stage
from tamis.kernels.sentences import split_sentences
from tamis.kernels.text import choose
from tamis.stages.filter import records, urls
from tamis.stages.filter.detectors import LANGDETECT, open_detector
from tamis.stages.filter.language import Detector, detect_all
from tamis.stages.filter.own import effective_table
from tamis.stages.filter.pii import MaskPii
from tamis.stages.filter.plan import PhaseRun, Plan
from tamis.stages.filter.settings import FilterConfig, check
from tamis.stages.filter.signals import LETTERS_PER_TOKEN, SIGNALS
from tamis.stages.filter.sources_arxiv import ARXIV_EDITS

NO_TEXT = "no_text"
WRONG_LANGUAGE = "wrong_language"
UNSURE_LANGUAGE = "unsure_language"
LANGUAGE = "language"
LANGUAGE_SCORE = "language_score"
SENTENCE_LANGUAGES = "sentence_languages"


class Filter(Map):
    """Signals, edits and rules of one table."""

    name = "filter"
    version = 3
    kernels = ("rules", "language")
    config: FilterConfig

    def __init__(self, config: FilterConfig, mode: str = "fixed") -> None:
        super().__init__(config)
        check(config)
        self.mode = mode
        self.reads = (columns.URL, columns.TEXT, *records.columns_read(config))
        self.table = effective_table(config)
        self.detects_language = bool(config.keep_languages)
        self.rules = tuple(self._rules())
        self.adds = pa.schema(self._added())
        self.signals = tuple(SIGNALS.get(name) or _own_signal(name) for name in self._drawn())

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
        checks = [check.rule for phase in self.table.phases for check in phase.checks]
        return language_rules + [rule for rule in checks if rule.reason not in skipped]

    def _added(self) -> list[tuple[str, pa.DataType]]:
        own = [(LANGUAGE, pa.string()), (LANGUAGE_SCORE, pa.float64())] if self.detects_language else []
        if self.config.sentence_languages:
            own.append((SENTENCE_LANGUAGES, pa.string()))
        measured = Plan(self.table, paper=self.mode == "paper").columns
        return own + [(name, pa.float64()) for name in measured]

    def _drawn(self) -> list[str]:
        """Signals worth a histogram: those known, and whatever a rule tests."""
        tested = {rule.column for rule in self.rules} - {LANGUAGE}
        return [name for name in self.adds.names if name in SIGNALS or name in tested]

    def identity(self) -> list[Any]:
        return [self.name, self.version, self.config.model_dump(mode="json", exclude={"mask_pii"}), self.mode]

    def assets(self) -> dict[str, str]:
        named = ("language_model", "banned_domains", "banned_words", "tokenizer")
        found = {name: path for name in named if (path := getattr(self.config, name)) not in (None, LANGDETECT)}
        if self.config.banlists is not None:
            folder = self.config.banlists.rstrip("/")
            found |= {f"banlist_{name}": f"{folder}/{file}" for name, file in _WORD_LISTS.items()}
        return found

    def open(self, context: Context) -> None:
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
        self.tokenizer: Any = None
        if "tokenizer" in context.assets:
            from tokenizers import Tokenizer

            self.tokenizer = Tokenizer.from_str(context.assets["tokenizer"].read_text())
        banned = _read(context.assets.get("banned_words"), "banned_words") or []
        own = [word.lower() for word in self.config.own_banned_words]
        self.plan = Plan(self.table, paper=paper, banned_words=[*banned, *own])

    def apply(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        reasons = np.full(batch.num_rows, None, object)
        text = records.assemble(batch, self.config, self._seed)
        live = ~text.is_null().to_numpy(zero_copy_only=False)
        records.remove(batch, self.config, self._seed, reasons)
        if not self.banlists.empty:
            addresses = batch.column(columns.URL).to_pylist()
            for row in np.flatnonzero(live & _open(reasons)):
                reasons[row] = self.banlists.reason(addresses[row] or "")
        added: dict[str, pa.Array] = {}
        reasons[live & _open(reasons) & _is_empty(text)] = NO_TEXT
        for phase in self.plan.phases:
            text = self._phase(phase, text, live, reasons, added)
        return self._finish(batch, text, reasons, added)

    def _phase(
        self,
        phase: PhaseRun,
        text: pa.Array,
        live: np.ndarray,
        reasons: np.ndarray,
        added: dict[str, pa.Array],
    ) -> pa.Array:
        """The text after one phase; reasons and signals are written into `reasons` and `added`."""
        if phase.plain is not None:
            text = self._edit_each(phase, text, live & _open(reasons))
            reasons[live & _open(reasons) & _is_empty(text)] = phase.plain.emptied_reason
            return text
        rows = live & _open(reasons)
        gate = self.plan.link_gate(text, rows) if phase.removes_links else None
        outcome = phase.program.run(text, rows, gate)
        text = outcome.text()
        for reason, emptied in phase.emptied(outcome).items():
            reasons[emptied] = reason
        if phase.language and self.detector is not None:
            self._check_language(text, live, reasons, added)
        values = phase.values(outcome, added)
        if LETTERS_PER_TOKEN in phase.derived:
            values[LETTERS_PER_TOKEN] = self._letters_per_token(text, values, live & _open(reasons))
            added[LETTERS_PER_TOKEN] = pa.array(values[LETTERS_PER_TOKEN])
        for rule in self.rules:
            if rule.column in values:
                reasons[_open(reasons) & rule.fires(values[rule.column])] = rule.reason
        return text

    def _edit_each(self, phase: PhaseRun, text: pa.Array, rows: np.ndarray) -> pa.Array:
        assert phase.plain is not None
        edit = ARXIV_EDITS[phase.plain.kind]
        texts = text.to_pylist()
        for row in np.flatnonzero(rows):
            texts[row] = edit(texts[row], self.mode == "paper")
        return pa.array(texts, text.type)

    def _letters_per_token(self, text: pa.Array, values: dict[str, np.ndarray], rows: np.ndarray) -> np.ndarray:
        """Letters of a document per token of the tokenizer given; NaN where a row is not measured."""
        out = np.full(len(text), np.nan)
        pages = text.filter(pa.array(rows)).to_pylist()
        counts = np.array([len(found.ids) for found in self.tokenizer.encode_batch(pages, add_special_tokens=False)])
        letters = next(array for name, array in values.items() if name.startswith("num_letters"))
        with np.errstate(divide="ignore", invalid="ignore"):
            out[rows] = letters[rows] / counts
        return out

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
        if self.config.sentence_languages:
            each = np.full(len(text), None, object)
            each[wanted] = [by_sentence(self.detector, page) for page in pages]
            added[SENTENCE_LANGUAGES] = pa.array(each, pa.string())
        added[LANGUAGE] = pa.array(languages, pa.string())
        added[LANGUAGE_SCORE] = pa.array(scores, pa.float64())

    def _finish(
        self, batch: pa.RecordBatch, text: pa.Array, reasons: np.ndarray, added: dict[str, pa.Array]
    ) -> pa.RecordBatch:
        arrays = {name: batch.column(name) for name in batch.schema.names}
        before = arrays[columns.TEXT]
        arrays[columns.TEXT] = choose(_open(reasons), text, before).cast(before.type)
        arrays[columns.DROP_REASON] = pa.array(reasons, pa.string())
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


def _own_signal(name: str) -> Signal:
    """How to draw a signal that only a recipe's own rule tests."""
    return Signal(column=name, label=name.replace("_", " "), low=0, high=1 if name.endswith("_fraction") else 100)


def _is_empty(text: pa.Array) -> np.ndarray:
    """Rows with a text of no bytes (bool[rows])."""
    return pc.equal(pc.binary_length(text), 0).fill_null(False).to_numpy(zero_copy_only=False)


_WORD_LISTS = {"strict": urls.STRICT, "hard": urls.HARD, "soft": urls.SOFT}


def _read(file: Asset | None, setting: str) -> list[str] | None:
    return None if file is None else urls.read_list(file, setting)


def _open(reasons: np.ndarray) -> np.ndarray:
    """Rows that no rule has removed so far."""
    nothing: Any = None
    return np.equal(reasons, nothing).astype(np.bool_)


def build(settings: dict[str, Any] | None, recipe: Recipe) -> Sequence[Stage]:
    """One Map, and a second one where personal data are to be masked. Raises ConfigError on an unknown table, rule or
    setting."""
    config = FilterConfig.parse(settings, "filter")
    stages: list[Stage] = [Filter(config, recipe.mode)]
    return [*stages, MaskPii(config)] if config.mask_pii else stages
