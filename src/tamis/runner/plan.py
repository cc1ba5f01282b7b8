"""The plan: numbered steps grouped into passes, checked before anything starts, with the fingerprints that resume uses.

A pass is one read of every shard: [mark of the group before] + maps + [sketch for the group after]. Between passes the
group's `decide` runs over the sketches of the whole corpus.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from tamis.base import columns
from tamis.base.errors import ConfigError
from tamis.base.hashing import fingerprint
from tamis.base.recipe import Recipe
from tamis.base.stage import Context, Group, InputShard, Map, Source, Stage
from tamis.store.shards import file_digest


@dataclass(frozen=True, kw_only=True)
class Step:
    """One stage with its place in the run. `fingerprint` covers every step up to and including this one."""

    folder: str
    stage: Stage
    assets: dict[str, Path]
    fingerprint: str
    needs_corpus: bool
    """True from the first group's mark on: the result depends on all shards, not on one."""

    def context(self, seed: int) -> Context:
        return Context(seed=seed, assets=self.assets)


@dataclass(frozen=True, kw_only=True)
class Pass:
    """`steps` turn rows into rows: the source or a group's mark first, then maps. `sketch` is the group to feed."""

    number: int
    reads_folder: str | None
    """Folder whose shards this pass reads; None where the first step is the source."""
    steps: list[Step]
    sketch: Step | None

    @property
    def output(self) -> Step:
        """The step in whose folder the surviving documents are stored."""
        return self.steps[-1]


@dataclass(frozen=True, kw_only=True)
class Plan:
    recipe: Recipe
    shards: list[InputShard]
    passes: list[Pass]

    @cached_property
    def folders(self) -> list[str]:
        return [step.folder for step in self.steps]

    @cached_property
    def corpus_fingerprint(self) -> str:
        return fingerprint([[shard.name, shard.fingerprint] for shard in self.shards])

    @cached_property
    def steps(self) -> list[Step]:
        """Every step once, in order."""
        found = {
            step.folder: step for one in self.passes for step in (*one.steps, *([one.sketch] if one.sketch else []))
        }
        return list(found.values())

    def card_fingerprint(self, step: Step) -> str:
        """Identity of a step's whole output: what was done, to which pool."""
        return fingerprint(step.fingerprint, self.corpus_fingerprint)

    def card_parents(self, step: Step) -> list[str]:
        """What a step's output was made from: the step before, or the pool's files."""
        position = self.steps.index(step)
        return [self.card_fingerprint(self.steps[position - 1]) if position else self.corpus_fingerprint]

    def task_fingerprint(self, step: Step, shard: InputShard) -> str:
        """Identity of one step's result on one shard."""
        scope = self.corpus_fingerprint if step.needs_corpus else None
        last = self.recipe.output.jsonl if step.folder == self.folders[-1] else ""
        return fingerprint(step.fingerprint, shard.name, shard.fingerprint, scope, last)

    def sketch_fingerprint(self, one: Pass, shard: InputShard) -> str:
        """Identity of what a pass tells its group about one shard."""
        assert one.sketch is not None
        return fingerprint("sketch", one.sketch.fingerprint, self.task_fingerprint(one.output, shard))

    def decide_fingerprint(self, step: Step, bucket: int) -> str:
        return fingerprint("decide", step.fingerprint, self.corpus_fingerprint, bucket)


def make_plan(recipe: Recipe, source: Source, stages: Sequence[Stage]) -> Plan:
    """Check the chain of columns and assets, list the pool, cut the stages into passes.

    Raises ConfigError for a missing column or asset, DataError for an empty pool.
    """
    _check_columns(source, stages)
    shards = list(source.shards())
    return Plan(recipe=recipe, shards=shards, passes=_cut(_number(recipe, [source, *stages])))


def _number(recipe: Recipe, stages: Sequence[Stage]) -> list[Step]:
    chain = fingerprint("tamis", recipe.mode, recipe.seed, recipe.output.removed_text)
    steps: list[Step] = []
    for number, stage in enumerate(stages, start=1):
        assets = {name: _local_asset(stage, name, path) for name, path in stage.assets().items()}
        digests = {name: file_digest(path) for name, path in assets.items()}
        chain = fingerprint(chain, stage.full_identity(), digests)
        grouped = isinstance(stage, Group) or (bool(steps) and steps[-1].needs_corpus)
        folder = f"{number:02d}_{stage.name}"
        steps.append(Step(folder=folder, stage=stage, assets=assets, fingerprint=chain, needs_corpus=grouped))
    return steps


def _local_asset(stage: Stage, name: str, path: str) -> Path:
    local = Path(path)
    if not local.is_file():
        raise ConfigError(
            f"{stage.name}.{name}: the file {path} does not exist. "
            "Give an existing path, or see `tamis fetch --list` for what can be downloaded."
        )
    return local


def _cut(steps: list[Step]) -> list[Pass]:
    passes: list[Pass] = []
    current: list[Step] = []
    reads: str | None = None
    for step in steps:
        if isinstance(step.stage, Group):
            passes.append(Pass(number=len(passes) + 1, reads_folder=reads, steps=current, sketch=step))
            reads, current = current[-1].folder, [step]
        else:
            assert isinstance(step.stage, Source | Map)
            current.append(step)
    return [*passes, Pass(number=len(passes) + 1, reads_folder=reads, steps=current, sketch=None)]


def _check_columns(source: Source, stages: Sequence[Stage]) -> None:
    present = {field.name: field.type for field in (*columns.POOL_SCHEMA, *source.adds)}
    for stage in stages:
        stage.check_columns(present)
        present |= {field.name: field.type for field in stage.adds}
        for name in stage.ends:
            present.pop(name, None)
