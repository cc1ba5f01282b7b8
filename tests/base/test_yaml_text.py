"""YAML: the numbers of YAML 1.2, what is written is read back, and texts that would break the reader are refused."""

from itertools import pairwise
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from tamis.base.errors import ConfigError
from tamis.base.yaml_text import MOST_DEPTH, dump_yaml, read_assignment, read_yaml


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e9", 1e9), ("1e-5", 1e-5), ("-2.5E3", -2500.0), ("+.5e2", 50.0), ("1.e5", 1e5), ("3.0", 3.0), ("7", 7),
        ("1e", "1e"), ("e5", "e5"), ("1e5x", "1e5x"), ("'1e9'", "1e9"), ("1.5", 1.5), ("2026-11-21", "2026-11-21"),
        ("2026-13-45", "2026-13-45"), ("true", True), ("~", None), ("", None), ("[1e3, a]", [1000.0, "a"]),
    ],
)  # fmt: skip
def test_values_are_what_they_look_like(text: str, value: Any) -> None:
    found = read_yaml(text, "x")
    assert found == value and type(found) is type(value)
    assert read_assignment(f"a.b={text}", "x=1") == ("a.b", value)


PLAIN = st.text(st.sampled_from("019eE.+-_:# ~ayntrul\n'é\"*&"), max_size=12)
LEAVES = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
DATA = st.recursive(
    LEAVES | PLAIN, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(PLAIN, inner, max_size=4)
)


@settings(max_examples=100, deadline=None)
@given(DATA)
def test_what_is_written_is_read_back(data: Any) -> None:
    text = dump_yaml(data)
    assert read_yaml(text, "x") == data
    # Another reader of YAML, which knows fewer numbers, sees the same.
    assert yaml.safe_load(text) == data


def bomb(levels: int, width: int) -> str:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * width)}]" for n in range(1, levels)]
    return "\n".join(lines)


MERGES = "a: &a {x: 1}\n" + "".join(f"{y}: &{y}\n  <<: [{', '.join([f'*{x}'] * 40)}]\n" for x, y in pairwise("abcdef"))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[" * 5000, "nested more than 100 deep"), ("[" * 5000 + "]" * 5000, "nested more than 100 deep"),
        ("\n".join(" " * n + "a:" for n in range(5000)), "nested more than 100 deep"),
        ("- " * 5000, "nested more than 100 deep"), (bomb(9, 9), "more than 1,000,000 values"),
        (MERGES, "more than 1,000,000 values"), ("&a [*a]", "stands inside of what it stands for"),
        ("&a {x: {y: *a}}", "stands inside of what it stands for"), ("a: [1", "expected ',' or ']'"),
        ("9" * 5000, "Exceeds the limit"), ('"\\ud800"', "no text can have"), ('"a\\0b"', "no text can have"),
        ("!!binary aGk=", "has no place here"), ("!!set {a, b}", "has no place here"),
        ("!!timestamp 2026-11-21", "has no place here"), ("!!python/object:os.system {}", "could not determine"),
        ("? [a]\n: b", "unhashable"), ("*x", "undefined alias"), ("a: 1\n--- \nb: 2", "single document"),
        ("\x07", "not allowed"),
    ],
)  # fmt: skip
def test_bad_texts_are_one_error(text: str, why: str) -> None:
    with pytest.raises(ConfigError, match=r"^mine\.yaml: not valid YAML: ") as raised:
        read_yaml(text, "mine.yaml")
    assert why in str(raised.value)


def test_the_deepest_that_is_allowed() -> None:
    found = read_yaml("[" * (MOST_DEPTH - 1) + "]" * (MOST_DEPTH - 1), "x")
    assert isinstance(found, list)
    assert read_yaml("a: &a [1, 2]\nb: [*a, *a]", "x") == {"a": [1, 2], "b": [[1, 2], [1, 2]]}


def test_assignments() -> None:
    assert read_assignment("pool.inputs=*.warc.gz", "x=1") == ("pool.inputs", "*.warc.gz")
    assert read_assignment(" a = b=c", "x=1") == ("a", "b=c")
    for wrong in ("a", "=1", "a.=1", ".a=1", "a..b=1", " =1"):
        with pytest.raises(ConfigError, match=r"--set .*: expected path\.to\.field=value, as in seed=1"):
            read_assignment(wrong, "seed=1")


def test_a_key_that_is_given_twice_is_refused() -> None:
    for text in ("a: 1\nb: {c: 1, c: 2}", "a: 1\na: 2"):
        with pytest.raises(ConfigError, match=r"mine.yaml: not valid YAML: '[ac]' is given twice"):
            read_yaml(text, "mine.yaml")
    assert read_yaml("x: &x {a: 1, b: 2}\ny: {<<: *x, a: 3}", "") == {"x": {"a": 1, "b": 2}, "y": {"a": 3, "b": 2}}
