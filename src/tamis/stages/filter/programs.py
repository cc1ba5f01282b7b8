"""Turns a rule table into kernel programs, one per phase, so that later phases do no work on rows that are removed."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from itertools import combinations

import numpy as np
import pyarrow as pa

from tamis.kernels.rules import lines, phrases, program
from tamis.kernels.rules.outcome import Outcome
from tamis.kernels.rules.program import Manners, Program
from tamis.kernels.text import decoding
from tamis.stages.filter.by_language import LanguageRules
from tamis.stages.filter.signals import LETTERS_PER_TOKEN, WORDS_REMOVED
from tamis.stages.filter.sources_arxiv import ARXIV_EDITS
from tamis.stages.filter.tables import Edit, Phase, PhraseList, Table

AFTER = "_after_edits"
"""Suffix of a signal that is measured a second time, on the edited text."""
DERIVED_FROM = {WORDS_REMOVED: "num_words", LETTERS_PER_TOKEN: "num_letters"}
"""Signals that the kernels do not measure themselves, and what they are computed from."""
_PLACES = {"anywhere": phrases.ANYWHERE, "prefix": phrases.PREFIX, "suffix": phrases.SUFFIX}
_GATE_BYTES = 256


def top_level_domains() -> list[str]:
    """IANA's top-level domains, without the dot, as DCLM lists them."""
    return files("tamis.stages.filter").joinpath("tlds.txt").read_text("utf-8").split()


def measured_columns(phase: Phase, lists: Sequence[PhraseList]) -> list[str]:
    """The signals that the phase measures for its checks, and those that are measured in the same step at no further
    cost, in order."""
    asked = [check.rule.column for check in phase.checks]
    names = [name for group in _groups(asked) for name in program.MEASURES[group]]
    for listed in lists:
        if set(listed.columns) & set(asked):
            names += listed.columns
    return names + [name for name in DERIVED_FROM if name in asked]


def _groups(columns: Sequence[str]) -> tuple[int, ...]:
    """The measuring steps that measure all of `columns` (those that the kernels measure), and the fewest further
    columns."""
    wanted = {DERIVED_FROM.get(column, column) for column in columns}
    needed = {name for names in program.MEASURES.values() for name in names} & wanted
    choices = (c for size in range(len(program.MEASURES) + 1) for c in combinations(program.MEASURES, size))
    enough = (c for c in choices if needed <= {name for group in c for name in program.MEASURES[group]})
    return min(enough, key=lambda choice: sum(len(program.MEASURES[group]) for group in choice))


@dataclass
class PhaseRun:
    """One phase, or a part of one, as a kernel program or as a Python edit of each text, and what its outcome means."""

    program: Program = field(default_factory=Program)
    plain: Edit | None = None
    edit_of_step: list[Edit] = field(default_factory=list)
    columns: list[str] = field(default_factory=list)
    derived: list[str] = field(default_factory=list)
    language: bool = False
    stop_lists: list[int] = field(default_factory=list)
    """Numbers of the lists of stop words in the program, by table of `LanguageRules`."""

    def manners(self, rules: LanguageRules | None, tables: np.ndarray) -> Manners | None:
        """How the program reads each page, by the number of its table; None where all are read as published."""
        if rules is None:
            return None
        lists = self.stop_lists or [-1] * len(rules.ways)
        return Manners(rules.ways[tables], np.array(lists, np.int32)[tables], rules.stop_kinds[tables])

    @property
    def removes_links(self) -> bool:
        return any(edit.kind == "remove_links" for edit in self.edit_of_step)

    def emptied(self, outcome: Outcome) -> dict[str, np.ndarray]:
        """Reason -> rows (bool[rows]) whose text that edit left empty."""
        reasons = [edit.emptied_reason for edit in self.edit_of_step]
        steps = {reason: [k for k, name in enumerate(reasons) if name == reason] for reason in dict.fromkeys(reasons)}
        return {reason: np.isin(outcome.emptied, numbers) for reason, numbers in steps.items()}

    def values(self, outcome: Outcome) -> dict[str, np.ndarray]:
        """The signals that the kernels measured in this phase, by column."""
        return {name: outcome.column(name) for name in self.columns}

    def complete(self, values: dict[str, np.ndarray], added: dict[str, pa.Array]) -> None:
        """Compute the share of words removed from `values` and what earlier phases measured, and write all values into
        `added`."""
        if WORDS_REMOVED in self.derived:
            before, after = added["num_words"].to_numpy(zero_copy_only=False), values["num_words" + AFTER]
            with np.errstate(divide="ignore", invalid="ignore"):
                values[WORDS_REMOVED] = np.where(before == 0, 1.0, (before - after) / before)
        added.update({name: pa.array(array) for name, array in values.items()})


class TablePrograms:
    """The kernel programs of a table. `paper` reproduces DCLM's code where it differs from its description;
    `banned_words` fills the phrase list of that name; `stop_words` are those of each table of `LanguageRules`."""

    def __init__(
        self,
        table: Table,
        *,
        paper: bool,
        banned_words: Sequence[str] = (),
        stop_words: Sequence[Sequence[str]] = (),
    ) -> None:
        self.paper = paper
        self.domains = top_level_domains()
        self._starts_with_domain = re.compile("|".join(map(re.escape, self.domains)), re.IGNORECASE)
        self._banned_words = tuple(banned_words)
        self._stop_words = stop_words
        self._lists = table.lists
        self.phases: list[PhaseRun] = []
        for phase in table.phases:
            self._add(phase)

    @property
    def columns(self) -> list[str]:
        """Signal columns in the order in which they are measured."""
        return [name for phase in self.phases for name in [*phase.columns, *phase.derived]]

    def _add(self, phase: Phase) -> None:
        run = PhaseRun()
        for edit in phase.edits:
            if edit.kind in ARXIV_EDITS:
                self.phases += [run] if run.program.steps else []
                self.phases.append(PhaseRun(plain=edit))
                run = PhaseRun()
                continue
            self._edit(run.program, edit)
            run.edit_of_step += [edit] * (len(run.program.steps) - len(run.edit_of_step))
        run.language = phase.language
        self._measure(run, phase)
        if run.program.steps or run.language:
            self.phases.append(run)

    def _measure(self, run: PhaseRun, phase: Phase) -> None:
        asked = {check.rule.column for check in phase.checks}
        for group in _groups(sorted(asked)):
            run.program.measure(group)
        for listed in self._lists:
            if set(listed.columns) & asked:
                entries = self._banned_words if listed.name == "banned_words" else listed.phrases
                kind = self._word_kind(listed.whole_words)
                run.program.measure_phrases(entries, kind, _PLACES[listed.place], *listed.columns)
        if "num_stop_words" in run.program.columns:
            run.stop_lists = [run.program.stop_words(words) for words in self._stop_words]
        before = set(self.columns)
        run.program.columns = [name + AFTER if name in before else name for name in run.program.columns]
        run.columns = run.program.columns
        run.derived = [name for name in DERIVED_FROM if name in asked]

    def _word_kind(self, whole_words: bool) -> int:
        if not whole_words:
            return phrases.SUBSTRINGS
        return phrases.BOUNDED if self.paper else phrases.WHOLE_WORDS

    def _edit(self, target: Program, edit: Edit) -> None:
        simple = {
            "remove_links": lambda: target.remove_links(self.domains, bare=self.paper),
            "remove_citations": target.remove_citations,
            "repeated_lines": target.drop_repeated_lines,
            "repeated_paragraphs": target.drop_repeated_paragraphs,
            "collapse_newlines": lambda: target.collapse_newlines(int(edit.strength)),
            "uppercase_lines": lambda: target.drop_lines(lines.UPPERCASE_LINES, 0, edit.strength).strip(),
            "numeric_lines": lambda: target.drop_lines(lines.NUMERIC_LINES, 0, edit.strength).strip(),
            "counter_lines": lambda: target.drop_lines(lines.COUNTER_LINES).strip(),
            "short_lines": lambda: target.drop_lines(lines.SHORT_LINES, edit.strength),
            "long_lines": lambda: target.drop_lines(lines.SHORT_LINES, 0, edit.strength),
            "long_word_lines": lambda: target.drop_lines(lines.LONG_WORD_LINES, 0, edit.strength),
            "unpunctuated_lines": lambda: target.drop_lines(lines.UNPUNCTUATED_LINES),
            "unfinished_lines": lambda: target.drop_lines(lines.UNFINISHED_LINES),
        }
        if edit.kind in simple:
            simple[edit.kind]()
        elif edit.kind == "remove_phrases":
            for phrase in edit.phrases:
                most = min(edit.max_words, np.iinfo(np.int32).max)
                target.remove_phrase(phrase, _PLACES[edit.place], int(most), "." if self.paper else "")
        else:
            banned = edit.kind == "banned_word_lines"
            entries = self._banned_words if banned else edit.phrases
            kind = self._word_kind(banned or edit.whole_words)
            target.drop_phrase_lines(entries, kind, _PLACES[edit.place], edit.max_words).strip()

    def link_gate(self, column: pa.Array, live: np.ndarray) -> np.ndarray:
        """The rows (bool[rows]) in which links by name are removed: all of them or, as in DCLM's code, only those whose
        text starts with the letters of a top-level domain, because its test for links is anchored at the start of the
        text."""
        if not self.paper:
            return np.ones(len(column), np.bool_)
        data, offsets = decoding.views(column)
        gate = np.zeros(len(column), np.bool_)
        for row in np.flatnonzero(live):
            start = offsets[row]
            head = data[start : min(start + _GATE_BYTES, offsets[row + 1])].tobytes().decode("utf-8", "replace")
            gate[row] = self._starts_with_domain.match(head) is not None
        return gate
