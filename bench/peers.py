"""Loads the code of other projects from a checkout given by its path, to time it on the same documents in the same
process.

Nothing is downloaded: `--dclm PATH` is a checkout of mlfoundations/dclm (with retrie, uniseg, nltk and blingfire
installed), `--datatrove` uses the package where it is installed (`pip install datatrove spacy`; its English words and
sentences are spaCy's rules, which need no model). Without them, their columns are left out.
"""

import importlib
import importlib.machinery
import importlib.util
import sys
import time
import types
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

UNUSED = ("transformers", "boto3", "kenlm", "sentencepiece", "justext", "langdetect", "langdetect.detector_factory")
"""Imported by DCLM's modules for mappers that the chain does not have."""
NO_DATATROVE = "datatrove's column is left out: `pip install datatrove spacy` (Tamis itself does not use them)"


def dclm_chain(checkout: Path) -> Callable[[str], str | None]:
    """DCLM's mappers in the order of `dclm_baseline_refinedweb.yaml`, without URL ban-lists and language.

    The function takes a text and returns the edited text, or None where a mapper removes the page.
    """
    for name in UNUSED:
        if name not in sys.modules and importlib.util.find_spec(name.split(".")[0]) is None:
            sys.modules[name] = _stand_in(name)
    sys.path[:0] = [str(checkout), str(checkout / "baselines")]
    filters = importlib.import_module("baselines.mappers.filters.content_filters")
    modifiers = importlib.import_module("baselines.mappers.modifiers")
    enrichers = importlib.import_module("baselines.mappers.enrichers.enrichers")
    tlds = str(checkout / "baselines/mappers/iana_tlds.txt")
    lines = modifiers.substring_line_modifier
    steps: list[tuple[Callable[..., Any], dict[str, Any]]] = [
        (modifiers.url_removal_modifier(tlds_filepath=tlds), {}),
        (modifiers.newline_removal_modifier(max_consecutive=2), {}),
        (filters.page_length_filter,
         {"length_type": "word", "min_length": 50, "max_length": 100_000, "ignore_punctuation": True}),
        (filters.word_length_filter, {"min_length": 3, "max_length": 10}),
        (filters.symbol_ratio_filter, {"max_symbol_to_word_ratio": 0.1}),
        (filters.bullet_count_filter, {"max_bullet_start_ratio": 0.9}),
        (filters.ellipsis_count_filter, {"max_ellipsis_end_ratio": 0.3}),
        (filters.alphabetic_word_ratio_filter, {"max_ratio": 0.2}),
        (filters.stop_word_filter, {"count_unique": False, "min_stop_word": 2}),
        (filters.massive_web_repetition_filters, {}),
        (enrichers.word_counter_enricher, {"key": "previous_word_count", "overwrite": True}),
        (modifiers.uppercase_ratio_line_modifier, {"max_ratio": 0.5}),
        (modifiers.numeric_ratio_line_modifier, {"max_ratio": 0.999999}),
        (modifiers.counter_line_modifier(), {}),
        (modifiers.line_length_modifier, {"min_length": 2}),
        (lines(banlist="items in cart", max_length=10, remove_substring_only=True), {}),
        (lines(banlist="Read more...", location="suffix", max_length=10, remove_substring_only=True), {}),
        (lines(banlist="Sign-in", location="prefix", max_length=10, remove_substring_only=True), {}),
        (filters.word_removal_ratio_filter, {"prev_word_count_key": "previous_word_count", "max_removed_ratio": 0.05}),
    ]  # fmt: skip

    def chain(text: str) -> str | None:
        page = {"text": text, "url": "https://example.org/"}
        for step, settings in steps:
            kept = step(page, **settings)
            if not kept:
                return None
            page = kept[0]
        return page["text"]

    return chain


def dclm_extract(body: bytes) -> str | None:
    """DCLM's extraction of a response body: strict UTF-8, resiliparse's main content; None where it loses the page."""
    from resiliparse.extract.html2text import extract_plain_text

    try:
        return str(extract_plain_text(body.decode("utf-8"), main_content=True))
    except UnicodeDecodeError:
        return None


def datatrove_extract(body: bytes) -> str | None:
    """datatrove's `Trafilatura` as `examples/fineweb.py` sets it, called in this process (there, in one of its own)."""
    from datatrove.pipeline.extractors import Trafilatura

    found = Trafilatura(favour_precision=True).extract(body.decode("utf-8", "replace"))
    return str(found) if found else None


def first_passes(paths: Sequence[Path], checkout: Path | None, datatrove: bool) -> dict[str, float]:
    """Processor seconds of the peers' way from WARC files to filtered text, and of its extraction alone; nothing is
    written and no language asked. FastWARC reads for both (as DCLM does; datatrove's own reader is slower)."""
    peers: dict[str, tuple[Callable[[bytes], str | None], Callable[[str], object]]] = {}
    if checkout is not None:
        peers["dclm"] = (dclm_extract, dclm_chain(checkout))
    if datatrove and has_datatrove():
        peers["datatrove"] = (datatrove_extract, datatrove_chain())
    elif datatrove:
        print(NO_DATATROVE, file=sys.stderr)
    seconds = {}
    for name, (extract, chain) in peers.items():
        chain("A first page, so that models and word lists are loaded. " * 20)
        started = time.process_time()
        texts = [text for body in _bodies(paths) if (text := extract(body))]
        seconds[f"{name}_extraction"] = time.process_time() - started
        seconds[name] = seconds[f"{name}_extraction"] + seconds_of(chain, texts)
    return seconds


def _bodies(paths: Sequence[Path]) -> Iterator[bytes]:
    from fastwarc.warc import ArchiveIterator, WarcRecordType

    for path in paths:
        with path.open("rb") as raw:
            for record in ArchiveIterator(raw, record_types=WarcRecordType.response):
                yield record.reader.read()


def has_datatrove() -> bool:
    """Whether datatrove and what its English filters need are installed."""
    return all(importlib.util.find_spec(name) is not None for name in ("datatrove", "spacy"))


def datatrove_filters() -> list[Any]:
    """datatrove's own filters, ordered and set as in its `examples/fineweb.py`, without URL and language."""
    from datatrove.pipeline import filters

    return [
        filters.GopherRepetitionFilter(),
        filters.GopherQualityFilter(),
        filters.C4QualityFilter(filter_no_terminal_punct=False),
        filters.FineWebQualityFilter(),
    ]


def datatrove_chain() -> Callable[[str], tuple[str | None, str]]:
    """Text -> reason of the first of `datatrove_filters` to remove it (None: kept), and the text as they leave it."""
    from datatrove.data import Document

    filters = datatrove_filters()

    def chain(text: str) -> tuple[str | None, str]:
        page = Document(text=text, id="")
        for each in filters:
            verdict = each.filter(page)
            if verdict is not True:
                return (verdict[1] if isinstance(verdict, tuple) else "removed"), page.text
        return None, page.text

    return chain


def seconds_of(chain: Callable[[str], object], pages: Sequence[str]) -> float:
    """Processor time of `chain` on `pages`, after a first page that loads what it loads."""
    chain(pages[0])
    started = time.process_time()
    for page in pages:
        chain(page)
    return time.process_time() - started


def _stand_in(name: str) -> types.ModuleType:
    """A module whose every attribute exists and does nothing; those of modules in general (`__file__`) are missing."""

    def attribute(wanted: str) -> type:
        if wanted.startswith("__"):
            raise AttributeError(wanted)
        return object

    module = types.ModuleType(name)
    module.__getattr__ = attribute  # type: ignore[method-assign]
    module.__path__ = []
    module.__spec__ = importlib.machinery.ModuleSpec(name, None)
    return module
