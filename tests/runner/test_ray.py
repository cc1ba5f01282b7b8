"""The Ray engine on a real cluster of this machine: the bytes of the local engine, hostile rows, a node killed."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from harness import build, counts, execute, tree
from test_dedup_runs import run
from toy import toy_docs

from tamis.base.events import Event
from tamis.base.recipe import Limits

ray = pytest.importorskip("ray", reason="Ray is optional: pip install 'tamis[ray]'")


@pytest.fixture
def cluster() -> Iterator[Any]:
    """A head with one processor, and a second node with two."""
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    made.second = made.add_node(num_cpus=2)
    ray.init(address=made.address, log_to_driver=False, logging_level="ERROR")
    yield made
    ray.shutdown()
    made.shutdown()


def test_a_cluster_gives_the_bytes_of_one_process_and_hostile_rows_cost_themselves(
    cluster: Any, tmp_path: Path
) -> None:
    docs = toy_docs(5, 20)
    docs[1][3:3] = [["1-die", "die"], ["1-raise", "raise"]]
    docs[3][7:7] = [["3-hang", "hang"]]
    limits = Limits(batch_seconds=8, row_seconds=5)
    execute(build(docs, limits=limits), tmp_path / "local")
    execute(build(docs, limits=limits), tmp_path / "ray", workers=3, engine="ray")
    assert tree(tmp_path / "ray") == tree(tmp_path / "local")
    assert sum(counts(tmp_path / "ray", "02_shout")["quarantined"].values()) == 3


def test_a_node_killed_half_way_changes_no_byte(cluster: Any, tmp_path: Path) -> None:
    docs = toy_docs(6, 20)
    for shard, rows in enumerate(docs):
        rows[:0] = [[f"{shard}-slow{n}", "slow"] for n in range(20)]
    execute(build(docs), tmp_path / "local", workers=2)

    killed = []

    def kill(event: Event) -> None:
        """As soon as a task is done there, for then the others are at work."""
        if event.kind == "task_finished" and not killed:
            killed.append(cluster.remove_node(cluster.second, allow_graceful=False))

    events = execute(build(docs), tmp_path / "ray", workers=3, engine="ray", watch=kill)
    assert [e for e in events if e.kind == "task_retried"], "the node was lost too late to matter"
    assert tree(tmp_path / "ray") == tree(tmp_path / "local")


def test_dedup_on_two_engines_gives_the_same_bytes(cluster: Any, pool: Path, tmp_path: Path) -> None:
    for method in ("minhash", "bloom", "substring"):
        local = tree(run(method, pool, tmp_path / f"local-{method}", 2))
        assert tree(run(method, pool, tmp_path / f"ray-{method}", 3, engine="ray")) == local
