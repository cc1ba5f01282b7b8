"""Bad input to the library: one clear error, or a row that says what is wrong with it. Nothing is lost silently."""

import re
import warnings
from collections.abc import Iterator
from typing import Any

import pandas
import polars
import pyarrow as pa
import pytest

import tamis

GOOD = "The cat and the dog went to the park with a ball, and then they came back to the house."
NONE: dict[str, Any] = {"rules": "none", "keep_languages": []}


@pytest.mark.parametrize(
    "data",
    [
        pa.table({"body": ["a"], "url": ["b"]}),
        pandas.DataFrame({"body": ["a"], "url": ["b"]}),
        polars.DataFrame({"body": ["a"], "url": ["b"]}),
        [{"body": "a", "url": "b"}],
    ],
    ids=["arrow", "pandas", "polars", "list"],
)
def test_data_without_a_text_column(data: Any) -> None:
    with pytest.raises(tamis.ConfigError) as failure:
        tamis.filter(data)
    assert (
        str(failure.value)
        == "text_column: the data have no column 'text' (they have: 'body', 'url'). Give text_column="
    )
    assert len(tamis.filter(data, text_column="body", **NONE)) == 1


def test_a_stream_without_a_text_column() -> None:
    with pytest.raises(tamis.ConfigError, match="no column 'text' \\(they have: 'body'\\)"):
        next(tamis.filter(iter([{"body": "a"}])))
    reader = pa.table({"body": ["a"]}).to_reader()
    with pytest.raises(tamis.ConfigError, match="no column 'text'"):
        tamis.filter(reader)


def test_named_columns_that_are_not_there() -> None:
    table = pa.table({"text": ["a"]})
    for setting in ("url_column", "id_column", "text_column"):
        with pytest.raises(tamis.ConfigError, match=f"^{setting}: the data have no column 'nix'"):
            tamis.filter(table, **{setting: "nix"})
    with pytest.raises(tamis.ConfigError, match=r"^html_column: the data have no column 'html'"):
        tamis.extract(table)


MIXED = [{"text": GOOD}, {"text": None}, {"text": 5}, {"text": ["a"]}, {}, {"text": b"\xff\xfe"}, {"text": GOOD}]


def test_mixed_types_and_nulls_cost_their_rows() -> None:
    rows = tamis.filter(MIXED, result="all", **NONE)
    assert [row["error"] for row in rows] == [
        None,
        "no_text_field: row 1: 'text' is empty, and holds no text",
        "no_text_field: row 2: 'text' is of type int, and holds no text",
        "no_text_field: row 3: 'text' is of type list, and holds no text",
        "no_text_field: row 4: 'text' is empty, and holds no text",
        "not_utf8: row 5: invalid start byte at byte 0",
        None,
    ]
    assert [row.get("text") for row in rows] == [row.get("text") for row in MIXED]
    left_out = r"filter: 5 rows could not be processed and are left out; result='all' .*no_text_field: 4, not_utf8: 1"
    with pytest.warns(tamis.QuarantineWarning, match=left_out):
        assert [row["text"] for row in tamis.filter(MIXED, **NONE)] == [GOOD, GOOD]
    with pytest.warns(tamis.QuarantineWarning, match="5 rows could not be processed and have no new values"):
        found = tamis.detect_language(iter(MIXED))
        assert [row["language"] for row in found] == ["en", None, None, None, None, None, "en"]


def test_columns_of_frames_with_nulls_and_mixed_types() -> None:
    frame = pandas.DataFrame({"text": [GOOD, None, float("nan"), 7, "b"]}, dtype=object)
    found = tamis.exact_duplicates(frame)
    assert found["error"].notna().tolist() == [False, True, True, True, False]
    assert found["text"][3] == 7 and found["num_copies"].isna().sum() == 3
    numbers = tamis.exact_duplicates(pa.table({"text": [1, 2]}))
    assert [row["error"][:13] for row in numbers.to_pylist()] == ["no_text_field"] * 2
    empty = tamis.filter(polars.DataFrame({"text": [None, None]}), result="all")
    assert empty["error"].str.starts_with("no_text_field").all()


def test_lone_surrogates_are_replaced_as_in_json() -> None:
    assert tamis.filter("a \ud800 b", **NONE) == "a � b"
    assert tamis.extract("<p>a \udfff b</p>", main_content=False) == "a � b"
    (row,) = tamis.exact_duplicates([{"text": "a \ud800", "url": "http://a.example/\ud800", "id": "x"}])
    assert row["num_copies"] == 1


def test_a_generator_that_raises_half_way() -> None:
    class BrokenError(Exception):
        pass

    def broken() -> Iterator[str]:
        yield "one"
        yield "two"
        raise BrokenError("the user's own")

    found, answers = list[str](), tamis.filter(broken(), **NONE)
    with pytest.raises(BrokenError, match="the user's own"):
        for text in answers:
            found.append(text)
    assert found == ["one", "two"]

    def batches() -> Iterator[pa.RecordBatch]:
        yield pa.RecordBatch.from_pydict({"text": ["one"]})
        raise BrokenError("the user's own")

    reader = tamis.filter(pa.RecordBatchReader.from_batches(pa.schema({"text": pa.string()}), batches()), **NONE)
    assert reader.read_next_batch().to_pylist() == [{"text": "one"}]
    with pytest.raises(pa.ArrowInvalid, match="the user's own"):  # Arrow wraps what comes through one of its readers
        reader.read_next_batch()


def test_columns_that_clash_with_ours() -> None:
    table = pa.table({"text": [GOOD], "language": ["x"]})
    clash = (
        "detect_language: it writes the column 'language', which the data have already. Rename yours, or give prefix="
    )
    with pytest.raises(tamis.ConfigError, match=re.escape(clash)):
        tamis.detect_language(table)
    found = tamis.detect_language(table, prefix="tamis_").to_pylist()[0]
    assert (found["language"], found["tamis_language"]) == ("x", "en")
    with pytest.raises(tamis.ConfigError, match="'text'"):
        tamis.extract(pa.table({"text": ["a"], "html": ["<p>b</p>"]}))
    with pytest.raises(tamis.ConfigError, match="'num_copies'"):
        tamis.exact_duplicates([{"text": "a"}, {"text": "b", "num_copies": 3}])
    with pytest.raises(tamis.ConfigError, match="the column 'drop_reason' of the data holds 3"):
        tamis.filter([{"text": "a", "drop_reason": 3}])
    twice = pa.Table.from_arrays([pa.array(["a"])] * 2, ["text", "text"])
    with pytest.raises(tamis.ConfigError, match="two columns 'text'"):
        tamis.filter(twice)


@pytest.mark.parametrize(
    "data",
    [[], pa.table({"text": pa.array([], pa.string())}), pandas.DataFrame({"text": []}), polars.DataFrame({"text": []})],
    ids=["list", "arrow", "pandas", "polars"],
)
def test_empty_input(data: Any) -> None:
    for function in (
        tamis.filter,
        tamis.exact_duplicates,
        tamis.near_duplicates,
        tamis.substring_duplicates,
        tamis.mask,
    ):
        found = function(data)
        assert type(found) is type(data) and len(found) == 0
    if not isinstance(data, list):
        assert set(tamis.detect_language(data).columns if not isinstance(data, pa.Table) else
                   tamis.detect_language(data).column_names) == {"text", "language", "language_score"}  # fmt: skip


def test_other_empty_input() -> None:
    assert list(tamis.filter(iter([]))) == []
    assert tamis.filter("") is None and tamis.extract("") is None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert tamis.extract([]) == []


def test_unknown_rules_settings_and_methods() -> None:
    cases: list[tuple[Any, str]] = [
        (lambda: tamis.filter("a", rules="gofer"), "no table 'gofer' (did you mean 'gopher'?"),
        (lambda: tamis.signals("a", rules="gofer"), "no table 'gofer' (did you mean 'gopher'?"),
        (lambda: tamis.filter("a", min_wrods=3), "filter.min_wrods: no such setting (did you mean 'min_words'?"),
        (lambda: tamis.filter("a", result="keep"), "result: 'keep' is none of kept, all, removed"),
        (lambda: tamis.filter("a", mode="papers"), "mode: Input should be 'fixed' or 'paper'"),
        (lambda: tamis.near_duplicates(["a"], method="minhas"), "no method 'minhas'; there are minhash"),
        (lambda: tamis.near_duplicates("a"), "one text has nothing to be compared with"),
        (
            lambda: tamis.near_duplicates(["a"], keep="highest:n"),
            "near_duplicates: the data have no column 'n' (valid: text), which a setting names",
        ),
        (lambda: tamis.score("a", "missing.bin"), "the file missing.bin does not exist"),
        (lambda: tamis.tokenize("a", "missing.json"), "the file missing.json does not exist"),
        (lambda: tamis.mask("a", ["mail"]), "mask_pii"),
        (lambda: tamis.extract("a", engine="beautifulsoup"), "beautifulsoup"),
        (lambda: tamis.filter(3), "data: int is none of a string, a list"),
        (lambda: tamis.filter({"text": "a"}), "a dict is one row; give a list of dicts"),
        (lambda: tamis.filter(polars.LazyFrame({"text": ["a"]})), "give frame.collect()"),
        (lambda: tamis.open_run("/nowhere"), "no run here"),
    ]
    for call, words in cases:
        with pytest.raises(tamis.ConfigError) as failure:
            call()
        assert words in str(failure.value)


def test_a_page_that_cannot_be_extracted() -> None:
    with pytest.raises(tamis.DataError, match="extract: too_deep: elements nest deeper than 2048"):
        tamis.extract("<div>" * 3000)
    rows = tamis.extract(["<div>" * 3000, "<p>Words</p>"], main_content=False, result="all")
    assert rows[0]["error"].startswith("too_deep") and rows[1]["text"] == "Words"


def test_a_row_that_raises_costs_itself(tmp_path: Any) -> None:
    place = tmp_path / "own.py"
    place.write_text("def pick(text):\n    if 'bad' in text:\n        raise KeyError('no')\n    return 1.0\n")
    with pytest.warns(tamis.QuarantineWarning, match="score: 1 rows could not be processed"):
        rows = tamis.score(["good", "bad", "good"], scorer=f"{place}:pick")
    assert [row["quality_score"] for row in rows] == [1.0, None, 1.0]


def test_a_column_of_several_types_that_a_rule_compares() -> None:
    rows = [{"text": "a", "n": 1}, {"text": "b", "n": "two"}]
    rule = {"column": "n", "op": ">", "threshold": 0.0, "reason": "large"}
    with pytest.raises(tamis.DataError, match="the column 'n' holds values of several types"):
        tamis.filter(rows, own_rules=[rule], **NONE)


def test_a_row_that_cannot_be_sketched_costs_itself() -> None:
    """`keep` compares a field whose value is no number in one row."""
    rows = [{"text": "a", "n": 1}, {"text": "a", "n": "two"}, {"text": "a", "n": 3}]
    found = tamis.exact_duplicates(rows, keep="highest:extra.n")
    assert [row["error"] is None for row in found] == [True, False, True]
    assert "n is 'two', which is not a number" in found[1]["error"]
    assert [row["duplicate_of"] for row in found] == [2, None, None] and found[2]["num_copies"] == 2
