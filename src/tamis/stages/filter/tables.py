"""Rule tables: which signals a document is judged by, at which thresholds, and which edits stand in between.

A table is data. RULES names every rule once (the setting that moves its threshold, what it measures, when it removes);
a table is a tuple of phases, each of which edits the text and then checks it, in the order of the published chain.
"""

from dataclasses import dataclass
from typing import Literal

from tamis.base.signals import Signal


@dataclass(frozen=True)
class RuleKind:
    """Removes a document for `reason` when `column op threshold`."""

    reason: str
    column: str
    op: str


RULES: dict[str, RuleKind] = {
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
}
"""Every rule, by the setting that holds its threshold."""

EditKind = Literal[
    "remove_links", "collapse_newlines", "uppercase_lines", "numeric_lines", "counter_lines", "short_lines",
    "items_in_cart", "read_more", "sign_in",
]  # fmt: skip


@dataclass(frozen=True)
class Check:
    """One rule of a table: `setting` is a key of RULES; `source` says where the threshold is published."""

    setting: str
    threshold: float
    source: str


@dataclass(frozen=True)
class Phase:
    """Edits in order, then checks in order; `language` puts the language check between the two."""

    edits: tuple[EditKind, ...] = ()
    language: bool = False
    checks: tuple[Check, ...] = ()


@dataclass(frozen=True)
class Table:
    """A published chain."""

    name: str
    title: str
    phases: tuple[Phase, ...]


_GOPHER = "Gopher, Rae et al. 2021, table A1"
_GOPHER_QUALITY = "Gopher, Rae et al. 2021, appendix A1.1"
_DCLM = "DCLM, Li et al. 2024, dclm_baseline_refinedweb.yaml"
_REFINEDWEB = "RefinedWeb, Penedo et al. 2023, appendix G.2"

_QUALITY_CHECKS = (
    Check("min_words", 50, _GOPHER_QUALITY),
    Check("max_words", 100_000, _GOPHER_QUALITY),
    Check("min_mean_word_length", 3, _GOPHER_QUALITY),
    Check("max_mean_word_length", 10, _GOPHER_QUALITY),
    Check("max_symbols_per_word", 0.1, _GOPHER_QUALITY),
    Check("max_bullet_line_fraction", 0.9, _GOPHER_QUALITY),
    Check("max_ellipsis_line_fraction", 0.3, _GOPHER_QUALITY),
    Check("max_words_without_letter_fraction", 0.2, _GOPHER_QUALITY),
    Check("min_stop_words", 2, _GOPHER_QUALITY),
)
_REPETITION_CHECKS = (
    Check("max_duplicate_line_fraction", 0.30, _GOPHER),
    Check("max_duplicate_paragraph_fraction", 0.30, _GOPHER),
    Check("max_duplicate_line_character_fraction", 0.20, _GOPHER),
    Check("max_duplicate_paragraph_character_fraction", 0.20, _GOPHER),
    Check("max_top_2gram_fraction", 0.20, _GOPHER),
    Check("max_top_3gram_fraction", 0.18, _GOPHER),
    Check("max_top_4gram_fraction", 0.16, _GOPHER),
    Check("max_duplicate_5gram_fraction", 0.15, _GOPHER),
    Check("max_duplicate_6gram_fraction", 0.14, _GOPHER),
    Check("max_duplicate_7gram_fraction", 0.13, _GOPHER),
    Check("max_duplicate_8gram_fraction", 0.12, _GOPHER),
    Check("max_duplicate_9gram_fraction", 0.11, _GOPHER),
    Check("max_duplicate_10gram_fraction", 0.10, _GOPHER),
)

TABLES: dict[str, Table] = {
    table.name: table
    for table in (
        Table(
            "refinedweb",
            f"RefinedWeb's heuristics as {_DCLM} orders them",
            (
                Phase(("remove_links", "collapse_newlines"), language=True),
                Phase(checks=_QUALITY_CHECKS + _REPETITION_CHECKS),
                Phase(
                    (
                        "uppercase_lines", "numeric_lines", "counter_lines", "short_lines",
                        "items_in_cart", "read_more", "sign_in",
                    ),
                    checks=(Check("max_words_removed_fraction", 0.05, _REFINEDWEB),),
                ),
            ),
        ),
        Table("gopher", "Gopher's quality and repetition rules alone", (
            Phase(language=True, checks=_QUALITY_CHECKS + _REPETITION_CHECKS),
        )),
    )
}  # fmt: skip

_FRACTION_LABELS = {
    "bullet_line_fraction": "lines that start with a bullet",
    "ellipsis_line_fraction": "lines that end in an ellipsis",
    "words_without_letter_fraction": "words without a letter",
    "duplicate_line_fraction": "lines that occur more than once",
    "duplicate_paragraph_fraction": "paragraphs that occur more than once",
    "duplicate_line_character_fraction": "characters in repeated lines",
    "duplicate_paragraph_character_fraction": "characters in repeated paragraphs",
    **{f"top_{n}gram_fraction": f"characters in the most frequent {n}-gram" for n in range(2, 5)},
    **{f"duplicate_{n}gram_fraction": f"characters in repeated {n}-grams" for n in range(5, 11)},
    "words_removed_fraction": "words that line removal took",
}
SIGNALS: dict[str, Signal] = {
    signal.column: signal
    for signal in (
        Signal(column="num_words", label="words", low=1, high=1e6, log=True),
        Signal(column="mean_word_length", label="mean word length (characters)", low=0, high=20),
        Signal(column="symbols_per_word", label="# and ellipses per word", low=0, high=0.5),
        Signal(column="num_stop_words", label="stop words", low=0, high=40),
        Signal(column="language_score", label="language score", low=0, high=1),
        *(Signal(column=column, label=label, low=0, high=1) for column, label in _FRACTION_LABELS.items()),
    )
}
"""How to draw each signal that a rule tests."""
