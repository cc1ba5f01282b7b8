"""Every bad file through the pool, the extraction and the measures of every rule set, one process per file: healthy
documents arrive as they are, what is wrong is told, time and memory are bounded."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from corpus import Healthy, HostileFile, hostile_files, write_files
from reader import digest

CPU_SECONDS = 10
MEMORY_BYTES = 1 << 30
"""What a page may take, beyond what the process has before it."""
ENOUGH_BYTES = 4 << 30
"""What a process may ask for: far more, so that it is measured and not refused, and the machine is safe."""

FILES = hostile_files()
ERROR = re.compile(r"[a-z][a-z0-9_]*: \S", re.ASCII)


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, dict[str, Any]]]:
    """What the reader found in each file, by name; in '' what it found in an empty file."""
    folder = tmp_path_factory.mktemp("hostile")
    paths = [*write_files(folder, FILES), folder / "nothing.jsonl"]
    paths[-1].write_bytes(b"")
    command = [sys.executable, str(Path(__file__).with_name("reader.py")), str(CPU_SECONDS), str(ENOUGH_BYTES)]
    done = subprocess.run([*command, *map(str, paths)], capture_output=True, text=True, env=os.environ, check=False)
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    yield dict(zip([*(file.name for file in FILES), ""], lines, strict=True))


def arrived(healthy: Healthy, row: dict[str, Any]) -> bool:
    """Whether a row is a healthy document, byte for byte."""
    if row["error"] is not None or row["drop_reason"] is not None:
        return False
    if healthy.content is not None:
        return bool(row["content"] == digest(healthy.content))
    assert healthy.text is not None
    extra = json.loads(row["extra"] or "{}")
    whole = all(json.dumps(extra.get(name)) == json.dumps(value) for name, value in healthy.extra.items())
    return whole and bool(row["text"] == digest(healthy.text.encode()))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_a_bad_file_costs_what_is_bad_in_it(file: HostileFile, answers: dict[str, dict[str, Any]]) -> None:
    answer = answers[file.name]
    assert answer["exit"] == 0, f"ended with {answer['exit']} after {answer['cpu_seconds']:.1f} s of {CPU_SECONDS}"
    assert answer["raised"] == [], "a stage raised: the runner would look for the row, which is slow and loses it"
    rows = {row["url"]: row for row in answer["rows"]}
    for healthy in file.healthy:
        assert healthy.url in rows, f"{healthy.url} was lost"
        assert arrived(healthy, rows[healthy.url]), rows[healthy.url]
    errors = [row["error"] for row in answer["rows"] if row["error"] is not None]
    assert len(errors) >= file.quarantined, "a bad row is not told"
    assert all(ERROR.match(error) for error in errors), errors
    if file.kinds:
        assert file.kinds & {error.partition(":")[0] for error in errors}, errors
    if file.noted:
        assert errors or file.noted & set(answer["notes"]), f"lost in silence: {answer['notes']}"
    assert answer["rows"] or answer["notes"], "a file that gives nothing is not told"
    assert all(re.fullmatch("[0-9a-f]{32}", row["id"]) for row in answer["rows"])


def test_no_file_takes_more_memory_than_a_page_may(answers: dict[str, dict[str, Any]]) -> None:
    idle = answers[""]["memory_bytes"]
    took = {name: answer["memory_bytes"] - idle for name, answer in answers.items()}
    assert {name: size >> 20 for name, size in took.items() if size > MEMORY_BYTES} == {}
