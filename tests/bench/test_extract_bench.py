"""The benchmark of extraction engines: its scores, its files, and what it finds on pages whose text is known."""

import json
import runpy
from pathlib import Path

import pytest

from tamis.base.errors import ConfigError, DataError
from tamis.stages.extract.engines.model_file import model_document

BENCH = runpy.run_path(str(Path(__file__).parents[2] / "bench" / "extract.py"))


def test_word_scores_count_words_as_often_as_they_occur() -> None:
    assert BENCH["word_scores"]("a a b c", "a b b d") == (0.5, 0.5, 0.5)
    assert BENCH["word_scores"]("", "a") == (0, 0, 0)


def test_the_block_engine_beats_resiliparse_on_known_text(shared_data: Path) -> None:
    web = shared_data / "data/web"
    rows = BENCH["compare"](web / "web-dev.warc.gz", web / "web-dev.truth.jsonl", ["resiliparse", "tamis"], rounds=1)
    resiliparse, ours = rows
    assert resiliparse["pages"] == 752
    assert (resiliparse["f1"], resiliparse["precision"]) == (
        pytest.approx(0.890, abs=1e-3),
        pytest.approx(0.831, abs=1e-3),
    )
    assert (resiliparse["kept"], resiliparse["dropped"]) == (
        pytest.approx(0.970, abs=2e-3),
        pytest.approx(0.680, abs=2e-3),
    )
    # On pages that it learned from; the scores on hosts it had not seen are in the model file.
    assert ours["f1"] > 0.95 and ours["dropped"] > 0.9 and ours["kept"] > 0.93
    assert model_document()["provenance"]["held_out"]["f1"] > 0.921
    assert "| tamis |" in BENCH["format_table"](rows)


def test_quality_leaves_out_what_no_page_can_tell() -> None:
    page = BENCH["Page"]("https://a.example/", "", ["kept  text"], ["gone"], "", "")
    assert BENCH["quality"](["some kept text"], [page]) == {"kept": 1.0, "dropped": 1.0}
    page = page._replace(keep=[], drop=[], body="one two", source="readability")
    assert BENCH["quality"](["one two"], [page]) == {"f1_all_bodies": 1.0}


def test_missing_and_foreign_truth_are_named(tmp_path: Path) -> None:
    warc, truth = tmp_path / "web.warc", tmp_path / "truth.jsonl"
    with pytest.raises(ConfigError, match="no such file"):
        BENCH["load_pages"](warc, truth)
    warc.write_bytes(b"")
    truth.write_text(json.dumps({"url": "https://a.example/", "with": [], "without": []}) + "\n")
    with pytest.raises(DataError, match="none of its pages"):
        BENCH["load_pages"](warc, truth)
