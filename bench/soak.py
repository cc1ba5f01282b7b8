"""Disturbs the shipped experiment at random until the time is up, and checks that its artefacts come out the same.

Processes are killed (the driver, workers at work and idle, the fork server, trainings), bits of stored files are
flipped, pool files are replaced while a run reads them, and the disk is full, one after another or several at once.
After each disturbance the run must either have ended well or with one error line and its exit code. Now and then, and
at the end, nothing disturbs: then every file of every artefact must have the bytes of a run that was left alone.

The seed decides what is done; when it meets the run depends on the machine. Linux only: processes are found in /proc.

    python bench/soak.py --minutes 15 --output bench/results/soak.json
"""

import argparse
import hashlib
import json
import os
import platform
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tamis.documentation.crawl import ensure_crawl
from tamis.store.location import Location

# A small share of the demo's training: the point is what surrounds it, and four trainings run each time.
SETTINGS = (
    "train.tokens=40000",
    "train.num_checkpoints=3",
    "train.threads=1",
    "train.warmup_steps=3",
    "heldout.max_documents=60",
    "heldout.max_items=60",
)
EXIT_CODES = (0, 1, 2, 3, 4, 5)
"""Of `tamis.base.errors`; -9 is added where the driver itself was killed."""
MEGABYTE = 1 << 20


def digests(workspace: Location) -> dict[str, str]:
    """Path -> digest of every file of every artefact, without locks, and without the speed that a training had."""
    artefacts = workspace / "artefacts"
    out = {}
    for file in artefacts.files():
        name, data = file.relative_to(artefacts), file.read_bytes()
        if "/.lock" in name:
            continue
        if name.endswith("/metrics.jsonl"):
            lines = [json.loads(line) for line in data.splitlines()]
            data = json.dumps([{k: v for k, v in line.items() if k != "tokens_per_second"} for line in lines]).encode()
        elif name.startswith("model-") and name.endswith("/record.json"):
            record = json.loads(data)
            del record["outputs"]["metrics.jsonl"], record["digest"]
            data = json.dumps(record).encode()
        out[name] = hashlib.sha256(data).hexdigest()
    return out


def difference(ours: dict[str, str], theirs: dict[str, str]) -> list[str]:
    """Names of the files in which two workspaces differ."""
    return sorted(name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name))


def descendants(pid: int) -> list[int]:
    """Processes that a process started, and those that these started."""
    children: dict[int, list[int]] = {}
    for place in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            fields = place.read_text().rpartition(")")[2].split()
            children.setdefault(int(fields[1]), []).append(int(place.parent.name))
    found = [pid]
    for parent in found:
        found += children.get(parent, [])
    return found[1:]


@dataclass
class Soak:
    """The experiment, its crawl, the workspace that is disturbed, and what was done so far."""

    folder: Path
    rng: random.Random
    workers: int
    seconds: float = 60.0
    """How long an undisturbed run takes: disturbances fall within it."""
    counts: Counter[str] = field(default_factory=Counter)
    last_error: str = ""

    @property
    def workspace(self) -> Path:
        return self.folder / "disturbed"

    def command(self, workspace: Path) -> list[str]:
        settings = [part for setting in SETTINGS for part in ("--set", setting)]
        return [
            sys.executable, "-m", "tamis", "experiment", "documentation", "--pool", str(self.folder / "crawl"),
            "--workspace", str(workspace), "--workers", str(self.workers), "--quiet", "--json", *settings,
        ]  # fmt: skip

    def start(self, workspace: Path, file_bytes: int | None = None) -> "subprocess.Popen[str]":
        """The experiment in a process of its own; no file that it writes may be larger than `file_bytes`."""

        def limit() -> None:
            if file_bytes is not None:
                resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, file_bytes))

        return subprocess.Popen(
            self.command(workspace), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=limit
        )

    def finish(self, run: "subprocess.Popen[str]", killed: bool = False) -> int:
        """Wait for a run, and check how it ended: well, or with one error line, its exit code and no traceback."""
        try:
            _, errors = run.communicate(timeout=20 * self.seconds + 300)
        except subprocess.TimeoutExpired:
            run.kill()
            raise SystemExit("a run hangs: " + " ".join(self.command(self.workspace))) from None
        allowed = (*EXIT_CODES, -signal.SIGKILL) if killed else EXIT_CODES
        lines = [line for line in errors.splitlines() if line.startswith("error: ")]
        if run.returncode not in allowed or "Traceback" in errors or (run.returncode > 0 and len(lines) != 1):
            raise SystemExit(f"a run ended with exit code {run.returncode} and\n{errors}")
        self.counts[f"exit code {run.returncode}"] += 1
        self.last_error = lines[0] if lines else ""
        print(f"          exit code {run.returncode} {self.last_error}", flush=True)
        return run.returncode

    def some_time(self) -> None:
        time.sleep(self.rng.uniform(0.2, self.seconds))


def kill_driver(soak: Soak) -> None:
    """kill -9 of the process that the user started."""
    run = soak.start(soak.workspace)
    soak.some_time()
    run.kill()
    soak.finish(run, killed=True)


def kill_workers(soak: Soak) -> None:
    """kill -9 of up to five of the processes below it, whatever they do at that moment."""
    run = soak.start(soak.workspace)
    for _ in range(soak.rng.randint(1, 5)):
        soak.some_time()
        below = descendants(run.pid)
        if run.poll() is None and below:
            with suppress(ProcessLookupError):
                os.kill(soak.rng.choice(below), signal.SIGKILL)
            soak.counts["processes killed"] += 1
    soak.finish(run)


def flip_bits(soak: Soak) -> None:
    """One bit in each of a few stored files; then a later artefact is deleted, so that some of them must be read."""
    files = [path for path in (soak.workspace / "artefacts").rglob("*") if path.is_file() and path.stat().st_size]
    files = sorted(path for path in files if "/.lock" not in str(path))
    if not files:
        return
    for file in soak.rng.sample(files, min(len(files), soak.rng.randint(1, 3))):
        data = bytearray(file.read_bytes())
        data[soak.rng.randrange(len(data))] ^= 1 << soak.rng.randrange(8)
        file.write_bytes(data)
        soak.counts["bits flipped"] += 1
    folders = sorted(path for path in (soak.workspace / "artefacts").iterdir() if path.is_dir())
    shutil.rmtree(soak.rng.choice(folders))
    soak.finish(soak.start(soak.workspace))


def replace_pool_file(soak: Soak) -> None:
    """One file of the crawl gets the bytes of another while the run works, and its own again afterwards."""
    wanted, other = soak.rng.sample(sorted((soak.folder / "crawl").iterdir()), 2)
    original = wanted.read_bytes()
    run = soak.start(soak.workspace)
    soak.some_time()
    put(wanted, other.read_bytes())
    soak.finish(run)
    put(wanted, original)


def put(place: Path, data: bytes) -> None:
    """Give a file other bytes in one step, as another program does that publishes files."""
    beside = place.with_name("new")
    beside.write_bytes(data)
    beside.replace(place)


def fill_disk(soak: Soak) -> None:
    """No file may grow beyond a limit: the system refuses the write, as it does on a full disk."""
    soak.finish(soak.start(soak.workspace, file_bytes=soak.rng.choice([1 << 10, 1 << 14, 1 << 18, MEGABYTE])))


def start_twice(soak: Soak) -> None:
    """Two users run the same experiment in one workspace."""
    runs = [soak.start(soak.workspace) for _ in range(2)]
    for run in runs:
        soak.finish(run)


DISTURBANCES: Sequence[Callable[[Soak], None]] = (
    kill_driver, kill_workers, flip_bits, replace_pool_file, fill_disk, start_twice,
)  # fmt: skip


def check(soak: Soak, wanted: dict[str, str]) -> None:
    """Run undisturbed until all is whole; then every file must have the bytes it has without disturbance."""
    soak.finish(soak.start(soak.workspace))
    verify = [sys.executable, "-m", "tamis", "verify", str(soak.workspace), "--json"]
    found = subprocess.run(verify, capture_output=True, text=True, check=False)
    soak.counts["damaged files found by tamis verify"] += len(json.loads(found.stdout)["damaged"])
    if soak.finish(soak.start(soak.workspace)) != 0:
        raise SystemExit(f"a run that nothing disturbs does not succeed: {soak.last_error}")
    different = difference(kept(digests(Location(soak.workspace)), wanted), wanted)
    if different:
        raise SystemExit(f"{len(different)} files differ from those of a run that was left alone: {different[:10]}")
    soak.counts["checks: all bytes equal"] += 1


def kept(ours: dict[str, str], wanted: dict[str, str]) -> dict[str, str]:
    """`ours` without the artefacts of the other pool, which `replace_pool_file` made the run work on for a time."""
    folders = {name.split("/")[0] for name in wanted}
    return {name: digest for name, digest in ours.items() if name.split("/")[0] in folders}


def render_crawl(folder: Path, pages: int, workers: int) -> None:
    """The crawl of the demo, in a folder of its own."""
    ensure_crawl(Location(folder), pages, workers, lambda event: None)


def soak_for(minutes: float, pages: int, seed: int, workers: int, folder: Path) -> dict[str, Any]:
    """Disturb for so many minutes. Raises SystemExit at the first run that ends as it must not."""
    soak = Soak(folder=folder, rng=random.Random(seed), workers=workers)
    render_crawl(folder / "crawl", pages, workers)
    began = time.monotonic()
    if soak.finish(soak.start(folder / "undisturbed")) != 0:
        raise SystemExit(f"the experiment does not run at all: {soak.last_error}")
    soak.seconds = time.monotonic() - began
    wanted = digests(Location(folder / "undisturbed"))
    while time.monotonic() - began < 60 * minutes:
        for disturb in soak.rng.sample(DISTURBANCES, 2):
            print(f"{time.monotonic() - began:6.0f} s  {disturb.__name__}", flush=True)
            disturb(soak)
            soak.counts[disturb.__name__] += 1
        if soak.rng.random() < 0.4:
            check(soak, wanted)
    check(soak, wanted)
    return {
        "bench": "soak", "minutes": round((time.monotonic() - began) / 60, 1), "seed": seed, "pages": pages,
        "files_compared": len(wanted), "undisturbed_seconds": round(soak.seconds, 1),
        "counts": dict(sorted(soak.counts.items())), "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "python": platform.python_version(),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=15.0)
    parser.add_argument("--pages", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tamis-soak-") as folder:
        result = soak_for(arguments.minutes, arguments.pages, arguments.seed, arguments.workers, Path(folder))
    print(json.dumps(result))
    if arguments.output:
        arguments.output.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
