"""Equal work gives equal bytes: where the user's files lie, what they are called, and how their paths were typed is in
no artefact."""

import json
import random
from pathlib import Path

import pytest
import yaml
from cli_runner import tamis_in

from tamis.stages.tokenize.bpe import train_tokenizer
from tamis.store.location import Location

FILES = ("crawl", "domains", "good", "own", "tokenizer", "reference")
WORDS = [f"word{number}" for number in range(300)]


def write_files(folder: Path, suffix: str) -> None:
    """The same contents under other names; the pool's file keeps its name, which is in the ids of its documents."""
    chance = random.Random(1)
    folder.mkdir(parents=True)
    rows = [{"url": f"http://h{n % 7}.example/{n}", "text": " ".join(chance.choices(WORDS, k=120))} for n in range(60)]
    bad = '{"text": 5}\n{nope\n'
    (folder / "crawl.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows) + bad)
    (folder / f"reference{suffix}.jsonl").write_text(json.dumps({"text": rows[3]["text"]}) + "\n")
    (folder / f"domains{suffix}.txt").write_text("h3.example\n")
    good = (" ".join(f"good{chance.randrange(50)}" for _ in range(50)) for _ in range(100))
    (folder / f"good{suffix}.txt").write_text("\n".join(good))
    (folder / f"own{suffix}.py").write_text("def length(text):\n    return len(text)\n")
    (folder / f"tokenizer{suffix}.json").write_bytes(train_tokenizer(["hello world " * 20], 300))


def recipe(folder: str, suffix: str) -> dict[str, object]:
    def at(name: str) -> str:
        return f"{folder}/{name.replace('.', f'{suffix}.')}"

    filtered = {"rules": "none", "keep_languages": [], "banned_domains": at("domains.txt")}
    own = [{"column": "length", "op": "<", "threshold": 10, "reason": "short"}]
    training = {"positives": at("good.txt"), "num_train_documents": 100, "epoch": 30, "keep_fraction": 0.9}
    share = {"column": "quality_score", "keep_fraction": 0.9, "of": "tokens", "tokenizer": at("tokenizer.json")}
    stages = [
        {"filter": filtered | {"signals": [f"{at('own.py')}:length"], "own_rules": own}},
        {"dedup": {"method": "exact"}},
        {"quality": training},
        {"quality": {"scorer": f"{at('own.py')}:length", "threshold": 1}},
        {"cut": share},
        {"decontaminate": {"reference": [at("reference.jsonl")]}},
        {"tokenize": {"tokenizer": at("tokenizer.json")}},
    ]
    return {"name": "r", "pool": {"inputs": [f"{folder}/crawl.jsonl"]}, "stages": stages, "quarantine_budget": 0.5}


@pytest.fixture(scope="module")
def workspaces(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Of the same work twice, in different folders and with different numbers of workers."""
    root = tmp_path_factory.mktemp("places")
    made = []
    for name, folder, suffix, workers in (("one", "../files", "", "1"), ("two", str(root / "deep" / "er"), "_b", "2")):
        (root / name).mkdir()
        write_files(root / "files" if name == "one" else Path(folder), suffix)
        text = yaml.safe_dump(recipe(folder, suffix)).replace("../files/own", "./../files/own")
        (root / name / "r.yaml").write_text(text)
        tamis_in(root / name)("run", "r.yaml", "--workspace", f"ws_{name}", "--workers", workers, "--quiet")
        made.append(root / name / f"ws_{name}")
    return made


def contents(workspace: Path) -> dict[str, bytes]:
    files = [file for file in Location(workspace / "artefacts").files() if file.name != ".lock"]
    return {str(file).partition("/artefacts/")[2]: file.read_bytes() for file in files}


def test_the_same_bytes_wherever_files_lie(workspaces: list[Path]) -> None:
    one, two = (contents(workspace) for workspace in workspaces)
    assert sorted(one) == sorted(two) and len(one) > 40
    assert [name for name in one if one[name] != two[name]] == []


def test_no_path_is_in_an_artefact(workspaces: list[Path]) -> None:
    root = workspaces[0].parents[1]
    for workspace in workspaces:
        for name, data in contents(workspace).items():
            for typed in (str(root), "../files", "deep/er", *(f"{file}_b." for file in FILES)):
                assert typed.encode() not in data, name


def test_the_run_says_which_files_were_used(workspaces: list[Path]) -> None:
    """In its own folder, which is no artefact; and a card says which contents."""
    for workspace, named in zip(workspaces, ("../files/tokenizer.json", "deep/er/tokenizer_b.json"), strict=True):
        assert named in (workspace / "r" / "recipe.yaml").read_text()
    cards = [name for name in contents(workspaces[0]) if name.startswith("tokenize-") and name.endswith("/card.json")]
    card = json.loads(contents(workspaces[0])[cards[0]])
    assert card["config"]["tokenizer"] == "asset tokenizer" and len(card["details"]["assets"]["tokenizer"]) >= 32
