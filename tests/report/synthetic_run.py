"""Run directories as `tamis run` leaves them, written by code: realistic enough to judge the report by eye."""

import json
import math
import random
from pathlib import Path
from typing import Any

HOSTILE = (
    '</script><script>alert(1)</script><img src=http://evil.example/x onerror=alert(2)> & "quotes" \x00\x0b \u202e'
)

RULES = [
    ("too_few_words", "num_words", "<", 50, "Gopher, table A1"),
    ("too_many_words", "num_words", ">", 100_000, "Gopher, table A1"),
    ("word_length_out_of_range", "mean_word_length", ">", 10, "Gopher, table A1"),
    ("too_few_stop_words", "num_stop_words", "<", 2, "Gopher, table A1"),
    ("repeated_lines", "duplicate_line_fraction", ">", 0.3, "Gopher, table A1"),
    ("too_many_symbols", "symbol_to_word_ratio", ">", 0.1, "Gopher, table A1"),
    ("not_english", "language", "!=", "en", "RefinedWeb, section G.2"),
]


def bell(rng: random.Random, bins: int, centre: float, width: float, total: int) -> list[int]:
    shape = [
        math.exp(-(((i + 0.5) / bins - centre) ** 2) / (2 * width**2)) * rng.uniform(0.85, 1.15) for i in range(bins)
    ]
    scale = total / sum(shape)
    return [round(scale * value) for value in shape]


def histogram(rng: random.Random, label: str, low: float, high: float, centre: float, width: float, total: int,
              log: bool = False, ends: tuple[int, int] = (0, 0)) -> dict[str, Any]:  # fmt: skip
    counts = [ends[0], *bell(rng, 40, centre, width, total), ends[1]]
    return {"label": label, "low": low, "high": high, "log": log, "counts": counts}


def filter_details(rng: random.Random, rows: int) -> dict[str, Any]:
    keys = ("reason", "column", "op", "threshold", "source")
    return {
        "rules": [dict(zip(keys, rule, strict=True)) for rule in RULES],
        "histograms": {
            "num_words": histogram(rng, "Words", 1, 1e6, 0.45, 0.13, rows, log=True, ends=(3, 0)),
            "mean_word_length": histogram(rng, "Mean word length (characters)", 0, 12, 0.42, 0.08, rows, ends=(0, 41)),
            "num_stop_words": histogram(rng, "Stop words of eight", 0, 9, 0.75, 0.25, rows),
            "duplicate_line_fraction": histogram(rng, "Fraction of lines that are duplicates", 0, 1, 0.02, 0.12, rows),
            "symbol_to_word_ratio": histogram(rng, "Symbols per word", 0, 0.5, 0.0, 0.08, rows, ends=(0, 77)),
            "quality_unruled": histogram(rng, "Fraction of letters", 0, 1, 0.8, 0.07, rows),
        },
        "examples": [
            {
                "id": f"{i:032x}", "url": f"https://docs.example.org/library/page-{i}.html", "reason": reason,
                "excerpt": "Navigation\nindex\nmodules | next | previous\nThe Python Standard Library » " * (1 + i),
                "signals": {"num_words": 12 + i, "duplicate_line_fraction": 0.41, "language": "fr"},
            }
            for i, reason in enumerate(["too_few_words", "too_few_words", "repeated_lines", "not_english"])
        ]
        + [{"id": "f" * 32, "url": "javascript:alert(1)", "reason": "too_many_symbols", "excerpt": HOSTILE,
            "signals": {"symbol_to_word_ratio": 0.75, HOSTILE: HOSTILE}}],
        "notes": {},
    }  # fmt: skip


def card(name: str, rows: dict[str, Any], text: dict[str, Any], details: dict[str, Any], number: int) -> dict[str, Any]:
    return {
        "kind": "stage", "name": name, "version": 1, "fingerprint": f"{number * 0x9E3779B97F4A7C15 % 2**128:032x}",
        "parents": ["0" * 32], "config": {}, "tamis_version": "0.1.0", "seed": 0, "counts": rows, "text_bytes": text,
        "details": details,
    }  # fmt: skip


def stages(rng: random.Random, strict: bool) -> list[dict[str, Any]]:
    """Cards of a run over 9 412 pages; `strict` runs filter, dedup and quality as well."""
    pool = ({"in": 9412, "kept": 8801, "removed": {"held_out": 608}, "quarantined": {"bad_record": 3}},
            {"in": 0, "kept": 0, "removed": {}, "quarantined": {}}, {"notes": {"request records": 12}})  # fmt: skip
    extract = ({"in": 8801, "kept": 8710, "removed": {"empty_text": 84}, "quarantined": {"timeout": 7}},
               {"in": 0, "kept": 41_230_118, "removed": {"empty_text": 0}, "quarantined": {"timeout": 0}}, {})  # fmt: skip
    reasons = {"too_few_words": 1602, "not_english": 711, "repeated_lines": 430, "too_few_stop_words": 211,
               "too_many_symbols": 77, "word_length_out_of_range": 41, "too_many_words": 2}  # fmt: skip
    sizes = {"too_few_words": 402_118, "not_english": 3_102_551, "repeated_lines": 2_811_092,
             "too_few_stop_words": 611_204, "too_many_symbols": 301_882, "word_length_out_of_range": 150_031,
             "too_many_words": 1_930_556}  # fmt: skip
    kept, text = 8710 - sum(reasons.values()), 41_230_118 - sum(sizes.values())
    chain = [("pool", *pool), ("extract", *extract)]
    if strict:
        done = {"in": 8710, "kept": kept, "removed": reasons, "quarantined": {}}
        chain.append(("filter", done, {"in": 41_230_118, "kept": text, "removed": sizes, "quarantined": {}},
                      filter_details(rng, 8710)))  # fmt: skip
        chain.append(("dedup", {"in": kept, "kept": kept - 902, "removed": {"duplicate_document": 902}, "quarantined": {}},
                      {"in": text, "kept": text - 9_400_000, "removed": {"duplicate_document": 6_100_000},
                       "quarantined": {}}, {}))  # fmt: skip
        kept, text = kept - 902, text - 9_400_000
        score = histogram(rng, "Quality score", 0, 1, 0.3, 0.22, kept)
        rule = {
            "reason": "low_quality",
            "column": "quality_score",
            "op": "<",
            "threshold": 0.5214,
            "source": "top 30 %",
        }
        chain.append(("quality", {"in": kept, "kept": 1399, "removed": {"low_quality": kept - 1399}, "quarantined": {}},
                      {"in": text, "kept": 9_100_442, "removed": {"low_quality": text - 9_100_442}, "quarantined": {}},
                      {"rules": [rule], "histograms": {"quality_score": score}}))  # fmt: skip
        kept, text = 1399, 9_100_442
    else:
        kept, text = 8710, 41_230_118
    tokens = round(text / 4.113)
    chain.append(("tokenize", {"in": kept, "kept": kept, "removed": {}, "quarantined": {}},
                  {"in": text, "kept": text, "removed": {}, "quarantined": {}}, {"num_tokens": tokens}))  # fmt: skip
    return [card(*entry, number) for number, entry in enumerate(chain, start=1)]


def write_json(path: Path, data: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data))


def write_run(root: Path, name: str, *, strict: bool, trained: bool = True, seed: int = 0) -> Path:
    """A finished run at root/name."""
    run, rng = root / name, random.Random(seed)
    cards = stages(rng, strict)
    for number, entry in enumerate(cards, start=1):
        write_json(run / f"{number:02d}_{entry['name']}" / "card.json", entry)
    steps = "".join(f"- {entry['name']}: {{}}\n" for entry in cards[1:])
    later = "train:\n  scale: nano\nevaluate:\n  suite: heldout\n" if trained else ""
    (run / "recipe.yaml").write_text(
        f"name: {name}\ndescription: A recipe for trying the report\nseed: 7\nmode: fixed\npool:\n  inputs:\n"
        f"  - crawl/*.warc.gz\nstages:\n{steps}{later}"
    )
    write_json(run / "provenance.json", {
        "tamis": "0.1.0", "python": "3.11.9", "numpy": "2.1.0", "host": "tuya", "cores": 2,
        "platform": "Linux-6.1-x86_64", "command": f"tamis run {name} --output runs/{name}", "directory": "/home/me/crawl",
    })  # fmt: skip
    write_events(run, cards, trained)
    if trained:
        write_model(run, rng, 2.41 if strict else 2.53)
    return run


def write_events(run: Path, cards: list[dict[str, Any]], trained: bool) -> None:
    clock, events = 1_795_000_000.0, [{"time": 1_795_000_000.0, "kind": "run_started", "recipe": run.name}]
    for number, names in enumerate(
        (["01_pool", "02_extract"], [f"{i:02d}_{c['name']}" for i, c in enumerate(cards[2:], 3)])
    ):
        about = {"pass": number + 1, "stages": names}
        events.append({"time": clock, "kind": "pass_started", **about, "tasks": 3, "skipped": 0})
        for shard in range(3):
            clock += 6.2
            events.append({"time": clock, "kind": "task_finished", **about, "shard": f"s{shard}", "rows": 3137,
                           "seconds": 11.8, "input_bytes": 31_000_000, "peak_memory_bytes": 412_000_000})  # fmt: skip
        events.append({"time": clock, "kind": "pass_finished", **about})
    for step, seconds in (("train", 71.5), ("evaluate", 14.2)) if trained else ():
        events.append({"time": clock, "kind": "step_started", "stage": step})
        clock += seconds
        events.append({"time": clock, "kind": "step_finished", "stage": step})
    events.append({"time": clock, "kind": "run_finished"})
    (run / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))


def write_model(run: Path, rng: random.Random, bits: float) -> None:
    shared = {"version": 1, "config": {}, "parents": [], "tamis_version": "0.1.0", "seed": 7, "details": {}}
    for name in ("train", "evaluate"):
        write_json(run / name / "card.json", {"kind": name, "name": name, "fingerprint": f"{name:0<32}", **shared})
    lines = [
        {"step": step, "tokens": step * 8192, "loss": 2.2 + bits / 2 + 5.4 * math.exp(-step / 60) + rng.gauss(0, 0.06)}
        for step in range(1, 301)
    ]
    (run / "train" / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    write_json(run / "evaluate" / "results.json", {"tasks": {
        "heldout_documents": {"metric": "bits_per_byte", "value": bits, "low": bits - 0.04, "high": bits + 0.04,
                              "num_items": 608, "higher_is_better": False},
        "heldout_continuation": {"metric": "accuracy", "value": 0.71 - bits / 8, "low": 0.67 - bits / 8,
                                 "high": 0.75 - bits / 8, "num_items": 600, "chance": 0.25, "higher_is_better": True},
    }})  # fmt: skip


COMPARISON: dict[str, Any] = {
    "baseline": "raw", "candidate": "dclm-baseline", "level": 0.95,
    "differences": [
        {"task": "heldout_documents", "metric": "bits_per_byte", "difference": -0.121, "low": -0.142, "high": -0.101,
         "baseline": 2.53, "candidate": 2.41, "higher_is_better": False},
        {"task": "heldout_continuation", "metric": "accuracy", "difference": 0.015, "low": -0.011, "high": 0.041,
         "higher_is_better": True},
    ],
}  # fmt: skip


def write_demo(root: Path) -> list[Path]:
    """The three runs of the demo."""
    return [
        write_run(root, "heldout", strict=False, trained=False, seed=1),
        write_run(root, "raw", strict=False, seed=2),
        write_run(root, "dclm-baseline", strict=True, seed=3),
    ]
