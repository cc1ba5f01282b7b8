"""One process compared with several on the same shards: extract and filter with the local engine, with workers that
have loaded everything.

    python bench/scaling.py [--warc crawl/*.warc.gz] [--pages 2000] [--files 16] [--workers 2] [--rounds 5]

Every worker does one shard before the clock starts, so that loading libraries and models is not counted. Rounds with
one and with several workers take turns. Two ratios, each the median over rounds:

    speedup          wall time with one worker / with several. Budget for two: 1.8, on a machine that does nothing else.
    speedup_by_cpu   processor time of the single worker / of the busiest of several: what the wall would show on free
                     cores. It holds the uneven split of the work and what processes cost each other (caches, memory).

Processor times are read from /proc (Linux). Without --warc, a crawl of this machine's Python documentation is written.
"""

import argparse
import json
import multiprocessing
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from tamis.flow import compile_run, resolve
from tamis.runner.local_engine import LocalEngine
from tamis.runner.plan import Plan
from tamis.runner.task import Task
from tamis.store.location import Location
from tamis.store.workspace import Workspace


def cpu_seconds() -> dict[int, float]:
    """Processor time so far of every process that descends from this one, by process id."""
    parents: dict[int, tuple[int, float]] = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        parents[int(entry.parent.name)] = int(fields[1]), (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    found, level = dict[int, float](), {os.getpid()}
    while level := {pid for pid, (parent, _) in parents.items() if parent in level}:
        found |= {pid: parents[pid][1] for pid in level}
    return found


def one_round(plan: Plan, num_workers: int) -> tuple[float, list[float]]:
    """Wall seconds of all shards, and the processor seconds of each worker."""
    with tempfile.TemporaryDirectory() as place, LocalEngine(num_workers) as engine:
        work, warm = Workspace(Location(place) / "work"), Workspace(Location(place) / "warm")
        silent: Any = lambda *_: None  # noqa: E731
        first = [Task(plan=plan, workspace=warm, number=1, index=index) for index in range(num_workers)]
        engine.run(first, silent, silent, silent)
        jobs = [Task(plan=plan, workspace=work, number=1, index=index) for index in range(len(plan.shards))]
        before, started = cpu_seconds(), time.perf_counter()
        engine.run(jobs, silent, silent, silent)
        wall, after = time.perf_counter() - started, cpu_seconds()
    spent = sorted((after[pid] - before.get(pid, 0.0) for pid in after), reverse=True)
    return wall, spent[:num_workers]


def measure(paths: list[Path], num_workers: int, rounds: int) -> dict[str, Any]:
    stages: list[Any] = [{"extract": {}}, {"filter": {"rules": "refinedweb"}}]
    raw = {"name": "scaling", "pool": {"inputs": [str(path) for path in paths]}, "stages": stages}
    plan = compile_run("scaling", resolve(raw)).plan
    alone, together = [], []
    for number in range(rounds):
        for workers in (1, num_workers) if number % 2 else (num_workers, 1):
            (alone if workers == 1 else together).append(one_round(plan, workers))

    def median(values: list[float]) -> float:
        return round(statistics.median(values), 3)

    return {
        "bench": "scaling", "files": len(paths), "workers": num_workers, "rounds": rounds,
        "wall_seconds": [median([wall for wall, _ in alone]), median([wall for wall, _ in together])],
        "cpu_seconds": [median([sum(cpu) for _, cpu in alone]), median([sum(cpu) for _, cpu in together])],
        "speedup": median([one[0] / many[0] for one, many in zip(alone, together, strict=True)]),
        "best_speedup": round(min(wall for wall, _ in alone) / min(wall for wall, _ in together), 3),
        "speedup_by_cpu": median([sum(one[1]) / max(many[1]) for one, many in zip(alone, together, strict=True)]),
        "budget": 0.9 * num_workers, "cores": multiprocessing.cpu_count(), "load_average": round(os.getloadavg()[0], 1),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--warc", type=Path, nargs="+", help="default: a crawl of Python documentation, made here")
    parser.add_argument("--pages", type=int, default=2000, help="of the crawl that is made")
    parser.add_argument("--files", type=int, default=16, help="of the crawl that is made")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        paths = options.warc
        if paths is None:
            from tamis.documentation.crawl import write_docs_crawl

            write_docs_crawl(Path(place), max_pages=options.pages, pages_per_file=-(-options.pages // options.files))
            paths = sorted(Path(place).glob("*.warc.gz"))
        print(json.dumps(measure(paths, options.workers, options.rounds)))


if __name__ == "__main__":
    main()
