"""Semantic deduplication over the whole corpus: SemDeDup (Abbas et al. 2023, arXiv 2303.09540).

Documents are embedded where they are sketched. The decision puts the embeddings into clusters and, inside each, removes
what is too similar to an earlier document of the same cluster. It is exact arithmetic (see `vectors`): the same
sketches give the same decision on any machine and with any number of threads.
"""

import json
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from tamis.base import columns
from tamis.base.batches import replace_column
from tamis.base.config import Config
from tamis.base.errors import ConfigError
from tamis.base.seeds import named_rng
from tamis.base.signals import Rule, Signal
from tamis.base.stage import Corpus, Cost, Sketches, StageContext
from tamis.stages.dedup import planted
from tamis.stages.dedup.merge import add_merged, merged_texts
from tamis.stages.dedup.semantic import embedders
from tamis.stages.dedup.semantic.semdedup import Method, SimilarDocuments, SketchLines, find_similar
from tamis.stages.dedup.semantic.vectors import quantize, to_columns
from tamis.stages.dedup.survivors import (
    DUPLICATE_OF,
    FIRST,
    MERGED_FROM,
    NUM_COPIES,
    SIMILARITY,
    DocumentDedup,
    Keep,
    decision_table,
    pick,
    taken,
)

CLUSTER = "cluster"
"""int32, nullable: number of the document's cluster; null = not embedded."""
CENTROID = "centroid"
REASON = "duplicate_meaning"
SOURCE = "SemDeDup, arXiv 2303.09540"
DOCUMENTS_PER_CLUSTER = 8800
"""The released configuration's 50,000 clusters for LAION-440M."""
SHOWN_EPS = (0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3)
"""Values of eps for which the card reports how many documents would be removed."""


BYTES_PER_LINE = 200
"""Bytes of memory per document during the decision; measured by bench/semantic.py, as are the next two."""
WORKING_BYTES = 50 << 20
"""Bytes of one row group of sketches and of the blocks of products."""
STORED_SHARE = 0.74
"""Compressed size over size of quantised embeddings (zstd)."""
STORED_TEXT_SHARE = 0.4
"""Compressed size over size of English web text (zstd), which is stored where survivors are merged."""


class SemanticConfig(Config):
    """Settings of `dedup` with `method: semantic`."""

    method: Literal["semantic"] = "semantic"
    embedder: str = embedders.DEFAULT_MODEL
    """A sentence-transformers model (a name on the Hugging Face hub, `name@commit`, or a folder, which needs no
    network), or a function of yours, as `./file.py:name` or `package.module:name`, that takes a list of texts and
    returns one row of numbers for each."""
    max_tokens: int | None = Field(default=None, ge=1)
    """Number of tokens of a text that a model reads; default and upper limit: the model's own. A function gets whole
    texts."""
    batch_size: int | None = Field(default=None, ge=1)
    """Texts given to a model at once. Default: 1 on a processor, where that costs nothing and makes a vector
    independent of its neighbours; 64 on a GPU."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """The device that a model runs on; auto: a GPU where there is one. Vectors from different devices differ in the
    last bits."""
    eps: float = Field(default=0.1, gt=0, lt=1)
    """A document is removed when its cosine similarity to an earlier one of its cluster exceeds 1 - eps. The effect of
    a value depends on the embedder; the card reports how many documents other values would remove. The default was
    chosen for all-MiniLM-L6-v2 (bench/results/semantic.md); the released code lists 0.00095 to 0.26 for keeping 80 % to
    20 %."""
    keep: str = CENTROID
    """Which of several similar documents comes first and is kept. `centroid`: the one least similar to the centroid of
    its cluster, as in the paper; or first, longest, highest:COLUMN, lowest:COLUMN."""
    num_clusters: int | None = Field(default=None, ge=1)
    """Number of clusters. Default: one per 8,800 distinct embeddings, as in the paper (50,000 for LAION-440M). Never
    more than there are distinct embeddings."""
    kmeans_iterations: int = Field(default=20, ge=1)
    """Largest number of rounds of spherical k-means; fewer when it converges (the released code: 100)."""
    kmeans_points: int = Field(default=256, ge=1)
    """Distinct embeddings per cluster that k-means learns from, drawn at random (faiss's default, as in the paper)."""
    part_documents: int = Field(default=500_000, ge=2)
    """Largest number of embeddings in memory. Clusters are compared in parts of this size, and all embeddings are read
    again for each part. A larger cluster is split in the order of similarity to its centroid, which the card
    reports."""
    annotate: bool = False
    """Only write the columns; remove nothing."""
    merge: bool = False
    """Add to the survivor the paragraphs of the removed documents that it lacks."""
    self_check: float = Field(default=0, ge=0, le=1)
    """Fraction of documents of which changed copies are planted, to measure how many of them are detected. Each copy
    needs one more embedding."""


class SemanticDedup(DocumentDedup):
    """Removes documents whose embedding is similar to that of another document of their cluster, as
    `duplicate_meaning`.

    Documents without text, and those whose embedding has no direction, are not compared. The original of a removed
    document is, as in SemDeDup, the most similar kept document before it. Where the document was removed for its
    similarity to another removed one, its similarity to the original may be below the threshold.
    """

    version: ClassVar[int] = 1
    config: SemanticConfig
    signals = (Signal(column=SIMILARITY, label="similarity to an earlier document", low=0, high=1),)

    def __init__(self, config: SemanticConfig) -> None:
        super().__init__(config, _keep(config.keep), REASON)
        self.reads = tuple(dict.fromkeys((*self.reads, columns.TEXT)))
        self.adds = pa.schema([*self.adds, (SIMILARITY, pa.float32()), (CLUSTER, pa.int32())])
        if config.merge:
            self.adds = self.adds.append(pa.field(MERGED_FROM, pa.list_(pa.string())))
        self.threshold = 1 - config.eps
        if not config.annotate:
            self.rules = (Rule(reason=REASON, column=SIMILARITY, op=">", threshold=self.threshold, source=SOURCE),)
        self.embedder = embedders.find_embedder(config.embedder)
        self._embed: embedders.Embed | None = None

    def assets(self) -> dict[str, str]:
        return self.embedder.files()

    def resolved_settings(self) -> dict[str, Any]:
        return super().resolved_settings() | {"embedder": self.embedder.spec}

    def card_settings(self) -> dict[str, Any]:
        """A model that is a folder of this machine is its files, which are assets."""
        of_folder = {"embedder": "assets"} if self.embedder.folder is not None else {}
        return super().card_settings() | of_folder

    def identity(self) -> list[Any]:
        settings = self.config.model_dump(mode="json", exclude={"embedder"})
        return [self.name, self.version, settings, self.embedder.identity()]

    def sketch(self, batch: pa.RecordBatch, rows: pa.Array) -> pa.Table:
        """One line per document and planted copy: `embedding` (binary: int16 values), `digest` (uint64), `id`, `row`
        and, where they matter, `rank`, `rate`, `text`."""
        texts = [text if text and not text.isspace() else None for text in batch.column(columns.TEXT).to_pylist()]
        plants = planted.plant(batch, self.config.self_check, self._seed)
        vectors, valid = self._vectors([*texts, *plants.texts])
        own, copied = slice(0, len(texts)), slice(len(texts), None)
        known = _rows_of(batch, rows, self.keep.ranks(batch), self.config.merge)
        lines = pa.table(to_columns(vectors[own], valid[own]) | known)
        if not self.config.self_check:
            return lines
        return planted.add_copies(lines, plants, to_columns(vectors[copied], valid[copied]))

    def open(self, context: StageContext) -> None:
        self._seed = context.seed

    def _vectors(self, texts: list[str | None]) -> tuple[np.ndarray, np.ndarray]:
        """`(int16[n, d], bool[n])`: quantised embeddings, and whether there is one."""
        present = [place for place, text in enumerate(texts) if text is not None]
        if not present:
            return np.zeros((len(texts), 0), np.int16), np.zeros(len(texts), bool)
        if self._embed is None:
            config = self.config
            self._embed = self.embedder.load(config.device, config.max_tokens, config.batch_size)
        found, directed = quantize(self._embed([text for text in texts if text is not None]))
        vectors, valid = np.zeros((len(texts), found.shape[1]), np.int16), np.zeros(len(texts), bool)
        vectors[present], valid[present] = found, directed
        return vectors, valid

    def decide(self, bucket: int, sketches: Sketches, context: StageContext) -> pa.Table:
        config = self.config
        lines = SketchLines.read(sketches, self.keep.rank_names)
        found = find_similar(sketches, lines, self._method(), named_rng(context.seed, self.name, "semantic"))
        grouped = (found.keeper != found.lines) | np.isin(found.lines, found.keeper[found.keeper != found.lines])
        members, keepers = found.lines[grouped], found.keeper[grouped]
        rows = np.flatnonzero(~lines.planted)
        decided = decision_table(sketches, members, keepers)
        table = _all_rows(sketches, rows, found, decided, np.searchsorted(rows, members))
        details = {"eps": config.eps, "documents": len(rows), **_details(found), **found.details}
        if config.self_check:
            rates = pick(sketches, [planted.RATE], found.plants)[planted.RATE].to_numpy()
            details["self_check"] = planted.recall_by_rate(rates, found.caught > np.float32(self.threshold))
        if config.merge:
            merged = merged_texts(sketches, members, keepers)
            table = add_merged(table, np.searchsorted(rows, merged.lines), merged)
            details["merge"] = merged.details
        return table.replace_schema_metadata({b"details": json.dumps(details).encode()})

    def _method(self) -> Method:
        config = self.config
        return Method(
            threshold=self.threshold,
            by_centroid=config.keep == CENTROID,
            num_clusters=lambda n: min(n, config.num_clusters or max(1, round(n / DOCUMENTS_PER_CLUSTER))),
            kmeans_iterations=config.kmeans_iterations,
            kmeans_points=config.kmeans_points,
            part_documents=config.part_documents,
        )

    def mark(self, batch: pa.RecordBatch, rows: pa.Array, decisions: pa.Table) -> pa.RecordBatch:
        marked = super().mark(batch, rows, decisions)
        if self.config.annotate:
            marked = replace_column(marked, columns.DROP_REASON, batch.column(columns.DROP_REASON))
        decided = decisions.combine_chunks()
        found = pc.index_in(rows, value_set=decided["row"])
        for name in (SIMILARITY, CLUSTER):
            marked = marked.append_column(decided.schema.field(name), taken(decided, name, found))
        return marked

    def cost(self, corpus: Corpus) -> Cost:
        """Memory for the numbers per document, for the embeddings in memory and, where texts are merged, for twice all
        texts."""
        config, size = self.config, 2 * self.embedder.dimensions()
        clusters = self._method().num_clusters(corpus.num_documents)
        held = min(corpus.num_documents, max(config.part_documents, clusters * config.kmeans_points))
        texts = 2 * corpus.text_bytes if config.merge else 0
        lines = corpus.num_documents * (1 + config.self_check)
        return Cost(
            memory_bytes=int(BYTES_PER_LINE * lines + held * size + WORKING_BYTES + texts),
            sketch_bytes=int(lines * (STORED_SHARE * size + 45) + STORED_TEXT_SHARE * texts / 2),
        )


def build_semantic(config: SemanticConfig) -> SemanticDedup:
    """Raises ConfigError for an embedder that cannot be loaded, or settings that contradict each other."""
    if config.merge and config.annotate:
        raise ConfigError(
            "dedup.merge: with annotate nothing is removed, so there is nothing to merge; set one of them"
        )
    return SemanticDedup(config)


def _keep(setting: str) -> Keep:
    if setting == CENTROID:
        return Keep(FIRST)
    try:
        return Keep(setting)
    except ConfigError as error:
        raise ConfigError(f"{error}, or centroid") from None


def _rows_of(batch: pa.RecordBatch, rows: pa.Array, ranks: dict[str, pa.Array], text: bool) -> dict[str, pa.Array]:
    lines = {columns.ID: batch.column(columns.ID), "row": rows} | ranks
    return lines | {columns.TEXT: batch.column(columns.TEXT)} if text else lines


def _all_rows(
    sketches: Sketches, rows: np.ndarray, found: SimilarDocuments, decided: pa.Table, places: np.ndarray
) -> pa.Table:
    """The decision on every document, in the order of the lines `rows`; `decided` is that on the rows `places`."""
    where = pick(sketches, ["shard", "row"], rows)
    of_row, of_found = np.full(len(rows), -1), np.full(len(rows), -1)
    of_row[places] = np.arange(len(places))
    of_found[np.searchsorted(rows, found.lines)] = np.arange(len(found.lines))
    taken = decided.select([DUPLICATE_OF, NUM_COPIES]).take(pa.array(of_row, mask=of_row < 0))
    measured = pa.array(of_found, mask=of_found < 0)
    return pa.table(
        {
            "shard": where["shard"],
            "row": where["row"],
            DUPLICATE_OF: taken[DUPLICATE_OF],
            NUM_COPIES: pc.fill_null(taken[NUM_COPIES], pa.scalar(1, pa.int32())),
            SIMILARITY: pa.array(found.similarity, pa.float32()).take(measured),
            CLUSTER: pa.array(found.cluster, pa.int32()).take(measured),
        }
    )


def _details(found: SimilarDocuments) -> dict[str, Any]:
    """For the card: how many documents were removed, the largest group, and how many other values of eps would
    remove."""
    removed = found.keeper != found.lines
    sizes = np.unique(found.keeper[removed], return_counts=True)[1]
    return {
        "embedded": len(found.lines),
        "duplicates": int(removed.sum()),
        "groups": len(sizes),
        "largest_group": int(sizes.max()) + 1 if len(sizes) else 0,
        "duplicates_by_eps": {str(eps): int((found.similarity > np.float32(1 - eps)).sum()) for eps in SHOWN_EPS},
    }
