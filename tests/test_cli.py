"""The command line as a user meets it: the whole story on a small crawl, one clear message per mistake, JSON."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import story
import yaml

Tamis = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("story")


@pytest.fixture(scope="module")
def crawl(place: Path) -> list[str]:
    return story.write_crawl(place / "crawl")


@pytest.fixture(scope="module")
def tamis(place: Path) -> Tamis:
    def call(*arguments: str, fails: bool = False) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "tamis", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, cwd=place, timeout=500)
        assert (done.returncode != 0) == fails, f"{arguments}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr, done.stderr
        return done

    return call


@pytest.fixture(scope="module")
def demo(tamis: Tamis, crawl: list[str]) -> str:
    """What `tamis demo` printed; its runs are in demo/."""
    return tamis("demo", "--output", "demo", *(option for path in crawl for option in ("--pool", path))).stdout


def test_the_demo_on_given_files_ends_in_a_report(demo: str, place: Path) -> None:
    assert "report:" in demo
    html = (place / "demo" / "report.html").read_text()
    for word in ("held out", "wrong language", "duplicate text", "low quality", "bits per byte", "too few words"):
        assert word in html
    comparison = json.loads((place / "demo" / "dclm-baseline" / "comparison.json").read_text())
    assert comparison["same_tokens"]
    assert set(comparison["tasks"]) == {"documents", "continuation", "continuation_gold"}
    for name in ("raw", "dclm-baseline"):
        losses = [json.loads(line)["loss"] for line in (place / "demo" / name / "train" / "metrics.jsonl").open()]
        assert losses[-1] < 0.9 * losses[0], "the models must have learned something"


@pytest.mark.usefixtures("demo")
def test_accounting_of_the_demo(tamis: Tamis) -> None:
    status = json.loads(tamis("status", "demo/dclm-baseline", "--json").stdout)
    assert status["state"] == "finished"
    stages = status["stages"]
    pool = stages["01_pool"]["counts"]
    total = story.NUM_PROSE + story.NUM_COPIES + story.NUM_MENUS + story.NUM_GERMAN
    assert pool["in"] == total
    assert pool["kept"] + pool["removed"]["held_out"] == total
    previous = pool["kept"]
    for card in list(stages.values())[1:]:
        counts = card["counts"]
        assert counts["in"] == previous
        assert counts["in"] == counts["kept"] + sum(counts["removed"].values()) + sum(counts["quarantined"].values())
        previous = counts["kept"]


@pytest.mark.usefixtures("demo")
def test_rerun_of_a_finished_recipe_changes_nothing(tamis: Tamis, place: Path) -> None:
    run = place / "demo" / "dclm-baseline"
    before = {p: p.stat().st_mtime_ns for p in run.glob("*/shards/*")}
    assert before
    done = tamis("run", str(run / "recipe.yaml"), "--output", str(run))
    assert "nothing to do" in done.stderr
    assert {p: p.stat().st_mtime_ns for p in run.glob("*/shards/*")} == before


@pytest.mark.parametrize(
    ("url", "word"),
    [("https://german.example/3.html", "wrong_language"), ("https://menus.example/3.html", "too_few_words")],
)
@pytest.mark.usefixtures("demo")
def test_why_names_the_reason(tamis: Tamis, url: str, word: str) -> None:
    found = tamis("why", url, "--run", "demo/dclm-baseline", "--json").stdout
    [page] = json.loads(found)
    assert page["outcome"] == "removed"
    if page["steps"][-1]["stage"] != "01_pool":
        assert page["steps"][-1]["reason"] in (word, "no_text")
    assert url in tamis("why", page["id"], "--run", "demo/dclm-baseline").stdout


@pytest.mark.usefixtures("demo")
def test_compare_and_report_from_the_runs(tamis: Tamis, place: Path) -> None:
    assert "documents" in tamis("compare", "demo/raw", "demo/dclm-baseline").stdout
    tamis("report", "demo/raw", "demo/dclm-baseline", "--output", "two.html")
    assert (place / "two.html").stat().st_size > 10_000


def test_dry_run_does_nothing(tamis: Tamis, place: Path, crawl: list[str]) -> None:
    done = tamis("run", "dclm-baseline", "--pool", *crawl, "--output", "dry", "--dry-run")
    assert "nothing was done" in done.stdout
    assert "04_dedup decides" in done.stdout
    assert not (place / "dry").exists()


def test_jsonl_output_and_set(tamis: Tamis, place: Path, crawl: list[str]) -> None:
    mine = {"name": "mine", "pool": {"inputs": crawl}, "stages": ["extract", {"filter": {"min_words": 60}}]}
    (place / "mine.yaml").write_text(yaml.safe_dump(mine))
    done = tamis("run", "mine.yaml", "--set", "output.jsonl=gz", "--set", "filter.min_words=80", "--json")
    stages = json.loads(done.stdout)["stages"]
    assert stages["03_filter"]["config"]["min_words"] == 80
    again = {"name": "again", "stages": ["extract"], "pool": {"inputs": ["runs/mine/03_filter/jsonl"]}}
    (place / "again.yaml").write_text(yaml.safe_dump(again))
    accounting = json.loads(tamis("run", "again.yaml", "--json").stdout)["stages"]["02_extract"]["counts"]
    assert accounting["kept"] == stages["03_filter"]["counts"]["kept"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "dclm-basline"], "did you mean 'dclm-baseline'"),
        (["run", "raw", "--pool", "nope.warc.gz"], "nope.warc.gz' does not exist"),
        (["run", "raw", "--pool", "empty"], "the pool is empty"),
        (["run", "broken.yaml"], "not valid YAML"),
        (["run", "raw", "--pool", "crawl", "--set", "filtre.x=1"], "--set filtre.x=1"),
        (["run", "raw", "--pool", "crawl", "--until", "tokenise"], "did you mean 'tokenize'"),
        (["run", "heldout", "--pool", "crawl", "--set", "filter.min_words=1000000"], "no document is left"),
        (["status", "empty"], "no run here"),
        (["why", "https://nowhere.example/", "--run", "demo/raw"], "no document with the id or URL"),
        (["train", "runs/mine"], "no token shards"),
        (["fetch", "lid17"], "did you mean"),
    ],
)
@pytest.mark.usefixtures("demo")
def test_one_clear_message_per_mistake(tamis: Tamis, place: Path, arguments: list[str], message: str) -> None:
    (place / "empty").mkdir(exist_ok=True)
    (place / "broken.yaml").write_text("name: x\nstages: [")
    done = tamis(*arguments, fails=True)
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert message in done.stderr


def test_help_shows_examples(tamis: Tamis) -> None:
    assert "Example" in tamis("run", "--help").stdout
    assert "tamis demo" in tamis("--help").stdout
