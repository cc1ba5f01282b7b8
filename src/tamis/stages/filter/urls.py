"""URL ban-lists: three word lists matched against the whole URL, and a list of host names.

The lists are DCLM's (reverse-engineered from RefinedWeb's appendix G.1) and come as files; none is shipped.
"""

import re
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import urlsplit

STRICT = "refinedweb_banned_words_strict_reverse_engineered.txt"
HARD = "refinedweb_banned_words_hard_reverse_engineered.txt"
SOFT = "refinedweb_banned_words_soft_reverse_engineered.txt"

REASONS = ("banned_domain", "banned_url_part", "banned_url_word", "suspect_url_words")
"""Reasons in the order of the chain: host list, strict, hard and soft words."""
MIN_SOFT_WORDS = 2


def read_list(path: Path) -> list[str]:
    """Lower-cased entries, one per line; blank lines are left out."""
    return [line.lower() for line in path.read_text("utf-8").splitlines() if line.strip()]


def any_of(entries: Iterable[str], *, whole_words: bool) -> re.Pattern[str]:
    """Pattern of the leftmost, longest entry; case is ignored."""
    longest_first = sorted(set(entries), key=lambda entry: (-len(entry), entry))
    alternatives = "|".join(map(re.escape, longest_first))
    return re.compile(rf"\b(?:{alternatives})\b" if whole_words else f"(?:{alternatives})", re.IGNORECASE)


class BanLists:
    """The lists in force; an absent list bans nothing. `paper` keeps a slip of DCLM's configuration: it deletes `www`
    without its dot from host names, so that `www.host` never equals the banned `host`."""

    def __init__(
        self,
        *,
        strict: list[str] | None = None,
        hard: list[str] | None = None,
        soft: list[str] | None = None,
        domains: list[str] | None = None,
        paper: bool = False,
    ) -> None:
        self._strict = any_of(strict, whole_words=False) if strict else None
        self._hard = any_of(hard, whole_words=True) if hard else None
        self._soft = any_of(soft, whole_words=True) if soft else None
        self._domains = frozenset(domains or ())
        self._paper = paper

    def has_banned_host(self, url: str) -> bool:
        """Whether the URL's host is on the domain list."""
        if not self._domains:
            return False
        try:
            parts = urlsplit(url)
            host = parts.netloc.lower() if self._paper else (parts.hostname or "")
        except ValueError:
            return False
        host = host.replace("www", "") if self._paper else host.removeprefix("www.")
        return host in self._domains

    def reason(self, url: str) -> str | None:
        """Why the URL is banned (one of REASONS), or None."""
        if self.has_banned_host(url):
            return REASONS[0]
        lowered = url.lower()
        if self._strict and self._strict.search(lowered.replace("-", "").replace(".", "")):
            return REASONS[1]
        if self._hard and self._hard.search(lowered):
            return REASONS[2]
        if self._soft and len(set(self._soft.findall(lowered))) >= MIN_SOFT_WORDS:
            return REASONS[3]
        return None
