"""Exact deduplication over the whole corpus: of every set of equal documents, one is kept.

A document's key is a 128-bit hash of its text or its URL after normalisation. Keys are split over buckets, which are
decided independently; each needs memory for its own keys only.
"""

import hashlib
import re
import unicodedata
from collections.abc import Callable
from typing import ClassVar, Literal
from urllib.parse import urlsplit, urlunsplit

import numpy as np
import pyarrow as pa
from pydantic import Field

from tamis.base import columns
from tamis.base.config import Config
from tamis.base.errors import ConfigError
from tamis.base.stage import Corpus, Cost, Sketches, StageContext
from tamis.base.words import normalize
from tamis.stages.dedup.survivors import LONGEST, DocumentDedup, Keep, choose, decision_table

Normalizer = Literal["none", "standard", "dclm", "ccnet"]


class ExactConfig(Config):
    """Settings of `dedup` with `method: exact`."""

    method: Literal["exact"] = "exact"
    key: Literal["text", "url"] = "text"
    """What is compared."""
    normalize: Normalizer = "standard"
    """How texts or URLs are made comparable; the documents themselves are not changed. `none`: byte for byte.
    `standard`: texts lower-cased with white space squeezed; URLs with lower-case scheme and host, without fragment.
    `dclm`: as DCLM's exact dedup, texts lower-cased and stripped; URLs without scheme, `www.`, tracking query and last
    slashes. `ccnet` (texts): also without punctuation, accents and digits' values."""
    keep: str = "first"
    """Which copy is kept: first, longest, id, highest:COLUMN or lowest:COLUMN; several with commas between, or quality,
    for `highest:quality_score, longest, id`."""
    num_buckets: int = Field(default=1, ge=1, le=4096)
    """Keys are split into this many parts, decided in parallel: more parts, less memory each. The result does not
    depend on it."""


def normalize_url(url: str) -> str:
    """`url` with scheme and host in lower case and without fragment: forms that always name the same page (RFC 3986,
    section 6.2.2.1). Paths and queries keep their case. A string that is not a URL is only stripped."""
    url = url.strip()
    try:
        parts = urlsplit(url)
    except ValueError:
        return url
    return urlunsplit((parts.scheme, parts.netloc.lower(), parts.path, parts.query, ""))


def dclm_text(text: str) -> str:
    """DCLM's `normalize_whitespace_and_lowercase`: stripped and lower-cased. In spite of its name it does not collapse
    white space."""
    return text.strip().lower()


def dclm_url(url: str) -> str:
    """DCLM's `normalize_url` (C4's rule): deletes `http://` and a `www.` after it wherever they stand, then everything
    from `?utm_`, `?ref` or `?feed` to the end of the line, then slashes at the end."""
    url = re.sub(r"https?://(www\.)?", "", url)
    return re.sub(r"\?(utm_|ref|feed).*", "", url).rstrip("/")


def ccnet_text(text: str) -> str:
    """CCNet's paragraph normaliser, applied to a whole text: lower case, digits as 0, no punctuation, control
    characters or accents. Accents are removed by Unicode decomposition. Letters of other scripts are not changed,
    whereas CCNet, as DCLM calls it, transliterates them to ASCII."""
    text = re.sub(r"\d", "0", text.strip().lower())
    text = _PUNCTUATION_OR_CONTROL.sub("", text)
    return "".join(c for c in unicodedata.normalize("NFD", text) if not unicodedata.combining(c))


_PUNCTUATION_OR_CONTROL = re.compile("[，。、„”“«»１」「《》´∶：？！（）；–—．～’…━〈〉【】％►\\x00-\\x1f\\x7f-\\x9f]")


def _unchanged(value: str) -> str:
    return value


NORMALIZERS: dict[tuple[str, Normalizer], Callable[[str], str]] = {
    ("text", "none"): _unchanged, ("url", "none"): _unchanged,
    ("text", "standard"): normalize, ("url", "standard"): normalize_url,
    ("text", "dclm"): dclm_text, ("url", "dclm"): dclm_url,
    ("text", "ccnet"): ccnet_text,
}  # fmt: skip


class ExactDedup(DocumentDedup):
    """Removes documents whose key another document has, as `duplicate_text` or `duplicate_url`.

    Documents without a key (null text, empty URL) are never duplicates; documents with empty text are equal texts.
    """

    version: ClassVar[int] = 2
    config: ExactConfig

    def __init__(self, config: ExactConfig) -> None:
        super().__init__(config, Keep(config.keep), f"duplicate_{config.key}")
        self.column = columns.TEXT if config.key == "text" else columns.URL
        text = (columns.TEXT,) if LONGEST in self.keep.criteria else ()
        self.reads = tuple(dict.fromkeys((*self.reads, self.column, *text)))
        self.num_buckets = config.num_buckets

    def sketch(self, batch: pa.RecordBatch, rows: pa.Array) -> pa.Table:
        """One line per document: `low, high` (uint64: the key; null = none), `id`, `row`; and `rank`, where it decides
        which copy is kept."""
        digests = b"".join(map(self._key, batch.column(self.column).to_pylist()))
        keys = np.frombuffer(digests, "<u8").reshape(-1, 2)
        none = ~keys.any(axis=1)
        lines = {
            "low": pa.array(keys[:, 0], mask=none),
            "high": pa.array(keys[:, 1], mask=none),
            columns.ID: batch.column(columns.ID),
            "row": rows,
        }
        return pa.table(lines | self.keep.ranks(batch))

    def _key(self, value: str | None) -> bytes:
        """The key of each document: 16 bytes, which are all 0 for a document that is never a duplicate."""
        if value is None or (value == "" and self.config.key == "url"):
            return bytes(16)
        value = NORMALIZERS[self.config.key, self.config.normalize](value)
        return hashlib.blake2b(value.encode(), digest_size=16).digest()

    def decide(self, bucket: int, sketches: Sketches, context: StageContext) -> pa.Table:
        names = ["low", "high", *self.keep.rank_names]
        parts, start = [(np.zeros(0, np.int64), *(np.zeros(0, np.uint64) for _ in names))], 0
        for batch in sketches.batches(names):
            low = batch.column("low").fill_null(0).to_numpy()
            mine = np.flatnonzero((low % np.uint64(self.num_buckets) == bucket) & batch.column("low").is_valid())
            parts.append((mine + start, *(batch.column(name).to_numpy(zero_copy_only=False)[mine] for name in names)))
            start += batch.num_rows
        lines, low, high, *ranks = map(np.concatenate, zip(*parts, strict=True))
        groups = equal_groups(low, high)
        shared = np.flatnonzero(np.bincount(groups, minlength=len(groups))[groups] > 1)
        keepers = choose(lines[shared], groups[shared], [rank[shared] for rank in ranks])
        return decision_table(sketches, lines[shared], keepers)

    def cost(self, corpus: Corpus) -> Cost:
        """Memory per document: two halves of the key, a line number, sort order and group; on disk also its id."""
        share = -(-corpus.num_documents // self.num_buckets)
        return Cost(memory_bytes=80 * share, sketch_bytes=45 * corpus.num_documents)


def equal_groups(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """`int64[n]`: the same number for equal 128-bit keys given as halves (uint64)."""
    order = np.lexsort((high, low))
    new = (np.diff(low[order], prepend=low[order[:1]]) != 0) | (np.diff(high[order], prepend=high[order[:1]]) != 0)
    groups = np.empty(len(low), np.int64)
    groups[order] = np.cumsum(new)
    return groups


def build_exact(config: ExactConfig) -> ExactDedup:
    """Raises ConfigError for a normaliser that does not exist for the key."""
    if (config.key, config.normalize) not in NORMALIZERS:
        raise ConfigError(f"dedup.normalize: {config.normalize} is for texts; for URLs give none, standard or dclm")
    return ExactDedup(config)
