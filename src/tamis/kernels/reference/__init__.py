"""Plain-Python twins of the kernels: they give the same results with `str`, `re` and `collections`, and are slow but
easy to read.

They state what each kernel means and tests hold the kernels to them. Their `str` predicates are those of the running
Python, so they are exact where `unicodedata.unidata_version` is 14.0.0 and elsewhere on characters older than that.
"""

from tamis.kernels.reference.rules.edits import (
    collapse_newlines,
    drop_counter_lines,
    drop_long_word_lines,
    drop_numeric_lines,
    drop_repeated_pieces,
    drop_short_lines,
    drop_unpunctuated_lines,
    drop_uppercase_lines,
    remove_citations,
    remove_phrase,
)
from tamis.kernels.reference.rules.line_ends import line_ends
from tamis.kernels.reference.rules.links import remove_links
from tamis.kernels.reference.rules.phrases import count_phrases, drop_phrase_lines, phrases
from tamis.kernels.reference.rules.signals import (
    characters,
    fasttext_tokens,
    lines,
    repetition,
    tokens,
    words,
    words_by_script,
)
from tamis.kernels.reference.text.script_words import script_words
from tamis.kernels.reference.text.sentences import sentences
from tamis.kernels.reference.text.words import boundaries, unicode_words

__all__ = [
    "boundaries",
    "characters",
    "collapse_newlines",
    "count_phrases",
    "drop_counter_lines",
    "drop_long_word_lines",
    "drop_numeric_lines",
    "drop_phrase_lines",
    "drop_repeated_pieces",
    "drop_short_lines",
    "drop_unpunctuated_lines",
    "drop_uppercase_lines",
    "fasttext_tokens",
    "line_ends",
    "lines",
    "phrases",
    "remove_citations",
    "remove_links",
    "remove_phrase",
    "repetition",
    "script_words",
    "sentences",
    "tokens",
    "unicode_words",
    "words",
    "words_by_script",
]
