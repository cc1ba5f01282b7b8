"""The trained classifier of blocks: gradient-boosted trees as `bench/fit_extract.py` writes them, read from the
package."""

from typing import Any

import numpy as np

from tamis.kernels.html.features import FEATURE_NAMES
from tamis.kernels.html.trees import predict


class BlockModel:
    """Log-odds that a block is article text. `document` is the JSON object of a model file."""

    def __init__(self, document: dict[str, Any]) -> None:
        assert tuple(document["features"]) == FEATURE_NAMES, "the model was fitted to other features: fit it again"
        trees = document["trees"]
        self._arrays = (
            np.array(trees["roots"], np.int32), np.array(trees["feature"], np.int32),
            np.array(trees["threshold"], np.float32), np.array(trees["left"], np.int32),
            np.array(trees["right"], np.int32), np.array(trees["value"], np.float64),
        )  # fmt: skip
        self.threshold = float(document["threshold"])

    def scores(self, features: np.ndarray) -> np.ndarray:
        """float64[n] for float32[n, NUM_FEATURES]."""
        scores: np.ndarray = predict(features, *self._arrays)
        return scores

    def keeps(self, features: np.ndarray) -> np.ndarray:
        """bool[n]: which blocks are classified as article text."""
        return self.scores(features) > self.threshold
