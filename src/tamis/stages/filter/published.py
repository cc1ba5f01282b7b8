"""The published rule tables: RefinedWeb's and C4's as DCLM applies them, Gopher's and FineWeb's, every number with its
source.

RULES lists every rule that has its own setting. A new rule needs one entry there and one `published(...)` in a table;
the setting of that name, its check and its place in reports follow from these.
"""

from tamis.base.signals import Rule
from tamis.stages.filter.tables import Check, Edit, Phase, PhraseList, RuleKind, Table

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
"""Setting that holds the threshold -> the rule."""


def published(setting: str, threshold: float, source: str) -> Check:
    """The check of the rule that `setting` names, with a published threshold."""
    kind = RULES[setting]
    rule = Rule(reason=kind.reason, column=kind.column, op=kind.op, threshold=threshold, source=source)
    return Check(rule, setting)


_GOPHER = "Gopher, Rae et al. 2021 (arXiv 2112.11446), table A1"
_GOPHER_QUALITY = "Gopher, Rae et al. 2021 (arXiv 2112.11446), appendix A1.1"
_DCLM = "DCLM, Li et al. 2024 (arXiv 2406.11794), dclm_baseline_refinedweb.yaml"
_REFINEDWEB = "RefinedWeb, Penedo et al. 2023 (arXiv 2306.01116), appendix G.2"
_C4 = "C4, Raffel et al. 2020 (JMLR 21), section 2.2"
_C4_DCLM = "DCLM, Li et al. 2024 (arXiv 2406.11794), c4.yaml"
_FINEWEB = (
    "FineWeb, Penedo et al. 2024 (arXiv 2406.17557), section 3.6, as datatrove v0.2.0's FineWebQualityFilter has it"
)
_FINEWEB_CODE = "FineWeb's code of April 2024: default of datatrove v0.2.0's FineWebQualityFilter"
_FINEWEB_C4 = "FineWeb, Penedo et al. 2024 (arXiv 2406.17557), section 3.5; default of datatrove's C4QualityFilter"

_QUALITY_CHECKS = (
    published("min_words", 50, _GOPHER_QUALITY),
    published("max_words", 100_000, _GOPHER_QUALITY),
    published("min_mean_word_length", 3, _GOPHER_QUALITY),
    published("max_mean_word_length", 10, _GOPHER_QUALITY),
    published("max_symbols_per_word", 0.1, _GOPHER_QUALITY),
    published("max_bullet_line_fraction", 0.9, _GOPHER_QUALITY),
    published("max_ellipsis_line_fraction", 0.3, _GOPHER_QUALITY),
    published("max_words_without_letter_fraction", 0.2, _GOPHER_QUALITY),
    published("min_stop_words", 2, _GOPHER_QUALITY),
)
_REPETITION_CHECKS = (
    published("max_duplicate_line_fraction", 0.30, _GOPHER),
    published("max_duplicate_paragraph_fraction", 0.30, _GOPHER),
    published("max_duplicate_line_character_fraction", 0.20, _GOPHER),
    published("max_duplicate_paragraph_character_fraction", 0.20, _GOPHER),
    published("max_top_2gram_fraction", 0.20, _GOPHER),
    published("max_top_3gram_fraction", 0.18, _GOPHER),
    published("max_top_4gram_fraction", 0.16, _GOPHER),
    published("max_duplicate_5gram_fraction", 0.15, _GOPHER),
    published("max_duplicate_6gram_fraction", 0.14, _GOPHER),
    published("max_duplicate_7gram_fraction", 0.13, _GOPHER),
    published("max_duplicate_8gram_fraction", 0.12, _GOPHER),
    published("max_duplicate_9gram_fraction", 0.11, _GOPHER),
    published("max_duplicate_10gram_fraction", 0.10, _GOPHER),
)
_LOREM_IPSUM = PhraseList("lorem_ipsum", ("lorem ipsum",))
_NEWLINES = PhraseList("newlines", ("\n",))
_CURLY_BRACKETS = PhraseList("curly_brackets", ("{",))
_JAVASCRIPT_LINES = Edit("phrase_lines", "javascript_lines", phrases=("javascript",))
_POLICY_LINES = Edit(
    "phrase_lines",
    "policy_lines",
    phrases=("terms of use", "privacy policy", "cookie policy", "uses cookies", "use of cookies", "use cookies"),
)

NONE = Table("none", "no published rules: the recipe's own alone", ())
REFINEDWEB = Table(
    "refinedweb",
    f"RefinedWeb's heuristics as {_DCLM} orders them",
    (
        Phase((Edit("remove_links"), Edit("collapse_newlines")), language=True),
        Phase(checks=_QUALITY_CHECKS + _REPETITION_CHECKS),
        Phase(
            (
                Edit("uppercase_lines"),
                Edit("numeric_lines"),
                Edit("counter_lines"),
                Edit("short_lines"),
                Edit("remove_phrases", "items_in_cart", phrases=("items in cart",), max_words=10),
                Edit("remove_phrases", "read_more", phrases=("read more...",), place="suffix", max_words=10),
                Edit("remove_phrases", "sign_in", phrases=("sign-in",), place="prefix", max_words=10),
            ),
            checks=(published("max_words_removed_fraction", 0.05, _REFINEDWEB),),
        ),
    ),
)
GOPHER = Table(
    "gopher",
    "Gopher's quality and repetition rules alone",
    (Phase(language=True, checks=_QUALITY_CHECKS + _REPETITION_CHECKS),),
)
C4 = Table(
    "c4",
    f"C4's rules as {_C4_DCLM} orders them",
    (
        Phase(checks=(published("max_characters", 190_000, _C4_DCLM),)),
        Phase(
            (
                Edit("long_word_lines", limit=1000),
                Edit("remove_citations"),
                Edit("unfinished_lines"),
                Edit("short_lines", limit=5),
            ),
            checks=(published("max_lorem_ipsum", 0, _C4),),
        ),
        Phase((_JAVASCRIPT_LINES,), checks=(published("max_curly_brackets", 0, _C4),)),
        Phase(
            (_POLICY_LINES, Edit("repeated_lines")),
            checks=(published("min_sentences", 3, _C4), published("max_banned_words", 0, _C4)),
        ),
        Phase(language=True),
    ),
    (_LOREM_IPSUM, _CURLY_BRACKETS),
)
FINEWEB = Table(
    "fineweb",
    "FineWeb's own rules after Gopher's, and C4's but for the end of every line",
    (
        Phase(language=True, checks=_REPETITION_CHECKS + _QUALITY_CHECKS),
        Phase(
            (Edit("long_word_lines", limit=1000), Edit("remove_citations"), Edit("short_lines", limit=3)),
            checks=(published("max_lorem_ipsum", 0, _FINEWEB_C4),),
        ),
        Phase((_JAVASCRIPT_LINES,), checks=(published("max_curly_brackets", 0, _FINEWEB_C4),)),
        Phase(
            (_POLICY_LINES, Edit("collapse_newlines", limit=1)),
            checks=(
                published("min_line_sentences", 5, _FINEWEB_C4),
                published("min_punctuated_line_fraction", 0.12, _FINEWEB),
                published("max_short_line_fraction", 0.67, _FINEWEB),
                published("max_repeated_line_character_fraction", 0.01, f"{_FINEWEB_CODE}; the paper has 0.1"),
                published("max_newlines_per_word", 0.3, f"{_FINEWEB_CODE}; not in the paper"),
            ),
        ),
    ),
    (_LOREM_IPSUM, _CURLY_BRACKETS, _NEWLINES),
)

TABLES: dict[str, Table] = {table.name: table for table in (REFINEDWEB, GOPHER, C4, FINEWEB, NONE)}
