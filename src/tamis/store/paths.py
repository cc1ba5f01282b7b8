"""Inputs: what a user types (a file, a folder, a glob, a URI) becomes a stable list of files with fingerprints.

Everything that is not on this machine goes through fsspec, imported only when a URI is met.
"""

import fnmatch
import glob
import os
import re
from collections.abc import Iterable, Iterator, Sequence
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
_SIDE_FILES = re.compile(
    r"(readme|licen[cs]e|changelog|notice|citation)([.].*)?|[._]success|_(common_)?metadata|_(committed|started)_.*|"
    r"(dataset_infos?|dataset_dict|metadata|state)[.]json|[.]gitattributes|[.]gitignore|[.]ds_store|"
    r".*[.](crc|md5|sha1|sha256|sha512|lock|md)",
    re.IGNORECASE,
)
"""Names of what writers of data sets put beside the data. They are skipped where a shell's `*` named them outright."""


OF_NO_KIND = "of no readable kind (named outright, they are read)"
DANGLING = "that are links to nothing"
NOT_FOLLOWED = "that are links to folders, which are not followed (name the folders outright)"
EMPTY = "that are empty"
NO_FILE = "that are no regular files (named pipes, devices)"
NOT_UTF8 = "whose names are not UTF-8 (rename them)"
FOLDER = "that are folders, of which a pattern reads nothing (end it in /**/* to read what is in them)"
EXCLUDED = "that pool.exclude leaves out"
SIDE_FILE = "that accompany data (named alone, they are read)"
"""Why files are skipped, as what follows their number in a message."""


@dataclass(frozen=True, kw_only=True)
class InputFile:
    """`name` is the path below the input it came from: stable when the whole input moves."""

    name: str
    uri: str
    size_bytes: int
    fingerprint: str


class Exclusion:
    """Patterns of files that are not read: each matches a file's name below its input, the last part of that, its path
    or URI, or a folder that it lies in."""

    def __init__(self, patterns: Sequence[str] = ()) -> None:
        self._patterns = {pattern: pattern.removeprefix("./").rstrip("/") for pattern in patterns}
        self.unused = set(patterns)
        """Patterns that matched no file so far."""

    def leaves_out(self, name: str, uri: str) -> bool:
        found = {pattern for pattern, wanted in self._patterns.items() if _matches(wanted, name, uri)}
        self.unused -= found
        return bool(found)


def _matches(wanted: str, name: str, uri: str) -> bool:
    if any(fnmatch.fnmatchcase(place, wanted) for place in (name, name.rpartition("/")[2], uri)):
        return True
    return any(fnmatch.fnmatchcase(place, f"{wanted}/*") for place in (name, uri))


_NOTHING = Exclusion()


def expand(inputs: Iterable[str], exclude: Exclusion = _NOTHING) -> list[InputFile]:
    """All readable files that `inputs` name and `exclude` does not leave out: in the order of the inputs, sorted
    within each, each file once.

    A local file is the same one under every path that leads to it, through links too. Names are made unique by '-2',
    '-3', ... in that order. Fingerprints are a blake2b hash of the bytes for local files, of what the server tells
    (ETag, size, time of change) for remote ones. Raises ConfigError when an input does not exist or its protocol needs
    a package, DataError when nothing readable was found.
    """
    inputs = list(inputs)
    found: dict[object, InputFile] = {}
    taken: set[str] = set()
    for text in inputs:
        alone = len(inputs) == 1
        entries = _expand_remote(text, exclude) if _is_remote(text) else _expand_local(text, alone, exclude)
        for key, name, uri, size, mark in entries:
            if key in found:
                continue
            unique = _unique(name, taken)
            taken.add(unique)
            found[key] = InputFile(name=unique, uri=uri, size_bytes=size, fingerprint=mark)
    if not found:
        raise DataError(
            f"the pool is empty: no readable file in {', '.join(map(repr, inputs)) or 'an empty list of inputs'}. "
            "Readable are WARC, WET and ARC files, JSONL (plain, gz, zst) and Parquet: "
            f"names ending in {', '.join(READABLE_SUFFIXES)}.{_told(inputs, exclude)}"
        )
    return list(found.values())


def _told(inputs: list[str], exclude: Exclusion) -> str:
    """What was found instead of readable files."""
    found = skipped_files(inputs, exclude)
    skipped = [f" Skipped {len(names)} files {reason}: {names[0]}" for reason, names in found.items()]
    return "".join(f"{text}{'' if text.endswith('.') else '.'}" for text in skipped)


def _unique(name: str, taken: set[str]) -> str:
    number = 1
    unique = name
    while unique in taken:
        number += 1
        unique = f"{name}-{number}"
    return unique


def skipped_files(inputs: Iterable[str], exclude: Exclusion = _NOTHING) -> dict[str, list[str]]:
    """What `expand` finds in local folders and patterns and leaves: reason -> sorted paths. Hidden files and markers
    (`.name`, `_NAME`) are not meant."""
    inputs = list(inputs)
    skipped: dict[str, set[str]] = {}
    for text in inputs:
        if not _is_remote(text):
            files, left = _find_local(text, len(inputs) == 1)
            for reason, path in left:
                skipped.setdefault(reason, set()).add(_printable(path))
            for name, path in files:
                if exclude.leaves_out(name, str(path)):
                    skipped.setdefault(EXCLUDED, set()).add(_printable(path))
    return {reason: sorted(paths) for reason, paths in sorted(skipped.items())}


def open_input(uri: str) -> BinaryIO:
    """A readable, seekable binary stream. Raises DataError when the file cannot be opened."""
    try:
        return Location(uri).open_read()
    except OSError as error:
        raise DataError(f"{uri}: cannot be opened ({error}).") from error


def has_readable_name(name: str) -> bool:
    """Whether folders and patterns are searched for files of this name."""
    last = name.rsplit("/", 1)[-1].lower()
    return last.endswith(READABLE_SUFFIXES) and not last.startswith((".", "_"))


_Entry = tuple[object, str, str, int, str]
"""Of a file: what is the same for all paths to it, its name, path or URI, size and fingerprint."""
_Found = tuple[list[tuple[str, Path]], list[tuple[str, Path]]]
"""Names and paths of files, and reasons and paths of what is skipped."""


def _is_remote(text: str) -> bool:
    """Raises ConfigError for a text that is neither a path nor a URI."""
    try:
        exists = Path(text).exists()
    except (OSError, ValueError) as error:
        raise ConfigError(f"pool.inputs: {text[:80]!r} cannot be looked up ({_reason(error)}).") from None
    if not exists:
        check_spelling(text, "pool.inputs")
    return is_remote(text)


def _expand_local(text: str, alone: bool, exclude: Exclusion) -> list[_Entry]:
    found = _find_local(text, alone)[0]
    return [_local(path, name) for name, path in found if not exclude.leaves_out(name, str(path))]


def _find_local(text: str, alone: bool) -> _Found:
    """`alone`: whether `text` is the only input. Raises ConfigError where there is nothing."""
    path = _typed_path(text)
    if path.is_dir():
        return _sorted_out(((p.relative_to(path).as_posix(), p) for p in _walk(path)), is_pattern=False)
    if path.is_file():
        if _printable(path) != str(path):
            raise ConfigError(f"pool.inputs: the name '{_printable(path)}' is not UTF-8. Rename the file.")
        if not alone and _SIDE_FILES.fullmatch(path.name):
            return [], [(SIDE_FILE, path)]
        return [(path.name, path)], []
    matches = sorted(Path(p) for p in glob.glob(str(path), recursive=True))  # noqa: PTH207 - absolute patterns
    if matches and not glob.has_magic(text):
        what = "is a link to nothing" if path.is_symlink() else "is neither a file nor a folder"
        raise ConfigError(f"pool.inputs: '{_printable(path)}' {what}. Name other files with --pool FILES.")
    if not matches:
        what = "matches no file" if glob.has_magic(text) else "does not exist"
        raise ConfigError(
            f"pool.inputs: '{_printable(path)}' {what} (looked from {Path.cwd()}). "
            f"Check the spelling with: ls {_nearest_parent(path)} ; or name other files with --pool FILES."
        )
    return _sorted_out(((p.name, p) for p in matches), is_pattern="**" not in text)


def _typed_path(text: str) -> Path:
    if not text.strip():
        raise ConfigError("pool.inputs: an empty text names no file. Name the current folder with: .")
    try:
        return Path(text.removeprefix("file://")).expanduser()
    except RuntimeError as error:
        raise ConfigError(f"pool.inputs: '{text}': {_reason(error)}") from None


def _walk(folder: Path) -> Iterator[Path]:
    """Every file below a folder, and every link. Raises DataError for a folder that cannot be listed."""

    def refuse(error: OSError) -> None:
        raise DataError(f"{error.filename}: this folder cannot be listed ({_reason(error)}).")

    found: list[Path] = []
    for place, folders, files in os.walk(folder, onerror=refuse):
        below = Path(place)
        found += (below / name for name in files)
        found += (below / name for name in folders if (below / name).is_symlink())
    return iter(sorted(found))


def _sorted_out(candidates: Iterable[tuple[str, Path]], is_pattern: bool) -> _Found:
    """What folders and patterns found: the files to read, and what is skipped. Whether a path is a folder to be told of
    depends on `is_pattern`, as folders in folders are searched."""
    files: list[tuple[str, Path]] = []
    skipped: list[tuple[str, Path]] = []
    for name, path in candidates:
        reason = _reason_to_skip(path, is_pattern)
        if reason is None:
            files.append((name, path))
        elif reason:
            skipped.append((reason, path))
    return files, skipped


def _reason_to_skip(path: Path, is_pattern: bool) -> str | None:
    """None for a file to read; '' for what is skipped without a word."""
    if path.name.startswith((".", "_")):
        return ""
    if path.is_dir():
        return FOLDER if is_pattern else NOT_FOLLOWED if path.is_symlink() else ""
    if not path.exists():
        return DANGLING
    if not has_readable_name(path.name):
        return OF_NO_KIND if path.is_file() else ""
    if not path.is_file():
        return NO_FILE
    if _printable(path) != str(path):
        return NOT_UTF8
    return None if path.stat().st_size else EMPTY


def _printable(path: Path) -> str:
    """The path, with bytes that are not UTF-8 written as \\xNN."""
    try:
        return os.fsencode(path).decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:  # half a character, which no file name holds
        return str(path).encode("utf-8", "backslashreplace").decode()


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)


def _local(path: Path, name: str) -> _Entry:
    try:
        status = path.stat()
        # A file that has several names is known by its number, any other by the path without links.
        key = (status.st_dev, status.st_ino) if status.st_nlink > 1 else os.path.realpath(path)
        return key, name, str(path), status.st_size, input_digest(path)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}).") from error


def _nearest_parent(path: Path) -> Path:
    return next((parent for parent in path.parents if parent.is_dir()), Path())


def _expand_remote(text: str, exclude: Exclusion) -> list[_Entry]:
    fs = filesystem(text)
    try:
        with remote_errors(text):
            found = [(uri, name) for uri, name in _named_remote(fs, text) if not exclude.leaves_out(name, uri)]
            return [_remote(fs, uri, name) for uri, name in found]
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
        paths = sorted(path for path in fs.glob(text) if has_readable_name(path))
        return [(fs.unstrip_protocol(path), path.rpartition("/")[2]) for path in paths]
    if not fs.isdir(text):
        raise FileNotFoundError(text)
    root = str(fs._strip_protocol(text)).rstrip("/")
    paths = sorted(path for path in fs.find(text) if has_readable_name(path))
    return [(fs.unstrip_protocol(path), path.removeprefix(root).lstrip("/")) for path in paths]


def _remote(fs: Any, uri: str, name: str) -> _Entry:
    info = fs.info(uri)
    # One object has several addresses (s3:// and s3a://, say); two web addresses are two files.
    key = uri if uri.startswith(("http://", "https://")) else fs.unstrip_protocol(fs._strip_protocol(uri))
    return key, name, uri, int(info.get("size") or 0), remote_mark(uri, info)
