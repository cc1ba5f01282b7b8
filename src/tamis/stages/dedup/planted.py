"""A self-check that users can switch on for their own data: near-copies of known similarity are planted, and those that
the method detects are counted.

A planted copy is a line in the sketches with the row number `~row` (negative) of the document that it was made from. A
method determines whether it would have removed the copy, but a planted copy never changes the decision on a real
document.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tamis.base import columns
from tamis.base.seeds import named_rng, unit_hash
from tamis.base.words import WORD

RATES = (0.0, 0.01, 0.05, 0.1, 0.2, 0.4)
"""The shares of words that are replaced in planted copies; each copy gets one of them."""
RATE = "rate"
"""float32 sketch column: the share of words that were replaced in a planted copy; null = a real document."""

_LETTERS = np.array(list("abcdefghijklmnopqrstuvwxyz"))


@dataclass(frozen=True, kw_only=True)
class Plants:
    """The copies that are planted for one batch: for each, the place in the batch of the document that it was made
    from, its rate and its text."""

    places: np.ndarray
    rates: np.ndarray
    texts: list[str]


def plant(batch: pa.RecordBatch, fraction: float, seed: int) -> Plants:
    """Copies of about `fraction` of the batch's documents, chosen by their ids, in which each word is replaced by a
    random one with the probability of the copy's rate. The same documents give the same copies in any batches."""
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

    return WORD.sub(other, text) if rate else text


def add_copies(lines: pa.Table, plants: Plants, measured: dict[str, pa.Array]) -> pa.Table:
    """Sketch `lines`, one per document of a batch, with the line of every planted copy right after its document's.

    The line of a copy has the row number `~row`, its `rate`, and the columns that were `measured` on it. Its other
    columns are those of its document, but it has no text. Columns that only copies have are null for documents.
    """
    copies = lines.take(pa.array(plants.places))
    own = {"row": pc.bit_wise_not(copies["row"]), RATE: pa.array(plants.rates, pa.float32()), **measured}
    if columns.TEXT in lines.schema.names:
        own[columns.TEXT] = pa.nulls(len(copies), lines.schema.field(columns.TEXT).type)
    for name, values in own.items():
        if name in lines.schema.names:
            copies = copies.set_column(copies.schema.get_field_index(name), lines.schema.field(name), values)
        else:
            lines = lines.append_column(name, pa.nulls(len(lines), values.type))
            copies = copies.append_column(name, values)
    order = np.argsort(np.append(np.arange(len(lines)), plants.places), kind="stable")
    return pa.concat_tables([lines, copies]).take(pa.array(order)).combine_chunks()


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
