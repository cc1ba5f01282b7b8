"""Makes a held-out set: whole pages for bits per byte, and a multiple-choice task from them: which of four
continuations is the real one?

It needs no downloads and no labels, and it consists of text on which no compared recipe was trained. The choice of
pages depends on page ids and the seed alone, never on shards or workers.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

import tamis
from tamis.base.cards import Card
from tamis.base.columns import ID, TEXT, URL
from tamis.base.errors import ConfigError, DataError
from tamis.base.hashing import fingerprint
from tamis.base.hosts import host_of
from tamis.base.seeds import named_rng, unit_hash
from tamis.base.words import WORD, words
from tamis.evaluate.results import read_jsonl, write_jsonl
from tamis.store.atomic import write_json
from tamis.store.location import Location
from tamis.store.rundir import read_card
from tamis.store.shards import file_digest, read_shard, schema_of

VERSION = 3
DOCUMENTS, CONTINUATION, CARD = "documents.jsonl", "continuation.jsonl", "card.json"

MAX_WORDS_READ = 4096
"""Number of words of a page from which spans are taken, which bounds the work on a page of megabytes."""
MAX_MEAN_WORD_CHARACTERS = 12
"""Largest mean length of a word in a span. A span of longer 'words' is encoded data or a list of addresses, and would
not fit into the context of a small model."""
MAX_WORD_OVERLAP = 0.5
"""Jaccard similarity of word sets above which two choices count as equal."""
DISTRACTOR_PAGES_TRIED = 8
"""Number of pages that are considered per distractor; the spans nearest in length to the true continuation are
taken."""


@dataclass(frozen=True)
class Page:
    id: str
    url: str
    text: str


class _Sample:
    """Selects the `limit` pages with the smallest hashes of their ids, one page per text and at most `per_host` per
    host, in whatever order they arrive."""

    def __init__(self, limit: int, per_host: int, salt: str) -> None:
        self.limit = limit
        self.per_host = per_host
        self.salt = salt
        self._pages: dict[bytes, tuple[float, str, Page]] = {}
        self._worst = 1.0

    def wants(self, page: Page) -> bool:
        """False when `limit` pages with smaller hashes have been seen, so that the page need not be read further."""
        return unit_hash(page.id, self.salt) <= self._worst

    def add(self, page: Page) -> None:
        digest = hashlib.blake2b(page.text.encode(), digest_size=16).digest()
        entry = (unit_hash(page.id, self.salt), page.id, page)
        known = self._pages.get(digest)
        if known is None or entry[:2] < known[:2]:
            self._pages[digest] = entry
        if len(self._pages) >= 2 * self.limit + 64:
            self._trim()

    def _trim(self) -> None:
        best = sorted(self._pages.items(), key=lambda item: (item[1][:2], item[1][2].url))
        taken = Counter[str]()
        kept: list[tuple[bytes, tuple[float, str, Page]]] = []
        for digest, entry in best:
            host = host_of(entry[2].url)
            taken[host] += bool(host)  # A page without a URL counts as a host of its own.
            if taken[host] <= self.per_host and len(kept) < self.limit:
                kept.append((digest, entry))
        self._pages = dict(kept)
        if len(kept) == self.limit:
            self._worst = kept[-1][1][0]

    def pages(self) -> list[Page]:
        self._trim()
        return [entry[2] for entry in self._pages.values()]


@dataclass(frozen=True)
class Spans:
    """The places in a page at which a continuation may start: numbers of words, and the character positions of all
    words."""

    page: Page
    begins: list[int]
    ends: list[int]
    starts: list[int]

    @classmethod
    def of(cls, page: Page, num_words: int) -> "Spans":
        """A continuation starts after exactly one space (so that text, delimiter and prompt agree, and true and false
        ones begin in the same way), has words of ordinary length, and does not repeat a few words as tables do."""
        matches = [m for m, _ in zip(WORD.finditer(page.text), range(MAX_WORDS_READ), strict=False)]
        begins, ends = [m.start() for m in matches], [m.end() for m in matches]
        found = [m.group() for m in matches]
        starts = [
            at
            for at in range(1, len(matches) - num_words + 1)
            if begins[at] == ends[at - 1] + 1
            and page.text[ends[at - 1]] == " "
            and ends[at + num_words - 1] - begins[at] <= num_words * MAX_MEAN_WORD_CHARACTERS
            and 2 * len(set(found[at : at + num_words])) >= num_words
        ]
        return cls(page, begins, ends, starts)

    def cut(self, first: int, num_words: int) -> str:
        return self.page.text[self.begins[first] : self.ends[first + num_words - 1]]

    def slots(self, context_words: int, continuation_words: int) -> list[int]:
        """Starts that have a full context before them, chosen so that contexts and continuations do not overlap."""
        chosen, free = [], 0
        for at in self.starts:
            if at - context_words >= free:
                chosen.append(at)
                free = at + continuation_words
        return chosen


def build_heldout(
    dataset: Location,
    dataset_card: Location,
    output: Location,
    seed: int,
    *,
    num_items: int = 500,
    context_words: int = 64,
    continuation_words: int = 16,
    num_choices: int = 4,
    max_documents: int = 500,
    max_pages_per_host: int = 25,
    max_bytes: int = 4_000_000,
    max_document_bytes: int = 16_384,
) -> Card:
    """Write documents.jsonl, continuation.jsonl and card.json into `output` from Parquet shards of held-out pages.

    `dataset`: a folder of shards with columns id, url, text; `dataset_card`: the card of the step that made them.
    Documents: at most `max_documents` pages and `max_bytes` UTF-8 bytes, each cut at white space to
    `max_document_bytes`. Of one host at most `max_pages_per_host` pages are used, so that no large host dominates.
    Items: at most `num_items` rows of DCLM's multiple-choice layout `{query, choices, gold, id, url}`, spread over as
    many pages as there are. Raises ConfigError when `dataset` is no such folder, DataError when it has too few pages of
    running text.
    """
    documents = _Sample(max_documents, max_pages_per_host, f"heldout documents {seed}")
    candidates = _Sample(num_items + num_choices, max_pages_per_host, f"heldout items {seed}")
    for page in _read_pages(dataset):
        if documents.wants(page):
            documents.add(page)
        if candidates.wants(page) and page.text.count(" ") >= context_words:
            spans = Spans.of(page, continuation_words)
            if spans.slots(context_words, continuation_words):
                candidates.add(page)
    pages = [Spans.of(page, continuation_words) for page in candidates.pages()]
    if len(pages) < num_choices:
        raise DataError(
            f"{dataset}: only {len(pages)} pages have {context_words + continuation_words} words of running text; a "
            f"task with {num_choices} choices needs at least {num_choices}, and some hundreds are needed to compare "
            "recipes. Hold out more hosts."
        )
    items = _build_items(pages, seed, num_items, context_words, continuation_words, num_choices)
    rows = _cap_documents(documents.pages(), max_bytes, max_document_bytes)
    write_jsonl(output / DOCUMENTS, rows)
    write_jsonl(output / CONTINUATION, items)
    config = {
        "num_items": num_items, "context_words": context_words, "continuation_words": continuation_words,
        "num_choices": num_choices, "max_documents": max_documents,
        "max_pages_per_host": max_pages_per_host, "max_bytes": max_bytes,
        "max_document_bytes": max_document_bytes,
    }  # fmt: skip
    details = _sizes(rows, items, len(pages))
    card = Card(
        kind="heldout", name="heldout", version=VERSION, fingerprint=content_fingerprint(output),
        parents=[read_card(dataset_card).fingerprint],
        config=config, tamis_version=tamis.__version__, seed=seed, details=details,
    )  # fmt: skip
    write_json(output / CARD, card.to_dict())
    return card


def _sizes(rows: list[dict[str, Any]], items: list[dict[str, Any]], num_item_pages: int) -> dict[str, int]:
    return {
        "num_documents": len(rows),
        "num_document_bytes": sum(len(row["text"].encode()) for row in rows),
        "num_items": len(items),
        "num_item_pages": num_item_pages,
        "num_hosts": len({host_of(row["url"]) for row in [*rows, *items]}),
    }


MIN_HOSTS, MIN_PAGES = 20, 100
"""Numbers of hosts and pages below which intervals are too wide to be useful."""


def too_small(card: Card) -> str:
    """The warning about a small held-out set; '' when the set is large enough."""
    hosts, pages = card.details["num_hosts"], card.details["num_documents"]
    if hosts >= MIN_HOSTS and pages >= MIN_PAGES:
        return ""
    return (
        f"only {pages} pages of {hosts} hosts: intervals will be wide. Hold out more of the pool (a larger "
        "pool.holdout_fraction), or take a larger pool."
    )


def page_ids(heldout: Location) -> set[str]:
    """Ids of all pages that a held-out set was made of. That of an item is its page's id, '#' and a position."""
    documents = {row["id"] for row in read_documents(heldout)}
    return documents | {row["id"].rpartition("#")[0] for row in read_jsonl(heldout / CONTINUATION)}


def check_held_out(shards: Location, sets: Mapping[str, Location], run_name: str) -> None:
    """Raises ConfigError when a held-out page is among the documents that a model was trained on."""
    held_out = {page: name for name, place in sets.items() for page in page_ids(place)}
    found: dict[str, str] = {}
    for place in shards.children("*.parquet"):
        for batch in read_shard(place, [ID]):
            found |= {page: held_out[page] for page in batch.column(ID).to_pylist() if page in held_out}
    if found:
        page, name = next(iter(found.items()))
        raise ConfigError(
            f"{run_name}: {len(found)} of {len(held_out)} held-out pages are in the training data (one of the set "
            f"'{name}' has the id {page}), so its scores would mean nothing. Give the run's pool the same "
            "pool.holdout_fraction and pool.holdout_by as the held-out run has, and train again."
        )


def content_fingerprint(heldout: Location) -> str:
    """Identity of a held-out set. It depends on its bytes alone, so that the same pages and task are the same set,
    wherever they were made."""
    return fingerprint("heldout", file_digest(heldout / DOCUMENTS), file_digest(heldout / CONTINUATION))


def open_heldout(heldout: Location) -> Card:
    """The card of a held-out folder. Raises ConfigError when there is none, DataError when its files were changed."""
    if not (heldout / CARD).is_file():
        raise ConfigError(f"{heldout}: not a held-out set (no {CARD}). Make one with: tamis heldout RUN")
    card = read_card(heldout / CARD)
    missing = [name for name in (DOCUMENTS, CONTINUATION) if not (heldout / name).is_file()]
    if missing or content_fingerprint(heldout) != card.fingerprint:
        what = f"{missing[0]} is missing" if missing else "its files are not those its card was written for"
        raise DataError(f"{heldout}: {what}. Make the held-out set again: tamis heldout RUN")
    return card


def read_documents(heldout: Location) -> list[dict[str, str]]:
    return read_jsonl(heldout / DOCUMENTS)


def _read_pages(dataset: Location) -> Iterator[Page]:
    shards = dataset.children("*.parquet")
    if not shards:
        raise ConfigError(f"{dataset}: expected a folder of Parquet shards (the shards/ of a run's last stage).")
    for shard in shards:
        missing = {ID, URL, TEXT} - set(schema_of(shard).names)
        if missing:
            raise DataError(f"{shard}: no column '{sorted(missing)[0]}'; held-out pages need id, url and text.")
        for batch in read_shard(shard, [ID, URL, TEXT]):
            columns = (batch.column(name).to_pylist() for name in (ID, URL, TEXT))
            for page_id, url, text in zip(*columns, strict=True):
                if text and not text.isspace():
                    yield Page(page_id, url or "", text)


def _cap_documents(pages: list[Page], max_bytes: int, max_document_bytes: int) -> list[dict[str, str]]:
    rows: list[dict[str, str]] = []
    used = 0
    for page in pages:
        text = _cut_text(page.text, max_document_bytes)
        used += len(text.encode())
        if rows and used > max_bytes:
            break
        rows.append({"id": page.id, "url": page.url, "text": text})
    return rows


def _cut_text(text: str, max_bytes: int) -> str:
    """At most `max_bytes` of UTF-8, cut at the last white space, or between characters where there is none."""
    data = text.encode()
    if len(data) <= max_bytes:
        return text
    head = data[:max_bytes].decode(errors="ignore")
    at_space = re.match(r"(?s).*\S(?=\s)", head)
    return at_space.group() if at_space else head


def _build_items(
    pages: list[Spans], seed: int, num_items: int, context_words: int, continuation_words: int, num_choices: int
) -> list[dict[str, Any]]:
    """One item of each page, then a second of each page, and so on, until there are enough items or no page has a
    further one."""
    slots = []
    for place, spans in enumerate(pages):
        order = named_rng(seed, "heldout", "slots", spans.page.id)
        shuffled = order.permutation(spans.slots(context_words, continuation_words))
        slots += [(turn, place, int(at)) for turn, at in enumerate(shuffled)]
    items: list[dict[str, Any]] = []
    for _, place, at in sorted(slots):
        spans = pages[place]
        item_id = f"{spans.page.id}#{at}"
        rng = named_rng(seed, "heldout", "item", item_id)
        true = spans.cut(at, continuation_words)
        others = _distractors(pages, place, true, continuation_words, num_choices - 1, rng)
        if others is None:
            continue
        gold = int(rng.integers(num_choices))
        query = spans.cut(at - context_words, context_words)
        choices = [*others[:gold], true, *others[gold:]]
        items.append({"id": item_id, "url": spans.page.url, "query": query, "choices": choices, "gold": gold})
        if len(items) == num_items:
            break
    if not items:
        raise DataError("the held-out pages are too similar to make a single item of them. Hold out more hosts.")
    return items


def _distractors(
    pages: list[Spans], own: int, true: str, num_words: int, number: int, rng: np.random.Generator
) -> list[str] | None:
    """Spans of other pages, in the order in which they were drawn; None when too few differ from the true continuation
    and from each other."""
    drawn = [int(place) for place in rng.permutation(len(pages)) if place != own]
    texts = [
        pages[place].cut(int(rng.choice(pages[place].starts)), num_words)
        for place in drawn[: number * DISTRACTOR_PAGES_TRIED]
    ]
    nearest = sorted(range(len(texts)), key=lambda place: (abs(len(texts[place]) - len(true)), place))
    chosen: list[int] = []
    for place in nearest:
        if len(chosen) < number and not any(
            _alike(texts[place], other) for other in [true, *(texts[taken] for taken in chosen)]
        ):
            chosen.append(place)
    return [texts[place] for place in sorted(chosen)] if len(chosen) == number else None


def _alike(first: str, second: str) -> bool:
    a, b = set(words(first.casefold())), set(words(second.casefold()))
    return len(a & b) > MAX_WORD_OVERLAP * len(a | b)
