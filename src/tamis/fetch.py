"""Every file that Tamis can use but does not ship: where it comes from, how large it is, its checksum and its licence.

Nothing is downloaded unless `fetch` is called. Recipes name files, and any file of the right kind can be used instead.
A download is written to a `.part` file, which a later call continues, and gets its final name only when size and
checksum are right.
"""

import http.client
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tamis.base.errors import ConfigError, DataError, TamisError, did_you_mean
from tamis.store.location import Location, cache_folder
from tamis.store.partial import PartialFile

CHUNK_BYTES = 1 << 20
TIMEOUT_SECONDS = 30.0
"""Longest silence of a server before a download counts as interrupted."""
MOST_BYTES = 8 << 30
"""Largest download of an asset whose publisher states no size: three times the largest of them."""

OnDownload = Callable[[int, int | None], None]
"""Called with (bytes so far, bytes in all or None)."""


class DownloadError(TamisError):
    """A file could not be downloaded; nothing that was usable before is lost."""

    exit_code = 3


@dataclass(frozen=True, kw_only=True)
class RemoteAsset:
    """One downloadable file. `size_bytes` and `sha256` (hex) are None where the publisher states neither: such a file
    cannot be checked. In both cases a run's fingerprint covers the bytes of every file that it used."""

    name: str
    file_name: str
    urls: tuple[str, ...]
    """Tried in this order."""
    size_bytes: int | None
    sha256: str | None
    licence: str
    used_for: str


_DCLM = (
    "https://raw.githubusercontent.com/mlfoundations/dclm/361714bdd60bb9b7f4b2d8354cebbf0dec0c329e/baselines/mappers"
)
_HUGGING_FACE = "https://huggingface.co"
_FASTTEXT = "https://dl.fbaipublicfiles.com/fasttext/supervised-models"

ASSETS: tuple[RemoteAsset, ...] = (
    RemoteAsset(
        name="lid176",
        file_name="lid.176.bin",
        urls=(f"{_FASTTEXT}/lid.176.bin",),
        size_bytes=131_266_198,
        sha256="7e69ec5451bc261cc7844e49e4792a85d7f09c06789ec800fc4a44aec362764e",
        licence="CC-BY-SA-3.0",
        used_for="language identification, fastText, 176 languages (DCLM's)",
    ),
    RemoteAsset(
        name="lid176-small",
        file_name="lid.176.ftz",
        urls=(f"{_FASTTEXT}/lid.176.ftz",),
        size_bytes=938_013,
        sha256="8f3472cfe8738a7b6099e8e999c3cbfae0dcd15696aac7d7738a8039db603e83",
        licence="CC-BY-SA-3.0",
        used_for="the same model compressed: a little less accurate, 140 times smaller",
    ),
    RemoteAsset(
        name="dclm-quality",
        file_name="openhermes_reddit_eli5_vs_rw_v2_bigram_200k_train.bin",
        urls=(
            f"{_HUGGING_FACE}/mlfoundations/fasttext-oh-eli5/resolve/main/"
            "openhermes_reddit_eli5_vs_rw_v2_bigram_200k_train.bin",
        ),
        size_bytes=None,  # the page says 2.39 GB
        sha256=None,
        licence="MIT",
        used_for="quality classifier of DCLM-Baseline (fastText, about 2.4 GB)",
    ),
    RemoteAsset(
        name="refinedweb-domains",
        file_name="refinedweb_banned_domains_curated.txt",
        urls=(
            f"{_HUGGING_FACE}/datasets/mlfoundations/refinedweb_banned_domains_curated/resolve/main/"
            "refinedweb_banned_domains_curated.txt",
        ),
        size_bytes=None,
        sha256=None,
        licence="see the data set's page",
        used_for="URL filter of RefinedWeb: banned domains, curated by DCLM",
    ),
    RemoteAsset(
        name="refinedweb-words-strict",
        file_name="refinedweb_banned_words_strict_reverse_engineered.txt",
        urls=(f"{_DCLM}/banlists/refinedweb_banned_words_strict_reverse_engineered.txt",),
        size_bytes=1_368,
        sha256="88933938dd7459c788145126dceffd3db3b856b1d091dcc1d994c417e75c35ff",
        licence="MIT",
        used_for="URL filter of RefinedWeb: one hit anywhere removes the page",
    ),
    RemoteAsset(
        name="refinedweb-words-hard",
        file_name="refinedweb_banned_words_hard_reverse_engineered.txt",
        urls=(f"{_DCLM}/banlists/refinedweb_banned_words_hard_reverse_engineered.txt",),
        size_bytes=1_375,
        sha256="f3c17480a9fbe7aefbed474cb9ec1f05c5105f17b814dbbedd11c11b7b67a3ba",
        licence="MIT",
        used_for="URL filter of RefinedWeb: one hit as a whole word removes the page",
    ),
    RemoteAsset(
        name="refinedweb-words-soft",
        file_name="refinedweb_banned_words_soft_reverse_engineered.txt",
        urls=(f"{_DCLM}/banlists/refinedweb_banned_words_soft_reverse_engineered.txt",),
        size_bytes=647,
        sha256="933835a07e4bb9c50301ec6e02be2aa707256134c6e840bf12488682565ea742",
        licence="MIT",
        used_for="URL filter of RefinedWeb: two different hits remove the page",
    ),
    RemoteAsset(
        name="ldnoobw",
        file_name="ldnoobw.txt",
        urls=(f"{_DCLM}/banlists/ldnoobw.txt",),
        size_bytes=3_566,
        sha256="a506cbcf8a31935b122299f3bb1d32be6db3d0ad498765d28f365dfc4f4d7b8c",
        licence="MIT (DCLM's copy; the list it is taken from is CC-BY-4.0)",
        used_for="word filter of C4",
    ),
    RemoteAsset(
        name="iana-tlds",
        file_name="iana_tlds.txt",
        urls=(f"{_DCLM}/iana_tlds.txt",),
        size_bytes=10_407,
        sha256="313c6f4954dd07fff52ac09476e8e5bd1e1e8deec390e2ff767b59b4cf1dd58a",
        licence="MIT (DCLM's copy)",
        used_for="top-level domains, as DCLM's URL removal uses them",
    ),
    RemoteAsset(
        name="gpt-neox-20b",
        file_name="gpt-neox-20b-tokenizer.json",
        urls=(f"{_HUGGING_FACE}/EleutherAI/gpt-neox-20b/resolve/main/tokenizer.json",),
        size_bytes=None,
        sha256=None,
        licence="Apache-2.0",
        used_for="tokenizer of DCLM's published models",
    ),
)


GROUPS = {"refinedweb-words": ("refinedweb-words-strict", "refinedweb-words-hard", "refinedweb-words-soft")}
"""Groups of assets that a setting takes together, as the folder that holds them."""


def list_assets() -> list[RemoteAsset]:
    """Every asset, in the order in which a pipeline uses them."""
    return list(ASSETS)


def rows() -> list[dict[str, Any]]:
    """What `tamis fetch --list` shows: one mapping per asset, with the local path or None where it is not cached."""
    return [
        {
            "name": asset.name,
            "used for": asset.used_for,
            "bytes": asset.size_bytes,
            "licence": asset.licence,
            "checksum": "known" if asset.sha256 else "not published",
            "cached": str(place) if (place := _cached(asset)).is_file() else None,
            "address": asset.urls[0],
        }
        for asset in ASSETS
    ]


def _cached(asset: RemoteAsset) -> Location:
    """The path of the asset in the cache, whether or not it has been fetched."""
    return Location(cache_folder()) / asset.file_name


def get_asset(name: str) -> RemoteAsset:
    """Raises ConfigError naming the nearest asset when there is none of that name."""
    for asset in ASSETS:
        if asset.name == name:
            return asset
    raise ConfigError(f"fetch: no asset '{name}'{did_you_mean(name, [asset.name for asset in ASSETS])}")


def cached_file(name: str) -> Location:
    """The path of the asset in the cache. Raises ConfigError when it is not there, with the two ways to get it."""
    asset = get_asset(name)
    place = _cached(asset)
    if not place.is_file():
        raise ConfigError(
            f"{name}: {asset.file_name} is not on this machine (looked for {place}). "
            f"Either run `tamis fetch {name}` where there is a network, or set the path to a copy of your own."
        )
    return place


def resolve_setting(value: Any) -> tuple[Any, Any]:
    """A recipe's setting as (what the stage gets, what the resolved recipe says).

    `fetch:NAME` is the cached path of an asset, or the folder of a group; `fetch?:NAME` is the same where it is cached
    and null where it is not. Raises ConfigError when a requested file is absent, with the two ways to get it.
    """
    if not (isinstance(value, str) and value.startswith(("fetch:", "fetch?:"))):
        return value, value
    kind, _, name = value.partition(":")
    members = GROUPS.get(name, (name,))
    if kind == "fetch?" and not all(_cached(get_asset(member)).is_file() for member in members):
        return None, None
    places = [cached_file(member) for member in members]
    return str(places[0].parent if name in GROUPS else places[0]), f"fetch:{name}"


def fetch(name: str, folder: Location | None = None, on_progress: OnDownload = lambda done, total: None) -> Location:
    """Download one asset into `folder` (the cache unless given) and return its place; a file already there is kept.

    An interrupted download is continued by the next call. Raises ConfigError for an unknown name, DownloadError when
    no address answers, DataError when size or checksum are wrong (nothing is published), StorageError when the disk is
    full.
    """
    return download(get_asset(name), folder or Location(cache_folder()), on_progress)


def download(asset: RemoteAsset, folder: Location, on_progress: OnDownload = lambda done, total: None) -> Location:
    """As `fetch`, for any asset."""
    place = folder / asset.file_name
    if place.is_file():
        return place
    partial = PartialFile(place)
    troubles: list[str] = []
    for url in asset.urls:
        try:
            _transfer(asset, url, partial, on_progress)
        except (OSError, http.client.HTTPException, ValueError) as error:
            troubles.append(f"{url}: {_explain(error)}")
            continue
        _check(asset, partial)
        partial.publish()
        return place
    kept = f" {size:,} bytes are kept and will be continued." if (size := partial.size()) else ""
    raise DownloadError(
        f"{asset.name}: could not be downloaded.{kept}\n  "
        + "\n  ".join(troubles)
        + f"\nRun `tamis fetch {asset.name}` again where there is a network, or copy the file to {place}."
    )


def _transfer(asset: RemoteAsset, url: str, partial: PartialFile, on_progress: OnDownload) -> None:
    """Download `url` into `partial`: continue from its present end if the server still has the same file, else start
    again. Raises OSError, HTTPException or ValueError when that fails, StorageError when the disk is full, DataError
    (and deletes what came) as soon as there is more than the asset can have."""
    version = partial.version()
    have = partial.size() if version else 0
    request = urllib.request.Request(url, headers={"User-Agent": "tamis"})
    if version and have:
        request.add_header("Range", f"bytes={have}-")
        request.add_header("If-Range", version)
    try:
        response = urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS)
    except urllib.error.HTTPError as error:
        if error.code != 416:
            raise
        error.close()  # nothing lies beyond what we have
        if error.headers.get("Content-Range", "") != f"bytes */{have}":
            raise
        return
    with response:
        resumed = response.status == 206 and response.headers.get("Content-Range", "").startswith(f"bytes {have}-")
        done = have if resumed else 0
        length = _stated_length(response.headers.get("Content-Length"))
        total = None if length is None else done + length
        most = MOST_BYTES if asset.size_bytes is None else asset.size_bytes
        # A server that sends more than the file has is not believed, and must not fill the disk.
        is_too_long = total is not None and total > most
        if not is_too_long:
            with partial.writing(response.headers.get("ETag"), resume=resumed) as stream:
                while not is_too_long and (chunk := response.read(CHUNK_BYTES)):
                    stream.write(chunk[: most - done])
                    is_too_long = done + len(chunk) > most
                    done += len(chunk)
                    on_progress(done, total)
    if is_too_long:
        partial.discard()
        raise _wrong_file(asset, f"has more than {most:,} bytes")
    if total is not None and done < total:
        raise ConnectionResetError(f"the connection ended after {done:,} of {total:,} bytes")


def _stated_length(header: str | None) -> int | None:
    """The number of bytes that an answer states; None where it states none. Raises ValueError for anything else."""
    if header is None:
        return None
    if not (header.isascii() and header.isdigit()):
        raise ValueError(f"the server stated the size {header!r:.40}, which is not a number of bytes")
    return int(header[:20])


def _check(asset: RemoteAsset, partial: PartialFile) -> None:
    """Raises DataError, and deletes the download, when it is not the file that it should be."""
    size, sha256 = partial.size(), partial.sha256()
    wrong = []
    if asset.size_bytes is not None and size != asset.size_bytes:
        wrong.append(f"has {size:,} bytes instead of {asset.size_bytes:,}")
    if asset.sha256 is not None and sha256 != asset.sha256:
        wrong.append(f"has the sha256 {sha256} instead of {asset.sha256}")
    if wrong:
        partial.discard()
        raise _wrong_file(asset, " and ".join(wrong))


def _wrong_file(asset: RemoteAsset, what: str) -> DataError:
    return DataError(
        f"{asset.name}: what was downloaded {what}; it was deleted. "
        "The publisher changed the file, or something between (a proxy's login page?) answered in its place."
    )


def _explain(error: Exception) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"the server answered {error.code} {error.reason}"
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(reason, ssl.SSLError):
        return f"the certificate was not accepted ({reason})"
    if isinstance(reason, TimeoutError):
        return f"no answer within {TIMEOUT_SECONDS:.0f} s"
    if isinstance(reason, ValueError):
        return f"not a usable answer ({reason})"
    return f"not reachable ({reason})"
