"""Shards of a pool: very many small files are read in groups, and a file that changes while it is used is found out."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tamis.base.columns import DROP_REASON, ERROR, ID, TEXT, URL
from tamis.base.errors import DataError
from tamis.base.recipe import Recipe
from tamis.runner.curation import make_engine, plan_nodes
from tamis.runner.execute import execute
from tamis.runner.graph import Context
from tamis.runner.plan import Plan, make_plan
from tamis.runner.task import Task
from tamis.stages.cut.stage import build as build_cut
from tamis.stages.pool.shards import FEW_FILES, GROUP_BYTES, GROUP_FILES, SMALL_BYTES, PoolShard, files_of, grouped
from tamis.stages.pool.stage import Pool, build
from tamis.store.location import Location
from tamis.store.rundir import StageDir
from tamis.store.shards import read_table
from tamis.store.workspace import Workspace, open_workspace

RECIPE = Recipe.parse({"name": "x", "stages": []}, "")
MANY = FEW_FILES + 60


def a_file(name: str, size: int = 1000) -> PoolShard:
    return PoolShard(name=name, uri=f"/pool/{name}", size_bytes=size, fingerprint=f"print of {name}")


def names(shards: list[PoolShard]) -> list[list[str]]:
    return [[file.name for file in files_of(shard)] for shard in shards]


def test_few_files_stand_alone() -> None:
    files = [a_file(f"{n:05d}") for n in range(FEW_FILES)]
    large = [a_file(f"large-{n:05d}", SMALL_BYTES) for n in range(1000)]
    assert grouped(files) == files
    assert grouped([*files, *large]) == [*files, *large]


def test_many_small_files_are_grouped_in_their_order() -> None:
    files = [a_file(f"{n:06d}") for n in range(20_000)]
    files[5000:5000] = [a_file("large", SMALL_BYTES), *(a_file(f"half-{n}", SMALL_BYTES // 2) for n in range(100))]
    shards = grouped(files)
    assert [name for group in names(shards) for name in group] == [file.name for file in files]
    assert ["large"] in names(shards)
    assert len(shards) < len(files) / 40
    for shard in shards:
        assert shard.size_bytes == sum(file.size_bytes for file in files_of(shard))
        assert len(files_of(shard)) <= GROUP_FILES and (shard.size_bytes <= GROUP_BYTES or not shard.members)
        assert shard.files == (tuple(file.name for file in shard.members))
    assert len({shard.name for shard in shards}) == len({shard.fingerprint for shard in shards}) == len(shards)


def test_no_name_makes_a_group_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tamis.stages.pool.shards._is_last", lambda name: False)
    assert max(map(len, names(grouped([a_file(f"{n}", 10) for n in range(2000)])))) == GROUP_FILES
    sizes = [shard.size_bytes for shard in grouped([a_file(f"{n}", SMALL_BYTES - 1) for n in range(2000)])]
    assert max(sizes) <= GROUP_BYTES < 2 * max(sizes)


@pytest.mark.parametrize("place", [0, 1234, 5000, 9999])
def test_a_file_more_or_less_changes_few_groups(place: int) -> None:
    files = [a_file(f"{2 * n:06d}", 20_000) for n in range(10_000)]
    before = set(grouped(files))
    fewer = set(grouped([*files[:place], *files[place + 1 :]]))
    more = set(grouped([*files[:place], a_file(f"{2 * place - 1:06d}"), *files[place:]]))
    for after in (fewer, more):
        assert sum(len(files_of(shard)) for shard in after - before) <= GROUP_FILES
        assert len(after - before) <= 3


def test_what_is_in_a_file_is_in_the_fingerprint_of_its_group() -> None:
    files = [a_file(f"{n:06d}") for n in range(1000)]
    changed = [*files[:500], PoolShard(name="000500", uri="", size_bytes=1000, fingerprint="other"), *files[501:]]
    assert len(set(grouped(files)) ^ set(grouped(changed))) == 2


def write(folder: Path, number: int, text: str | None = None) -> Path:
    path = folder / f"{number:05d}.jsonl"
    path.parent.mkdir(exist_ok=True)
    if number % 50 == 7:
        path.write_bytes(b'{"text": 5}\n')
    else:
        record = {"text": text or f"Text number {number}.", "url": f"https://h.org/{number}"}
        path.write_text(json.dumps(record) + "\n")
    os.utime(path, (1e9, 1e9))
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(MANY):
        write(tmp_path / "pool", number)
    return tmp_path / "pool"


def pool_of(folder: Path, **settings: Any) -> Pool:
    return build({"inputs": [str(folder)], **settings}, RECIPE)


def rows(pool: Pool) -> list[dict[str, Any]]:
    return [row for shard in pool.shards() for batch in pool.read(shard) for row in batch.to_pylist()]


def test_a_group_gives_the_rows_of_its_files_and_names_the_bad_one(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    grouped_pool = pool_of(folder)
    assert len(grouped_pool.shards()) < MANY / 20
    found = rows(grouped_pool)
    errors = [row[ERROR] for row in found if row[ERROR]]
    assert len(errors) == len(range(7, MANY, 50))
    assert all(f"(in {number:05d}.jsonl)" in error for number, error in zip(range(7, MANY, 50), errors, strict=True))
    monkeypatch.setattr("tamis.stages.pool.shards.FEW_FILES", MANY)
    assert len(pool_of(folder).shards()) == MANY
    single = rows(pool_of(folder))
    assert [(row[URL], row[TEXT], row[DROP_REASON]) for row in found] == [
        (row[URL], row[TEXT], row[DROP_REASON]) for row in single
    ]
    assert [row[ID] for row in found if not row[ERROR]] == [row[ID] for row in single if not row[ERROR]]


def test_batches_of_a_group_are_as_large_as_of_a_file(folder: Path) -> None:
    pool = pool_of(folder)
    for shard in pool.shards():
        assert len(list(pool.read(shard))) == 1
        batches, share = pool.sample(shard, 10_000)
        assert (sum(batch.num_rows for batch in batches), share) == (len(files_of(shard)), 1.0)


def test_notes_of_a_group_are_those_of_all_its_files(folder: Path) -> None:
    pool = pool_of(folder)
    shard = max(pool.shards(), key=lambda shard: len(files_of(shard)))
    for file in files_of(shard):
        Path(file.uri).write_bytes(b"\xef\xbb\xbf" + b"\n")
    empty = pool_of(folder)
    shard = next(found for found in empty.shards() if found.name == shard.name)
    list(empty.read(shard))
    single = pool_of(folder, inputs=[files_of(shard)[0].uri])
    list(single.read(single.shards()[0]))
    assert empty.notes() == {name: count * len(files_of(shard)) for name, count in single.notes().items()}


def test_the_first_pages_are_taken_file_by_file(folder: Path) -> None:
    assert [row[URL] for row in rows(pool_of(folder, pages=MANY - 3))] == [
        row[URL] for row in rows(pool_of(folder))[: MANY - 3]
    ]


def plan_of(folder: Path) -> Plan:
    pool = pool_of(folder)
    cut = build_cut({"column": "url", "op": "matches", "threshold": "/2", "reason": "twos"}, RECIPE)
    return make_plan(RECIPE.model_copy(update={"quarantine_budget": 1.0}), pool, cut, list(pool.shards()))


def run(plan: Plan, root: Path) -> Workspace:
    workspace = open_workspace(Location(root))
    with make_engine("local", 2, workspace) as engine:
        context = Context(workspace=workspace, engine=engine, num_workers=2, on_event=lambda event: None)
        execute([plan_nodes("", plan, {})[plan.steps[-1].label]], context, lambda node: None, lambda node: None)
    return workspace


def kept(plan: Plan, workspace: Workspace) -> list[dict[str, Any]]:
    folder = StageDir(workspace.artefact(plan.steps[-1].artefact))
    return [row for place in folder.shards.children() for row in read_table(place).to_pylist()]


def test_a_pool_of_groups_that_grows_reads_only_the_new_group(folder: Path, tmp_path: Path) -> None:
    before = plan_of(folder)
    run(before, tmp_path / "w")
    write(folder, MANY)
    (folder / "00100a.jsonl").write_text('{"text": "between"}\n')
    after = plan_of(folder)
    old = {shard.fingerprint for shard in before.shards}
    new = {shard.fingerprint for shard in after.shards} - old
    assert 1 <= len(new) <= 3
    times = {path.stat().st_ino for path in (tmp_path / "w").rglob("shards/*.parquet")}
    workspace = run(after, tmp_path / "w")
    files = list(StageDir(workspace.artefact(after.steps[-1].artefact)).shards.path.iterdir())
    assert sum(path.stat().st_ino not in times for path in files) == len(new), "the others are links"
    assert kept(after, workspace) == kept(after, run(after, tmp_path / "fresh"))


def test_the_record_of_a_group_names_its_files(folder: Path, tmp_path: Path) -> None:
    plan = plan_of(folder)
    workspace = run(plan, tmp_path / "w")
    tasks = [Task(plan=plan, workspace=workspace, number=1, index=index) for index in range(len(plan.shards))]
    found = [json.loads(task.folder(plan.steps[0]).task(task.index).read_bytes())["files"] for task in tasks]
    assert [name for files in found for name in files] == [f"{number:05d}.jsonl" for number in range(MANY)]


@pytest.mark.parametrize("small", [True, False])
def test_a_file_that_is_replaced_while_it_is_read_is_not_stored_as_the_old_one(tmp_path: Path, small: bool) -> None:
    folder = tmp_path / "pool"
    write(folder, 0)
    write(folder, 1, "x" * (10 if small else 2 << 20))
    plan = plan_of(folder)
    write(folder, 1, "y" * (10 if small else 2 << 20))
    with pytest.raises(DataError, match=r"00001\.jsonl: this file of the pool was changed or replaced while the run"):
        run(plan, tmp_path / "w")
    again = plan_of(folder)
    workspace = run(again, tmp_path / "w")
    assert kept(again, workspace) == kept(again, run(again, tmp_path / "fresh"))
    assert {row[TEXT][0] for row in kept(again, workspace)} == {"T", "y"}


def test_a_file_of_a_group_that_is_deleted_is_told(folder: Path) -> None:
    pool = pool_of(folder)
    shard = pool.shards()[0]
    batches = pool.read(shard)
    Path(files_of(shard)[-1].uri).unlink()
    with pytest.raises(DataError, match="cannot be opened"):
        list(batches)


def test_a_remote_file_that_is_replaced_is_found_out(s3: str) -> None:
    from tamis.store.atomic import write_bytes

    write_bytes(Location(s3) / "a.jsonl", b'{"text": "one"}\n')
    pool = build({"inputs": [f"{s3}/a.jsonl"]}, RECIPE)
    (shard,) = pool.shards()
    assert len(list(pool.read(shard))) == 1
    write_bytes(Location(s3) / "a.jsonl", b'{"text": "two"}\n')
    with pytest.raises(DataError, match="was changed or replaced while the run was reading it"):
        list(pool.read(shard))
