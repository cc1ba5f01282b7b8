"""Deduplication of many documents as a user runs it: seconds, memory of all processes, disk, duplicates found.

    python bench/scale_dedup.py 1000000 [--method minhash] [--workers 2] [--format parquet] [--folder F] [--set X=Y ...]

Writes N synthetic documents (about 100 words each from a Zipf vocabulary; a fifth repeat an earlier one with a known
share of words replaced) in shards of 50,000, then curates them by `tamis run` with pool and one dedup step. `--set`
goes to `tamis run`, as in `--set dedup.num_parts=4`. With --folder, documents are kept there and used again; the run is
always new. Memory is the sum of the resident sets of the command and its workers, polled ten times a second; pages that
they share count once for each. The last line printed is one JSON object.
"""

import argparse
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml
import zstandard

from tamis.store.rundir import RunDir

SHARD_DOCUMENTS = 50_000
MEAN_WORDS, VOCABULARY_WORDS, ZIPF_EXPONENT = 100, 50_000, 1.05
DUPLICATE_FRACTION = 0.2
RATES = np.array([0.0, 0.01, 0.05, 0.1, 0.2, 0.4])
RESERVOIR = 100_000
"""Documents at hand to be repeated, replaced at random by later ones: copies lie any number of shards apart."""


class Writer:
    """Draws documents shard by shard, the same ones for the same seed."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        letters = np.array(list("etaoinshrdlucmfwygpbvk"))
        spelled = {"".join(self.rng.choice(letters, self.rng.integers(2, 11))) for _ in range(2 * VOCABULARY_WORDS)}
        self.words = self.rng.permutation(np.array(sorted(spelled), object))[:VOCABULARY_WORDS]
        weights = 1 / np.arange(1, len(self.words) + 1) ** ZIPF_EXPONENT
        self.cumulative = np.cumsum(weights / weights.sum())
        self.reservoir: list[np.ndarray] = []

    def draw_words(self, number: int) -> np.ndarray:
        return np.searchsorted(self.cumulative, self.rng.random(number)).astype(np.int32)

    def shard(self, number: int) -> tuple[list[str], np.ndarray]:
        """Texts, and per document the rate of a near-copy or NaN."""
        lengths = np.maximum(20, self.rng.gamma(4, MEAN_WORDS / 4, number).astype(int))
        drawn = np.split(self.draw_words(int(lengths.sum())), np.cumsum(lengths)[:-1])
        copied = self.rng.random(number) < DUPLICATE_FRACTION
        rates = np.where(copied, self.rng.choice(RATES, number), np.nan)
        texts = []
        for place, document in enumerate(drawn):
            if copied[place] and self.reservoir:
                document = self.reservoir[self.rng.integers(len(self.reservoir))].copy()
                changed = np.flatnonzero(self.rng.random(len(document)) < rates[place])
                document[changed] = self.draw_words(len(changed))
            else:
                rates[place] = np.nan
                self._keep(document)
            texts.append(" ".join(self.words[document]))
        return texts, rates

    def _keep(self, document: np.ndarray) -> None:
        if len(self.reservoir) < RESERVOIR:
            self.reservoir.append(document.copy())
        elif self.rng.random() < 0.1:
            self.reservoir[self.rng.integers(RESERVOIR)] = document.copy()


def write_documents(folder: Path, number: int, form: str) -> int:
    """Shards of documents and the rates of copies; returns bytes of text."""
    folder.mkdir(parents=True)
    writer, text_bytes, all_rates = Writer(0), 0, []
    for shard, start in enumerate(range(0, number, SHARD_DOCUMENTS)):
        texts, rates = writer.shard(min(SHARD_DOCUMENTS, number - start))
        all_rates.append(rates)
        text_bytes += sum(map(len, texts))
        urls = [f"http://host{i % 4999}.org/{i}" for i in range(start, start + len(texts))]
        if form == "parquet":
            pq.write_table(pa.table({"url": urls, "text": texts}), folder / f"{shard:05d}.parquet", compression="zstd")
        else:
            lines = "".join(json.dumps({"url": u, "text": t}) + "\n" for u, t in zip(urls, texts, strict=True))
            (folder / f"{shard:05d}.jsonl.zst").write_bytes(zstandard.compress(lines.encode()))
    np.save(folder / "rates.npy", np.concatenate(all_rates))
    return text_bytes


class MemoryWatch(threading.Thread):
    """Peaks of a process and all its descendants, in bytes: the sum of them, and the largest one."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.pid, self.peak_sum, self.peak_one = pid, 0, 0
        self.stopped = threading.Event()

    def run(self) -> None:
        while not self.stopped.wait(0.1):
            sizes = [resident_bytes(pid) for pid in family(self.pid)]
            self.peak_sum, self.peak_one = max(self.peak_sum, sum(sizes)), max(self.peak_one, *sizes, 0)


def family(pid: int) -> list[int]:
    found = [pid]
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                found += family(int(child))
    return found


def resident_bytes(pid: int) -> int:
    with contextlib.suppress(OSError):
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return 0


def curate(documents: Path, output: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Run the recipe; wall seconds in all and of each part, peaks of memory."""
    recipe = {"name": "scale", "pool": {"inputs": [str(documents)]}, "stages": [{"dedup": {"method": options.method}}]}
    path = output.with_suffix(".yaml")
    path.write_text(yaml.safe_dump(recipe))
    command = [sys.executable, "-m", "tamis", "run", str(path), "--workspace", str(output), "-q"]
    command += ["--workers", str(options.workers)]
    for setting in options.set:
        command += ["--set", setting]
    begin = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    watch = MemoryWatch(process.pid)
    watch.start()
    if process.wait() != 0:
        raise SystemExit("tamis run failed")
    seconds = time.perf_counter() - begin
    watch.stopped.set()
    return {
        "seconds": round(seconds, 1),
        "seconds_of": phases(output),
        "peak_megabytes": round(watch.peak_sum / 2**20),
        "peak_process_megabytes": round(watch.peak_one / 2**20),
    }


def phases(output: Path) -> dict[str, float]:
    """Seconds between start and end of every part of the run, by its name."""
    found, started = {}, 0.0
    for event in RunDir(f"{output}/scale").read_events():
        if event["kind"] == "pass_started":
            started = event["time"]
        elif event["kind"] == "pass_finished":
            found[" + ".join(event["stages"])] = round(event["time"] - started, 1)
    return found


def found_by_rate(documents: Path, output: Path) -> dict[str, Any]:
    """How many copies of each rate were removed, and how many others."""
    rates = np.load(documents / "rates.npy")
    removed = np.zeros(len(rates), bool)
    for path in sorted(output.glob("artefacts/dedup-*/removed/*.parquet")):
        urls = pq.read_table(path, columns=["url"])["url"].to_pylist()
        removed[[int(url.rpartition("/")[2]) for url in urls]] = True
    by_rate = {f"{rate:g}": round(float(removed[rates == rate].mean()), 4) for rate in RATES if (rates == rate).any()}
    return {"removed": int(removed.sum()), "recall_by_rate": by_rate, "others": int(removed[np.isnan(rates)].sum())}


def disk_megabytes(folder: Path) -> int:
    return round(sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("documents", type=int)
    parser.add_argument("--method", default="minhash")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--format", choices=["parquet", "jsonl"], default="parquet")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--set", action="append", default=[])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as scratch:
        documents = (options.folder or Path(scratch)) / f"documents-{options.documents}-{options.format}"
        if not documents.exists():
            write_documents(documents, options.documents, options.format)
        output = Path(scratch) / "run"
        result = curate(documents, output, options)
        card = json.loads(next(output.glob("artefacts/dedup-*/card.json")).read_text())
        result |= found_by_rate(documents, output)
        result |= {"decisions": card["details"].get("decisions", {}), "disk_megabytes": disk_megabytes(output)}
        result["sketch_megabytes"] = sum(disk_megabytes(path) for path in output.glob("artefacts/dedup-*/sketch*"))
        result["input_megabytes"] = disk_megabytes(documents)
        shutil.rmtree(output)
    asked = {"documents": options.documents, "method": options.method, "workers": options.workers, "set": options.set}
    print(json.dumps({"bench": "scale_dedup", **asked, **result}))


if __name__ == "__main__":
    main()
