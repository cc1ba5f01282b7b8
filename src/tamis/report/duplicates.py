"""The result of a dedup step, read from a run: the largest clusters, pairs compared word by word, the most repeated
lines and hosts.

Texts are read from the input of the step, which every run keeps, because a group is decided only after a pass has
stored its documents. The page shows a selection, and states how it was made.
"""

import difflib
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from tamis.base import columns
from tamis.base.errors import ConfigError, DataError
from tamis.base.hashing import fingerprint
from tamis.base.hosts import host_of
from tamis.base.seeds import unit_hash
from tamis.store.location import Location
from tamis.store.rundir import RunDir
from tamis.store.shards import num_rows_of, read_shard, read_table, schema_of

DUPLICATE_OF = "duplicate_of"
MAX_COMPARED_WORDS = 1500
"""Largest number of words of each side that are compared; the time of a comparison grows with its square."""
MIN_PARAGRAPH_CHARS = 40
"""Smallest number of characters of a paragraph that is counted; shorter ones are menu entries or dates."""
MAX_COUNTED_DOCUMENTS = 200_000
"""Largest number of documents whose paragraphs are all counted; of more documents, a sample of about this many is
counted."""
_WORD = re.compile(r"\n|[^\S\n]*(?:\w+|[^\w\s])|[^\S\n]+")
"""The last kind, blanks with nothing behind them, is no word. Without it, each blank of a long run would be tried."""


@dataclass(frozen=True, kw_only=True)
class ShownDocument:
    id: str
    url: str
    text: str


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A kept document (or a text after the step) beside a removed one (or the text before the step)."""

    kept: ShownDocument
    removed: ShownDocument
    likeness: float
    """Share of words that both sides have in the same order (difflib's ratio), 1 = equal."""


@dataclass(frozen=True, kw_only=True)
class Paragraph:
    text: str
    documents: int
    hosts: int


@dataclass(frozen=True, kw_only=True)
class Duplicates:
    """Everything that the page and the terminal show of one dedup step."""

    run: str
    stage: str
    cluster: str | None
    """The survivor whose cluster alone is shown; None = all clusters of the step."""
    config: dict[str, Any]
    counts: dict[str, Any]
    decisions: dict[str, Any]
    num_clusters: int
    clusters: list[tuple[ShownDocument, int, list[ShownDocument]]]
    """(survivor, documents in the cluster, some of those removed), the largest first."""
    pairs: list[Pair]
    pair_kind: str
    """`removed`: kept and removed documents; `edited`: one document after and before the step."""
    paragraphs: list[Paragraph] = field(default_factory=list)
    paragraph_sample: float = 1.0
    """Share of the documents that paragraphs were counted over."""
    hosts: list[tuple[str, int, int]] = field(default_factory=list)
    """(host, documents in, documents removed), the most removed first."""

    def to_dict(self) -> dict[str, Any]:
        return {
            "run": self.run, "stage": self.stage, "cluster": self.cluster, "config": self.config, "counts": self.counts,
            "decisions": self.decisions, "num_clusters": self.num_clusters,
            "clusters": [
                {"survivor": vars(kept), "documents": size, "removed": [vars(document) for document in removed]}
                for kept, size, removed in self.clusters
            ],
            "pairs": [{"kept": vars(p.kept), "removed": vars(p.removed), "likeness": p.likeness} for p in self.pairs],
            "paragraphs": [vars(paragraph) for paragraph in self.paragraphs],
            "paragraph_sample": self.paragraph_sample,
            "hosts": [{"host": host, "documents": all_, "removed": gone} for host, all_, gone in self.hosts],
        }  # fmt: skip


def find_duplicates(run: RunDir, stage: str | None, cluster: str | None, top: int) -> Duplicates:
    """Read the result of the run's dedup step. `top` limits the length of every list; `cluster` (the id of a survivor)
    limits it to that cluster.

    Raises ConfigError for a step that is not there, DataError for a run that has no finished dedup.
    """
    step = _dedup_step(run, stage)
    before = _shards_before(run, step)
    card = dict(run.cards())[step]
    removed = _removed(run.stage(step).root / "removed")
    sizes = _cluster_sizes(removed, cluster)
    shown = sizes[:top]
    members = {key: _members(removed, key, top) for key, _ in shown}
    wanted = {key for key, _ in shown} | {member for group in members.values() for member in group}
    texts = _documents(before, wanted)
    clusters = [
        (texts[key], size + 1, [texts[member] for member in members[key] if member in texts])
        for key, size in shown
        if key in texts
    ]
    pairs = _pairs(clusters, removed, before, top, cluster) if sizes else _edited(run, step, before, top)
    paragraphs, sample = _paragraphs(before, top) if cluster is None else ([], 1.0)
    details = card.to_dict()
    return Duplicates(
        run=str(run.root), stage=step, cluster=cluster, config=card.config, counts=details["counts"],
        decisions=card.details.get("decisions", {}), num_clusters=len(sizes), clusters=clusters, pairs=pairs,
        pair_kind="removed" if sizes else "edited", paragraphs=paragraphs, paragraph_sample=sample,
        hosts=_hosts(before, removed, top) if cluster is None else [],
    )  # fmt: skip


def _dedup_step(run: RunDir, stage: str | None) -> str:
    found = [step for step, card in run.cards() if card.name == "dedup"]
    if stage is not None and stage not in found:
        raise ConfigError(f"--stage {stage}: this run has {', '.join(found) or 'no dedup step'}")
    if not found:
        raise DataError(f"{run.root}: no finished dedup step. Run a recipe with one, or wait for it to finish.")
    return stage or found[-1]


def _shards_before(run: RunDir, step: str) -> Location:
    """The folder of the input documents of the step, which are always stored, because a group is decided after a pass
    has stored them."""
    steps = list(run.steps())
    return run.stage(steps[steps.index(step) - 1]).shards


def _removed(folder: Location) -> pa.Table:
    """`id, url, duplicate_of` (null where the method names no partner) of every removed document."""
    tables = []
    for place in folder.children("*.parquet"):
        names = schema_of(place).names
        table = read_table(place, [n for n in (columns.ID, columns.URL, DUPLICATE_OF) if n in names])
        if DUPLICATE_OF not in names:
            table = table.append_column(DUPLICATE_OF, pa.nulls(len(table), pa.string()))
        tables.append(table)
    empty = pa.schema([(name, pa.string()) for name in (columns.ID, columns.URL, DUPLICATE_OF)]).empty_table()
    return pa.concat_tables([empty, *tables])


def _cluster_sizes(removed: pa.Table, cluster: str | None) -> list[tuple[str, int]]:
    """(survivor, documents removed for it), the largest first."""
    named = removed.filter(pc.is_valid(removed[DUPLICATE_OF]))
    if cluster is not None:
        named = named.filter(pc.equal(named[DUPLICATE_OF], cluster))
        if not named.num_rows:
            raise ConfigError(f"--cluster {cluster}: no document was removed as a copy of one with this id")
    counted = pc.value_counts(named[DUPLICATE_OF].combine_chunks()).to_pylist()
    return sorted(((entry["values"], entry["counts"]) for entry in counted), key=lambda pair: (-pair[1], pair[0]))


def _members(removed: pa.Table, key: str, top: int) -> list[str]:
    found: list[str] = removed.filter(pc.equal(removed[DUPLICATE_OF], key))[columns.ID].slice(0, top).to_pylist()
    return found


def _documents(folder: Location, wanted: set[str]) -> dict[str, ShownDocument]:
    """The documents with these ids, as they entered the step."""
    found: dict[str, ShownDocument] = {}
    if not wanted:
        return found
    match = pc.field(columns.ID).isin(pa.array(sorted(wanted), pa.string()))
    for place in folder.children("*.parquet"):
        for row in read_table(place, [columns.ID, columns.URL, columns.TEXT], match).to_pylist():
            found[row[columns.ID]] = _document(row)
    return found


def _document(row: dict[str, Any]) -> ShownDocument:
    return ShownDocument(id=row[columns.ID], url=row[columns.URL] or "", text=row[columns.TEXT] or "")


def _pairs(
    clusters: list[tuple[ShownDocument, int, list[ShownDocument]]],
    removed: pa.Table,
    before: Location,
    top: int,
    cluster: str | None,
) -> list[Pair]:
    """Of one cluster, its pairs; else pairs drawn from all clusters by a hash of their ids, so that small clusters are
    shown too."""
    if cluster is not None:
        return _ranked([(kept, member) for kept, _, group in clusters for member in group])
    named = removed.filter(pc.is_valid(removed[DUPLICATE_OF])).select([columns.ID, DUPLICATE_OF]).to_pylist()
    drawn = sorted(named, key=lambda row: unit_hash(row[columns.ID], "pairs"))[:top]
    texts = _documents(before, {row[name] for row in drawn for name in (columns.ID, DUPLICATE_OF)})
    both = [(texts.get(row[DUPLICATE_OF]), texts.get(row[columns.ID])) for row in drawn]
    return _ranked([(kept, gone) for kept, gone in both if kept and gone])


def _edited(run: RunDir, step: str, before: Location, top: int) -> list[Pair]:
    """Documents that were kept with less text than before, those that lost most first."""
    later = [run.stage(name).shards for name, _ in run.cards() if name >= step]
    stored = next((place for place in later if place.is_folder()), None)
    if stored is None:
        return []
    lengths: dict[str, int] = {}
    for row in _stream(before, [columns.ID, columns.TEXT]):
        lengths[row[columns.ID]] = len(row[columns.TEXT] or "")
    lost = Counter[str]()
    for row in _stream(stored, [columns.ID, columns.TEXT]):
        lost[row[columns.ID]] = lengths.get(row[columns.ID], 0) - len(row[columns.TEXT] or "")
    chosen = {key for key, characters in lost.most_common(top) if characters > 0}
    old, new = _documents(before, chosen), _documents(stored, chosen)
    return _ranked([(new[key], old[key]) for key in sorted(chosen) if key in new and key in old])


def _ranked(pairs: list[tuple[ShownDocument, ShownDocument]]) -> list[Pair]:
    """The pairs with their similarity, the least similar first, because mistakes are most likely among these."""
    made = [Pair(kept=kept, removed=gone, likeness=round(likeness(kept.text, gone.text), 4)) for kept, gone in pairs]
    return sorted(made, key=lambda pair: (pair.likeness, pair.removed.id))


def words_of(text: str) -> list[str]:
    """Words, punctuation marks and line ends, each with the blanks before it: the first `MAX_COMPARED_WORDS`."""
    found = (match.group() for match in _WORD.finditer(text))
    return list(islice((word for word in found if word == "\n" or not word.isspace()), MAX_COMPARED_WORDS))


def _matcher(left: list[str], right: list[str]) -> difflib.SequenceMatcher[str]:
    a, b = ([word.lstrip(" \t") for word in side] for side in (left, right))
    return difflib.SequenceMatcher(None, a, b, autojunk=False)


def likeness(a: str, b: str) -> float:
    return _matcher(words_of(a), words_of(b)).ratio()


def differences(a: str, b: str) -> Iterator[tuple[str, list[str], list[str]]]:
    """(`equal` or the kind of difference, words of a, words of b), in order."""
    left, right = words_of(a), words_of(b)
    for kind, a0, a1, b0, b1 in _matcher(left, right).get_opcodes():
        yield kind, left[a0:a1], right[b0:b1]


def _stream(folder: Location, names: list[str]) -> Iterator[dict[str, Any]]:
    for place in folder.children("*.parquet"):
        for batch in read_shard(place, names):
            yield from batch.to_pylist()


def _paragraphs(folder: Location, top: int) -> tuple[list[Paragraph], float]:
    """The lines that occur in the most documents, counted once per document, and the share of the documents that was
    counted."""
    total = sum(map(num_rows_of, folder.children("*.parquet")))
    sample = min(1.0, MAX_COUNTED_DOCUMENTS / max(total, 1))
    documents, texts = Counter[str](), dict[str, str]()
    hosts: dict[str, set[str]] = {}
    for row in _stream(folder, [columns.ID, columns.URL, columns.TEXT]):
        if sample < 1 and unit_hash(row[columns.ID], "paragraphs") >= sample:
            continue
        lines = {" ".join(line.split()) for line in (row[columns.TEXT] or "").split("\n")}
        for line in lines:
            if len(line) >= MIN_PARAGRAPH_CHARS:
                key = fingerprint(line.lower())
                documents[key] += 1
                if documents[key] > 1:  # Most lines occur in one document only, and need no memory beyond their count.
                    texts.setdefault(key, line)
                    hosts.setdefault(key, set()).add(_host(row[columns.URL]))
    often = sorted(((n, key) for key, n in documents.items() if n > 1), key=lambda pair: (-pair[0], pair[1]))[:top]
    return [Paragraph(text=texts[key], documents=n, hosts=len(hosts[key])) for n, key in often], sample


def _hosts(before: Location, removed: pa.Table, top: int) -> list[tuple[str, int, int]]:
    gone = Counter(map(_host, removed[columns.URL].to_pylist()))
    entered = Counter(_host(row[columns.URL]) for row in _stream(before, [columns.URL]))
    ranked = sorted(gone.items(), key=lambda pair: (-pair[1], pair[0]))[:top]
    return [(host, entered[host], count) for host, count in ranked]


def _host(url: str | None) -> str:
    return host_of(url) or "(no host)"
