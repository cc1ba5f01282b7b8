"""Makes a run over pages and records of many kinds, and exports it."""

import json
from pathlib import Path
from typing import Any

import yaml

from tamis import commands, flow
from tamis.export.plan import Options, make_plan
from tamis.export.write import export
from tamis.export.written import Exported
from tamis.store.location import Location
from tamis.store.rundir import RunDir
from tamis.store.warc_write import response_record, warcinfo_record, write_warc
from tamis.store.workspace import open_workspace

DATE = "2026-01-01T00:00:00Z"
PROSE = (
    "The garden of the village lies behind the old market, and in summer its {n} visitors sit under the trees, drink "
    "tea, and talk about the flowers that they have planted with their neighbours in the years before. "
)
STAGES: list[dict[str, Any]] = [
    {"extract": {}},
    {"filter": {"rules": "none", "keep_languages": ["en"]}},
    {"dedup": {"method": "exact"}},
    {"filter": {"rules": "none", "keep_languages": [],
                "own_rules": [{"column": "url", "op": "matches", "threshold": "unwanted", "reason": "unwanted"}]}},
]  # fmt: skip


def records() -> list[dict[str, Any]]:
    """Records with fields that come late, change their kind, or are called as one of ours."""
    rows: list[dict[str, Any]] = [
        {"text": PROSE.format(n=n) * 2, "url": f"https://site{n % 5}.example/{n}", "score": n} for n in range(24)
    ]
    rows[3] |= {"id": "theirs-3", "tags": ["a", "b"], "author": {"name": "Åsa", "age": 40}}
    rows[5] |= {"score": 0.5, "author": {"name": None, "mail": "a@b.example"}, "large": 3**80}
    rows[7] |= {"mixed": [1, "x", {"k": []}], "source": "a-magazine", "created": "2001-02-03T00:00:00Z"}
    rows[8] |= {"mixed": "plain", "metadata": {"WARC-Date": "2019-05-06T07:08:09Z", "X-Late": "yes"}}
    rows[9] |= {"metadata": {"depth": 3, "nested": {"a": [1]}}, "text": rows[9]["text"] + '\u2028\0 𝄞 "quoted"\n'}
    rows[10] |= {"url": rows[11]["url"], "text": rows[11]["text"]}
    rows[12] |= {"url": "https://unwanted.example/"}
    rows[13] = {"text": "Der Hund und die Katze gehen an einem schönen Tag in den Wald zu den alten Bären. " * 4}
    rows[14].pop("url")
    return rows


def write_pool(folder: Path) -> list[str]:
    """Two JSONL files, one of them with a line that is no record, and a WARC file."""
    folder.mkdir(parents=True)
    rows = [json.dumps(row) for row in records()]
    (folder / "a.jsonl").write_text("\n".join(rows[:10]) + "\n")
    (folder / "b.jsonl").write_text("\n".join([*rows[10:], "{nope"]) + "\n")
    pages = [
        response_record(
            f"https://pages.example/{n}", f"<html><body><p>{PROSE.format(n=100 + n)}</p></body></html>".encode(),
            "text/html; charset=utf-8", DATE,
        )
        for n in range(6)
    ]  # fmt: skip
    write_warc(folder / "c.warc.gz", [warcinfo_record("c.warc.gz", {"software": "test"}, DATE), *pages])
    return [str(folder / name) for name in ("a.jsonl", "b.jsonl", "c.warc.gz")]


def run_recipe(root: Path, name: str = "mine", stages: Any = None, inputs: list[str] | None = None) -> RunDir:
    """A run in the workspace `root`/runs."""
    session = commands.Session(
        workspace=open_workspace(Location(root / "runs")), num_workers=1, on_event=lambda event: None
    )
    raw = {"name": name, "stages": STAGES if stages is None else stages, "quarantine_budget": 0.5}
    (root / f"{name}.yaml").write_text(yaml.safe_dump(raw))
    resolved = flow.resolve(raw, inputs or write_pool(root / "pool"))
    return commands.run_recipe(session, flow.compile_run(name, resolved))


def export_run(run: RunDir, folder: Any, layout: str, workers: int = 1, **options: Any) -> Exported:
    plan = make_plan(run, Options(layout=layout, **options))
    return export(plan, Location(folder), workers, lambda done, total: None)


def contents(folder: Any) -> dict[str, bytes]:
    """All files of a folder by relative path."""
    place = Location(folder)
    return {file.relative_to(place): file.read_bytes() for file in place.files()}
