"""Settings of `quality`, and which of them go together."""

from typing import Self

from pydantic import Field, model_validator

from tamis.base.config import Config

TRAINING_SETTINGS = (
    *("positives", "candidate_fraction", "num_train_documents"),
    *("dim", "epoch", "lr", "word_ngrams", "buckets", "min_count"),
)
"""Settings that mean something only when the classifier is trained by the run."""


class QualityConfig(Config):
    """Settings of `quality`: a classifier, given as `model` or trained in the run, and one cut, `keep_fraction` or
    `threshold`."""

    model: str | None = None
    """A trained fastText classifier (.bin) with the labels `__label__hq` and `__label__cc`."""
    positives: str = "python-topics"
    """Without `model`, the classifier is trained in the run on these good documents against documents of the pool: a
    file (JSONL with a field `text`, or one document per line; plain, gzip, LZ4 or zstd), or `python-topics`, the
    English prose of this Python's own library: a stand-in that works offline. DCLM: OpenHermes 2.5 and ELI5."""
    keep_fraction: float | None = Field(default=None, gt=0, le=1)
    """Keep this share of the documents, those that score highest; the threshold follows from the pool."""
    threshold: float | None = None
    """Keep documents that score at least this; 0.018112 is DCLM-Baseline's, for DCLM's model."""
    candidate_fraction: float = Field(default=1.0, gt=0, le=1)
    """Share of the pool's documents, chosen by a hash of their ids, among which the negatives are looked for. Their
    texts are in memory while the classifier is trained: lower it for a pool larger than memory."""
    num_train_documents: int = Field(default=10_000, ge=20)
    """Largest number of positives, and of negatives; the larger class is cut to the size of the smaller. DCLM:
    200000."""
    dim: int = Field(default=32, ge=1)
    """Width of the word vectors. DCLM: 100."""
    epoch: int = Field(default=5, ge=1)
    """Times the training documents are seen. DCLM: 5."""
    lr: float = Field(default=0.1, gt=0)
    """Learning rate at the start; falls linearly to 0. DCLM: 0.1."""
    word_ngrams: int = Field(default=2, ge=1, le=5)
    """Longest run of words that is a feature. DCLM: 2."""
    buckets: int = Field(default=50_000, ge=1)
    """Rows that word runs are hashed into. DCLM: 2000000."""
    min_count: int = Field(default=1, ge=1)
    """Words rarer than this in the training documents have no vector. DCLM: 1."""

    @model_validator(mode="after")
    def _one_of_each(self) -> Self:
        if (self.keep_fraction is None) == (self.threshold is None):
            raise ValueError("give either `keep_fraction` or `threshold`, and not both")
        unused = sorted(self.model_fields_set.intersection(TRAINING_SETTINGS))
        if self.model is not None and unused:
            raise ValueError(
                f"{', '.join(unused)}: for training only, but `model` names a classifier that is already trained"
            )
        return self
