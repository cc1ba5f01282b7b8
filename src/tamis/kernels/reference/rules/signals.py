"""Twins of `kernels.rules.counts` and `kernels.rules.repetition`: signal names to numbers, from one `str`."""

import math
import re
from collections import Counter
from collections.abc import Sequence

from tamis.kernels.reference.rules.phrases import find_phrases
from tamis.kernels.reference.text.script_words import script_words
from tamis.kernels.reference.text.words import unicode_words
from tamis.kernels.rules.counts import STOP_WORDS


def characters(text: str) -> dict[str, float]:
    """Characters, the share that are letters or digits, line lengths as of str.splitlines, and letters."""
    lengths = [len(line) for line in text.splitlines()]
    return {
        "num_characters": len(text),
        "alphanumeric_fraction": sum(c.isalnum() for c in text) / len(text) if text else 0.0,
        "max_line_characters": max(lengths, default=0),
        "mean_line_characters": sum(lengths) / len(lengths) if lengths else 0.0,
        "num_letters": sum(c.isalpha() for c in text),
    }


def words(text: str) -> dict[str, float]:
    """Signals on the words of str.split; stop words are compared lowercased and whole."""
    split = text.split()
    stop_words = [word.lower() for word in split if word.lower() in STOP_WORDS]
    symbols = sum(text.count(symbol) for symbol in ("#", "...", ". . .", "…"))
    without_letter = sum(not any(c.isalpha() for c in word) for word in split)
    return {
        "num_whitespace_words": len(split),
        "mean_word_length": sum(map(len, split)) / len(split) if split else 0.0,
        "words_without_letter_fraction": without_letter / len(split) if split else 1.0,
        "num_stop_words": len(stop_words),
        "num_distinct_stop_words": len(set(stop_words)),
        "symbols_per_word": symbols / len(split) if split else math.inf,
    }


def words_by_script(text: str, stop_words: Sequence[str], kind: int) -> dict[str, float]:
    """The same signals of a page in another language than English: on the words and marks of `script_words`."""
    found, marks = script_words(text)
    count = len(found) + marks
    met = find_phrases(text, stop_words, kind)
    symbols = sum(text.count(symbol) for symbol in ("#", "...", ". . .", "…"))
    without_letter = marks + sum(not any(c.isalpha() for c in word) for word in found)
    return {
        "num_whitespace_words": len(text.split()),
        "mean_word_length": sum(map(len, found)) / len(found) if found else 0.0,
        "words_without_letter_fraction": without_letter / count if count else 1.0,
        "num_stop_words": len(met),
        "num_distinct_stop_words": len(set(met)),
        "symbols_per_word": symbols / count if count else math.inf,
    }


def fasttext_tokens(text: str) -> list[str]:
    """Tokens of fastText's `tokenize`: separated at six ASCII blanks and NUL, with `</s>` for every newline."""
    pieces = re.findall(r"\n|[^ \n\r\t\v\f\0]+", text)
    return ["</s>" if piece == "\n" else piece for piece in pieces]


def tokens(text: str, by_script: bool = False) -> dict[str, float]:
    """fastText's tokens that are not blank, and those that start with a letter or digit, or the words of any script."""
    found = fasttext_tokens(text)
    words = len(script_words(text)[0]) if by_script else sum(1 for token in found if token[0].isalnum())
    return {
        "num_fasttext_tokens": sum(1 for token in found if token.strip()),
        "num_words": words,
    }


def segments(text: str, separator: str) -> list[str]:
    """Pieces between separators, stripped, without blank ones."""
    return [stripped for piece in text.split(separator) if (stripped := piece.strip())]


def lines(text: str) -> dict[str, float]:
    """Lines and paragraphs that are not blank; shares of lines that start as a bullet or end in an ellipsis."""
    found = segments(text, "\n")
    bullets = sum(line.startswith(("●", "•", "*", "-")) for line in found)
    ellipses = sum(line.endswith(("...", ". . .", "…")) for line in found)
    return {
        "num_lines": len(found),
        "num_paragraphs": len(segments(text, "\n\n")),
        "bullet_line_fraction": bullets / len(found) if found else 0.0,
        "ellipsis_line_fraction": ellipses / len(found) if found else 0.0,
    }


def _segment_fractions(found: list[str]) -> tuple[float, float]:
    """Shares of segments, and of their characters, in segments that occur more than once."""
    if not found:
        return 1.0, 1.0
    totals = Counter(found)
    repeated = [segment for segment in found if totals[segment] > 1]
    return len(repeated) / len(found), sum(map(len, repeated)) / sum(map(len, found))


def _top_fraction(found: list[str], n: int) -> float:
    """Characters of the most frequent n-gram times its count; of equally frequent ones the longest."""
    totals = Counter(zip(*(found[i:] for i in range(n)), strict=False))
    most = max(totals.values(), default=1)
    if most == 1:
        return 0.0
    longest = max(sum(map(len, gram)) for gram, total in totals.items() if total == most)
    return longest * most / sum(map(len, found))


def _covered_fraction(found: list[str], n: int) -> float:
    """Characters of words inside any repeated n-gram."""
    grams = list(zip(*(found[i:] for i in range(n)), strict=False))
    totals = Counter(grams)
    covered = {i + k for i, gram in enumerate(grams) if totals[gram] > 1 for k in range(n)}
    return sum(len(found[i]) for i in covered) / sum(map(len, found)) if covered else 0.0


def repetition(text: str, by_script: bool = False) -> dict[str, float]:
    """Gopher's thirteen fractions and the number of Unicode words, or of those of any script; an empty text is all
    repetition."""
    found = script_words(text)[0] if by_script else unicode_words(text)
    line_count, line_characters = _segment_fractions(segments(text, "\n"))
    paragraph_count, paragraph_characters = _segment_fractions(segments(text, "\n\n"))
    return {
        "duplicate_line_fraction": line_count,
        "duplicate_paragraph_fraction": paragraph_count,
        "duplicate_line_character_fraction": line_characters,
        "duplicate_paragraph_character_fraction": paragraph_characters,
        **{f"top_{n}gram_fraction": _top_fraction(found, n) if text else 1.0 for n in range(2, 5)},
        **{f"duplicate_{n}gram_fraction": _covered_fraction(found, n) if text else 1.0 for n in range(5, 11)},
        "num_unicode_words": len(found),
    }
