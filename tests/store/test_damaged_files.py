"""Files of a workspace with anything in them but what was written: one clear error, or they count as missing."""

import os
import re
from pathlib import Path
from typing import Any

import orjson
import pytest

from tamis import answers
from tamis.base.errors import ConfigError, DataError, StorageError, TamisError
from tamis.base.events import Event
from tamis.console.status import status_data
from tamis.store.atomic import write_bytes, write_json
from tamis.store.location import Location
from tamis.store.rundir import EventLog, Product, RunDir, read_card, read_events
from tamis.store.tokens import has_manifest, read_manifest, vocab_size
from tamis.store.workspace import FORMAT, Workspace, existing_workspace, open_workspace, workspace_of

GARBAGE: dict[str, bytes] = {
    "empty": b"", "null": b"null", "list": b"[]", "number": b"7", "text": b'"text"', "torn": b'{"steps": [{"step": "01',
    "binary": bytes(range(256)), "deep": b"[" * 100_000, "deep objects": b'{"a":' * 100_000, "infinite": b"1e999",
    "other": b'{"a": 1}',
    "nulls": b'{"steps": null, "uses": null, "products": null, "graph": null, "fingerprint": null}',
    "types": b'{"steps": "ab", "uses": 5, "products": {"a": 1}, "graph": 3, "counts": [], "details": 1}',
    "items": b'{"steps": [5], "uses": [null], "products": [[]], "graph": [{"artefacts": 5}], "fingerprint": [1]}',
}  # fmt: skip
garbage = pytest.mark.parametrize("data", GARBAGE.values(), ids=GARBAGE)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return open_workspace(Location(tmp_path / "w"))


@pytest.fixture
def run(workspace: Workspace) -> RunDir:
    run = RunDir(workspace.root / "mine")
    run.record_steps({"01_pool": "pool-1-2"}, ["tokenizer-1"])
    run.add_product(Product(kind="model", artefact="model-1", settings={"seed": 0, "data": "d"}))
    write_bytes(run.recipe, b"name: mine\n")
    return run


def one_error(call: Any, *arguments: Any) -> str:
    """The message of the error that a user sees; it names a file."""
    with pytest.raises(TamisError) as found:
        call(*arguments)
    return str(found.value)


@garbage
def test_run_json(run: RunDir, data: bytes) -> None:
    write_bytes(run.root / "run.json", data)
    for call in (run.steps, run.uses, run.cards, run.state, run.dataset, run.tokens, lambda: run.products("model"),
                 lambda: status_data(run), lambda: run.record_steps({"01_pool": "x-1-2"}, []),
                 lambda: answers.unreferenced(run.workspace), lambda: answers.clean(run.workspace)):  # fmt: skip
        message = one_error(call)
        assert message.startswith(f"{run.root}/run.json: this file is damaged. Delete it, and type the commands")
    assert (run.root / "run.json").read_bytes() == data


@pytest.mark.parametrize("name", ["../../etc", "..", "", 5, None])
def test_run_json_names_nothing_outside_the_workspace(run: RunDir, name: Any) -> None:
    write_json(run.root / "run.json", {"steps": [{"step": "01_pool", "artefact": name}], "uses": [], "products": []})
    assert "run.json: this file is damaged" in one_error(run.steps)


@garbage
def test_experiment_json(workspace: Workspace, data: bytes) -> None:
    write_bytes(workspace.root / "small" / "experiment.json", data)
    write_bytes(workspace.artefact("pool-0123456789ab-01234567") / "card.json", b"{}")
    for call in (answers.unreferenced, answers.clean):
        assert "experiment.json: this file is damaged" in one_error(call, workspace)
    assert workspace.artefacts()


@garbage
def test_workspace_json(tmp_path: Path, data: bytes) -> None:
    write_bytes(tmp_path / "workspace.json", data)
    for call in (open_workspace, existing_workspace, workspace_of):
        with pytest.raises(ConfigError, match=r"workspace\.json|another version"):
            call(Location(tmp_path))
    assert (tmp_path / "workspace.json").read_bytes() == data


def test_a_damaged_workspace_json_is_mended_as_the_message_says(tmp_path: Path) -> None:
    write_bytes(tmp_path / "workspace.json", b"")
    message = one_error(open_workspace, Location(tmp_path))
    (line,) = re.findall(r"nothing else: (\{.*\})", message)
    (tmp_path / "workspace.json").write_text(line)
    assert open_workspace(Location(tmp_path)) and orjson.loads(line) == FORMAT


@garbage
def test_cards(workspace: Workspace, data: bytes) -> None:
    place = workspace.artefact("pool-1-2") / "card.json"
    write_bytes(place, data)
    with pytest.raises(DataError, match=r"card\.json"):
        read_card(place)


@garbage
def test_manifests(workspace: Workspace, data: bytes) -> None:
    folder = workspace.artefact("tokenize-1-2") / "tokens"
    write_bytes(folder / "manifest.json", data)
    assert not has_manifest(folder)
    with pytest.raises(DataError, match=r"manifest\.json"):
        read_manifest(folder)


def test_a_manifest_of_which_one_number_changed_is_damaged(workspace: Workspace) -> None:
    from tamis.base.hashing import fingerprint

    folder = workspace.artefact("tokenize-1-2") / "tokens"
    manifest: dict[str, Any] = {"num_tokens": 5, "shards": []}
    write_json(folder / "manifest.json", manifest | {"fingerprint": fingerprint(manifest)})
    assert read_manifest(folder)["num_tokens"] == 5
    write_json(folder / "manifest.json", manifest | {"fingerprint": fingerprint(manifest), "num_tokens": 6})
    assert not has_manifest(folder)


@garbage
def test_recipes_of_runs(run: RunDir, data: bytes) -> None:
    write_bytes(run.recipe, data)
    assert not run.has_recipe()
    assert "recipe.yaml" in one_error(lambda: run.name)
    run.recipe.delete_file()
    assert "recipe.yaml: damaged (missing)" in one_error(run.read_recipe)


@garbage
def test_events(run: RunDir, data: bytes) -> None:
    place = run.root / "events.jsonl"
    write_bytes(place, b'{"kind": "run_started"}\n' + data)
    for kind in ("run_finished", "note"):
        run.log.write(Event(kind=kind))
    EventLog(place).write(Event(kind="run_failed", fields={"error": "it broke"}))
    assert [event["kind"] for event in read_events(place)] == ["run_started", "run_finished", "note", "run_failed"]
    assert run.state() == ("failed", "it broke")


def test_a_torn_line_takes_no_event_with_it(place: str) -> None:
    file = Location(place) / "run" / "events.jsonl"
    write_bytes(file, b'{"kind": "note", "at": 1}\n{"kind": "no')
    log = EventLog(file)
    for number in (2, 3):
        log.write(Event(kind="note", fields={"at": number}))
    log.flush()
    assert [event["at"] for event in read_events(file)] == [1, 2, 3]


@garbage
def test_tokenizers(tmp_path: Path, data: bytes) -> None:
    write_bytes(tmp_path / "tokenizer.json", data)
    with pytest.raises(ConfigError, match=r"tokenizer\.json"):
        vocab_size(Location(tmp_path / "tokenizer.json"))


@pytest.mark.parametrize("number", ["-1", '"5"', "1099511627776", "1.5", "null", "true", "[]"])
@pytest.mark.parametrize(
    "text", ['{"model": {"vocab": {"a": 0, "b": %s}}}', '{"model": {"vocab": {"a": 0}}, "added_tokens": [{"id": %s}]}']
)
def test_ids_of_tokenizers(tmp_path: Path, number: str, text: str) -> None:
    (tmp_path / "tokenizer.json").write_text(text % number)
    with pytest.raises(ConfigError, match="ids are whole numbers from 0 to 16,777,215"):
        vocab_size(Location(tmp_path / "tokenizer.json"))


def test_names_that_are_too_long(tmp_path: Path) -> None:
    assert "can be no folder" in one_error(open_workspace, Location(tmp_path / ("x" * 300)))
    with pytest.raises(StorageError, match="the name is too long"):
        write_bytes(tmp_path / ("x" * 300), b"")
    assert os.listdir(tmp_path) == []  # noqa: PTH208
