"""Token shards: what is written is what a training reads, each window once, in an order that the seed alone decides."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import orjson
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from object_store import ObjectStore

from tamis.base.errors import ConfigError, DataError
from tamis.store.atomic import write_bytes
from tamis.store.location import Location
from tamis.store.tokens import TokenDataset, TokenShardWriter, permute, vocab_size, write_manifest

EOT = 0


def token_batch(documents: list[list[int]], vocabulary: int | None) -> pa.RecordBatch:
    metadata = {b"vocab_size": str(vocabulary).encode()} if vocabulary else None
    field = pa.field("token_ids", pa.list_(pa.int32()), metadata=metadata)
    return pa.record_batch([pa.array(documents, pa.list_(pa.int32()))], schema=pa.schema([field]))


@pytest.fixture
def tokenizer(tmp_path: Path) -> Path:
    path = tmp_path / "made.json"
    vocabulary = {"<|endoftext|>": 0} | {str(i): i for i in range(1, 300)}
    path.write_bytes(orjson.dumps({"model": {"vocab": vocabulary}, "added_tokens": [{"id": 0}, {"id": 311}]}))
    return path


def make_dataset(
    folder: Path | Location, tokenizer: Path, num_shards: int = 3, vocabulary: int | None = 300
) -> list[list[list[int]]]:
    rng = np.random.default_rng(0)
    shards = [
        [[*rng.integers(1, 300, rng.integers(0, 60)).tolist(), EOT] for _ in range(20 + 7 * shard)]
        for shard in range(num_shards)
    ]
    for index, documents in enumerate(shards):
        with TokenShardWriter(folder / f"{index:05d}.bin") as writer:
            writer.write(token_batch(documents[:5], vocabulary))
            # A slice: its offsets do not start at 0.
            writer.write(token_batch(documents, vocabulary).slice(5))
    write_manifest(Location(folder), Location(tokenizer))
    return shards


@pytest.mark.parametrize(("vocabulary", "width"), [(300, 2), (65_536, 2), (65_537, 4), (None, 4)])
def test_written_documents_come_back(tmp_path: Path, tokenizer: Path, vocabulary: int | None, width: int) -> None:
    folder = tmp_path / "tokens"
    shards = make_dataset(folder, tokenizer, vocabulary=vocabulary)
    manifest = orjson.loads((folder / "manifest.json").read_bytes())
    assert manifest["num_documents"] == sum(map(len, shards))
    assert manifest["num_tokens"] == sum(len(document) for shard in shards for document in shard)
    assert manifest["tokenizer"]["vocab_size"] == 312 and manifest["tokenizer"]["eot_id"] == EOT
    for index, documents in enumerate(shards):
        ids = np.fromfile(folder / f"{index:05d}.bin", f"<u{width}")
        offsets = np.fromfile(folder / f"{index:05d}.offsets", "<i8")
        assert [ids[a:b].tolist() for a, b in pairwise(offsets)] == documents
    assert (folder / "tokenizer.json").read_bytes() == tokenizer.read_bytes()


def test_windows_tile_the_stream_across_shards_and_the_tail_is_counted(tmp_path: Path, tokenizer: Path) -> None:
    folder = tmp_path / "tokens"
    shards = make_dataset(folder, tokenizer)
    stream = np.array([i for shard in shards for document in shard for i in document])
    dataset = TokenDataset(Location(folder), sequence_length=100, seed=0)
    assert dataset.num_windows == len(stream) // 101
    assert dataset.num_tokens_dropped == len(stream) % 101
    tiled = np.concatenate([dataset.window(i) for i in range(dataset.num_windows)])
    np.testing.assert_array_equal(tiled, stream[: len(tiled)])
    longer_than_a_shard = TokenDataset(Location(folder), sequence_length=len(stream) - 1, seed=0)
    np.testing.assert_array_equal(longer_than_a_shard.window(0), stream)


def test_an_epoch_uses_each_window_once_and_reshuffles(tmp_path: Path, tokenizer: Path) -> None:
    make_dataset(tmp_path / "tokens", tokenizer)
    dataset = TokenDataset(Location(tmp_path / "tokens"), sequence_length=10, seed=3)
    count = dataset.num_windows
    epochs = [dataset.batch(epoch, 0, count) for epoch in (0, 1)]
    stored = sorted(dataset.window(i).tolist() for i in range(count))
    assert sorted(epochs[0].tolist()) == stored == sorted(epochs[1].tolist())
    assert (epochs[0] != epochs[1]).any()
    # Any cut of the order gives the same rows: neither batch size nor workers are part of it.
    pieces = np.concatenate([dataset.batch(0, at, min(7, count - at)) for at in range(0, count, 7)])
    np.testing.assert_array_equal(pieces, epochs[0])
    other_seed = TokenDataset(Location(tmp_path / "tokens"), sequence_length=10, seed=4).batch(0, 0, count)
    assert (other_seed != epochs[0]).any()


@given(size=st.integers(1, 3000), seed=st.integers(0, 2**63 - 1))
@settings(max_examples=60, deadline=None)
def test_permute_is_a_bijection(size: int, seed: int) -> None:
    assert np.array_equal(np.sort(permute(np.arange(size), size, seed)), np.arange(size))


def test_permute_shuffles_and_handles_huge_sizes() -> None:
    size = 100_000
    places = permute(np.arange(size), size, 1)
    # Rank correlation of a random permutation has deviation 1/sqrt(n) = 0.003; neighbours must not stay neighbours.
    assert abs(np.corrcoef(np.arange(size), places)[0, 1]) < 0.015
    assert abs(np.corrcoef(places[:-1], places[1:])[0, 1]) < 0.015
    # Fixed points of a random permutation are Poisson with mean 1.
    assert (places == np.arange(size)).sum() <= 8
    huge = 2**45 + 12345
    far = permute(np.arange(huge - 1000, huge), huge, 1)
    assert len(np.unique(far)) == 1000 and far.min() >= 0 and far.max() < huge


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5])
def test_permute_reaches_many_orders_of_few_windows(size: int) -> None:
    orders = {tuple(permute(np.arange(size), size, seed).tolist()) for seed in range(3000)}
    assert len(orders) == [1, 2, 6, 24, 120][size - 1]


def test_an_order_is_the_same_in_every_version() -> None:
    """A training that is continued reads on in the order that it began with."""
    assert permute(np.arange(12), 12, 1).tolist() == [8, 10, 3, 5, 4, 9, 6, 0, 2, 11, 7, 1]
    far = permute(np.array([0, 1, 2**40]), 2**45 + 12345, 7)
    assert far.tolist() == [7798589739301, 27277875499400, 30833134666049]


@pytest.mark.parametrize("documents", [[[5, -1, EOT]], [[5, 2**16, EOT]], [[5, EOT], []]])
def test_ids_that_cannot_be_stored_are_refused(tmp_path: Path, documents: list[list[int]]) -> None:
    with pytest.raises(AssertionError), TokenShardWriter(tmp_path / "00000.bin") as writer:
        writer.write(token_batch(documents, 300))
    assert list(tmp_path.iterdir()) == []


def test_manifest_is_deterministic(tmp_path: Path, tokenizer: Path) -> None:
    for name in ("a", "b"):
        make_dataset(tmp_path / name, tokenizer)
    first = (tmp_path / "a" / "manifest.json").read_bytes()
    assert first == (tmp_path / "b" / "manifest.json").read_bytes()
    write_manifest(Location(tmp_path / "a"), Location(tokenizer))
    assert (tmp_path / "a" / "manifest.json").read_bytes() == first


def test_a_data_set_on_a_store_is_that_of_the_disk(tmp_path: Path, s3: str, memory: str, tokenizer: Path) -> None:
    make_dataset(tmp_path / "tokens", tokenizer)
    local = TokenDataset(Location(tmp_path / "tokens"), 10, 3)
    for root in (Location(s3), Location(memory)):
        make_dataset(root / "tokens", tokenizer)
        remote = TokenDataset(root / "tokens", 10, 3)
        assert remote.manifest == local.manifest
        np.testing.assert_array_equal(remote.batch(0, 0, 50), local.batch(0, 0, 50))
        remote.verify()
        cut = root / "tokens/00001.bin"
        write_bytes(cut, cut.read_bytes()[:-2])
        with pytest.raises(DataError, match=r"00001\.bin.*it was cut or replaced"):
            TokenDataset(root / "tokens", 10, 3)


def test_a_data_set_on_a_store_is_downloaded_once(
    s3: str, object_store: ObjectStore, tokenizer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Location(s3) / "tokens"
    make_dataset(folder, tokenizer)
    shards = [str(file).removeprefix("s3:/") for file in folder.files() if file.suffix == ".bin"]
    monkeypatch.setenv("TAMIS_CACHE", str(tmp_path / "another machine"))
    object_store.requests.clear()
    batches = [TokenDataset(folder, 10, 3).batch(0, 0, 50) for _ in range(3)]
    assert [object_store.requests.count(("GET", path)) for path in shards] == [1] * len(shards) != []
    np.testing.assert_array_equal(batches[0], batches[2])


def test_a_rewritten_shard_changes_the_fingerprint(tmp_path: Path, tokenizer: Path) -> None:
    folder = tmp_path / "tokens"
    make_dataset(folder, tokenizer)
    before = orjson.loads((folder / "manifest.json").read_bytes())
    ids = np.fromfile(folder / "00001.bin", "<u2")
    ids[0] ^= 1
    ids.tofile(folder / "00001.bin")
    after = write_manifest(Location(folder), Location(tokenizer))
    assert after["fingerprint"] != before["fingerprint"]
    assert [a == b for a, b in zip(after["shards"], before["shards"], strict=True)] == [True, False, True]


@pytest.mark.parametrize("name", ["00001.bin", "00001.offsets"])
def test_damage_is_named(tmp_path: Path, tokenizer: Path, name: str) -> None:
    folder = tmp_path / "tokens"
    make_dataset(folder, tokenizer)
    whole = (folder / name).read_bytes()
    (folder / name).write_bytes(whole[:-8])
    with pytest.raises(DataError, match=rf"{name}.*has {len(whole) - 8} bytes instead of {len(whole)}"):
        TokenDataset(Location(folder), 10, 0)
    (folder / name).write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(DataError, match=f"{name}.*not those that the manifest describes"):
        TokenDataset(Location(folder), 10, 0).verify()
    (folder / name).unlink()
    with pytest.raises(DataError, match=f"{name}.*missing"):
        TokenDataset(Location(folder), 10, 0)


def test_a_shard_cut_before_the_manifest_is_refused(tmp_path: Path, tokenizer: Path) -> None:
    with TokenShardWriter(tmp_path / "tokens" / "00000.bin") as writer:
        writer.write(token_batch([[1, 2, EOT]], 300))
    (tmp_path / "tokens" / "00000.bin").write_bytes(b"\1\0\2")
    with pytest.raises(DataError, match="do not fit the 3 tokens"):
        write_manifest(Location(tmp_path / "tokens"), Location(tokenizer))


def test_documents_must_end_in_one_id(tmp_path: Path, tokenizer: Path) -> None:
    with TokenShardWriter(tmp_path / "tokens" / "00000.bin") as writer:
        writer.write(token_batch([[1, 2, EOT], [5, 7]], 300))
    with pytest.raises(DataError, match=r"different ids \[0, 7\]"):
        write_manifest(Location(tmp_path / "tokens"), Location(tokenizer))


def test_a_failed_shard_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), TokenShardWriter(tmp_path / "00000.bin") as writer:
        writer.write(token_batch([[1, EOT]], 300))
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_an_empty_dataset_has_no_windows(tmp_path: Path, tokenizer: Path) -> None:
    with TokenShardWriter(tmp_path / "tokens" / "00000.bin") as writer:
        writer.write(token_batch([], 300))
    manifest = write_manifest(Location(tmp_path / "tokens"), Location(tokenizer))
    assert manifest["num_tokens"] == 0 and manifest["tokenizer"]["eot_id"] is None
    assert TokenDataset(Location(tmp_path / "tokens"), 10, 0).num_windows == 0


def test_what_is_no_tokenizer_or_no_dataset_is_said(tmp_path: Path) -> None:
    (tmp_path / "page.json").write_text("[]")
    for path, message in ((tmp_path / "page.json", "not a Hugging Face"), (tmp_path / "no.json", "does not exist")):
        with pytest.raises(ConfigError, match=message):
            vocab_size(Location(path))
    with pytest.raises(ConfigError, match=r"manifest\.json is missing"):
        TokenDataset(Location(tmp_path), 10, 0)
