"""The language detector that `filter.language_model` names, the language codes that it knows, and the detector
langdetect."""

import importlib
import importlib.util
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np

from tamis.base.errors import ConfigError
from tamis.base.stage import Asset
from tamis.stages.filter.language import Detector, FastTextDetector, LangidDetector
from tamis.stages.filter.languages import chosen_labels, short_code

LANGDETECT = "langdetect"
PY3LANGID = "py3langid"
HELIPORT = "heliport"
PACKAGES = (LANGDETECT, PY3LANGID, HELIPORT)
"""Values of `filter.language_model` that use the package of that name; null uses PY3LANGID."""
ANY = "any"
"""In `filter.keep_languages`: every language."""


class LangdetectDetector(Detector):
    """The package langdetect (naive Bayes over character n-grams, 55 languages), which DCLM's c4.yaml uses; the most
    probable of its candidates counts. It samples n-grams, but with the seed fixed a page always gets the same
    result."""

    name = LANGDETECT

    def __init__(self) -> None:
        factory: Any = importlib.import_module("langdetect.detector_factory")
        self._failed: Any = importlib.import_module("langdetect.lang_detect_exception").LangDetectException
        self._factory = factory.DetectorFactory()
        # Sorted by name, because the package takes them in the order in which the file system lists them.
        profiles = sorted(files("langdetect").joinpath("profiles").iterdir(), key=lambda file: file.name)
        self._factory.load_json_profile([file.read_text("utf-8") for file in profiles])
        self._factory.set_seed(0)
        self.labels = list(self._factory.get_lang_list())

    def probabilities(self, pages: list[str]) -> np.ndarray:
        return np.stack([self._of_page(page) for page in pages])

    def _of_page(self, page: str) -> np.ndarray:
        detector = self._factory.create()
        detector.append(page)
        shares = np.zeros(len(self.labels))
        try:
            found = detector.get_probabilities()
        except self._failed:  # The page has no letter that occurs in any of its languages.
            found = []
        for candidate in found:
            shares[self.labels.index(candidate.lang)] = candidate.prob
        return shares if found else np.full(len(self.labels), np.nan)


class HeliportDetector(Detector):
    """The package heliport (HeLI: words and character n-grams, 220 languages; GPL-3.0), which answers well on pages
    that are mostly code, but takes several times as long as py3langid.

    Of two languages whose scores (mean negative decimal logarithms of the probability of a word) differ by d, the
    better one has the probability 1 / (1 + 10 ** -d) for a single word; this is the score of the best against the next.
    """

    name = HELIPORT

    def __init__(self) -> None:
        package: Any = importlib.import_module(HELIPORT)
        self._identifier = package.Identifier()
        # Some languages have several models (`msaind`, `msazsm`), whose answers are all the first three letters.
        codes = sorted({name[:3] for name in self._identifier.get_confidence_all()} - {*_NO_LANGUAGE})
        self.labels = list(dict.fromkeys(map(short_code, codes)))
        self._column = {code: self.labels.index(short_code(code)) for code in codes}

    def probabilities(self, pages: list[str]) -> np.ndarray:
        out = np.zeros((len(pages), len(self.labels)))
        for row, page in zip(out, pages, strict=True):
            best, *others = self._identifier.identify_topk_with_score(page, 2)
            if best[0] in _NO_LANGUAGE:
                row[:] = np.nan
                continue
            apart = others[0][1] - best[1] if others else np.inf
            row[self._column[best[0]]] = 1 / (1 + 10.0**-apart)
        return out


_NO_LANGUAGE = ("und", "zxx")
"""Undetermined, and no linguistic content."""


def open_detector(model: str | None, file: Asset | None, *, paper: bool) -> Detector:
    """The detector that `filter.language_model` names; `file` is the model's file, where it names a file. Raises
    ConfigError when the file is not a model."""
    if model == LANGDETECT:
        return LangdetectDetector()
    if model == HELIPORT:
        return HeliportDetector()
    return LangidDetector() if file is None else FastTextDetector(file, glue_lines=paper)


def check_detector(model: str | None) -> None:
    """Raises ConfigError when the package that `filter.language_model` names is not installed."""
    for package in (LANGDETECT, HELIPORT):
        if model == package and importlib.util.find_spec(package) is None:
            raise ConfigError(
                f"filter.language_model: {package} is not installed. `pip install {package}`, or remove this setting "
                "(py3langid comes with Tamis)"
            )


def labels_of(model: str | None) -> tuple[str, ...] | None:
    """The labels of the detector that `filter.language_model` names; None where only its file says them."""
    name = PY3LANGID if model is None else model.rsplit("/")[-1]
    return next((known for kind, known in _codes().items() if name == kind or name.startswith(f"{kind}.")), None)


def labels_kept(languages: Sequence[str], model: str | None, labels: Sequence[str] | None = None) -> list[str]:
    """The labels of the detector that `languages` (`FilterConfig.languages`) name. `labels` are all that it has, if it
    is open; until then they are those of its name, and where that says none, the codes stand for themselves.

    Raises ConfigError for a code that the detector does not know.
    """
    known = labels_of(model) if labels is None else labels
    if known is None:
        return [code for code in languages if code != ANY]
    if list(languages) == [ANY]:
        return list(known)
    name = PY3LANGID if model is None else model.rsplit("/")[-1]
    return chosen_labels(languages, known, name, "filter.keep_languages")


@cache
def _codes() -> dict[str, tuple[str, ...]]:
    """Name of a detector -> the language codes that it knows."""
    text = files("tamis.stages.filter").joinpath("language_codes.txt").read_text("utf-8")
    parts = (line.split(": ") for line in text.splitlines())
    return {name: tuple(codes.split()) for name, codes in parts}
