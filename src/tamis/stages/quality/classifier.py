"""The fastText classifier, run by our own kernel: texts are prepared and scores are read as in DCLM."""

import io

import numpy as np
import pyarrow as pa

from tamis.base.errors import ConfigError
from tamis.base.stage import Asset
from tamis.kernels.fasttext.classifier import TextClassifier
from tamis.kernels.text.decoding import views

GOOD = "__label__hq"
POOL = "__label__cc"
"""Labels of DCLM's classifiers."""


def flatten(text: str) -> str:
    """`text` on one line, as DCLM's `classify_fasttext_hq_prob_enricher` feeds it: stripped, lines joined by spaces."""
    return " ".join(text.strip().splitlines())


class Classifier:
    """A model, loaded from a file or from its bytes. Raises ConfigError when it is not a fastText classifier, or has
    other labels than DCLM's."""

    def __init__(self, model: Asset | bytes) -> None:
        name = "the model trained here" if isinstance(model, bytes) else str(model)
        try:
            with io.BytesIO(model) if isinstance(model, bytes) else model.open_local() as file:
                self._model = TextClassifier(file)
        except ValueError as error:
            raise ConfigError(f"quality.model: {name} is not a fastText model that can be used: {error}") from None
        labels = self._model.labels
        if sorted(labels) != [POOL, GOOD]:
            raise ConfigError(
                f"quality.model: {name} has the labels {', '.join(labels[:5])}; it must have {GOOD} and {POOL}"
            )
        self._good, self._pool = labels.index(GOOD), labels.index(POOL)

    def scores(self, texts: pa.Array) -> np.ndarray:
        """float32, shape (len(texts),): p of the more likely label if that is `__label__hq`, else 1 - p.

        `texts` is a string or large_string array, each fed as `flatten` gives it. fastText adds 1e-5 to every
        probability, so scores range from -0.00001 to 1.00001. Empty texts and nulls are scored as an empty line; a text
        without any feature that the model knows, for which fastText gives no label, scores 0.
        """
        probabilities = self._model.probabilities(*views(texts), is_page=True)
        good, pool = probabilities[:, self._good], probabilities[:, self._pool]
        # Of equal labels fastText names the later one.
        is_good = good >= pool if self._good > self._pool else good > pool
        return np.nan_to_num(np.where(is_good, good, np.float32(1) - pool), nan=0.0)

    @property
    def num_words(self) -> int:
        return self._model.num_words
