"""Trains the classifier with fastText itself, so that the same inputs give the same bytes.

fastText reads and writes files only, so the training set and the model pass through a temporary folder.
"""

from dataclasses import dataclass

import fasttext

from tamis.base.seeds import named_rng, named_seed
from tamis.base.stage import ScratchFolder
from tamis.stages.quality.classifier import GOOD, POOL, flatten


@dataclass(frozen=True, kw_only=True)
class FastTextSettings:
    """Hyper-parameters, as the settings of `quality` with the same names."""

    dim: int = 32
    epoch: int = 5
    lr: float = 0.1
    word_ngrams: int = 2
    buckets: int = 50_000
    min_count: int = 1


def train(
    positives: list[str], negatives: list[str], config: FastTextSettings, seed: int, folder: ScratchFolder
) -> bytes:
    """Train fastText to distinguish `positives` from `negatives`, with its files in `folder`; returns the bytes of the
    model.

    The same texts, settings and seed give the same bytes: there is only one thread, because fastText's threads race on
    the weights, and the order of the documents depends on `seed` alone. All else are the defaults of DCLM's trainer
    (softmax loss).
    """
    lines = [f"{GOOD} {_unlabelled(text)}" for text in positives] + [f"{POOL} {_unlabelled(t)}" for t in negatives]
    order = named_rng(seed, "quality_fit", "order").permutation(len(lines))
    folder.write_text("train.txt", "".join(lines[place] + "\n" for place in order))
    model = fasttext.train_supervised(
        input=str(folder.path("train.txt")),
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
    model.save_model(str(folder.path("model.bin")))
    return folder.read_bytes("model.bin")


def _unlabelled(text: str) -> str:
    """The text on one line in which no word is read as a label: a page that contains `__label__hq` must not count as a
    good one."""
    return flatten(text).replace("__label__", "label ")
