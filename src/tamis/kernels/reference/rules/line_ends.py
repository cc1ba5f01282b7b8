"""Twin of `kernels.rules.line_ends`."""

from tamis.kernels.reference.rules.signals import segments
from tamis.kernels.reference.text.script_words import ends_sentence
from tamis.kernels.rules.line_ends import SHORT_LINE_CHARACTERS


def line_ends(text: str, by_script: bool = False) -> dict[str, float]:
    """Shares of lines that end a sentence, that are short, and of characters in lines that repeat an earlier one."""
    found = segments(text, "\n")
    seen: set[str] = set()
    repeated = 0
    for line in found:
        repeated += len(line) if line in seen else 0
        seen.add(line)
    count = len(found)
    ended = [ends_sentence(line) if by_script else line.endswith((".", "!", "?", '"', "'")) for line in found]
    return {
        "punctuated_line_fraction": sum(ended) / count if count else 0.0,
        "short_line_fraction": sum(len(line) <= SHORT_LINE_CHARACTERS for line in found) / count if count else 0.0,
        "repeated_line_character_fraction": repeated / sum(map(len, found)) if count else 0.0,
    }
