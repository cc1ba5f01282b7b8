"""The host of a URL, as the hold-out, the ban-lists, the intervals and the reports define it."""

from urllib.parse import urlsplit


def host_of(url: str | None) -> str:
    """The host in lower case, without port, credentials, a trailing dot and a leading `www.`; '' when there is none."""
    try:
        host = (urlsplit(url or "").hostname or "").rstrip(".")
    except ValueError:
        return ""
    return host.removeprefix("www.")
