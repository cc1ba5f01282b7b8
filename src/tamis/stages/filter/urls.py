"""URL ban-lists: three word lists matched against the whole URL, and a list of host names.

The lists are DCLM's (reverse-engineered from RefinedWeb's appendix G.1). They are read from files, and none comes with
Tamis.
"""

import re
from collections.abc import Iterable
from importlib.resources import files
from urllib.parse import urlsplit

from tamis.base.errors import ConfigError
from tamis.base.hosts import host_of
from tamis.base.lines import not_utf8
from tamis.base.stage import Asset

STRICT = "refinedweb_banned_words_strict_reverse_engineered.txt"
HARD = "refinedweb_banned_words_hard_reverse_engineered.txt"
SOFT = "refinedweb_banned_words_soft_reverse_engineered.txt"

REASONS = ("banned_domain", "reserved_host", "banned_url_part", "banned_url_word", "suspect_url_words")
"""The reasons in the order in which they are tested: host lists, strict, hard and soft words."""
MIN_SOFT_WORDS = 2
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f]")
_NO_HOST = re.compile(r"^.*(?:://|[^\S\n]).*$", re.MULTILINE)


def read_list(file: Asset, setting: str) -> list[str]:
    """Lower-cased entries, one per line; blank lines are left out, a byte-order mark too. Raises ConfigError, naming
    `filter.<setting>` and the line, where the file is not UTF-8, holds control characters (no text file) or nothing."""
    data = file.read_bytes()
    try:
        content = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _bad_line(
            setting, file, data.count(b"\n", 0, error.start), f"is {not_utf8(error)}", "Save it as UTF-8"
        ) from None
    if odd := _CONTROL.search(content):
        wrong = f"holds a control character ({odd[0]!r})"
        raise _bad_line(setting, file, content.count("\n", 0, odd.start()), wrong, "Give a plain text file")
    entries = [line.lower() for line in content.splitlines() if line.strip()]
    if not entries:
        raise ConfigError(
            f"filter.{setting}: {file} has no entries. Give one per line, or set filter.{setting} to null"
        )
    return entries


def read_hosts(file: Asset | None) -> list[str] | None:
    """Host names of `filter.banned_domains`. Raises ConfigError as `read_list`, and for a line that is no
    host name."""
    if file is None:
        return None
    entries = [entry.strip() for entry in read_list(file, "banned_domains")]
    content = "\n".join(entries)
    if odd := _NO_HOST.search(content):
        wrong = f"is not a host name ({odd[0][:60]!r})"
        number = [line.strip() for line in file.read_text().lower().splitlines()].index(odd[0])
        raise _bad_line(
            "banned_domains", file, number, wrong, "Write `example.org`; filter.url_rules takes other parts"
        )
    return entries


def _bad_line(setting: str, file: Asset, number: int, wrong: str, remedy: str) -> ConfigError:
    """The error message about the line `number`, counted from 0."""
    return ConfigError(f"filter.{setting}: line {number + 1} of {file} {wrong}. {remedy}")


def any_of(entries: Iterable[str], *, whole_words: bool) -> re.Pattern[str]:
    """Pattern of the leftmost, longest entry; case is ignored."""
    longest_first = sorted(set(entries), key=lambda entry: (-len(entry), entry))
    alternatives = "|".join(map(re.escape, longest_first))
    return re.compile(rf"\b(?:{alternatives})\b" if whole_words else f"(?:{alternatives})", re.IGNORECASE)


def reserved_hosts() -> list[str]:
    """The hosts whose pages DCLM's refinedweb.yaml removes, because it mixes these sources in later."""
    return files("tamis.stages.filter").joinpath("reserved_hosts.txt").read_text("utf-8").split()


class UrlTest:
    """One rule on URLs. It removes URLs on one of `hosts`, or with at least `min_matches` different ones of `words`."""

    def __init__(
        self,
        reason: str,
        *,
        hosts: Iterable[str] = (),
        words: Iterable[str] = (),
        whole_words: bool = True,
        min_matches: int = 1,
        ignore: Iterable[str] = (),
    ) -> None:
        self.reason = reason
        self._hosts = frozenset(host.lower() for host in hosts)
        entries = [word.lower() for word in words]
        self._words = any_of(entries, whole_words=whole_words) if entries else None
        self._min_matches = min_matches
        self._ignore = tuple(ignore)

    def fires(self, url: str) -> bool:
        """Whether the rule removes this URL."""
        lowered = url.lower()
        for part in self._ignore:
            lowered = lowered.replace(part, "")
        if self._hosts and host_of(lowered) in self._hosts:
            return True
        return self._words is not None and len(set(self._words.findall(lowered))) >= self._min_matches


class BanLists:
    """The URL lists that the run applies; where a list is absent, it removes nothing. `paper` reproduces a mistake of
    DCLM's configuration, which deletes `www` without its dot from host names, so that `www.host` never equals the
    banned `host`."""

    def __init__(
        self,
        *,
        strict: list[str] | None = None,
        hard: list[str] | None = None,
        soft: list[str] | None = None,
        domains: list[str] | None = None,
        reserved: list[str] | None = None,
        tests: Iterable[UrlTest] = (),
        paper: bool = False,
    ) -> None:
        self._strict = any_of(strict, whole_words=False) if strict else None
        self._hard = any_of(hard, whole_words=True) if hard else None
        self._soft = any_of(soft, whole_words=True) if soft else None
        self._domains = frozenset(domains or ())
        self._reserved = frozenset(reserved or ())
        self._tests = tuple(tests)
        self.empty = not (strict or hard or soft or domains or reserved or self._tests)
        self._paper = paper

    def host(self, url: str) -> str:
        """The host in the form of the lists; '' where the URL has none."""
        if not self._paper:
            return host_of(url)
        try:
            return urlsplit(url).netloc.lower().replace("www", "")
        except ValueError:
            return ""

    def reason(self, url: str) -> str | None:
        """The reason why the URL is removed (one of REASONS, or the reason of a further rule), or None."""
        if self.empty:
            return None
        if self._domains or self._reserved:
            host = self.host(url)
            if host in self._domains:
                return REASONS[0]
            if host in self._reserved:
                return REASONS[1]
        lowered = url.lower()
        if self._strict and self._strict.search(lowered.replace("-", "").replace(".", "")):
            return REASONS[2]
        if self._hard and self._hard.search(lowered):
            return REASONS[3]
        if self._soft and len(set(self._soft.findall(lowered))) >= MIN_SOFT_WORDS:
            return REASONS[4]
        return next((test.reason for test in self._tests if test.fires(url)), None)
