"""Training of the classifier with fastText itself, in a way that can be repeated to the byte.

fastText reads and writes files only, so the training set and the model pass through temporary files here.
"""

import tempfile
from dataclasses import dataclass
from pathlib import Path

import fasttext

from tamis.base.seeds import named_rng, named_seed
from tamis.stages.quality.classifier import GOOD, POOL, flatten


@dataclass(frozen=True, kw_only=True)
class FastTextSettings:
    """As the settings of `quality` with these names."""

    dim: int = 32
    epoch: int = 5
    lr: float = 0.1
    word_ngrams: int = 2
    buckets: int = 50_000
    min_count: int = 1


def train(positives: list[str], negatives: list[str], config: FastTextSettings, seed: int) -> bytes:
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
