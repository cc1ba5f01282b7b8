"""Signals of the recipe's own, rules on any column, and the settings that a resolved recipe says."""

import pickle
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from test_filter import PAGE, batch_of, make

from tamis.base import columns
from tamis.base.errors import ConfigError
from tamis.base.recipe import Recipe
from tamis.base.signals import MeasuredSignal
from tamis.stages.filter.published import TABLES
from tamis.stages.filter.stage import Filter, build

MINE = """
def vowels(text: str) -> float | None:
    if text == "short":
        return None
    if "boom" in text:
        raise ValueError("too loud")
    return sum(c in "aeiou" for c in text) / len(text)


def shouting(text) -> "bool":
    return text.isupper()


def length(text: str) -> int:
    return len(text)


def first(text: str) -> str:
    return text[:1]


def unsaid(text):
    return "a string"


def tuples(text) -> tuple:
    return ()


def num_words(text):
    return 1


def text(text):
    return 1


class Klass:
    pass
"""
BASE = {"rules": "none", "keep_languages": []}


@pytest.fixture
def mine(tmp_path: Path) -> str:
    (tmp_path / "mine.py").write_text(MINE)
    return f"{tmp_path}/mine.py"


def rule(column: str, op: str, threshold: Any, reason: str = "mine") -> dict[str, Any]:
    return {"column": column, "op": op, "threshold": threshold, "reason": reason}


def test_own_signals_become_columns_of_their_type(mine: str) -> None:
    names = ["vowels", "shouting", "length", "first"]
    stage = make(**BASE, signals=[f"{mine}:{name}" for name in names])
    out = stage.apply(batch_of(["aabb", "SHORT", "short", None]))
    assert [out.schema.field(name).type for name in names] == [pa.float64(), pa.bool_(), pa.int64(), pa.string()]
    assert out["vowels"].to_pylist() == [0.5, 0.0, None, None]
    assert out["shouting"].to_pylist() == [False, True, False, None]
    assert out["length"].to_pylist() == [4, 5, 5, None]
    assert out["first"].to_pylist() == ["a", "S", "s", None]
    drawn = {signal.column: signal for signal in stage.signals}
    assert set(drawn) == {"vowels", "length"} and isinstance(drawn["vowels"], MeasuredSignal)


def test_a_text_on_which_a_signal_raises_is_quarantined_alone(mine: str) -> None:
    stage = make(**BASE, signals=[f"{mine}:vowels", f"{mine}:unsaid"])
    out = stage.apply(batch_of(["aabb"]))
    assert "TypeError: unsaid: returned 'a string', but its column holds double" in out["error"][0].as_py()
    assert "-> str`" in out["error"][0].as_py()
    stage = make(**BASE, signals=[f"{mine}:vowels"], own_rules=[rule("vowels", "<", 0.3)])
    out = stage.apply(batch_of(["aabb", "boom", "bbbb"]))
    assert out["error"].to_pylist() == [None, "ValueError: vowels: too loud", None]
    assert out["drop_reason"].to_pylist() == [None, None, "mine"]


def test_rules_are_tested_in_the_order_of_what_they_are_on(mine: str) -> None:
    """What the documents came with, then the table, then signals of the recipe's own, of documents that are left."""
    stage = make(
        keep_languages=[],
        signals=[f"{mine}:length"],
        own_rules=[
            rule("length", ">", 3, "long"),
            rule("num_words", ">", 1000, "wordy"),
            rule("url", "matches", r"/tag/|^ftp:", "listing"),
            rule("extra.votes", "<", 0, "voted_down"),
        ],
    )
    assert [r.reason for r in stage.rules[:2]] == ["listing", "voted_down"] and stage.rules[-1].reason == "long"
    batch = batch_of([PAGE, PAGE, "few", PAGE], ["http://a.example/tag/", "http://a.example/", "ftp://x", "http://b"])
    batch = batch.append_column("extra", pa.array([None, '{"votes": -1}', "{}", '{"votes": 1}']))
    out = stage.apply(batch)
    assert out["drop_reason"].to_pylist() == ["listing", "voted_down", "listing", "long"]
    assert out["length"].to_pylist() == [None, None, None, len(PAGE.strip())]


def test_rules_on_columns_of_earlier_steps() -> None:
    (stage,) = build(BASE | {"own_rules": [rule("quality_score", "<", 0.5)]}, Recipe(name="x", stages=[]))
    present = {field.name: field.type for field in columns.POOL_SCHEMA}
    with pytest.raises(ConfigError, match=r"filter\.own_rules\.0\.column: no column 'quality_score'"):
        stage.check_columns(present)
    stage.check_columns(present | {"quality_score": pa.float32()})
    assert [signal.column for signal in stage.signals] == ["quality_score"]
    with pytest.raises(ConfigError, match="a column of strings"):
        stage.check_columns(present | {"quality_score": pa.string()})


def test_language_rules_name_each_language() -> None:
    stage = make(keep_languages=["en", "de"])
    assert (stage.rules[0].op, stage.rules[0].threshold) == ("not_in", ("en", "de"))
    assert stage.apply(batch_of([PAGE]))["drop_reason"].to_pylist() == [None]


@pytest.mark.parametrize(
    ("signals", "message"),
    [
        (["Klass"], "Klass is a class; a signal is a function"),
        (["tuples"], "a signal is float, int, str or bool"),
        (["text"], "there is a column 'text' already"),
        (["vowels", "vowels"], "filter.signals.1: there is a column 'vowels' already"),
        (["vowel"], "did you mean 'vowels'"),
    ],
)
def test_signals_that_cannot_be(mine: str, signals: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make(**BASE, signals=[f"{mine}:{name}" for name in signals])


def test_a_signal_cannot_take_the_name_of_one_that_the_table_measures(mine: str) -> None:
    with pytest.raises(ConfigError, match="there is a column 'num_words' already"):
        make(rules="gopher", signals=[f"{mine}:num_words"])


def test_an_edited_signal_is_another_filter_and_a_moved_file_is_not(mine: str, tmp_path: Path) -> None:
    here = make(**BASE, signals=[f"{mine}:vowels"]).identity()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mine.py").write_text(MINE)
    assert make(**BASE, signals=[f"{tmp_path}/other/mine.py:vowels"]).identity() == here
    Path(mine).write_text(MINE.replace("aeiou", "aeiouy"))
    assert make(**BASE, signals=[f"{mine}:vowels"]).identity() != here


def test_a_filter_that_has_been_used_pickles(mine: str) -> None:
    stage = make(**BASE, signals=[f"{mine}:vowels"])
    stage.apply(batch_of(["aabb"]))
    assert pickle.loads(pickle.dumps(stage.own_signals))[0].plugin == stage.own_signals[0].plugin


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"max_banned_words": 3.0, "own_banned_words": ["bad"]},
        {"edits": ["short_lines", {"kind": "phrase_lines", "phrases": ["x"]}], "keep_languages": []},
        {"own_rules": [rule("url", "in", ["a", "b"]), rule("num_words", "<", 3)]},
    ],
)
def test_the_resolved_settings_say_every_value_in_use(table: str, changes: dict[str, Any]) -> None:
    def filter_of(settings: dict[str, Any]) -> Filter:
        (stage,) = build(settings, Recipe(name="x", stages=[]))
        assert isinstance(stage, Filter)
        return stage

    stage = filter_of({"rules": table} | changes)
    settings = stage.resolved_settings()
    again = filter_of(settings)
    assert again.identity() == stage.identity() and again.resolved_settings() == settings
    assert again.rules == stage.rules and again.adds == stage.adds
    in_use = {check.setting for phase in stage.table.phases for check in phase.checks if check.setting}
    assert all(isinstance(settings[name], float) for name in in_use)
    assert settings["language_model"] == (None if changes.get("keep_languages") == [] else "py3langid")
    assert "max_words" not in settings or settings["max_words"] == 100_000


def test_a_published_threshold_written_out_is_the_same_filter() -> None:
    assert make(rules="gopher", min_words=50).identity() == make(rules="gopher").identity()
    assert make(rules="gopher", min_words=51).identity() != make(rules="gopher").identity()
