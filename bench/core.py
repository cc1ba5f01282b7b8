"""Checks the aggregates against published numbers of DCLM, and how well small scales rank data sets for a large one.

    python bench/core.py --results evals.jsonl.zst
    python bench/core.py --correlations model_database.csv.zst

`--results`: one JSON object per line with `icl` (task -> accuracy) and the stored `Core_v1`, `Core_v2`, `Extended_v1`,
`Extended_v2` and, of the second version, `aggregated_task_categories_centered`. An aggregate that was stored as missing
has to be missing here as well, and counts as an infinite difference where it is not.

`--correlations`: a CSV file with a line per run (`Dataset`, `params`, `tokens`, an accuracy per task). Data sets that
were trained on at two scales are ranked at both by CORE; where a data set has several runs at a scale, by their mean.

Files that end in .zst are decompressed. The last line printed is JSON.
"""

import argparse
import csv
import io
import itertools
import json
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from statistics import fmean
from typing import Any, Literal

import zstandard
from scipy import stats

from tamis.evaluate.aggregates import aggregate
from tamis.evaluate.suite import BaselineVersion, load_suite

VERSIONS: tuple[BaselineVersion, ...] = ("v1", "v2")
SCALES = {
    "400M-1x": (411616256, 8232325120),
    "1B-1x": (1439795200, 28795904000),
    "1B-5x": (1439795200, 143979520000),
    "7B-1x": (6889410560, 137788211200),
    "7B-2x": (6889410560, 275576422400),
}
"""Parameters and tokens of the scales, as the runs state them."""
PUBLISHED = {("400M-1x", "7B-1x"): 0.838, ("1B-1x", "7B-1x"): 0.956}
"""Pearson correlation of CORE in the paper (arXiv 2406.11794, section 3.4), over its own choice of data sets."""


def read_text(path: Path) -> str:
    data = path.read_bytes()
    if path.suffix == ".zst":
        data = zstandard.ZstdDecompressor().stream_reader(io.BytesIO(data)).read()
    return data.decode("utf-8")


# Aggregates against stored ones.


def difference(ours: float | None, stored: Any) -> float:
    """Between an aggregate and the stored one, which is a text where tasks were missing."""
    if ours is None or not isinstance(stored, int | float):
        return 0.0 if ours is None and isinstance(stored, str) else math.inf
    return abs(ours - stored)


def differences(row: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """(aggregate, difference) for one evaluation."""
    for version in VERSIONS:
        made = aggregate(row["icl"], version=version)
        for name, ours in (("Core", made.core), ("Extended", made.extended)):
            if f"{name}_{version}" in row:
                yield f"{name}_{version}", difference(ours, row[f"{name}_{version}"])
    for category, stored in row.get("aggregated_task_categories_centered", {}).items():
        ours = made.categories.get(category)
        if ours is not None:  # of incomplete categories, the mean over the tasks that are there was stored
            yield category, difference(ours, stored)


def check_results(path: Path) -> dict[str, Any]:
    rows = [json.loads(line) for line in read_text(path).splitlines() if line.strip()]
    largest: dict[str, float] = {}
    for row in rows:
        for name, value in differences(row):
            largest[name] = max(value, largest.get(name, 0.0))
    return {"bench": "core", "evaluations": len(rows), "largest_difference": largest}


# Rankings across scales.


def core_of(row: Mapping[str, str]) -> float | None:
    """CORE (v1) of a run, from its accuracies; None when one is missing."""
    tasks = load_suite().core
    return aggregate({task: float(row[task]) for task in tasks if row[task]}, version="v1").core


def read_runs(path: Path) -> dict[str, dict[str, float]]:
    """Scale -> data set -> mean CORE of its runs."""
    runs: dict[str, dict[str, list[float]]] = {scale: defaultdict(list) for scale in SCALES}
    names = {numbers: scale for scale, numbers in SCALES.items()}
    for row in csv.DictReader(io.StringIO(read_text(path))):
        scale = names.get((int(float(row["params"] or 0)), int(float(row["tokens"] or 0))))
        core = core_of(row) if scale is not None else None
        if scale is not None and core is not None:
            runs[scale][row["Dataset"]].append(core)
    return {scale: {name: fmean(found) for name, found in by_name.items()} for scale, by_name in runs.items()}


def correlation(small: Mapping[str, float], large: Mapping[str, float]) -> dict[str, Any] | None:
    """Of CORE over the data sets that were trained on at both scales; None for fewer than four."""
    shared = sorted(small.keys() & large.keys())
    if len(shared) < 4:
        return None
    x, y = [small[name] for name in shared], [large[name] for name in shared]
    pearson = stats.pearsonr(x, y)
    low, high = pearson.confidence_interval(0.95)
    pairs = list(itertools.combinations(range(len(shared)), 2))
    agreeing = sum((x[i] - x[j]) * (y[i] - y[j]) > 0 for i, j in pairs)
    return {
        "datasets": len(shared), "pearson": round(pearson.statistic, 4), "low": round(low, 4), "high": round(high, 4),
        "spearman": round(stats.spearmanr(x, y).statistic, 4), "decision_accuracy": round(agreeing / len(pairs), 4),
    }  # fmt: skip


def check_correlations(path: Path) -> dict[str, Any]:
    runs = read_runs(path)
    found = []
    for small, large in itertools.combinations(SCALES, 2):
        measured = correlation(runs[small], runs[large])
        if measured is not None:
            found.append({"small": small, "large": large, **measured, "published": PUBLISHED.get((small, large))})
    return {"bench": "core", "metric": "Core_v1", "correlations": found}


def print_correlations(found: list[dict[str, Any]]) -> None:
    names: tuple[Literal["small", "large", "datasets", "pearson", "low", "high", "spearman", "decision_accuracy"], ...]
    names = ("small", "large", "datasets", "pearson", "low", "high", "spearman", "decision_accuracy")
    print("  ".join(f"{name:>17}" for name in (*names, "paper's pearson")))
    for line in found:
        print("  ".join(f"{line[name]!s:>17}" for name in names), f"{line['published'] or '':>17}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--results", type=Path)
    what.add_argument("--correlations", type=Path)
    arguments = parser.parse_args()
    if arguments.results is not None:
        print(json.dumps(check_results(arguments.results)))
        return
    found = check_correlations(arguments.correlations)
    print_correlations(found["correlations"])
    print(json.dumps(found))


if __name__ == "__main__":
    main()
