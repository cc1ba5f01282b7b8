"""One large file read as a whole and in parts, with the same number of workers: extract and filter with the local
engine, with workers that have loaded everything.

    python bench/one_file.py --warc big.warc.gz [--workers 2] [--rounds 3]

Several files are joined to one. Rounds with and without parts take turns. Two ratios, each the median over rounds:

    speedup          wall time of the whole file / of its parts, on a machine that does nothing else.
    speedup_by_cpu   processor time of the busiest worker with the whole file / with parts: what the wall would show on
                     free cores.

The documents of both are compared. The last line is JSON.
"""

import argparse
import json
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from scaling import cpu_seconds

from tamis.flow import compile_run, resolve
from tamis.runner.local_engine import LocalEngine
from tamis.runner.plan import Plan
from tamis.runner.task import Task
from tamis.store.location import Location
from tamis.store.shards import read_shard
from tamis.store.workspace import Workspace

WHOLE = 1 << 50


def compiled(path: Path, split_bytes: int | None) -> tuple[Plan, float]:
    """The plan, and the seconds that it took, which are those of finding the parts once the digest is remembered."""
    pool: dict[str, Any] = {"inputs": [str(path)]} | ({"split_bytes": split_bytes} if split_bytes is not None else {})
    raw = {"name": "one", "pool": pool, "stages": [{"extract": {}}, {"filter": {"rules": "refinedweb"}}]}
    started = time.perf_counter()
    plan = compile_run("one", resolve(raw)).plan
    return plan, time.perf_counter() - started


def one_round(plan: Plan, small: Plan, num_workers: int) -> tuple[float, list[float], list[str]]:
    """Wall seconds of all shards, processor seconds of each worker, and the ids of the documents; the workers read a
    small file each before the clock starts."""
    with tempfile.TemporaryDirectory() as place, LocalEngine(num_workers) as engine:
        silent: Any = lambda *_: None  # noqa: E731
        for number in range(2):
            warm = [
                Task(plan=small, workspace=Workspace(Location(place) / f"warm{number}-{n}"), number=1, index=0)
                for n in range(num_workers)
            ]
            engine.run(warm, silent, silent, silent)
        work = Workspace(Location(place) / "work")
        jobs = [Task(plan=plan, workspace=work, number=1, index=index) for index in range(len(plan.shards))]
        before, started = cpu_seconds(), time.perf_counter()
        engine.run(jobs, silent, silent, silent)
        wall, after = time.perf_counter() - started, cpu_seconds()
        output = jobs[0].folder(plan.passes[0].output)
        ids = [i for job in jobs for batch in read_shard(output.shard(job.index), ["id"]) for i in batch[0].to_pylist()]
    return wall, sorted((after[pid] - before.get(pid, 0.0) for pid in after), reverse=True), ids


def measure(path: Path, small: Path, num_workers: int, rounds: int) -> dict[str, Any]:
    compiled(path, WHOLE)  # takes the digest of the file
    (whole, whole_seconds), (parts, parts_seconds) = compiled(path, WHOLE), compiled(path, None)
    warm = compiled(small, None)[0]
    found: dict[bool, list[tuple[float, list[float], list[str]]]] = {False: [], True: []}
    for number in range(rounds):
        for in_parts in (True, False) if number % 2 else (False, True):
            found[in_parts].append(one_round(parts if in_parts else whole, warm, num_workers))
    assert found[True][0][2] == found[False][0][2], "the parts give other documents than the file"

    def median(values: list[float]) -> float:
        return round(statistics.median(values), 3)

    pairs = list(zip(found[False], found[True], strict=True))
    return {
        "bench": "one_file", "megabytes": round(path.stat().st_size / 1e6), "parts": len(parts.shards),
        "workers": num_workers, "rounds": rounds, "documents": len(found[True][0][2]),
        "plan_seconds": [round(whole_seconds, 3), round(parts_seconds, 3)],
        "wall_seconds": [median([whole[0] for whole, _ in pairs]), median([parts[0] for _, parts in pairs])],
        "cpu_seconds": [median([sum(whole[1]) for whole, _ in pairs]), median([sum(parts[1]) for _, parts in pairs])],
        "speedup": median([whole[0] / parts[0] for whole, parts in pairs]),
        "speedup_by_cpu": median([whole[1][0] / parts[1][0] for whole, parts in pairs]),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--warc", nargs="+", required=True, help="files, which are joined to one")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        path, small = Path(place) / "one.warc.gz", Path(place) / "small.warc.gz"
        with path.open("wb") as joined:
            for name in args.warc:
                with Path(name).open("rb") as file:
                    shutil.copyfileobj(file, joined)
        with path.open("rb") as file:
            small.write_bytes(file.read(1 << 20))
        time.sleep(2.5)  # the digest of a file that was just written is not remembered
        print(json.dumps(measure(path, small, args.workers, args.rounds)))


if __name__ == "__main__":
    main()
