"""Tokenizer files: every kind of wrong file is one clear message, wherever a tokenizer is used."""

import json
from pathlib import Path
from typing import Any

import pytest

from tamis.base.errors import ConfigError
from tamis.base.recipe import Recipe
from tamis.base.stage import StageContext
from tamis.base.tokenizer_file import MOST_IDS, count_ids
from tamis.stages.cut.stage import build as build_cut
from tamis.stages.filter.stage import build as build_filter
from tamis.stages.tokenize.bpe import train_tokenizer
from tamis.stages.tokenize.stage import build as build_tokenize
from tamis.store.location import Location
from tamis.store.tokens import vocab_size

GOOD = json.loads(train_tokenizer(["a text and a text"] * 3, 270))
STAGES: dict[str, tuple[Any, dict[str, Any]]] = {
    "tokenize": (build_tokenize, {}),
    "filter": (build_filter, {"rules": "none", "keep_languages": []}),
    "cut": (build_cut, {"column": "num_words", "keep_fraction": 0.5, "of": "tokens"}),
}


def with_vocabulary(**ids: Any) -> dict[str, Any]:
    return GOOD | {"model": GOOD["model"] | {"vocab": GOOD["model"]["vocab"] | ids}}


def with_added(token: Any) -> dict[str, Any]:
    return GOOD | {"added_tokens": [*GOOD["added_tokens"], token]}


WRONG: dict[str, tuple[Any, str]] = {
    "a negative id": (with_vocabulary(zz=-1), "token id -1;"),
    "a text for an id": (with_vocabulary(zz="7"), "token id '7';"),
    "an id beyond any model": (with_vocabulary(zz=2**40), "token id 1099511627776;"),
    "an id beyond 64 bits": (with_vocabulary(zz=2**70), "token id"),
    "a fraction": (with_vocabulary(zz=1.5), "token id 1.5;"),
    "a truth value": (with_vocabulary(zz=True), "token id True;"),
    "null": (with_vocabulary(zz=None), "token id None;"),
    "an added negative id": (with_added({"id": -3, "content": "x"}), "token id -3;"),
    "an added id beyond": (with_added({"id": MOST_IDS, "content": "x"}), f"token id {MOST_IDS};"),
    "an added token without an id": (with_added({"content": "x"}), "is not a Hugging Face"),
    "an added text": (with_added("x"), "is not a Hugging Face"),
    "no vocabulary": ({"model": {}}, "is not a Hugging Face"),
    "a list": ([], "is not a Hugging Face"),
    "a vocabulary that is a number": ({"model": {"vocab": 3}}, "is not a Hugging Face"),
    "an unknown kind of model": (
        GOOD | {"model": {"type": "Z", "vocab": {}, "merges": []}},
        "cannot be used",
    ),
    "unknown merges": (GOOD | {"model": GOOD["model"] | {"merges": ["q w"]}}, "cannot be used by the library"),
    "deep": ("[" * 100_000, "is not a Hugging Face"),
    "no JSON": ("{", "is not a Hugging Face"),
    "not UTF-8": (b"\xff\xfe{}", "is not a Hugging Face"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_files(tmp_path: Path, name: str) -> None:
    content, why = WRONG[name]
    text = content if isinstance(content, str | bytes) else json.dumps(content)
    (tmp_path / "t.json").write_bytes(text if isinstance(text, bytes) else text.encode())
    place = Location(tmp_path / "t.json")
    for stage, (build, settings) in STAGES.items():
        built = build(settings | {"tokenizer": str(place)}, Recipe(name="x", stages=[]))
        opened = built[0] if isinstance(built, list) else built
        with pytest.raises(ConfigError, match=rf"^{stage}\.tokenizer: .*t\.json ") as raised:
            opened.open(StageContext(seed=0, assets={"tokenizer": place}))
        assert why in str(raised.value) and len(str(raised.value)) < 500
    if "library" not in why and "cannot" not in why:
        with pytest.raises(ConfigError, match=r"^tokenizer: .*t\.json "):
            vocab_size(place)


def test_a_good_file() -> None:
    assert count_ids(json.dumps(GOOD), "x") == 1 + max(GOOD["model"]["vocab"].values())
    assert count_ids(json.dumps(with_vocabulary(zz=MOST_IDS - 1)), "x") == MOST_IDS
    assert count_ids(json.dumps({"model": {"vocab": [["a", 0.5], ["b", 0.1]]}}), "x") == 2
