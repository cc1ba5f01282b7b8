"""Inputs: what a user types (a file, a folder, a glob, a URI) becomes a stable list of files with fingerprints.

Everything that is not on this machine goes through fsspec, imported only when a URI is met.
"""

import glob
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from tamis.base.errors import ConfigError, DataError
from tamis.store.digests import input_digest
from tamis.store.location import Location
from tamis.store.remote import check_spelling, filesystem, is_remote, remote_errors, remote_mark

READABLE_SUFFIXES = (
    ".warc", ".warc.gz", ".warc.lz4", ".warc.zst", ".wet", ".wet.gz", ".wet.zst", ".arc", ".arc.gz",
    ".jsonl", ".jsonl.gz", ".jsonl.zst", ".jsonl.zstd", ".json.gz", ".json.zst", ".json.zstd", ".parquet",
)  # fmt: skip
"""Names that a folder or glob is searched for. A file named outright may have any name: its first bytes decide."""


@dataclass(frozen=True, kw_only=True)
class InputFile:
    """`name` is the path below the input it came from: stable when the whole input moves."""

    name: str
    uri: str
    size_bytes: int
    fingerprint: str


def expand(inputs: Iterable[str]) -> list[InputFile]:
    """All readable files that `inputs` name: in the order of the inputs, sorted within each, each file once.

    Names are made unique by '-2', '-3', ... in that order. Fingerprints are a blake2b hash of the bytes for local
    files, of what the server tells (ETag, size, time of change) for remote ones. Raises ConfigError when an input does
    not exist or its protocol needs a package, DataError when nothing readable was found.
    """
    inputs = list(inputs)
    found: dict[str, InputFile] = {}
    taken: dict[str, int] = {}
    for text in inputs:
        if not Path(text).exists():
            check_spelling(text, "pool.inputs")
        for name, uri, size, mark in _expand_remote(text) if is_remote(text) else _expand_local(text):
            if uri in found:
                continue
            taken[name] = taken.get(name, 0) + 1
            unique = name if taken[name] == 1 else f"{name}-{taken[name]}"
            found[uri] = InputFile(name=unique, uri=uri, size_bytes=size, fingerprint=mark)
    if not found:
        raise DataError(
            f"the pool is empty: no readable file in {', '.join(map(repr, inputs)) or 'an empty list of inputs'}. "
            "Readable are WARC, WET and ARC files, JSONL (plain, gz, zst) and Parquet: "
            f"names ending in {', '.join(READABLE_SUFFIXES)}."
        )
    return list(found.values())


def skipped_files(inputs: Iterable[str]) -> list[str]:
    """Files that `expand` finds in local folders and patterns and leaves, as their names are of no readable kind; in
    sorted order. Hidden files and markers (`.name`, `_NAME`) are not meant."""
    names: set[str] = set()
    for text in inputs:
        if is_remote(text):
            continue
        path = Path(text.removeprefix("file://")).expanduser()
        if path.is_dir():
            found = list(path.rglob("*"))
        else:
            found = [Path(p) for p in glob.glob(str(path), recursive=True)] if glob.has_magic(text) else []  # noqa: PTH207
        names |= {str(p) for p in found if p.is_file() and not p.name.startswith((".", "_")) and not _readable(p.name)}
    return sorted(names)


def open_input(uri: str) -> BinaryIO:
    """A readable, seekable binary stream. Raises DataError when the file cannot be opened."""
    try:
        return Location(uri).open_read()
    except OSError as error:
        raise DataError(f"{uri}: cannot be opened ({error}).") from error


def _readable(name: str) -> bool:
    last = name.rsplit("/", 1)[-1].lower()
    return last.endswith(READABLE_SUFFIXES) and not last.startswith((".", "_"))


_Entry = tuple[str, str, int, str]


def _expand_local(text: str) -> list[_Entry]:
    path = Path(text.removeprefix("file://")).expanduser()
    if path.is_dir():
        files = sorted(p for p in path.rglob("*") if p.is_file() and _readable(p.name))
        return [_local(p, p.relative_to(path).as_posix()) for p in files]
    if path.is_file():
        return [_local(path, path.name)]
    matches = sorted(Path(p) for p in glob.glob(str(path), recursive=True))  # noqa: PTH207 - absolute patterns
    if not matches:
        what = "matches no file" if glob.has_magic(text) else "does not exist"
        raise ConfigError(
            f"pool.inputs: '{text}' {what} (looked from {Path.cwd()}). "
            f"Check the spelling with: ls {_nearest_parent(path)} ; or name other files with --pool FILES."
        )
    return [_local(p, p.name) for p in matches if p.is_file() and _readable(p.name)]


def _local(path: Path, name: str) -> _Entry:
    try:
        return name, str(path), path.stat().st_size, input_digest(path)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}).") from error


def _nearest_parent(path: Path) -> Path:
    return next((parent for parent in path.parents if parent.is_dir()), Path())


def _expand_remote(text: str) -> list[_Entry]:
    fs = filesystem(text)
    try:
        with remote_errors(text):
            return [_remote(fs, uri, name) for uri, name in _named_remote(fs, text)]
    except FileNotFoundError:
        raise ConfigError(
            f"pool.inputs: '{text}' does not exist. Check the address, or name local files with --pool FILES."
        ) from None


def _named_remote(fs: Any, text: str) -> list[tuple[str, str]]:
    """(URI, name) of the files that a URI means, in order. Names are as those of local inputs."""
    # A web address is one file, whatever it holds of `?` and `*`; so is an object that is called so.
    if text.startswith(("http://", "https://")):
        return [(text, text.partition("?")[0].rstrip("/").rpartition("/")[2])]
    if fs.isfile(text):
        return [(text, text.rpartition("/")[2])]
    if glob.has_magic(text):
        paths = sorted(path for path in fs.glob(text) if _readable(path))
        return [(fs.unstrip_protocol(path), path.rpartition("/")[2]) for path in paths]
    if not fs.isdir(text):
        raise FileNotFoundError(text)
    root = str(fs._strip_protocol(text)).rstrip("/")
    paths = sorted(path for path in fs.find(text) if _readable(path))
    return [(fs.unstrip_protocol(path), path.removeprefix(root).lstrip("/")) for path in paths]


def _remote(fs: Any, uri: str, name: str) -> _Entry:
    info = fs.info(uri)
    return name, uri, int(info.get("size") or 0), remote_mark(uri, info)
