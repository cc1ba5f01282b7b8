"""Stored files whose bytes changed since they were written: they are found when they are read, and made again."""

import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest
from harness import Docs, build, execute, plan_of, run_at, step_folder, tree
from toy import Measure, ToyPool, toy_docs

from tamis.base.errors import DataError
from tamis.base.events import Event
from tamis.base.stage import StageContext
from tamis.products import TokenizerNode
from tamis.runner.curation import Dataset, plan_nodes
from tamis.runner.execute import execute as execute_nodes
from tamis.runner.graph import Context, Node
from tamis.runner.inline_engine import InlineEngine
from tamis.runner.ledger import RECORD, DamagedError, read_record, verify, withdraw
from tamis.runner.product import ProductNode
from tamis.store.atomic import write_bytes
from tamis.store.location import Location
from tamis.store.workspace import Workspace, open_workspace

DOCS = toy_docs(3, 20)


def flip(path: Path) -> None:
    """Change one bit in the middle of a file. It gets an inode of its own: hard links to it stay as they are."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.unlink()
    path.write_bytes(data)


def flip_in_place(path: Path) -> None:
    """As `flip`, for all hard links of the file, as a failing disk does it."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def damaged(events: list[Event]) -> list[str]:
    """Names of the files that were told to be damaged; each is named in its line for the terminal."""
    told = [event.fields for event in events if event.kind == "file_damaged"]
    assert all(each["text"] == f"{each['file']}: damaged since it was written; it is made anew" for each in told)
    return ["/".join(Path(each["file"]).parts[-2:]) for each in told]


def forget(root: Path, step: str, *patterns: str) -> None:
    """As if work on a step had not been done: its records and card are not there."""
    folder = step_folder(root, step)
    for path in [folder / "card.json", *(path for each in patterns for path in (folder / "tasks").glob(each))]:
        path.unlink(missing_ok=True)


MARKS = ("0*.json",)
DECISIONS = (*MARKS, "decide-*.json", "combine.json")


@pytest.mark.parametrize(
    ("step", "file", "forgotten"),
    [
        ("03_measure", "shards/00001.parquet", MARKS),
        ("04_unique", "sketches/00001.parquet", DECISIONS),
        ("04_unique", "decisions/00001.parquet", (*MARKS, "combine.json")),
        ("04_unique", "decisions/combined.parquet", MARKS),
        ("04_unique", "tasks/sketch-00001.json", DECISIONS),
        ("04_unique", "tasks/combine.json", MARKS),
        ("03_measure", "tasks/00001.json", MARKS),
    ],
)
@pytest.mark.parametrize("workers", [1, 2])
def test_what_is_damaged_is_made_again(
    tmp_path: Path, step: str, file: str, forgotten: tuple[str, ...], workers: int
) -> None:
    execute(build(DOCS), tmp_path)
    before = tree(tmp_path)
    forget(tmp_path, "04_unique", *forgotten)
    flip(step_folder(tmp_path, step) / file)
    events = execute(build(DOCS), tmp_path, workers=workers)
    assert tree(tmp_path) == before
    assert damaged(events) == ([] if "tasks" in file else [file]), "a damaged record counts as none"
    assert damaged(execute(build(DOCS), tmp_path)) == []


def test_a_stored_step_in_the_middle_of_a_pass_is_made_again(tmp_path: Path) -> None:
    execute(build(DOCS), tmp_path / "w")
    flip(step_folder(tmp_path / "w", "02_shout") / "shards" / "00002.parquet")
    events = execute(build(DOCS, min_chars=1), tmp_path / "w")
    assert damaged(events) == ["shards/00002.parquet"]
    execute(build(DOCS, min_chars=1), tmp_path / "fresh")
    ours, fresh = tree(tmp_path / "w"), tree(tmp_path / "fresh")
    assert {name: ours[name] for name in fresh if "run/" not in name} == {
        name: digest for name, digest in fresh.items() if "run/" not in name
    }


def test_damage_behind_damage_is_made_again_from_the_pool(tmp_path: Path) -> None:
    execute(build(DOCS), tmp_path)
    before = tree(tmp_path)
    forget(tmp_path, "04_unique", *DECISIONS)
    for step, file in (("02_shout", "shards"), ("03_measure", "shards"), ("04_unique", "sketches")):
        for index in range(3):
            flip(step_folder(tmp_path, step) / file / f"{index:05d}.parquet")
    events = execute(build(DOCS), tmp_path, workers=2)
    assert len(damaged(events)) == 9
    assert tree(tmp_path) == before


def test_a_lost_file_is_made_again(tmp_path: Path) -> None:
    """It was there when the ledger was asked, and is not when it is read: no document may be lost for it."""
    execute(build(DOCS), tmp_path)
    before = tree(tmp_path)
    forget(tmp_path, "04_unique", *MARKS)
    shard = step_folder(tmp_path, "03_measure") / "shards" / "00001.parquet"

    def lose(event: Event) -> None:
        if event.kind == "pass_started" and event.fields["pass"] == 2:
            shard.unlink()
            lost.append(event)

    lost: list[Event] = []
    events = execute(build(DOCS), tmp_path, watch=lambda event: lose(event) if not lost else None)
    assert damaged(events) == ["shards/00001.parquet"]
    assert tree(tmp_path) == before


def test_what_is_damaged_is_not_taken_over_from_another_pool(tmp_path: Path) -> None:
    """The shards of the smaller pool are the same files, by hard links: damage is damage of both."""
    execute(build(DOCS[:2]), tmp_path / "w", name="small")
    execute(build(DOCS), tmp_path / "w", name="large")
    flip_in_place(step_folder(tmp_path / "w", "03_measure", "large") / "shards" / "00001.parquet")
    for path in (step_folder(tmp_path / "w", "04_unique", "large") / "tasks").glob("0*.json"):
        path.unlink()
    events = execute(build(DOCS), tmp_path / "w", name="large")
    assert damaged(events) == ["shards/00001.parquet"]
    execute(build(DOCS), tmp_path / "fresh", name="large")
    ours, fresh = tree(tmp_path / "w"), tree(tmp_path / "fresh")
    assert {name: ours.get(name) for name in fresh} == fresh


def test_a_finished_run_reads_no_stored_file(tmp_path: Path) -> None:
    execute(build(DOCS), tmp_path)
    flip(step_folder(tmp_path, "03_measure") / "shards" / "00001.parquet")
    assert execute(build(DOCS), tmp_path) == []


def test_a_stored_shard_is_verified_once_in_an_execution(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers do not know what others verified; the run does, and tells them."""
    given: list[bool] = []
    run = InlineEngine.run

    def watch(engine: InlineEngine, jobs: Sequence[Any], *others: Any) -> None:
        given.extend(job.verified for job in jobs if hasattr(job, "verified"))
        run(engine, jobs, *others)

    monkeypatch.setattr(InlineEngine, "run", watch)
    root = "memory://verified-once"
    execute(build(DOCS), root)
    assert given == [False] * 6, "the first pass reads the pool, the second each shard for the first time"
    workspace, verified = open_workspace(Location(root)), set[str]()
    given.clear()
    for min_chars in (1, 2):
        plan = build(DOCS, min_chars=min_chars)
        context = Context(
            workspace=workspace, engine=InlineEngine(), num_workers=1, on_event=lambda event: None, verified=verified
        )
        execute_nodes([plan_nodes("", plan, {})["03_measure"]], context, lambda node: None, lambda node: None)
    assert given == [False] * 3 + [True] * 3, "both read what shout stored"


class Letter(ProductNode):
    """Makes a file of its name and of what its inputs made."""

    kind: ClassVar[str] = "letter"
    times: ClassVar[list[str]] = []

    def __init__(self, name: str, inputs: Sequence["Letter"] = ()) -> None:
        super().__init__("", name, inputs)
        self.name, self.letters = name, inputs

    def identity(self, workspace: Workspace) -> str:
        return f"{self.name:x>20}"

    def verify_inputs(self, workspace: Workspace) -> None:
        for node in self.letters:
            node.verify(workspace)

    def make(self, folder: Location, context: Context) -> Sequence[Location]:
        self.times.append(self.name)
        parts = [(node.folder(context.workspace) / "text").read_bytes() for node in self.letters]
        write_bytes(folder / "text", b"".join([*parts, self.name.encode()]))
        return [folder / "text"]


def finish(node: Node, workspace: Workspace) -> list[str]:
    """What was told to be damaged, and what was made, in order."""
    events: list[Event] = []
    Letter.times.clear()
    context = Context(workspace=workspace, engine=InlineEngine(), num_workers=1, on_event=events.append)
    execute_nodes([node], context, lambda node: None, lambda node: None)
    return [*damaged(events), *Letter.times]


def test_a_product_is_made_again_when_what_reads_it_finds_it_damaged(tmp_path: Path) -> None:
    workspace = open_workspace(Location(tmp_path))
    first, other = Letter("a"), Letter("b")
    assert finish(Letter("c", [first, other]), workspace) == ["a", "b", "c"]
    flip((first.folder(workspace) / "text").path)
    assert finish(Letter("c", [first, other]), workspace) == [], "nothing read it"
    last = Letter("d", [first, other])
    assert finish(last, workspace) == [f"{first.folder(workspace).name}/text", "a", "d"]
    assert (last.folder(workspace) / "text").read_bytes() == b"abd"


def test_a_product_whose_record_is_damaged_is_made_again(tmp_path: Path) -> None:
    workspace, node = open_workspace(Location(tmp_path)), Letter("a")
    finish(node, workspace)
    for data in (b"", b"null", b"[]", b"{", b'{"fingerprint": []}', b"\xff\x00", b"[" * 100_000, b'"text"', b"1e999"):
        (node.folder(workspace) / RECORD).path.write_bytes(data)
        assert finish(node, workspace) == ["a"]
        assert finish(node, workspace) == []


class Slow(Letter):
    """Writes its file in parts, and goes on from those that are there, as a training does from its checkpoints."""

    resumes_from = ("parts",)

    def make(self, folder: Location, context: Context) -> Sequence[Location]:
        if not (folder / "parts" / "first").exists():
            write_bytes(folder / "parts" / "first", b"first")
        write_bytes(folder / "text", (folder / "parts" / "first").read_bytes())
        return [folder / "text", folder / "parts" / "first"]


def test_what_was_interrupted_goes_on_but_not_from_what_is_damaged(tmp_path: Path) -> None:
    workspace, slow = open_workspace(Location(tmp_path)), Slow("a")
    part = slow.folder(workspace) / "parts" / "first"
    write_bytes(part, b"begun")
    finish(slow, workspace)
    assert part.read_bytes() == b"begun", "interrupted work goes on"
    flip(part.path)
    finish(Letter("b", [slow]), workspace)
    assert part.read_bytes() == (slow.folder(workspace) / "text").read_bytes() == b"first"
    slow.verify(workspace)


class Hopeless(Letter):
    """Its file is damaged as soon as it is there."""

    def run(self, context: Context) -> None:
        super().run(context)
        flip((self.folder(context.workspace) / "text").path)


def test_what_is_damaged_again_ends_the_run(tmp_path: Path) -> None:
    workspace = open_workspace(Location(tmp_path))
    with pytest.raises(DataError, match=r"text: it is damaged, and could not be made anew.*check the disk"):
        finish(Letter("b", [Hopeless("a")]), workspace)


def test_a_withdrawn_record_stays_and_counts_as_none(tmp_path: Path) -> None:
    workspace, node = open_workspace(Location(tmp_path)), Letter("a")
    finish(node, workspace)
    place = node.folder(workspace) / RECORD
    assert set(verify(node.folder(workspace), place).outputs) == {"text"}
    withdraw(place)
    assert not node.is_done(workspace) and read_record(place) is not None
    with pytest.raises(DamagedError, match="damaged since it was written") as found:
        verify(node.folder(workspace), place)
    copy = pickle.loads(pickle.dumps(found.value))
    assert (copy.damages, str(copy)) == (found.value.damages, str(found.value))


@pytest.mark.parametrize("data", [b"", b"null", b"[]", b"{", b'{"counts": 1}', b"\xff", b"[" * 100_000])
def test_damaged_cards_and_records_are_made_again(tmp_path: Path, data: bytes) -> None:
    execute(build(DOCS), tmp_path)
    before = tree(tmp_path)
    for name in ("card.json", "tasks/00001.json"):
        (step_folder(tmp_path, "03_measure") / name).write_bytes(data)
    execute(build(DOCS), tmp_path)
    assert tree(tmp_path) == before
    (step_folder(tmp_path, "03_measure") / "card.json").write_bytes(data)
    with pytest.raises(DataError, match=r"card\.json"):
        run_at(tmp_path).cards()


def test_a_record_with_other_numbers_is_made_again(tmp_path: Path) -> None:
    execute(build(DOCS), tmp_path)
    before = tree(tmp_path)
    place = step_folder(tmp_path, "03_measure") / "tasks" / "00001.json"
    place.write_text(place.read_text().replace('"kept": 1', '"kept": 2', 1))
    execute(build(DOCS), tmp_path)
    assert tree(tmp_path) == before


class WithList(Measure):
    """Reads a file that the user named."""

    class Settings(Measure.Settings):
        words: str

    config: Settings

    def assets(self) -> dict[str, str]:
        return {"words": self.config.words}

    def open(self, context: StageContext) -> None:
        self.found = context.assets["words"].read_text()


@pytest.mark.parametrize("size", [1, 2 << 20])
@pytest.mark.parametrize("change", ["replaced", "deleted"])
def test_a_file_of_the_user_that_changes_ends_the_run(tmp_path: Path, size: int, change: str) -> None:
    words = tmp_path / "words.txt"
    words.write_text("a" * size)
    plan = plan_of(ToyPool(ToyPool.Settings(shards=DOCS)), [WithList(WithList.Settings(words=str(words)))])
    words.unlink()
    if change == "replaced":
        words.write_text("b" * size)
    with pytest.raises(DataError, match=r"words\.txt was changed or replaced while the run was using it"):
        execute(plan, tmp_path / "w")
    assert not list((tmp_path / "w").rglob("tasks/*.json"))
    words.write_text("a" * size)
    assert execute(plan, tmp_path / "w"), "the same file again is the same work"


def test_a_tokenizer_is_not_trained_on_damaged_documents(tmp_path: Path) -> None:
    docs: Docs = [[[f"{shard}-{n}", f"text number {n} of shard {shard}"] for n in range(20)] for shard in range(2)]
    plan = build(docs)
    execute(plan, tmp_path)
    before = tree(tmp_path)
    shard = step_folder(tmp_path, "04_unique") / "shards" / "00001.parquet"
    workspace = open_workspace(Location(tmp_path))
    flip(shard)
    given = TokenizerNode("", Dataset.of_run(run_at(tmp_path)), 257)
    with pytest.raises(
        DataError, match=r"00001\.json: it is damaged, and could not be made anew|00001\.parquet: it is"
    ):
        finish(given, workspace)
    node = TokenizerNode("", Dataset.of(plan, plan.steps[-1], plan_nodes("", plan, {})["04_unique"]), 257)
    assert finish(node, workspace) == [], "the run was told before that it has to make the shard anew"
    assert {name: digest for name, digest in tree(tmp_path).items() if "tokenizer-" not in name} == before
    flip(shard)
    other = TokenizerNode("", node.documents, 258)
    assert finish(other, workspace) == ["shards/00001.parquet"]
    assert {name: digest for name, digest in tree(tmp_path).items() if "tokenizer-" not in name} == before
