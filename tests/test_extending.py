"""Every example of docs/extending.md, run as a user would run it: files written beside a recipe, and `tamis run`."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from tamis.store.rundir import RunDir
from tamis.store.warc_write import response_record, warcinfo_record, write_warc

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "extending.md"
DATE = "2026-01-01T00:00:00Z"


def sections() -> dict[str, str]:
    """Heading -> text of every section of the page."""
    _, *rest = re.split(r"^## (.*)$", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return dict(zip(rest[::2], rest[1::2], strict=True))


def write_files(heading: str, folder: Path) -> None:
    """The code blocks of a section, each under the name that its first line has."""
    blocks = re.findall(r"^```(?:python|yaml)\n(.*?)^```$", sections()[heading], flags=re.MULTILINE | re.DOTALL)
    assert blocks
    for block in blocks:
        name = block.partition("\n")[0].removeprefix("# ")
        assert re.fullmatch(r"\w+\.(py|yaml)", name)
        (folder / name).write_text(block, encoding="utf-8")


def write_pool(folder: Path, documents: list[dict[str, Any]]) -> Path:
    """Two shards, so that two workers have something to do."""
    folder = folder / "pool"
    folder.mkdir()
    for number in range(2):
        lines = [json.dumps(document) + "\n" for document in documents[number::2]]
        (folder / f"pool-{number}.jsonl").write_text("".join(lines), encoding="utf-8")
    return folder


def tamis_run(folder: Path, recipe: str, inputs: list[Path]) -> dict[str, dict[str, Any]]:
    """Rows in, kept and removed of every step by its name, from the cards of a run in worker processes."""
    pool = [argument for path in inputs for argument in ("--pool", str(path))]
    command = [sys.executable, "-m", "tamis", "run", str(folder / recipe), *pool, "--workspace", "out", "--name", "run"]
    command += ["--workers", "2"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return {card.name: card.to_dict() for _, card in RunDir(f"{folder}/out/run").cards()}


def kept(folder: Path) -> list[dict[str, Any]]:
    """Documents that the last step kept."""
    last = RunDir(f"{folder}/out/run").dataset()
    assert last is not None
    return [row for place in last.shards.children("*.parquet") for row in pq.read_table(str(place)).to_pylist()]


def tamis_why(folder: Path, url: str) -> str:
    command = [sys.executable, "-m", "tamis", "why", url, "-r", "out/run"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout


PLAIN = "Apples and oranges are in the bowl on the table over there"


def test_a_signal_and_a_rule(tmp_path: Path) -> None:
    write_files("A signal and a rule", tmp_path)
    documents = [
        {"text": PLAIN, "url": "https://a.example/1"},
        {"text": "Brrr grrr pfft tsk tsk hmm hmm", "url": "https://a.example/2"},
        {"text": f"Advertisement {PLAIN}", "url": "https://a.example/3"},
        {"text": PLAIN, "url": "https://a.example/tag/4"},
        {"text": PLAIN, "url": "https://a.example/5", "votes": -2},
        {"text": PLAIN, "url": "https://a.example/6", "votes": 7},
        {"text": "12 34", "url": "https://a.example/7"},
    ]
    cards = tamis_run(tmp_path, "recipe.yaml", [write_pool(tmp_path, documents)])
    reasons = {"few_vowels": 1, "advertisement": 1, "list_of_tags": 1, "voted_down": 1}
    assert cards["filter"]["counts"]["removed"] == reasons
    drawn = cards["filter"]["details"]["histograms"]["vowels"]
    assert sum(drawn["counts"]) == 4 and drawn["low"] == 0.0
    rows = {row["url"][-1]: row for row in kept(tmp_path)}
    assert sorted(rows) == ["1", "6", "7"] and rows["7"]["vowels"] is None and rows["7"]["first_word"] == "12"
    shown = tamis_why(tmp_path, "https://a.example/5")
    assert re.search(r"extra\.votes +-2 +< 0\.0 +voted_down +<- removes it", shown)


def test_a_scorer_and_a_cut(tmp_path: Path) -> None:
    write_files("A scorer and a cut", tmp_path)
    words = PLAIN.split()
    documents = [
        {"text": " ".join(words[: number + 1] * (12 // (number + 1))), "url": f"https://a.example/{source}/{number}",
         "source": source}
        for source in ("books", "web") for number in range(12)
    ]  # fmt: skip
    cards = tamis_run(tmp_path, "recipe.yaml", [write_pool(tmp_path, documents)])
    decided = cards["cut"]["details"]["decisions"]
    assert decided["num_groups"] == 2 and decided["num_unmeasured"] == 0
    assert 0.5 <= decided["bytes_kept"] / decided["bytes_measured"] < 0.75
    sources = [row["url"].split("/")[3] for row in kept(tmp_path)]
    assert sources.count("books") == sources.count("web") == decided["num_kept"] / 2
    assert set(cards["cut"]["counts"]["removed"]) == {"little_variety"}
    assert tamis_why(tmp_path, kept(tmp_path)[0]["url"]).count("little_variety") == 1, "the rule of its group alone"


def test_a_scorer_that_is_trained(tmp_path: Path) -> None:
    write_files("A scorer and a cut", tmp_path)
    good = [f"the function number {n} returns a value when called" for n in range(60)]
    (tmp_path / "good.txt").write_text("\n".join(good))
    documents = [{"text": f"buy now offer {n} cheap deal", "url": f"https://a.example/{n}"} for n in range(60)]
    documents += [{"text": text, "url": f"https://g.example/{n}"} for n, text in enumerate(good[:4])]
    cards = tamis_run(tmp_path, "trained.yaml", [write_pool(tmp_path, documents)])
    found = cards["quality_fit"]["details"]["decisions"]
    assert found["num_train_positives"] == 54 and found["held_out_precision_at_1"] > 0.8


def test_an_extraction_engine(tmp_path: Path) -> None:
    write_files("An extraction engine", tmp_path)
    html = b"<html><body><nav>menu</nav><p>One <b>bold</b> word.</p><div>aside</div><p>Two.</p></body></html>"
    records = [response_record(f"https://a.example/{n}", html, "text/html", DATE) for n in range(3)]
    write_warc(tmp_path / "pool.warc.gz", [warcinfo_record("pool.warc.gz", {"software": "test"}, DATE), *records])
    tamis_run(tmp_path, "recipe.yaml", [tmp_path / "pool.warc.gz"])
    assert [row["text"] for row in kept(tmp_path)] == ["One bold word.\nTwo."] * 3


def test_an_embedder(tmp_path: Path) -> None:
    write_files("An embedder", tmp_path)
    texts = ["abc", "cba", "xyz", "zyx yxz", "hello"]
    documents = [{"text": text, "url": f"https://a.example/{text}"} for text in texts]
    cards = tamis_run(tmp_path, "recipe.yaml", [write_pool(tmp_path, documents)])
    assert cards["dedup"]["counts"]["removed"] == {"duplicate_meaning": 2}


def test_a_stage(tmp_path: Path) -> None:
    write_files("A stage", tmp_path)
    documents = [{"text": "\n".join("abcdef"[:n]), "url": f"https://a.example/{n}"} for n in range(1, 6)]
    cards = tamis_run(tmp_path, "recipe.yaml", [write_pool(tmp_path, documents)])
    assert cards["shorten"]["counts"]["removed"] == {"few_lines": 1}
    assert {row["text"] for row in kept(tmp_path)} == {"a\nb"}
    assert cards["shorten"]["details"]["rules"][0]["threshold"] == 2
    before = cards["shorten"]["fingerprint"]
    (tmp_path / "stage.py").write_text((tmp_path / "stage.py").read_text() + "\n# a word more\n")
    after = tamis_run(tmp_path, "recipe.yaml", [tmp_path / "pool"])
    assert after["shorten"]["fingerprint"] != before and after["extract"] == cards["extract"]


def patched(source: Path) -> int:
    """Apply the diffs of the last section to a copy of the package; returns how many files they touch."""
    blocks = re.findall(r"^```diff\n(.*?)^```$", sections()["A signal in the package"], flags=re.MULTILINE | re.DOTALL)
    files = set()
    for block in blocks:
        head, *hunks = block.split("@@\n")
        path = source / head.strip().removeprefix("--- src/")
        text = path.read_text(encoding="utf-8")
        for hunk in hunks:
            lines = hunk.splitlines()
            before = "".join(f"{line[1:]}\n" for line in lines if line[0] in " -")
            after = "".join(f"{line[1:]}\n" for line in lines if line[0] in " +")
            assert text.count(before) == 1, f"{path}: {before}"
            text = text.replace(before, after)
        path.write_text(text, encoding="utf-8")
        files.add(path)
    return len(files)


MEASURE = """
import tamis
from tamis.base.recipe import Recipe
from tamis.base.stage import StageContext
from tamis.stages.filter.stage import build
import pyarrow as pa

assert tamis.__file__.startswith({source!r})
stage = build({{"rules": "gopher", "max_capital_fraction": 0.4, "keep_languages": []}}, Recipe(name="x", stages=[]))[0]
stage.open(StageContext(seed=0))
texts = ["BUY THE SHOES AND THE HATS NOW OR NEVER " * 8, "the shoes and the hats of John are not to be had " * 8]
from tamis.kernels.reference.rules import signals as reference
from tamis.kernels.rules import program

for text in [*texts, "", "É Σ A\\r\\nzZ[@", "\\U0001d400 ABC"]:
    outcome = program.Program().measure(program.CHARACTERS).run(pa.array([text]))
    assert dict(zip(outcome.columns, outcome.values[0].tolist())) == reference.characters(text), text
rows = {{"id": ["a", "b"], "url": ["", ""], "text": texts, "drop_reason": pa.nulls(2, pa.string())}}
out = stage.apply(pa.RecordBatch.from_pydict(rows))
print(out["capital_fraction"].to_pylist(), [rule.reason for rule in stage.rules if rule.threshold == 0.4])
"""


def test_a_signal_in_the_package_takes_four_files(tmp_path: Path) -> None:
    source = tmp_path / "src"
    shutil.copytree(ROOT / "src" / "tamis", source / "tamis", ignore=shutil.ignore_patterns("__pycache__"))
    assert patched(source) <= 4
    environment = os.environ | {"PYTHONPATH": str(source)}
    script = MEASURE.format(source=str(source))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    text = "BUY THE SHOES AND THE HATS NOW OR NEVER " * 8
    share = sum(c.isupper() for c in text) / len(text)
    assert done.stdout.startswith(f"[{share}, ") and done.stdout.strip().endswith("['too_many_capitals']")
