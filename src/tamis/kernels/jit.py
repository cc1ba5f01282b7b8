"""The one decorator of every kernel: compiled on first call, without the GIL, and cached on disk.

Numba's cache looks only at the file that defines a function, so a kernel that calls another file's kernel would keep
running that one's old code after it changed. Here the cache is keyed on the contents of all kernel sources instead.
"""

import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from numba import njit


@cache
def source_digest() -> str:
    """Hex digest of every source file of this package and the packages below it, the reference twins left out."""
    digest = hashlib.blake2b(digest_size=16)
    for path in kernel_sources(Path(__file__).parent):
        digest.update(path.as_posix().encode() + b"\0" + (Path(__file__).parent / path).read_bytes())
    return digest.hexdigest()


def kernel_sources(package: Path) -> list[Path]:
    """Source files below `package`, relative to it and in order, without those below `package/reference`."""
    paths = (path.relative_to(package) for path in package.rglob("*.py"))
    return sorted(path for path in paths if path.parts[0] != "reference")


def kernel(function: Callable[..., Any]) -> Callable[..., Any]:
    """`numba.njit(cache=True, nogil=True)` with that cache key."""
    dispatcher = njit(cache=True, nogil=True)(function)
    cache_file = dispatcher._cache._cache_file
    assert hasattr(cache_file, "_source_stamp"), "Numba's cache has changed: give it source_digest() another way"
    cache_file._source_stamp = source_digest()
    return dispatcher


@cache
def warm_stamp(group: str) -> Path:
    """An empty file beside the compiled kernels that says from which sources a group of them was compiled."""
    place = Path(kernel(source_digest_probe)._cache.cache_path)  # type: ignore[attr-defined]
    return place / f"warm-{group}-{source_digest()}"


def source_digest_probe() -> int:
    """This is never called. It only shows the folder in which Numba caches this package, as the package's own may not
    be writable."""
    return 0
