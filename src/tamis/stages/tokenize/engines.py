"""The two encoders of the step `tokenize`: the library `tokenizers`, which says what the ids are, and gigatoken.

gigatoken gives the same ids at 20 to 56 times the speed, for most tokenizers and texts. Where it is known to give
others, it is not asked: tokenizers that it reads wrongly are refused, and texts that it normalises by a newer version
of Unicode are given to `tokenizers`. What is not known is left to `checks`.

gigatoken remembers every word that it has met, for ever. That memory is bounded by loading the tokenizer anew.
"""

import importlib
import importlib.metadata
import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from tokenizers import Tokenizer

MOST_MEMORY_BYTES = 512 << 20
"""When the process has grown by this since gigatoken's tokenizer was loaded, the tokenizer is loaded anew."""
LEAST_TEXT_BYTES = 32 << 20
"""It encodes at least this much before it is loaded anew: loading a large vocabulary takes some tenths of a second."""
MOST_TEXT_BYTES = 128 << 20
"""It is loaded anew after this much text where the system does not tell how much memory a process has."""

NEWER_MARKS = (
    (0x7FD, 0x7FD), (0x897, 0x89F), (0x8CA, 0x8D3), (0x9FE, 0x9FE), (0xC3C, 0xC3C), (0xD3B, 0xD3C), (0xEBA, 0xEBA),
    (0x1715, 0x1715), (0x1ABF, 0x1AFF), (0x1DF6, 0x1DFA), (0xA82C, 0xA82C), (0x10D24, 0x10D27), (0x10D69, 0x10D6D),
    (0x10EAB, 0x10EAC), (0x10EFA, 0x10EFB), (0x10EFD, 0x10EFF), (0x10F46, 0x10F50), (0x10F82, 0x10F85),
    (0x11070, 0x11070), (0x1133B, 0x1133B), (0x11380, 0x113FF), (0x1145E, 0x1145E), (0x11839, 0x1183A),
    (0x11900, 0x1195F), (0x119E0, 0x119E0), (0x11A34, 0x11A34), (0x11A47, 0x11A47), (0x11A99, 0x11A99),
    (0x11D42, 0x11D42), (0x11D44, 0x11D45), (0x11D97, 0x11D97), (0x11F41, 0x11F42), (0x16100, 0x1613F),
    (0x16D40, 0x16D7F), (0x16FF0, 0x16FF1), (0x1E08F, 0x1E08F), (0x1E130, 0x1E136), (0x1E2AE, 0x1E2AE),
    (0x1E2EC, 0x1E2EF), (0x1E4EC, 0x1E4EF), (0x1E5EE, 0x1E5EF), (0x1E6E3, 0x1E6E3), (0x1E6E6, 0x1E6E6),
    (0x1E6EE, 0x1E6EF), (0x1E6F5, 0x1E6F5),
)  # fmt: skip
"""Ranges of characters that came into Unicode after version 10 and that NFC reorders or composes: gigatoken has the
tables of a newer version than `tokenizers`. Where pairs of letters compose, the range is their whole block."""


class UnsuitableError(Exception):
    """gigatoken cannot stand in for `tokenizers` here; the message says why."""


class Encoder(Protocol):
    """Texts to ids."""

    label: str
    """Library and version."""

    def encode(self, texts: pa.Array) -> tuple[np.ndarray, np.ndarray]:
        """Ids of all texts back to back (int32 or uint32), and how many of them each text has (int64). `texts` are
        strings; only TokenizersEncoder takes nulls, and raises TypeError for them."""


class TokenizersEncoder:
    """The library `tokenizers`, whose ids are the right ones."""

    def __init__(self, tokenizer: "Tokenizer") -> None:
        self.tokenizer = tokenizer
        self.label = f"tokenizers {importlib.metadata.version('tokenizers')}"

    def encode(self, texts: pa.Array) -> tuple[np.ndarray, np.ndarray]:
        documents = [one.ids for one in self.tokenizer.encode_batch_fast(texts.to_pylist(), add_special_tokens=False)]
        counts = np.fromiter(map(len, documents), np.int64, len(documents))
        ids = np.empty(int(counts.sum()), np.int32)
        position = 0
        for document in documents:
            ids[position : position + len(document)] = document
            position += len(document)
        return ids, counts


class GigatokenEncoder:
    """gigatoken on one thread, with bounded memory."""

    def __init__(
        self, data: bytes, reference: TokenizersEncoder, literal_special_tokens: bool, resident_bytes: Callable[[], int]
    ) -> None:
        """`data`: the tokenizer's JSON file. `resident_bytes`: memory of this process, 0 where that is unknown. Raises
        UnsuitableError for tokenizers that gigatoken cannot stand in for."""
        self._gigatoken, self._awkward = _libraries()
        found = json.loads(data.decode("utf-8-sig"))
        self._data = json.dumps(_as_gigatoken_reads_it(found, literal_special_tokens))
        self._reference, self._resident_bytes = reference, resident_bytes
        self._newer_marks = _pattern(NEWER_MARKS) if _normal_forms(found.get("normalizer")) else None
        self.label = f"gigatoken {importlib.metadata.version('gigatoken')}"
        self.num_loads = 0
        """How often the tokenizer has been loaded."""
        self._load()

    def _load(self) -> None:
        self._tokenizer: Any = None  # the memory of the old one is free before the new one takes any
        try:
            self._tokenizer = self._gigatoken.Tokenizer.from_json(self._data)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - a library in Rust, whose panics are no Exception
            raise UnsuitableError(f"gigatoken cannot load this tokenizer ({_one_line(error)})") from None
        self.num_loads += 1
        self._text_bytes, self._resident_at_load = 0, self._resident_bytes()

    def encode(self, texts: pa.Array) -> tuple[np.ndarray, np.ndarray]:
        if self._is_full():
            self._load()
        ids, counts = self._encode(texts)
        if self._newer_marks is not None:
            rows = np.flatnonzero(pc.match_substring_regex(texts, self._newer_marks).to_numpy(zero_copy_only=False))
            if len(rows):
                ids, counts = _replaced(ids, counts, rows, *self._reference.encode(texts.take(pa.array(rows))))
        return ids, counts

    def _encode(self, texts: pa.Array) -> tuple[np.ndarray, np.ndarray]:
        ak = self._awkward
        offsets, data = buffers(texts)
        if offsets[0] == offsets[-1]:
            return np.zeros(0, np.uint32), np.zeros(len(texts), np.int64)
        content = ak.contents.NumpyArray(data, parameters={"__array__": "char"})
        layout = ak.contents.ListOffsetArray(ak.index.Index64(offsets), content, parameters={"__array__": "string"})
        found = self._tokenizer.encode_batch(ak.Array(layout), parallel=False)
        self._text_bytes += int(offsets[-1] - offsets[0])
        return ak.to_numpy(ak.flatten(found)), ak.to_numpy(ak.num(found))

    def _is_full(self) -> bool:
        resident = self._resident_bytes()
        if not resident:
            return self._text_bytes >= MOST_TEXT_BYTES
        return self._text_bytes >= LEAST_TEXT_BYTES and resident - self._resident_at_load >= MOST_MEMORY_BYTES


def buffers(texts: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """Offsets (int64, one more than texts) and bytes of an array of strings, which are not copied."""
    kind = np.int64 if pa.types.is_large_string(texts.type) else np.int32
    _, offsets, data = texts.buffers()
    if not len(texts):
        return np.zeros(1, np.int64), np.zeros(0, np.uint8)
    window = np.frombuffer(offsets, kind)[texts.offset : texts.offset + len(texts) + 1]
    return window.astype(np.int64), np.frombuffer(data, np.uint8) if data is not None else np.zeros(0, np.uint8)


def _libraries() -> tuple[Any, Any]:
    try:
        return importlib.import_module("gigatoken"), importlib.import_module("awkward")
    except ImportError as error:
        raise UnsuitableError(
            f"the package gigatoken cannot be imported ({_one_line(error)}); where a wheel for this platform exists, "
            "`pip install gigatoken` installs it"
        ) from None


def _as_gigatoken_reads_it(found: dict[str, Any], literal_special_tokens: bool) -> dict[str, Any]:
    """The tokenizer's JSON for gigatoken, which ignores some of its fields. Raises UnsuitableError where they matter.

    gigatoken has no switch for text that looks like a special token; without the special tokens it takes it literally.
    """
    tokens = found.get("added_tokens") or []
    special = [token for token in tokens if token.get("special")] if literal_special_tokens else []
    kept = [token for token in tokens if token not in special]
    for token in kept:
        content = token["content"]
        if token.get("single_word"):
            raise UnsuitableError(f"gigatoken would find the added token {content!r:.40} inside of words")
        if token.get("normalized") and not content.isspace() and _normal_forms(found.get("normalizer")):
            raise UnsuitableError(
                f"gigatoken would look for the added token {content!r:.40} in text not yet normalised"
            )
        # `tokenizers` finds the special token, leaves it alone and goes on behind it.
        for other in special:
            if _can_begin_inside(content, other["content"]):
                raise UnsuitableError(f"the added tokens {content!r:.40} and {other['content']!r:.40} can overlap")
    return found | {"added_tokens": kept}


def _can_begin_inside(content: str, other: str) -> bool:
    ends = (other[start:] for start in range(len(other)))
    return any(end.startswith(content) or content.startswith(end) for end in ends)


def _normal_forms(normalizer: Mapping[str, Any] | None) -> bool:
    """Whether a normalizer is one of Unicode's normal forms, or has one among its parts."""
    if not normalizer:
        return False
    return str(normalizer.get("type")) in ("NFC", "NFD", "NFKC", "NFKD") or any(
        _normal_forms(part) for part in normalizer.get("normalizers") or []
    )


def _pattern(ranges: tuple[tuple[int, int], ...]) -> str:
    return "[" + "".join(f"\\x{{{first:x}}}-\\x{{{last:x}}}" for first, last in ranges) + "]"


def _replaced(
    ids: np.ndarray, counts: np.ndarray, rows: np.ndarray, new_ids: np.ndarray, new_counts: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """`ids` and `counts` with those of some rows replaced."""
    parts = np.split(ids, np.cumsum(counts)[:-1])
    for row, part in zip(rows.tolist(), np.split(new_ids, np.cumsum(new_counts)[:-1]), strict=True):
        parts[row] = part.astype(ids.dtype)
    counts = counts.copy()
    counts[rows] = new_counts
    return np.concatenate(parts), counts


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
