"""The language kernels against py3langid itself, whose model they score."""

import random

import numpy as np
import pytest

from tamis.kernels.language import langid

pytest.importorskip("py3langid")
SENTENCES = [
    "The orchard behind the mill was planted before anyone in the village could remember.",
    "Der Obstgarten hinter der Mühle wurde gepflanzt, bevor sich jemand im Dorf erinnern konnte.",
    "Le verger derrière le moulin a été planté avant que quiconque au village ne s'en souvienne.",
    "El huerto detrás del molino fue plantado antes de que nadie en el pueblo pudiera recordarlo.",
    "Фруктовый сад за мельницей был посажен раньше, чем кто-либо в деревне мог вспомнить.",
    "水车后面的果园在村里任何人记得之前就已经种下了。",
    "製粉所の裏の果樹園は、村の誰もが覚えているより前に植えられた。",
    "ALL CAPITALS ARE LOWERED BEFORE THEY ARE READ, IF THERE IS NOTHING ELSE.",
    "Cafe\u0301 is composed before it is read.",
    "1234 5678",
    "\U0001f600",
]


def test_agrees_with_py3langid() -> None:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    from tamis.stages.filter.language import LangidDetector

    theirs, ours = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True), LangidDetector()
    rng = random.Random(1)
    pages = SENTENCES + [" ".join(rng.choices(SENTENCES, k=rng.randrange(2, 40))) for _ in range(60)]
    for page in pages:
        language, score = theirs.classify(page)
        found, probability = ours.detect(page)
        assert found == language, page
        assert probability == pytest.approx(score, abs=1e-4), page


GRAMS = [b"", b"a", b"ab", b"b", b"bc", b"bca"]
FEATURES = np.array([-1, 0, 1, -1, -1, 2], np.int32)
"""A small automaton, for a, ab and bca. A state gives its own feature only, so that bca hides the a it ends in."""


def small_automaton() -> langid.Automaton:
    """With one row for the states of which no n-gram is longer by a byte, as py3langid's has it."""
    next_state = np.zeros((len(GRAMS), 256), np.uint32)
    for state, gram in enumerate(GRAMS):
        for byte in range(256):
            next_state[state, byte] = GRAMS.index(longest_end(gram + bytes([byte])))
    rows, state_row = np.unique(next_state, axis=0, return_inverse=True)
    return langid.automaton(rows.reshape(-1), state_row.reshape(-1), FEATURES, 3)


def longest_end(text: bytes) -> bytes:
    return max((gram for gram in GRAMS if text.endswith(gram)), key=len)


def test_scores_of_a_small_model() -> None:
    """Texts from nothing to long enough for lanes, in one call; their neighbours do not matter."""
    machine = small_automaton()
    assert machine.depth == 3
    assert len(machine.first_state) < len(GRAMS)
    weights, priors = np.array([[-2, -3.5], [-14, -3], [-4, -8]]), np.array([-1.0, -2.0])
    rng = random.Random(2)
    texts = [bytes(rng.choices(b"abcd", k=size)) for size in (0, 1, 1, 2, 95, 96, 97, 0, 1000, 1003, 5000)]
    found = langid.scores(texts, machine, langid.integer_weights(weights), priors)
    for text, scores in zip(texts, found, strict=True):
        counts = np.zeros(3)
        for end in range(1, len(text) + 1):
            feature = FEATURES[GRAMS.index(longest_end(text[:end]))]
            counts[feature] += feature >= 0
        if counts.any():
            assert scores == pytest.approx(np.log1p(counts) @ weights + priors, rel=1e-6)
        else:
            assert np.isnan(scores).all()


def test_no_texts() -> None:
    found = langid.scores([], small_automaton(), np.zeros((3, 16), np.int16), np.zeros(2))
    assert found.shape == (0, 2)


def test_models_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="multiples of 1/512"):
        langid.integer_weights(np.array([[-1.0001]]))
    with pytest.raises(ValueError, match="16 bits"):
        langid.integer_weights(np.array([[-65.0]]))
    with pytest.raises(ValueError, match="not UTF-8"):
        langid.automaton(np.ones(256, np.uint32), np.zeros(2), np.zeros(2), 1)
