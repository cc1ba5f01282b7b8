"""The list of extraction engines, what each of them can do, and how it is made. A function of the user's can be an
engine, too."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Protocol

from tamis.base.errors import ConfigError
from tamis.base.plugins import Plugin, find
from tamis.stages.extract.engines import libraries
from tamis.stages.extract.engines.model_file import model_digest


class ExtractionEngine(Protocol):
    """Extracts the text of a page. An engine is deterministic, and keeps no state between pages."""

    def extract(self, html: str) -> str: ...


@dataclass(frozen=True, kw_only=True)
class EngineEntry:
    """One engine: how it is made from (main_content, markdown), what it needs, and what it can do."""

    make: Callable[[bool, bool], ExtractionEngine]
    libraries: tuple[str, ...]
    """The distributions on whose versions the text depends."""
    optional: bool = False
    """Whether these are installed only with the extra `extract`."""
    markdown: bool = False
    all_text: bool = True
    """Whether the engine supports `main_content: false`."""


def _tamis(main_content: bool, markdown: bool) -> ExtractionEngine:
    from tamis.stages.extract.engines.blocks import Tamis  # Kernels are loaded only in the process that runs them.

    return Tamis(main_content, markdown)


ENGINES: dict[str, EngineEntry] = {
    "resiliparse": EngineEntry(make=libraries.Resiliparse, libraries=("resiliparse",)),
    "tamis": EngineEntry(make=_tamis, libraries=("resiliparse",), markdown=True),
    "plain": EngineEntry(make=libraries.Plain, libraries=("resiliparse",)),
    "trafilatura": EngineEntry(
        make=libraries.Trafilatura, libraries=("trafilatura", "justext", "lxml"), optional=True, markdown=True,
        all_text=False,
    ),
    "justext": EngineEntry(make=libraries.Justext, libraries=("justext", "lxml"), optional=True, all_text=False),
}  # fmt: skip


class OwnEngine:
    """A function of the user's that takes HTML and returns the text of the document, or None for a page without
    text."""

    def __init__(self, plugin: Plugin) -> None:
        self._name = plugin.name
        self._function: Callable[[str], str | None] = plugin.load()

    def extract(self, html: str) -> str:
        text = self._function(html)
        if text is not None and not isinstance(text, str):
            raise TypeError(f"{self._name} returned {type(text).__name__}, not a text")
        return text or ""


def find_engine(name: str) -> Plugin | None:
    """The user's own engine of that name, or None for the name of one of ENGINES. Raises ConfigError when there is no
    such engine."""
    return None if name in ENGINES else find(name, "extract.engine", ENGINES)


def check_engine(name: str, main_content: bool, markdown: bool) -> None:
    """Raises ConfigError when the engine (one of ENGINES) does not support these options, or when its library is not
    installed."""
    kind = ENGINES[name]
    if markdown and not kind.markdown:
        able = ", ".join(sorted(other for other in ENGINES if ENGINES[other].markdown))
        raise ConfigError(f"extract.markdown: engine {name!r} writes plain text only. Engines that can: {able}")
    if not main_content and not kind.all_text:
        able = ", ".join(sorted(other for other in ENGINES if ENGINES[other].all_text))
        raise ConfigError(
            f"extract.main_content: engine {name!r} always leaves boilerplate out. Engines that can keep all: {able}"
        )
    if kind.optional:
        for library in kind.libraries:
            _library_version(library, name)


def engine_versions(name: str) -> list[str]:
    """`library==version` of every library on which the text depends, for the fingerprint. Raises ConfigError when one
    is missing."""
    versions = [f"{library}=={_library_version(library, name)}" for library in ENGINES[name].libraries]
    return [*versions, f"model=={model_digest()}"] if name == "tamis" else versions


def engine_for(name: str, main_content: bool, markdown: bool) -> ExtractionEngine:
    """The engine, with its library loaded. Raises what `check_engine` raises."""
    check_engine(name, main_content, markdown)
    return ENGINES[name].make(main_content, markdown)


def _library_version(library: str, engine: str) -> str:
    try:
        return version(library)
    except PackageNotFoundError:
        raise ConfigError(
            f"extract.engine: {engine!r} needs {library}, which is not installed: pip install 'tamis[extract]'"
        ) from None
