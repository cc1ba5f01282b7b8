"""Whether two encoders give the same ids: on texts that are known to be difficult, and on a sample of the documents.

The sample holds about one document in 512, chosen by its bytes and the seed of the run, and at least one of every
batch. The other documents are taken on trust: the sample is what makes that reasonable.
"""

import numpy as np
import pyarrow as pa

from tamis.stages.tokenize.engines import Encoder, TokenizersEncoder, buffers

SAMPLED_ONE_IN = 512
MOST_SAMPLED_BYTES = 4 << 20
"""Longer documents are in no sample: `tokenizers` takes seconds and gigabytes for them."""
MOST_CHOSEN_BYTES = 32 << 10
"""The one document that is always chosen from a batch is not longer than this, unless all are."""
NEVER = np.uint64(2**64 - 1)
_EXCERPT_BEFORE, _EXCERPT_AFTER = 12, 36

DIFFICULT = (
    "It's 9 o'clock; we'LL see, they'Ve said DON'T. x's 's ''s",
    "def f(x):\n\treturn {'a': [x**2, 0x1F, 1e-9]}  # ok\r\n\r\n    if a != b and c <= d:\n        pass\n",
    "  leading, trailing  ", "\n\n\n\t\t \u00a0\u2003\u3000\u200b\x0b\x0c\x85\u2028 x",
    "a  b   c    d" + " " * 80 + "e",
    "1234567890 3.14 ½ Ⅷ ١٢٣ ५६ 1a2b3c ²³", "\x00\x01\x1b\x7f\ufffd\ufeff\U000e0041",
    "Grüße, naïve, e\u0301 \u0301 a\u0327\u0301 \u1e9b\u0323 ﬁ K Å Ω \uac00\u1100\u1161\u11a8 ＦＵＬＬ",
    "Съешь ещё этих мягких; Ξεσκεπάζω; עברית־ו׳; العربيّةُ ــ ؟; हिन्दी क्ष; বাংলা; தமிழ்; ไทยไม่มีวรรค; ქართული; አማርኛ",
    "日本語の文章。中文，没有空格！한국어 띄어쓰기\u3000カタカナｶﾀｶﾅ 𠮷野家",
    "👩‍👩‍👧‍👦 🏳️‍🌈 👍🏽 🇩🇪 1️⃣ ☺︎ ☺️ \U0001fae8",
    "x" * 600,
    "abcdefghij" * 60 + "!?" * 300, "<|endoftext|> <|im_start|>user <s></s> [CLS] <pad><0x0A> ▁ Ġ Ċ",
)  # fmt: skip


def difference(texts: list[str], reference: TokenizersEncoder, encoder: Encoder) -> str | None:
    """What to tell of the first text to which `encoder` gives other ids than `reference`, or fails; None where there is
    none."""
    array = pa.array(texts, pa.string())
    try:
        found = encoder.encode(array)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - a library in Rust, whose panics are no Exception
        return f"{encoder.label} fails ({type(error).__name__}: {error!s:.200})"
    return difference_from(array, *found, np.arange(len(texts)), reference, encoder.label)


def difference_from(
    texts: pa.Array, ids: np.ndarray, counts: np.ndarray, rows: np.ndarray, reference: TokenizersEncoder, label: str
) -> str | None:
    """As `difference`, of the ids that the encoder called `label` gave to `texts`, in some rows."""
    ends = np.cumsum(counts)
    if len(ends) != len(texts) or (len(ends) and ends[-1] != len(ids)):
        return f"{label} gives ids for {len(counts)} texts where there are {len(texts)}"
    right_ids, right_counts = reference.encode(texts.take(pa.array(rows)))
    right_ends = np.cumsum(right_counts)
    for position, row in enumerate(rows.tolist()):
        here = ids[ends[row] - counts[row] : ends[row]]
        right = right_ids[right_ends[position] - right_counts[position] : right_ends[position]]
        if not np.array_equal(here, right):
            return f"{label} gives other ids than {reference.label} at {_excerpt(texts[row].as_py(), here, reference)}"
    return None


def _excerpt(text: str, ids: np.ndarray, reference: TokenizersEncoder) -> str:
    """The text around the first id that differs, in quotes, with control characters written out."""
    encoding = reference.tokenizer.encode(text, add_special_tokens=False)
    common = next((at for at, (a, b) in enumerate(zip(ids.tolist(), encoding.ids, strict=False)) if a != b), len(ids))
    start = encoding.offsets[common][0] if common < len(encoding.offsets) else len(text)
    return repr(text[max(0, start - _EXCERPT_BEFORE) : start + _EXCERPT_AFTER])


def sampled_rows(texts: pa.Array, seed: int) -> np.ndarray:
    """Positions of the documents that are compared (int64, ascending). But for the one of each batch, the choice
    depends on a document's own bytes and the seed alone."""
    offsets, data = buffers(texts)
    sizes = np.diff(offsets)
    if not len(sizes) or not offsets[-1] - offsets[0]:
        return np.zeros(0, np.int64)
    values = _mixed(sizes.astype(np.uint64) + np.uint64(seed % 2**32))
    last = len(data) - 1
    for quarter in range(5):  # of an empty document, whichever byte stands there
        places = offsets[:-1] + np.minimum(sizes * quarter // 4, np.maximum(sizes - 1, 0))
        values = _mixed(values ^ np.where(sizes > 0, data[np.minimum(places, last)], 0).astype(np.uint64))
    chosen = (values < np.uint64(2**64 // SAMPLED_ONE_IN)) & (sizes <= MOST_SAMPLED_BYTES)
    short = np.where((sizes > 0) & (sizes <= MOST_CHOSEN_BYTES), values, NEVER)
    one = int(np.argmin(short if (short < NEVER).any() else np.where(sizes > 0, sizes, NEVER)))
    chosen[one] = sizes[one] <= MOST_SAMPLED_BYTES
    return np.flatnonzero(chosen)


def _mixed(values: np.ndarray) -> np.ndarray:
    """A hash of each uint64 (the finaliser of SplitMix64)."""
    values = values + np.uint64(0x9E3779B97F4A7C15)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
