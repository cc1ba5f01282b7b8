"""The order of the story is stated once; recipes, documentation and README agree with it."""

import importlib
import re
import runpy
from pathlib import Path

import pytest
import yaml

from tamis import flow
from tamis.base.errors import ConfigError
from tamis.base.recipe import Recipe
from tamis.base.stage import Source, Stage

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"


def test_every_stage_module_builds_and_is_a_folder_in_order() -> None:
    folders = {p.name for p in (ROOT / "src/tamis/stages").iterdir() if (p / "__init__.py").exists()}
    assert folders == set(flow.STAGES | flow.ANYWHERE)
    for name, module in (flow.STAGES | flow.ANYWHERE).items():
        assert module == f"tamis.stages.{name}.stage"
        assert callable(importlib.import_module(module).build)


def test_documentation_has_a_page_per_step_numbered_in_flow_order() -> None:
    pages = [p.stem for p in sorted(DOCS.glob("[0-9][0-9]-*.md"))]
    story = [*flow.STAGES, "train", "evaluate", "compare", "report"]
    assert pages == ["00-overview", *(f"{n:02d}-{name}" for n, name in enumerate(story, start=1))]


def test_flow_states_the_order_in_its_docstring() -> None:
    assert flow.__doc__ is not None
    arrows = next(line for line in flow.__doc__.splitlines() if "->" in line)
    assert arrows.split(" -> ")[: len(flow.STAGES)] == [f"    {n}" if n == "pool" else n for n in flow.STAGES]


@pytest.mark.parametrize("name", flow.recipe_names())
def test_shipped_recipes_name_stages_in_flow_order(name: str) -> None:
    raw = flow.load_recipe(name)
    recipe = Recipe.parse(raw, "")
    assert recipe.name == name
    assert recipe.description
    positions = [list(flow.STAGES).index(flow.stage_name(entry)) for entry in recipe.stages]
    assert positions == sorted(positions)


@pytest.fixture
def warc_free_pool(tmp_path: Path) -> list[str]:
    path = tmp_path / "pool.jsonl"
    path.write_text('{"text": "one two three", "url": "https://a.example/"}\n')
    return [str(path)]


def test_recipe_resolves_into_stages(warc_free_pool: list[str]) -> None:
    story = flow.resolve(flow.load_recipe("heldout"), warc_free_pool)
    assert isinstance(story.source, Source)
    assert all(isinstance(stage, Stage) for stage in story.stages)
    assert next(s.name for s in story.stages) == "extract"
    again = flow.resolve(yaml.safe_load(flow.dump_recipe(story.recipe)))
    assert again.recipe == story.recipe, "a resolved recipe must repeat the run"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"stages": [{"fliter": {}}]}, r"no stage 'fliter' \(did you mean 'filter'\?"),
        ({"stages": [{"extract": {"engin": "x"}}]}, r"extract.engin: no such setting \(did you mean 'engine'\?"),
        ({"sead": 3}, r"sead: no such setting \(did you mean 'seed'\?"),
        ({"name": "Not a Name!"}, r"name: "),
        ({"stages": [{"extract": {}, "filter": {}}]}, r"one '- name: settings' entry"),
        ({"seed": "three"}, r"seed: .*integer"),
        ({"pool": {"inputs": ["no/such/file.warc.gz"]}}, r"no/such/file.warc.gz"),
    ],
)
def test_bad_recipes_get_one_clear_error(change: dict[str, object], message: str) -> None:
    raw = {"name": "mine", "stages": [{"extract": {}}], "pool": {"inputs": ["x"]}} | change
    with pytest.raises(ConfigError, match=message):
        flow.resolve(raw).plan()


def test_unknown_recipe_suggests_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean 'dclm-baseline'"):
        flow.load_recipe("dclm-basline")


def test_overrides_reach_stages_and_fields() -> None:
    raw = flow.load_recipe("raw")
    flow.override(raw, "seed=7")
    flow.override(raw, "extract.main_content=false")
    flow.override(raw, "train.scale=nano")
    flow.override(raw, "output.jsonl=zst")
    assert raw["seed"] == 7
    assert raw["stages"][0]["extract"]["main_content"] is False
    assert raw["train"] == {"scale": "nano"}
    assert raw["output"] == {"jsonl": "zst"}


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("seed", "expected path"),
        ("filtre.x=1", "did you mean"),
        ("seed.x=1", "not a group"),
        ("stages=1", "nothing is"),
    ],
)
def test_bad_overrides_are_refused(assignment: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        flow.override({"name": "a", "seed": 1, "stages": [{"filter": {}}]}, assignment)


def test_until_cuts_the_rest() -> None:
    raw = flow.load_recipe("dclm-baseline") | {"train": {"scale": "nano"}}
    story = flow.resolve(raw, ["x"], until="filter")
    assert [s.name for s in story.stages][-1] == "filter"
    assert story.recipe.train is None
    with pytest.raises(ConfigError, match="did you mean 'filter'"):
        flow.resolve(raw, ["x"], until="filtre")


def test_readme_tree_is_generated_from_module_docstrings() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    block = re.search(r"<!-- tree -->\n```\n(.*?)```\n<!-- /tree -->", readme, re.DOTALL)
    assert block, "README.md needs the generated tree between <!-- tree --> marks"
    tree = runpy.run_path(str(DOCS / "readme_tree.py"))["tree"]
    assert block.group(1) == tree(), "run: python docs/readme_tree.py"
