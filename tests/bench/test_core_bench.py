"""The check of aggregates against published numbers, and of rankings across scales."""

import csv
import json
import math
import runpy
from pathlib import Path

import pytest

from tamis.evaluate.aggregates import aggregate
from tamis.evaluate.suite import load_suite

BENCH = runpy.run_path(str(Path(__file__).parents[2] / "bench" / "core.py"))
SCORES = {task.label: 0.3 + 0.01 * number for number, task in enumerate(load_suite())}


def test_published_evaluations_are_reproduced(shared_data: Path) -> None:
    found = BENCH["check_results"](shared_data / "data/dclm_results/evals-dev.jsonl.zst")
    assert found["evaluations"] == 78
    assert {"Core_v1", "Core_v2", "Extended_v1", "Extended_v2"} < found["largest_difference"].keys()
    assert max(found["largest_difference"].values()) < 1e-12


def test_differences_are_seen(tmp_path: Path) -> None:
    made = aggregate(SCORES, version="v1")
    assert made.core is not None
    row = {"icl": SCORES, "Core_v1": made.core + 0.25, "Extended_v2": "N/A due to missing tasks: []"}
    incomplete = {"icl": {k: v for k, v in SCORES.items() if k != "siqa"}, "Extended_v1": "N/A", "Extended_v2": "N/A"}
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps(each) + "\n" for each in (row, incomplete)))
    largest = BENCH["check_results"](file)["largest_difference"]
    assert largest == {"Core_v1": pytest.approx(0.25), "Extended_v1": 0.0, "Extended_v2": math.inf}


def test_rankings_across_scales(tmp_path: Path) -> None:
    """Five data sets that keep their order but for one neighbouring pair; runs of one data set count by their mean."""
    sizes = {"400M-1x": 1.0, "7B-1x": 2.0}
    lines = []
    for scale, factor in sizes.items():
        params, tokens = BENCH["SCALES"][scale]
        for number, name in enumerate("abcde"):
            rank = {"d": 4, "e": 3}.get(name, number) if scale == "7B-1x" else number
            for shift in (-0.01, 0.01) if name == "a" else (0.0,):
                accuracies = dict.fromkeys(load_suite().core, 0.62 + 0.02 * factor * rank + shift)
                lines.append({"Dataset": name, "params": params, "tokens": tokens, **accuracies})
    lines.append(lines[0] | {"Dataset": "incomplete", load_suite().core[0]: ""})
    file = tmp_path / "runs.csv"
    with file.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(lines[0]))
        writer.writeheader()
        writer.writerows(lines)
    [found] = BENCH["check_correlations"](file)["correlations"]
    assert (found["small"], found["large"], found["datasets"]) == ("400M-1x", "7B-1x", 5)
    assert found["spearman"] == pytest.approx(0.9) and found["decision_accuracy"] == pytest.approx(0.9)
    assert found["pearson"] == pytest.approx(0.9)
    assert found["low"] < 0.9 < found["high"]
