"""Rows keep their places through a pass, in whatever batches a stored shard is read."""

from functools import partial

import pytest
from harness import build, counts, execute, tree
from toy import toy_docs

from tamis.runner import task
from tamis.store.shards import read_shard


def test_a_group_marks_a_row_by_its_place_in_the_shard(memory: str, monkeypatch: pytest.MonkeyPatch) -> None:
    execute(build(toy_docs(2, 20)), f"{memory}/whole")
    assert counts(f"{memory}/whole", "04_unique")["removed"] == {"duplicate": 25}
    monkeypatch.setattr(task, "read_shard", partial(read_shard, batch_rows=3))
    execute(build(toy_docs(2, 20)), f"{memory}/in_small_batches")
    assert tree(f"{memory}/in_small_batches") == tree(f"{memory}/whole")
