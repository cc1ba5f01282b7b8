"""An experiment of any number of recipes, written by code: its runs, comparison and description."""

import random
from itertools import combinations
from pathlib import Path
from typing import Any

from synthetic_run import add_evaluation, add_model, data_of, pair, value, write_run

from tamis.store.rundir import RunDir

SETS = {"all": "heldout-all-0123", "dclm-baseline": "heldout-dclm-0123"}
NAMES = [
    "raw", "dclm-baseline-documentation", "gopher", "c4", "fineweb", "refinedweb-with-a-rather-long-name-of-its-own",
    "dclm-baseline-paper", "semantic-dedup", "keep-a-quarter", "keep-half",
]  # fmt: skip
BITS = [2.53, 2.39, 2.45, 2.47, 2.41, 2.44, 2.42, 2.46, 2.40, 2.43]


def write_experiment(root: Path, num_recipes: int, seeds: tuple[int, ...] = (0, 1, 2)) -> tuple[list[RunDir], Any, Any]:
    """(runs, comparison, experiment)."""
    runs, rng = [], random.Random(5)
    for place, name in enumerate(NAMES[:num_recipes]):
        run = write_run(root, name, strict=place > 0, seeds=(), seed=place)
        for seed in seeds:
            bits = BITS[place] + 0.004 * seed
            model = add_model(run, rng, bits, seed, data_of(name), evaluated=False)
            add_evaluation(run, model, seed, {"all": bits, "dclm-baseline": bits - 0.06 * (place > 0)}, SETS)
        runs.append(run)
    return runs, comparison_of(NAMES[:num_recipes], seeds), experiment_of(NAMES[:num_recipes], seeds)


def comparison_of(names: list[str], seeds: tuple[int, ...]) -> dict[str, Any]:
    tasks: dict[str, Any] = {}
    for heldout in SETS:
        shift = 0.06 if heldout != "all" else 0
        bits = {name: BITS[place] - shift * (place > 0) for place, name in enumerate(names)}
        tasks[f"{heldout}/documents"] = _task(names, bits, seeds, "bits_per_byte", 0.012)
        accuracy = {name: 0.71 - value_ / 8 for name, value_ in bits.items()}
        tasks[f"{heldout}/continuation"] = _task(names, accuracy, seeds, "accuracy", 0.02) | {"chance": 0.25}
    return {
        "sides": names, "baseline": names[0], "confidence": 0.95, "num_seeds": dict.fromkeys(names, len(seeds)),
        "same_tokens": True,
        "notes": ["too few hosts to draw them: pages were drawn as if independent, so intervals may be too narrow"],
        "tasks": tasks,
    }  # fmt: skip


def _task(names: list[str], values: dict[str, float], seeds: tuple[int, ...], metric: str, half: float) -> Any:
    lower = metric == "bits_per_byte"
    differences = []
    for a, b in combinations(names, 2):
        clear = abs(values[b] - values[a]) > half
        p_value = 0.0004 if clear else 0.3
        found = pair(a, b, values[b] - values[a], half, clear=clear, lower_is_better=lower, p_value=p_value,
                     p_adjusted=min(1.0, p_value * 10))  # fmt: skip
        differences.append(found | {"seed_spread": 0.0041 if len(seeds) > 1 else None})
    return {
        "metric": metric, "higher_is_better": not lower, "num_items": 608, "num_clusters": 41, "cluster_unit": "host",
        "values": {n: value(found, 3 * half, [found + 0.004 * (s - 1) for s in seeds]) for n, found in values.items()},
        "differences": differences,
    }  # fmt: skip


def experiment_of(names: list[str], seeds: tuple[int, ...]) -> dict[str, Any]:
    changes = {
        "filter.max_duplicate_line_fraction": (0.3, 0.5), "filter.min_words": (50, 40),
        "filter.max_mean_word_length": (10, 12), "filter.max_symbols_per_word": (0.1, None),
        "quality.keep_fraction": (0.1, 0.5), "filter.max_short_line_fraction": (0.67, 0.5),
        "dedup.method": ("bloom", "minhash"),
    }  # fmt: skip
    recipes: dict[str, Any] = {name: {"recipe": name, "changes": {}, "differences": []} for name in names}
    if "dclm-baseline-documentation" in recipes:
        recipes["dclm-baseline-documentation"] = {
            "recipe": "dclm-baseline", "changes": {name: here for name, (_, here) in changes.items()},
            "differences": [{"setting": name, "base": base, "here": here} for name, (base, here) in changes.items()],
        }  # fmt: skip
    return {
        "name": "documentation", "description": "Which recipe makes the better model of documentation pages?",
        "file": "name: documentation\nrecipes:\n  raw: {}\n", "baseline": names[0], "seeds": list(seeds),
        "scale": "nano", "recipes": recipes, "graph": graph_of(names, seeds),
        "heldout": {
            "all": {"recipe": "heldout", "pages": 608, "hosts": 41, "bytes": 2_711_004},
            "dclm-baseline": {"recipe": "dclm-baseline", "pages": 311, "hosts": 38, "bytes": 1_200_400},
        },
    }  # fmt: skip


def graph_of(names: list[str], seeds: tuple[int, ...]) -> list[dict[str, Any]]:
    """Every recipe names the pass that all share by its own label."""
    nodes: list[dict[str, Any]] = []

    def node(label: str, kind: str, artefacts: list[str], inputs: list[str], seconds: float | None = 4.2) -> str:
        took = {} if seconds is None else {"seconds": seconds}
        nodes.append({"label": label, "kind": kind, "artefacts": artefacts, "done": seconds is not None,
                      "inputs": inputs, **took})  # fmt: skip
        return label

    heldout = node("heldout: pool + extract", "pass", ["pool-h", "extract-h"], [])
    tasks = node("held-out set all", "heldout", ["heldout-all"], [heldout])
    scores = []
    for name in names:
        extract = node(f"{name}: pool + extract", "pass", ["pool-1", "extract-1"], [])
        tokenizer = node("tokenizer", "tokenizer", ["tokenizer-1"], [extract])
        last = extract
        if name != "raw":
            last = node(f"{name}: filter", "pass", [f"filter-{name}"], [last])
            last = node(f"{name}: dedup (decide)", "decision", [f"dedup-{name}"], [last])
        label = f"{name}: dedup + quality + decontaminate + tokenize"
        last = node(label, "pass", [f"dedup-{name}", f"tokenize-{name}"], [last, tokenizer])
        for seed in seeds:
            model = node(f"{name}: train seed {seed}", "model", [f"model-{name}-{seed}"], [last], 71.5)
            done = None if name == names[-1] else 14.1
            scores.append(
                node(f"{name}: evaluate seed {seed}", "evaluation", [f"e-{name}-{seed}"], [model, tasks], done)
            )
    node("comparison", "comparison", ["comparison-1"], scores, None)
    return nodes
