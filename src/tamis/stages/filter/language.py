"""Which language a page is in, and how surely: DCLM's fastText lid.176 where its file is given, else py3langid.

py3langid's model comes with its package, so the rule works offline; the scores of the two are not on one scale, so the
source of the language rules, on the card, names the model that answered. Both look at the whole page, as DCLM does.
"""

import math
import string
import unicodedata
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from tamis.base.errors import ConfigError
from tamis.kernels.fasttext import TextClassifier
from tamis.kernels.langid import LANGUAGES_MULTIPLE, add_weights, automaton_depth, count_features

_NOTHING_TO_READ = string.punctuation + " \n"


class Detector(Protocol):
    """`detect` returns the most probable language (ISO 639-1 where there is one) and its probability; ('', 0.0) for a
    page with nothing to read."""

    name: str

    def detect(self, page: str) -> tuple[str, float]: ...


def is_blank(page: str) -> bool:
    """Nothing but ASCII punctuation, spaces and newlines: DCLM asks no model about such a page."""
    return not page.strip(_NOTHING_TO_READ)


class LangidDetector:
    """py3langid's model (naive Bayes over byte n-grams, 140 languages) with its normalised probabilities, scored by our
    kernel; the package itself answers the same at a tenth of the speed."""

    name = "py3langid"

    def __init__(self) -> None:
        from py3langid.langid import MODEL_FILE, LanguageIdentifier

        model: Any = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
        self._labels: list[str] = list(model.nb_classes)
        padding = -len(self._labels) % LANGUAGES_MULTIPLE
        self._priors = np.pad(np.asarray(model.nb_pc, np.float32), (0, padding))
        self._weights = np.pad(np.asarray(model.nb_ptc, np.float32), ((0, 0), (0, padding)))
        self._next_state = np.asarray(model.tk_nextmove, np.uint32)
        self._state_row = np.asarray(model.tk_row, np.uint32)
        self._feature_of_state = np.asarray(model.tk_output, np.int32)
        self._depth = automaton_depth(self._next_state, self._state_row)
        self._counts = np.zeros(len(self._weights), np.int32)
        first = {label: i for i, label in reversed(list(enumerate(self._labels)))}
        self._column_of_label = np.array([first[label] for label in self._labels])

    def detect(self, page: str) -> tuple[str, float]:
        if is_blank(page):
            return "", 0.0
        page = page.lower() if page.isupper() else page
        data = np.frombuffer(unicodedata.normalize("NFC", page).encode(), np.uint8)
        scores, seen = self._priors.copy(), np.empty(len(data), np.int32)
        automaton = (self._next_state, self._state_row, self._feature_of_state, self._depth)
        distinct = count_features(data, *automaton, self._counts, seen)
        add_weights(self._counts, seen, distinct, self._weights, scores)
        raw = scores[: len(self._labels)].astype(np.float64) if distinct else np.zeros(len(self._labels))
        probabilities = np.exp((raw - raw.max()) / math.sqrt(len(data)))
        # some languages have one column per script
        per_label = np.bincount(self._column_of_label, probabilities / probabilities.sum())
        best = int(per_label.argmax())
        return self._labels[best], float(per_label[best])


class FastTextDetector:
    """fastText lid.176 (`.bin` or `.ftz`), read and scored by our kernel. `glue_lines` deletes newlines as DCLM's code
    does, which joins the words on both sides; otherwise they become spaces.

    Raises ConfigError when the file is no fastText classifier.
    """

    def __init__(self, path: Path, glue_lines: bool) -> None:
        self.name = path.name
        try:
            self._model = TextClassifier(path)
        except ValueError as error:
            raise ConfigError(
                f"filter.language_model: {path} is not a fastText model that can be used: {error}"
            ) from None
        self._languages = [label.removeprefix("__label__") for label in self._model.labels]
        self._newline = "" if glue_lines else " "

    def detect(self, page: str) -> tuple[str, float]:
        if is_blank(page):
            return "", 0.0
        data = np.frombuffer(page.replace("\n", self._newline).encode(), np.uint8)
        probabilities = self._model.probabilities(data, np.array([0, len(data)]))[0]
        best = int(probabilities.argmax())
        if math.isnan(probabilities[best]):
            return "", 0.0
        return self._languages[best], float(probabilities[best])


def detect_all(detector: Detector, pages: list[str]) -> tuple[list[str], np.ndarray]:
    """Languages and float64 scores of `pages`."""
    answers = [detector.detect(page) for page in pages]
    return [language for language, _ in answers], np.array([score for _, score in answers], np.float64)
