"""`tamis verify`: every stored file against its digest, and what a run then makes anew."""

import json
import re
from pathlib import Path

import pytest
import yaml
from cli_runner import Tamis, artefact_files, tamis_in, the_error

from tamis.store.location import Location
from tamis.store.locks import lock

RULE = {"column": "url", "op": "matches", "threshold": "/9", "reason": "nines"}
RECIPE = {
    "name": "mine",
    "stages": [{"dedup": {"method": "minhash"}}, {"cut": RULE}, {"tokenize": {"own_vocab_size": 300}}],
}
DAMAGED, DECISIONS = "the file is not as it was written", "dedup-*/decisions/*.parquet"
TOKENIZER = "tokenize-*/tokens/tokenizer.json"


@pytest.fixture
def tamis(tmp_path: Path) -> Tamis:
    rows = [
        {"url": f"https://a.example/{i}", "text": f"Page {i} says: " + " ".join(map(str, range(i, i + 40)))}
        for i in range(30)
    ]
    (tmp_path / "pool.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(RECIPE))
    called = tamis_in(tmp_path)
    called("run", "mine.yaml", "--pool", "pool.jsonl", "--quiet")
    return called


def flip(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 16
    file.write_bytes(data)


def contents(place: Path) -> dict[str, bytes]:
    return {name: (place / "runs/artefacts" / name).read_bytes() for name in artefact_files(place / "runs")}


def test_every_kind_of_file_is_compared_and_the_next_run_makes_it_anew(tamis: Tamis, tmp_path: Path) -> None:
    wanted = contents(tmp_path)
    told = tamis("verify").stdout
    assert f"{sum(not re.search('/tasks/|card.json|record.json', name) for name in wanted)} files" in told
    damaged = {
        kind: next(tmp_path.glob(f"runs/artefacts/{kind}"))
        for kind in ("pool-*/shards/*.parquet", "cut-*/tasks/00000.json", DECISIONS, TOKENIZER)
    }
    for file in damaged.values():
        flip(file)
    missing = next(tmp_path.glob("runs/artefacts/cut-*/shards/*.parquet"))
    missing.unlink()
    answer = tamis("verify", "--json", fails=True)
    assert answer.returncode == 3
    found = {item["file"]: item["fault"] for item in json.loads(answer.stdout)["damaged"]}
    assert found == {
        "shards/00000.parquet": DAMAGED,
        "tasks/00000.json": "the record is not as it was written",
        f"decisions/{damaged[DECISIONS].name}": DAMAGED,
        "tokens/manifest.json": "the manifest and the tokenizer do not fit each other",
        "tokens/tokenizer.json": "the manifest and the tokenizer do not fit each other",
    }
    tamis("run", "mine.yaml", "--pool", "pool.jsonl", "--quiet")
    assert contents(tmp_path) == wanted
    tamis("verify")


def test_what_may_be_deleted_by_hand_is_no_damage_and_what_is_in_work_is_not_read(tamis: Tamis, tmp_path: Path) -> None:
    for file in tmp_path.glob("runs/artefacts/dedup-*/sketches/*"):
        file.unlink()
    assert "all as they were written" in tamis("verify").stdout
    folder = next(tmp_path.glob("runs/artefacts/pool-*"))
    with lock(Location(folder)):
        answer = tamis("verify")
    assert f"{folder.name}: not checked, because a run is working on it" in answer.stderr


def test_a_file_that_is_missing_is_told(tamis: Tamis, tmp_path: Path) -> None:
    next(tmp_path.glob("runs/artefacts/pool-*/shards/*.parquet")).unlink()
    done = tamis("verify", "--quiet", fails=True)
    assert "the file is missing" in done.stdout and "1 of" in done.stderr


def test_there_must_be_a_workspace(tmp_path: Path) -> None:
    assert "no Tamis workspace here" in the_error(tamis_in(tmp_path)("verify", fails=True))
