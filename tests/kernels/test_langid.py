"""The language kernels against py3langid itself, whose model they score."""

import random

import numpy as np
import pytest

from tamis.kernels import langid

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


def test_lanes_count_what_one_walk_counts() -> None:
    """A small automaton for the n-grams a, ab and bca, on data long enough for lanes."""
    grams = [b"", b"a", b"ab", b"b", b"bc", b"bca"]
    features = np.array([-1, 0, 1, -1, -1, 2], np.int32)
    next_state = np.zeros((len(grams), 256), np.uint32)
    for state, gram in enumerate(grams):
        for byte in range(256):
            text = gram + bytes([byte])
            longest = max((g for g in grams if text.endswith(g)), key=len)
            next_state[state, byte] = grams.index(longest)
    rows = np.arange(len(grams), dtype=np.uint32)
    flat = next_state.reshape(-1)
    assert langid.automaton_depth(flat, rows) == 3
    rng = random.Random(2)
    for size in (0, 1, 95, 96, 97, 1000, 1003):
        data = bytes(rng.choices(b"abcd", k=size))
        # a state gives its own feature only, so "bca" hides the "a" that it ends in
        wanted = [0, 0, 0]
        for end in range(1, size + 1):
            longest = max((g for g in grams if data[:end].endswith(g)), key=len)
            if features[grams.index(longest)] >= 0:
                wanted[features[grams.index(longest)]] += 1
        counts, seen = np.zeros(3, np.int32), np.zeros(max(size, 1), np.int32)
        array = np.frombuffer(data, np.uint8)
        distinct = langid.count_features(array, flat, rows, features, 3, counts, seen)
        assert counts.tolist() == wanted
        assert sorted(seen[:distinct].tolist()) == [k for k in range(3) if wanted[k]]
