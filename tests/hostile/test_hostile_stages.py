"""Whole runs over a pool of all bad files, links, folders and names that are no files of a pool, and every command that
looks at such a run: the accounting balances, healthy documents arrive, nothing reaches the terminal raw."""

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import stand_ins
import yaml
from bad_warc import Archive
from cli_runner import Tamis, tamis_in, the_error
from corpus import HostileFile, hostile_files, write_files

from tamis.store.rundir import RunDir

HEAVY = ("page-", "text-", "bodies-bombs", "bodies-slow", "bodies-nested", "bomb.", "large-extra", "charsets")
"""Files whose time and memory are measured one by one elsewhere: here they would only take time."""
FILES = [file for file in hostile_files() if not file.name.startswith(HEAVY) or file.name.endswith(".parquet")]
EVERYTHING: list[Any] = [
    {"extract": {"engine": "resiliparse"}},
    {"dedup": {"method": "substring"}},
    {"dedup": {"method": "bloom"}},
    {"dedup": {"method": "minhash"}},
    {"decontaminate": {"reference": ["reference.jsonl"]}},
    {"cut": {"column": "contaminated_fraction", "op": ">", "threshold": 0.5}},
]
OPTIONS = ("--workers", "2", "--set", "quarantine_budget=1.0", "--set", "limits.worker_memory_gb=4")
RECIPES = ("raw", "gopher", "c4", "fineweb", "dclm-baseline", "everything.yaml")
ERROR = re.compile(r"[a-z][a-z0-9_]*: \S", re.ASCII)
RAW = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""What a terminal would obey."""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hostile")
    stand_ins.write_stand_ins(folder / "cache")
    write_files(folder / "pool", FILES)
    odd_entries(folder / "pool")
    healthy = Archive("healthy.warc.gz").good(1).file()
    pages = [part for file in FILES for part in file.healthy if part.content is not None]
    write_files(folder / "control", [control(healthy, pages)])
    lines = [{"text": "the quiet garden of the village where nobody has ever been before the first days of spring"}]
    (folder / "reference.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    recipe = {"name": "everything", "stages": EVERYTHING, "output": {"jsonl": "zst", "removed_text": True}}
    (folder / "everything.yaml").write_text(yaml.safe_dump(recipe))
    return folder


def control(file: HostileFile, pages: list[Any]) -> HostileFile:
    """A file without anything bad, which holds all healthy pages."""
    from bad_warc import block, member, record

    data = b"".join(member(record(page.url, block(page.content))) for page in pages)
    return HostileFile(name=file.name, data=data, healthy=tuple(pages))


def odd_entries(pool: Path) -> None:
    """What a folder can hold besides files with records."""
    (pool / "empty.warc.gz").write_bytes(b"")
    (pool / "empty.jsonl").write_bytes(b"")
    (pool / "dangling.warc.gz").symlink_to(pool / "nowhere")
    (pool / "again.jsonl").symlink_to(pool / "exact.jsonl")
    (pool / "folder.warc.gz").mkdir()
    (pool / "loop").symlink_to(pool)
    (pool / "loop.jsonl").symlink_to(pool / "loop.jsonl")
    os.mkfifo(pool / "pipe.jsonl")
    Path(os.fsdecode(os.fsencode(pool) + b"/caf\xe9.jsonl")).write_text('{"text": "x"}\n')
    (pool / "\x1b]0;owned\x07.jsonl").write_text('{"text": 5}\n')
    (pool / "<img src=x onerror=alert(1)>.jsonl").write_text('{"text": 5}\n')


@pytest.fixture(scope="module")
def tamis(place: Path) -> Tamis:
    return tamis_in(place, {"TAMIS_CACHE": str(place / "cache"), "OMP_NUM_THREADS": "1"})


@pytest.fixture(scope="module")
def answers(tamis: Tamis) -> dict[str, dict[str, Any]]:
    """What the runs answered, by recipe. A recipe goes on from what the one before it stored."""
    found = {}
    for recipe in RECIPES:
        more = ["--set", "tokenize.own_vocab_size=300"] if recipe == "raw" else []
        if recipe not in ("raw", "everything.yaml"):
            more = ["--set", "tokenize.tokenizer=fetch:gpt-neox-20b"]
        done = tamis("run", recipe, "--pool", "pool", *OPTIONS, *more, "--json")
        assert RAW.search(done.stderr) is None, done.stderr
        found[recipe] = json.loads(done.stdout)
    return found


def rows_of(answer: dict[str, Any], kind: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """(step, row) of what the stages removed, quarantined, or stored."""
    run = RunDir(answer["run"])
    for step in run.steps():
        folder = run.stage(step).root / kind
        for file in folder.children("*.parquet"):
            yield from ((step, row) for row in pq.read_table(file.path).to_pylist())


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_accounting_balances_and_every_loss_has_a_reason(recipe: str, answers: dict[str, dict[str, Any]]) -> None:
    answer = answers[recipe]
    previous: int | None = None
    for counts in (stage["counts"] for stage in answer["stages"].values()):
        gone = sum(counts["removed"].values()) + sum(counts["quarantined"].values())
        assert counts["in"] == counts["kept"] + gone
        assert previous is None or counts["in"] == previous
        previous = counts["kept"]
    stages = answer["stages"].values()
    removed = [row["drop_reason"] for _, row in rows_of(answer, "removed")]
    assert len(removed) == sum(sum(stage["counts"]["removed"].values()) for stage in stages)
    assert all(removed)
    errors = [row["error"] for _, row in rows_of(answer, "quarantine")]
    assert len(errors) == sum(sum(stage["counts"]["quarantined"].values()) for stage in stages)
    assert all(ERROR.match(error) for error in errors)
    assert len(errors) >= sum(file.quarantined for file in FILES)


def test_every_healthy_document_arrives_as_it_does_without_the_bad_files(
    answers: dict[str, dict[str, Any]], tamis: Tamis
) -> None:
    done = tamis("run", "raw", "--pool", "control", "--name", "control", "--until", "extract", *OPTIONS, "--json")
    expected = {
        row["url"]: row["text"] for step, row in rows_of(json.loads(done.stdout), "shards") if "extract" in step
    }
    expected |= {part.url: part.text for file in FILES for part in file.healthy if part.text is not None}
    assert len(expected) == len({part.url for file in FILES for part in file.healthy}) > 400
    arrived: dict[str, list[str]] = {}
    for step, row in rows_of(answers["raw"], "shards"):
        if step == "02_extract":
            arrived.setdefault(row["url"], []).append(row["text"])
    assert {url: arrived.get(url) for url in expected} == {url: [text] for url, text in expected.items()}


@pytest.mark.parametrize("recipe", RECIPES)
def test_no_stage_quarantines_a_healthy_document(recipe: str, answers: dict[str, dict[str, Any]]) -> None:
    """Filters and dedup may remove one: then the reason is theirs."""
    healthy = {part.url for file in FILES for part in file.healthy}
    lost = {row["url"]: row["error"] for _, row in rows_of(answers[recipe], "quarantine") if row["url"] in healthy}
    assert lost == {}


def test_more_bad_rows_than_the_budget_allows_are_one_error(answers: dict[str, dict[str, Any]], tamis: Tamis) -> None:
    done = tamis("run", "raw", "--pool", "pool", "--name", "strict", "--workers", "2", "--until", "extract", fails=True)
    assert done.returncode == 4
    assert "quarantine_budget" in the_error(done)


@pytest.mark.usefixtures("answers")
@pytest.mark.parametrize(
    "arguments",
    [
        ["status", "runs/raw"],
        ["status", "runs/everything", "--all"],
        ["dups", "runs/everything"],
        ["dups", "runs/gopher"],
        ["report", "runs/raw", "-o", "raw.html"],
        ["report", "runs/everything", "-o", "everything.html"],
        ["clean", "runs"],
        ["run", "raw", "--pool", "pool", "--dry-run"],
        ["fetch", "--list"],
        ["recipes"],
        ["recipes", "raw"],
        ["experiment", "documentation", "--pool", "pool", "--dry-run"],
        ["tokenizer", "runs/everything", "--vocab-size", "300"],
    ],
    ids=" ".join,
)
def test_commands_on_such_a_run_print_nothing_raw(arguments: list[str], tamis: Tamis) -> None:
    done = tamis(*arguments)
    assert done.stdout.strip() and RAW.search(done.stdout) is None
    assert RAW.search(done.stderr) is None and "Traceback" not in done.stderr


def test_why_explains_every_kind_of_row(answers: dict[str, dict[str, Any]], tamis: Tamis) -> None:
    """One row of each outcome, and the row whose address and text a terminal would obey."""
    kept = next(row["id"] for _, row in rows_of(answers["raw"], "shards"))
    removed = next(row["id"] for _, row in rows_of(answers["gopher"], "removed"))
    bad = [row for _, row in rows_of(answers["raw"], "quarantine")]
    shown = next(row["id"] for _, row in rows_of(answers["raw"], "shards") if "/shown/" in row["url"])
    for run, key in (("raw", kept), ("gopher", removed), ("raw", bad[0]["id"]), ("raw", bad[-1]["id"]), ("raw", shown)):
        done = tamis("why", key, "--run", f"runs/{run}")
        assert key in done.stdout
        assert RAW.search(done.stdout) is None
        assert json.loads(tamis("why", key, "--run", f"runs/{run}", "--json").stdout)[0]["id"] == key


def test_pages_for_a_browser_hold_no_markup_of_the_crawl(
    answers: dict[str, dict[str, Any]], tamis: Tamis, place: Path
) -> None:
    tamis("report", "runs/raw", "-o", "page.html")
    tamis("dups", "runs/everything", "-o", "dups.html")
    for name in ("page.html", "dups.html"):
        html = (place / name).read_text()
        assert "<img src=x" not in html and "<script>alert" not in html and "\x1b" not in html
