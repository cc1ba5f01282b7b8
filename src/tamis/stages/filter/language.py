"""Which language a page is in, and how surely: DCLM's fastText lid.176 where its file is given, else py3langid.

py3langid's model comes with its package, so the rule works offline; the scores of the two are not on one scale,
which is why the card says which one answered. Both look at the whole page, as DCLM does.
"""

import math
import string
from pathlib import Path
from typing import Any, Protocol

import numpy as np

_NOTHING_TO_READ = frozenset(string.punctuation + " ")


class Detector(Protocol):
    """`detect` returns the most probable language (ISO 639-1 where there is one) and its probability; ('', 0.0) for a
    page with nothing to read."""

    name: str

    def detect(self, page: str) -> tuple[str, float]: ...


def is_blank(page: str) -> bool:
    """Nothing but ASCII punctuation and spaces, newlines aside: DCLM asks no model about such a page."""
    return all(c in _NOTHING_TO_READ for c in page.replace("\n", ""))


class LangidDetector:
    """py3langid (naive Bayes over byte n-grams, 97 languages), with normalised probabilities."""

    name = "py3langid"

    def __init__(self) -> None:
        from py3langid.langid import MODEL_FILE, LanguageIdentifier

        self._identifier: Any = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)

    def detect(self, page: str) -> tuple[str, float]:
        if is_blank(page):
            return "", 0.0
        language, probability = self._identifier.classify(page)
        return str(language), float(probability)


class FastTextDetector:
    """fastText lid.176 (`.bin` or `.ftz`). `glue_lines` deletes newlines as DCLM's code does, which joins the words on
    both sides; otherwise they become spaces."""

    def __init__(self, path: Path, glue_lines: bool) -> None:
        import fasttext

        self.name = path.name
        self._model: Any = fasttext.load_model(str(path))
        self._newline = "" if glue_lines else " "

    def detect(self, page: str) -> tuple[str, float]:
        if is_blank(page):
            return "", 0.0
        labels, probabilities = self._model.predict(page.replace("\n", self._newline), k=1)
        if not labels or math.isnan(probabilities[0]):
            return "", 0.0
        return labels[0].removeprefix("__label__"), float(probabilities[0])


def detect_all(detector: Detector, pages: list[str | None]) -> tuple[list[str | None], np.ndarray]:
    """Languages and float64 scores of `pages`; None and NaN where the page is None."""
    answers = [(None, math.nan) if page is None else detector.detect(page) for page in pages]
    return [language for language, _ in answers], np.array([score for _, score in answers], np.float64)
