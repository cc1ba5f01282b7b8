"""Detectors of a page's language: fastText's answer without fastText, and pages with nothing to read."""

from pathlib import Path

import fasttext
import pytest

from tamis.base.errors import ConfigError
from tamis.stages.filter.language import FastTextDetector, LangidDetector
from tamis.store.location import Location

ENGLISH = "the quick brown fox jumps over the lazy dog and runs away from the house"
GERMAN = "der schnelle braune fuchs springt über den faulen hund und läuft vom haus weg"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small classifier of the kind of lid.176: character n-grams, hierarchical softmax."""
    folder = tmp_path_factory.mktemp("language")
    lines = [
        f"__label__{language} {words[i % 5 :]}"
        for language, words in (("en", ENGLISH), ("de", GERMAN), ("xx", "0 1 0 1 0 1"))
        for i in range(60)
    ]
    (folder / "train.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    trained = fasttext.train_supervised(
        input=str(folder / "train.txt"), dim=16, minn=2, maxn=4, bucket=2000, loss="hs", lr=0.5, thread=1, verbose=0
    )
    trained.save_model(str(folder / "lid.bin"))
    return folder / "lid.bin"


@pytest.mark.parametrize(("glue_lines", "newline"), [(True, ""), (False, " ")])
def test_a_fasttext_model_answers_as_in_the_library(model: Path, glue_lines: bool, newline: str) -> None:
    detector, library = FastTextDetector(Location(model), glue_lines), fasttext.load_model(str(model))
    assert detector.name == "lid.bin"
    for page in ["the fox\nruns", "der Hund läuft\nweg\n", "\u2028the dog\x85", "日本語", "1\0 0", "-\u3000-"]:
        (label,), (probability,) = library.predict(page.replace("\n", newline))
        language, score = detector.detect(page)
        assert language == label.removeprefix("__label__")
        assert score == pytest.approx(probability, abs=1e-6)
    assert detector.detect("the quick brown fox")[0] == "en"
    assert detector.detect("der schnelle braune fuchs")[0] == "de"


def test_newlines_are_deleted_or_blanks(model: Path) -> None:
    glued, spaced = FastTextDetector(Location(model), True), FastTextDetector(Location(model), False)
    assert glued.detect("the\nquick dog") == spaced.detect("thequick dog") != spaced.detect("the\nquick dog")


def test_pages_with_nothing_to_read_have_no_language(model: Path) -> None:
    for detector in (
        FastTextDetector(Location(model), True),
        FastTextDetector(Location(model), False),
        LangidDetector(),
    ):
        for page in ("", " \n", "...\n!? --"):
            assert detector.detect(page) == ("", 0.0)


def test_a_file_that_is_no_model_is_named(tmp_path: Path) -> None:
    (tmp_path / "lid.bin").write_bytes(b"<html>sign in</html>")
    with pytest.raises(ConfigError, match=r"filter\.language_model: .*lid\.bin .*does not start"):
        FastTextDetector(Location(tmp_path / "lid.bin"), True)
