"""The host of a URL: what the hold-out, ban-lists, intervals and reports all mean by one."""

from urllib.parse import urlsplit


def host_of(url: str | None) -> str:
    """The host in lower case, without port, credentials, a trailing dot and a leading `www.`; '' when there is none."""
    try:
        host = (urlsplit(url or "").hostname or "").rstrip(".")
    except ValueError:
        return ""
    return host.removeprefix("www.")
