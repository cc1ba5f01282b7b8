"""Settings of `quality`, and which of them can be combined."""

from typing import Any, Self

from pydantic import Field, model_validator

from tamis.base.config import Config
from tamis.stages.cut.config import DOCUMENTS

FASTTEXT = "fasttext"
FASTTEXT_SETTINGS = ("dim", "epoch", "lr", "word_ngrams", "buckets", "min_count")
"""How fastText is trained."""
TRAINING_SETTINGS = ("positives", "candidate_fraction", "num_train_documents", *FASTTEXT_SETTINGS)
"""Settings that only have an effect when the run trains the scorer."""
SHARE_SETTINGS = ("of", "tokenizer", "by")
"""Settings that only have an effect with `keep_fraction`."""


class QualityConfig(Config):
    """Settings of `quality`: a scorer, and one cut, `keep_fraction` or `threshold`."""

    scorer: str = FASTTEXT
    """The scorer of the documents: `fasttext`, or one of your own as `./file.py:name` or `package.module:name`, which
    is a function of a text, or a class as `scorers.Scorer` describes it."""
    options: dict[str, Any] = Field(default={})
    """Keyword arguments for the class that `scorer` names."""
    model: str | None = None
    """A trained fastText classifier (.bin) with the labels `__label__hq` and `__label__cc`."""
    positives: str = "python-topics"
    """Without `model`, the classifier is trained in the run on these good documents against documents of the pool: a
    file (JSONL with a field `text`, or one document per line; plain, gzip, LZ4 or zstd), or `python-topics`, the
    English prose of this Python's own library: a substitute that works offline. DCLM: OpenHermes 2.5 and ELI5."""
    keep_fraction: float | None = Field(default=None, gt=0, le=1)
    """Keep this share of the documents, those with the highest scores; the threshold is computed from the pool."""
    threshold: float | None = None
    """Keep documents that score at least this; 0.018112 is DCLM-Baseline's, for DCLM's model."""
    of: str = DOCUMENTS
    """What `keep_fraction` is a share of: `documents`, `bytes`, `tokens` or the sum of a column, as in `cut`."""
    tokenizer: str | None = None
    """With `of: tokens`: the tokenizer.json that counts them."""
    by: str | None = None
    """With `keep_fraction`: a column such as `language`; the share is kept in every group of documents with the same
    value."""
    annotate: bool = False
    """Only write the score and remove nothing; a later `cut` step can use it."""
    candidate_fraction: float = Field(default=1.0, gt=0, le=1)
    """Share of the pool's documents, chosen by a hash of their ids, from which the negatives are taken. Their texts are
    in memory while the classifier is trained: lower the share for a pool larger than memory."""
    num_train_documents: int = Field(default=10_000, ge=20)
    """Largest number of positives, and of negatives; of the larger class only as many documents as in the smaller one
    are used. DCLM: 200000."""
    dim: int = Field(default=32, ge=1)
    """Width of the word vectors. DCLM: 100."""
    epoch: int = Field(default=5, ge=1)
    """Number of passes over the training documents. DCLM: 5."""
    lr: float = Field(default=0.1, gt=0)
    """Learning rate at the start, which falls linearly to 0. DCLM: 0.1."""
    word_ngrams: int = Field(default=2, ge=1, le=5)
    """Longest run of words that is a feature. DCLM: 2."""
    buckets: int = Field(default=50_000, ge=1)
    """Number of rows into which word n-grams are hashed. DCLM: 2000000."""
    min_count: int = Field(default=1, ge=1)
    """Words rarer than this in the training documents have no vector. DCLM: 1."""

    @model_validator(mode="after")
    def _one_cut(self) -> Self:
        given = [name for name in ("keep_fraction", "threshold") if getattr(self, name) is not None]
        if self.annotate and given:
            raise ValueError(f"`annotate` removes nothing, but `{given[0]}` is given; remove one of them")
        if not self.annotate and len(given) != 1:
            raise ValueError("give either `keep_fraction` or `threshold`, and not both (or `annotate: true` and none)")
        shares = [name for name in SHARE_SETTINGS if name in self.model_fields_set]
        if self.keep_fraction is None and shares:
            raise ValueError(f"{', '.join(shares)}: only with `keep_fraction`")
        return self

    @model_validator(mode="after")
    def _settings_of_the_scorer(self) -> Self:
        set_here = self.model_fields_set
        unused = sorted(set_here.intersection(TRAINING_SETTINGS))
        if self.model is not None and unused:
            raise ValueError(
                f"{', '.join(unused)}: for training only, but `model` names a classifier that is already trained"
            )
        foreign = sorted(set_here.intersection(("model", *FASTTEXT_SETTINGS)))
        if self.scorer != FASTTEXT and foreign:
            raise ValueError(
                f"{', '.join(foreign)}: for the scorer fasttext only; give yours what it needs as `options`"
            )
        if self.scorer == FASTTEXT and self.options:
            raise ValueError("`options` are for a scorer of your own; fasttext has settings, such as `dim`")
        return self
