"""What the filter says of a recipe or a list that is wrong, and what it makes of pages that are odd."""

import json
import time
from pathlib import Path
from typing import Any

import pytest
from test_filter import PAGE, batch_of, make
from test_pool import make as make_pool

from tamis import flow
from tamis.base.errors import ConfigError
from tamis.stages.filter.detectors import LangdetectDetector, _codes
from tamis.stages.filter.language import LangidDetector


@pytest.mark.parametrize(
    ("settings", "messages"),
    [
        ({"rules": "gofer"}, ["filter.rules", "'gofer'", "did you mean 'gopher'"]),
        ({"skip_rules": ["too_few_wrods"]}, ["filter.skip_rules", "did you mean 'too_few_words'"]),
        ({"keep_languages": ["en", "english"]}, ["filter.keep_languages.1", "'english'", "`en`"]),
        ({"keep_languages": ["EN"]}, ["filter.keep_languages.0", "no language 'EN'", "`en`"]),
        ({"keep_languages": "en"}, ["filter.keep_languages", "list"]),
        ({"keep_languages": ["zh-cn"], "language_model": "models/lid.176.ftz"}, ["lid.176.ftz", "'zh-cn'"]),
        ({"min_words": "forty"}, ["filter.min_words", "valid number", "'forty'"]),
        ({"min_words": [40]}, ["filter.min_words", "valid number", "[40]"]),
        ({"min_words": float("nan")}, ["filter.min_words", "a finite number"]),
        ({"min_language_score": 1.5}, ["filter.min_language_score", "less than 1", "1.5"]),
        ({"own_banned_words": ["bad", " "]}, ["filter.own_banned_words", "blank"]),
        ({"own_banned_words": "bad"}, ["filter.own_banned_words", "list"]),
        ({"max_banned_words": 1}, ["filter.max_banned_words", "filter.own_banned_words"]),
    ],
)
def test_wrong_settings_name_the_field_and_the_way_on(settings: dict[str, Any], messages: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        make(**settings)
    assert len(str(caught.value).splitlines()) == 1
    for message in messages:
        assert message in str(caught.value)


@pytest.mark.parametrize("column", ["num_wrods", "text", "words_removed"])
def test_unknown_columns_are_named(column: str) -> None:
    rule = {"column": column, "op": "<", "threshold": 1, "reason": "x"}
    with pytest.raises(ConfigError, match=f"filter.own_rules.0.column: no column '{column}'"):
        make(own_rules=[rule])
    with pytest.raises(ConfigError, match=r"filter.own_rules.0.threshold: '<' compares with a number \(got 'few'\)"):
        make(own_rules=[rule | {"column": "num_words", "threshold": "few"}])


@pytest.mark.parametrize("setting", ["banned_words", "banned_domains", "language_model", "tokenizer"])
def test_files_that_are_not_there_are_named_before_any_work(tmp_path: Path, setting: str) -> None:
    (tmp_path / "a.jsonl").write_text(json.dumps({"text": PAGE}) + "\n")
    recipe = {"name": "x", "pool": {"inputs": [str(tmp_path / "a.jsonl")]},
              "stages": [{"filter": {setting: str(tmp_path / "absent.txt")}}]}  # fmt: skip
    with pytest.raises(ConfigError) as caught:
        flow.compile_run("mine", flow.resolve(recipe))
    assert setting in str(caught.value) and "absent.txt" in str(caught.value)


@pytest.mark.parametrize(
    ("setting", "content", "message"),
    [
        ("banned_words", b"good\nb\xff\xfed\n", "line 2 of"),
        ("banned_words", b"good\nwell\nb\0d\n", "line 3 of"),
        ("banned_words", b"\n \n", "has no entries"),
        ("banned_domains", b"a.example\nhttp://b.example/x\n", "line 2 of"),
        ("banned_domains", b"a.example\n\nb.example c.example\n", "line 3 of"),
        ("banned_domains", b"a.example\nB\xe4d.example\n", "is not UTF-8"),
    ],
)
def test_bad_lines_of_lists_are_named(tmp_path: Path, setting: str, content: bytes, message: str) -> None:
    (tmp_path / "list.txt").write_bytes(content)
    with pytest.raises(ConfigError, match=message) as caught:
        make(**{setting: str(tmp_path / "list.txt")})
    assert str(caught.value).startswith(f"filter.{setting}: ") and "list.txt" in str(caught.value)


def test_lists_of_any_editor_are_read(tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_bytes(b"\xef\xbb\xbfOrchard\r\n\r\nnothing else\r\n")
    stage = make(keep_languages=[], banned_words=str(tmp_path / "words.txt"), max_banned_words=0)
    assert stage.apply(batch_of([PAGE]))["drop_reason"].to_pylist() == ["banned_words"]


def test_banned_words_in_the_recipe(tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("orchard\n")
    alone = make(keep_languages=[], own_banned_words=["Miller"], max_banned_words=0).apply(batch_of([PAGE, PAGE[:170]]))
    assert alone["drop_reason"].to_pylist() == ["banned_words", "too_few_words"]
    both = make(keep_languages=[], rules="none", banned_words=str(tmp_path / "words.txt"), own_banned_words=["miller"],
                max_banned_words=5)  # fmt: skip
    assert both.apply(batch_of([PAGE]))["num_banned_words"].to_pylist() == [2.0]
    c4 = make(keep_languages=[], rules="c4", own_banned_words=["miller"])
    assert c4.apply(batch_of([PAGE.replace("\n", " It is so.\n")]))["drop_reason"].to_pylist() == ["banned_words"]


@pytest.mark.parametrize("table", ["refinedweb", "gopher", "c4", "fineweb", "none"])
def test_pages_with_nothing_on_them(table: str) -> None:
    pages = ["", " \n\t ", "\n" * 1000, "\0", "\u2028", None]
    out = make(rules=table).apply(batch_of(pages))
    reasons = out["drop_reason"].to_pylist()
    assert reasons[0] == "no_text" and reasons[5] is None
    # Without published rules every page with a character stays, whatever its language.
    assert all(reasons[:5]) if table != "none" else reasons[1:] == [None] * 5


LINES = {
    "one word": b"x",
    "words": b"the and of ",
    "sentences": b"It was. ",
    "dots": b".",
    "link starts": b"http://",
    "brackets": b"[",
    "digits": b"1.",
    "at signs": b"a@a.",
}


@pytest.mark.parametrize("kind", LINES)
def test_one_endless_line_takes_bounded_time(kind: str) -> None:
    """Time grows with the length, not with its square: 2 MB take far less than 20 s, also on a loaded machine."""
    text = (LINES[kind] * 2_000_000)[:2_000_000].decode()
    for table, languages in (("refinedweb", []), ("fineweb", []), ("none", ["en"])):
        stage = make(rules=table, keep_languages=languages)
        stage.apply(batch_of([PAGE]))
        started = time.process_time()
        stage.apply(batch_of([text]))
        assert time.process_time() - started < 20


def test_text_that_was_no_utf8_in_the_file(tmp_path: Path) -> None:
    lines = [b'{"text": "caf\xe9 %s"}' % PAGE.replace("\n", " ").encode(), b'{"text": "lone \\ud800 surrogate"}',
             json.dumps({"text": PAGE}).encode()]  # fmt: skip
    (tmp_path / "a.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    pool = make_pool(inputs=[str(tmp_path / "a.jsonl")])
    (batch,) = pool.read(pool.shards()[0])
    errors = batch["error"].to_pylist()
    assert errors[0].startswith("bad_json: line 1") and errors[1:] == [None, None]
    assert pool.notes() == {"lone_surrogates": 1}
    out = make(rules="none").apply(batch.select(["id", "url", "text", "drop_reason"]))
    assert out["text"].to_pylist()[1:] == ["lone \ufffd surrogate", PAGE]


def test_language_codes_are_those_of_the_packages() -> None:
    assert set(_codes()["py3langid"]) == set(LangidDetector().labels)
    assert len(set(_codes()["lid.176"])) == 176


def test_langdetect() -> None:
    pytest.importorskip("langdetect", reason="langdetect is optional: pip install langdetect")
    detector = LangdetectDetector()
    assert set(_codes()["langdetect"]) == set(detector._factory.langlist)
    german = "Der schnelle braune Fuchs springt über den faulen Hund, und niemand hat ihn dabei gesehen."
    answers = [detector.detect(page) for page in (PAGE, german, "12 34 56", " .", PAGE)]
    assert [language for language, _ in answers] == ["en", "de", "", "", "en"]
    assert answers[0] == answers[4] and 0.99 < answers[0][1] <= 1
    assert make(keep_languages=["zh"], language_model="langdetect").labels == ["zh-cn", "zh-tw"]
    stage = make(rules="none", keep_languages=["en"], language_model="langdetect", min_language_score=0.9)
    assert "language_model" not in stage.assets()
    out = stage.apply(batch_of([PAGE, german]))
    assert out["drop_reason"].to_pylist() == [None, "wrong_language"]
    assert "detected by langdetect" in stage.rules[0].source
