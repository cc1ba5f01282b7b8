"""A chain of edits and measurements, run over a whole Arrow column in one call.

A `Program` is a list of steps; `run` decodes each document once, applies the steps in order and returns the measured
columns and the edited texts. Rule tables are programs plus thresholds: new ones need no new kernel.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import pyarrow as pa

from tamis.kernels.jit import kernel
from tamis.kernels.rules import casing, counts, edits, line_ends, lines, links, phrases, repetition
from tamis.kernels.rules.outcome import NOT_EMPTIED, Outcome
from tamis.kernels.text import bits, decoding, sentences, unicode_tables
from tamis.kernels.text.script_words import BY_BLANKS, count_script_words

(
    # Operations. Their order matters: DROP_LINES to STRIP work on the list of lines, CHARACTERS and those after it
    # measure.
    NAMED_LINKS, NUMBERED_LINKS, COLLAPSE_NEWLINES, REMOVE_CITATIONS, DROP_REPEATED, DROP_LINES, REMOVE_PHRASE,
    DROP_PHRASE_LINES, STRIP, CHARACTERS, WORDS, TOKENS, LINES, REPETITION, LINE_ENDS, SENTENCES, PHRASES,
) = range(17)  # fmt: skip

MEASURES: dict[int, tuple[str, ...]] = {
    CHARACTERS: counts.CHARACTER_SIGNALS,
    WORDS: counts.WORD_SIGNALS + counts.TOKEN_SIGNALS,
    TOKENS: counts.TOKEN_SIGNALS,
    LINES: counts.LINE_SIGNALS,
    REPETITION: (*repetition.SIGNALS, "num_unicode_words"),
    LINE_ENDS: line_ends.SIGNALS,
    SENTENCES: sentences.SIGNALS,
}
"""Columns that each measuring step writes, in order; PHRASES writes two that its caller names."""

Scratch = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]
"""One document at work: code points, properties, and starts, ends and counts of its lines (or of its words)."""
EditData = tuple[
    np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray, tuple[np.ndarray, ...], tuple[np.ndarray, ...]
]
"""Single phrases and their offsets; top-level domains, their offsets and index; the tables of `unicode_tables.load`;
phrase lists (`phrases.PhraseData`)."""
Manner = tuple[int, int, int]
"""How one document is read: its way of splitting words (`script_words`), its list of stop words (-1: none) and what
counts as a match of it (`phrases`)."""


@dataclass(frozen=True)
class Manners:
    """The `Manner` of every row: uint8[rows], int32[rows], uint8[rows]."""

    ways: np.ndarray
    stop_lists: np.ndarray
    stop_kinds: np.ndarray


@dataclass
class Program:
    """Steps in order; build it with the methods, each of which returns the program."""

    # A step is an operation and up to four numbers, whose meaning depends on the operation.
    steps: list[tuple[float, float, float, float, float]] = field(default_factory=list)
    columns: list[str] = field(default_factory=list)
    phrases: list[np.ndarray] = field(default_factory=list)
    phrase_lists: list[tuple[str, ...]] = field(default_factory=list)
    domains: list[str] = field(default_factory=list)

    def _add(
        self, operation: int, first: float = 0, second: float = 0, third: float = 0, fourth: float = 0
    ) -> "Program":
        """Append a step, and return the program."""
        self.steps.append((float(operation), float(first), float(second), float(third), float(fourth)))
        return self

    def _list(self, entries: Sequence[str]) -> int:
        """Number of a phrase list, which is packed once however often it is used."""
        # The list's place among the program's lists is its number.
        if tuple(entries) not in self.phrase_lists:
            self.phrase_lists.append(tuple(entries))
        return self.phrase_lists.index(tuple(entries))

    def stop_words(self, entries: Sequence[str]) -> int:
        """Number of a list of stop words, for `Manners`; -1 for an empty one."""
        return self._list(entries) if entries else -1

    def measure_phrases(
        self, entries: Sequence[str], kind: int, place: int, count_name: str, share_name: str
    ) -> "Program":
        """Measure how often the phrases occur, and how often per word, as `phrases.measure_phrases`."""
        self._add(PHRASES, len(self.columns), self._list(entries), kind, place)
        self.columns += [count_name, share_name]
        return self

    def drop_phrase_lines(self, entries: Sequence[str], kind: int, place: int, max_words: float = np.inf) -> "Program":
        """Delete lines of at most `max_words` words that hold a phrase, as `phrases.drop_phrase_lines`."""
        return self._add(DROP_PHRASE_LINES, self._list(entries), kind, place, max_words)

    def measure(self, group: int, suffix: str = "") -> "Program":
        """Measure the columns MEASURES[group], their names followed by `suffix`."""
        # The step stores the place of its first column.
        self._add(group, len(self.columns))
        self.columns.extend(name + suffix for name in MEASURES[group])
        return self

    def remove_links(self, domains: list[str], *, bare: bool) -> "Program":
        """Delete links by name (of documents whose `gate` is set; `bare` as `links.remove_named`) and by number;
        `domains` are top-level domains."""
        self.domains = domains
        return self._add(NAMED_LINKS, bare)._add(NUMBERED_LINKS)

    def collapse_newlines(self, most: int) -> "Program":
        """Keep at most `most` newlines in a row."""
        # The parameter of the step is the number of newlines that may stay.
        return self._add(COLLAPSE_NEWLINES, most)

    def drop_lines(self, kind: int, low: float = 0, high: float = np.inf) -> "Program":
        """Delete lines as `lines.drop_lines`."""
        return self._add(DROP_LINES, kind, low, high)

    def remove_citations(self) -> "Program":
        """Delete `[12]`, `[edit]` and `[citation needed]`."""
        return self._add(REMOVE_CITATIONS)

    def drop_repeated_lines(self) -> "Program":
        """Delete all but the first of lines that are equal but for case and outer blanks."""
        return self._add(DROP_REPEATED, 1)

    def drop_repeated_paragraphs(self) -> "Program":
        """The same for paragraphs, which two newlines separate."""
        return self._add(DROP_REPEATED, 2)

    def strip(self) -> "Program":
        """Delete blanks at both ends."""
        return self._add(STRIP)

    def remove_phrase(self, phrase: str, place: int, max_words: int, wildcard: str = "") -> "Program":
        """Delete an ASCII phrase from short lines as `lines.remove_phrase`, then strip; `wildcard` stands for any
        character."""
        assert phrase.isascii() and "\0" not in phrase
        # The kernel compares folded code points; the wildcard has a code of its own.
        codes = [lines.ANY_CHARACTER if c == wildcard else ord(c) for c in phrase.lower()]
        self.phrases.append(np.array(codes, np.int32))
        return self._add(REMOVE_PHRASE, len(self.phrases) - 1, place, max_words).strip()

    def run(
        self,
        column: pa.Array,
        live: np.ndarray | None = None,
        gate: np.ndarray | None = None,
        manners: Manners | None = None,
    ) -> Outcome:
        """Run over a string column. `live` (bool[len]) marks the rows to work on (default: all that are not null), the
        others get NaN signals and keep their text; `gate` (bool[len]) the rows whose links by name are removed;
        `manners` how each row is read (default: as published for English)."""
        # The column's buffers as arrays; by default all rows that are not null are live.
        data, offsets = decoding.views(column)
        count = len(column)
        live = ~column.is_null().to_numpy(zero_copy_only=False) if live is None else live
        gate = np.ones(count, np.bool_) if gate is None else gate
        if manners is None:
            manners = Manners(np.zeros(count, np.uint8), np.full(count, -1, np.int32), np.zeros(count, np.uint8))
        read_as = (manners.ways, manners.stop_lists, manners.stop_kinds)
        # Everything that the kernel fills in, one row for each document.
        values = np.full((count, len(self.columns)), np.nan)
        emptied = np.full(count, NOT_EMPTIED, np.int32)
        changed = np.zeros(count, np.bool_)
        # Single phrases, lists of phrases, domains and character tables travel to the kernel in one tuple.
        singles = np.concatenate([*self.phrases, np.zeros(0, np.int32)])
        single_offsets = np.cumsum([0] + [len(phrase) for phrase in self.phrases]).astype(np.int64)
        edit_data = (
            singles, single_offsets, *_packed_domains(tuple(self.domains)),
            unicode_tables.load(), phrases.pack(tuple(self.phrase_lists)),
        )  # fmt: skip
        # One call runs all steps over all documents.
        steps = np.array(self.steps, np.float64).reshape(-1, 5)
        out, out_offsets = _run(
            data, offsets, live.astype(np.bool_), gate.astype(np.bool_), read_as, steps, edit_data, values, emptied,
            changed,
        )  # fmt: skip
        return Outcome(self.columns, values, emptied, changed, out, out_offsets, column)


@lru_cache(maxsize=8)
def _packed_domains(domains: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Top-level domains as the kernels take them: code points, offsets, index."""
    # A program without links has no domains to pack.
    flat, offsets = links.pack_domains(list(domains)) if domains else (np.zeros(0, np.int32), np.zeros(1, np.int64))
    return flat, offsets, links.index_domains(flat, offsets)


@kernel
def _measure(
    step: np.ndarray,
    code_points: np.ndarray,
    properties: np.ndarray,
    n: int,
    starts: np.ndarray,
    ends: np.ndarray,
    data: EditData,
    manner: Manner,
    out: np.ndarray,
) -> None:
    """Run one measuring step on a decoded document; its columns go to `out`."""
    # Each operation has a kernel of its own, which fills its columns of the row.
    operation, way = int(step[0]), manner[0]
    if operation == CHARACTERS:
        counts.measure_characters(code_points, properties, n, out)
    elif operation == WORDS and way == BY_BLANKS:
        counts.measure_words(code_points, properties, n, out)
    elif operation == WORDS:
        found = phrases.count_stop_words(code_points, properties, n, manner[1], manner[2], data[6])
        counts.measure_script_words(code_points, properties, n, starts, ends, found, out)
    elif operation == TOKENS:
        counts.measure_tokens(code_points, properties, n, out)
        if way != BY_BLANKS:
            out[1] = count_script_words(code_points, properties, 0, n)[0]
    elif operation == LINES:
        counts.measure_lines(code_points, properties, n, out)
    elif operation == REPETITION:
        repetition.measure_repetition(code_points, properties, n, starts, ends, way, out)
    elif operation == LINE_ENDS:
        line_ends.measure_line_ends(code_points, properties, n, starts, ends, way, out)
    elif operation == SENTENCES:
        sentences.measure_sentences(code_points, properties, n, way != BY_BLANKS, out)
    else:
        # What is left is PHRASES, whose parameters say what to look for.
        which, kind, place = int(step[2]), int(step[3]), int(step[4])
        if way == BY_BLANKS:
            words = phrases.count_words(properties, n)
        else:
            num_words, marks = count_script_words(code_points, properties, 0, n)
            words = num_words + marks
        phrases.measure_phrases(code_points, properties, n, which, kind, place, words, data[6], out)


@kernel
def _edit(step: np.ndarray, scratch: Scratch, n: int, gate: bool, data: EditData) -> int:
    """Apply an edit of the whole document; returns its new length."""
    code_points, properties = scratch[0], scratch[1]
    operation = int(step[0])
    # Links by name are removed only where the caller's gate lets them.
    if operation == NAMED_LINKS:
        if not gate:
            return n
        return links.remove_named(code_points, properties, n, data[2], data[3], data[4], step[1] != 0.0)
    if operation == NUMBERED_LINKS:
        return links.remove_numbered(code_points, properties, n)
    # The other edits need no more than the text and their parameter.
    if operation == COLLAPSE_NEWLINES:
        return edits.collapse_newlines(code_points, properties, n, int(step[1]))
    if operation == REMOVE_CITATIONS:
        return edits.remove_citations(code_points, properties, n)
    if operation == DROP_REPEATED:
        return casing.drop_repeated_pieces(code_points, properties, n, int(step[1]), data[5][2], data[5][3])
    return edits.strip(code_points, properties, n)


@kernel
def _edit_lines(step: np.ndarray, scratch: Scratch, first: int, last: int, data: EditData, way: int) -> tuple[int, int]:
    """Apply an edit of the list of lines; returns which lines are left."""
    code_points, properties, starts, ends, counted = scratch
    operation, which = int(step[0]), int(step[1])
    # Each operation drops lines from the list, or shortens lines in place.
    if operation == DROP_LINES:
        kept = lines.drop_lines(
            code_points, properties, starts, ends, counted, first, last, which, step[2], step[3], way
        )  # fmt: skip
        return first, kept
    if operation == REMOVE_PHRASE:
        # The phrase is a slice of the array of single phrases.
        phrase = data[0][data[1][which] : data[1][which + 1]]
        kept = lines.remove_phrase(
            code_points, properties, starts, ends, counted, first, last, phrase, int(step[2]), int(step[3]), way,
        )  # fmt: skip
        return first, kept
    if operation == DROP_PHRASE_LINES:
        kept = phrases.drop_phrase_lines(
            code_points, properties, starts, ends, counted, first, last, which, int(step[2]), int(step[3]), step[4],
            data[6],
        )  # fmt: skip
        return first, kept
    # What is left is STRIP.
    return lines.strip_lines(properties, starts, ends, counted, first, last)


@kernel
def _run_row(
    steps: np.ndarray, scratch: Scratch, n: int, gate: bool, manner: Manner, data: EditData, values: np.ndarray
) -> tuple[int, int]:
    """All steps on one decoded document; returns its new length and the step that left nothing, or NOT_EMPTIED."""
    code_points, properties, starts, ends, counted = scratch
    # While `listed`, the document is its list of lines; its text is joined again only when a step needs it.
    listed = False
    first = 0
    last = 0
    for k in range(len(steps)):
        # Line edits in a row share one list of lines.
        operation = int(steps[k, 0])
        if DROP_LINES <= operation <= STRIP and (listed or operation < STRIP):
            # The first of them lists the lines.
            if not listed:
                first, last = 0, lines.list_lines(code_points, properties, n, starts, ends, counted, manner[0])
                listed = True
            first, last = _edit_lines(steps[k], scratch, first, last, data, manner[0])
            # An edit that leaves no text ends the work on this document.
            if first == last or (first + 1 == last and starts[first] == ends[first]):
                return 0, k
            continue
        # Any other step works on the text: write back the lines that are left.
        if listed:
            n = lines.join_lines(code_points, properties, starts, ends, first, last)
            listed = False
        if operation >= CHARACTERS:
            out = values[int(steps[k, 1]) :]
            _measure(steps[k], code_points, properties, n, starts, ends, data, manner, out)
            continue
        n = _edit(steps[k], scratch, n, gate, data)
        if n == 0:
            return 0, k
    if listed:
        n = lines.join_lines(code_points, properties, starts, ends, first, last)
    return n, NOT_EMPTIED


@kernel
def _run(
    data: np.ndarray,
    offsets: np.ndarray,
    live: np.ndarray,
    gate: np.ndarray,
    read_as: tuple[np.ndarray, np.ndarray, np.ndarray],
    steps: np.ndarray,
    edit_data: EditData,
    values: np.ndarray,
    emptied: np.ndarray,
    changed: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Run all steps on all documents; returns the bytes and offsets of the texts if any of them changed."""
    # The scratch arrays have room for the longest document, and are used for all of them.
    num_rows = len(offsets) - 1
    room = 2
    for row in range(num_rows):
        room = max(room, offsets[row + 1] - offsets[row] + 1)
    code_points = np.empty(room + bits.READ_AHEAD, np.int32)
    properties = np.empty(room + bits.READ_AHEAD, np.uint16)
    starts, ends = np.empty(room, np.int32), np.empty(room, np.int32)
    scratch = (code_points, properties, starts, ends, np.empty((3, room), np.int32))
    # The output is made only when a document has changed.
    tables = edit_data[5]
    out = np.empty(0, np.uint8)
    out_offsets = np.zeros(num_rows + 1, np.int64)
    at = 0
    written = 0  # rows before it are in `out`
    for row in range(num_rows):
        start, end = offsets[row], offsets[row + 1]
        length = end - start
        # Decode the document, run its steps and see whether its length has changed.
        if live[row]:
            before = decoding.decode(data, start, end, tables[0], tables[1], code_points, properties)
            manner = (int(read_as[0][row]), int(read_as[1][row]), int(read_as[2][row]))
            n, emptied[row] = _run_row(steps, scratch, before, gate[row], manner, edit_data, values[row])
            changed[row] = n != before
            if changed[row]:
                # Copy all unchanged documents before it in one go, then encode the changed one.
                out = _with_room(out, at, start - offsets[written] + 4 * n, offsets[num_rows] - offsets[0])
                bits.copy(data, offsets[written], start - offsets[written], out, out_offsets[written])
                length = decoding.encode(code_points, n, out, at) - at
                written = row + 1
        at += length
        out_offsets[row + 1] = at
    # Unchanged documents at the end are copied too; without any change the source array serves.
    if written:
        out = _with_room(out, at, 0, 0)
        bits.copy(data, offsets[written], offsets[num_rows] - offsets[written], out, out_offsets[written])
    return out[:at], out_offsets


@kernel
def _with_room(out: np.ndarray, used: int, more: int, least: int) -> np.ndarray:
    """`out`, or a longer copy of it, with room for `more` bytes after `used`, but `least` at first."""
    # Usually the room is there.
    if used + more <= len(out):
        return out
    # Doubling keeps the cost of growing proportional to the output.
    grown = np.empty(max(2 * len(out), least) + used + more, np.uint8)
    bits.copy(out, 0, len(out), grown, 0)
    return grown


def warm() -> None:
    """Compile or load everything that a program can run."""
    Program().strip().run(pa.array(["a"]))
    decoding.choose(np.ones(1, np.bool_), pa.array(["a"]), pa.array(["a"]))
