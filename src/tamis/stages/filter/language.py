"""The language of a page and its probability: by DCLM's fastText lid.176 where its file is given, else by py3langid.

py3langid's model comes with its package, so the rule works offline. The scores of the two models are not on one scale,
so the card names the model as the source of the language rules. Both models read the whole page, as in DCLM.
"""

import math
import string
import unicodedata
from abc import ABC, abstractmethod
from typing import Any

import numpy as np

from tamis.base.errors import ConfigError
from tamis.base.stage import Asset
from tamis.kernels.fasttext.classifier import TextClassifier
from tamis.kernels.language import langid

_NOTHING_TO_READ = string.punctuation + " \n"


class Detector(ABC):
    """A model that detects languages."""

    name: str
    labels: list[str]
    """Language codes, from ISO 639-1 where it has one."""

    @abstractmethod
    def probabilities(self, pages: list[str]) -> np.ndarray:
        """Probabilities, float[pages, labels]; NaN for a page in which the model finds no feature."""

    def detect(self, page: str) -> tuple[str, float]:
        """The most probable language of one page and its probability; ('', 0.0) for a page without text that a model
        can use."""
        (language,), (score,) = detect_all(self, [page])
        return language, float(score)


def is_blank(page: str) -> bool:
    """Matches a page of ASCII punctuation, spaces and newlines alone, for which DCLM does not call the model."""
    return not page.strip(_NOTHING_TO_READ)


class LangidDetector(Detector):
    """py3langid's model (naive Bayes over byte n-grams, 140 languages) with its normalised probabilities, scored by our
    kernel, which gives the same results as the package at fifty times the speed."""

    name = "py3langid"

    def __init__(self) -> None:
        from py3langid.langid import MODEL_FILE, LanguageIdentifier

        model: Any = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
        columns = list(model.nb_classes)
        self.labels = list(dict.fromkeys(columns))
        self._label_of_column = np.array([self.labels.index(label) for label in columns])
        self._priors = np.asarray(model.nb_pc, np.float32)
        self._weights = langid.integer_weights(model.nb_ptc)
        self._automaton = langid.automaton(model.tk_nextmove, model.tk_row, model.tk_output, len(self._weights))

    def probabilities(self, pages: list[str]) -> np.ndarray:
        texts = [_composed(page.lower() if page.isupper() else page).encode() for page in pages]
        scores = langid.scores(texts, self._automaton, self._weights, self._priors).astype(np.float64)
        # Without a known feature all languages are equally probable, as in py3langid.
        scores[np.isnan(scores[:, 0])] = 0.0
        lengths = np.array([[len(text)] for text in texts])
        shares = np.exp((scores - scores.max(axis=1, keepdims=True)) / np.sqrt(lengths))
        shares /= shares.sum(axis=1, keepdims=True)
        # Some languages have one column per script.
        out = np.zeros((len(pages), len(self.labels)))
        np.add.at(out.T, self._label_of_column, shares.T)
        return out


def _composed(page: str) -> str:
    return page if page.isascii() else unicodedata.normalize("NFC", page)


class FastTextDetector(Detector):
    """fastText lid.176 (`.bin` or `.ftz`), read and scored by our kernel. `glue_lines` deletes newlines as DCLM's code
    does, which joins the words on both sides; otherwise they become spaces.

    Raises ConfigError when the file is no fastText classifier.
    """

    def __init__(self, file: Asset, glue_lines: bool) -> None:
        self.name = file.name
        try:
            with file.open_local() as stream:
                self._model = TextClassifier(stream)
        except ValueError as error:
            raise ConfigError(
                f"filter.language_model: {file} is not a fastText model that can be used: {error}"
            ) from None
        self.labels = [label.removeprefix("__label__") for label in self._model.labels]
        if "sq" in self.labels:
            # Wikipedia, on which lid.176 was trained, calls Alemannic by what is Albanian (`sq`) in ISO 639-3.
            self.labels = ["gsw" if label == "als" else label for label in self.labels]
        self._newline = "" if glue_lines else " "

    def probabilities(self, pages: list[str]) -> np.ndarray:
        texts = [page.replace("\n", self._newline).encode() for page in pages]
        offsets = np.cumsum([0, *map(len, texts)])
        return self._model.probabilities(np.frombuffer(b"".join(texts), np.uint8), offsets)


def detect_all(detector: Detector, pages: list[str]) -> tuple[list[str], np.ndarray]:
    """The most probable languages and their probabilities (float64) of `pages`; '' and 0.0 for pages without text that
    a model can use."""
    languages, scores = [""] * len(pages), np.zeros(len(pages))
    asked = [i for i, page in enumerate(pages) if not is_blank(page)]
    if not asked:
        return languages, scores
    found = detector.probabilities([pages[i] for i in asked])
    best = found.argmax(axis=1)
    highest = found[np.arange(len(asked)), best]
    for i, label, score in zip(asked, best.tolist(), highest.tolist(), strict=True):
        if not math.isnan(score):
            languages[i], scores[i] = detector.labels[label], score
    return languages, scores
