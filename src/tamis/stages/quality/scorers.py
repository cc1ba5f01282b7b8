"""The interface of scorers, and the fastText classifier, which is the scorer that comes with Tamis.

A scorer of the user's is a function of a text that returns a number, or a class like `Scorer`. Every worker makes its
scorer from the settings, so scorers are not pickled.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa

from tamis.base.errors import ConfigError
from tamis.base.plugins import Plugin, blamed, find
from tamis.base.stage import Asset, ScratchFolder, StageContext
from tamis.stages.quality.config import FASTTEXT, FASTTEXT_SETTINGS, QualityConfig


class Scorer:
    """The methods and attributes of a scorer. Only `scores` is required; a scorer whose class has no `fit` is not
    trained in the run."""

    boundary: float | None = None
    """The score above which a document is taken for a good one; None = the median of the held-out documents'."""
    least_spread: float = 0.0
    """A trained scorer is refused as one that learned nothing when its scores of held-out documents differ by no more
    than this."""

    def assets(self) -> dict[str, str]:
        """Name -> path of every file it needs; their contents are in the fingerprint."""
        return {}

    def open(self, assets: Mapping[str, Asset]) -> None:
        """Called once per worker, with the assets by name."""

    def scores(self, texts: pa.Array) -> Any:
        """One number per text (an Arrow array of strings; null = no text); NaN where it cannot be scored."""
        raise NotImplementedError

    # A scorer that is trained also has:
    #   fit(good: list[str], pool: list[str], seed: int) -> bytes    the model, from texts of the two kinds
    #   load(model: bytes) -> None                                   called once per worker, before `scores`


class FastTextModel(Scorer):
    """A trained fastText classifier from a file."""

    def __init__(self, model: str) -> None:
        self._path = model

    def assets(self) -> dict[str, str]:
        return {"model": self._path}

    def open(self, assets: Mapping[str, Asset]) -> None:
        from tamis.stages.quality.classifier import Classifier

        self._classifier = Classifier(assets["model"])

    def scores(self, texts: pa.Array) -> np.ndarray:
        return self._classifier.scores(texts)


class FastTextTrained(Scorer):
    """A fastText classifier that the run trains."""

    boundary = 0.5
    least_spread = 0.01

    def __init__(self, **settings: Any) -> None:
        self._settings = settings

    def fit(self, good: list[str], pool: list[str], seed: int, folder: ScratchFolder) -> bytes:
        """As `fit` of a scorer of the user's, with a folder for the files that fastText reads and writes."""
        from tamis.stages.quality.training import FastTextSettings, train

        return train(good, pool, FastTextSettings(**self._settings), seed, folder)

    def load(self, model: bytes) -> None:
        from tamis.stages.quality.classifier import Classifier

        self._classifier = Classifier(model)

    def scores(self, texts: pa.Array) -> np.ndarray:
        return self._classifier.scores(texts)

    def details(self) -> dict[str, Any]:
        """What the card says of the training."""
        return {"num_words": self._classifier.num_words}


class OfEachText(Scorer):
    """A plain function of a text, as a scorer."""

    def __init__(self, function: Callable[[str], Any]) -> None:
        self._function = function

    def scores(self, texts: pa.Array) -> np.ndarray:
        found = [self._function(text or "") for text in texts.to_pylist()]
        return np.array([np.nan if score is None else score for score in found], np.float64)


@dataclass
class Scoring:
    """Makes the scorer that some settings describe, in any process."""

    config: QualityConfig
    plugin: Plugin | None

    def __getstate__(self) -> dict[str, Any]:
        return {"config": self.config, "plugin": self.plugin}

    @cached_property
    def scorer(self) -> Any:
        """A Scorer, or an object with the required methods."""
        if self.plugin is not None:
            return _own(self.plugin, self.config.options)
        if self.config.model is not None:
            return FastTextModel(self.config.model)
        return FastTextTrained(**{name: getattr(self.config, name) for name in FASTTEXT_SETTINGS})

    @property
    def is_trained(self) -> bool:
        return hasattr(self.scorer, "fit")

    def fitted(self, good: list[str], pool: list[str], context: StageContext) -> bytes:
        """Train the scorer on texts of the two kinds, and return the model. Raises ConfigError where a scorer of the
        user's fails."""
        if self.plugin is None:
            with context.scratch() as folder:
                trained: bytes = self.scorer.fit(good, pool, context.seed, folder)
            self.scorer.load(trained)
            return trained
        with blamed("quality.scorer", self.plugin):
            model: bytes = self.scorer.fit(good, pool, context.seed)
            if not isinstance(model, bytes):
                raise TypeError(f"fit returned {type(model).__name__}, not the bytes of a model")
            self.scorer.load(model)
        return model

    def assets(self) -> dict[str, str]:
        return dict(self.scorer.assets()) if hasattr(self.scorer, "assets") else {}

    def open(self, assets: Mapping[str, Asset]) -> None:
        if hasattr(self.scorer, "open"):
            self.scorer.open(assets)

    def scores(self, texts: pa.Array) -> np.ndarray:
        """float64[len(texts)]. Raises TypeError when the scorer does not return one number per text."""
        found = np.asarray(self.scorer.scores(texts))
        if found.shape != (len(texts),) or found.dtype.kind not in "fiub":
            raise TypeError(
                f"the scorer must return one number per text: expected shape ({len(texts)},), got {found.shape} of "
                f"{found.dtype}"
            )
        return found.astype(np.float64)

    def identity(self) -> list[Any]:
        """What the scores depend on, apart from assets."""
        if self.plugin is not None:
            return [self.plugin.identity(), self.config.options]
        named = [] if self.config.model is not None else [getattr(self.config, name) for name in FASTTEXT_SETTINGS]
        return [FASTTEXT, *named]


def scoring_for(config: QualityConfig) -> Scoring:
    """Raises ConfigError when the scorer does not exist or cannot be made with its options."""
    plugin = None if config.scorer == FASTTEXT else find(config.scorer, "quality.scorer", [FASTTEXT])
    scoring = Scoring(config, plugin)
    if hasattr(scoring.scorer, "fit") and not hasattr(scoring.scorer, "load"):
        raise ConfigError(
            f"quality.scorer: {config.scorer} has `fit` but no `load(model: bytes)`, which takes its result"
        )
    return scoring


def _own(plugin: Plugin, options: dict[str, Any]) -> Any:
    made = plugin.load()
    if not isinstance(made, type):
        if options:
            raise ConfigError(f"quality.options: {plugin.name} is a function of a text, which takes no options")
        return OfEachText(made)
    with blamed("quality.options", plugin):
        scorer = made(**options)
    if not callable(getattr(scorer, "scores", None)):
        raise ConfigError(f"quality.scorer: {plugin.name} has no method `scores(texts)`")
    return scorer
