"""What the stored rows of a run show: languages, hosts and lengths before and after, pages that were kept, and pages
nearest to the thresholds.

Everything else in the report comes from cards and has every document. This reads rows, so it is bounded: it takes whole
shards, evenly spread over the pool, as long as they hold at most `MOST_DOCUMENTS` documents (at least one shard). Of
these shards every row is read, so that before and after are about the same pages.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow.compute as pc

from tamis.base import columns
from tamis.base.errors import ConfigError, TamisError
from tamis.base.hosts import host_of
from tamis.questions.sample import LANGUAGE, Wanted, borderline, sample
from tamis.questions.stored import KEPT, QUARANTINED, REMOVED, Cards, StoredFile, files_of, shard_sizes, stored_text
from tamis.report.reader import UNREADABLE
from tamis.store.rundir import RunDir

MOST_DOCUMENTS = 20_000
KEPT_EXAMPLES = 4
BORDER_EXAMPLES = 2
"""Pages that are shown of each side of a threshold."""
POOL = "pool"


@dataclass(kw_only=True)
class Side:
    """The documents that entered a run, or that it kept. `lengths` are bytes of UTF-8 text; of documents that entered,
    those of the first text that the run stored (after extraction), and empty where it stored none before the end."""

    documents: int = 0
    languages: Counter[str] = field(default_factory=Counter)
    hosts: Counter[str] = field(default_factory=Counter)
    lengths: list[int] = field(default_factory=list)


@dataclass(kw_only=True)
class DocumentsView:
    """What was read: `shards` of `of_shards`; `text_from` is the step whose texts are the lengths before."""

    shards: int
    of_shards: int
    before: Side
    after: Side
    text_from: str = ""
    kept: list[dict[str, Any]] = field(default_factory=list)
    borders: list[dict[str, Any]] = field(default_factory=list)


def read_documents(run: RunDir, problems: list[str]) -> DocumentsView | None:
    """None for a run that is not finished, or that stored no rows; a file that is not as it was written is told in
    `problems`."""
    try:
        cards, steps = run.cards(), run.steps()
    except (TamisError, *UNREADABLE):
        return None  # The problem is reported where that file is shown.
    if not cards or len(cards) < len(steps):
        return None
    try:
        chosen, total = _choose(run, cards)
        if not chosen:
            return None
        view = DocumentsView(shards=len(chosen), of_shards=total, before=Side(), after=Side())
        _count(run, cards, chosen, view)
        view.kept = [page for group in _kept(run, chosen) for page in group["pages"]]
        view.borders = _borders(run, chosen)
        return view
    except (TamisError, *UNREADABLE) as error:
        problems.append(f"documents: {' '.join(str(error).split())}")
        return None


def _choose(run: RunDir, cards: Cards) -> tuple[frozenset[str], int]:
    """The shards that are read, and of how many they are."""
    sizes = shard_sizes(run, cards)
    names, total = sorted(sizes), max(sum(sizes.values()), 1)
    for number in range(min(len(names), 2 * MOST_DOCUMENTS * len(names) // total + 1), 0, -1):
        spread = [names[place] for place in np.linspace(0, len(names) - 1, number).round().astype(int)]
        if number == 1 or sum(sizes[name] for name in spread) <= MOST_DOCUMENTS:
            return frozenset(spread), len(names)
    return frozenset(), 0


def _count(run: RunDir, cards: Cards, chosen: frozenset[str], view: DocumentsView) -> None:
    for file in _files(run, cards, chosen):
        for _, batch in file.batches([columns.URL, LANGUAGE]):
            present = LANGUAGE in batch.schema.names
            languages = Counter(filter(None, batch.column(LANGUAGE).to_pylist())) if present else Counter[str]()
            hosts = Counter(host_of(url) or "(no host)" for url in batch.column(columns.URL).to_pylist())
            for side in (view.before, view.after) if file.outcome == KEPT else (view.before,):
                side.documents += batch.num_rows
                side.languages.update(languages)
                side.hosts.update(hosts)
    last = len(cards) - 1
    for position, (step, card) in enumerate(cards):
        files = [file for file in stored_text(run, step, position) if file.shard in chosen]
        if position == last:
            view.after.lengths = [size for file in files for size in _lengths(file)]
        elif card.name != POOL and not view.before.lengths and files:
            view.before.lengths, view.text_from = [size for file in files for size in _lengths(file)], step


def _files(run: RunDir, cards: Cards, chosen: frozenset[str]) -> Iterator[StoredFile]:
    """The rows of all ends of the chosen shards, but those that were no part of the run: held out by its pool."""
    for file in files_of(run, cards, (KEPT, REMOVED, QUARANTINED)):
        if file.shard in chosen and file.position > 0:
            yield file


def _lengths(file: StoredFile) -> Iterator[int]:
    for _, batch in file.batches([columns.TEXT]):
        yield from pc.fill_null(pc.binary_length(batch.column(0)), 0).to_pylist()


def _kept(run: RunDir, chosen: frozenset[str]) -> list[dict[str, Any]]:
    try:
        return [group.to_dict() for group in sample(run, Wanted(number=KEPT_EXAMPLES), chosen)]
    except ConfigError:
        return []  # none of these shards has a page that was kept


def _borders(run: RunDir, chosen: frozenset[str]) -> list[dict[str, Any]]:
    try:
        return [found.to_dict() for found in borderline(run, Wanted(number=BORDER_EXAMPLES), chosen)]
    except ConfigError:
        return []  # no rule of the run compares numbers
