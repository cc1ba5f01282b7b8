"""Read first: the order of the story, stated once, and how a recipe becomes a run.

    pool -> extract -> filter -> dedup -> quality -> decontaminate -> tokenize -> train -> evaluate -> compare -> report

A recipe names stages from `STAGES`; each becomes one or more Source, Map or Group objects; `runner` does the rest.
"""

import importlib
import os
import platform
import shlex
import socket
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from tamis import __version__
from tamis.base.config import Config
from tamis.base.errors import ConfigError, TamisError, did_you_mean
from tamis.base.events import Event
from tamis.base.own_stage import own_stage
from tamis.base.plugins import anchored, names_plugin
from tamis.base.recipe import Recipe
from tamis.base.stage import Source, Stage
from tamis.fetch import resolve_setting
from tamis.runner.plan import Plan, make_plan
from tamis.runner.run import EngineName
from tamis.store.atomic import write_json, write_text
from tamis.store.rundir import RunDir

STAGES: dict[str, str] = {
    "pool": "tamis.stages.pool.stage",
    "extract": "tamis.stages.extract.stage",
    "filter": "tamis.stages.filter.stage",
    "dedup": "tamis.stages.dedup.stage",
    "quality": "tamis.stages.quality.stage",
    "decontaminate": "tamis.stages.decontaminate.stage",
    "tokenize": "tamis.stages.tokenize.stage",
}
"""Every curation step, in the order of the story; the value is the module whose `build(settings, recipe)` makes it."""

ANYWHERE: dict[str, str] = {"cut": "tamis.stages.cut.stage"}
"""Steps that have no place of their own in the story: a recipe can have them after any other."""

MODEL_STEPS = ("train", "evaluate")
"""What a recipe may ask for after curation."""

OnEvent = Callable[[Event], None]


def recipe_names() -> list[str]:
    """Names of the recipes shipped with the package."""
    folder = resources.files("tamis.recipes")
    return sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml"))


def load_recipe(name_or_path: str) -> dict[str, Any]:
    """The raw YAML of a shipped recipe or of a file. Raises ConfigError with the nearest name or the line at fault."""
    path = Path(name_or_path)
    if path.suffix in (".yaml", ".yml") or path.is_file():
        if not path.is_file():
            raise ConfigError(f"{path}: no such recipe file")
        text, where = path.read_text(encoding="utf-8", errors="replace"), str(path)
    elif name_or_path in recipe_names():
        text = resources.files("tamis.recipes").joinpath(f"{name_or_path}.yaml").read_text(encoding="utf-8")
        where = name_or_path
    else:
        raise ConfigError(f"no recipe '{name_or_path}'{did_you_mean(name_or_path, recipe_names())}")
    try:
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"{where}: not valid YAML: {error}") from None
    if not isinstance(data, dict):
        raise ConfigError(f"{where}: a recipe is a mapping with at least 'name' and 'stages'")
    recipe: dict[str, Any] = anchored(data, path.parent)
    return recipe


def override(recipe: dict[str, Any], assignment: str) -> None:
    """Apply one `path.to.field=value` to a raw recipe, in place. The path starts with a recipe field or a stage name.

    Raises ConfigError for an assignment without '=', or a path that starts nowhere.
    """
    path, equals, raw = assignment.partition("=")
    parts = path.strip().split(".")
    if not equals or not all(parts):
        raise ConfigError(f"--set {assignment}: expected path.to.field=value, as in filter.min_words=40")
    try:
        value = yaml.safe_load(raw)
    except yaml.YAMLError:
        value = raw
    target = _override_root(recipe, parts, assignment)
    for part in parts[1:-1]:
        if target.get(part) is None:
            target[part] = {}
        target = target[part]
        if not isinstance(target, dict):
            raise ConfigError(f"--set {assignment}: '{part}' is a value, not a group of settings")
    target[parts[-1]] = value


def _override_root(recipe: dict[str, Any], parts: list[str], assignment: str) -> dict[str, Any]:
    """The mapping that the first part of the path opens (the recipe itself for a field such as `seed`)."""
    head = parts[0]
    for entry in recipe.get("stages") or []:
        name = entry if isinstance(entry, str) else next(iter(entry), "")
        if name == head and len(parts) > 1:
            if isinstance(entry, str):
                position = recipe["stages"].index(entry)
                recipe["stages"][position] = entry = {head: {}}
            entry[head] = entry[head] or {}
            return dict_of(entry[head], assignment)
    if head not in Recipe.model_fields or head == "stages":
        names = [*Recipe.model_fields, *(stage_name(entry) for entry in recipe.get("stages") or [])]
        raise ConfigError(f"--set {assignment}: nothing is called '{head}'{did_you_mean(head, names)}")
    if len(parts) == 1:
        return recipe
    if recipe.get(head) is None:
        recipe[head] = {}
    return dict_of(recipe[head], assignment)


def dict_of(value: Any, assignment: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ConfigError(f"--set {assignment}: {value!r} is a value, not a group of settings")
    return value


def stage_name(entry: Any) -> str:
    return entry if isinstance(entry, str) else str(next(iter(entry), ""))


@dataclass(frozen=True)
class Story:
    """A recipe brought to life: validated, with its stages built and defaults filled in.

    With `own_vocab_size`, the recipe names no tokenizer: one of that size is trained on the documents that come out of
    `stages`, and the stage `tokenize` follows with it.
    """

    recipe: Recipe
    source: Source
    stages: list[Stage]
    own_vocab_size: int | None = None

    def plan(self) -> Plan:
        return make_plan(self.recipe, self.source, self.stages)


def resolve(raw: dict[str, Any], pool: Sequence[str] = (), until: str | None = None) -> Story:
    """Validate a raw recipe and build its stages. `pool` replaces `pool.inputs`; `until` cuts what comes after a stage.

    Raises ConfigError naming the field at fault and the nearest valid name.
    """
    if pool:
        raw = raw | {"pool": (raw.get("pool") or {}) | {"inputs": list(pool)}}
    recipe = Recipe.parse(raw, "")
    recipe = _cut(recipe, until) if until else recipe
    source = _build("pool", recipe.pool, recipe)[0]
    assert isinstance(source, Source)
    stages: list[Stage] = []
    resolved: list[dict[str, Any]] = []
    vocab_size = None
    for entry in recipe.stages:
        ((name, given),) = entry.items()
        pairs = {field: resolve_setting(value) for field, value in (given or {}).items()}
        settings = {field: used for field, (used, _) in pairs.items()}
        if name == "tokenize" and not settings.get("tokenizer"):
            config: Config = tokenize_config(settings)
            vocab_size = config.model_dump()["own_vocab_size"]
            [source, *stages][-1].keeps_output = True
        else:
            stages += (built := _build(name, settings, recipe))
            config = built[0].config
        written = {field: said for field, (used, said) in pairs.items() if used != said}
        resolved.append({name: config.model_dump(mode="json") | written})
    filled = {"stages": resolved, "pool": source.config.model_dump(mode="json")}
    return Story(recipe.model_copy(update=filled), source, stages, vocab_size)


def tokenize_config(settings: dict[str, Any]) -> Config:
    """Validated settings of a `tokenize` stage that names no tokenizer yet."""
    config = importlib.import_module(STAGES["tokenize"]).TokenizeConfig
    return config.parse(settings, "tokenize")


def _cut(recipe: Recipe, until: str) -> Recipe:
    names = ["pool", *(stage_name(entry) for entry in recipe.stages), *MODEL_STEPS]
    if until not in names:
        raise ConfigError(f"--until {until}: this recipe has no such stage{did_you_mean(until, names)}")
    position = names.index(until)
    changes: dict[str, Any] = {"stages": recipe.stages[:position]}
    if until != "evaluate":
        changes["evaluate"] = None
    if until not in MODEL_STEPS:
        changes["train"] = None
    return recipe.model_copy(update=changes)


def _build(name: str, settings: dict[str, Any], recipe: Recipe) -> list[Stage]:
    steps = STAGES | ANYWHERE
    if names_plugin(name):
        return [own_stage(name, settings)]
    if name not in steps:
        raise ConfigError(f"stages: no stage '{name}'{did_you_mean(name, steps)}")
    built = importlib.import_module(steps[name]).build(settings, recipe)
    return [built] if isinstance(built, Stage) else list(built)


def run_recipe(story: Story, output: Path, num_workers: int, on_event: OnEvent, engine: EngineName = "local") -> RunDir:
    """Curate, then train and evaluate if the recipe asks for it. Finished work is skipped.

    Raises any TamisError; whatever happens is in the run's events.jsonl.
    """
    run = RunDir(output)

    def tell(event: Event) -> None:
        if event.kind != "progress":
            run.log(event)
        on_event(event)

    with run.lock():
        plan = story.plan()
        tokenize = [f"{len(plan.folders) + 1:02d}_tokenize"] if story.own_vocab_size else []
        run.prepare([*plan.folders, *tokenize])
        write_text(run.recipe, dump_recipe(story.recipe))
        write_json(run.provenance, provenance())
        tell(Event(kind="run_started", fields={"recipe": story.recipe.name, "output": str(output)}))
        if names := story.source.passed_over():
            shown = ", ".join(names[:5]) + (", …" if len(names) > 5 else "")
            text = f"pool: passed over {len(names)} files of no readable kind (named outright, they are read): {shown}"
            tell(Event(kind="note", fields={"text": text, "passed_over": names}))
        try:
            _curate(story, plan, run, num_workers, tell, engine)
            _train_and_evaluate(story.recipe, run, tell)
        except (TamisError, KeyboardInterrupt) as error:
            tell(Event(kind="run_failed", fields={"error": f"{type(error).__name__}: {error}"}))
            raise
        tell(Event(kind="run_finished", fields={"output": str(output)}))
    return run


def _curate(story: Story, plan: Plan, run: RunDir, num_workers: int, on_event: OnEvent, engine: EngineName) -> None:
    """Run the plan; where the recipe names no tokenizer, train one on what came out, and tokenize with it."""
    from tamis import kernels, products
    from tamis.runner.run import run_plan

    needed = sorted({group for stage in story.stages for group in stage.kernels})
    if not kernels.compiled(needed):
        on_event(Event(kind="note", fields={"text": "compiling kernels, once on this machine: up to a minute"}))
        kernels.warm(needed)
    run_plan(plan, run, num_workers, on_event, engine)
    if story.own_vocab_size:
        on_event(
            Event(kind="note", fields={"text": f"tokenizer: BPE of {story.own_vocab_size:,} ids on these documents"})
        )
        documents = run.stage(plan.folders[-1]).root / "shards"
        identity = [plan.corpus_fingerprint, plan.passes[-1].output.fingerprint]
        tokenizer = products.own_tokenizer(run, documents, story.own_vocab_size, identity)
        settings = dict(story.recipe.stages[-1]["tokenize"] or {}) | {"tokenizer": str(tokenizer)}
        stages = [*story.stages, *_build("tokenize", settings, story.recipe)]
        run_plan(make_plan(story.recipe, story.source, stages), run, num_workers, on_event, engine)


def _train_and_evaluate(recipe: Recipe, run: RunDir, on_event: OnEvent) -> None:
    from tamis import products

    if recipe.train is not None:
        products.train_model(run, recipe.train, on_event)
    if recipe.evaluate is not None:
        settings = dict(recipe.evaluate)
        heldout = settings.pop("heldout", None)
        if heldout is None:
            raise ConfigError("evaluate.heldout: give the folder of held-out tasks that `tamis heldout` wrote")
        products.evaluate_model(run, Path(heldout), settings, on_event)


def dump_recipe(recipe: Recipe) -> str:
    return str(yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False, allow_unicode=True))


def provenance() -> dict[str, Any]:
    """Who, where and with what: everything about an execution that its results must not depend on."""
    import numpy
    import pyarrow

    return {
        "tamis": __version__,
        "python": platform.python_version(),
        "numpy": numpy.__version__,
        "pyarrow": pyarrow.__version__,
        "platform": platform.platform(),
        "host": socket.gethostname(),
        "cores": os.cpu_count(),
        "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
    }
