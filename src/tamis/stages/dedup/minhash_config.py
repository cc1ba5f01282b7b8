"""Settings of `dedup` with `method: minhash`, the presets of published pipelines, and what to expect of them."""

from typing import Any, Literal

import numpy as np
from pydantic import Field, model_validator

from tamis.base.config import Config
from tamis.stages.dedup.survivors import LONGEST

PRESETS: dict[str, dict[str, Any]] = {
    "fineweb": {"bands": 14, "rows": 8, "ngram": 5, "verify": "none"},
    "refinedweb": {"bands": 450, "rows": 20, "ngram": 5, "verify": "none"},
    "dclm": {"bands": 93, "rows": 15, "ngram": 5, "verify": "none"},
    "dolma3": {"bands": 26, "rows": 11, "ngram": 5, "verify": "jaccard", "min_similarity": 0.8},
    "marin": {
        "bands": 26, "rows": 11, "ngram": 5, "verify": "contained", "verify_ngram": 3, "min_similarity": 1.0,
        "keep": LONGEST,
    },
}  # fmt: skip
"""Name -> settings. FineWeb: arXiv 2406.17557, 3.4. RefinedWeb: arXiv 2306.01116, appendix G.3. DCLM: its copy of
RefinedWeb (`rw_v2_w_substr`). Dolma 3: the README of its pools. Marin: the retrieval of issue 7591 and the verifier of
pull request 8114 of marin-community/marin, without its tests of repetitive and of unspaced texts."""


class MinHashConfig(Config):
    """Settings of `dedup` with `method: minhash`."""

    method: Literal["minhash"] = "minhash"
    preset: Literal["fineweb", "refinedweb", "dclm", "dolma3", "marin"] | None = None
    """Settings of a published pipeline, for those that are not given."""
    bands: int = Field(default=14, ge=1, le=1024)
    """Keys per document; one in common makes two documents candidates. The defaults, 14 x 8, are FineWeb's (arXiv
    2406.17557); DCLM's early experiments took 93 x 15, near RefinedWeb's 450 x 20."""
    rows: int = Field(default=8, ge=1, le=1024)
    """Minima that make one key: all must be equal."""
    ngram: int = Field(default=5, ge=1, le=1000)
    """Number of units in a shingle. A text of fewer units is one shingle; a text without units is never a duplicate."""
    unit: Literal["word", "character"] = "word"
    """The units of a shingle: words (lower-cased runs of letters and digits), or the characters of these words with one
    blank between words, for languages that are written without blanks; then `ngram` should be 15 to 25."""
    verify: Literal["none", "jaccard", "contained"] = "jaccard"
    """What a removed document and the one that is kept for it have been tested for. `jaccard`: the Jaccard similarity
    of their shingles is at least `min_similarity`. `contained`: the kept one has at least this share of the shingles of
    the removed one, and no fewer shingles in all. `none`: nothing; documents that are linked through others are
    duplicates of one another, as in the published pipelines of RefinedWeb, DCLM and FineWeb."""
    min_similarity: float = Field(default=0.8, gt=0, le=1)
    """Least similarity, with `jaccard` and `contained`."""
    verify_ngram: int | None = Field(default=None, ge=1, le=1000)
    """Number of units in a shingle when documents are verified; default: `ngram`."""
    keep: str = "first"
    """Which copy is kept: first, longest, id, highest:COLUMN or lowest:COLUMN; several with commas between, or quality,
    for `highest:quality_score, longest, id`. With `verify: contained` the default is longest, as only a longer document
    can contain another."""
    num_parts: int = Field(default=1, ge=1, le=4096)
    """Keys of a band are split into this many parts, decided in parallel: more parts, less memory each. The result does
    not depend on it."""
    merge: bool = False
    """Add to the survivor the paragraphs of the removed documents that it lacks. The sketches then hold the texts."""
    self_check: float = Field(default=0.0, ge=0, le=1)
    """Fraction of documents of which a near-copy is planted, to measure recall on this corpus; nothing is removed for
    it."""

    @model_validator(mode="before")
    @classmethod
    def _fill(cls, given: Any) -> Any:
        """Settings with those of the preset in its place: what is the same is then written in the same way."""
        if not isinstance(given, dict):
            return given
        preset = given.get("preset")
        settings = dict(given)
        if isinstance(preset, str) and preset in PRESETS:
            settings = PRESETS[preset] | {name: value for name, value in given.items() if name != "preset"}
        if settings.get("verify") == "contained":
            settings.setdefault("keep", LONGEST)
        return settings


def match_probability(similarity: np.ndarray, bands: int, rows: int) -> np.ndarray:
    """`float64[n]`: probability that documents of Jaccard `similarity` share a key, the S-curve of LSH banding."""
    return np.asarray(1 - (1 - np.asarray(similarity, np.float64) ** rows) ** bands)


def expected_curve(config: MinHashConfig, similarity: np.ndarray) -> np.ndarray:
    """`float64[n]`: probability that one of two documents of Jaccard `similarity` is removed for the other."""
    found = match_probability(similarity, config.bands, config.rows)
    if config.verify == "jaccard":
        return np.where(np.asarray(similarity) >= config.min_similarity, found, 0.0)
    return found


SHOWN_SIMILARITIES = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0)


def describe_curve(config: MinHashConfig) -> str:
    """One line for a user who is about to run it: what share of pairs will be found, by similarity."""
    found = match_probability(np.array(SHOWN_SIMILARITIES), config.bands, config.rows)
    shown = ", ".join(f"{s:g}: {chance:.0%}" for s, chance in zip(SHOWN_SIMILARITIES, found, strict=True))
    line = f"minhash {config.bands} x {config.rows}: pairs found, by Jaccard similarity: {shown}"
    if config.verify == "jaccard":
        return f"{line}; of these, pairs below {config.min_similarity:g} are kept, as they are verified"
    if config.verify == "contained":
        share = f"{config.min_similarity:.0%}".replace("100%", "all")
        return f"{line}; of these, a document goes only when the kept one has {share} of its shingles"
    return f"{line}; nothing is verified, and links form chains"
