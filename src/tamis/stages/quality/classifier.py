"""The fastText classifier: DCLM's way of feeding it text and reading its score, and training that can be repeated.

fastText reads and writes files only, so models and training sets pass through temporary files here.
"""

import tempfile
from pathlib import Path

import fasttext
import numpy as np

from tamis.base.errors import ConfigError
from tamis.base.seeds import named_rng, named_seed
from tamis.stages.quality.config import QualityConfig

GOOD = "__label__hq"
POOL = "__label__cc"
"""Labels of DCLM's classifiers."""


def flatten(text: str) -> str:
    """`text` on one line, as DCLM's `classify_fasttext_hq_prob_enricher` feeds it: stripped, lines joined by spaces."""
    return " ".join(text.strip().splitlines())


class Classifier:
    """A loaded model. Raises ConfigError when the file is no fastText model, or has other labels than DCLM's."""

    def __init__(self, path: Path) -> None:
        try:
            self._model = fasttext.load_model(str(path))
        except ValueError as error:
            raise ConfigError(f"quality.model: {path} is not a fastText model ({error})") from None
        labels = sorted(self._model.get_labels())
        if labels != [POOL, GOOD]:
            raise ConfigError(
                f"quality.model: {path} tells {', '.join(labels[:5])} apart; it must have the labels {GOOD} and {POOL}"
            )

    @classmethod
    def from_bytes(cls, model: bytes) -> "Classifier":
        with tempfile.NamedTemporaryFile(suffix=".bin") as file:
            file.write(model)
            file.flush()
            return cls(Path(file.name))

    def scores(self, texts: list[str]) -> np.ndarray:
        """float32, shape (len(texts),): p of the more likely label if that is `__label__hq`, else 1 - p.

        fastText adds 1e-5 to every probability, so scores go from -0.00001 to 1.00001. Empty texts are scored as an
        empty line.
        """
        labels, probabilities = self._model.predict([flatten(text) for text in texts], k=1)
        likelier = np.array([p[0] for p in probabilities], dtype=np.float32)
        good = np.array([label[0] != POOL for label in labels], dtype=bool)
        return np.where(good, likelier, np.float32(1) - likelier)

    @property
    def num_words(self) -> int:
        return len(self._model.get_words())


def train(positives: list[str], negatives: list[str], config: QualityConfig, seed: int) -> bytes:
    """The bytes of a fastText model told to tell `positives` from `negatives`.

    The same texts, settings and seed give the same bytes: one thread (fastText's threads race on the weights), and an
    order of the documents that depends on `seed` alone. The rest are the defaults of DCLM's trainer (softmax loss).
    """
    lines = [f"{GOOD} {_unlabelled(text)}" for text in positives] + [f"{POOL} {_unlabelled(t)}" for t in negatives]
    order = named_rng(seed, "quality_fit", "order").permutation(len(lines))
    with tempfile.TemporaryDirectory(prefix="tamis-quality-") as folder:
        corpus, output = Path(folder, "train.txt"), Path(folder, "model.bin")
        corpus.write_text("".join(lines[place] + "\n" for place in order), encoding="utf-8", newline="\n")
        model = fasttext.train_supervised(
            input=str(corpus),
            dim=config.dim,
            epoch=config.epoch,
            lr=config.lr,
            wordNgrams=config.word_ngrams,
            bucket=config.buckets,
            minCount=config.min_count,
            thread=1,
            seed=named_seed(seed, "quality_fit", "weights") % 2**31,
            verbose=0,
        )
        model.save_model(str(output))
        return output.read_bytes()


def _unlabelled(text: str) -> str:
    """One line in which no word can pass for a label: a page that says `__label__hq` must not vote for itself."""
    return flatten(text).replace("__label__", "label ")
