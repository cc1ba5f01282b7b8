"""The generic cut: exact shares of documents, bytes and tokens, overall and by a column; ties and missing values."""

import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from groups import TableSketches, drive, to_batch
from hypothesis import given
from hypothesis import strategies as st

from tamis.base import columns
from tamis.base.errors import ConfigError, DataError
from tamis.base.recipe import Recipe
from tamis.base.stage import Group, StageContext
from tamis.stages.cut.stage import Cut, ShareCut, build
from tamis.stages.cut.thresholds import find_threshold
from tamis.store.location import Location

PRESENT = {field.name: field.type for field in columns.POOL_SCHEMA} | {
    "score": pa.float64(), "language": pa.string(), "num_words": pa.float64(), "good": pa.bool_(),
}  # fmt: skip


def make(**settings: Any) -> Any:
    (stage,) = build(settings, Recipe(name="x", stages=[]))
    stage.check_columns(PRESENT)
    return stage


def documents(scores: list[float | None], **more: list[Any]) -> list[dict[str, Any]]:
    rows = [{"id": f"{n:04d}", "text": f"text {n}", "score": score} for n, score in enumerate(scores)]
    return [row | {name: values[n] for name, values in more.items()} for n, row in enumerate(rows)]


def kept(rows: list[dict[str, Any]]) -> list[int]:
    return [int(row["id"]) for row in rows if row["drop_reason"] is None]


@pytest.mark.parametrize(
    ("fraction", "number", "expected"),
    [(0.1, 100, 10), (0.07, 100, 7), (0.29, 100, 29), (0.005, 100, 1), (0.101, 100, 11), (0.5, 7, 4), (1.0, 9, 9),
     (1 / 3, 10, 4)],
)  # fmt: skip
def test_the_number_kept_is_rounded_up_without_rounding_errors(fraction: float, number: int, expected: int) -> None:
    """0.07 * 100 is 7.000000000000001 and 0.29 * 100 is 28.999999999999996: 7 and 29 documents all the same."""
    values = np.arange(number, dtype=float)
    assert find_threshold(values, None, fraction).num_kept == expected
    assert find_threshold(values, np.ones(number, np.int64), fraction).num_kept == expected


@given(
    st.lists(st.tuples(st.integers(-5, 5), st.integers(0, 9)), min_size=1, max_size=40),
    st.floats(0.01, 1),
    st.booleans(),
)
def test_the_threshold_is_the_greatest_that_keeps_the_share(
    rows: list[tuple[int, int]], fraction: float, weighed: bool
) -> None:
    values, weights = (np.array(column, dtype) for column, dtype in zip(zip(*rows, strict=True), (float, np.int64)))  # noqa: B905
    sizes = weights if weighed else np.ones(len(values), np.int64)
    found = find_threshold(values, weights if weighed else None, fraction)
    wanted = math.ceil(fraction * int(sizes.sum()) - 1e-9)
    assert found.kept_weight == sizes[values >= found.threshold].sum() >= wanted
    stricter = values > found.threshold
    assert not stricter.any() or sizes[stricter].sum() < wanted
    assert found.num_kept >= 1 and found.num_tied == np.count_nonzero(values == found.threshold)


def test_sharding_and_order_change_nothing() -> None:
    scores = list(np.random.default_rng(0).permutation(60) / 60)
    rows = documents(scores, language=[["en", "de", None][n % 3] for n in range(60)])
    stage = make(column="score", keep_fraction=0.25, by="language")
    whole, one = drive(stage, [rows])
    parts, many = drive(stage, [rows[40:], rows[:10], rows[10:40]], batch_rows=4)
    assert sorted(kept(whole)) == sorted(kept(parts)) and one == many
    assert len(kept(whole)) == 15


def test_every_group_has_its_own_threshold() -> None:
    rows = documents([1, 2, 3, 4, 11, 12, 13, 14, 21, 22], language=["en"] * 4 + ["de"] * 4 + [None] * 2)
    out, details = drive(make(column="score", keep_fraction=0.5, by="language", reason="poor"), [rows])
    assert kept(out) == [2, 3, 6, 7, 9]
    assert {row["drop_reason"] for row in out} == {None, "poor"}
    rules = {tuple(rule["among"]): (rule["op"], rule["threshold"]) for rule in details["rules"]}
    assert rules == {("language", "en"): ("<", 3), ("language", "de"): ("<", 13), ("language", None): ("<", 22)}
    assert details["num_groups"] == 3 and details["num_kept"] == 5 and "threshold" not in details


def test_the_lowest_are_kept_where_low_is_good() -> None:
    out, details = drive(make(column="score", keep_fraction=0.4, keep="lowest"), [documents([5, 4, 3, 2, 1])])
    assert kept(out) == [3, 4] and details["threshold"] == 2
    assert details["rules"][0] | {"source": ""} == {
        "reason": "cut_score", "column": "score", "op": ">", "threshold": 2.0, "source": ""
    }  # fmt: skip


def test_a_share_of_bytes_and_of_a_column() -> None:
    rows = documents([4, 3, 2, 1], num_words=[1.0, 1.0, 6.0, 2.0])
    for row, size in zip(rows, (1, 1, 6, 2), strict=True):
        row["text"] = "é" * size
    for of, unit in (("bytes", 2), ("num_words", 1)):
        out, details = drive(make(column="score", keep_fraction=0.5, of=of), [rows])
        assert kept(out) == [0, 1, 2]
        assert details[f"{of}_measured"] == 10 * unit and details[f"{of}_kept"] == 8 * unit
    out, _ = drive(make(column="score", keep_fraction=0.2, of="bytes"), [rows])
    assert kept(out) == [0, 1]


@pytest.mark.parametrize("size", [-1.0, -0.5, math.inf, 1e300])
def test_a_number_that_cannot_be_a_size_is_named_with_its_document(size: float) -> None:
    rows = documents([3, 2, 1], num_words=[1.0, size, math.nan])
    with pytest.raises(
        DataError, match=rf"^cut\.of: the document 0001 has {re.escape(f'{size:g}')} as its num_words, .*`filter`"
    ):
        drive(make(column="score", keep_fraction=0.5, of="num_words"), [rows])
    rows[1]["num_words"] = 0.0
    out, details = drive(make(column="score", keep_fraction=0.5, of="num_words"), [rows])
    assert kept(out) == [0] and details["num_words_measured"] == 1


def test_a_share_of_tokens_is_counted_by_a_tokenizer_or_by_a_column(tmp_path: Path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers

    tokenizer = Tokenizer(models.WordLevel({"a": 0, "[UNK]": 1}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(tmp_path / "t.json"))
    rows = documents([3, 2, 1])
    for row, text in zip(rows, ("a", "a " * 8, "a"), strict=True):
        row["text"] = text
    stage = make(column="score", keep_fraction=0.2, of="tokens", tokenizer=str(tmp_path / "t.json"))
    assert stage.assets() == {"tokenizer": str(tmp_path / "t.json")}
    context = StageContext(seed=0, assets={"tokenizer": Location(tmp_path / "t.json")})
    out, details = drive(stage, [rows], context=context)
    assert kept(out) == [0, 1] and details["tokens_measured"] == 10
    (stage,) = build({"column": "score", "keep_fraction": 0.2, "of": "tokens"}, Recipe(name="x", stages=[]))
    with pytest.raises(ConfigError, match=r"cut\.of: tokens are not counted yet; name a tokenizer\.json"):
        stage.check_columns(PRESENT)
    stage.check_columns(PRESENT | {"num_tokens": pa.int32()})
    out, _ = drive(stage, [[row | {"num_tokens": n} for row, n in zip(rows, (1, 8, 1), strict=True)]])
    assert kept(out) == [0, 1]


def test_what_has_no_value_goes_under_its_own_reason_and_counts_for_no_share() -> None:
    rows = documents([4.0, None, 3.0, math.nan, 2.0, 1.0])
    out, details = drive(make(column="score", keep_fraction=0.5), [rows])
    assert [row["drop_reason"] for row in out] == [None, "no_score", None, "no_score", "cut_score", "cut_score"]
    assert details["num_unmeasured"] == 2 and details["num_measured"] == 4 and details["num_kept"] == 2
    marked = make(column="score", op="<", threshold=2.5).apply(to_batch(rows))
    assert marked["drop_reason"].to_pylist() == [None, "no_score", None, "no_score", "cut_score", "cut_score"]
    with pytest.raises(DataError, match="none of 2 documents has a value of 'score'"):
        drive(make(column="score", keep_fraction=0.5), [documents([math.nan, math.nan])])


def test_ties_are_all_kept_and_counted() -> None:
    out, details = drive(make(column="score", keep_fraction=0.25), [documents([9, 5, 5, 5, 1, 1, 1, 1])])
    assert kept(out) == [0, 1, 2, 3]
    assert details["num_tied_at_threshold"] == 3 and details["num_kept"] == 4


def test_a_threshold_compares_any_kind_of_value() -> None:
    rows = documents([1, 2, 3], language=["en", "de", "fr"], extra=['{"votes": 3}', '{"votes": -1}', "{}"])
    stage = make(column="language", op="not_in", threshold=["en", "de"], reason="foreign")
    assert isinstance(stage, Cut) and stage.rules[0].threshold == ("en", "de")
    assert stage.apply(to_batch(rows))["drop_reason"].to_pylist() == [None, None, "foreign"]
    votes = make(column="extra.votes", op="<", threshold=0).apply(to_batch(rows))["drop_reason"].to_pylist()
    assert votes == [None, "cut_extra_votes", "no_extra_votes"]


def test_no_document_and_no_group() -> None:
    stage = make(column="score", keep_fraction=0.5)
    assert isinstance(stage, Group)
    with pytest.raises(DataError, match="no documents reached the cut"):
        stage.decide(0, TableSketches([pa.table({"value": pa.array([], pa.float64())})]), StageContext(seed=0))


def test_the_histogram_is_of_the_column() -> None:
    for cut in ({"keep_fraction": 0.5}, {"op": "<", "threshold": 1.0}):
        assert [signal.column for signal in make(column="score", **cut).signals] == ["score"]
    assert make(column="extra.votes", op="<", threshold=1.0).signals == ()
    assert make(column="language", op="==", threshold="en").signals == ()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"column": "score"}, "give either `op` and `threshold`, or `keep_fraction`"),
        ({"column": "score", "threshold": 1.0}, "`op` and `threshold` go together"),
        ({"column": "score", "op": "<", "threshold": 1.0, "keep_fraction": 0.5}, "give either"),
        ({"column": "score", "op": "<", "threshold": 1.0, "by": "language"}, "by: only with `keep_fraction`"),
        ({"column": "score", "keep_fraction": 0.0}, "cut.keep_fraction"),
        ({"column": "score", "keep_fraction": 1.01}, "cut.keep_fraction"),
        ({"column": "score", "keep_fraction": 0.5, "tokenizer": "t"}, "counts for `of: tokens` alone"),
        ({"column": "score", "op": "=>", "threshold": 1.0}, "cut.op: '=>' is none of"),
        ({"column": "socre", "keep_fraction": 0.5}, "cut.column: no column 'socre' (did you mean 'score'?"),
        ({"column": "socre", "op": "<", "threshold": 1.0}, "cut.column: no column 'socre'"),
        ({"column": "language", "keep_fraction": 0.5}, "'language' holds no numbers"),
        ({"column": "score", "keep_fraction": 0.5, "by": "langauge"}, "cut.by: no column 'langauge' (did you mean"),
        ({"column": "score", "keep_fraction": 0.5, "of": "words"}, "cut.of: no column 'words'"),
        ({"column": "score", "keep_fraction": 0.5, "of": "language"}, "name one of numbers"),
        ({"column": "score", "op": "==", "threshold": "x"}, "a column of numbers. Compare it with a number"),
    ],
)
def test_settings_that_cannot_be(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        make(**settings)
    assert message in str(caught.value) and str(caught.value).startswith("cut")


def test_moving_a_cut_is_another_stage() -> None:
    here, there = (make(column="score", keep_fraction=fraction) for fraction in (0.5, 0.4))
    assert isinstance(here, ShareCut) and here.identity() != there.identity()
