"""The host of a URL, as the hold-out, the ban-lists, the intervals and the reports define it."""

from collections.abc import Iterable
from urllib.parse import urlsplit


def host_of(url: str | None) -> str:
    """The host in lower case, without port, credentials, a trailing dot and a leading `www.`; '' when there is none."""
    try:
        host = (urlsplit(url or "").hostname or "").rstrip(".")
    except ValueError:
        return ""
    return host.removeprefix("www.")


class Hosts:
    """`host_of` for very many URLs, of which most begin alike: what stands before the third slash is looked up."""

    MOST_KNOWN = 1 << 16

    def __init__(self) -> None:
        self._known: dict[str, str] = {}

    def of(self, urls: Iterable[str | None]) -> list[str]:
        """The host of each URL."""
        known = self._known
        if len(known) > self.MOST_KNOWN:
            known.clear()
        found = []
        for url in urls:
            parts = (url or "").split("/", 3)
            beginning = "/".join(parts[:3])
            host = known.get(beginning)
            if host is None:
                host = known[beginning] = host_of(beginning)
            found.append(host)
        return found
