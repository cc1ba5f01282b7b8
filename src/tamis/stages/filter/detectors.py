"""The language detector that `filter.language_model` names, the language codes that it knows, and the detector
langdetect."""

import importlib
import importlib.util
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np

from tamis.base.errors import ConfigError, did_you_mean
from tamis.base.stage import Asset
from tamis.stages.filter.language import Detector, FastTextDetector, LangidDetector

LANGDETECT = "langdetect"
PY3LANGID = "py3langid"
"""Values of `filter.language_model` that use the package of that name; null uses PY3LANGID."""


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


def open_detector(model: str | None, file: Asset | None, *, paper: bool) -> Detector:
    """The detector that `filter.language_model` names; `file` is the model's file, where it names a file. Raises
    ConfigError when the file is not a model."""
    if model == LANGDETECT:
        return LangdetectDetector()
    return LangidDetector() if file is None else FastTextDetector(file, glue_lines=paper)


def check_languages(languages: list[str], model: str | None) -> None:
    """Raises ConfigError when the detector is not installed or does not know one of the languages. Of a fastText model,
    the languages are assumed to be those of lid.176."""
    if model == LANGDETECT and importlib.util.find_spec(LANGDETECT) is None:
        raise ConfigError(
            "filter.language_model: langdetect is not installed. `pip install langdetect`, or remove this setting "
            "(py3langid comes with Tamis)"
        )
    name = PY3LANGID if model is None else model.rsplit("/")[-1]
    codes = next((known for kind, known in _codes().items() if name == kind or name.startswith(f"{kind}.")), None)
    for number, language in enumerate(languages):
        if codes is not None and language not in codes:
            raise ConfigError(
                f"filter.keep_languages.{number}: {name} knows no language '{language}'"
                f"{did_you_mean(language, codes)}. Give codes as `en`, `de`, `zh`; [] keeps every language"
            )


@cache
def _codes() -> dict[str, tuple[str, ...]]:
    """Name of a detector -> the language codes that it knows."""
    text = files("tamis.stages.filter").joinpath("language_codes.txt").read_text("utf-8")
    parts = (line.split(": ") for line in text.splitlines())
    return {name: tuple(codes.split()) for name, codes in parts}
