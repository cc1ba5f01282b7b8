"""What rule tables are made of: checks on signals, edits of the text, and phases that order the two.

A table is data: a tuple of phases, each of which edits the text and then checks it. The published tables are in
`published`, with every rule that has a setting of its own; a recipe's own edits and rules join in `own`.
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
"""What `limit` means and is: newlines kept in a row; largest share of the line; fewest and most words of a line; most
characters of a word. Kinds that are not here take none."""
PHRASE_EDITS = ("phrase_lines", "remove_phrases")


@dataclass(frozen=True)
class Edit:
    """One edit of the text. `name` ends the reason of documents of which it leaves nothing; `limit` as DEFAULT_LIMITS;
    the rest is for PHRASE_EDITS, which look at lines of at most `max_words` words only."""

    kind: str
    name: str = ""
    limit: float | None = None
    phrases: tuple[str, ...] = ()
    place: PhrasePlace = "anywhere"
    whole_words: bool = False
    max_words: float = float("inf")

    @property
    def emptied_reason(self) -> str:
        """Reason of a document of which this edit left nothing."""
        return f"empty_after_{self.name or self.kind}"

    @property
    def strength(self) -> float:
        """The limit in force."""
        return DEFAULT_LIMITS[self.kind] if self.limit is None else self.limit


@dataclass(frozen=True)
class PhraseList:
    """Phrases to count; they give the signals `num_<name>` and `<name>_per_word`."""

    name: str
    phrases: tuple[str, ...]
    place: PhrasePlace = "anywhere"
    whole_words: bool = False

    @property
    def columns(self) -> tuple[str, str]:
        return f"num_{self.name}", f"{self.name}_per_word"


@dataclass(frozen=True)
class Check:
    """One rule of a table; `setting`, a key of `published.RULES`, moves its threshold."""

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
    """A chain of phases, with the phrase lists that its checks count."""

    name: str
    title: str
    phases: tuple[Phase, ...]
    lists: tuple[PhraseList, ...] = field(default=())
