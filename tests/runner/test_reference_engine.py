"""A shard for which a stage doubts its fast engine is done again with its reference engine; the user is told once."""

from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pytest
from harness import Docs, execute, plan_of, run_at, step_folder, tree
from toy import Shout, ToyPool

from tamis.base import columns
from tamis.base.config import Config
from tamis.base.errors import DataError, NoRowError, ShardAgainError
from tamis.base.stage import REFERENCE_KEY, Map
from tamis.runner.plan import Plan
from tamis.stages.tokenize.bpe import train_tokenizer
from tamis.store.atomic import read_json
from tamis.store.shards import read_table

DOCS: Docs = [
    [["a", "one"], ["b", "two"], ["c", "three"], ["d", "doubt it"], ["e", "four"]],
    [["f", "five"], ["g", "six"], ["h", "seven"], ["i", "eight"]],
    [["j", "doubt that"], ["k", "nine"]],
]
WITH_A_CRASH: Docs = [[["a", "one"], ["b", "two"], ["c", "crash"], ["d", "doubt it"]], DOCS[1]]


class Doubtful(Map):
    """Makes one token of each text, 1 with its fast engine and 2 with its reference engine, and ends it in 0."""

    name: ClassVar[str] = "doubtful"
    version: ClassVar[int] = 1
    has_reference = True
    reads = ("text",)
    adds = pa.schema([(columns.TOKEN_IDS, pa.list_(pa.int32()))])

    class Settings(Config):
        tokenizer: str
        is_final: bool = False

    config: Settings

    def assets(self) -> dict[str, str]:
        return {"tokenizer": self.config.tokenizer}

    def apply(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        reason = (batch.schema.metadata or {}).get(REFERENCE_KEY, b"")
        doubts = [text for text in batch.column("text").to_pylist() if "DOUBT" in text]
        if doubts and self.config.is_final:
            raise NoRowError(f"no row is to blame for {doubts[0]!r}")
        if doubts and not reason:
            raise ShardAgainError(f"because of {doubts[0]!r}")
        told = {columns.ENGINE_KEY: b"slow" if reason else b"fast"} | ({columns.FALLBACK_KEY: reason} if reason else {})
        tokens = pa.array([[2 if reason else 1, 0]] * batch.num_rows, pa.list_(pa.int32()))
        return batch.append_column(self.adds.field(0).with_metadata(told), tokens)


@pytest.fixture
def tokenizer(tmp_path: Path) -> str:
    path = tmp_path / "tokenizer.json"
    path.write_bytes(train_tokenizer(["one two three"] * 3, 260))
    return str(path)


def plan(tokenizer: str, docs: Docs = DOCS, **changes: Any) -> Plan:
    settings = Doubtful.Settings(tokenizer=tokenizer, is_final=changes.pop("is_final", False))
    stages = [Shout(Shout.Settings(log="")), Doubtful(settings)]
    return plan_of(ToyPool(ToyPool.Settings(shards=docs, batch_rows=2)), stages, **changes)


def tokens_of(root: Path, index: int) -> list[int]:
    """The first token of each document of a shard."""
    data = (step_folder(root, "03_doubtful") / "tokens" / f"{index:05d}.bin").read_bytes()
    return [int.from_bytes(data[at : at + 4], "little") for at in range(0, len(data), 8)]


def notes_of(events: list[Any]) -> list[str]:
    return [event.fields["text"] for event in events if event.kind == "note"]


@pytest.mark.parametrize("workers", [1, 2])
def test_the_whole_shard_is_done_again_and_no_other(workers: int, tokenizer: str, tmp_path: Path) -> None:
    events = execute(plan(tokenizer), tmp_path / "ws", workers)
    assert [tokens_of(tmp_path / "ws", index) for index in range(3)] == [[2] * 5, [1] * 4, [2] * 2]
    [note] = [text for text in notes_of(events) if "because" in text]
    assert note in ("03_doubtful: because of 'DOUBT IT'", "03_doubtful: because of 'DOUBT THAT'")
    card = read_json(run_at(tmp_path / "ws").stage("03_doubtful").card)
    assert card["details"]["notes"] == {"shards_by_fast": 1, "shards_by_slow": 2}
    assert card["counts"]["kept"] == 11 and not card["counts"]["quarantined"]
    stored = read_table(run_at(tmp_path / "ws").stage("03_doubtful").shard(0))
    assert REFERENCE_KEY not in (stored.schema.metadata or {})


def test_the_bytes_depend_on_the_shard_alone(tokenizer: str, tmp_path: Path) -> None:
    execute(plan(tokenizer), tmp_path / "one", 1)

    def stop(event: Any) -> None:
        if event.kind == "task_finished":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        execute(plan(tokenizer), tmp_path / "two", 2, watch=stop)
    execute(plan(tokenizer), tmp_path / "two", 2)
    assert tree(tmp_path / "one") == tree(tmp_path / "two")


def test_in_a_guarded_shard_too(tokenizer: str, tmp_path: Path) -> None:
    events = execute(plan(tokenizer, WITH_A_CRASH, quarantine_budget=0.5), tmp_path / "ws", 1)
    assert [tokens_of(tmp_path / "ws", index) for index in range(2)] == [[2] * 3, [1] * 4]
    assert len([text for text in notes_of(events) if "because" in text]) == 1
    with pytest.raises(DataError, match="no row is to blame for"):
        execute(plan(tokenizer, WITH_A_CRASH, is_final=True, quarantine_budget=0.5), tmp_path / "other", 1)


def test_a_trouble_without_a_row_to_blame_ends_the_run(tokenizer: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no row is to blame for"):
        execute(plan(tokenizer, is_final=True), tmp_path / "ws", 1)
