"""Runs: which artefacts belong to one, and the log of its events."""

import pytest

from tamis.base.cards import Card
from tamis.base.errors import ConfigError
from tamis.base.events import Event
from tamis.store.atomic import write_bytes, write_json, write_text
from tamis.store.location import Location
from tamis.store.remote import filesystem
from tamis.store.rundir import EventLog, Product, RunDir, StageDir, open_run, read_events
from tamis.store.workspace import open_workspace


@pytest.fixture
def run(place: str) -> RunDir:
    workspace = open_workspace(Location(place))
    write_text(workspace.root / "mine/recipe.yaml", "name: mine\n")
    run = RunDir(workspace.root / "mine")
    run.record_steps({"00_pool": "pool-1", "01_filter": "filter-1"}, [])
    return run


def finish(run: RunDir, step: str) -> StageDir:
    folder = run.stage(step)
    card = Card(kind="stage", name=step, version=1, fingerprint="f", parents=[], config={}, tamis_version="0")
    write_json(folder.card, card.to_dict())
    return folder


def test_a_run_knows_its_artefacts(run: RunDir) -> None:
    opened = open_run(str(run.root))
    assert opened.name == "mine" and opened.steps() == {"00_pool": "pool-1", "01_filter": "filter-1"}
    assert opened.stage("01_filter").root == opened.workspace.artefact("filter-1")
    assert opened.cards() == [] and opened.dataset() is None and opened.tokens() is None
    pool = finish(run, "00_pool")
    write_bytes(pool.shard(0), b"")
    assert [step for step, _ in opened.cards()] == ["00_pool"]
    dataset = opened.dataset()
    assert dataset is not None and dataset.root == pool.root
    write_json(finish(run, "01_filter").tokens / "manifest.json", {})
    assert opened.tokens() == run.stage("01_filter").tokens
    run.record_steps({"00_pool": "pool-1", "01_filter": "filter-1", "02_dedup": "dedup-1"}, [])
    assert opened.tokens() is None, "tokens of a run that is not finished are not its tokens"


def test_a_run_cut_short_changes_nothing_and_products_stay(run: RunDir) -> None:
    made = Product(kind="model", artefact="model-1", settings={"seed": 0, "data": "d"})
    run.add_product(made)
    run.add_product(Product(kind="evaluation", artefact="evaluation-1", settings={"seed": 0, "data": "d"}))
    run.add_product(made)
    assert run.products("model") == [made]
    assert not run.record_steps({"00_pool": "pool-1"}, [])
    assert list(run.steps()) == ["00_pool", "01_filter"]
    assert run.record_steps({"00_pool": "pool-2"}, [])
    assert run.steps() == {"00_pool": "pool-2"} and run.products("model") == [made]


def test_the_newest_event_tells_of_a_failure_and_the_artefacts_of_all_else(run: RunDir) -> None:
    def happens(kind: str, **fields: str) -> None:
        run.log.write(Event(kind=kind, fields=fields))
        run.log.flush()

    assert run.state() == ("unfinished", "")
    happens("run_started")
    assert run.state() == ("unfinished", "")
    happens("run_failed", error="no disk")
    happens("note", text="what follows a failure")
    assert run.state() == ("failed", "no disk")
    happens("run_started")
    assert run.state() == ("unfinished", "")
    finish(run, "00_pool")
    assert run.state() == ("unfinished", "")
    finish(run, "01_filter")
    assert run.state() == ("finished", ""), "by this run or another"


def test_what_is_no_run_is_refused(place: str) -> None:
    with pytest.raises(ConfigError, match=r"no run here \(run\.json is missing\).*tamis run RECIPE"):
        open_run(Location(place) / "none")


def event(second: float, kind: str = "note") -> Event:
    return Event(kind=kind, fields={"at": second}, time=second)


def test_events_come_back_in_order(place: str) -> None:
    log = EventLog(Location(place) / "run/events.jsonl")
    for second in range(3):
        log.write(event(second))
    log.flush()
    EventLog(log.place).write(event(9.0, "run_finished"))
    assert [line["at"] for line in read_events(log.place)] == [0, 1, 2, 9]
    assert read_events(Location(place) / "none") == []


def test_a_line_cut_off_by_a_crash_is_left_out(place: str) -> None:
    file = Location(place) / "events.jsonl"
    write_bytes(file, b'{"kind": "note", "at": 1}\n{"kind": "note", "at": 2}\n{"kind": "no')
    assert [line["at"] for line in read_events(file)] == [1, 2]


def test_a_bucket_is_written_every_few_seconds_and_at_the_end(s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fs, uploads = filesystem(s3), []
    put_file = fs.put_file
    monkeypatch.setattr(fs, "put_file", lambda path, uri: (uploads.append(uri), put_file(path, uri)))
    log = EventLog(Location(s3) / "events.jsonl")

    def seen() -> list[float]:
        return [line["at"] for line in read_events(log.place)]

    log.write(event(100.0))
    assert seen() == [100], "the first event is there at once"
    for second in (101.0, 102.0, 104.9):
        log.write(event(second))
    assert seen() == [100] and len(uploads) == 1
    log.write(event(105.0))
    assert seen() == [100, 101, 102, 104.9, 105] and len(uploads) == 2
    log.write(event(106.0, "run_failed"))
    assert seen()[-1] == 106 and len(uploads) == 3
    log.flush()
    assert len(uploads) == 3, "nothing new, nothing written"
