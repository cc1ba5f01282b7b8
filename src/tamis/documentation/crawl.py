"""Makes a WARC crawl of the documentation on the user's own machine, so that `tamis demo` needs no network.

The pages are what `pydoc` prints for the standard library and the installed packages: real English about real code,
with boilerplate, near-duplicates, licence headers and empty pages. No code of any package is run: modules are found by
file name and read as syntax trees (`skeleton`), so a package that fails on import does no harm.
"""

import hashlib
import multiprocessing
import sys
import sysconfig
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from typing import Any

from tamis.base.errors import ConfigError
from tamis.base.events import Event
from tamis.documentation.pydoc_pages import render
from tamis.documentation.skeleton import Library, ModuleFile, SkeletonError
from tamis.store.atomic import Place, write_json
from tamis.store.location import Location
from tamis.store.warc_write import response_record, warcinfo_record, write_warc

DATE = "2024-01-01T00:00:00Z"
"""The WARC-Date of every record. It is fixed, so that equal machines give equal bytes."""
SUMMARY_NAME = "summary.json"
FILE_PATTERN = "docs-[0-9][0-9][0-9][0-9][0-9].warc.gz"
CONTENT_TYPE = "text/html; charset=utf-8"
SHOWN_LIBRARY = f"lib/python{sys.version_info.major}.{sys.version_info.minor}"
"""The folder of the standard library as the pages show it, which is the same on every machine."""
MAX_PAGE_BYTES = 4 << 20
CHUNK_MODULES = 25


@dataclass(frozen=True)
class DocsCrawl:
    """What was written: `failures` counts modules without a page, by kind."""

    files: list[Location]
    num_pages: int
    num_hosts: int
    html_bytes: int
    num_modules_found: int
    failures: dict[str, int] = field(default_factory=dict)


def write_docs_crawl(
    output: Place,
    max_pages: int | None = 4000,
    pages_per_file: int = 500,
    workers: int = 2,
    on_progress: Callable[[dict[str, Any]], None] = lambda fields: None,
    library: Place | None = None,
    sites: Sequence[Place] | None = None,
) -> DocsCrawl:
    """Write `output`/docs-00000.warc.gz and so on, with one response record per module, in an order that mixes hosts.
    `output`/summary.json is written last, and shows that the crawl is complete.

    `max_pages` (None = all) limits the number of pages: small hosts get all of theirs, and large ones a sample.
    `on_progress` gets `{"done", "total", "unit"}` after every module. `library` and `sites` are the folders that are
    searched; by default they are those of the running interpreter. The bytes depend on the packages installed and on
    Python's version, not on `workers`. Raises ConfigError when no module is found, StorageError when a file cannot be
    written.
    """
    output = Location(output)
    modules = find_modules(library, sites)
    chosen = choose_modules(list(modules), max_pages)
    if not chosen:
        raise ConfigError("docs crawl: no Python modules found in the library and site folders; nothing to render.")
    _check_own(output)
    (output / SUMMARY_NAME).delete_file()
    failures: Counter[str] = Counter()
    html_bytes = num_pages = 0
    hosts: set[str] = set()
    files: list[Location] = []
    pending: list[bytes] = []

    def close_file() -> None:
        files.append(output / f"docs-{len(files):05d}.warc.gz")
        write_warc(files[-1], [_warcinfo(files[-1].name), *pending])
        pending.clear()

    for done, page in enumerate(_render_all(modules, chosen, workers), 1):
        if page.failure:
            failures[page.failure] += 1
        else:
            pending.append(page.record)
            html_bytes += page.html_bytes
            num_pages += 1
            hosts.add(page_host(page.module))
        if len(pending) == pages_per_file:
            close_file()
        on_progress({"done": done, "total": len(chosen), "unit": "modules"})
    if pending:
        close_file()
    for stale in set(output.children(FILE_PATTERN)) - set(files):
        stale.delete_file()
    crawl = DocsCrawl(files, num_pages, len(hosts), html_bytes, len(modules), dict(sorted(failures.items())))
    write_json(output / SUMMARY_NAME, asdict(crawl) | {"files": [path.name for path in files]})
    return crawl


def _check_own(output: Location) -> None:
    """Raises ConfigError for a folder with other files than those of a crawl: what is there is replaced."""
    own = {SUMMARY_NAME, *(place.name for place in output.children(FILE_PATTERN))}
    others = [place.name for place in output.children() if place.name not in own]
    if others:
        raise ConfigError(
            f"{output}: this folder holds {others[0]}, which is no part of a crawl of the documentation. Move it, or "
            "choose another folder: --workspace FOLDER."
        )


def find_modules(library: Place | None = None, sites: Sequence[Place] | None = None) -> dict[str, ModuleFile]:
    """All modules with Python source, by dotted name, in sorted order. Only file names are looked at; no file is
    opened.

    Of a name that is found twice, the first folder counts: the library is searched before the sites.
    """
    library = library or sysconfig.get_path("stdlib")
    if sites is None:
        sites = [sysconfig.get_path(kind) for kind in ("purelib", "platlib")]
    found: dict[str, ModuleFile] = {}
    for place, shown in [(library, SHOWN_LIBRARY), *((site, f"{SHOWN_LIBRARY}/site-packages") for site in sites)]:
        folder = Location(place)
        for file in sorted(_python_files(folder)):
            inside = file.relative_to(folder)
            name = inside.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
            found.setdefault(name, ModuleFile(name, file, f"{shown}/{inside}"))
    return dict(sorted(found.items()))


def _python_files(folder: Location, inside_package: bool = False) -> Iterator[Location]:
    """Source files of `folder` and of the packages (folders with an `__init__.py`) in it."""
    for place in folder.children():
        if not place.name.isascii():  # has no place in a URL as it stands
            continue
        if place.suffix == ".py" and place.stem.isidentifier() and place.is_file():
            if inside_package or place.stem != "__init__":
                yield place
        elif place.name.isidentifier() and (place / "__init__.py").is_file() and not place.path.is_symlink():
            yield from _python_files(place, inside_package=True)


def choose_modules(names: list[str], max_pages: int | None) -> list[str]:
    """At most `max_pages` of `names`, in the order of the crawl.

    A hash of the name decides which modules are chosen, and their order. The quota per host is the largest that fits,
    so that small packages are complete and large ones are sampled.
    """
    by_host: dict[str, list[str]] = defaultdict(list)
    for name in sorted(names, key=_hash):
        by_host[page_host(name)].append(name)
    # Page number k of its host comes before page number k + 1 of any other.
    turns = sorted((turn, _hash(name), name) for pages in by_host.values() for turn, name in enumerate(pages))
    return sorted((name for _, _, name in turns[:max_pages]), key=_hash)


def page_host(name: str) -> str:
    """`json.decoder` -> `json.docs.example`: one host per top-level package (`_json` shares the host of `json`)."""
    label = name.partition(".")[0].lower().replace("_", "-").strip("-")
    return f"{label or 'private'}.docs.example"


def page_url(name: str) -> str:
    """`json.decoder` -> `https://json.docs.example/json.decoder.html`."""
    return f"https://{page_host(name)}/{name}.html"


def _hash(name: str) -> bytes:
    return hashlib.blake2b(name.encode(), digest_size=8).digest()


def _warcinfo(file_name: str) -> bytes:
    fields = {
        "software": "Tamis",
        "format": "WARC File Format 1.1",
        "description": f"pydoc pages of the Python {sys.version_info.major}.{sys.version_info.minor} packages here",
    }
    return warcinfo_record(file_name, fields, DATE)


@dataclass(frozen=True)
class _Page:
    module: str
    record: bytes = b""
    html_bytes: int = 0
    failure: str = ""


_library: Library | None = None
"""The module table of this worker process, set once by `_start_worker`."""


def _start_worker(modules: dict[str, ModuleFile]) -> None:
    global _library
    _library = Library(modules)


def _render_chunk(names: list[str]) -> list[_Page]:
    assert _library is not None
    return [_render_one(_library, name) for name in names]


def _render_one(library: Library, name: str) -> _Page:
    try:
        skeleton = library.skeleton(name)
        html = render(skeleton.module, skeleton.related, SHOWN_LIBRARY).encode(errors="replace")
    except SkeletonError as error:
        return _Page(name, failure=str(error))
    except Exception as error:  # noqa: BLE001 - pydoc may stumble over any stand-in; the page is given up and counted
        return _Page(name, failure=f"not_rendered_{type(error).__name__}")
    if len(html) > MAX_PAGE_BYTES:
        return _Page(name, failure="too_large")
    return _Page(name, response_record(page_url(name), html, CONTENT_TYPE, DATE), len(html))


def _render_all(modules: dict[str, ModuleFile], names: list[str], workers: int) -> Iterator[_Page]:
    """Pages in the order of `names`."""
    chunks = [names[start : start + CHUNK_MODULES] for start in range(0, len(names), CHUNK_MODULES)]
    if workers <= 1:
        _start_worker(modules)
        for chunk in chunks:
            yield from _render_chunk(chunk)
        return
    # Processes are spawned, not forked: the caller may have threads, and a new process has no modules loaded but those
    # of the standard library.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, _start_worker, (modules,)) as pool:
        for pages in pool.map(_render_chunk, chunks):
            yield from pages


def ensure_crawl(folder: Location, pages: int, workers: int, on_event: Callable[[Event], None]) -> Location:
    """The crawl in `folder`, which is rendered unless it is there already and complete. Progress is reported as
    events."""
    if not (folder / SUMMARY_NAME).exists():
        text = (
            "pool: rendering the documentation of this machine's Python as a WARC crawl (read as text, nothing is run)"
        )
        on_event(Event(kind="note", fields={"text": text}))
        write_docs_crawl(
            folder, max_pages=pages, workers=workers,
            on_progress=lambda fields: on_event(Event(kind="progress", fields={"stage": "pool"} | fields)),
        )  # fmt: skip
    return folder
