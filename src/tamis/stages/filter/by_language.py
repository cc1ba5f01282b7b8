"""Rules by language: which thresholds, stop words and ways of splitting a text hold for a page, by its language.

The published tables are for English. For other languages FineWeb2 (Penedo et al. 2025, arXiv 2506.20920) computed the
thresholds of the rules that depend on a language, and its stop words; `language_tables.json` has these figures for
1,929 languages and scripts (from its repository, Apache-2.0). The other rules apply to all pages alike. A language
without figures keeps those alone.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np

from tamis.base.signals import OPERATORS, Rule
from tamis.kernels.rules import phrases
from tamis.kernels.text.script_words import BY_BLANKS, BY_SCRIPT, BY_SCRIPT_WITHOUT_MARKS
from tamis.stages.filter.languages import Language, language_of
from tamis.stages.filter.published import RULES
from tamis.stages.filter.tables import Check

LANGUAGE_RULES = "language_rules"
"""Column: the table whose figures judged the page: PUBLISHED, NO_TABLE, or a key of the file such as `deu_Latn`."""
PUBLISHED, NO_TABLE = "published", "none"
ENGLISH = Language("eng")
STOP_WORDS, DISTINCT_STOP_WORDS = "num_stop_words", "num_distinct_stop_words"
SENTENCE_SETTINGS = ("min_sentences", "min_line_sentences")
"""Rules that mean nothing where sentences end without a mark."""
OPS = {"min_punctuated_line_fraction": "<"}
"""Rules that FineWeb2 compares otherwise than the published table does."""
MOST_SHOWN = 30
"""Number of languages whose rules are on the card, where all languages are kept: the largest ones in FineWeb2."""
_PARTS_OF_WORDS = ("Hani", "Hans", "Hant", "Jpan", "Hang", "Thai", "Laoo", "Khmr", "Mymr", "Tibt")
"""Scripts whose stop words are parts of what is written together, so that they count inside of words."""
_WITHOUT_MARKS = ("Thai", "Laoo")


@dataclass(frozen=True)
class LanguageTable:
    """The figures of one language: setting -> threshold."""

    key: str
    rank: int
    """Place among all languages by the size of FineWeb2's subset, the largest first."""
    figures: dict[str, float]
    stop_words: tuple[str, ...]
    way: int
    stop_kind: int


@cache
def _file() -> tuple[str, dict[Language, LanguageTable]]:
    """The source of the figures, and the tables: by language and script, and by language alone for its largest script,
    with the stop words of all its scripts, because a detector that names no script does not tell them apart."""
    read: dict[str, Any] = json.loads(files("tamis.stages.filter").joinpath("language_tables.json").read_text("utf-8"))
    tables: dict[Language, LanguageTable] = {}
    for rank, (key, row) in enumerate(read["languages"].items()):
        code, script = key.split("_")
        inside = script in _PARTS_OF_WORDS
        table = LanguageTable(
            key=key,
            rank=rank,
            figures=dict(zip(read["figures"], map(float, row[:-1]), strict=True)),
            stop_words=tuple(row[-1].split(" ")),
            way=BY_SCRIPT_WITHOUT_MARKS if script in _WITHOUT_MARKS else BY_SCRIPT,
            stop_kind=phrases.SUBSTRINGS if inside else phrases.SPELLED_WORDS,
        )
        tables[Language(code, script)] = table
        alone = tables.get(Language(code), table)
        words = tuple(dict.fromkeys((*alone.stop_words, *table.stop_words)))
        tables[Language(code)] = replace(alone, stop_words=words)
    return read["source"], tables


def table_of(label: str) -> LanguageTable | None:
    """The table of a detector's label; None for English, which has the published one, and where there is none."""
    language = language_of(label)
    tables = _file()[1]
    if language is None or language.code == ENGLISH.code:
        return None
    return tables.get(language) or tables.get(Language(language.code))


def is_english(label: str) -> bool:
    """Whether a label names English, for which the published tables are."""
    language = language_of(label)
    return language is not None and language.code == ENGLISH.code


class LanguageRules:
    """The tables of the languages that a recipe keeps, by the labels of its detector. Arrays that are indexed by table
    have the published table first, then what holds for a language without a table, then the languages' own."""

    def __init__(self, labels: Sequence[str], own: frozenset[str]) -> None:
        """`own`: settings whose thresholds the recipe gives itself, which hold for every language."""
        self._own = own
        self._index: dict[str, int] = {}
        self.without: list[str] = []
        """Labels of languages that have no table."""
        found = {label: table_of(label) for label in labels}
        tables = {table.key: table for table in found.values() if table is not None}
        self.tables = sorted(tables.values(), key=lambda table: table.rank)
        places = {table.key: place for place, table in enumerate(self.tables, start=2)}
        for label, wanted in found.items():
            if wanted is None and not is_english(label):
                self.without.append(label)
            self._index[label] = places[wanted.key] if wanted is not None else int(not is_english(label))
        ways = [BY_BLANKS, BY_SCRIPT_WITHOUT_MARKS, *(table.way for table in self.tables)]
        self.ways = np.array(ways, np.uint8)
        self.stop_kinds = np.array([0, 0, *(table.stop_kind for table in self.tables)], np.uint8)
        self.names = np.array([PUBLISHED, NO_TABLE, *(table.key for table in self.tables)], object)

    @property
    def stop_words(self) -> list[tuple[str, ...]]:
        """The stop words of each table; the published ones are part of their kernel."""
        return [(), (), *(table.stop_words for table in self.tables)]

    def table_numbers(self, labels: Sequence[str | None]) -> np.ndarray:
        """The table of each page (int64[pages]) by its label; a page without one has the published table."""
        return np.array([0 if label is None else self._index.get(label, 1) for label in labels], np.int64)

    def depends(self, check: Check) -> bool:
        """Whether the rule has other figures in other languages, or none."""
        if check.rule.column == STOP_WORDS and check.setting is not None:
            return True
        return check.setting in _file_figures() | set(SENTENCE_SETTINGS) and check.setting not in self._own

    def _thresholds(self, check: Check) -> np.ndarray:
        """float64[tables]: NaN where the language has no such rule."""
        assert check.setting is not None and isinstance(check.rule.threshold, int | float)
        published = float(check.rule.threshold)
        if check.setting in SENTENCE_SETTINGS:
            each = [np.nan if t.way == BY_SCRIPT_WITHOUT_MARKS else published for t in self.tables]
        else:
            each = [t.figures.get(check.setting, published) for t in self.tables]
        return np.array([published, np.nan, *each])

    def fires(self, check: Check, values: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        """Whether the rule removes each page (bool[pages]), by the table of its language."""
        fired = check.rule.fires(values)
        if not self.depends(check):
            return fired
        of_language = OPERATORS[self._op(check)](values, self._thresholds(check)[numbers])
        return np.where(numbers == 0, fired, of_language)

    def hide_unmeasured(self, values: dict[str, np.ndarray], numbers: np.ndarray) -> None:
        """Stop words of a language without a table were not counted: NaN."""
        for name in (STOP_WORDS, DISTINCT_STOP_WORDS):
            if name in values:
                values[name] = np.where(numbers == 1, np.nan, values[name])

    def _op(self, check: Check) -> str:
        return OPS.get(check.setting or "", check.rule.op)

    def shown(self, check: Check) -> list[Rule]:
        """The rule as the card has it: once, or for each table by itself."""
        if not self.depends(check):
            return [check.rule]
        rules = [replace(check.rule, among=(LANGUAGE_RULES, PUBLISHED))]
        limits = self._thresholds(check)[2:]
        for table, limit in list(zip(self.tables, limits.tolist(), strict=True))[:MOST_SHOWN]:
            if limit == limit:
                source = _file()[0] if check.setting in table.figures else check.rule.source
                among = (LANGUAGE_RULES, table.key)
                rules.append(replace(check.rule, op=self._op(check), threshold=limit, source=source, among=among))
        return rules


@cache
def _file_figures() -> set[str]:
    """The settings of which the file has figures."""
    table = next(iter(_file()[1].values()))
    assert set(table.figures) <= set(RULES)
    return set(table.figures)
