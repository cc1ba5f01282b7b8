"""`tamis export`: whole, in the same bytes, resumed, in balance with the accounting, and refused where it would mix."""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cli_runner import tamis_in, the_error
from exported_runs import PROSE, contents, export_run, run_recipe

from tamis.base.errors import ConfigError, DataError, StorageError
from tamis.export import write as writing
from tamis.export.layouts import LAYOUTS
from tamis.export.plan import Options, make_plan
from tamis.export.write import MANIFEST
from tamis.store.location import Location
from tamis.store.rundir import RunDir
from tamis.store.writing import temporary_name


class InterruptedByTestError(Exception):
    """Stands for anything that ends the process."""


def counts(run: RunDir) -> Any:
    return run.cards()[-1][1].accounting


@pytest.mark.parametrize("name", LAYOUTS)
def test_the_same_run_gives_the_same_bytes_on_any_place_with_any_number_of_workers(
    run: RunDir, exports: dict[str, Path], name: str, tmp_path: Path, memory: str
) -> None:
    export_run(run, tmp_path / "other", name, workers=3, documents_per_file=10)
    export_run(run, memory, name, workers=2, documents_per_file=10)
    assert contents(tmp_path / "other") == contents(memory) == contents(exports[name])


def test_an_export_on_s3(run: RunDir, exports: dict[str, Path], s3: str) -> None:
    done = export_run(run, f"{s3}/data", "dolma", documents_per_file=10)
    assert done.written == 3
    assert contents(f"{s3}/data") == contents(exports["dolma"])
    assert export_run(run, f"{s3}/data", "dolma", documents_per_file=10).written == 0


@pytest.mark.parametrize("name", LAYOUTS)
def test_the_files_hold_what_the_stage_kept(run: RunDir, tmp_path: Path, name: str) -> None:
    for size, files in ((None, 3), (1, 27), (26, 2), (27, 1), (1000, 1)):
        done = export_run(run, tmp_path / str(size), name, documents_per_file=size)
        assert (done.documents, done.text_bytes) == (counts(run).kept, counts(run).kept_bytes)
        assert len(done.files) == files == len(list(Location(tmp_path / str(size) / LAYOUTS[name].folder).files()))
        assert done.bytes == sum((tmp_path / str(size) / file.name).stat().st_size for file in done.files)
        if size:
            assert [file.documents for file in done.files[:-1]] == [size] * (files - 1)


def fail_after(monkeypatch: pytest.MonkeyPatch, number: int, error: BaseException) -> None:
    """The file after `number` others ends in an error half-way."""
    seen = []
    read = writing._read

    def failing(*arguments: Any) -> Iterator[Any]:
        seen.append(1)
        for batch in read(*arguments):
            yield batch.slice(0, 1)
            if len(seen) > number:
                raise error
            yield batch.slice(1)

    monkeypatch.setattr(writing, "_read", failing)


@pytest.mark.parametrize("name", ["parquet", "dclm"])
@pytest.mark.parametrize(
    "error", [InterruptedByTestError("killed"), KeyboardInterrupt(), StorageError("the disk is full")]
)
def test_an_interrupted_export_is_continued(
    run: RunDir, exports: dict[str, Path], name: str, error: BaseException, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    with monkeypatch.context() as patched:
        fail_after(patched, 2, error)
        with pytest.raises(type(error)):
            export_run(run, tmp_path, name, documents_per_file=10)
    left = contents(tmp_path)
    assert MANIFEST not in left and "README.md" not in left, "it is not finished"
    assert sum(file.startswith("data/") for file in left) == 2, "what is there is whole"
    temporary_name(tmp_path / "data" / "train").write_text("what a killed process leaves")
    done = export_run(run, tmp_path, name, documents_per_file=10)
    assert (done.written, done.documents) == (1, counts(run).kept)
    assert contents(tmp_path) == contents(exports[name])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["README.md", "SHA256SUMS", "data", MANIFEST]


def test_an_error_in_one_file_stops_the_others_and_is_the_one_that_is_told(
    run: RunDir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_after(monkeypatch, 1, StorageError("the disk is full"))
    with pytest.raises(StorageError, match="the disk is full"):
        export_run(run, tmp_path, "dclm", workers=4, documents_per_file=3)


def test_a_finished_export_is_found(run: RunDir, exports: dict[str, Path], tmp_path: Path) -> None:
    shutil.copytree(exports["dclm"], tmp_path / "again")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "again").rglob("*")}
    done = export_run(run, tmp_path / "again", "dclm", documents_per_file=10)
    assert (done.written, done.documents) == (0, counts(run).kept)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    # A file that was deleted or cut short is written again, and nothing else.
    (tmp_path / "again" / done.files[1].name).unlink()
    (tmp_path / "again" / done.files[2].name).write_bytes(b"short")
    (tmp_path / "again" / "README.md").unlink()
    assert export_run(run, tmp_path / "again", "dclm", documents_per_file=10).written == 2
    assert contents(tmp_path / "again") == contents(exports["dclm"])


def test_another_licence_changes_the_card_alone(run: RunDir, exports: dict[str, Path], tmp_path: Path) -> None:
    shutil.copytree(exports["dclm"], tmp_path / "again")
    assert export_run(run, tmp_path / "again", "dclm", documents_per_file=10, licence="odc-by").written == 0
    changed = {name for name, data in contents(tmp_path / "again").items() if data != contents(exports["dclm"])[name]}
    assert changed == {"README.md"}


def test_a_stage_in_the_middle(run: RunDir, tmp_path: Path) -> None:
    for stage in ("extract", "02_extract"):
        done = export_run(run, tmp_path / stage, "dclm", stage=stage)
        accounting = dict(run.cards())["02_extract"].accounting
        assert accounting is not None and done.documents == accounting.kept == 30
    text = (tmp_path / "extract" / "README.md").read_text()
    assert "`02_extract`" in text and "`03_filter`" not in text, "the card tells of the steps before alone"


# What is refused.


def refusal(run: RunDir, folder: Any, layout: str = "parquet", **options: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        export_run(run, folder, layout, **options)
    return str(caught.value)


def test_a_folder_with_anything_else_is_refused(run: RunDir, exports: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    assert "is not empty (it holds mine.txt)" in refusal(run, tmp_path / "full")
    assert "this is a file" in refusal(run, tmp_path / "full" / "mine.txt")
    assert "lies in the workspace" in refusal(run, run.workspace.root / "data")
    assert "lies in the workspace" in refusal(run, run.workspace.root)
    for options, told in (
        ({}, "documents_per_file: 10, not None"),
        ({"documents_per_file": 10, "stage": "extract"}, "stage: 05_filter, not 02_extract"),
        ({"documents_per_file": 10, "layout": "datatrove"}, "format: parquet, not datatrove"),
    ):
        assert f"holds another export ({told})" in refusal(run, exports["parquet"], **options)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["full", "mine.txt"], "nothing was written"


def test_the_export_of_another_run_is_refused_while_it_is_unfinished_too(
    run: RunDir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.jsonl").write_text(json.dumps({"text": PROSE.format(n=1)}) + "\n")
    other = run_recipe(tmp_path, "other", [{"extract": {}}], [str(tmp_path / "mine.jsonl")])
    folder = tmp_path / "data"
    with monkeypatch.context() as patched:
        fail_after(patched, 0, InterruptedByTestError())
        with pytest.raises(InterruptedByTestError):
            export_run(other, folder, "dclm")
    assert "holds another export (run: other, not mine)" in refusal(run, folder, "dclm")
    assert export_run(other, folder, "dclm").documents == 1
    assert "holds another export (run: other, not mine)" in refusal(run, folder, "dclm")
    (folder / MANIFEST).write_text("{nope")
    assert "holds another export" in refusal(run, folder, "dclm")


def test_stages_and_formats_that_are_not_there(run: RunDir, tmp_path: Path) -> None:
    assert "no such stage (did you mean 'filter'?" in refusal(run, tmp_path, stage="filters")
    told = refusal(run, tmp_path, stage="pool")
    assert "01_pool did not store its documents" in told and "--until pool ; or export what is stored: --stage" in told
    assert "no such format (did you mean 'parquet'?" in refusal(run, tmp_path, "parket")
    assert "parquet files have the compression zst. Type: --compression zst" in refusal(run, tmp_path, compression="gz")
    assert "dolma files have the compression gz or zst" in refusal(run, tmp_path, "dolma", compression="xz")
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_is_not_finished(own_run: RunDir, tmp_path: Path) -> None:
    run = own_run
    last = list(run.steps())[-1]
    run.stage(last).card.delete_file()
    told = refusal(run, tmp_path / "data")
    assert (
        "this run is not finished. To go on, type: tamis run " in told and "; or export what is stored: --stage" in told
    )
    assert f"{last} is not finished" in refusal(run, tmp_path / "data", stage=last)
    assert export_run(run, tmp_path / "data", "dclm", stage="extract").documents == 30


def test_pages_that_are_not_extracted(tmp_path: Path) -> None:
    run = run_recipe(tmp_path, "mine", [])
    assert "is not extracted yet" in refusal(run, tmp_path / "data")


def test_a_damaged_shard_is_never_exported(own_run: RunDir, tmp_path: Path) -> None:
    run = own_run
    stage = run.dataset()
    assert stage is not None
    shard = stage.shard(1).path
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 1
    shard.write_bytes(data)
    with pytest.raises(DataError, match=r"damaged since it was written\. To make it anew, type: tamis verify"):
        export_run(run, tmp_path / "data", "parquet")
    assert not (tmp_path / "data" / MANIFEST).exists()
    tamis_in(tmp_path)("verify", "runs", fails=True)
    tamis_in(tmp_path)("run", "mine.yaml", "--pool", "pool", "--quiet")
    assert export_run(run, tmp_path / "data", "parquet").documents == 27


def test_records_that_do_not_balance_are_refused(run: RunDir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = writing._read
    monkeypatch.setattr(writing, "_read", lambda *given: (batch.slice(0, 1) for batch in read(*given)))
    with pytest.raises(DataError, match="the accounting does not balance: 05_filter kept 27 documents"):
        export_run(run, tmp_path / "data", "parquet")
    assert not (tmp_path / "data" / MANIFEST).exists()


# The command.


def test_the_command(run: RunDir, tmp_path: Path) -> None:
    tamis = tamis_in(tmp_path)
    given = ("export", str(run.root), "dclm", "--output", "data", "--documents-per-file", "10")
    planned = json.loads(tamis(*given, "--dry-run", "--json").stdout)
    assert planned["documents"] == 27 and [file["documents"] for file in planned["files"]] == [10, 10, 7]
    assert "nothing was done" in tamis(*given, "--dry-run").stdout and not (tmp_path / "data").exists()
    printed = tamis(*given, "--compression", "gz").stdout
    assert "05_filter: 28 documents in = 27 kept + 1 removed or quarantined" in printed
    assert "exported: 27 documents" in printed and f"export: {tmp_path / 'data'}" in printed
    found = json.loads(tamis(*given, "--compression", "gz", "--json").stdout)
    assert (found["documents"], found["written"], found["format"], found["stage"]) == (27, 0, "dclm", "05_filter")
    assert found["accounting"]["counts"]["kept"] == sum(file["documents"] for file in found["files"]) == 27
    assert "every file was there already" in tamis(*given, "--compression", "gz").stdout
    assert "holds another export (compression: gz, not zst)" in the_error(tamis(*given, fails=True))
    assert "no run here" in the_error(tamis("export", "nowhere", "dclm", "-o", "x", fails=True))
    assert "after 's3:' two slashes" in the_error(tamis("export", str(run.root), "dclm", "-o", "s3:b", fails=True))


def test_options_are_validated_before_anything_is_read(run: RunDir) -> None:
    plan = make_plan(run, Options(layout="dclm", documents_per_file=4))
    assert [file.num_documents for file in plan.files] == [4] * 6 + [3]
    assert [part.shard for file in plan.files for part in file.parts] == sorted(
        part.shard for file in plan.files for part in file.parts
    )


def test_the_commands_of_the_page(own_run: RunDir, tmp_path: Path) -> None:
    own_run.root.path.rename(tmp_path / "runs" / "gopher")
    page = (Path(__file__).parents[2] / "docs" / "export.md").read_text()
    commands = re.findall(r"^tamis (export .*)$", page, re.MULTILINE)
    assert len(commands) == 3
    for command in commands:
        tamis_in(tmp_path)(*command.split())
    made = {path.name for path in tmp_path.iterdir()} - {"runs", "pool", "mine.yaml"}
    assert made == {"gopher-data", "gopher-dolma"}
    assert "license: odc-by" in (tmp_path / "gopher-data" / "README.md").read_text()
    for name in ("documents/train-00000-of-00001.jsonl.gz", "SHA256SUMS", MANIFEST):
        assert (tmp_path / "gopher-dolma" / name).is_file()


def test_every_option_of_the_command_is_on_the_page(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "export.md").read_text()
    options = set(re.findall(r"--[a-z][a-z-]+", tamis_in(tmp_path)("export", "--help").stdout))
    assert options >= {"--output", "--documents-per-file"}
    missing = {option for option in options if f"`{option}" not in page} - {"--help", "--quiet"}
    assert missing == set()
