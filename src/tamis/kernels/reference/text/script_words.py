"""Twin of `kernels.text.script_words`: words and marks of a `str`, and the ends of sentences of any script."""

from itertools import pairwise

from tamis.kernels.reference.text.words import boundaries, word_break
from tamis.kernels.text.script_words import CLOSERS, IDEOGRAPHS_FROM, LETTERS_OF_WORD, SENTENCE_MARKS


def _unspaced(token: str) -> str:
    """The kind of script without blanks that the token starts with; '' for any other token."""
    first = token[0]
    if not first.isalpha() or word_break(first) != "Other":
        return ""
    if ord(first) < IDEOGRAPHS_FROM:
        return "south-east Asian"
    return "hiragana" if "\u3041" <= first <= "\u309f" else "ideographs"


def _is_blank(token: str) -> bool:
    return token[0].isspace() or token[0] == "\u200b"


def script_words(text: str) -> tuple[list[str], int]:
    """The words of any script, and the number of marks (runs of tokens that are neither words nor blank)."""
    tokens = [text[start:end] for start, end in pairwise([0, *boundaries(text)])]
    words: list[str] = []
    marks, room, last = 0, 0, ""
    for token in tokens:
        if _is_blank(token):
            last = ""
        elif token[0] in "\u0f0b\u0f0c" and last in ("word", "tsheg"):
            words[-1] += token
            last = "tsheg"
        elif not token[0].isalnum():
            marks += last != "mark"
            last = "mark"
        elif kind := _unspaced(token):
            if last == kind and room:
                words[-1] += token
                room -= 1
            else:
                words.append(token)
                room = LETTERS_OF_WORD[kind == "south-east Asian"] - 1
            last = kind
        else:
            words.append(token)
            last = "word"
    return words, marks


def ends_sentence(line: str) -> bool:
    """Whether a line ends in a mark of any script, perhaps with quotation marks or brackets behind it."""
    return bool(stripped := line.rstrip(CLOSERS)) and stripped[-1] in SENTENCE_MARKS
