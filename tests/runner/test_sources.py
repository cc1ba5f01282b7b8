"""Documents by source: what stands on the card, when a run stops, and what lets it go on."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from harness import execute, plan_of, run_at, tree
from toy import Measure, Shout, SitePool, Speak, Unique

from tamis.base.cards import Counts
from tamis.base.errors import BudgetError
from tamis.base.hosts import Hosts, host_of
from tamis.base.recipe import SourceAlarm
from tamis.base.signals import Rule
from tamis.base.stage import Stage
from tamis.runner import source_accounts, sources
from tamis.runner.ledger import Record
from tamis.runner.plan import Plan
from tamis.runner.source_accounts import folders_of
from tamis.runner.sources import TABLE, SourceTally, is_gone
from tamis.store.atomic import read_json
from tamis.store.location import Location
from tamis.store.shards import read_table, write_table

SMALL = SourceAlarm(min_documents=10)
Docs = list[list[list[str | None]]]


def pages(host: str, number: int, text: str = "en text number {n}", first: int = 0) -> list[list[str | None]]:
    return [[f"{host}/{n}", text.format(n=n)] for n in range(first, first + number)]


def plan(docs: Docs, *more: Stage, log: str = "", **changes: Any) -> Plan:
    """Shout (stored), languages, Measure, and what else a test asks for."""
    stages = [Shout(Shout.Settings(log=log)), Speak(Speak.Settings()), Measure(Measure.Settings(min_chars=6)), *more]
    return plan_of(SitePool(SitePool.Settings(shards=docs)), stages, **({"source_alarm": SMALL} | changes))


def accounts(root: Any, step: str, by: str) -> dict[str, Any]:
    found: dict[str, Any] = read_json(run_at(root).stage(step).card)["details"]["sources"][by]
    return found


def named(listed: Sequence[dict[str, Any]]) -> dict[str, tuple[int, int]]:
    return {source["name"]: (source["in"], source["kept"]) for source in listed}


MIXED: Docs = [
    [*pages("a.example", 4), *pages("b.example", 3, "en {n}"), ["b.example/broken", None]],
    [*pages("a.example", 2, first=4), *pages("c.example", 1, "de Text Nummer {n}"), ["/no-host", "en text at home"]],
    [*pages("a.example", 1, "fr {n}", first=9)],
]


def test_the_card_has_the_documents_of_every_source(tmp_path: Path) -> None:
    execute(plan(MIXED), tmp_path)
    hosts = accounts(tmp_path, "04_measure", "host")
    assert named(hosts["largest"]) == {"a.example": (7, 6), "b.example": (3, 0), "c.example": (1, 1), "": (1, 1)}
    assert (hosts["number"], hosts["rest"]) == (4, {"in": 0, "kept": 0})
    assert hosts["largest"][1]["gone"] == {"too_short": 3}
    assert named(accounts(tmp_path, "04_measure", "input")["largest"]) == {"s0": (7, 4), "s1": (4, 4), "s2": (1, 0)}
    assert named(accounts(tmp_path, "04_measure", "folder")["largest"]) == {"part0": (8, 4), "part1": (4, 4)}
    assert named(accounts(tmp_path, "04_measure", "language")["largest"]) == {"en": (10, 7), "de": (1, 1), "fr": (1, 0)}


def test_a_step_that_takes_nothing_has_nothing_to_tell(tmp_path: Path) -> None:
    execute(plan(MIXED), tmp_path)
    assert read_json(run_at(tmp_path).stage("02_shout").card)["details"]["sources"] == {}


def test_a_quarantined_document_is_one_that_its_source_lost(tmp_path: Path) -> None:
    execute(plan(MIXED), tmp_path)
    assert accounts(tmp_path, "01_pool", "host")["largest"][1] == {
        "name": "b.example", "in": 4, "kept": 3, "gone": {"quarantined: truncated_record": 1},
    }  # fmt: skip
    assert "language" not in read_json(run_at(tmp_path).stage("01_pool").card)["details"]["sources"]


def test_the_worst_hit_are_sources_of_some_size(tmp_path: Path) -> None:
    docs = [[*pages("good.example", 30), *pages("bad.example", 12, "en {n}"), *pages("tiny.example", 2, "en {n}")]]
    execute(plan(docs, allow_sources="all"), tmp_path)
    assert [source["name"] for source in accounts(tmp_path, "04_measure", "host")["worst"]] == ["bad.example"]


def test_the_same_bytes_for_any_number_of_workers(tmp_path: Path) -> None:
    docs = [pages(f"host{n % 3}.example", 20 + n, "en text {n}", first=n * 100) for n in range(5)]
    for workers in (1, 3):
        execute(plan(docs, Unique(Unique.Settings())), tmp_path / str(workers), workers)
    assert tree(tmp_path / "1") == tree(tmp_path / "3")
    assert any("/sources/00004.parquet" in name for name in tree(tmp_path / "1"))


GOOD = [pages("good.example", 40), pages("fine.example", 40, "fr texte {n}", first=50)]


def bad_host() -> Docs:
    """One host of 20 pages, of which Measure takes 19, in two files."""
    bad = [*pages("bad.example", 19, "en {n}"), ["bad.example/long", "en a long one"]]
    return [[*GOOD[0], *bad[:10]], [*GOOD[1], *bad[10:]]]


def test_a_step_that_takes_nearly_all_of_a_host_stops_the_run(tmp_path: Path) -> None:
    with pytest.raises(BudgetError) as found:
        execute(plan(bad_host()), tmp_path)
    text = str(found.value)
    assert "  04_measure: host bad.example: 20 in, 1 kept; most went as 'too_short', for example bad.example/0" in text
    assert "--set 'allow_sources=[\"bad.example\"]'" in text
    assert text.count("\n") == 2, "other sources are not named"


def test_after_it_was_allowed_the_run_goes_on_from_what_is_finished(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with pytest.raises(BudgetError):
        execute(plan(bad_host(), Unique(Unique.Settings()), log=str(log)), tmp_path / "w")
    done = log.read_text()
    allowed = plan(bad_host(), Unique(Unique.Settings()), log=str(log), allow_sources=["bad.example"])
    events = execute(allowed, tmp_path / "w")
    assert log.read_text() == done, "no batch was shouted again"
    started = [event.fields["stages"] for event in events if event.kind == "pass_started"]
    assert started == [["05_unique (decide)"], ["05_unique (combine)"], ["05_unique"]]
    assert named(accounts(tmp_path / "w", "04_measure", "host")["worst"]) == {"bad.example": (20, 1)}


def test_what_another_run_allowed_this_run_does_not(tmp_path: Path) -> None:
    execute(plan(bad_host(), allow_sources="all"), tmp_path, name="generous")
    with pytest.raises(BudgetError, match=r"host bad\.example"):
        execute(plan(bad_host()), tmp_path, name="strict")


@pytest.mark.parametrize(
    ("changes", "stops"),
    [
        ({"allow_sources": ["other.example"]}, True),
        ({"allow_sources": ["other.example", "bad.example"]}, False),
        ({"allow_sources": "all"}, False),
        ({"source_alarm": SourceAlarm()}, False),
        ({"source_alarm": SourceAlarm(min_documents=20)}, True),
        ({"source_alarm": SourceAlarm(min_documents=21)}, False),
        ({"source_alarm": SourceAlarm(min_documents=10, min_share=0.2)}, True),
        ({"source_alarm": SourceAlarm(min_documents=10, min_share=0.21)}, False),
        ({"source_alarm": SourceAlarm(min_documents=10, max_removed=0.96)}, False),
    ],
)
def test_what_is_allowed_and_what_is_large_are_settings(changes: dict[str, Any], stops: bool, tmp_path: Path) -> None:
    if not stops:
        execute(plan(bad_host(), **changes), tmp_path)
        return
    with pytest.raises(BudgetError, match=r"bad\.example"):
        execute(plan(bad_host(), **changes), tmp_path)


def test_an_input_and_a_folder_that_are_lost(tmp_path: Path) -> None:
    docs = [GOOD[0], [[f"h{n}.example/{n}", "en x"] for n in range(15)], GOOD[1]]
    with pytest.raises(BudgetError) as found:
        execute(plan(docs), tmp_path)
    assert "04_measure: input s1: 15 in, 0 kept; most went as 'too_short', for example h0.example/0" in str(found.value)
    assert "04_measure: folder part1: 15 in, 0 kept" in str(found.value)
    execute(plan(docs, allow_sources=["s1", "part1"]), tmp_path)


def test_a_language_that_is_lost(tmp_path: Path) -> None:
    docs = [[*GOOD[0], *([f"h{n}.example/{n}", "de x" if n < 15 else "en y"] for n in range(17))]]
    with pytest.raises(BudgetError) as found:
        execute(plan(docs), tmp_path)
    said = "04_measure: language de: 15 in, 0 kept; most went as 'too_short', for example h0.example/0, h1.example/1"
    assert said in str(found.value)


def test_a_language_that_the_settings_name_is_meant_to_go(tmp_path: Path) -> None:
    docs = [[*GOOD[0], *pages("german.example", 15, "de Text Nummer {n}")]]
    stages: list[Stage] = [Shout(Shout.Settings()), Speak(Speak.Settings(unwanted=["de"]))]
    execute(plan_of(SitePool(SitePool.Settings(shards=docs)), stages, source_alarm=SMALL), tmp_path)
    assert named(accounts(tmp_path, "03_speak", "host")["largest"])["german.example"] == (15, 0)
    assert named(accounts(tmp_path, "03_speak", "language")["largest"]) == {"en": (40, 40), "de": (15, 0)}


def test_a_rule_that_takes_as_much_of_everything_is_no_alarm(tmp_path: Path) -> None:
    few = [[*pages(f"h{n}.example", 39, "en {n}"), *pages(f"h{n}.example", 1, first=50)] for n in range(3)]
    execute(plan(few), tmp_path)
    assert named(accounts(tmp_path, "04_measure", "host")["largest"])["h1.example"] == (40, 1)


def test_deduplication_that_takes_nearly_all_of_everything_is_one(tmp_path: Path) -> None:
    same = [pages("one.example", 40, "en the same text")]
    with pytest.raises(BudgetError) as found:
        execute(plan(same, Unique(Unique.Settings())), tmp_path)
    assert "05_unique: host one.example: 40 in, 1 kept; most went as 'duplicate'" in str(found.value)


def test_a_reason_is_chosen_where_its_rule_compares_labels() -> None:
    def compares(op: str, threshold: Any) -> bool:
        return Rule(reason="r", column="c", op=op, threshold=threshold, source="").compares_labels

    assert compares("not_in", ("en", "de")) and compares("==", "x") and compares("matches", "x.*")
    assert not compares("<", 3) and not compares("in", (1.0, 2.0)) and not compares("==", True)


def test_counts_are_the_same_however_often_they_go_to_the_file(memory: str, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = ("en", "en text number {n}")
    docs = [[page for n in range(30) for page in pages(f"h{n % 7}.example", 3, texts[n % 2], first=n * 10)]]
    execute(plan(docs), f"{memory}/once")
    monkeypatch.setattr(sources, "MOST_ROWS", 8)  # seen by the engine of a workspace in memory: it is in this process
    execute(plan(docs), f"{memory}/often")
    once, often = (accounts(f"{memory}/{name}", "04_measure", "host") for name in ("once", "often"))
    assert once == often and once["number"] == 7
    files = [run_at(f"{memory}/{name}").stage("04_measure").sources(0) for name in ("once", "often")]
    few, many = (read_table(file).num_rows for file in files)
    assert many > 2 * few


def test_what_goes_to_the_file_does_not_depend_on_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "MOST_ROWS", 50)
    random = np.random.default_rng(1)
    rows = pa.RecordBatch.from_pydict({
        "drop_reason": random.choice(["short", "long", None], 300).tolist(),
        "error": [None if value else "Kind: of error" for value in random.integers(0, 9, 300)],
        "language": random.choice(["en", "de", None], 300).tolist(),
    })  # fmt: skip
    hosts = random.choice([f"h{n}.example" for n in range(40)], 300).astype(object)

    def lines(size: int) -> pa.Table:
        tally = SourceTally()
        found: list[pa.RecordBatch] = []
        for first in range(0, 300, size):
            part = rows.slice(first, size)
            found += tally.add(hosts[first : first + size], part, is_gone(part))
        return pa.Table.from_batches([*found, *tally.flush()], schema=TABLE)

    whole = lines(300)
    assert whole.num_rows > 100
    for size in (1, 7, 50, 128):
        assert lines(size) == whole


def test_millions_of_hosts_are_counted_in_bounded_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With room for 100 names, of 3,000: the frequent ones are on the card with exact counts, in any order of files."""
    monkeypatch.setattr(source_accounts, "MOST_NAMES", 100)
    monkeypatch.setattr(source_accounts, "LINES_AT_ONCE", 64)
    monkeypatch.setattr(source_accounts, "CANDIDATES", 40)
    places, records, held = [], [], list[int]()
    for number in range(30):
        rows = [("host", f"rare{number}-{n}.example", "", 1) for n in range(100)]
        rows += [("host", "often.example", "", 40), ("host", "often.example", "short", 39)]
        rows += [("host", f"late{n}.example", "", 20) for n in range(3) if number > 14]
        places.append(Location(tmp_path / f"{number}.parquet"))
        write_table(places[-1], pa.Table.from_pylist([dict(zip(TABLE.names, row, strict=True)) for row in rows], TABLE))
        records.append(Record(fingerprint="f"))
    shards = SitePool(SitePool.Settings(shards=[[] for _ in places])).shards()
    total = Counts(rows_in=30 * 140 + 900, kept=30 * 101 + 900)
    summed = source_accounts._summed

    def watched(parts: Any) -> pa.Table:
        found = summed(parts)
        held.append(found.num_rows)
        return found

    monkeypatch.setattr(source_accounts, "_summed", watched)
    found = source_accounts.source_accounts(shards, records, places, total)["host"]
    assert found["number"] is None
    assert found["largest"][0] == {"name": "often.example", "in": 1200, "kept": 30, "gone": {"short": 1170}}
    assert named(found["largest"][1:4]) == {f"late{n}.example": (300, 300) for n in range(3)}
    assert sum(source["in"] for source in found["largest"]) + found["rest"]["in"] == total.rows_in
    assert max(held) < 400, "lines in memory at once"
    backwards = source_accounts.source_accounts(shards, records, places[::-1], total)["host"]
    assert backwards["largest"][:4] == found["largest"][:4]


def test_the_counts_lie_beside_the_removed_rows(tmp_path: Path) -> None:
    execute(plan(MIXED), tmp_path)
    table = read_table(run_at(tmp_path).stage("04_measure").sources(0))
    assert table.filter(pa.compute.equal(table["by"], "host")).to_pylist() == [
        {"by": "host", "name": "a.example", "reason": "", "documents": 4},
        {"by": "host", "name": "b.example", "reason": "", "documents": 3},
        {"by": "host", "name": "b.example", "reason": "too_short", "documents": 3},
    ]


@pytest.mark.parametrize(
    ("uris", "folders"),
    [
        (["/d/a/1", "/d/a/2", "/d/b/x/3", "/d/b/y/4"], ["a", "a", "b", "b"]),
        (["/d/1", "/d/b/2"], [".", "b"]),
        (["/d/1", "/d/2"], [".", "."]),
        (["s3://bucket/a/1", "s3://other/a/2"], ["bucket", "other"]),
        (["1"], ["."]),
    ],
)
def test_folders_are_told_apart_where_they_first_differ(uris: list[str], folders: list[str]) -> None:
    assert folders_of(uris) == folders


HOSTILE_URLS = [
    "", None, "http://A.example:80/x", "https://www.a.example", "https://www.a.example?q=//b.example/",
    "//c.example/x", "c.example/x/y/z", "http:/a/b/c", "x/http://y.example/z", "http://[::1/x", "http://[::1]/x",
    "http://[bad]/x/y", " http://a.example/", "ht\ntp://a.example/b", "http:/\t/a.example/b", "http://u:p@a.example/c",
    "http://a.example\\b/c", "http://a.example#f/g/h", "http:///x", "/////", "http://ℌ.example/x", "http://a℀b/x",
    "http://a.example./x", "mailto:me@a.example/x", "http://%61.example/x", "http://a/b\x00c", "http:?//a.example/b",
]  # fmt: skip


def test_hosts_of_many_urls_are_those_of_each() -> None:
    assert Hosts().of(HOSTILE_URLS) == [host_of(url) for url in HOSTILE_URLS]
