"""Read first: the order of the steps, stated once, and how a recipe becomes a graph of nodes.

    pool -> extract -> filter -> dedup -> quality -> decontaminate -> tokenize -> train -> evaluate -> compare -> report

A recipe names stages from `STAGES`; each becomes one or more Source, Map or Group objects. Their passes and decisions
are nodes of a graph, and so is what is made from them (`products`): tokenizers, models, scores. `experiment` puts the
graphs of several recipes together; `runner` executes a graph.
"""

import importlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tamis import products
from tamis.base.errors import ConfigError, did_you_mean
from tamis.base.own_stage import own_stage
from tamis.base.plugins import names_plugin
from tamis.base.recipe import Recipe
from tamis.base.stage import InputShard, Source, Stage
from tamis.base.yaml_text import dump_yaml
from tamis.fetch import resolve_setting
from tamis.runner.curation import Dataset, plan_nodes
from tamis.runner.graph import Node
from tamis.runner.plan import Plan, make_plan

STAGES: dict[str, str] = {
    "pool": "tamis.stages.pool.stage",
    "extract": "tamis.stages.extract.stage",
    "filter": "tamis.stages.filter.stage",
    "dedup": "tamis.stages.dedup.stage",
    "quality": "tamis.stages.quality.stage",
    "decontaminate": "tamis.stages.decontaminate.stage",
    "tokenize": "tamis.stages.tokenize.stage",
}
"""Every curation step, in order; the value is the module whose `build(settings, recipe)` makes it."""

ANYWHERE: dict[str, str] = {"cut": "tamis.stages.cut.stage"}
"""Steps that have no place of their own in the order: a recipe can have them after any other."""

MODEL_STEPS = ("train", "evaluate")
"""What a recipe may ask for after curation."""


@dataclass(frozen=True, kw_only=True)
class ResolvedRecipe:
    """A recipe validated, with its stages built and its defaults filled in.

    `stages` are None where a stage cannot be built before the graph is: `tokenize` without a tokenizer of its own.
    """

    recipe: Recipe
    source: Source
    entries: list[tuple[str, dict[str, Any], list[Stage] | None]]
    """(name in the recipe, settings, stages)."""
    notes: list[str] = field(default_factory=list)

    @property
    def stages(self) -> list[Stage]:
        """All stages that are built."""
        return [stage for _, _, stages in self.entries for stage in stages or []]


@dataclass(kw_only=True)
class RunGraph:
    """The nodes of one run, before they are executed."""

    name: str
    resolved: ResolvedRecipe
    plan: Plan
    documents: dict[str, Dataset]
    """Name of a recipe's entry -> the documents that come out of it."""
    nodes: list[Node]

    @property
    def dataset(self) -> Dataset:
        """What comes out of the last stage."""
        return list(self.documents.values())[-1]

    def steps(self) -> dict[str, str]:
        """Step -> artefact, as the run directory lists them."""
        return {step.label: step.artefact for step in self.plan.steps}


def resolve(raw: dict[str, Any], pool: Sequence[str] = (), until: str | None = None) -> ResolvedRecipe:
    """Validate a raw recipe and build its stages. `pool` replaces `pool.inputs`; `until` cuts what comes after a stage.

    Raises ConfigError naming the field at fault and the nearest valid name.
    """
    whole = Recipe.parse(raw, "")
    if pool:
        whole = whole.model_copy(update={"pool": whole.pool | {"inputs": list(pool)}})
    recipe = cut_recipe(whole, until) if until else whole
    notes = []
    if whole.output.jsonl and not recipe.output.jsonl:
        notes.append(
            f"output.jsonl: not written, because the last stage writes it and --until {until} stops before it. For "
            f"JSONL of '{until}', remove the later stages from the recipe"
        )
    products.check_settings(recipe)
    source = build_stage("pool", recipe.pool, recipe)[0]
    assert isinstance(source, Source)
    entries: list[tuple[str, dict[str, Any], list[Stage] | None]] = []
    written: list[dict[str, Any]] = []
    for entry in recipe.stages:
        ((name, given),) = entry.items()
        pairs = {key: resolve_setting(value) for key, value in (given or {}).items()}
        settings = {key: used for key, (used, _) in pairs.items()}
        if name == "tokenize" and not settings.get("tokenizer"):
            stages, shown = None, tokenize_settings(settings)
        else:
            stages = build_stage(name, settings, recipe)
            shown = stages[0].resolved_settings()
        notes += [f"{name}: {note}" for stage in stages or [] for note in stage.plan_notes()]
        said = {key: text for key, (used, text) in pairs.items() if used != text}
        entries.append((name, settings, stages))
        written.append({name: shown | said})
    filled = recipe.model_copy(update={"stages": written, "pool": source.config.model_dump(mode="json")})
    return ResolvedRecipe(recipe=filled, source=source, entries=entries, notes=notes)


def tokenize_settings(settings: dict[str, Any]) -> dict[str, Any]:
    """Validated settings of a `tokenize` stage that names no tokenizer yet."""
    return dict(importlib.import_module(STAGES["tokenize"]).TokenizeConfig.parse(settings, "tokenize").model_dump())


def cut_recipe(recipe: Recipe, until: str) -> Recipe:
    """The recipe without what comes after the stage `until`. Raises ConfigError when it has no such stage.

    JSONL is of the last stage: a recipe that is cut before it writes none, so that it makes what the whole recipe
    makes.
    """
    names = ["pool", *(stage_name(entry) for entry in recipe.stages), *MODEL_STEPS]
    if until not in names:
        raise ConfigError(f"--until {until}: this recipe has no such stage{did_you_mean(until, names)}")
    # Of a stage that stands in the recipe several times, the last is meant.
    position = len(names) - names[::-1].index(until) - 1
    changes: dict[str, Any] = {"stages": recipe.stages[:position]}
    if position < len(recipe.stages):
        changes["output"] = recipe.output.model_copy(update={"jsonl": ""})
    if until != "evaluate":
        changes["evaluate"] = None
    if until not in MODEL_STEPS:
        changes["train"] = None
    return recipe.model_copy(update=changes)


def stage_name(entry: Any) -> str:
    """Name of an entry of a recipe's stages."""
    return entry if isinstance(entry, str) else str(next(iter(entry), ""))


def build_stage(name: str, settings: dict[str, Any], recipe: Recipe) -> list[Stage]:
    """The stage objects of one entry. Raises ConfigError for an unknown name or wrong settings."""
    steps = STAGES | ANYWHERE
    if names_plugin(name):
        return [own_stage(name, settings)]
    if name not in steps:
        raise ConfigError(f"stages: no stage '{name}'{did_you_mean(name, steps)}")
    built = importlib.import_module(steps[name]).build(settings, recipe)
    return [built] if isinstance(built, Stage) else list(built)


@dataclass(frozen=True, kw_only=True)
class Bindings:
    """What an experiment gives to each of its recipes: nodes that make their tokenizer and their reference."""

    tokenizer: "products.TokenizerNode | None" = None
    reference: Sequence["products.HeldoutNode"] = ()


def compile_run(name: str, resolved: ResolvedRecipe, bindings: Bindings | None = None) -> RunGraph:
    """The graph of one run's curation. Raises ConfigError, DataError for an empty pool."""
    bindings = bindings or Bindings()
    recipe, shards = resolved.recipe, list(resolved.source.shards())
    resolved.notes.extend(f"{resolved.source.name}: {remark}" for remark in resolved.source.remarks())
    makers: dict[str, Node] = {}
    stages: list[Stage] = []
    ends: dict[str, int] = {"pool": 0}
    cuts: list[int] = []
    for entry, settings, built in resolved.entries:
        if entry == "decontaminate" and not settings.get("reference"):
            addresses = [address for node in bindings.reference for address in node.reference_addresses()]
            makers |= {node.artefact_name: node for node in bindings.reference}
            if not addresses:
                resolved.notes.append(
                    "decontaminate: no reference is named, so there is nothing to compare with and the stage is left "
                    "out. Name the evaluation data: --set decontaminate.reference=[FILE.jsonl]"
                )
                continue
            built = build_stage(entry, settings | {"reference": addresses}, recipe)
        if built is None:
            node = bindings.tokenizer
            if node is None:
                node = _own_tokenizer(name, resolved, stages, shards, makers)
                cuts.append(len(stages))
            makers[node.artefact_name] = node
            built = build_stage(entry, settings | {"tokenizer": node.address}, recipe)
        stages += built
        ends[entry] = len(stages)
    plan = make_plan(recipe, resolved.source, stages, shards, cuts)
    nodes = plan_nodes(name, plan, makers)
    documents = {entry: Dataset.of(plan, plan.steps[end], nodes[plan.steps[end].label]) for entry, end in ends.items()}
    return RunGraph(name=name, resolved=resolved, plan=plan, documents=documents, nodes=[nodes[plan.steps[-1].label]])


def _own_tokenizer(
    name: str, resolved: ResolvedRecipe, stages: Sequence[Stage], shards: Sequence[InputShard], makers: dict[str, Node]
) -> "products.TokenizerNode":
    """The node that trains a tokenizer on the documents that come out of `stages`."""
    vocab_size = tokenize_settings(resolved.entries[-1][1])["own_vocab_size"]
    silent = resolved.recipe.model_copy(update={"output": resolved.recipe.output.model_copy(update={"jsonl": ""})})
    before = make_plan(silent, resolved.source, stages, shards)
    last = before.steps[-1]
    node = plan_nodes(name, before, makers)[last.label]
    return products.TokenizerNode(name, Dataset.of(before, last, node), vocab_size)


def dump_recipe(recipe: Recipe) -> str:
    """The recipe as YAML."""
    return dump_yaml(recipe.model_dump(mode="json"))
