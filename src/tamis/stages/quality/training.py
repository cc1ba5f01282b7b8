"""Training of the classifier with fastText itself, in a way that can be repeated to the byte.

fastText reads and writes files only, so the training set and the model pass through a temporary folder.
"""

from dataclasses import dataclass

import fasttext

from tamis.base.seeds import named_rng, named_seed
from tamis.base.stage import ScratchFolder
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


def train(
    positives: list[str], negatives: list[str], config: FastTextSettings, seed: int, folder: ScratchFolder
) -> bytes:
    """The bytes of a fastText model told to tell `positives` from `negatives`; its files pass through `folder`.

    The same texts, settings and seed give the same bytes: one thread (fastText's threads race on the weights), and an
    order of the documents that depends on `seed` alone. The rest are the defaults of DCLM's trainer (softmax loss).
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
    """One line in which no word can pass for a label: a page that says `__label__hq` must not vote for itself."""
    return flatten(text).replace("__label__", "label ")
