"""Twin of `kernels.rules.links`: the two kinds of link as regular expressions."""

import re
from functools import lru_cache

_PATH = r"[-a-zA-Z0-9()@:%_+.~#?&/=]*"
_NUMBERED = re.compile(rf"\s{{0,10}}\b(?:(?:https?|ftp)://)?(?:[0-2]?[0-9]{{1,2}}\.){{3}}[0-2]?[0-9]{{1,2}}{_PATH}")


@lru_cache
def _named(domains: tuple[str, ...], bare: bool) -> re.Pattern[str]:
    longest_first = "|".join(re.escape(domain) for domain in sorted(domains, key=len, reverse=True))
    host = "[-a-zA-Z0-9@:%._+~#=]"
    domain = rf"\.(?:{longest_first})\b"
    if bare:
        link = rf"(?:(?:https?|ftp)://)?{host}{{1,256}}{domain}"
    else:
        link = (
            rf"(?:(?:https?|ftp)://{host}{{1,256}}{domain}|{host}{{1,256}}{domain}(?=/)"
            rf"|(?<!{host})www\.{host}{{1,252}}{domain})"
        )
    return re.compile(rf"\s{{0,10}}{link}{_PATH}")


def remove_links(text: str, domains: list[str], *, bare: bool) -> str:
    """Text without links by name, with `bare` also those that only a dot gives away, and by IPv4 number."""
    return _NUMBERED.sub("", _named(tuple(domains), bare).sub("", text))
