"""The recipe: which pool, which stages with which settings, and (optionally) what to train and how to evaluate.

Here stages are names with raw settings; `flow` knows the stages and validates each one's settings.
"""

from typing import Any, Literal

from pydantic import Field, field_validator

from tamis.base.config import Config

RUN_NAME = r"^[a-z0-9][a-z0-9._-]{0,99}$"
"""Names of recipes, experiments and runs, which are names of folders too."""


class OutputConfig(Config):
    """What the last stage writes beside its Parquet shards."""

    jsonl: Literal["", "gz", "zst"] = ""
    """Also write DCLM's JSONL layout, compressed so; '' = do not."""
    removed_text: bool = False
    """Keep the whole text of removed documents, not only an excerpt."""


class Limits(Config):
    """How much time and memory a page may take before it is quarantined. These limits are no part of any fingerprint,
    because ordinary pages do not reach them."""

    batch_seconds: float = Field(default=300, gt=0)
    """When a batch takes longer, its shard is done again, guarded: with the stages in a process beside the worker."""
    row_seconds: float = Field(default=60, gt=0)
    """In a guarded shard, a batch that takes longer is tried row by row, and a row that takes longer is quarantined."""
    worker_memory_gb: float = Field(default=8, gt=0)
    """A process that grows beyond this is stopped; what was tried in it is treated as if it had taken too long."""


class SourceAlarm(Config):
    """When a step that takes nearly all documents of one source (a host, an input, a folder of inputs, a language)
    stops the run. These settings, and `allow_sources`, are no part of any fingerprint: what is finished stays so."""

    max_removed: float = Field(default=0.95, gt=0, le=1)
    """The share of a large source from which on a step took nearly all of it."""
    min_documents: int = Field(default=1000, ge=1)
    """A source with fewer documents in the step is not large."""
    min_share: float = Field(default=0.01, ge=0.01, le=1)
    """A source with a smaller share of the documents in the step is not large."""
    rest_factor: float = Field(default=4.0, ge=1)
    """Steps that judge each document for itself, and cuts, may also take much of everything: a source is only reported
    where this many times as much is kept of all other documents. For deduplication, the share alone counts."""


NO_FINGERPRINT = ("quarantine_budget", "source_alarm", "allow_sources", "limits")
"""Settings of a recipe that change no artefact, only what a run puts up with."""
AllowedSources = list[str] | Literal["all"]


def check_sources(value: Any) -> Any:
    """Validator of `allow_sources`. Raises ValueError."""
    if value == "all" or (isinstance(value, list) and all(isinstance(name, str) for name in value)):
        return value
    raise ValueError("give a list of names, as [example.org, de], or the word all; a name such as no in quotes")


class Recipe(Config):
    """One YAML file."""

    name: str = Field(pattern=RUN_NAME)
    description: str = ""
    seed: int = 0
    mode: Literal["fixed", "paper"] = "fixed"
    """`paper` reproduces DCLM's published code, its bugs included; `fixed` does what the paper says."""
    pool: dict[str, Any] = Field(default_factory=dict)
    stages: list[dict[str, dict[str, Any] | None]]
    output: OutputConfig = OutputConfig()
    quarantine_budget: float = Field(default=0.05, ge=0, le=1)
    """Largest share of a stage's rows that may be quarantined before the run fails."""
    source_alarm: SourceAlarm = SourceAlarm()
    allow_sources: AllowedSources = Field(default=[])
    """Sources of which a step may take nearly all: names of hosts, inputs, folders or languages, or `all`."""
    limits: Limits = Limits()
    train: dict[str, Any] | None = None
    evaluate: dict[str, Any] | None = None

    _sources = field_validator("allow_sources", mode="before")(check_sources)

    @field_validator("stages", mode="before")
    @classmethod
    def _bare_names(cls, value: Any) -> Any:
        """`- extract` is short for `- extract: {}`."""
        if isinstance(value, list):
            return [{item: {}} if isinstance(item, str) else item for item in value]
        return value

    @field_validator("stages")
    @classmethod
    def _one_name_each(cls, value: list[dict[str, Any]]) -> list[dict[str, Any]]:
        for item in value:
            if len(item) != 1:
                raise ValueError(f"each stage is one '- name: settings' entry, got {sorted(item)}")
        return value
