"""A self-check that users switch on for their own data: near-copies of known likeness are planted, and counted.

Planted copies are asked about and never answered for: they ride along in the sketches with the row number `~row`
(negative) of the document they were made from, a method looks whether it would have removed them, and no decision about
a real document takes notice of them.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from tamis.base import columns
from tamis.base.seeds import named_rng, unit_hash

RATES = (0.0, 0.01, 0.05, 0.1, 0.2, 0.4)
"""Shares of words replaced in planted copies; each copy gets one of them."""
RATE = "rate"
"""float32 sketch column: words replaced in a planted copy; null = a real document."""

_WORD = re.compile(r"\S+")
_LETTERS = np.array(list("abcdefghijklmnopqrstuvwxyz"))


@dataclass(frozen=True, kw_only=True)
class Plants:
    """Copies planted for one batch: place in the batch of the document each was made from, rate, text."""

    places: np.ndarray
    rates: np.ndarray
    texts: list[str]


def plant(batch: pa.RecordBatch, fraction: float, seed: int) -> Plants:
    """Copies of about `fraction` of the batch's documents, chosen by their ids, each word replaced by a made-up one
    with the copy's rate. The same documents give the same copies however they are batched."""
    places, rates, texts = [], [], []
    for place, document in enumerate(batch.column(columns.ID).to_pylist() if fraction else []):
        drawn = unit_hash(document, f"planted:{seed}")
        text = batch.column(columns.TEXT)[place].as_py()
        if drawn >= fraction or not text:
            continue
        rng = named_rng(seed, "planted", document)
        rate = RATES[int(rng.integers(len(RATES)))]
        places.append(place)
        rates.append(rate)
        texts.append(replace_words(text, rate, rng))
    return Plants(places=np.array(places, np.int64), rates=np.array(rates, np.float32), texts=texts)


def replace_words(text: str, rate: float, rng: np.random.Generator) -> str:
    """`text` with each word replaced with probability `rate` by five to nine random letters."""

    def other(word: re.Match[str]) -> str:
        if rng.random() >= rate:
            return word.group()
        return "".join(rng.choice(_LETTERS, int(rng.integers(5, 10))))

    return _WORD.sub(other, text) if rate else text


def recall_by_rate(rates: Sequence[float] | np.ndarray, caught: np.ndarray) -> list[dict[str, Any]]:
    """For the card: per rate how many copies were planted, how many would have been removed, and their share."""
    rates = np.asarray(rates, np.float32)
    found = []
    for rate in RATES:
        these = rates == np.float32(rate)
        if these.any():
            planted, hits = int(these.sum()), int(caught[these].sum())
            found.append({"rate": rate, "planted": planted, "caught": hits, "recall": round(hits / planted, 4)})
    return found
