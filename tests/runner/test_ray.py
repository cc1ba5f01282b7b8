"""The Ray engine on a real cluster of this machine: the bytes of the local engine, hostile rows, a node killed."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from harness import build, counts, execute, tree
from test_dedup_runs import run
from toy import toy_docs

from tamis.base.recipe import Limits
from tamis.runner.ray_engine import PATIENCE, RayEngine

ray = pytest.importorskip("ray", reason="Ray is optional: pip install 'tamis[ray]'")


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A head with one processor, and a second node with two; patient, as many tests may share few processors."""
    from ray.cluster_utils import Cluster

    for name, value in PATIENCE.items():
        monkeypatch.setenv(name, value)
    made = Cluster()
    made.add_node(wait=False, num_cpus=1, include_dashboard=False)
    made.second = made.add_node(wait=False, num_cpus=2)
    ray.init(address=made.address, log_to_driver=False, logging_level="ERROR")
    while not _reached(made.second.node_id):
        time.sleep(0.05)
    yield made
    ray.shutdown()
    made.shutdown()


def _reached(node: str) -> bool:
    """Whether work is sent to this node. The head learns of a node some time after the node is listed as alive, and
    until then it starts the workers that are meant for it elsewhere."""
    strategy = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(node, soft=False)
    where = ray.remote(num_cpus=0, scheduling_strategy=strategy)(lambda: ray.get_runtime_context().get_node_id())
    try:
        return bool(ray.get(where.remote()) == node)
    except ray.exceptions.RayError:
        return False


def test_a_cluster_gives_the_bytes_of_one_process_and_hostile_rows_cost_themselves(
    cluster: Any, tmp_path: Path
) -> None:
    docs = toy_docs(5, 20)
    docs[1][3:3] = [["1-die", "die"], ["1-raise", "raise"]]
    docs[3][7:7] = [["3-hang", "hang"]]
    limits = Limits(batch_seconds=5, row_seconds=5)
    execute(build(docs, limits=limits), tmp_path / "local")
    execute(build(docs, limits=limits), tmp_path / "ray", workers=3, engine="ray")
    assert tree(tmp_path / "ray") == tree(tmp_path / "local")
    assert sum(counts(tmp_path / "ray", "02_shout")["quarantined"].values()) == 3


def test_a_node_killed_half_way_changes_no_byte(cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every shard has a document that waits for a file. It is written when the second node is gone, so that whatever
    ran there is lost in the middle, however fast or slow the machine is."""
    docs, waits = toy_docs(6, 20), str(tmp_path / "started")
    for shard, rows in enumerate(docs):
        rows[10:10] = [[f"{shard}-wait", f"wait {waits}"]]
    (tmp_path / "started").mkdir()
    (tmp_path / "started" / "go").touch()
    execute(build(docs), tmp_path / "local", workers=2)
    for file in (tmp_path / "started").iterdir():
        file.unlink()
    second, at_work = cluster.second.node_id, list[list[str]]()
    place = RayEngine._place

    def place_strictly(engine: RayEngine) -> Any:
        """As the engine does, but Ray may not start a worker elsewhere because a busy machine is slow to answer."""
        strategy = place(engine)
        strategy.soft = strategy.soft and len(at_work) == 3
        return strategy

    monkeypatch.setattr(RayEngine, "_place", place_strictly)

    def kill_second_node() -> None:
        """As soon as every worker waits in the middle of a task. Its workers die before the file is written: as
        processes of this machine they could outlive their node for a moment, finish and answer."""
        while len(at_work) < 3:
            at_work[:] = [place.name.split("-") for place in (tmp_path / "started").iterdir()]
            time.sleep(0.01)
        cluster.remove_node(cluster.second, allow_graceful=False)
        for node, pid in at_work:
            if node == second:
                _kill_and_wait(int(pid))
        (tmp_path / "started" / "go").touch()

    killer = threading.Thread(target=kill_second_node)
    killer.start()
    events = execute(build(docs), tmp_path / "ray", workers=3, engine="ray")
    killer.join()
    assert second in [node for node, _ in at_work], "no worker was placed on the second node"
    assert [event for event in events if event.kind == "task_retried"]
    assert tree(tmp_path / "ray") == tree(tmp_path / "local")


def _kill_and_wait(pid: int) -> None:
    """Until the process is gone, or a zombie, whichever way it died."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    with suppress(FileNotFoundError):
        while Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
            time.sleep(0.01)


def test_dedup_on_two_engines_gives_the_same_bytes(cluster: Any, pool: Path, tmp_path: Path) -> None:
    for method in ("minhash", "bloom", "substring"):
        local = tree(run(method, pool, tmp_path / f"local-{method}", 2))
        assert tree(run(method, pool, tmp_path / f"ray-{method}", 3, engine="ray")) == local


def test_a_cluster_works_on_an_object_store(s3: str, cluster: Any, tmp_path: Path) -> None:
    docs = toy_docs(4, 10)
    execute(build(docs), tmp_path / "local")
    execute(build(docs), f"{s3}/ray", workers=3, engine="ray")
    assert tree(f"{s3}/ray") == tree(tmp_path / "local")
