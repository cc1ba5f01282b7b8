"""Twin of `kernels.links`: the two kinds of link as regular expressions."""

import re
from functools import lru_cache

_PATH = r"[-a-zA-Z0-9()@:%_+.~#?&/=]*"
_NUMBERED = re.compile(rf"\s{{0,10}}\b(?:(?:https?|ftp)://)?(?:[0-2]?[0-9]{{1,2}}\.){{3}}[0-2]?[0-9]{{1,2}}{_PATH}")


@lru_cache
def _named(domains: tuple[str, ...]) -> re.Pattern[str]:
    longest_first = "|".join(re.escape(domain) for domain in sorted(domains, key=len, reverse=True))
    host = r"[-a-zA-Z0-9@:%._+~#=]{1,256}"
    return re.compile(rf"\s{{0,10}}(?:(?:https?|ftp)://)?{host}\.(?:{longest_first})\b{_PATH}")


def remove_links(text: str, domains: list[str], *, named: bool = True) -> str:
    """Text without links by name (unless `named` is false) and by IPv4 number."""
    if named:
        text = _named(tuple(domains)).sub("", text)
    return _NUMBERED.sub("", text)
