"""A rule table turned into kernel programs, one per phase, so that rows that a phase removes cost the next nothing."""

import re
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path

import numpy as np
import pyarrow as pa

from tamis.kernels import lines, program, text
from tamis.kernels.program import Outcome, Program
from tamis.stages.filter.tables import RULES, EditKind, Phase, Table

AFTER = "_after_edits"
"""Suffix of a signal that is measured a second time, on the edited text."""
REMOVED = "words_removed_fraction"
MAX_UPPERCASE = 0.5
MAX_DIGITS = 0.999999
MIN_LINE_WORDS = 2
PHRASE_MAX_WORDS = 10
_GATE_BYTES = 256


def top_level_domains() -> list[str]:
    """IANA's top-level domains, without the dot, as DCLM lists them."""
    return Path(__file__).with_name("tlds.txt").read_text("utf-8").split()


@dataclass
class PhaseRun:
    """One phase as a program, and what its outcome means."""

    program: Program = field(default_factory=Program)
    edit_of_step: list[EditKind] = field(default_factory=list)
    columns: list[str] = field(default_factory=list)
    removed: bool = False
    language: bool = False

    def emptied(self, outcome: Outcome) -> dict[str, np.ndarray]:
        """Reason -> rows (bool[rows]) whose text that edit left empty."""
        edits = dict.fromkeys(self.edit_of_step)
        steps = {edit: [k for k, name in enumerate(self.edit_of_step) if name == edit] for edit in edits}
        return {emptied_reason(edit): np.isin(outcome.emptied, steps[edit]) for edit in edits}

    def values(self, outcome: Outcome, added: dict[str, pa.Array]) -> dict[str, np.ndarray]:
        """Signals that this phase measured, by column; they are put into `added` too."""
        values = {name: outcome.column(name) for name in self.columns}
        if self.removed:
            before, after = added["num_words"].to_numpy(zero_copy_only=False), outcome.column("num_words" + AFTER)
            with np.errstate(divide="ignore", invalid="ignore"):
                values[REMOVED] = np.where(before == 0, 1.0, (before - after) / before)
        added.update({name: pa.array(array) for name, array in values.items()})
        return values


def emptied_reason(edit: EditKind) -> str:
    """Reason of a document of which an edit left nothing."""
    return f"empty_after_{edit}"


class Plan:
    """The programs of a table. `paper` keeps what DCLM's code does where it differs from its description."""

    def __init__(self, table: Table, *, paper: bool) -> None:
        self.paper = paper
        self.domains = top_level_domains()
        self._starts_with_domain = re.compile("|".join(map(re.escape, self.domains)), re.IGNORECASE)
        self.phases: list[PhaseRun] = []
        for phase in table.phases:
            self.phases.append(self._phase(phase))

    @staticmethod
    def columns_of(table: Table) -> list[str]:
        """Signal columns that the table's checks need, with all that are measured beside them, in order."""
        names: list[str] = []
        for phase in table.phases:
            for group in _groups(phase):
                suffix = AFTER if program.MEASURES[group][0] in names else ""
                names += [name + suffix for name in program.MEASURES[group]]
            if any(RULES[rule.setting].column == REMOVED for rule in phase.checks):
                names.append(REMOVED)
        return names

    def _phase(self, phase: Phase) -> PhaseRun:
        run = PhaseRun(language=phase.language)
        for edit in phase.edits:
            self._edit(run.program, edit)
            run.edit_of_step += [edit] * (len(run.program.steps) - len(run.edit_of_step))
        run.removed = any(RULES[rule.setting].column == REMOVED for rule in phase.checks)
        measured = [name for other in self.phases for name in other.columns]
        for group in _groups(phase):
            run.program.measure(group, AFTER if program.MEASURES[group][0] in measured else "")
        run.columns = run.program.columns
        return run

    def _edit(self, target: Program, edit: EditKind) -> None:
        if edit == "remove_links":
            target.remove_links(self.domains, bare=self.paper)
        elif edit == "collapse_newlines":
            target.collapse_newlines(2)
        elif edit == "uppercase_lines":
            target.drop_lines(lines.UPPERCASE_LINES, 0, MAX_UPPERCASE).strip()
        elif edit == "numeric_lines":
            target.drop_lines(lines.NUMERIC_LINES, 0, MAX_DIGITS).strip()
        elif edit == "counter_lines":
            target.drop_lines(lines.COUNTER_LINES).strip()
        elif edit == "short_lines":
            target.drop_lines(lines.SHORT_LINES, MIN_LINE_WORDS)
        elif edit == "items_in_cart":
            target.remove_phrase("items in cart", lines.ANYWHERE, PHRASE_MAX_WORDS)
        elif edit == "read_more":
            target.remove_phrase("read more...", lines.SUFFIX, PHRASE_MAX_WORDS, "." if self.paper else "")
        else:
            target.remove_phrase("sign-in", lines.PREFIX, PHRASE_MAX_WORDS)

    def link_gate(self, column: pa.Array, live: np.ndarray) -> np.ndarray:
        """Rows whose links by name are removed (bool[rows]): all, or as DCLM's code has it those whose text starts with
        the letters of a top-level domain, because its test whether a text has any is anchored at the start."""
        if not self.paper:
            return np.ones(len(column), np.bool_)
        data, offsets = text.views(column)
        gate = np.zeros(len(column), np.bool_)
        for row in np.flatnonzero(live):
            start = offsets[row]
            head = data[start : min(start + _GATE_BYTES, offsets[row + 1])].tobytes().decode("utf-8", "replace")
            gate[row] = self._starts_with_domain.match(head) is not None
        return gate


def _groups(phase: Phase) -> tuple[int, ...]:
    """The measuring steps with the fewest columns that give all signals the phase's checks need."""
    columns = {RULES[rule.setting].column for rule in phase.checks}
    needed = {"num_words" if column == REMOVED else column for column in columns}
    choices = (c for size in range(len(program.MEASURES) + 1) for c in combinations(program.MEASURES, size))
    enough = (c for c in choices if needed <= {name for group in c for name in program.MEASURES[group]})
    return min(enough, key=lambda choice: sum(len(program.MEASURES[group]) for group in choice))
