"""The demo: the whole story on the documentation of the user's own machine, with the machinery every run uses."""

import multiprocessing as mp
import queue
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tamis import flow, products
from tamis.base.errors import DataError
from tamis.base.events import Event
from tamis.store.atomic import read_json
from tamis.store.rundir import RunDir

HOLDOUT_FRACTION = 0.2
"""Share of hosts (one per Python package) whose pages neither recipe may train on."""
SCALE = "nano"
MIN_STEPS = 100
"""Optimizer steps aimed at when a pool is too small for the scale's own batches."""

DOCUMENTATION_SETTINGS = [
    "filter.max_words_removed_fraction=0.3",
    "filter.max_mean_word_length=12",
    "filter.max_duplicate_line_fraction=0.5",
    "filter.max_duplicate_line_character_fraction=0.3",
    *(f"filter.max_duplicate_{n}gram_fraction={0.40 - 0.02 * n:.2f}" for n in range(5, 11)),
]
"""API reference pages repeat their frame (`Methods defined here`) and have long words; RefinedWeb's thresholds, made
for prose, would leave 7 % of them and too little to train on. Other pools are filtered as published."""

KEEP_SETTINGS = ["quality.keep_fraction=0.5"]
"""DCLM keeps a tenth; of a few thousand pages that would be too little to train on."""

OnEvent = Callable[[Event], None]
Say = Callable[[str], None]


@dataclass(frozen=True)
class DemoConfig:
    """`pool` (WARC files) or `crawl` (a Common Crawl id) replace the documentation crawl; `pages`: how many to take."""

    output: Path
    pool: list[str]
    crawl: str | None
    pages: int
    num_workers: int


def run_demo(config: DemoConfig, on_event: OnEvent, say: Say) -> Path:
    """Run every step that is not done yet. Returns the report's path."""
    pool = _pool(config, on_event, say)
    rules = [] if config.pool or config.crawl else DOCUMENTATION_SETTINGS
    say("held-out pages: what neither recipe may train on")
    heldout = _curate("heldout", config, pool, rules, on_event)
    tasks = products.make_heldout(heldout, None, seed=0)
    say("tokenizer: byte-level BPE on the raw text, shared by both recipes")
    vocab_size = _scale().shape.vocab_size
    raw = _curate("raw", config, pool, [], on_event, until="extract")
    tokenizer = config.output / "tokenizer.json"
    if not tokenizer.exists():
        products.make_tokenizer(raw, tokenizer, vocab_size)
    settings = [f"tokenize.tokenizer={tokenizer}"]
    decontaminate = [f"decontaminate.reference=[{tasks / 'documents.jsonl'}, {tasks / 'continuation.jsonl'}]"]
    say("recipe raw: extraction only")
    runs = [_curate("raw", config, pool, settings, on_event)]
    say("recipe dclm-baseline: rules, dedup, quality, decontamination")
    runs.append(_curate("dclm-baseline", config, pool, [*rules, *KEEP_SETTINGS, *settings, *decontaminate], on_event))
    num_tokens = _equal_tokens(runs)
    say(f"training two {SCALE} models, on {num_tokens:,} tokens each")
    _train(runs, _training(num_tokens), on_event)
    for run in runs:
        products.evaluate_model(run, tasks, {}, on_event)
    return products.write_report([heldout.root, *(run.root for run in runs)], config.output / "report.html")


def _pool(config: DemoConfig, on_event: OnEvent, say: Say) -> dict[str, Any]:
    """Settings of the pool that all recipes share."""
    shared: dict[str, Any] = {"holdout_fraction": HOLDOUT_FRACTION}
    if config.crawl:
        return shared | {"crawl": config.crawl, "pages": config.pages}
    if config.pool:
        return shared | {"inputs": config.pool, "pages": config.pages}
    from tamis.documentation.crawl import write_docs_crawl

    say("pool: rendering the documentation of this machine's Python as a WARC crawl (read statically, nothing is run)")
    folder = config.output / "pool"
    if not (folder / "summary.json").exists():
        write_docs_crawl(folder, max_pages=config.pages, workers=config.num_workers, on_progress=_counting(on_event))
    return shared | {"inputs": [str(folder)]}


def _counting(on_event: OnEvent) -> Callable[[dict[str, Any]], None]:
    return lambda fields: on_event(Event(kind="progress", fields={"stage": "pool"} | fields))


def _curate(
    recipe: str,
    config: DemoConfig,
    pool: dict[str, Any],
    settings: list[str],
    on_event: OnEvent,
    until: str | None = None,
) -> RunDir:
    raw = flow.load_recipe(recipe)
    raw["pool"] = (raw.get("pool") or {}) | pool
    for assignment in settings:
        flow.override(raw, assignment)
    story = flow.resolve(raw, until=until)
    return flow.run_recipe(story, config.output / recipe, config.num_workers, on_event)


def _scale() -> Any:
    from tamis.train.scales import get_scale

    return get_scale(SCALE)


def _equal_tokens(runs: list[RunDir]) -> int:
    """The largest number of training tokens that every run has, at most the scale's own."""
    from tamis.train.settings import most_tokens

    scale = _scale()
    manifests = [read_json(products.tokens_folder(run) / "manifest.json") for run in runs]
    num_tokens = min(most_tokens(manifest["num_tokens"], scale) for manifest in manifests)
    if num_tokens == 0:
        raise DataError("the demo: a recipe left too few tokens to train on. Take more --pages.")
    return int(min(num_tokens, scale.num_tokens))


def _training(num_tokens: int) -> dict[str, Any]:
    """Training settings; a small pool gets smaller batches and a shorter warm-up, so that there are steps to take."""
    scale = _scale()
    settings = {"scale": SCALE, "tokens": num_tokens, "threads": 1}
    if num_tokens >= 2 * scale.warmup_steps * scale.batch_size * scale.sequence_length:
        return settings
    batch_size = max(1, min(scale.batch_size, num_tokens // (scale.sequence_length * MIN_STEPS)))
    num_steps = num_tokens // (scale.sequence_length * batch_size)
    return settings | {"batch_size": batch_size, "warmup_steps": max(1, num_steps // 10)}


def _train(runs: list[RunDir], settings: dict[str, Any], on_event: OnEvent) -> None:
    """Train all models at once, a process and a core each, with one shared progress line."""
    context = mp.get_context("spawn")
    with context.Manager() as manager, ProcessPoolExecutor(len(runs), mp_context=context) as pool:
        news = manager.Queue()
        jobs = [pool.submit(_train_one, run.root, settings, news) for run in runs]
        done: dict[str, dict[str, Any]] = {}
        while not all(job.done() for job in jobs):
            try:
                name, fields = news.get(timeout=0.5)
            except queue.Empty:
                continue
            done[name] = fields
            slowest = min(done.values(), key=lambda item: item.get("done", 0))
            on_event(Event(kind="progress", fields={"stage": "train"} | slowest))
        for job in jobs:
            job.result()


def _train_one(root: Path, settings: dict[str, Any], news: Any) -> None:
    def tell(event: Event) -> None:
        if event.kind == "progress":
            news.put((root.name, event.fields))

    products.train_model(RunDir(root), settings, tell)
