"""Token shards: a tokenized dataset as flat integer files, one manifest, and exact random access to training windows.

    tokens/00000.bin       ids of all documents of shard 0, back to back, each ending in the end-of-text id;
                           little-endian uint16 when the vocabulary fits, else uint32
    tokens/00000.offsets   little-endian int64, num_documents + 1 values: document i is bin[offsets[i]:offsets[i + 1]]
    tokens/tokenizer.json  the tokenizer, so that a checkpoint can carry it
    tokens/manifest.json   sizes and checksums of the above; its `fingerprint` names the dataset

Plain arrays can be memory-mapped by anything, need no decoding, and give exact random access: that is what makes a
global shuffle of windows, and an exact resume, one function of (seed, position) instead of a shuffle buffer.
"""

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from types import TracebackType
from typing import Any, Self

import numpy as np
import pyarrow as pa

from tamis.base import columns
from tamis.base.errors import ConfigError, DataError
from tamis.base.hashing import fingerprint
from tamis.base.seeds import named_seed
from tamis.base.tokenizer_file import count_ids
from tamis.store.atomic import Place, publish, read_json, write_bytes, write_json
from tamis.store.digests import is_intact
from tamis.store.location import Location
from tamis.store.shards import file_digest

FORMAT_VERSION = 1
MANIFEST, TOKENIZER = "manifest.json", "tokenizer.json"
VOCAB_SIZE_KEY = b"vocab_size"
"""Metadata key of the `token_ids` field, decimal: lets the writer choose uint16. Without it: uint32."""

LARGEST_UINT16_VOCABULARY = 1 << 16
OFFSET_DTYPE = np.dtype("<i8")


class TokenShardWriter:
    """Streams the `token_ids` of record batches into one token shard that appears only when the block ends well."""

    def __init__(self, path: Place) -> None:
        """`path` is the `.bin` file; the offsets go beside it."""
        self.path = Location(path)
        self.num_tokens = 0
        self.num_documents = 0

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            # Left in reverse order: the offsets are published first, so that a .bin that exists is whole.
            tokens = stack.enter_context(publish(self.path))
            offsets = stack.enter_context(publish(_offsets_path(self.path)))
            self._tokens = stack.enter_context(tokens.open("wb"))
            self._offsets = stack.enter_context(offsets.open("wb"))
            self._offsets.write(np.zeros(1, OFFSET_DTYPE).tobytes())
            self._dtype: np.dtype[Any] | None = None
            self._stack = stack.pop_all()
        return self

    def write(self, batch: pa.RecordBatch) -> None:
        """Append the documents of `batch`: `token_ids` is list<int32> without nulls, each list non-empty."""
        field = batch.schema.field(columns.TOKEN_IDS)
        if self._dtype is None:
            self._dtype = _stored_dtype(int((field.metadata or {}).get(VOCAB_SIZE_KEY, 2**31)))
        ids = batch.column(columns.TOKEN_IDS)
        assert ids.null_count == 0, "a live row has no token ids"
        offsets = ids.offsets.to_numpy()
        assert (np.diff(offsets) > 0).all(), "every document ends in the end-of-text id"
        values = ids.values.to_numpy()[offsets[0] : offsets[-1]]
        assert not len(values) or (values.min() >= 0 and values.max() <= np.iinfo(self._dtype).max), "id out of range"
        self._tokens.write(values.astype(self._dtype).tobytes())
        self._offsets.write((offsets[1:].astype(OFFSET_DTYPE) - int(offsets[0]) + self.num_tokens).tobytes())
        self.num_tokens += len(values)
        self.num_documents += len(ids)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)


@dataclass(frozen=True, kw_only=True)
class ShardEntry:
    """One shard's line in the manifest."""

    name: str
    num_tokens: int
    num_documents: int
    dtype: str
    tokens_blake2b: str
    offsets_blake2b: str


def write_manifest(folder: Location, tokenizer: Location, digests: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Describe the token shards in `folder` in `manifest.json` and copy the tokenizer beside it. Returns the manifest.

    `digests` are those of its files by name, where the caller has compared them just now. `tokenizer` is the Hugging
    Face `tokenizers` JSON file the shards were made with. Raises DataError when the files of a shard disagree or its
    documents do not all end in one id.
    """
    shards = [_describe(path, digests or {}) for path in folder.children("*.bin")]
    described = {"blake2b": file_digest(tokenizer), "vocab_size": vocab_size(tokenizer)}
    eot_ids = {_last_id(folder, shard) for shard in shards if shard.num_documents}
    if len(eot_ids) > 1:
        raise DataError(f"{folder}: shards end their documents in different ids {sorted(eot_ids)}; tokenize again.")
    described["eot_id"] = eot_ids.pop() if eot_ids else None
    manifest: dict[str, Any] = {
        "format": "tamis token shards",
        "version": FORMAT_VERSION,
        "tokenizer": described,
        "num_tokens": sum(shard.num_tokens for shard in shards),
        "num_documents": sum(shard.num_documents for shard in shards),
        "shards": [asdict(shard) for shard in shards],
    }
    manifest["fingerprint"] = fingerprint(manifest)
    copy = folder / TOKENIZER
    if not copy.exists() or file_digest(copy) != described["blake2b"]:
        write_bytes(copy, tokenizer.read_bytes())
    write_json(folder / MANIFEST, manifest)
    return manifest


def read_manifest(folder: Location) -> dict[str, Any]:
    """The manifest of a tokens folder. Raises ConfigError when there is none, DataError when it is not as it was
    written: its fingerprint covers all that it says."""
    place = folder / MANIFEST
    try:
        manifest = read_json(place)
    except FileNotFoundError:
        raise ConfigError(f"{folder}: no token shards here (manifest.json is missing)") from None
    if isinstance(manifest, dict):
        described = {name: value for name, value in manifest.items() if name != "fingerprint"}
        if manifest.get("fingerprint") == fingerprint(described):
            return manifest
    raise DataError(f"{place}: this manifest is damaged. Run the recipe that made the tokens again: it is made anew.")


def has_manifest(folder: Location) -> bool:
    """Whether a tokens folder has its manifest, and beside it the tokenizer, both as they were written."""
    try:
        return is_intact(folder / TOKENIZER, read_manifest(folder)["tokenizer"]["blake2b"])
    except (ConfigError, DataError):
        return False


def vocab_size(tokenizer: Location) -> int:
    """One more than the largest id in a Hugging Face `tokenizers` JSON file. Raises ConfigError for other files."""
    try:
        return count_ids(tokenizer.read_bytes(), f"tokenizer: {tokenizer}")
    except FileNotFoundError:
        raise ConfigError(f"tokenizer: {tokenizer} does not exist") from None


def _stored_dtype(num_ids: int) -> np.dtype[Any]:
    return np.dtype("<u2") if num_ids <= LARGEST_UINT16_VOCABULARY else np.dtype("<u4")


def _offsets_path(path: Location) -> Location:
    return path.with_suffix(".offsets")


def _expected_sizes(folder: Location, entry: ShardEntry) -> list[tuple[Location, int]]:
    tokens = folder / f"{entry.name}.bin"
    return [
        (tokens, entry.num_tokens * np.dtype(entry.dtype).itemsize),
        (_offsets_path(tokens), (entry.num_documents + 1) * OFFSET_DTYPE.itemsize),
    ]


def _describe(path: Location, digests: Mapping[str, str]) -> ShardEntry:
    """Measure one shard; the width of its ids follows from the size of the file and the number of tokens."""
    offsets_path = _offsets_path(path)
    if not offsets_path.exists():
        raise DataError(
            f"{path}: its document offsets ({offsets_path.name}) are missing. Delete it and tokenize again."
        )
    offsets = np.frombuffer(offsets_path.read_bytes(), OFFSET_DTYPE)
    num_tokens, size_bytes = int(offsets[-1]) if len(offsets) else -1, path.size()
    width = next((w for w in (2, 4) if num_tokens * w == size_bytes), None)
    if width is None or (np.diff(offsets) <= 0).any():
        raise DataError(
            f"{path}: {size_bytes} bytes do not fit the {num_tokens} tokens of its offsets. Delete it, tokenize again."
        )
    dtype = np.dtype(f"<u{width}")
    if num_tokens:
        ends = np.unique(np.memmap(path.local_path(), dtype, mode="r")[offsets[1:] - 1])
        if len(ends) > 1:
            raise DataError(f"{path}: documents end in different ids {ends[:5].tolist()}, not in one end-of-text id.")
    return ShardEntry(
        name=path.stem, num_tokens=num_tokens, num_documents=len(offsets) - 1, dtype=dtype.str,
        tokens_blake2b=digests.get(path.name) or file_digest(path),
        offsets_blake2b=digests.get(offsets_path.name) or file_digest(offsets_path),
    )  # fmt: skip


def _last_id(folder: Location, entry: ShardEntry) -> int:
    dtype = np.dtype(entry.dtype)
    with (folder / f"{entry.name}.bin").open_read() as stream:
        stream.seek((entry.num_tokens - 1) * dtype.itemsize)
        return int(np.frombuffer(stream.read(dtype.itemsize), dtype)[0])


class TokenDataset:
    """The windows of a tokens folder, in an order that depends on the seed and the epoch alone.

    Documents stand back to back in shard order and are cut, blindly, into windows of `sequence_length + 1` ids that do
    not overlap (DCLM's stored length of 2049: 2048 inputs and the shift by one). The `num_tokens_dropped` ids after the
    last whole window are never used; nothing is padded.
    """

    def __init__(self, folder: Location, sequence_length: int, seed: int) -> None:
        """Raises ConfigError when `folder` holds no manifest, DataError when a file is missing or of the wrong size."""
        assert sequence_length > 0
        self.folder = folder
        self.manifest = read_manifest(folder)
        self.window_length = sequence_length + 1
        self.seed = seed
        self._entries = [ShardEntry(**shard) for shard in self.manifest["shards"] if shard["num_tokens"]]
        for entry in self._entries:
            _check_sizes(folder, entry)
        self._arrays = [
            np.memmap((folder / f"{entry.name}.bin").local_path(), np.dtype(entry.dtype), mode="r")
            for entry in self._entries
        ]
        self._starts = np.cumsum([0, *(len(array) for array in self._arrays)], dtype=np.int64)
        self.num_windows = int(self._starts[-1]) // self.window_length
        self.num_tokens_dropped = int(self._starts[-1]) - self.num_windows * self.window_length

    def verify(self) -> None:
        """Read every file once and compare checksums (about 1 GB/s). Raises DataError naming the file that differs."""
        if not has_manifest(self.folder):
            raise DataError(
                f"{self.folder / TOKENIZER}: this is not the tokenizer that the manifest describes. Run the recipe "
                "that made the tokens again: it is copied anew."
            )
        for entry in self._entries:
            tokens = self.folder / f"{entry.name}.bin"
            for path, expected in ((tokens, entry.tokens_blake2b), (_offsets_path(tokens), entry.offsets_blake2b)):
                if file_digest(path) != expected:
                    raise DataError(f"{path}: its bytes are not those that the manifest describes. Tokenize again.")

    def window(self, index: int) -> np.ndarray:
        """Window `index` in stored order: int64, shape (sequence_length + 1,). It may span shards."""
        start, stop = index * self.window_length, (index + 1) * self.window_length
        first = int(np.searchsorted(self._starts, start, side="right")) - 1
        last = int(np.searchsorted(self._starts, stop, side="left"))
        parts = [
            self._arrays[shard][max(start - int(self._starts[shard]), 0) : stop - int(self._starts[shard])]
            for shard in range(first, last)
        ]
        return np.concatenate(parts).astype(np.int64)

    def batch(self, epoch: int, position: int, count: int) -> np.ndarray:
        """Windows `position` to `position + count` of the order of `epoch`: int64, (count, sequence_length + 1)."""
        assert position >= 0 and position + count <= self.num_windows
        seed = named_seed(self.seed, "windows", epoch)
        indices = permute(np.arange(position, position + count), self.num_windows, seed)
        return np.stack([self.window(int(index)) for index in indices])


def _check_sizes(folder: Location, entry: ShardEntry) -> None:
    for path, size in _expected_sizes(folder, entry):
        found = path.size() if path.exists() else None
        if found != size:
            state = "is missing" if found is None else f"has {found} bytes instead of {size}: it was cut or replaced"
            raise DataError(f"{path}: token shard {state}. Tokenize again, or copy the folder again.")


def permute(indices: np.ndarray, size: int, seed: int) -> np.ndarray:
    """Where the permutation of range(size) called `seed` sends each of `indices`: int64, same shape, no table needed.

    A balanced Feistel network over the smallest even number of bits that holds `size`, walked on until the value falls
    back into range (Black & Rogaway 2002, "Ciphers with arbitrary finite domains"): a bijection whatever the round
    function, so an epoch of any number of windows uses each exactly once, and any position costs the same.
    """
    half = np.uint64(max(1, ((size - 1).bit_length() + 1) // 2))
    mask = np.uint64((1 << int(half)) - 1)
    keys = np.random.default_rng(seed).integers(0, 2**64, 6, np.uint64, endpoint=False)
    out = np.asarray(indices, np.uint64).copy()
    outside = np.ones(out.shape, bool)
    while outside.any():
        left, right = out[outside] >> half, out[outside] & mask
        for key in keys:
            left, right = right, left ^ (_mix(right ^ key) & mask)
        out[outside] = (left << half) | right
        outside = out >= np.uint64(size)
    return out.astype(np.int64)


def _mix(values: np.ndarray) -> np.ndarray:
    """SplitMix64's finaliser (Steele et al. 2014), uint64 -> uint64; overflow wraps, as meant."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
