"""A source that deduplication wipes out, from the command line: the error, what it says to type, status and report."""

import json
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml
from cli_runner import Tamis, artefact_files, tamis_in, the_error

from tamis.base.errors import ConfigError
from tamis.base.experiment import Experiment
from tamis.base.recipe import Recipe
from tamis.experiment import compile_experiment, load_experiment
from tamis.store.rundir import RunDir

RECIPE = {
    "name": "mine",
    "stages": [{"filter": {"rules": "none", "keep_languages": ["en", "de"]}}, {"dedup": {"method": "exact"}}],
    "source_alarm": {"min_documents": 30},
}
ENGLISH = "The gardens behind the old house number {n} were open to every visitor of the village on that day."
GERMAN = "Die Gärten hinter dem alten Haus sind an diesem Tag für alle Besucher des Dorfes geöffnet worden."


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 60 different texts, and one of 40 copies of one text."""
    folder = tmp_path_factory.mktemp("sources")
    for name, host, text, number in (("prose", "prose", ENGLISH, 60), ("copies", "it's copied", GERMAN, 40)):
        (folder / "pool" / name).mkdir(parents=True)
        lines = [
            json.dumps({"text": text.format(n=n), "url": f"https://{host}.example/{n}", "id": f"{name}-{n}"})
            for n in range(number)
        ]
        (folder / "pool" / name / "0.jsonl").write_text("\n".join(lines) + "\n")
    (folder / "mine.yaml").write_text(yaml.safe_dump(RECIPE, sort_keys=False))
    return folder


@pytest.fixture(scope="module")
def tamis(place: Path) -> Tamis:
    return tamis_in(place)


@pytest.fixture(scope="module")
def stopped(tamis: Tamis, place: Path) -> tuple[str, dict[str, int]]:
    """The error of the first run, and the files that it left."""
    done = tamis("run", "mine.yaml", "--pool", "pool", "--workers", "2", fails=True)
    assert done.returncode == 4
    return the_error(done), artefact_files(place / "runs")


@pytest.fixture(scope="module")
def permitted(tamis: Tamis, place: Path, stopped: tuple[str, dict[str, int]]) -> RunDir:
    """The run after the user has typed what the error says."""
    typed = shlex.split(stopped[0].partition("add ")[2].partition(" to the same command")[0])
    tamis("run", "mine.yaml", "--pool", "pool", "--workers", "2", *typed)
    return RunDir(place / "runs" / "mine")


def test_the_error_names_every_source_that_is_lost(stopped: tuple[str, dict[str, int]]) -> None:
    text = stopped[0]
    for source in ("host it's copied.example", "folder copies", "input copies/0.jsonl", "language de"):
        assert f"03_dedup: {source}: 40 in, 1 kept; most went as 'duplicate_text', for example " in text
    assert "prose" not in text


def test_what_the_error_says_to_type_lets_the_run_go_on(
    permitted: RunDir, stopped: tuple[str, dict[str, int]], place: Path
) -> None:
    assert permitted.state() == ("finished", "")
    after = artefact_files(place / "runs")
    assert {name: after.get(name) for name in stopped[1]} == stopped[1], "nothing that was finished was done again"


def test_the_permission_is_part_of_the_run(permitted: RunDir, tamis: Tamis, place: Path) -> None:
    assert "copies" in permitted.read_recipe()["allow_sources"]
    tamis("run", "runs/mine/recipe.yaml", "--workers", "2")
    refused = tamis("run", "mine.yaml", "--pool", "pool", "--name", "other", "--workers", "2", fails=True)
    assert "language de: 40 in, 1 kept" in the_error(refused)


def test_status_by_source(permitted: RunDir, tamis: Tamis) -> None:
    plain = tamis("status", "runs/mine").stdout
    assert "by language" in plain and "by host" not in plain
    assert _cells(plain, "03_dedup", "de") == ["40", "1", "2.5%", "duplicate_text", "39"]
    assert _cells(plain, "03_dedup", "en") == ["60", "60", "100.0%"]
    both = tamis("status", "runs/mine", "--by", "folder", "--by", "input").stdout
    assert _cells(both, "03_dedup", "copies")[:2] == _cells(both, "03_dedup", "copies/0.jsonl")[:2] == ["40", "1"]
    details = json.loads(tamis("status", "runs/mine", "--json").stdout)["stages"]["03_dedup"]["details"]
    assert details["sources"]["language"]["largest"][1] == {
        "name": "de", "in": 40, "kept": 1, "gone": {"duplicate_text": 39},
    }  # fmt: skip
    wrong = tamis("status", "runs/mine", "--by", "hosts", fails=True)
    assert "--by hosts: no such kind of source (did you mean 'host'?" in the_error(wrong)


def _cells(text: str, step: str, source: str) -> list[str]:
    line = next(line for line in text.splitlines() if line.split()[:2] == [step, source])
    return line.split()[2:]


def test_the_report_has_languages_and_the_worst_hit(permitted: RunDir, tamis: Tamis) -> None:
    tamis("report", "runs/mine")
    page = permitted.report.read_text()
    assert "Languages in and out of mine" in page and "Sources of mine that were hit worst" in page
    worst = page.partition("hit worst")[2]
    assert "it&#x27;s copied.example" in worst and "2.5\u202f%" in worst


@pytest.mark.parametrize("value", [["a", 3], "some", 7, [False]])
def test_what_may_go_is_a_list_of_names_or_all(value: Any) -> None:
    for kind, fields in ((Recipe, {"stages": []}), (Experiment, {"recipes": {"a": "raw"}})):
        with pytest.raises(ConfigError, match=r"allow_sources: .*a list of names.*or the word all"):
            kind.parse({"name": "x", "allow_sources": value, **fields}, "")


def test_an_experiment_allows_for_all_of_its_recipes(tmp_path: Path) -> None:
    def artefacts(*settings: str) -> tuple[dict[str, Any], dict[str, list[str]]]:
        choices: dict[str, Any] = {"raw": "raw", "mine": {"recipe": "raw", "changes": {"allow_sources": ["a"]}}}
        choices["own"] = str(tmp_path / "own.yaml")
        path = tmp_path / "e.yaml"
        path.write_text(yaml.safe_dump({"name": "e", "recipes": choices}))
        graph = compile_experiment(*load_experiment(str(path), settings), [str(tmp_path / "pool.jsonl")])
        allowed = {name: run.resolved.recipe.allow_sources for name, run in graph.runs.items()}
        return allowed, {name: [step.artefact for step in run.plan.steps] for name, run in graph.runs.items()}

    (tmp_path / "pool.jsonl").write_text('{"text": "One text."}\n')
    own = {"name": "own", "stages": ["extract", "tokenize"], "allow_sources": ["c"]}
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(own))
    none, before = artefacts()
    assert none == {"heldout-all": [], "heldout-cleaned": [], "raw": [], "mine": ["a"], "own": ["c"]}
    some, after = artefacts("allow_sources=[b.example, c]")
    names = ["b.example", "c"]
    assert some == {
        "heldout-all": names,
        "heldout-cleaned": names,
        "raw": names,
        "mine": ["a", *names],
        "own": ["c", names[0]],
    }
    assert before == after, "no artefact depends on what is allowed"
    assert set(artefacts("allow_sources=all")[0].values()) == {"all"}
