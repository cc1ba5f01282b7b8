"""The parts of rule tables: checks on signals, edits of the text, and phases, which put the two in order.

A table is data: a tuple of phases, each of which edits the text and then checks it. The published tables are in
`published`, with every rule that has its own setting; `own` adds a recipe's own edits and rules.
"""

from dataclasses import dataclass, field
from typing import Literal

from tamis.base.signals import Rule


@dataclass(frozen=True)
class RuleKind:
    """Removes a document for `reason` when `column op threshold`."""

    reason: str
    column: str
    op: str


EDIT_KINDS: tuple[str, ...] = (
    "remove_links", "remove_citations", "collapse_newlines", "repeated_lines", "repeated_paragraphs", "uppercase_lines",
    "numeric_lines", "counter_lines", "short_lines", "long_lines", "long_word_lines", "unpunctuated_lines",
    "unfinished_lines", "phrase_lines", "remove_phrases", "banned_word_lines", "arxiv_appendix", "arxiv_comments",
    "arxiv_comment_blocks", "arxiv_macros", "arxiv_preamble",
)  # fmt: skip
PhrasePlace = Literal["anywhere", "prefix", "suffix"]

DEFAULT_LIMITS: dict[str, float] = {
    "collapse_newlines": 2, "uppercase_lines": 0.5, "numeric_lines": 0.999999, "short_lines": 2, "long_lines": 1000,
    "long_word_lines": 1000,
}  # fmt: skip
"""The default of `limit` for each kind of edit that has one. Its meaning, in this order: newlines in a row that are
kept; largest share of a line (twice); fewest words of a line; most words of a line; most characters of a word."""
PHRASE_EDITS = ("phrase_lines", "remove_phrases")


@dataclass(frozen=True)
class Edit:
    """One edit of the text. `name` is the end of the reason of documents that the edit leaves empty; `limit` is
    explained at DEFAULT_LIMITS; the other fields are for PHRASE_EDITS, which only change lines of at most `max_words`
    words."""

    kind: str
    name: str = ""
    limit: float | None = None
    phrases: tuple[str, ...] = ()
    place: PhrasePlace = "anywhere"
    whole_words: bool = False
    max_words: float = float("inf")

    @property
    def emptied_reason(self) -> str:
        """The reason of a document that this edit left empty."""
        return f"empty_after_{self.name or self.kind}"

    @property
    def strength(self) -> float:
        """The limit that is applied: `limit`, or the default."""
        return DEFAULT_LIMITS[self.kind] if self.limit is None else self.limit


@dataclass(frozen=True)
class PhraseList:
    """Phrases to count, which give the signals `num_<name>` and `<name>_per_word`."""

    name: str
    phrases: tuple[str, ...]
    place: PhrasePlace = "anywhere"
    whole_words: bool = False

    @property
    def columns(self) -> tuple[str, str]:
        return f"num_{self.name}", f"{self.name}_per_word"


@dataclass(frozen=True)
class Check:
    """One rule of a table. `setting`, a key of `published.RULES`, is the setting that changes its threshold."""

    rule: Rule
    setting: str | None = None


@dataclass(frozen=True)
class Phase:
    """Edits in order, then checks in order; `language` puts the language check between the two."""

    edits: tuple[Edit, ...] = ()
    language: bool = False
    checks: tuple[Check, ...] = ()


@dataclass(frozen=True)
class Table:
    """A sequence of phases, with the phrase lists that its checks count."""

    name: str
    title: str
    phases: tuple[Phase, ...]
    lists: tuple[PhraseList, ...] = field(default=())
