"""The experiment file: one pool, several recipes, one fixed training and evaluation, one comparison.

Here recipes are names with changed fields; `experiment` (beside `flow`) turns them into a graph.
"""

from typing import Any, Self

from pydantic import Field, field_validator, model_validator

from tamis.base.config import Config
from tamis.base.recipe import RUN_NAME, AllowedSources, check_sources


class RecipeChoice(Config):
    """One side of the comparison: a recipe, perhaps with changed fields."""

    recipe: str
    """Name of a shipped recipe, or a YAML file beside the experiment."""
    changes: dict[str, Any] = Field(default={})
    """`stage.field: value`, as `--set` takes them: `filter.min_words: 100`."""


class TokenizerChoice(Config):
    """The tokenizer that all recipes share: a file, or one that is trained on extracted text of the pool."""

    file: str | None = None
    """Path of a Hugging Face `tokenizers` JSON file, or `fetch:NAME`; null = one is trained."""
    recipe: str | None = None
    """Train it on the documents of this recipe of the experiment; null = the first one."""
    until: str = "extract"
    """The stage whose documents it is trained on."""
    vocab_size: int | None = Field(default=None, ge=257, le=1 << 20)
    """Number of ids of the tokenizer that is trained; null = what the scale has room for."""


class HeldoutChoice(Config):
    """Which pages are held out of training, and how the sets are made of them that models are evaluated on."""

    fraction: float = Field(default=0.05, gt=0, lt=1)
    """Share of hosts (or URLs) held out, by hash."""
    by: str = Field(default="host", pattern="^(host|url)$")
    sets: dict[str, str | RecipeChoice] = Field(default={"all": "heldout-all", "cleaned": "heldout"})
    """Name of a set -> the recipe that makes it from the held-out pages. `all` has pages that no compared recipe chose;
    `cleaned` those that the heuristics of RefinedWeb would keep, which favours recipes with the same heuristics."""
    max_documents: int = Field(default=500, ge=10)
    """Pages per set on which bits per byte are measured."""
    max_items: int = Field(default=500, ge=10)
    """Items per set of the task that asks for the true continuation of a page."""
    seed: int = 0

    @field_validator("sets")
    @classmethod
    def _not_empty(cls, value: dict[str, Any]) -> dict[str, Any]:
        if not value:
            raise ValueError("name at least one set, as `all: heldout-all`")
        return value

    def choices(self) -> dict[str, RecipeChoice]:
        return {name: _choice(value) for name, value in self.sets.items()}


class Experiment(Config):
    """One YAML file."""

    name: str = Field(pattern=RUN_NAME)
    description: str = ""
    pool: dict[str, Any] = Field(default={})
    """Settings of `pool` that all recipes share; `inputs` can also be given with --pool."""
    heldout: HeldoutChoice = HeldoutChoice()
    recipes: dict[str, str | RecipeChoice]
    """Name in this experiment -> recipe. The first is the baseline, unless `baseline` names another."""
    baseline: str | None = None
    tokenizer: TokenizerChoice = TokenizerChoice()
    scale: str = "nano"
    """Of the models: `nano`, `2m`, `10m`, `50m`, `150m`, or DCLM's `400m-1x` to `7b-2x`."""
    seeds: list[int] = Field(default=[0, 1], min_length=1)
    """Training seeds; each recipe is trained once per seed."""
    train: dict[str, Any] = Field(default={})
    """Settings of the training besides `scale` and `seed`. Without `tokens`, every model is trained on as many tokens
    as the recipe with the fewest has, at most as many as the scale takes."""
    evaluate: dict[str, Any] = Field(default={})
    """Settings of the evaluation."""
    decontaminate: bool = True
    """Give the held-out sets to every recipe's `decontaminate` stage that names no reference of its own."""
    allow_sources: AllowedSources = Field(default=[])
    """Sources of which a step of any recipe may take nearly all, beside those that the recipe itself allows."""

    _sources = field_validator("allow_sources", mode="before")(check_sources)

    @field_validator("recipes")
    @classmethod
    def _names(cls, value: dict[str, Any]) -> dict[str, Any]:
        if not value:
            raise ValueError("name at least one recipe, as `raw: raw`")
        return value

    @model_validator(mode="after")
    def _references(self) -> Self:
        for field, name in (("baseline", self.baseline), ("tokenizer.recipe", self.tokenizer.recipe)):
            if name is not None and name not in self.recipes:
                raise ValueError(f"{field}: '{name}' is none of the recipes ({', '.join(self.recipes)})")
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError("seeds: a seed is named twice")
        return self

    def choices(self) -> dict[str, RecipeChoice]:
        return {name: _choice(value) for name, value in self.recipes.items()}

    @property
    def baseline_name(self) -> str:
        return self.baseline or next(iter(self.recipes))


def _choice(value: str | RecipeChoice) -> RecipeChoice:
    return RecipeChoice(recipe=value) if isinstance(value, str) else value
