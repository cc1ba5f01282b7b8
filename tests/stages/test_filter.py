"""The filter stage: goldens of DCLM's own chain, first reason wins, thresholds move, the accounting balances."""

import io
import json
import pickle
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import zstandard

from tamis.base import columns
from tamis.base.errors import ConfigError
from tamis.base.recipe import Recipe
from tamis.base.stage import StageContext
from tamis.stages.filter.stage import Filter, build
from tamis.store.location import Location

MAPPER_OF_REASON = {
    "too_few_words": "page_length_filter",
    "too_many_words": "page_length_filter",
    "words_too_short": "word_length_filter",
    "words_too_long": "word_length_filter",
    "too_many_symbols": "symbol_ratio_filter",
    "too_many_bullet_lines": "bullet_count_filter",
    "too_many_ellipsis_lines": "ellipsis_count_filter",
    "too_few_alphabetic_words": "alphabetic_word_ratio_filter",
    "too_few_stop_words": "stop_word_filter",
    "too_many_words_removed": "word_removal_ratio_filter",
}
PAGE = (
    "The quick brown fox jumps over the lazy dog, and that is all there is to say of it for now.\n"
    "It would be good to have more of these pages with words in them, to see what is kept.\n"
    "Nobody in the village could remember who had first planted the orchard behind the mill.\n"
    "Some said it was a miller, others claimed that a travelling monk had left the seeds.\n"
)


def make(mode: str = "fixed", **settings: object) -> Filter:
    (stage,) = build(settings, Recipe(name="x", mode=mode, stages=[]))
    stage.check_columns({field.name: field.type for field in columns.POOL_SCHEMA})
    stage = pickle.loads(pickle.dumps(stage))
    stage.open(StageContext(seed=0, assets={name: Location(path) for name, path in stage.assets().items()}))
    return stage


def batch_of(texts: list[str | None], urls: list[str] | None = None) -> pa.RecordBatch:
    return pa.RecordBatch.from_pydict(
        {
            "id": [str(i) for i in range(len(texts))],
            "url": urls or ["http://a.example/"] * len(texts),
            "text": pa.array(texts, pa.string()),
            "drop_reason": pa.nulls(len(texts), pa.string()),
            "error": pa.nulls(len(texts), pa.string()),
        }
    )


def golden_pages(path: Path) -> list[dict]:
    with path.open("rb") as raw, zstandard.ZstdDecompressor().stream_reader(raw) as stream:
        return [json.loads(line) for line in io.TextIOWrapper(stream, "utf-8", newline="\n")]


@pytest.mark.parametrize("name", ["web-dev", "docs-dev"])
def test_paper_mode_is_dclm(shared_data: Path, name: str) -> None:
    pages = golden_pages(shared_data / "golden" / f"{name}.rules.jsonl.zst")
    out = make("paper", keep_languages=[]).apply(batch_of([page["text"] for page in pages]))
    for page, reason, text in zip(pages, out["drop_reason"].to_pylist(), out["text"].to_pylist(), strict=True):
        mapper = reason and MAPPER_OF_REASON.get(reason, "massive_web_repetition_filters")
        assert mapper == page["baseline"]["removed_by"], page["id"]
        if reason is None:
            assert text == page["baseline"]["text"], page["id"]


def test_keeps_an_ordinary_page() -> None:
    out = make().apply(batch_of([PAGE]))
    assert out["drop_reason"].to_pylist() == [None]
    assert out["language"].to_pylist() == ["en"]
    assert out["num_words"].to_pylist() == [float(len(PAGE.split()))]
    assert out["text"].to_pylist() == [PAGE.strip()]


def test_first_reason_wins_and_removed_rows_keep_their_text() -> None:
    short = "THE END\n\n\n\nof it"
    out = make().apply(batch_of([short, None, "", PAGE]))
    assert out["drop_reason"].to_pylist() == ["unsure_language", None, "no_text", None]
    assert out["text"].to_pylist()[:3] == [short, None, ""]
    assert np.isnan(out["num_words"].to_pylist()[0])


def test_thresholds_move() -> None:
    assert make(min_words=100).apply(batch_of([PAGE]))["drop_reason"].to_pylist() == ["too_few_words"]
    kept = make(min_words=100, skip_rules=["too_few_words"]).apply(batch_of([PAGE]))
    assert kept["drop_reason"].to_pylist() == [None]


def test_language_rules() -> None:
    german = "Der schnelle braune Fuchs springt über den faulen Hund und niemand hat ihn gesehen. " * 3
    out = make().apply(batch_of([german]))
    assert out["drop_reason"].to_pylist() == ["wrong_language"]
    assert out["language"].to_pylist() == ["de"]


def test_languages_of_sentences() -> None:
    page = PAGE + "Der schnelle braune Fuchs springt über den faulen Hund, und niemand hat ihn dabei gesehen."
    out = make(sentence_languages=True, min_language_score=0.0).apply(batch_of([page, None]))
    found = json.loads(out["sentence_languages"][0].as_py())
    assert {language: each["number_of_sentences"] for language, each in found.items()} == {"en": 4, "de": 1}
    assert all(0 < each["average_probability"] <= 1 for each in found.values())
    assert out["sentence_languages"][1].as_py() is None


def test_banned_hosts(tmp_path: Path) -> None:
    (tmp_path / "hosts.txt").write_text("bad.example\n")
    urls = ["http://bad.example/x", "https://www.bad.example/x", "http://good.example/bad.example"]
    fixed = make(banned_domains=str(tmp_path / "hosts.txt")).apply(batch_of([PAGE] * 3, urls))
    assert fixed["drop_reason"].to_pylist() == ["banned_domain", "banned_domain", None]
    paper = make("paper", banned_domains=str(tmp_path / "hosts.txt")).apply(batch_of([PAGE] * 3, urls))
    assert paper["drop_reason"].to_pylist() == ["banned_domain", None, None]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rules": "refinedwep"}, "did you mean 'refinedweb'"),
        ({"min_wrods": 3}, "did you mean 'min_words'"),
        ({"skip_rules": ["too_few_wrods"]}, "did you mean 'too_few_words'"),
        ({"rules": "gopher", "max_words_removed_fraction": 0.1}, "no such rule"),
    ],
)
def test_wrong_settings_are_named(settings: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make(**settings)


def test_empty_batch() -> None:
    stage = make()
    out = stage.apply(batch_of([]))
    assert out.num_rows == 0
    assert set(stage.adds.names) <= set(out.schema.names)
