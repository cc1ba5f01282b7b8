"""What rule tables are made of: checks on signals, edits of the text, and phases that order the two.

A table is data. RULES names every rule that has a setting of its own; a table is a tuple of phases, each of which edits
the text and then checks it. The published tables are in `published`; a recipe's own edits and rules join in `own`.
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


RULES: dict[str, RuleKind] = {
    "max_characters": RuleKind("too_many_characters", "num_characters", ">"),
    "min_sentences": RuleKind("too_few_sentences", "num_sentences", "<"),
    "min_line_sentences": RuleKind("too_few_sentences", "num_line_sentences", "<"),
    "min_words": RuleKind("too_few_words", "num_words", "<"),
    "max_words": RuleKind("too_many_words", "num_words", ">"),
    "min_mean_word_length": RuleKind("words_too_short", "mean_word_length", "<"),
    "max_mean_word_length": RuleKind("words_too_long", "mean_word_length", ">"),
    "max_symbols_per_word": RuleKind("too_many_symbols", "symbols_per_word", ">"),
    "max_bullet_line_fraction": RuleKind("too_many_bullet_lines", "bullet_line_fraction", ">"),
    "max_ellipsis_line_fraction": RuleKind("too_many_ellipsis_lines", "ellipsis_line_fraction", ">"),
    "max_words_without_letter_fraction": RuleKind("too_few_alphabetic_words", "words_without_letter_fraction", ">"),
    "min_stop_words": RuleKind("too_few_stop_words", "num_stop_words", "<"),
    "max_duplicate_line_fraction": RuleKind("duplicate_lines", "duplicate_line_fraction", ">"),
    "max_duplicate_paragraph_fraction": RuleKind("duplicate_paragraphs", "duplicate_paragraph_fraction", ">"),
    "max_duplicate_line_character_fraction": RuleKind(
        "duplicate_line_characters", "duplicate_line_character_fraction", ">"
    ),
    "max_duplicate_paragraph_character_fraction": RuleKind(
        "duplicate_paragraph_characters", "duplicate_paragraph_character_fraction", ">"
    ),
    **{f"max_top_{n}gram_fraction": RuleKind(f"frequent_{n}gram", f"top_{n}gram_fraction", ">") for n in range(2, 5)},
    **{
        f"max_duplicate_{n}gram_fraction": RuleKind(f"duplicate_{n}grams", f"duplicate_{n}gram_fraction", ">")
        for n in range(5, 11)
    },
    "max_words_removed_fraction": RuleKind("too_many_words_removed", "words_removed_fraction", ">"),
    "min_punctuated_line_fraction": RuleKind("too_few_punctuated_lines", "punctuated_line_fraction", "<="),
    "max_short_line_fraction": RuleKind("too_many_short_lines", "short_line_fraction", ">="),
    "max_repeated_line_character_fraction": RuleKind("repeated_lines", "repeated_line_character_fraction", ">="),
    "max_newlines_per_word": RuleKind("too_many_newlines", "newlines_per_word", ">"),
    "max_lorem_ipsum": RuleKind("lorem_ipsum", "num_lorem_ipsum", ">"),
    "max_curly_brackets": RuleKind("curly_brackets", "num_curly_brackets", ">"),
    "max_banned_words": RuleKind("banned_words", "num_banned_words", ">"),
    "max_banned_words_per_word": RuleKind("banned_words", "banned_words_per_word", ">"),
}
"""Every rule with a setting, by the setting that holds its threshold."""

EDIT_KINDS: tuple[str, ...] = (
    "remove_links", "remove_citations", "collapse_newlines", "repeated_lines", "repeated_paragraphs", "uppercase_lines",
    "numeric_lines", "counter_lines", "short_lines", "long_lines", "long_word_lines", "unpunctuated_lines",
    "unfinished_lines", "phrase_lines", "remove_phrases", "banned_word_lines", "arxiv_appendix", "arxiv_comments",
    "arxiv_comment_blocks", "arxiv_macros", "arxiv_preamble",
)  # fmt: skip
Place = Literal["anywhere", "prefix", "suffix"]

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
    place: Place = "anywhere"
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
    place: Place = "anywhere"
    whole_words: bool = False

    @property
    def columns(self) -> tuple[str, str]:
        return f"num_{self.name}", f"{self.name}_per_word"


@dataclass(frozen=True)
class Check:
    """One rule of a table; `setting`, a key of RULES, moves its threshold."""

    rule: Rule
    setting: str | None = None


def published(setting: str, threshold: float, source: str) -> Check:
    """The check of a rule with a setting, at a published threshold."""
    kind = RULES[setting]
    rule = Rule(reason=kind.reason, column=kind.column, op=kind.op, threshold=threshold, source=source)
    return Check(rule, setting)


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
