"""What is not Tamis's own is never written into, read as if it were the user's, or deleted."""

from pathlib import Path

import pytest
import yaml
from cli_runner import Tamis, tamis_in, the_error

from tamis import answers
from tamis.base.errors import ConfigError
from tamis.documentation.crawl import write_docs_crawl
from tamis.runner.ledger import RECORD, Record, describe_outputs, write_record
from tamis.store.atomic import delete_leftovers, write_bytes, write_json
from tamis.store.location import Location, temporary_name
from tamis.store.locks import lock
from tamis.store.workspace import Workspace, open_workspace

STAGE, PRODUCT = "filter-0123456789ab-01234567", "model-0123456789abcdef0123"
RECIPE = {"name": "mine", "stages": [{"cut": {"column": "url", "op": "matches", "threshold": "/9", "reason": "nines"}}]}


@pytest.fixture
def workspace(place: str) -> Workspace:
    return open_workspace(Location(place) / "runs")


def texts(folder: Location) -> dict[str, bytes]:
    return {file.relative_to(folder): file.read_bytes() for file in folder.files()}


def test_clean_leaves_folders_that_are_no_artefacts(workspace: Workspace) -> None:
    for name in ("01_photos/a.jpg", "filter-0-0/x", "notes.txt", f"{STAGE}-old/shards/00000.parquet"):
        write_bytes(workspace.artefact(name), b"mine")
    before = texts(workspace.root)
    assert answers.unreferenced(workspace) == answers.clean(workspace) == []
    assert texts(workspace.root) == before


@pytest.mark.parametrize("name", ["thesis.tex", "shards/00000.parquet.bak", "shards/mine.parquet", "tokens/x.bin"])
def test_clean_leaves_artefacts_with_files_of_others(workspace: Workspace, name: str) -> None:
    folder = workspace.artefact(STAGE)
    own = (
        "card.json", "shards/00000.parquet", "tasks/00000.json", "tasks/combine.json", "tokens/00000.offsets",
        "decisions/00000.parquet", "jsonl/00000.jsonl.zst", "quarantine/123456.parquet",
    )  # fmt: skip
    for each in (*own, name):
        write_bytes(folder / each, b"12345")
    before = texts(workspace.root)
    (item,) = answers.clean(workspace)
    assert item["kept"] == f"it holds {name}, which Tamis did not make"
    assert texts(workspace.root) == before
    (folder / name).delete_file()
    (item,) = answers.clean(workspace)
    assert item["kept"] == "" and not folder.is_folder()


def test_clean_deletes_of_a_product_what_its_record_lists(workspace: Workspace) -> None:
    folder = workspace.artefact(PRODUCT)
    write_bytes(folder / "checkpoints/step/model.safetensors", b"weights")
    outputs = describe_outputs(folder, folder.files())
    write_record(folder / RECORD, Record(fingerprint="model", outputs=outputs))
    write_bytes(folder / "thesis.tex", b"mine")
    (item,) = answers.clean(workspace)
    assert item["kept"] == "it holds thesis.tex, which Tamis did not make" and (folder / "thesis.tex").exists()
    (folder / "thesis.tex").delete_file()
    answers.clean(workspace)
    assert not folder.is_folder()


def test_clean_leaves_what_a_run_is_working_on(workspace: Workspace) -> None:
    folder = workspace.artefact(PRODUCT)
    write_bytes(folder / "checkpoints/step/model.safetensors", b"half")
    with lock(folder):
        (item,) = answers.clean(workspace)
    assert item["kept"] == "a run is working on it" and (folder / "checkpoints/step/model.safetensors").exists()
    (item,) = answers.clean(workspace)
    assert item["kept"] == "" and not folder.is_folder()


def test_only_temporary_files_of_tamis_are_leftovers(tmp_path: Path) -> None:
    names = [".notes.tmp", ".a.parquet.12-3.tmp", ".x.1-2.tmp", "a.tmp", ".b.12-0a1b2c3d-1.tamis-tmp.txt"]
    for name in names:
        (tmp_path / name).write_text("mine")
    for ours in (temporary_name(tmp_path / "00000.parquet"), temporary_name(tmp_path / "a b\n.c")):
        ours.write_text("half")
    temporary_name(tmp_path / "folder").mkdir()
    delete_leftovers(Location(tmp_path))
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names)


def test_the_crawl_of_the_documentation_replaces_no_files_of_others(tmp_path: Path) -> None:
    for name in ("docs-mine.warc.gz", "01_photos"):
        (tmp_path / name).write_text("mine")
        with pytest.raises(ConfigError, match=f"this folder holds {name}, which is no part of a crawl"):
            write_docs_crawl(Location(tmp_path), max_pages=2)
        assert (tmp_path / name).read_text() == "mine"
        (tmp_path / name).unlink()


@pytest.mark.parametrize(
    ("uri", "own"),
    [
        ("runs/artefacts/filter-1-2/shards/00000.parquet", True),
        ("runs/artefacts/x.jsonl", True),
        ("runs/mine/events.jsonl", True),
        ("runs/mine/deep/er/x.jsonl", True),
        ("runs/experiment/mine/events.jsonl", True),
        ("runs/pool/docs-00000.warc.gz", False),
        ("runs/x.jsonl", False),
        ("runs2/artefacts/x.jsonl", False),
        ("x.jsonl", False),
    ],
)
def test_files_where_runs_write_are_told(place: str, uri: str, own: bool) -> None:
    workspace = open_workspace(Location(place) / "runs")
    for folder in ("mine", "experiment/mine"):
        write_json(workspace.root / folder / "events.jsonl", {})
    assert workspace.find_own([f"{place}/other.jsonl", f"{place}/{uri}"]) == (f"{place}/{uri}" if own else None)


def test_a_link_into_the_workspace_leads_there(tmp_path: Path) -> None:
    workspace = open_workspace(Location(tmp_path / "runs"))
    (tmp_path / "runs" / "artefacts").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "runs" / "artefacts")
    assert workspace.find_own([f"{tmp_path}/link/x.jsonl"]) == f"{tmp_path}/link/x.jsonl"


@pytest.fixture
def tamis(tmp_path: Path) -> Tamis:
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(RECIPE))
    (tmp_path / "01_crawl").mkdir()
    (tmp_path / "01_crawl" / "a.jsonl").write_text('{"text": "one", "url": "http://h.org/1"}\n')
    return tamis_in(tmp_path)


def test_a_folder_with_other_things_in_it_is_no_workspace(tamis: Tamis, tmp_path: Path) -> None:
    (tmp_path / "01_photos").mkdir()
    (tmp_path / "01_photos" / "a.jpg").write_bytes(b"mine")
    before = texts(Location(tmp_path))
    message = the_error(tamis("run", "mine.yaml", "--pool", "01_crawl", "--workspace", ".", fails=True))
    assert "this folder is not empty and no Tamis workspace (it holds 01_crawl)" in " ".join(message.split())
    assert texts(Location(tmp_path)) == before


def test_what_runs_made_is_no_pool(tamis: Tamis, tmp_path: Path) -> None:
    tamis("run", "mine.yaml", "--pool", ".", "--quiet")
    before = texts(Location(tmp_path))
    message = " ".join(the_error(tamis("run", "mine.yaml", "--pool", ".", fails=True)).split())
    assert f"lies in the workspace {tmp_path}/runs, where runs write. Name the files of the pool" in message
    assert texts(Location(tmp_path)) == before
    tamis("run", "mine.yaml", "--pool", "01_crawl", "--quiet")
