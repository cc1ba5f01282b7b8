"""The signals that a rule can test, and their histograms."""

from tamis.base.signals import MeasuredSignal, Signal
from tamis.kernels.rules.program import MEASURES

WORDS_REMOVED = "words_removed_fraction"
LETTERS_PER_TOKEN = "letters_per_token"
MEASURED: tuple[str, ...] = tuple(dict.fromkeys(name for group in MEASURES.values() for name in group))
"""Signals that the kernels measure on every text."""

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
    "alphanumeric_fraction": "characters that are letters or digits",
    "punctuated_line_fraction": "lines that end a sentence",
    "short_line_fraction": "lines of at most 30 characters",
    "repeated_line_character_fraction": "characters in lines that repeat an earlier one",
    "banned_words_per_word": "banned words per word",
}
SIGNALS: dict[str, Signal] = {
    signal.column: signal
    for signal in (
        Signal(column="num_words", label="words", low=1, high=1e6, log=True),
        Signal(column="mean_word_length", label="mean word length (characters)", low=0, high=20),
        Signal(column="symbols_per_word", label="# and ellipses per word", low=0, high=0.5),
        Signal(column="num_stop_words", label="stop words", low=0, high=40),
        Signal(column="num_characters", label="characters", low=1, high=1e7, log=True),
        Signal(column="num_sentences", label="sentences", low=1, high=1e5, log=True),
        Signal(column="num_line_sentences", label="sentences, line by line", low=1, high=1e5, log=True),
        Signal(column="num_lines", label="lines", low=1, high=1e5, log=True),
        Signal(column="max_line_characters", label="longest line (characters)", low=1, high=1e6, log=True),
        Signal(column="num_banned_words", label="banned words", low=0, high=40),
        Signal(column=LETTERS_PER_TOKEN, label="letters per token", low=0, high=8),
        Signal(column="language_score", label="language score", low=0, high=1),
        *(Signal(column=column, label=label, low=0, high=1) for column, label in _FRACTION_LABELS.items()),
    )
}
"""The histograms of signals whose range is known in advance, or whose name needs an explanation."""


def drawing(name: str) -> Signal:
    """The histogram of the signal `name`. Where the signal is not in SIGNALS, its range is found from its values."""
    label = name.replace("_", " ")
    if name in SIGNALS:
        return SIGNALS[name]
    if name.endswith("_fraction"):
        return Signal(column=name, label=label, low=0, high=1)
    return MeasuredSignal(column=name, label=label, whole=name.startswith("num_"))
