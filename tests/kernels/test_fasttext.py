"""fastText classifiers in kernels: the library's own probabilities, the twin's, and files that are no models."""

import io
import json
import os
import struct
import tracemalloc
from pathlib import Path
from typing import Any

import fasttext
import numpy as np
import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tamis.kernels.fasttext.classifier import TextClassifier
from tamis.kernels.fasttext.file import ModelFile, read_model
from tamis.kernels.reference.fasttext import classifier as twin

WORDS = ["the", "sieve", "größe", "日本語", "x" * 40, "parser", "ten", "a", "straße", "0123456789abcdef", "12345678"]
NASTY = [
    "", " ", "\0", "\t\r\v\f", "a", "x" * 300, "the sieve " * 100, "\u2028", "a\u2028b", "the\x85ten", "\xa0the",
    "the </s> parser ten", "__label__0 the", "__label__none the", "__label_", "</s>", "</s></s>", "größe\u3000ten",
    "a\x1cb\x1fc", "日本語" * 50, "x" * 39, "x" * 41, "12345678 0123456789abcdef 0123456789abcdeF", "\x01 \x02the",
    "__label__", "👨\u200d👩 e\u0301",
]  # fmt: skip
KINDS: dict[str, dict[str, Any]] = {
    "bigram_softmax_2": {"labels": 2, "wordNgrams": 2, "bucket": 5000},
    "trigram_softmax_5": {"labels": 5, "wordNgrams": 3, "bucket": 1000, "dim": 4},
    "five_grams_wide": {"labels": 3, "wordNgrams": 5, "bucket": 100_003},
    "unigram": {"labels": 2},
    "chars_hs": {"labels": 12, "minn": 2, "maxn": 4, "bucket": 3000, "loss": "hs", "dim": 4},
    "chars_and_bigrams_hs_folded": {"labels": 7, "minn": 1, "maxn": 3, "wordNgrams": 2, "bucket": 700, "loss": "hs"},
    "chars_ova": {"labels": 4, "minn": 3, "maxn": 6, "bucket": 4000, "loss": "ova"},
    "negative_sampling": {"labels": 4, "wordNgrams": 2, "bucket": 300, "loss": "ns"},
    "one_label": {"labels": 1},
}
QUANTISED: dict[str, tuple[str, dict[str, Any]]] = {
    "plain": ("bigram_softmax_2", {}),
    "norms": ("bigram_softmax_2", {"qnorm": True}),
    "cutoff": ("bigram_softmax_2", {"cutoff": 400}),
    "retrained": ("chars_hs", {"cutoff": 600, "retrain": True, "qnorm": True, "epoch": 1, "lr": 0.1, "thread": 1}),
    "uneven_pieces": ("chars_ova", {"dsub": 3}),
}


def sentences(number: int, labels: int) -> list[str]:
    """Labelled lines of Zipfian words and of words made up."""
    rng = np.random.default_rng(labels)
    lines = []
    for i in range(number):
        ranks = np.minimum(rng.zipf(1.3, size=12), 400)
        words = [WORDS[rank] if rank < len(WORDS) else f"w{rank}" for rank in ranks]
        lines.append(f"__label__{min(i % labels, (i * 7) % labels)} {' '.join(words)} topic{i % labels}")
    return lines


@pytest.fixture(scope="module")
def train(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A function from a kind of model to `(path, model of the library, file it learned from)`; each is trained once."""
    folder, made = tmp_path_factory.mktemp("models"), {}

    def get(kind: str) -> tuple[Path, Any, Path]:
        if kind not in made:
            options = {"dim": 8, "lr": 0.5, "epoch": 3, "thread": 1, "verbose": 0} | KINDS[kind]
            corpus, path = folder / f"{kind}.txt", folder / f"{kind}.bin"
            corpus.write_text("\n".join(sentences(400, options.pop("labels"))) + "\n", encoding="utf-8")
            model = fasttext.train_supervised(input=str(corpus), **options)
            model.save_model(str(path))
            made[kind] = (path, model, corpus)
        return made[kind]

    return get


def classifier(path: Path) -> TextClassifier:
    with path.open("rb") as file:
        return TextClassifier(file)


def model_file(path: Path) -> ModelFile:
    with path.open("rb") as file:
        return read_model(file)


def pack(texts: list[str] | list[bytes]) -> tuple[np.ndarray, np.ndarray]:
    parts = [text.encode() if isinstance(text, str) else text for text in texts]
    offsets = np.concatenate([[0], np.cumsum([len(part) for part in parts])]).astype(np.int64)
    return np.frombuffer(b"".join(parts), np.uint8), offsets


def check(ours: TextClassifier, library: Any, texts: list[str], tolerance: float = 1e-6) -> None:
    """The same probability of every label. fastText leaves out what is less likely than 0.00001."""
    lines = [twin.flatten(text).decode() for text in texts]
    labels, expected = library.predict(lines, k=-1)
    found = ours.probabilities(*pack(texts), is_page=True)
    assert np.array_equal(found, ours.probabilities(*pack(lines)), equal_nan=True)
    for i, text in enumerate(texts):
        theirs = dict(zip(labels[i], expected[i], strict=True))
        if not theirs:
            assert np.isnan(found[i]).all(), text[:80]
        for label, probability in zip(ours.labels, found[i], strict=True):
            if not theirs:
                continue
            if label in theirs:
                assert probability == pytest.approx(theirs[label], abs=tolerance), (text[:80], label)
            else:
                assert probability < 2e-5, (text[:80], label)


def test_long_texts_are_summed_more_exactly_than_by_the_library(train: Any) -> None:
    for kind, text in [("bigram_softmax_2", "the sieve ten parser " * 5_000), ("chars_hs", "x" * 10_000)]:
        path, library, _ = train(kind)
        found = classifier(path).probabilities(*pack([text]))
        np.testing.assert_allclose(found, [twin.probabilities(model_file(path), text.encode())], atol=1e-6)
        check(classifier(path), library, [text], tolerance=1e-3)  # it adds all these rows up in float32


def test_a_text_scores_the_same_alone_and_at_any_place(train: Any) -> None:
    for kind in ("bigram_softmax_2", "chars_and_bigrams_hs_folded"):
        ours = classifier(train(kind)[0])
        texts = [*(text for text in NASTY if len(text) < 1000), *("0123456789abcdefghi"[:n] for n in range(19))]
        together = ours.probabilities(*pack(texts), is_page=True)
        for text, expected in zip(texts, together, strict=True):
            assert np.array_equal(ours.probabilities(*pack([text]), is_page=True)[0], expected), text
            data, offsets = pack(["\x85", text, "ten"])
            assert np.array_equal(ours.probabilities(data, offsets[1:3], is_page=True)[0], expected), text
        assert ours.probabilities(*pack([])).shape == (0, len(ours.labels))


def test_words_and_breaks_at_every_distance_from_the_start(train: Any) -> None:
    path, _, _ = train("bigram_softmax_2")
    model, ours = model_file(path), classifier(path)
    tails = [
        " </s> the",
        "\u2028the ten",
        "\x85the",
        "\xa0the",
        " 12345678 12345678a",
        " " * 9 + "parser",
        "größe\n\nten",
    ]
    pages = ["ten " + "y" * length + tail for length in range(70) for tail in tails]
    found = ours.probabilities(*pack(pages), is_page=True)
    expected = [twin.probabilities(model, twin.flatten(page)) for page in pages]
    np.testing.assert_allclose(found, expected, atol=1e-6)


def own_texts(kind: str) -> list[str]:
    return [line.split(" ", 1)[1] for line in sentences(60, KINDS[kind]["labels"])]


@pytest.mark.parametrize("kind", KINDS)
def test_probabilities_are_the_librarys(train: Any, kind: str) -> None:
    path, library, _ = train(kind)
    ours = classifier(path)
    assert sorted(ours.labels) == sorted(library.get_labels())
    assert ours.num_words == len(library.get_words())
    check(ours, library, own_texts(kind) + NASTY)
    # From bytes, and from a stream that is no file, the model is the same.
    for source in (path.read_bytes(), io.BytesIO(path.read_bytes())):
        found = TextClassifier(source).probabilities(*pack(NASTY))
        assert np.array_equal(found, ours.probabilities(*pack(NASTY)), equal_nan=True)


@pytest.mark.parametrize("name", QUANTISED)
def test_quantised_models(train: Any, tmp_path: Path, name: str) -> None:
    kind, options = QUANTISED[name]
    path, _, corpus = train(kind)
    library = fasttext.load_model(str(path))
    library.quantize(input=str(corpus), **({"dsub": 2, "verbose": 0} | options))
    library.save_model(str(tmp_path / "q.ftz"))
    library = fasttext.load_model(str(tmp_path / "q.ftz"))
    check(classifier(tmp_path / "q.ftz"), library, own_texts(kind) + NASTY)


def test_quantised_outputs(tmp_path: Path) -> None:
    corpus = tmp_path / "t.txt"
    corpus.write_text("\n".join(sentences(3000, 600)) + "\n", encoding="utf-8")
    library = fasttext.train_supervised(
        input=str(corpus), dim=6, thread=1, epoch=1, verbose=0, wordNgrams=2, bucket=900
    )
    library.quantize(input=str(corpus), qout=True, dsub=4, qnorm=True)
    library.save_model(str(tmp_path / "q.ftz"))
    texts = [line.split(" ", 1)[1] for line in sentences(40, 600)]
    check(classifier(tmp_path / "q.ftz"), fasttext.load_model(str(tmp_path / "q.ftz")), texts)


@pytest.mark.parametrize("kind", KINDS)
def test_bytes_that_are_no_utf_8_go_as_the_twin_says(train: Any, kind: str) -> None:
    path, _, _ = train(kind)
    model, ours = model_file(path), classifier(path)
    texts = [
        b"\xff\xfe the",
        b"\x80\x80\xbf",
        b"caf\xe9 ten",
        b"\xc2",
        b"\xe2\x80",
        b"gr\xc3 \xb6\xc3\x9f",
        b"\xf0\x9f",
    ]
    found = ours.probabilities(*pack(texts))
    expected = np.array([twin.probabilities(model, text) for text in texts])
    np.testing.assert_allclose(found, expected, atol=1e-6)


PIECES = [
    *WORDS,
    *NASTY[:4],
    " ",
    " ",
    "\n",
    "\u2028",
    "\x85",
    "\xa0",
    "\x1f",
    "</s>",
    "__label__0",
    "__label__zz",
    "ê",
    "ф",
]
LINES = st.lists(st.one_of(st.sampled_from(PIECES), st.characters(exclude_categories=["Cs"])), max_size=30).map("".join)


@given(pages=st.lists(LINES, max_size=5))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@pytest.mark.parametrize("kind", ["bigram_softmax_2", "chars_and_bigrams_hs_folded"])
def test_pages_go_as_the_twin_says(train: Any, kind: str, pages: list[str]) -> None:
    path, _, _ = train(kind)
    model, ours = model_file(path), loaded(path)
    found = ours.probabilities(*pack(pages), is_page=True)
    assert found.shape == (len(pages), len(ours.labels))
    for page, row in zip(pages, found, strict=True):
        np.testing.assert_allclose(row, twin.probabilities(model, twin.flatten(page)), atol=1e-6)


_LOADED: dict[Path, TextClassifier] = {}


def loaded(path: Path) -> TextClassifier:
    if path not in _LOADED:
        _LOADED[path] = classifier(path)
    return _LOADED[path]


def golden_pages(shared_data: Path) -> list[str]:
    pages = []
    for path in sorted((shared_data / "golden").glob("*.rules.jsonl.zst")):
        with path.open("rb") as raw, zstandard.ZstdDecompressor().stream_reader(raw) as stream:
            pages += [json.loads(line)["text"] for line in io.TextIOWrapper(stream, "utf-8", newline="\n")]
    assert len(pages) > 500
    return pages


@pytest.mark.parametrize("kind", ["bigram_softmax_2", "chars_hs"])
def test_real_pages(train: Any, shared_data: Path, kind: str) -> None:
    path, library, _ = train(kind)
    check(classifier(path), library, golden_pages(shared_data)[::4])


def test_language_identification(shared_data: Path) -> None:
    given_path = os.environ.get("TAMIS_LID176")
    if given_path is None:
        pytest.skip("TAMIS_LID176 does not name a lid.176.ftz or lid.176.bin")
    ours, library = classifier(Path(given_path)), fasttext.load_model(given_path)
    assert len(ours.labels) == 176
    pages = [page[:20_000] for page in golden_pages(shared_data)] + NASTY
    lines = [twin.flatten(page).decode() for page in pages]
    labels, expected = library.predict(lines, k=1)
    found = ours.probabilities(*pack(lines))
    for row, (label,), probability in zip(found, labels, expected, strict=True):
        assert ours.labels[int(row.argmax())] == label
        assert row.max() == pytest.approx(probability[0], abs=5e-6)


def test_files_that_are_no_classifiers_say_why(train: Any, tmp_path: Path) -> None:
    whole = train("chars_hs")[0].read_bytes()
    for end in [*range(0, 200, 9), len(whole) // 2, len(whole) - 1]:
        with pytest.raises(ValueError, match=r"cut short|does not start"):
            TextClassifier(whole[:end])
    with pytest.raises(ValueError, match="does not start"):
        TextClassifier(b"not a model at all")
    with pytest.raises(ValueError, match="version 13"):
        TextClassifier(whole[:4] + struct.pack("<i", 13) + whole[8:])
    vectors = tmp_path / "vectors.bin"
    corpus = train("unigram")[2]
    fasttext.train_unsupervised(input=str(corpus), dim=4, bucket=50, thread=1, verbose=0).save_model(str(vectors))
    with pytest.raises(ValueError, match="word vectors"):
        classifier(vectors)
    dense = bytearray(train("unigram")[0].read_bytes())
    dense[-4:] = struct.pack("<f", float("nan"))
    with pytest.raises(ValueError, match="not finite"):
        TextClassifier(bytes(dense))


def test_a_header_is_not_believed_with_memory_or_time(train: Any, tmp_path: Path) -> None:
    """The header's numbers after magic and version: dim, …, n-gram words (5), loss, kind, buckets (8), minn, maxn.
    Every bucket of a pruned model takes memory: 2³¹ of them would be 8.6 GB."""
    path, _, corpus = train("bigram_softmax_2")
    library = fasttext.load_model(str(path))
    library.quantize(input=str(corpus), dsub=2, cutoff=300, verbose=0)
    library.save_model(str(tmp_path / "q.ftz"))
    pruned, dense = (tmp_path / "q.ftz").read_bytes(), train("chars_hs")[0].read_bytes()
    assert TextClassifier(pruned).num_words
    tracemalloc.start()
    for whole, field, message in [
        (pruned, 8, "2147483647 buckets"),
        (dense, 8, "do not belong"),
        (dense, 5, "too long"),
        (dense, 10, "too long"),
    ]:
        damaged = bytearray(whole)
        struct.pack_into("<i", damaged, 8 + 4 * field, 2**31 - 1)
        with pytest.raises(ValueError, match=message):
            TextClassifier(bytes(damaged))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100e6


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.integers(0, 400), value=st.integers(0, 255))
def test_a_damaged_byte_is_an_error_or_another_model(train: Any, place: int, value: int) -> None:
    damaged = bytearray(train("chars_hs")[0].read_bytes())
    damaged[place] = value
    try:
        TextClassifier(bytes(damaged)).probabilities(*pack(["the sieve größe zzz"]))
    except ValueError as error:
        assert str(error)
